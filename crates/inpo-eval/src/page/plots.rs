//! Which figures a report has.

use super::comparison::Comparison;
use super::figure::{Plot, Point, Unit};
use super::training::{MOST_POINTS, Training};
use super::{Border, Line, RunReport};
use crate::evaluation::Evaluation;
use crate::interval::Interval;

/// Borders of more iterations than this have no labels.
const MOST_LABELS: usize = 12;

impl RunReport {
    /// What was measured over the iterations.
    pub(super) fn measures(&self) -> Vec<Plot> {
        let all = &self.iterations;
        let rates = |name: &str, of: &dyn Fn(&Evaluation) -> Option<Interval>| {
            (name.to_owned(), over(all, of))
        };
        let mut lines = vec![
            rates("against the reference", &|e| Some(e.win_rate_vs_ref)),
            rates("against the previous", &|e| {
                e.win_rate_vs_prev.filter(|_| e.iteration > 0)
            }),
            rates("against the initial", &|e| {
                e.win_rate_vs_init.filter(|_| e.iteration > 0)
            }),
            rates("against the reference, length-controlled", &|e| {
                Some(e.length_controlled.as_ref()?.win_rate)
            }),
            rates("against the reference, held-out judge", &|e| {
                e.held_out_win_rate_vs_ref
            }),
        ];
        let opponents = all.first().map_or(&[][..], |first| &first.opponents);
        for (place, opponent) in opponents.iter().enumerate() {
            let name = format!("against {}", opponent.opponent);
            lines.push(rates(&name, &|e| Some(e.opponents.get(place)?.win_rate)));
        }
        let gap = |e: &Evaluation| {
            let name = crate::iteration_name(e.iteration);
            let players = &self.game.as_ref()?.players;
            Some(players.iter().find(|player| player.name == name)?.gap)
        };
        let others = all.last().map_or(0, |last| last.samples.saturating_sub(1));
        let probe = format!("best of {others} of its own samples");
        vec![
            by_iteration("Win rates", "win rate, %", Unit::Share, lines).marked(0.5),
            by_iteration(
                "What an opponent gains",
                "gain, percentage points",
                Unit::Points,
                vec![
                    rates(&probe, &|e| e.probe),
                    rates("best of the reference's samples", &|e| e.probe_of_ref),
                    rates("best player of the game", &gap),
                ],
            )
            .marked(0.0),
            by_iteration(
                "Divergence from the reference",
                "KL, nats per response",
                Unit::Plain,
                vec![("KL".to_owned(), plain(all, |e| e.kl_ref))],
            ),
            by_iteration(
                "Length of the responses",
                "tokens, mean",
                Unit::Plain,
                vec![("mean length".to_owned(), plain(all, |e| e.mean_length))],
            ),
        ]
    }

    /// The curves of the training.
    pub(super) fn curves(&self) -> Vec<Plot> {
        let curves = self.training.curves.iter();
        curves
            .map(|curve| {
                let line = |line: &Line| (line.metric.clone(), points(line));
                let lines = curve.lines.iter().map(line).collect();
                let logged = curve.lines.iter().map(|line| line.logged).max();
                Plot {
                    borders: borders(&self.training),
                    ..over_steps(&curve.title, &curve.unit, lines, logged)
                }
            })
            .collect()
    }
}

impl Comparison {
    /// Measures and curves of the runs, overlaid.
    pub(super) fn figures(&self) -> Vec<Plot> {
        let runs = |of: &dyn Fn(&RunReport) -> Vec<Point>| -> Vec<(String, Vec<Point>)> {
            self.runs
                .iter()
                .map(|run| (run.run.clone(), of(run)))
                .collect()
        };
        let rates =
            |of: fn(&Evaluation) -> Option<Interval>| runs(&|run| over(&run.iterations, &of));
        let mut plots = vec![
            by_iteration(
                "Win rate against the reference",
                "win rate, %",
                Unit::Share,
                rates(|e| Some(e.win_rate_vs_ref)),
            )
            .marked(0.5),
            by_iteration(
                "The same by the held-out judge",
                "win rate, %",
                Unit::Share,
                rates(|e| e.held_out_win_rate_vs_ref),
            )
            .marked(0.5),
            by_iteration(
                "What the best of its own samples gains",
                "gain, percentage points",
                Unit::Points,
                rates(|e| e.probe),
            )
            .marked(0.0),
            by_iteration(
                "Divergence from the reference",
                "KL, nats per response",
                Unit::Plain,
                runs(&|run| plain(&run.iterations, |e| e.kl_ref)),
            ),
            by_iteration(
                "Length of the responses",
                "tokens, mean",
                Unit::Plain,
                runs(&|run| plain(&run.iterations, |e| e.mean_length)),
            ),
        ];
        let curves = self.runs.iter().flat_map(|run| &run.training.curves);
        let mut seen: Vec<&str> = Vec::new();
        for curve in curves {
            for line in &curve.lines {
                if seen.contains(&line.metric.as_str()) {
                    continue;
                }
                seen.push(&line.metric);
                let of_run = |run: &RunReport| {
                    let lines = run.training.curves.iter().flat_map(|curve| &curve.lines);
                    let mut own = lines.filter(|other| other.metric == line.metric);
                    own.next().map(points).unwrap_or_default()
                };
                let title = match curve.lines.len() {
                    1 => curve.title.clone(),
                    _ => format!("{} ({})", curve.title, line.metric),
                };
                plots.push(over_steps(&title, &curve.unit, runs(&of_run), None));
            }
        }
        plots
    }
}

impl Plot {
    fn marked(self, value: f64) -> Self {
        Self {
            rule: Some(value),
            ..self
        }
    }
}

fn over(all: &[Evaluation], of: &dyn Fn(&Evaluation) -> Option<Interval>) -> Vec<Point> {
    let point = |e: &Evaluation| Some(Point::of(e.iteration as f64, of(e)?));
    all.iter().filter_map(point).collect()
}

fn plain(all: &[Evaluation], of: fn(&Evaluation) -> f64) -> Vec<Point> {
    let points = all.iter().map(|e| Point::new(e.iteration as f64, of(e)));
    points.collect()
}

fn points(line: &Line) -> Vec<Point> {
    line.points.iter().map(|&(x, y)| Point::new(x, y)).collect()
}

fn by_iteration(title: &str, y: &str, unit: Unit, lines: Vec<(String, Vec<Point>)>) -> Plot {
    Plot {
        title: title.to_owned(),
        x_label: "iteration (0: the reference)",
        y_label: y.to_owned(),
        unit,
        lines,
        borders: Vec::new(),
        rule: None,
        iterations: true,
        note: None,
    }
}

/// `logged` is how many values the longest line has.
fn over_steps(
    title: &str,
    unit: &str,
    lines: Vec<(String, Vec<Point>)>,
    logged: Option<usize>,
) -> Plot {
    let note = logged.filter(|&logged| logged > MOST_POINTS).map(|logged| {
        format!(
            "{logged} values: the least and the greatest of each of {} stretches are shown.",
            MOST_POINTS / 2
        )
    });
    Plot {
        x_label: "optimiser step",
        iterations: false,
        note,
        ..by_iteration(title, unit, Unit::Plain, lines)
    }
}

/// Where iterations and phases begin, but for the first.
fn borders(training: &Training) -> Vec<(f64, String)> {
    let labelled = training.borders.len() <= MOST_LABELS;
    let borders = training.borders.iter().skip(1);
    let name = |border: &Border| match &border.phase {
        _ if !labelled => String::new(),
        Some(phase) => format!("{} {phase}", border.iteration),
        None => border.iteration.to_string(),
    };
    borders
        .map(|border| (border.step as f64 + 0.5, name(border)))
        .collect()
}
