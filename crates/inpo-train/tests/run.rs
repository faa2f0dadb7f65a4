//! The whole loop on a tiny model with a tokenizer of 64 words: files, resumption, repeatability,
//! refusals.

mod common;

use std::path::Path;

use common::files::forget_digests;
use common::{
    assert_same, config, contents, metrics, prepare, run, start, train_rows, write_prompts,
};
use inpo_eval::Evaluation;
use inpo_train::{RunConfig, Silent, TrainError};

fn run_to_end(dir: &Path, name: &str, resume: bool) -> Result<Vec<Evaluation>, TrainError> {
    run(&config(dir, name), start(dir), resume, &mut Silent)
}

#[test]
fn two_runs_write_the_same_bytes_and_the_files_of_the_design() {
    let dir = prepare();
    let first = run_to_end(dir.path(), "a", false).unwrap();
    let second = run_to_end(dir.path(), "b", false).unwrap();
    assert_eq!(first, second);
    assert_eq!(first.len(), 3);
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    let files = contents(&a);
    assert_same(&files, &contents(&b), "two runs");
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    for file in [
        "iteration-0001/responses.jsonl",
        "iteration-0001/preferences.jsonl",
        "iteration-0001/pairs.jsonl",
        "iteration-0001/anchors.safetensors",
        "iteration-0001/policy/adapter_config.json",
        "iteration-0001/policy/adapter_model.safetensors",
        "iteration-0002/eval.json",
    ] {
        assert!(names.contains(&file), "{file} is missing from {names:?}");
    }
    for file in ["run.toml", "manifest.json", "trainer_state.json"] {
        assert!(a.join(file).exists(), "{file}");
    }

    // Before any update h = 0 and the loss is (1/(2 * 0.1))^2 = 25, up to f32 rounding of the sums.
    let rows = train_rows(&a);
    let first = &rows[0];
    assert!(
        (first["loss"].as_f64().unwrap() - 25.0).abs() < 1e-3,
        "{first}"
    );
    assert!(first["inpo/h_mean"].as_f64().unwrap().abs() < 1e-4);
    assert_eq!(first["inpo/target"], 5.0);
    for key in [
        "grad_norm",
        "learning_rate",
        "epoch",
        "logps/chosen",
        "rewards/margins",
    ] {
        assert!(first[key].is_number(), "{key}");
    }
}

/// Whatever stage a run is cut off in, going on writes what the uninterrupted run wrote.
#[test]
fn a_resumed_run_repeats_the_uninterrupted_one() {
    let dir = prepare();
    let whole = run_to_end(dir.path(), "whole", false).unwrap();
    let expected = contents(&dir.path().join("whole"));
    let cut = |name: &str, lost: &[&str]| {
        run_to_end(dir.path(), name, false).unwrap();
        let root = dir.path().join(name);
        for path in lost {
            let path = root.join(path);
            if path.is_dir() {
                std::fs::remove_dir_all(path).unwrap()
            } else {
                std::fs::remove_file(path).unwrap()
            }
        }
        assert_eq!(run_to_end(dir.path(), name, true).unwrap(), whole);
        assert_same(&contents(&root), &expected, name);
        assert_eq!(metrics(&root), metrics(&dir.path().join("whole")), "{name}");
    };
    cut("in-second", &["iteration-0002"]);
    cut(
        "in-optimise",
        &[
            "iteration-0002/policy",
            "iteration-0002/eval.json",
            "iteration-0002/eval_responses.jsonl",
        ],
    );
    cut("in-first", &["iteration-0002", "iteration-0001"]);
    cut("in-eval", &["iteration-0002/eval.json"]);
}

/// Without adapters every weight trains, `policy/` is a whole model, and going on repeats the run.
#[test]
fn full_fine_tuning_writes_models_and_resumes() {
    let dir = prepare();
    let full = |name: &str, resume| {
        let mut config = config(dir.path(), name);
        config.common.policy.lora = None;
        config.common.train.learning_rate = 1e-3;
        run(&config, start(dir.path()), resume, &mut Silent).unwrap()
    };
    let whole = full("whole", false);
    assert!(whole[2].kl_ref.abs() > 1e-6, "training moved the policy");
    full("cut", false);
    let (root, expected) = (dir.path().join("cut"), contents(&dir.path().join("whole")));
    std::fs::remove_dir_all(root.join("iteration-0002")).unwrap();
    assert_eq!(full("cut", true), whole);
    assert_same(&contents(&root), &expected, "full fine-tuning");
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        assert!(
            root.join("iteration-0001/policy").join(file).exists(),
            "{file}"
        );
    }
}

/// A line of the log that was cut off in the middle is forgotten, not an obstacle.
#[test]
fn a_torn_log_line_does_not_stop_a_resumed_run() {
    let dir = prepare();
    let whole = run_to_end(dir.path(), "a", false).unwrap();
    let root = dir.path().join("a");
    let before = metrics(&root);
    std::fs::remove_file(root.join("iteration-0002/eval.json")).unwrap();
    let log = root.join("metrics.jsonl");
    let mut text = std::fs::read_to_string(&log).unwrap();
    text.push_str("{\"stage\": \"ev");
    std::fs::write(&log, text).unwrap();
    assert_eq!(run_to_end(dir.path(), "a", true).unwrap(), whole);
    assert_eq!(metrics(&root), before);
}

#[test]
fn a_run_is_not_resumed_on_other_prompts() {
    let dir = prepare();
    run_to_end(dir.path(), "a", false).unwrap();
    write_prompts(&dir.path().join("eval.jsonl"), 4);
    let error = run_to_end(dir.path(), "a", true).unwrap_err().to_string();
    assert!(error.contains("other prompts"), "{error}");
}

#[test]
fn a_directory_is_never_overwritten() {
    let dir = prepare();
    run_to_end(dir.path(), "a", false).unwrap();
    let error = run_to_end(dir.path(), "a", false).unwrap_err();
    assert!(error.to_string().contains("pass --resume"), "{error}");
    let mut other = config(dir.path(), "a");
    other.common.objective.eta = Some(0.2);
    let error = run(&other, start(dir.path()), true, &mut Silent).unwrap_err();
    let expected = "other settings (`objective.eta` was 0.1, is 0.2); restore that";
    assert!(error.to_string().contains(expected), "{error}");
}

/// A directory of a version that did not know some of the settings: they had the defaults that they have now.
#[test]
fn a_run_of_an_older_version_is_resumed() {
    let dir = prepare();
    let whole = run_to_end(dir.path(), "a", false).unwrap();
    let root = dir.path().join("a");
    let expected = contents(&root);
    let path = root.join("run.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let new = ["dtype", "use_rslora", "dropout", "gradient_checkpointing"];
    let is_new = |line: &&str| new.iter().any(|key| line.starts_with(&format!("{key} = ")));
    let (gone, kept): (Vec<&str>, Vec<&str>) = text.lines().partition(is_new);
    assert_eq!(gone.len(), new.len(), "{text}");
    std::fs::write(&path, kept.join("\n")).unwrap();
    std::fs::remove_dir_all(root.join("iteration-0002")).unwrap();
    assert_eq!(run_to_end(dir.path(), "a", true).unwrap(), whole);
    assert_same(&contents(&root), &expected, "of an older version");
}

/// The models' context is 128 tokens.
#[test]
fn a_limit_beyond_the_context_is_refused() {
    let dir = prepare();
    let mut config = config(dir.path(), "a");
    config.common.policy.max_length = Some(129);
    let error = run(&config, start(dir.path()), false, &mut Silent).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`policy.max_length` is 129; allowed: at most 128, the models' context"
    );
    assert!(!dir.path().join("a").exists(), "nothing was written");
}

/// In a directory of an earlier release, which knows no digests, a cache of another policy's anchors, or a damaged one, is
/// refused by name.
#[test]
fn stale_anchors_are_refused() {
    let dir = prepare();
    let cut = |name: &str| {
        run_to_end(dir.path(), name, false).unwrap();
        let root = dir.path().join(name);
        forget_digests(&root);
        std::fs::remove_dir_all(root.join("iteration-0002/policy")).unwrap();
        root
    };
    let root = cut("swapped");
    let anchors = |t: usize| root.join(format!("iteration-000{t}/anchors.safetensors"));
    std::fs::copy(anchors(1), anchors(2)).unwrap();
    let error = run_to_end(dir.path(), "swapped", true)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("anchors.safetensors") && error.contains("expected"),
        "{error}"
    );

    let root = cut("damaged");
    let path = root.join("iteration-0002/anchors.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 8..].copy_from_slice(&f64::NAN.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let error = run_to_end(dir.path(), "damaged", true)
        .unwrap_err()
        .to_string();
    assert!(error.contains("no finite value in row"), "{error}");
}

#[test]
fn bad_settings_and_rows_are_refused_in_sentences() {
    let dir = prepare();
    let base = "output_dir = 'x'\n[policy]\nmodel = 'm'\n[data]\nprompts = 'p'\n";
    let refuse = |text: &str| {
        let error = RunConfig::parse(&format!("{base}{text}"), "run.toml", &[]).unwrap_err();
        error.to_string()
    };
    let error = refuse("[train]\nlearning_rat = 1.0\n");
    assert!(
        error.contains("run.toml") && error.contains("learning_rat"),
        "{error}"
    );
    let error = refuse("[objective]\neta = 0.1\ntau = 0.2\n");
    assert!(
        error.starts_with("run.toml: [objective]: tau = 0.2 exceeds eta = 0.1"),
        "{error}"
    );
    let error = refuse("[objective]\neta = 0.0\n");
    assert!(
        error.starts_with("run.toml: [objective]: eta is 0;"),
        "{error}"
    );
    let error = refuse("[objective]\ntau_eta_ratio = '1/'\n");
    assert!(error.contains("tau_eta_ratio is \"1/\""), "{error}");
    let error = refuse("[train]\nmax_grad_norm = -1.0\n");
    assert_eq!(
        error,
        "run.toml: `train.max_grad_norm` is -1; allowed: a positive number, or 0 for no limit"
    );
    let error = refuse("[iteration]\nref_update_every = 2\n[objective]\nalgorithm = 'sppo'\n");
    assert_eq!(
        error,
        "run.toml: `iteration.ref_update_every` is 2; allowed: 0: the reference is no anchor of sppo with these \
         settings"
    );
    let error = refuse("[generation]\nrepetition_penalty = -1\n");
    assert_eq!(
        error,
        "run.toml: `generation.repetition_penalty` is -1; allowed: a positive number; 1 is none"
    );
    for greedy in ["temperature = 0", "top_k = 1", "min_p = 1"] {
        let error = refuse(&format!("[generation]\n{greedy}\n"));
        let (key, value) = greedy.split_once(" = ").unwrap();
        let expected = format!(
            "run.toml: `generation.{key}` is {value}; allowed: a value that leaves several"
        );
        assert!(error.starts_with(&expected), "{error}");
    }
    let error = refuse("[generation]\nnum_generations = 2\n[objective]\nalgorithm = 'rebel'\n");
    assert!(
        error.contains("`generation.num_generations` is 2; allowed: at least 3: rebel estimates"),
        "{error}"
    );
    let error = refuse("[selection]\nstrategy = 'iid'\nlength_penalty = 0.1\n");
    assert!(
        error.starts_with(
            "run.toml: selection.length_penalty is 0.1, but strategy \"iid\" has no scores"
        ),
        "{error}"
    );
    // Labels that are scores take i.i.d. pairs.
    let error = refuse("[selection]\nbudget = 9\n[objective]\nlabel = 'scores'\n");
    assert!(
        error
            .starts_with("run.toml: selection.budget is 9, but strategy \"iid\" asks what it asks"),
        "{error}"
    );
    let error = refuse("[selection]\ntie_policy = 'half'\n");
    assert!(
        error.starts_with(
            "run.toml: `selection.tie_policy` is half; allowed: \"drop\", \"first\" or \"random\""
        ),
        "{error}"
    );
    let soft = format!("{base}[selection]\ntie_policy = 'half'\n[objective]\nlabel = 'soft'\n");
    RunConfig::parse(&soft, "run.toml", &[]).unwrap();
    let error = RunConfig::parse(base, "run.toml", &["train.nonsense=1".into()]).unwrap_err();
    assert!(error.to_string().contains("nonsense"), "{error}");

    let prompts = dir.path().join("train.jsonl");
    let with_rows = |rows: &str| {
        std::fs::write(&prompts, rows).unwrap();
        run_to_end(dir.path(), "bad", false)
            .unwrap_err()
            .to_string()
    };
    let error = with_rows("{\"prompt\": \"the river\"}\n{\"prompt\": \n");
    assert!(error.contains("train.jsonl, line 2: not JSON"), "{error}");
    let error = with_rows("{\"prompt\": \"\"}\n");
    assert!(
        error.ends_with("train.jsonl, line 1: `prompt` is empty"),
        "{error}"
    );
    let error = with_rows("{\"question\": \"a\"}\n");
    assert!(
        error.contains("neither `prompt` nor `prompt_token_ids`"),
        "{error}"
    );
    let error = with_rows(&format!("{{\"prompt\": \"{}\"}}\n", "the ".repeat(200)));
    assert!(
        error.contains("line 1: the prompt has 202 tokens, but only 112 fit"),
        "{error}"
    );
    let mut bounded = config(dir.path(), "bad");
    bounded.common.policy.max_length = Some(20);
    let error = run(&bounded, start(dir.path()), false, &mut Silent).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains(
            "only 4 fit beside generation.max_new_tokens, 16, into policy.max_length, 20"
        ),
        "{error}"
    );
    let error = with_rows("");
    assert!(error.ends_with("holds no rows"), "{error}");
    write_prompts(&prompts, 15);
    let error = run_to_end(dir.path(), "bad", false)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("at most 7 for 2 iterations on disjoint slices of 15"),
        "{error}"
    );
    write_prompts(&prompts, 16);
    let refused = |change: &dyn Fn(&mut RunConfig)| {
        let mut config = config(dir.path(), "bad");
        change(&mut config);
        let error = run(&config, start(dir.path()), false, &mut Silent).unwrap_err();
        assert!(error.is_input(), "{error}");
        error.to_string()
    };
    let error = refused(&|config| config.eval.num_prompts = Some(6));
    let expected = "`eval.num_prompts` is 6; allowed: at most 5, the prompts of ";
    assert!(error.starts_with(expected), "{error}");
    let error = refused(&|config| {
        config.eval = Default::default();
        config.eval.num_prompts = Some(1);
        config.data.eval_prompts = None;
    });
    let expected = "`eval.num_prompts` is 1; allowed: absent: there are no data.eval_prompts";
    assert_eq!(error, expected);
    let error = refused(&|config| config.generation.stop_token_ids = vec![2, 64]);
    let expected = "`generation.stop_token_ids` is 64; allowed: ids below 64, the size of the model's vocabulary";
    assert_eq!(error, expected);
    assert!(
        !dir.path().join("bad").exists(),
        "nothing was written for a refused run"
    );
}
