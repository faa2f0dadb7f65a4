//! The report as a page that needs nothing else.

use inpo_data::printable_lines;
use minijinja::{Environment, UndefinedBehavior, Value as Shown, context};
use serde_json::{Map, Value};

use super::RunReport;
use super::comparison::Comparison;
use super::figure::{Figure, Plot};
use super::samples::FIRST_PROMPTS;
use super::settings::Setting;
use super::training::MOST_POINTS;
use crate::empirical::EmpiricalGameReport;

/// The most cycles of the empirical game that are told in words.
const MOST_CYCLES: usize = 5;

impl RunReport {
    /// The page of the run: HTML with everything in it, without a script.
    ///
    /// Text of models and of files stands in it escaped; control characters, and characters that turn the direction of text,
    /// are shown as in Rust.
    #[must_use]
    pub fn to_html(&self) -> String {
        let report = safe(serde_json::json!(self));
        // Of the reference against itself nothing is to be learned.
        let shipped = self.shipped().filter(|shipped| shipped.iteration > 0);
        let figures: Vec<Figure> = self.curves().into_iter().filter_map(Plot::draw).collect();
        let measures = self.measures().into_iter().filter_map(Plot::draw);
        render(
            "run.html",
            context! {
                report,
                shipped => safe(serde_json::json!(shipped.or(self.iterations.last()))),
                is_shipped => shipped.is_some(),
                measures => safe(serde_json::json!(measures.collect::<Vec<_>>())),
                curves => safe(serde_json::json!(figures)),
                most_points => MOST_POINTS,
                first_prompts => FIRST_PROMPTS,
                cycles => safe(serde_json::json!(self.game.as_ref().map(cycles))),
                manifest => safe(serde_json::json!(flat(&self.manifest))),
            },
        )
    }
}

impl Comparison {
    /// The page that sets the runs side by side, as [`RunReport::to_html`].
    #[must_use]
    pub fn to_html(&self) -> String {
        let figures = self.figures().into_iter().filter_map(Plot::draw);
        let finals: Vec<_> = self.runs.iter().map(|run| run.iterations.last()).collect();
        let shipped: Vec<_> = self.runs.iter().map(RunReport::shipped).collect();
        render(
            "comparison.html",
            context! {
                comparison => safe(serde_json::json!(self)),
                finals => safe(serde_json::json!(finals)),
                shipped => safe(serde_json::json!(shipped)),
                figures => safe(serde_json::json!(figures.collect::<Vec<_>>())),
                cautions => self.cautions(),
                most_points => MOST_POINTS,
            },
        )
    }

    /// Why measures of these runs may mean other things.
    fn cautions(&self) -> Vec<&'static str> {
        let differ = |of: &dyn Fn(&RunReport) -> Option<String>| {
            let values: Vec<Option<String>> = self.runs.iter().map(of).collect();
            values.iter().any(|value| *value != values[0])
        };
        let setting = |run: &RunReport, key: &str| {
            let mut settings = run.settings.iter();
            settings.find(|s| s.key == key).map(|s| s.value.clone())
        };
        let input = |run: &RunReport, key: &str| {
            let inputs = run.manifest.get("inputs")?.get(key)?;
            Some(inputs.to_string())
        };
        let mut cautions = Vec::new();
        if differ(&|run| run.summary.judge.clone()) {
            cautions
                .push("The runs have different judges: their win rates are of different games.");
        }
        if differ(&|run| setting(run, "data.eval_prompts"))
            || differ(&|run| setting(run, "eval.num_prompts"))
            || differ(&|run| input(run, "prompts"))
        {
            cautions.push(
                "The runs have different prompts: their win rates are of different questions.",
            );
        }
        if differ(&|run| input(run, "reference")) {
            cautions
                .push("The runs have different references: a win rate is against the run's own.");
        }
        cautions
    }
}

/// The cycles of three players, in words.
fn cycles(game: &EmpiricalGameReport) -> Vec<String> {
    let beats = |i: usize, j: usize| game.preferences[i][j] > 0.5;
    let count = game.players.len();
    let mut told = Vec::new();
    for i in 0..count {
        for (j, k) in (i + 1..count).flat_map(|j| (i + 1..count).map(move |k| (j, k))) {
            if j != k && beats(i, j) && beats(j, k) && beats(k, i) {
                let step = |a: usize, b: usize| {
                    let rate = 100.0 * game.preferences[a][b];
                    format!("{} ({rate:.1} %)", game.players[b].name)
                };
                told.push(format!(
                    "{} beats {}, which beats {}, which beats {}",
                    game.players[i].name,
                    step(i, j),
                    step(j, k),
                    step(k, i)
                ));
            }
        }
    }
    told.truncate(MOST_CYCLES);
    told
}

/// The entries of a JSON object and of those inside of it, by their keys.
fn flat(object: &Map<String, Value>) -> Vec<Setting> {
    let mut entries = Vec::new();
    for (key, value) in object {
        match value {
            Value::Object(inner) => entries.extend(flat(inner).into_iter().map(|entry| Setting {
                key: format!("{key}.{}", entry.key),
                ..entry
            })),
            Value::Null => {}
            Value::String(text) => entries.push(Setting {
                key: key.clone(),
                value: text.clone(),
            }),
            value => entries.push(Setting {
                key: key.clone(),
                value: value.to_string(),
            }),
        }
    }
    entries
}

/// The value with all texts safe to show: no control characters, none that turn the direction of text.
fn safe(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(printable_lines(&text)),
        Value::Array(values) => Value::Array(values.into_iter().map(safe).collect()),
        Value::Object(entries) => {
            let entries = entries.into_iter();
            Value::Object(
                entries
                    .map(|(key, value)| (printable_lines(&key), safe(value)))
                    .collect(),
            )
        }
        value => value,
    }
}

fn render(name: &str, context: Shown) -> String {
    let mut environment = Environment::new();
    let templates = [
        ("style.css", include_str!("templates/style.css")),
        ("base.html", include_str!("templates/base.html")),
        ("parts.html", include_str!("templates/parts.html")),
        ("run.html", include_str!("templates/run.html")),
        ("comparison.html", include_str!("templates/comparison.html")),
    ];
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.add_filter("shown", shown);
    environment.add_filter("duration", duration);
    for (name, source) in templates {
        let added = environment.add_template(name, source);
        added.expect("the template is part of the program");
    }
    let template = environment.get_template(name);
    let template = template.expect("the template is part of the program");
    let html = template.render(context);
    html.expect("the template takes whatever a report holds")
}

/// A number for people: a share in per cent, a difference of shares in points with its sign, else three digits. What is no number
/// stays as it is.
fn shown(value: &Shown, unit: &str) -> String {
    let Some(number) = number(value) else {
        return value.to_string();
    };
    match unit {
        "share" => format!("{:.1}\u{a0}%", 100.0 * number),
        "points" => format!("{:+.1}", 100.0 * number),
        _ if number == 0.0 => "0".to_owned(),
        _ if number.fract() == 0.0 && number.abs() < 1e15 => format!("{number}"),
        _ if !(1e-3..1e6).contains(&number.abs()) => format!("{number:.2e}"),
        _ => {
            let digits = (2 - number.abs().log10().floor() as i32).clamp(0, 6);
            format!("{number:.*}", digits as usize)
        }
    }
}

/// Seconds in words.
fn duration(value: &Shown) -> String {
    match number(value) {
        None => value.to_string(),
        Some(seconds) if seconds < 1.0 => format!("{:.0} ms", 1000.0 * seconds),
        Some(seconds) if seconds < 100.0 => format!("{seconds:.1} s"),
        Some(seconds) if seconds < 6000.0 => {
            format!(
                "{:.0} min {:02.0} s",
                (seconds / 60.0).floor(),
                seconds % 60.0
            )
        }
        Some(seconds) => format!(
            "{:.0} h {:02.0} min",
            (seconds / 3600.0).floor(),
            (seconds % 3600.0 / 60.0).floor()
        ),
    }
}

fn number(value: &Shown) -> Option<f64> {
    value
        .is_number()
        .then(|| f64::try_from(value.clone()).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        let shown = |value: f64, unit: &str| shown(&Shown::from(value), unit);
        assert_eq!(shown(0.58333, "share"), "58.3\u{a0}%");
        assert_eq!(shown(-0.004, "points"), "-0.4");
        let plain = [0.0, 25.0, 0.81131, 19.125, 183.06, 5e-7, 2.34e7].map(|x| shown(x, "plain"));
        assert_eq!(
            plain,
            ["0", "25", "0.811", "19.1", "183", "5.00e-7", "23400000"]
        );
        let duration = [0.0234, 2.44, 125.0, 7384.0].map(|x| duration(&Shown::from(x)));
        assert_eq!(duration, ["23 ms", "2.4 s", "2 min 05 s", "2 h 03 min"]);
        assert_eq!(super::shown(&Shown::from("<b>"), "share"), "<b>");
    }
}
