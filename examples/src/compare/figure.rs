//! Exploitability against oracle calls.

use std::error::Error;

use inpo_core::plot::{Chart, LineGrid, LinePanel, Scale, Series};
use inpo_core::train::Algorithm;

use super::report::{Contest, Outcome, mean_curve};

/// Which lines share a panel.
const GROUPS: [(&str, &[Algorithm]); 3] = [
    (
        "a KL to a fixed reference",
        &[
            Algorithm::Inpo,
            Algorithm::Egpo,
            Algorithm::NashMd,
            Algorithm::Enpo,
            Algorithm::OnlineIpo,
        ],
    ),
    (
        "plain game",
        &[
            Algorithm::Comal,
            Algorithm::Mpo,
            Algorithm::Onpo,
            Algorithm::Mnpo,
            Algorithm::IterativeIpo,
            Algorithm::Sppo,
        ],
    ),
    (
        "win rates as rewards, DPO and its kin",
        &[
            Algorithm::Rebel,
            Algorithm::Dno,
            Algorithm::DnoPrct,
            Algorithm::IterativeDpo,
            Algorithm::Ipo,
            Algorithm::Dpo,
            Algorithm::Hinge,
        ],
    ),
];

/// Means over the seeds as SVG, a row for each game, the exact solvers as thin lines of the same colour;
/// `results` as in [`table`](super::table).
///
/// # Errors
///
/// Nothing to draw.
pub fn figure(
    contests: &[Contest],
    results: &[(String, Vec<Vec<Outcome>>)],
    title: &str,
) -> Result<String, Box<dyn Error>> {
    let frame = Chart {
        title,
        x_label: "oracle calls",
        y_label: "exploitability",
        x_scale: Scale::Linear,
        y_scale: Scale::Log,
    };
    let columns = GROUPS.len();
    let titles: Vec<String> = contests
        .iter()
        .flat_map(|contest| GROUPS.map(|(group, _)| format!("{}: {group}", contest.name)))
        .collect();
    let mut panels = Vec::with_capacity(titles.len());
    for (place, title) in titles.iter().enumerate() {
        let (game, members) = (place / columns, GROUPS[place % columns].1);
        let mut panel = LinePanel {
            title,
            series: Vec::new(),
            references: Vec::new(),
        };
        for (name, games) in results {
            if !members.iter().any(|member| member.name() == *name) {
                continue;
            }
            let outcomes = &games[game];
            let calls = outcomes.iter().flat_map(|outcome| &outcome.calls);
            let line = |curve: Vec<f64>| Series {
                name,
                points: calls
                    .clone()
                    .map(|&calls| calls as f64)
                    .zip(curve)
                    .collect(),
            };
            let curves = outcomes.iter();
            panel
                .series
                .push(line(mean_curve(curves.clone().map(|o| &o.last))));
            panel
                .references
                .push(line(mean_curve(curves.map(|o| &o.exact))));
        }
        panels.push(panel);
    }
    LineGrid { frame, columns }.svg(&panels)
}
