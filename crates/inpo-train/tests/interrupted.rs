//! A run that is stopped at any moment, in any stage, ends as if nobody had stopped it.

mod common;

use std::path::Path;

use common::files::{Snapshot, assert_same_files, events, snapshot};
use common::{config, prepare, start};
use inpo_data::Prompt;
use inpo_policy::sample::DrawKey;
use inpo_policy::{
    Answers, BehaviourPolicy, Engine, GenerationConfig, LocalEngine, PolicyError, Sampler, Samples,
    SamplingCost, Sequence,
};
use inpo_train::config::ReportTo;
use inpo_train::{Observer, Players, RunConfig, Silent, StepMetrics, TrainError, run};

/// Asks to stop once so many units of work are done, steps or samples, and says in which stages it did.
struct Stopper {
    left: usize,
    stage: String,
}

impl Observer for Stopper {
    fn stage(&mut self, iteration: usize, name: &str, _: usize) {
        self.stage = format!("{name} {iteration}");
    }

    fn advance(&mut self, units: usize) {
        self.left = self.left.saturating_sub(units);
    }

    fn step(&mut self, _: usize, _: &StepMetrics) {
        self.left = self.left.saturating_sub(1);
    }

    fn is_interrupted(&mut self) -> bool {
        self.left == 0
    }
}

/// Samples each prompt by itself, as a server does, the last one first.
struct Single(Box<dyn Sampler>);

impl Sampler for Single {
    fn name(&self) -> String {
        self.0.name()
    }

    fn prepare(&self, prompt: &mut Prompt, config: &GenerationConfig) -> Result<(), PolicyError> {
        self.0.prepare(prompt, config)
    }

    fn sample(
        &self,
        prompts: &[Prompt],
        config: &GenerationConfig,
        draws: DrawKey,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Samples, PolicyError> {
        self.0.sample(prompts, config, draws, progress)
    }

    fn sample_each(
        &self,
        prompts: &[Prompt],
        config: &GenerationConfig,
        draws: DrawKey,
        progress: &mut dyn FnMut(usize),
        each: &mut dyn FnMut(usize, Result<Answers, PolicyError>) -> Result<(), PolicyError>,
    ) -> Result<Option<SamplingCost>, PolicyError> {
        for (place, prompt) in prompts.iter().enumerate().rev() {
            let prompt = std::slice::from_ref(prompt);
            let samples = self.0.sample(prompt, config, draws, progress)?;
            let completions = samples.completions.into_iter().flatten().collect();
            let answers = Answers {
                completions,
                ..Answers::default()
            };
            each(place, Ok(answers))?;
        }
        Ok(None)
    }

    fn logps(&self, sequences: &[Sequence]) -> Result<Vec<Vec<f64>>, PolicyError> {
        self.0.logps(sequences)
    }
}

struct Server;

impl Engine for Server {
    fn sampler(&self, policy: BehaviourPolicy) -> Result<Box<dyn Sampler>, PolicyError> {
        Ok(Box::new(Single(LocalEngine.sampler(policy)?)))
    }
}

fn play(
    config: &RunConfig,
    engine: &dyn Engine,
    dir: &Path,
    resume: bool,
    observer: &mut dyn Observer,
) -> Result<(), TrainError> {
    let device = burn::tensor::Device::flex();
    let oracle = config.init_oracle(&device, |name| Ok::<_, PolicyError>(name.into()))?;
    let mut players = Players::new(start(dir), &oracle);
    players.engine = engine;
    run(config, players, resume, observer).map(drop)
}

/// Resumes a run until it is done, stopping it after each `units`; returns where it was stopped.
fn with_stops(config: &RunConfig, engine: &dyn Engine, dir: &Path, units: usize) -> Vec<String> {
    let mut stops = Vec::new();
    loop {
        let mut stopper = Stopper {
            left: units,
            stage: String::new(),
        };
        match play(config, engine, dir, !stops.is_empty(), &mut stopper) {
            Ok(()) => return stops,
            Err(TrainError::Interrupted { at }) => stops.push(format!("{}: {at}", stopper.stage)),
            Err(error) => panic!("after {stops:?}: {error}"),
        }
        assert!(stops.len() < 200, "it does not get on: {}", stops[199]);
    }
}

/// Rounds of two prompts, or each prompt for itself; adapters, or all weights; stopped after a few units of work, in the
/// middle of a stage or at its end: every file is what it is without stops, but for times.
#[test]
fn a_run_that_is_stopped_anywhere_ends_with_the_same_files() {
    let dir = prepare();
    let engines: [(&str, &dyn Engine); 2] = [("local", &LocalEngine), ("server", &Server)];
    for (name, engine) in engines {
        let mut config = config(dir.path(), "out");
        config.generation.max_num_seqs = 2;
        config.common.train.save_steps = 3;
        config.common.train.report_to = ReportTo::TensorBoard;
        if name == "server" {
            config.common.policy.lora = None;
        }
        let root = config.common.output_dir.clone();
        play(&config, engine, dir.path(), false, &mut Silent).unwrap();
        let expected: Snapshot = snapshot(&root);
        for units in [1, 10] {
            std::fs::remove_dir_all(&root).unwrap();
            let stops = with_stops(&config, engine, dir.path(), units);
            let what = format!("{name}, {units}: {stops:#?}");
            for inside in [
                "generate 1: 2 of 8 prompts of generate of iteration 1",
                "optimise 2: step 1 of",
                "evaluate 2: 4 of 5 prompts",
            ] {
                let found = stops.iter().any(|stop| stop.starts_with(inside));
                assert!(found || units > 1 || name == "server", "{inside} in {what}");
            }
            assert_same_files(&snapshot(&root), &expected, &what);
        }
        std::fs::remove_dir_all(&root).unwrap();
    }
}

/// Dies in a step.
struct Dying(usize);

impl Observer for Dying {
    fn step(&mut self, _: usize, metrics: &StepMetrics) {
        assert!(metrics.progress.step < self.0, "it dies");
    }
}

/// Asks for the tokens and seconds that the rates are computed from.
#[derive(Default)]
struct Timed(Vec<[usize; 3]>);

impl Observer for Timed {
    fn step(&mut self, _: usize, metrics: &StepMetrics) {
        let progress = &metrics.progress;
        let [all, timed] = [progress.tokens_before, progress.timed_tokens_before];
        assert_eq!(timed == 0, progress.seconds_before == 0.0);
        self.0.push([progress.step, all, timed]);
    }
}

/// What was logged behind the last checkpoint is forgotten, in the event file too, and no rate counts what an earlier process
/// did.
#[test]
fn a_run_that_dies_between_two_checkpoints_has_each_step_once() {
    let dir = prepare();
    let mut config = config(dir.path(), "out");
    config.iteration.num_iterations = 1;
    config.data.eval_prompts = None;
    config.eval = Default::default();
    let train = &mut config.common.train;
    (train.save_steps, train.max_steps) = (2, Some(5));
    train.report_to = ReportTo::TensorBoard;
    let root = config.common.output_dir.clone();
    let mut whole = Timed::default();
    play(&config, &LocalEngine, dir.path(), false, &mut whole).unwrap();
    let expected = snapshot(&root);
    std::fs::remove_dir_all(&root).unwrap();
    let died =
        std::panic::catch_unwind(|| play(&config, &LocalEngine, dir.path(), false, &mut Dying(4)));
    assert!(died.is_err());
    let path = root.join("runs/events.out.tfevents.inpo");
    let steps = || {
        let events = events(&std::fs::read(&path).unwrap()).into_iter();
        let of_steps =
            events.filter(|(_, scalars)| scalars.iter().any(|(tag, _)| tag == "train/loss"));
        of_steps.map(|(step, _)| step).collect::<Vec<_>>()
    };
    assert_eq!(steps(), [1, 2, 3]);
    let mut resumed = Timed::default();
    play(&config, &LocalEngine, dir.path(), true, &mut resumed).unwrap();
    assert_eq!(steps(), [1, 2, 3, 4, 5]);
    assert_same_files(&snapshot(&root), &expected, "resumed");
    let before = whole.0[2][1];
    let of_process = |&[step, all, _]: &[usize; 3]| [step, all, all - before];
    let expected: Vec<_> = whole.0[2..].iter().map(of_process).collect();
    assert_eq!(resumed.0, expected);
}

/// Rows that were kept of another policy, or are damaged, are sampled again.
#[test]
fn rows_of_another_policy_are_not_kept() {
    let dir = prepare();
    let mut config = config(dir.path(), "out");
    config.generation.max_num_seqs = 2;
    let root = config.common.output_dir.clone();
    play(&config, &LocalEngine, dir.path(), false, &mut Silent).unwrap();
    let expected = snapshot(&root);
    std::fs::remove_dir_all(&root).unwrap();
    let kept = root.join("iteration-0001/responses.partial.jsonl");
    // Iteration 0 has 10 samples of 5 held-out prompts and 5 comparisons of them; a round has 8 samples.
    let mut stopper = Stopper {
        left: 16,
        stage: String::new(),
    };
    let error = play(&config, &LocalEngine, dir.path(), false, &mut stopper).unwrap_err();
    assert!(
        error.to_string().contains("generate of iteration 1"),
        "{error}"
    );
    let text = std::fs::read_to_string(&kept).unwrap();
    assert_eq!(text.lines().count(), 2);
    let mut made_from = text.clone();
    made_from.replace_range(60..61, if &text[60..61] == "0" { "1" } else { "0" });
    for other in [made_from, text.replace("\"rows\":[[0,", "\"rows\":[[7,")] {
        assert_ne!(other, text);
        std::fs::write(&kept, other).unwrap();
        let mut stopper = Stopper {
            left: 1,
            stage: String::new(),
        };
        let error = play(&config, &LocalEngine, dir.path(), true, &mut stopper).unwrap_err();
        assert!(
            error.to_string().contains("after 2 of 8 prompts"),
            "{error}"
        );
        assert_eq!(std::fs::read_to_string(&kept).unwrap().lines().count(), 2);
    }
    play(&config, &LocalEngine, dir.path(), true, &mut Silent).unwrap();
    assert_same_files(&snapshot(&root), &expected, "resumed");
}
