//! Resumption, order, odd pairs.

use std::collections::BTreeSet;
use std::path::Path;

use burn::tensor::Device;
use inpo_policy::{Policy, Precision};
use inpo_train::{Models, Silent, TrainConfig, TrainError};
use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::files::{assert_same_files, damages, restore, snapshot};
use crate::setup::{
    MODEL, OTHER, close, columns, config, first_loss, fixture, json_of, load, logps, merge, row,
    rows, train,
};

/// Every file below `root` but its log of times, and trainer_state.json without times.
fn contents(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut dirs = vec![root.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            match name.as_str() {
                _ if path.is_dir() => dirs.push(path),
                "train.toml" | "manifest.json" | "metrics.jsonl" => {}
                "trainer_state.json" => {
                    let mut state = json_of(&path);
                    for row in state["log_history"].as_array_mut().unwrap() {
                        let row = row.as_object_mut().unwrap();
                        row.retain(|key, _| {
                            !key.starts_with("timing_s/") && !key.starts_with("perf/")
                        });
                    }
                    files.push((name, state.to_string().into_bytes()));
                }
                _ => files.push((name, std::fs::read(&path).unwrap())),
            }
        }
    }
    files.sort();
    files
}

#[track_caller]
fn assert_same(a: &Path, b: &Path) {
    let (a, b) = (contents(a), contents(b));
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|f| f.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&a), names(&b));
    let differ = a.iter().zip(&b).filter(|(x, y)| x.1 != y.1);
    let differ: Vec<&str> = differ.map(|(x, _)| x.0.as_str()).collect();
    assert!(differ.is_empty(), "{differ:?} differ");
}

/// Wherever a training is cut off, before, within or after the optimisation, going on writes the same bytes.
#[test]
fn a_resumed_training_repeats_the_uninterrupted_one() {
    let dir = tempfile::tempdir().unwrap();
    for lora in [false, true] {
        // 7 pairs in steps of 2: the last step of an epoch has one.
        let settings = |name: &str| {
            let mut config = config(dir.path(), name, &rows(7), "eta = 0.1");
            config.data.shuffle = true;
            config.common.train.per_device_train_batch_size = 1;
            config.common.train.num_train_epochs = 2.0;
            if lora {
                config.common.policy.lora =
                    Some(toml::from_str("rank = 2\nalpha = 4.0\n").unwrap());
            }
            config
        };
        let models = || Models {
            reference: Some(load(OTHER).into()),
            ..Models::from(load(MODEL))
        };
        let whole = settings(&format!("whole-{lora}"));
        let policy = train(&whole, models(), false, &mut Silent).unwrap();
        let steps =
            json_of(&whole.common.output_dir.join("trainer_state.json"))["global_step"].clone();
        assert_eq!(steps, 8);
        let before = &[
            "policy",
            "trainer_state.json",
            "metrics.jsonl",
            "anchors.safetensors",
        ][..];
        for (name, lost) in [
            ("early", &[&["train.toml"], before].concat()[..]),
            ("before", before),
            ("within", &before[..2]),
            ("saving", &["policy/.complete"]),
            ("after", &[]),
        ] {
            let config = settings(&format!("{name}-{lora}"));
            train(&config, models(), false, &mut Silent).unwrap();
            let root = &config.common.output_dir;
            for file in lost {
                let path = root.join(file);
                if path.is_dir() {
                    std::fs::remove_dir_all(path).unwrap()
                } else {
                    std::fs::remove_file(path).unwrap()
                }
            }
            if name == "within" {
                // Three whole lines and one that was cut off.
                let log = root.join("metrics.jsonl");
                let text = std::fs::read_to_string(&log).unwrap();
                let mut kept: Vec<&str> = text.lines().take(3).collect();
                kept.push("{\"step\": 4, \"lo");
                std::fs::write(&log, kept.join("\n")).unwrap();
            }
            let again = train(&config, models(), true, &mut Silent).unwrap();
            assert_same(root, &whole.common.output_dir);
            assert_eq!(logps(&again, 1), logps(&policy, 1), "{name}");
        }
    }
}

/// Whatever file of a finished training is damaged, asking for it again gives the same files, or an error that names the
/// file.
#[test]
fn a_damaged_training_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path(), "out", &rows(3), "eta = 0.1");
    config.common.train.num_train_epochs = 3.0;
    let root = config.common.output_dir.clone();
    let policy = train(&config, load(MODEL), false, &mut Silent).unwrap();
    let expected = snapshot(&root);
    let mut repaired = 0;
    for (path, bytes) in &expected {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        for (how, damaged) in damages(bytes) {
            if name == ".lock" {
                continue;
            }
            let what = format!("{name}, {how}");
            std::fs::write(path, damaged).unwrap();
            match train(&config, load(MODEL), true, &mut Silent) {
                Ok(again) => {
                    repaired += 1;
                    assert_same_files(&snapshot(&root), &expected, &what);
                    assert_eq!(logps(&again, 1), logps(&policy, 1), "{what}");
                }
                Err(error) => assert!(error.to_string().contains(&name), "{what}: {error}"),
            }
            restore(&root, &expected);
        }
    }
    assert!(repaired >= 20, "{repaired}");
}

/// What decides the losses must be the same when a training is resumed.
#[test]
fn a_training_is_not_resumed_on_other_data() {
    let dir = tempfile::tempdir().unwrap();
    let objective = "eta = 0.5\nlabel = 'soft'";
    let first = |p: f64, shift: f64| -> Vec<Value> {
        let labels = |i: usize| {
            let given = columns("ref", &load(OTHER), i, |sum, _| sum - shift);
            merge(row(i, json!({"probability": p})), given)
        };
        (0..3).map(labels).collect()
    };
    let models = |previous: Option<Policy>| Models {
        previous: previous.map(Into::into),
        ..Models::from(load(MODEL))
    };
    let go_on = |rows: &[Value], models: Models, resume| {
        let config = config(dir.path(), "out", rows, objective);
        train(&config, models, resume, &mut Silent)
    };
    go_on(&first(0.75, 0.0), models(None), false).unwrap();
    go_on(&first(0.75, 0.0), models(None), true).unwrap();
    let content = "other labels, other given log-probs or another policy that scores the pairs";
    let cases = [
        (first(0.5, 0.0), None, content),
        (first(0.75, 0.5), None, content),
        (first(0.75, 0.0)[..2].to_vec(), None, "other pairs"),
        (
            first(0.75, 0.0),
            Some(load(OTHER)),
            "other settings (`previous` was absent, is { model = \"another\" })",
        ),
    ];
    for (rows, previous, different) in cases {
        let error = go_on(&rows, models(previous), true)
            .unwrap_err()
            .to_string();
        let expected = format!(
            "{} was written with {different}",
            dir.path().join("out").display()
        );
        assert!(error.starts_with(&expected), "{error}");
    }
    let error = go_on(&first(0.75, 0.0), models(None), false).unwrap_err();
    assert!(matches!(error, TrainError::RunExists(_)), "{error}");
}

/// The settings that differ are named, with what they were and what they are; the device may be another one.
#[test]
fn a_changed_setting_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let go_on = |resume, change: &dyn Fn(&mut TrainConfig)| {
        let mut config = config(dir.path(), "out", &rows(3), "eta = 0.1");
        change(&mut config);
        train(&config, load(MODEL), resume, &mut Silent)
    };
    go_on(false, &|_| {}).unwrap();
    go_on(true, &|config| config.common.device = "tch".to_owned()).unwrap();
    let error = go_on(true, &|config| {
        config.common.train.learning_rate = 2e-3;
        config.common.policy.max_length = Some(64);
    });
    let error = error.unwrap_err();
    assert!(error.is_input());
    assert_eq!(
        error.to_string(),
        format!(
            "{} was written with other settings (`policy.max_length` was absent, is 64, `train.learning_rate` was \
             0.001, is 0.002); restore that, or choose another output_dir",
            dir.path().join("out").display()
        )
    );
}

/// A directory of a version that did not know some of the settings: they had the defaults that they have now.
#[test]
fn a_training_of_an_older_version_is_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path(), "out", &rows(3), "eta = 0.1");
    config.common.policy.lora = Some(toml::from_str("rank = 2\nalpha = 4.0\n").unwrap());
    let policy = train(&config, load(MODEL), false, &mut Silent).unwrap();
    let path = config.common.output_dir.join("train.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let new = [
        "dtype",
        "use_rslora",
        "dropout",
        "gradient_checkpointing",
        "optim",
        "momentum",
        "rmsprop_alpha",
        "sft_loss_coef",
    ];
    let is_new = |line: &&str| new.iter().any(|key| line.starts_with(&format!("{key} = ")));
    let (gone, kept): (Vec<&str>, Vec<&str>) = text.lines().partition(is_new);
    assert_eq!(gone.len(), new.len(), "{text}");
    std::fs::write(&path, kept.join("\n")).unwrap();
    std::fs::remove_dir_all(config.common.output_dir.join("policy")).unwrap();
    let again = train(&config, load(MODEL), true, &mut Silent).unwrap();
    assert_eq!(logps(&again, 1), logps(&policy, 1));

    config.common.train.gradient_checkpointing = true;
    let error = train(&config, load(MODEL), true, &mut Silent).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("`train.gradient_checkpointing` was false, is true"),
        "{error}"
    );
}

/// The float type that the policy computes in is part of what a cache of log-probs belongs to.
#[test]
fn anchors_say_what_they_were_computed_in() {
    let dir = tempfile::tempdir().unwrap();
    for (precision, dtype) in [(Precision::F32, "f32"), (Precision::Bf16, "bf16")] {
        let mut config = config(dir.path(), dtype, &rows(3), "eta = 0.1");
        config.common.policy.lora = Some(toml::from_str("rank = 2\nalpha = 4.0\n").unwrap());
        let policy = || Policy::load_in(&fixture(MODEL), &Device::flex(), precision).unwrap();
        train(&config, policy(), false, &mut Silent).unwrap();
        let root = &config.common.output_dir;
        let bytes = std::fs::read(root.join("anchors.safetensors")).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let said = &header.metadata().as_ref().unwrap()["inpo_anchors"];
        let said: Value = serde_json::from_str(said).unwrap();
        assert_eq!(said["dtype"], dtype);
        std::fs::remove_dir_all(root.join("policy")).unwrap();
        train(&config, policy(), true, &mut Silent).unwrap();
    }
}

/// With one pair a step and next to no step size, log-probs say which pair a step had.
#[test]
fn the_order_depends_on_the_seed_alone() {
    let dir = tempfile::tempdir().unwrap();
    let policy = load(MODEL);
    let of_pair: Vec<f64> = (0..7).map(|i| logps(&policy, i)[0]).collect();
    let order = |name: &str, seed: u64, change: &dyn Fn(&mut TrainConfig)| -> Vec<usize> {
        let mut config = config(dir.path(), name, &rows(7), "eta = 0.1");
        config.common.seed = seed;
        config.data.shuffle = true;
        config.common.train.learning_rate = 1e-12;
        config.common.train.per_device_train_batch_size = 1;
        config.common.train.gradient_accumulation_steps = 1;
        config.common.train.num_train_epochs = 2.0;
        change(&mut config);
        train(&config, policy.clone(), false, &mut Silent).unwrap();
        let state = json_of(&config.common.output_dir.join("trainer_state.json"));
        let history = state["log_history"].as_array().unwrap();
        let pair = |row: &Value| {
            let logp = row["logps/chosen"].as_f64().unwrap();
            of_pair
                .iter()
                .position(|of| (of - logp).abs() < 1e-3)
                .unwrap()
        };
        history.iter().map(pair).collect()
    };
    let first = order("a", 1, &|_| {});
    for epoch in first.chunks(7) {
        assert_eq!(
            BTreeSet::from_iter(epoch.iter().copied()).len(),
            7,
            "{first:?}"
        );
    }
    assert_ne!(first[..7], first[7..], "each epoch has its own order");
    assert_eq!(order("b", 1, &|_| {}), first);
    let other = |config: &mut TrainConfig| {
        config.common.train.learning_rate = 2e-12;
        config.common.objective.eta = Some(0.2);
        config.common.train.weight_decay = 0.1;
    };
    assert_eq!(order("c", 1, &other), first);
    let lora = |config: &mut TrainConfig| {
        config.common.policy.lora = Some(toml::from_str("rank = 2\nalpha = 4.0\n").unwrap());
    };
    assert_eq!(order("d", 1, &lora), first);
    assert_ne!(order("e", 2, &|_| {}), first);
    let given = order("f", 1, &|config| config.data.shuffle = false);
    assert_eq!(given, [0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6]);
}

/// Of one pair, of equal responses and of one token the loss is as of any other: (0 - 5)^2.
#[test]
fn odd_pairs_are_trained_on() {
    let odd = json!({"prompt_token_ids": [9], "chosen_token_ids": [2], "rejected_token_ids": [3]});
    let equal =
        json!({"prompt_token_ids": [9], "chosen_token_ids": [5, 6], "rejected_token_ids": [5, 6]});
    for rows in [
        vec![odd.clone()],
        vec![equal.clone()],
        vec![odd, equal, row(0, json!({}))],
    ] {
        close(first_loss(&rows, "eta = 0.1", load(MODEL)), 25.0, 1e-4);
    }
}
