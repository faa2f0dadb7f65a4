//! A finished or killed run of which something is lost or changed: going on gives the bytes of the undisturbed run, or says
//! which file is at fault.

mod common;

use std::path::{Path, PathBuf};

use common::files::{
    Notes, Snapshot, assert_same_files, damages, events, forget_digests, restore, snapshot,
};
use common::{assert_same, config, contents, metrics, prepare, run, start};
use inpo_data::{Completion, Prompt};
use inpo_game::{FnOracle, OracleError};
use inpo_policy::Policy;
use inpo_train::config::ReportTo;
use inpo_train::{Observer, Players, RunConfig, Silent, StepMetrics};

/// Two iterations of four prompts, an evaluation on three.
fn small(dir: &Path) -> RunConfig {
    let mut config = config(dir, "run");
    config.iteration.prompts_per_iteration = Some(4);
    config.generation.max_new_tokens = 6;
    config.generation.num_generations = 2;
    config.eval.num_prompts = Some(3);
    config
}

/// Damages each file in several ways.
#[test]
fn whatever_is_damaged_comes_out_as_it_was_or_is_named() {
    let dir = prepare();
    let (config, policy) = (small(dir.path()), start(dir.path()));
    let root = &config.common.output_dir;
    let whole = run(&config, policy.clone(), false, &mut Silent).unwrap();
    let expected = snapshot(root);
    let (mut repaired, mut refused) = (0, 0);
    for (path, bytes) in &expected {
        let name = path.strip_prefix(root).unwrap().display().to_string();
        if name == ".lock" {
            continue;
        }
        for (how, damaged) in damages(bytes) {
            let what = format!("{name}, {how}");
            std::fs::write(path, damaged).unwrap();
            let mut notes = Notes::default();
            match run(&config, policy.clone(), true, &mut notes) {
                Ok(evaluations) => {
                    repaired += 1;
                    assert_eq!(evaluations, whole, "{what}");
                    assert_same_files(&snapshot(root), &expected, &what);
                    let noted = notes.0.iter().any(|note| note.contains(&name));
                    assert!(
                        noted || name == "trainer_state.json",
                        "{what}: {:?}",
                        notes.0
                    );
                }
                Err(error) => {
                    refused += 1;
                    assert!(error.to_string().contains(&name), "{what}: {error}");
                }
            }
            restore(root, &expected);
        }
    }
    // The manifest alone cannot be made again.
    assert!(repaired >= 80 && refused <= 5, "{repaired}, {refused}");

    // With its copy lost too, a log is not made up.
    for file in ["metrics.jsonl", "trainer_state.json"] {
        std::fs::write(root.join(file), "{}\n").unwrap();
    }
    let error = run(&config, policy.clone(), true, &mut Silent).unwrap_err();
    assert!(error.is_input());
    assert!(
        error
            .to_string()
            .contains("metrics.jsonl: the rows of the stage that wrote iteration-0000/eval"),
        "{error}"
    );
    restore(root, &expected);

    // What a run did not write is not mixed with what it wrote.
    for name in [
        "iteration-0002/policy/model.safetensors",
        "iteration-0003/responses.jsonl",
    ] {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "foreign").unwrap();
        let error = run(&config, policy.clone(), true, &mut Silent).unwrap_err();
        let words = format!("{} holds {name}, which is not of this run;", root.display());
        assert!(error.to_string().starts_with(&words), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"foreign");
        restore(root, &expected);
    }

    // Nothing is known of the files of an earlier release, and they are taken as they are.
    forget_digests(root);
    let mut notes = Notes::default();
    assert_eq!(run(&config, policy, true, &mut notes).unwrap(), whole);
    let note = format!(
        "nothing in {} was checked: it is of an earlier release",
        root.display()
    );
    assert!(notes.0[0].starts_with(&note), "{:?}", notes.0);
}

/// Copies the directory whenever it is told of something.
struct Watcher {
    root: PathBuf,
    seen: Vec<Snapshot>,
}

impl Watcher {
    fn look(&mut self) {
        let now = snapshot(&self.root);
        if self.seen.last() != Some(&now) {
            self.seen.push(now);
        }
    }
}

impl Observer for Watcher {
    fn stage(&mut self, _: usize, _: &str, _: usize) {
        self.look();
    }

    fn advance(&mut self, _: usize) {
        self.look();
    }

    fn step(&mut self, _: usize, _: &StepMetrics) {
        self.look();
    }

    fn evaluated(&mut self, _: &inpo_eval::Evaluation) {
        self.look();
    }
}

/// A process may end in the middle of a stage, between the digest of a stage and its file, while a policy is written, and
/// before the directory is claimed.
#[test]
fn a_killed_run_goes_on_from_any_point() {
    let dir = prepare();
    let (config, policy) = (small(dir.path()), start(dir.path()));
    let root = &config.common.output_dir;
    let mut watcher = Watcher {
        root: root.clone(),
        seen: Vec::new(),
    };
    let whole = run(&config, policy.clone(), false, &mut watcher).unwrap();
    let expected = snapshot(root);
    assert!(watcher.seen.len() > 10, "{}", watcher.seen.len());
    let goes_on = |killed: &Snapshot, resume: bool, what: &str| {
        restore(root, killed);
        let mut notes = Notes::default();
        let evaluations = run(&config, policy.clone(), resume, &mut notes).unwrap();
        assert_eq!(evaluations, whole, "{what}");
        assert_same_files(&snapshot(root), &expected, what);
        notes.0
    };
    for (number, killed) in watcher.seen.iter().enumerate() {
        let notes = goes_on(killed, true, &format!("at {number}"));
        assert_eq!(notes, [""; 0], "at {number}");
        // The digest was written and the file not yet.
        let manifest: serde_json::Value =
            serde_json::from_slice(&killed[&root.join("manifest.json")]).unwrap();
        let Some(last) = manifest["stages"].as_array().unwrap().last() else {
            continue;
        };
        let mut killed = killed.clone();
        for name in last["files"].as_object().unwrap().keys() {
            killed.remove(&root.join(name)).unwrap();
        }
        if last["stage"] == "train" {
            let partial = format!(
                "iteration-000{}/policy.partial/config.json",
                last["iteration"]
            );
            killed.insert(root.join(partial), b"{}".to_vec());
        }
        let notes = goes_on(&killed, true, &format!("within {number}"));
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(
            notes[0].ends_with("is missing: computed again"),
            "{notes:?}"
        );
    }
    for files in [&["manifest.json"][..], &["manifest.json", "metrics.jsonl"]] {
        let mut killed = Snapshot::new();
        for file in files {
            let path = root.join(file);
            let is_manifest = *file == "manifest.json";
            let bytes = if is_manifest {
                expected[&path].clone()
            } else {
                Vec::new()
            };
            killed.insert(path, bytes);
        }
        for resume in [false, true] {
            goes_on(&killed, resume, &format!("{files:?}"));
        }
    }
}

/// Where an oracle answers otherwise than before, what was made from its answers is made again: the outcome is that of a run
/// under the new answers.
#[test]
fn what_comes_out_otherwise_takes_later_stages_with_it() {
    let dir = prepare();
    let mut config = small(dir.path());
    config.common.train.report_to = ReportTo::TensorBoard;
    let (of_eval, of_pairs) = (
        "iteration-0000/eval_preferences.jsonl",
        "iteration-0001/preferences.jsonl",
    );
    // All answers about iteration 0 are ties.
    damage_answers(&config, start(dir.path()), &[of_pairs]);
    std::fs::remove_dir_all(&config.common.output_dir).unwrap();
    config.generation.max_new_tokens = 16;
    (config.eval.num_prompts, config.eval.num_generations) = (None, 8);
    damage_answers(&config, start(dir.path()), &[of_eval, of_pairs]);
}

fn damage_answers(config: &RunConfig, policy: Policy, damaged: &[&str]) {
    let root = &config.common.output_dir;
    let files = || {
        let mut files = contents(root);
        files.retain(|(name, _)| !name.starts_with("runs/"));
        files
    };
    let go = |sign: i64, policy: Policy, resume: bool, observer: &mut dyn Observer| {
        let oracle = FnOracle::new(
            "length",
            move |_: &Prompt, a: &Completion, b: &Completion| {
                let length = |c: &Completion| c.token_ids.as_ref().unwrap().len() as i64;
                match (sign * (length(a) - length(b))).signum() {
                    1 => 1.0,
                    0 => 0.5,
                    _ => 0.0,
                }
            },
        );
        inpo_train::run(config, Players::new(policy, &oracle), resume, observer)
    };
    go(-1, policy.clone(), false, &mut Silent).unwrap();
    let expected = files();
    let rows = metrics(root);
    std::fs::remove_dir_all(root).unwrap();

    go(1, policy.clone(), false, &mut Silent).unwrap();
    let other = files();
    for name in damaged {
        let of = |files: &[(String, Vec<u8>)]| files.iter().find(|f| f.0 == *name).cloned();
        assert_ne!(of(&other), of(&expected), "{name}");
        std::fs::write(root.join(name), "").unwrap();
    }
    let mut notes = Notes::default();
    go(-1, policy.clone(), true, &mut notes).unwrap();
    assert_same(&files(), &expected, "after other answers");
    let (mut got, mut rows) = (metrics(root), rows);
    if damaged.len() > 1 {
        // The evaluation was made again after the stages that do not read it.
        got.sort_by_key(ToString::to_string);
        rows.sort_by_key(ToString::to_string);
    }
    assert_eq!(got, rows);
    for name in damaged {
        let note = format!("{name} came out other than before: ");
        let noted = notes.0.iter().any(|n| n.starts_with(&note));
        assert!(noted, "{:?}", notes.0);
    }
    // TensorBoard is shown each row once, behind what opens the file.
    let shown = events(&std::fs::read(root.join("runs/events.out.tfevents.inpo")).unwrap());
    assert_eq!(shown.len(), 1 + rows.len());
    let losses = shown.iter().flat_map(|(_, scalars)| scalars);
    let losses = losses.filter(|(tag, _)| tag == "train/loss");
    let losses: Vec<f32> = losses.map(|(_, loss)| *loss).collect();
    let of_rows = metrics(root).into_iter();
    let of_rows = of_rows.filter_map(|row| row["loss"].as_f64());
    assert_eq!(losses, of_rows.map(|loss| loss as f32).collect::<Vec<_>>());
    // And from then on nothing is amiss.
    let mut notes = Notes::default();
    go(-1, policy, true, &mut notes).unwrap();
    assert_eq!(notes.0, [""; 0]);
}

/// Stages whose rows are fewer than their prompts, in a directory without digests: an error, and no panic or mean of nothing.
#[test]
fn rows_that_do_not_fit_are_named_also_without_digests() {
    let dir = prepare();
    let (config, policy) = (small(dir.path()), start(dir.path()));
    let root = &config.common.output_dir;
    run(&config, policy.clone(), false, &mut Silent).unwrap();
    forget_digests(root);
    let expected = snapshot(root);
    let edit = |name: &str, lost: &[&str], change: &dyn Fn(&str) -> String| {
        for file in lost {
            let path = root.join(file);
            if path.is_dir() {
                std::fs::remove_dir_all(path).unwrap();
            } else {
                std::fs::remove_file(path).unwrap();
            }
        }
        let path = root.join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, change(&text)).unwrap();
        let error = run(&config, policy.clone(), true, &mut Silent).unwrap_err();
        assert!(error.is_input());
        restore(root, &expected);
        let start = format!("{}: ", path.display());
        error.to_string().strip_prefix(&start).unwrap().to_owned()
    };
    let eval = "iteration-0002/eval_responses.jsonl";
    let measured = ["iteration-0002/eval.json"];
    let error = edit(eval, &measured, &|_| String::new());
    assert_eq!(error, "it has 0 rows for 3 prompts");
    let swap = |text: &str| {
        let mut lines: Vec<&str> = text.lines().collect();
        lines.swap(0, 1);
        lines.join("\n")
    };
    let error = edit(eval, &measured, &swap);
    assert_eq!(error, "row 1 is not of prompt 4294967296, whose turn it is");
    let lost = [
        "iteration-0002/pairs.jsonl",
        "iteration-0002/anchors.safetensors",
        "iteration-0002/policy",
    ];
    let responses = "iteration-0002/responses.jsonl";
    let error = edit(responses, &lost, &|text| {
        text.replacen("\"finish_reason\":[", "\"finish_reason\":[\"stop\",", 1)
    });
    assert_eq!(error, "row 1: `finish_reason` has 3 entries, not 2");
    let preferences = "iteration-0002/preferences.jsonl";
    let error = edit(preferences, &lost, &swap);
    assert!(error.starts_with("row 1 is not of prompt "), "{error}");
    let error = edit(preferences, &lost, &|text| {
        text.lines().next().unwrap().to_owned()
    });
    assert_eq!(error, "it has 1 rows for 4 prompts");
    let error = edit(preferences, &lost, &|text| {
        let start = text.find("\"preference\":[").unwrap();
        let end = start + text[start..].find("]]").unwrap() + 2;
        format!("{}\"preference\":[[0.5]]{}", &text[..start], &text[end..])
    });
    assert_eq!(error, "row 1: `preference` has 1 rows for 2 responses");
}

/// An oracle that fails leaves the stages that are complete.
#[test]
fn a_failed_stage_is_made_again() {
    let dir = prepare();
    let config = small(dir.path());
    let policy = start(dir.path());
    let whole = run(&config, policy.clone(), false, &mut Silent).unwrap();
    let root = &config.common.output_dir;
    let expected = snapshot(root);
    std::fs::remove_dir_all(root.join("iteration-0001")).unwrap();
    struct Fails;
    impl inpo_game::PreferenceOracle<Prompt, Completion> for Fails {
        fn compare(
            &self,
            _: &[inpo_game::Comparison<'_, Prompt, Completion>],
        ) -> Result<Vec<inpo_game::Preference>, OracleError> {
            let reason = "it is away".to_owned();
            Err(OracleError::Invalid { index: 0, reason })
        }

        fn name(&self) -> String {
            "away".to_owned()
        }
    }
    let players = Players::new(policy.clone(), &Fails);
    inpo_train::run(&config, players, true, &mut Silent).unwrap_err();
    assert_eq!(run(&config, policy, true, &mut Silent).unwrap(), whole);
    assert_same_files(&snapshot(root), &expected, "after a failure");
}
