//! The report on a run: one page that says which policy to ship, how good it is, and how far that can be believed.
//!
//! [`RunReport::read`] collects the data from the run's directory, finished or not: what is missing or damaged is said in its
//! place. [`RunReport::to_html`] and [`Comparison::to_html`] make pages of it that need nothing else: no network, no script.

mod comparison;
mod figure;
mod files;
mod html;
mod plots;
mod samples;
mod settings;
mod training;
mod warnings;

use std::path::Path;

use inpo_data::DataError;
use inpo_data::input;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::empirical::EmpiricalGameReport;
use crate::evaluation::Evaluation;
use crate::report::{Recommendation, RunEvaluation, iteration_name};
use files::RunFiles;

pub use comparison::Comparison;
pub use files::{Missing, Section};
pub use samples::{FIRST_PROMPTS, Response, Sample, Samples};
pub use settings::{Difference, Setting};
pub use training::{Border, Curve, Line, MOST_POINTS, StageMetrics, Timing, Training};
pub use warnings::{
    CUT_OFF, CYCLES, DROPPED, FEW_PROMPTS, FIRST_POSITION, HELD_OUT_FALL, INVALID, LENGTH_GROWTH,
    ORDER_INCONSISTENCY, Warning,
};

/// The page of a run, inside of its directory.
pub const REPORT: &str = "report.html";

/// The data of a run's report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunReport {
    /// The run's directory, as it was named.
    pub run: String,
    /// What was trained from what, by which method and judge.
    pub summary: Summary,
    /// Which policy to ship, once the run was evaluated.
    pub recommendation: Option<Recommendation>,
    /// Confidence of the intervals.
    pub confidence: f64,
    /// Each policy by itself; iteration 0 is the reference.
    pub iterations: Vec<Evaluation>,
    /// The game among all players.
    pub game: Option<EmpiricalGameReport>,
    /// The curves of the training, and what its other stages logged.
    pub training: Training,
    /// Responses side by side.
    pub samples: Option<Samples>,
    /// What to be careful about.
    pub warnings: Vec<Warning>,
    /// The settings of the run.
    pub settings: Vec<Setting>,
    /// Versions and digests: the manifest without its stages.
    pub manifest: Map<String, Value>,
    /// How to run it again.
    pub command: String,
    /// What the report cannot show.
    pub missing: Vec<Missing>,
}

/// What was trained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The model, as it was named.
    pub model: Option<String>,
    /// The reference, where it is another model.
    pub reference: Option<String>,
    /// The method.
    pub method: Option<String>,
    /// The judge, with its parameters.
    pub judge: Option<String>,
    /// The kind of the second, held-out judge, which does not train.
    pub held_out_judge: Option<String>,
    /// Iterations whose policies are trained.
    pub iterations_done: usize,
    /// Iterations that the settings ask for.
    pub iterations_planned: Option<usize>,
    /// Whether the run came to its end.
    pub is_finished: bool,
}

/// The kinds of runs, by their settings' files, each with its command.
const KINDS: [(&str, &str); 2] = [("run.toml", "run"), ("train.toml", "train")];

impl RunReport {
    /// Reads the run, or the training on given pairs, in a directory. What is missing or damaged becomes one of
    /// [`RunReport::missing`].
    ///
    /// # Errors
    ///
    /// A directory that holds no run.
    pub fn read(root: &Path) -> Result<Self, DataError> {
        let is_there = |file: &str| root.join(file).is_file();
        let kind = KINDS.into_iter().find(|(file, _)| is_there(file));
        let Some((settings_file, command)) = kind else {
            let path = root.join(KINDS[0].0);
            let absent = std::io::Error::from(std::io::ErrorKind::NotFound);
            let error = input::read_text(&path).err().unwrap_or(absent);
            return Err(DataError::read(&path)(error));
        };
        let mut files = RunFiles::new(root);
        let settings = read_settings(&mut files, settings_file);
        let mut manifest: Map<String, Value> = files
            .json(
                Section::Settings,
                "manifest.json",
                "the run refuses to go on",
            )
            .unwrap_or_default();
        for key in ["stages", "sha256"] {
            manifest.shift_remove(key);
        }
        let summary = summary(&files, &settings, &manifest, command);
        let mut report = Self {
            run: root.display().to_string(),
            confidence: 0.95,
            recommendation: None,
            iterations: Vec::new(),
            game: None,
            training: Training::new(&files.metrics()),
            samples: None,
            warnings: Vec::new(),
            command: format!(
                "inpo {command} --config {} --set output_dir=ANOTHER_DIRECTORY",
                settings::quoted(&files.path(settings_file).display().to_string())
            ),
            manifest,
            settings: settings.as_ref().map(settings::flat).unwrap_or_default(),
            missing: Vec::new(),
            summary,
        };
        report.take_evaluation(&mut files, settings.as_ref(), command);
        let shipped = report.recommendation.as_ref().map(|r| r.player.as_str());
        let last = report.iterations.last().map_or(0, |last| last.iteration);
        report.samples = Samples::read(&mut files, shipped, last);
        if report.samples.is_none() && last > 0 {
            let sentence = "The held-out responses (eval_responses.jsonl) are not there.";
            files.lacks(Section::Samples, sentence);
        }
        report.missing = files.missing;
        report.warnings = warnings::warnings(&report);
        Ok(report)
    }

    /// Takes `evaluation.json`, or, as far as it goes, what each iteration wrote.
    fn take_evaluation(
        &mut self,
        files: &mut RunFiles,
        settings: Option<&toml::Table>,
        command: &str,
    ) {
        let section = |name: &str| settings.and_then(|table| table.get(name)?.as_table());
        if let Some(confidence) =
            section("eval").and_then(|eval| eval.get("confidence")?.as_float())
        {
            self.confidence = confidence;
        }
        let again = format!("`inpo eval --run {}` writes it again", self.run);
        let whole: Option<RunEvaluation> =
            files.json(Section::Evaluation, "evaluation.json", &again);
        if let Some(whole) = whole {
            self.recommendation = Some(whole.recommendation);
            self.confidence = whole.confidence;
            self.iterations = whole.iterations;
            match whole.game {
                Some(game) if game.is_whole() => self.game = Some(game),
                Some(_) => {
                    let sentence = format!("The game in evaluation.json is damaged: {again}.");
                    files.lacks(Section::Game, sentence);
                }
                None => {
                    let sentence = "No empirical game was played: eval.empirical_game is off.";
                    files.lacks(Section::Game, sentence);
                }
            }
            return;
        }
        for t in 0.. {
            let name = format!("iteration-{t:04}/eval.json");
            let Some(evaluation) = files.json(
                Section::Evaluation,
                &name,
                "the run's `--resume` repairs it",
            ) else {
                break;
            };
            self.iterations.push(evaluation);
        }
        let no_prompts = section("data").is_some_and(|data| !data.contains_key("eval_prompts"));
        let why = match (command, no_prompts, self.iterations.is_empty()) {
            ("train", ..) => "A training on given pairs evaluates nothing.".to_owned(),
            (_, true, _) => "The run has no held-out prompts: name their file in data.eval_prompts to have its policies \
                             evaluated."
                .to_owned(),
            (_, _, true) => "No policy is evaluated yet.".to_owned(),
            _ => format!(
                "evaluation.json is not there, which a run writes at its end; `inpo eval --run {}` evaluates what is there.",
                self.run
            ),
        };
        files.lacks(Section::Answer, &why);
        files.lacks(Section::Game, &why);
        if self.iterations.is_empty() {
            files.lacks(Section::Evaluation, &why);
            files.lacks(Section::Samples, why);
        }
    }

    /// The evaluation of the policy to ship, where it is the reference or an iteration.
    #[must_use]
    pub fn shipped(&self) -> Option<&Evaluation> {
        let name = &self.recommendation.as_ref()?.player;
        let mut iterations = self.iterations.iter();
        iterations.find(|evaluation| iteration_name(evaluation.iteration) == *name)
    }
}

fn read_settings(files: &mut RunFiles, name: &str) -> Option<toml::Table> {
    let text = files.text(Section::Settings, name)?;
    match text.parse() {
        Ok(table) => Some(table),
        Err(error) => {
            let error: toml::de::Error = error;
            files.lacks(
                Section::Settings,
                format!("{name} is damaged: {}.", error.message()),
            );
            None
        }
    }
}

fn summary(
    files: &RunFiles,
    settings: &Option<toml::Table>,
    manifest: &Map<String, Value>,
    command: &str,
) -> Summary {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let setting = |section: &str, key: &str| settings.as_ref()?.get(section)?.get(key);
    let planned = match command {
        "train" => Some(1),
        _ => setting("iteration", "num_iterations")
            .and_then(toml::Value::as_integer)
            .and_then(|count| usize::try_from(count).ok()),
    };
    let is_trained = |t: usize| match command {
        "train" => t == 1 && files.has("policy/.complete"),
        _ => files.has(&format!("iteration-{t:04}/policy/.complete")),
    };
    Summary {
        model: text(manifest.get("model")),
        reference: text(manifest.get("reference")),
        method: text(manifest.get("objective").and_then(|o| o.get("algorithm"))),
        judge: text(manifest.get("oracle")),
        held_out_judge: setting("eval", "oracle")
            .and_then(|oracle| Some(oracle.get("kind")?.as_str()?.to_owned())),
        iterations_done: (1..).take_while(|&t| is_trained(t)).count(),
        iterations_planned: planned,
        is_finished: files.has("trainer_state.json"),
    }
}
