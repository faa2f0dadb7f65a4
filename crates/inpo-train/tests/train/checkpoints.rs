//! An optimisation that is cut off is resumed at its last checkpoint and ends as if it had not been.

use std::path::Path;

use inpo_train::{Observer, StepMetrics, TrainConfig, TrainError};

use crate::files::{Snapshot, assert_same_files, snapshot};
use crate::setup::{MODEL, config, load, rows, train};

/// Asks to stop after some steps of this process, and remembers what it is told.
#[derive(Default)]
struct Stopper {
    /// Steps of this process.
    steps: usize,
    stop_after: Option<usize>,
    resumed: Vec<usize>,
    notes: Vec<String>,
}

impl Stopper {
    fn after(steps: usize) -> Self {
        Self {
            stop_after: Some(steps),
            ..Self::default()
        }
    }
}

impl Observer for Stopper {
    fn step(&mut self, _: usize, _: &StepMetrics) {
        self.steps += 1;
    }

    fn resumed(&mut self, _: usize, [step, _]: [usize; 2]) {
        self.resumed.push(step);
    }

    fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }

    fn is_interrupted(&mut self) -> bool {
        self.stop_after == Some(self.steps)
    }
}

/// Ten steps, the last of each epoch smaller than the others, with a checkpoint after each third.
fn settings(dir: &Path, train: &str, lora: Option<&str>) -> TrainConfig {
    let mut config = config(dir, "out", &rows(9), "eta = 0.1");
    config.data.shuffle = true;
    config.common.policy.lora = lora.map(|text| toml::from_str(text).unwrap());
    config.common.train = toml::from_str(&format!(
        "learning_rate = 1e-2\nnum_train_epochs = 2.0\nper_device_train_batch_size = 1\n\
         gradient_accumulation_steps = 2\nsave_steps = 3\n{train}"
    ))
    .unwrap();
    config
}

/// Trains until the observer stops it, or to the end.
fn go_on(config: &TrainConfig, resume: bool, stopper: &mut Stopper) -> Result<(), TrainError> {
    train(config, load(MODEL), resume, stopper).map(drop)
}

#[track_caller]
fn stopped(config: &TrainConfig, resume: bool, after: usize) -> Stopper {
    let mut stopper = Stopper::after(after);
    let error = go_on(config, resume, &mut stopper).unwrap_err();
    assert!(matches!(error, TrainError::Interrupted { .. }), "{error}");
    assert!(!error.is_input());
    stopper
}

/// What a training leaves that nobody disturbed, in the directory of `config`, which is empty again afterwards.
fn undisturbed(config: &TrainConfig) -> Snapshot {
    go_on(config, false, &mut Stopper::default()).unwrap();
    let files = snapshot(&config.common.output_dir);
    std::fs::remove_dir_all(&config.common.output_dir).unwrap();
    files
}

fn checkpoints(root: &Path) -> Vec<String> {
    let names = std::fs::read_dir(root).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names
        .filter(|name| name.starts_with("checkpoint"))
        .collect();
    names.sort();
    names
}

/// Stopped after each step, or after some steps of each process, with each optimiser, all weights or adapters whose dropout
/// is drawn: the files are those of a training that nobody stopped, metrics and checkpoints included.
#[test]
fn stopped_anywhere_it_ends_with_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let lora = "rank = 2\nalpha = 4.0\ndropout = 0.3\n";
    for (optimiser, lora) in [
        ("", Some(lora)),
        ("", None),
        ("optim = 'sgd'\nmomentum = 0.9\n", None),
        ("optim = 'rmsprop'\nmomentum = 0.9\n", Some(lora)),
    ] {
        let config = settings(dir.path(), optimiser, lora);
        let root = &config.common.output_dir;
        let expected = undisturbed(&config);
        for after in [1, 4] {
            let what = format!("{optimiser:?}, {lora:?}, stopped after each {after} steps");
            let (mut done, mut resume) = (0, false);
            while done + after < 10 {
                let stopper = stopped(&config, resume, after);
                let from: &[usize] = if resume { &[done] } else { &[] };
                assert_eq!(stopper.resumed, from, "{what}");
                done += after;
                resume = true;
            }
            let mut last = Stopper::default();
            go_on(&config, true, &mut last).unwrap();
            assert_eq!(
                (last.resumed, last.steps),
                (vec![done], 10 - done),
                "{what}"
            );
            assert_same_files(&snapshot(root), &expected, &what);
            std::fs::remove_dir_all(root).unwrap();
        }
    }
}

/// A process that is killed between two checkpoints leaves the last one, whatever else it leaves: a checkpoint half written,
/// metrics of later steps. Checkpoints that are damaged or of another training are passed over, and said to be.
#[test]
fn it_resumes_at_the_last_whole_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let config = settings(dir.path(), "", Some("rank = 2\n"));
    let root = &config.common.output_dir;
    let expected = undisturbed(&config);
    let named = |step: usize| root.join(format!("checkpoint-{step:06}"));
    stopped(&config, false, 8);
    assert_eq!(
        checkpoints(root),
        [
            "checkpoint-000003",
            "checkpoint-000006",
            "checkpoint-000008"
        ]
    );
    // As if the process had been killed while it wrote the last.
    std::fs::rename(named(8), root.join("checkpoint.partial")).unwrap();
    let state = snapshot(root);
    let mut stopper = Stopper::default();
    go_on(&config, true, &mut stopper).unwrap();
    assert_eq!((stopper.resumed, stopper.notes), (vec![6], vec![]));
    assert_same_files(&snapshot(root), &expected, "killed");
    for file in [
        "optimizer.bpk",
        "adapter_model.safetensors",
        "trainer_state.json",
        "checkpoint.json",
    ] {
        for damage in ["cut", "gone"] {
            crate::files::restore(root, &state);
            let path = named(6).join(file);
            let bytes = std::fs::read(&path).unwrap();
            match damage {
                "cut" => std::fs::write(&path, &bytes[..bytes.len() - 3]).unwrap(),
                _ => std::fs::remove_file(&path).unwrap(),
            }
            let mut stopper = Stopper::default();
            let gone_on = go_on(&config, true, &mut stopper);
            if (file, damage) == ("checkpoint.json", "gone") {
                // It may be somebody else's.
                let error = gone_on.unwrap_err().to_string();
                assert!(
                    error.contains("checkpoint-000006: it has no checkpoint.json"),
                    "{error}"
                );
                assert!(named(6).join("optimizer.bpk").exists());
                continue;
            }
            gone_on.unwrap();
            let what = format!("{file} {damage}: {:?}", stopper.notes);
            assert_eq!(stopper.resumed, [3], "{what}");
            let [note] = &stopper.notes[..] else {
                panic!("{what}");
            };
            assert!(
                note.contains("checkpoint-000006") && note.ends_with(": removed"),
                "{note}"
            );
            assert_same_files(&snapshot(root), &expected, &what);
        }
    }
}

/// As in Hugging Face's Trainer: the oldest checkpoints go. How often a training is saved may change when it is resumed.
#[test]
fn the_latest_checkpoints_stay() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = settings(dir.path(), "save_total_limit = 2\n", None);
    let root = config.common.output_dir.clone();
    let expected = undisturbed(&config);
    stopped(&config, false, 7);
    // That of the stop comes on top, so that none goes which would have stayed.
    let names = [
        "checkpoint-000003",
        "checkpoint-000006",
        "checkpoint-000007",
    ];
    assert_eq!(checkpoints(&root), names);
    // Another trainer's is not touched.
    let other = root.join("checkpoint-3");
    std::fs::create_dir(&other).unwrap();
    go_on(&config, true, &mut Stopper::default()).unwrap();
    assert_eq!(
        checkpoints(&root),
        ["checkpoint-000006", "checkpoint-000009", "checkpoint-3"]
    );
    std::fs::remove_dir(other).unwrap();
    assert_same_files(&snapshot(&root), &expected, "stopped, with a limit");
    std::fs::remove_dir_all(&root).unwrap();
    stopped(&config, false, 7);
    config.common.train.save_steps = 4;
    config.common.train.save_total_limit = Some(1);
    let mut stopper = Stopper::default();
    go_on(&config, true, &mut stopper).unwrap();
    assert_eq!(stopper.resumed, [7]);
    assert_eq!(checkpoints(&root), ["checkpoint-000008"]);
    // A checkpoint is a policy, as `policy/` is.
    let weights = root.join("checkpoint-000008/model.safetensors");
    assert!(weights.exists());
    for (key, allowed) in [
        ("save_steps", "at least 1"),
        ("save_total_limit", "at least 1"),
    ] {
        let mut config = config.clone();
        config.common.train = toml::from_str(&format!("{key} = 0")).unwrap();
        let error = config.validate().unwrap_err().to_string();
        assert_eq!(error, format!("`train.{key}` is 0; allowed: {allowed}"));
    }
}
