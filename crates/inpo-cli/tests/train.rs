//! `inpo train` as users meet it: it follows PyTorch step by step, and refuses in sentences.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn model(name: &str) -> String {
    let path = here("../inpo-policy/tests/fixtures").join(name);
    path.display().to_string()
}

fn fixture(name: &str) -> PathBuf {
    here("tests/fixtures/trajectory").join(name)
}

fn inpo(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_inpo"))
        .args(args)
        .env("INPO_OFFLINE", "1")
        .output()
        .unwrap()
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&text(path)).unwrap()
}

/// A configuration of one case of expected.json, with `objective` from its settings.
fn config(dir: &Path, case: &Value, batch: &str) -> String {
    let settings = &case["settings"];
    let mut objective = String::new();
    for key in ["eta", "tau", "beta"] {
        if let Some(value) = settings[key].as_f64() {
            objective += &format!("{key} = {value}\n");
        }
    }
    let train = &settings["train"];
    let reference = match settings["reference"].as_str() {
        Some("tiny_llama_tied") => {
            format!("[reference]\nmodel = '{}'\n", model("tiny_llama_tied"))
        }
        _ => String::new(),
    };
    let adapter = if settings["lora"].is_object() {
        format!("adapter = '{}'\n", fixture("adapter").display())
    } else {
        String::new()
    };
    format!(
        "output_dir = '{out}'\n[policy]\nmodel = '{model}'\n{adapter}{reference}\
         [data]\npairs = '{pairs}'\nshuffle = false\n\
         [objective]\nalgorithm = {algorithm}\n{objective}\
         [train]\nlearning_rate = {rate}\nlr_scheduler_type = 'cosine'\nwarmup_ratio = 0.1\n\
         weight_decay = 0.1\nmax_grad_norm = 1.0\nmax_steps = 20\n{batch}",
        out = dir.join("out").display(),
        model = model("tiny_llama_untied"),
        pairs = fixture("pairs.jsonl").display(),
        algorithm = settings["algorithm"],
        rate = train["learning_rate"],
    )
}

fn train(dir: &Path, config: &str) -> Output {
    let path = dir.join("train.toml");
    std::fs::write(&path, config).unwrap();
    inpo(&["train", "--config", &path.display().to_string()])
}

/// Losses, gradient norms before clipping, learning rates of 20 AdamW steps, and the log-probs afterwards,
/// against PyTorch and PEFT in f64 (fixtures/trajectory/make_trajectories.py).
fn follows_pytorch(name: &str, batch: &str) {
    let dir = tempfile::tempdir().unwrap();
    let expected = read(&fixture("expected.json"));
    let case = &expected[name];
    let output = train(dir.path(), &config(dir.path(), case, batch));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name}: {message}");
    let out = dir.path().join("out");
    let state = read(&out.join("trainer_state.json"));
    let (history, steps) = (&state["log_history"], &case["log_history"]);
    assert_eq!(history.as_array().unwrap().len(), 20);
    assert_eq!(state["global_step"], 20);
    for (row, expected) in history
        .as_array()
        .unwrap()
        .iter()
        .zip(steps.as_array().unwrap())
    {
        assert_eq!(row["step"], expected["step"]);
        for (key, tolerance) in [("loss", 2e-4), ("grad_norm", 2e-4), ("learning_rate", 1e-9)] {
            let (got, expected) = (row[key].as_f64().unwrap(), expected[key].as_f64().unwrap());
            assert!(
                (got - expected).abs() <= tolerance * expected.abs(),
                "{name}, step {}: {key} is {got}, PyTorch has {expected}",
                row["step"]
            );
        }
    }
    // The policy that was written gives PyTorch's log-probs.
    let mut rows = Vec::new();
    for line in text(&fixture("pairs.jsonl")).lines() {
        let pair: Value = serde_json::from_str(line).unwrap();
        for side in ["chosen_token_ids", "rejected_token_ids"] {
            let row = json!({
                "prompt_token_ids": pair["prompt_token_ids"], "response_token_ids": pair[side]
            });
            rows.push(row.to_string());
        }
    }
    let input = dir.path().join("rows.jsonl");
    std::fs::write(&input, rows.join("\n")).unwrap();
    let (policy, input) = (out.join("policy"), input.display().to_string());
    let (policy, base) = (policy.display().to_string(), model("tiny_llama_untied"));
    let scored = if case["settings"]["lora"].is_object() {
        inpo(&[
            "logps",
            "--model",
            &base,
            "--adapter",
            &policy,
            "--input",
            &input,
        ])
    } else {
        inpo(&["logps", "--model", &policy, "--input", &input])
    };
    assert!(scored.status.success(), "{name}: {scored:?}");
    let scored = String::from_utf8(scored.stdout).unwrap();
    let scored: Vec<f64> = scored
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["logp"]
                .as_f64()
                .unwrap()
        })
        .collect();
    assert_eq!(scored.len(), 20);
    for (i, got) in scored.iter().enumerate() {
        let side = ["chosen", "rejected"][i % 2];
        let expected = case["final_logps"][side][i / 2].as_f64().unwrap();
        assert!(
            (got - expected).abs() < 2e-3,
            "{name}: {got}, not {expected}"
        );
    }
}

const WHOLE: &str = "per_device_train_batch_size = 4\ngradient_accumulation_steps = 1\n";
/// Groups of one pair, four to a step.
const SINGLE: &str = "per_device_train_batch_size = 1\ngradient_accumulation_steps = 4\n";

#[test]
fn full_fine_tuning_follows_pytorch() {
    for name in ["inpo", "inpo_reference", "dpo", "ipo", "sppo"] {
        follows_pytorch(name, WHOLE);
    }
}

#[test]
fn accumulated_groups_follow_pytorch() {
    follows_pytorch("inpo", SINGLE);
    follows_pytorch("dpo", SINGLE);
}

#[test]
fn adapters_follow_peft() {
    for name in ["inpo_lora", "dpo_lora"] {
        follows_pytorch(name, WHOLE);
    }
}

/// A configuration on pairs of `dir`, with `objective` and `train` as given.
fn small(dir: &Path, rows: &str, objective: &str) -> String {
    let pairs = dir.join("pairs.jsonl");
    std::fs::write(&pairs, rows).unwrap();
    format!(
        "output_dir = '{}'\n[policy]\nmodel = '{}'\n[data]\npairs = '{}'\n[objective]\n{objective}\n\
         [train]\nlearning_rate = 1e-4\nper_device_train_batch_size = 2\ngradient_accumulation_steps = 1\n",
        dir.join("out").display(),
        model("tiny_llama_untied"),
        pairs.display(),
    )
}

fn row(extra: Value) -> String {
    let mut row = json!({
        "prompt_token_ids": [5, 9, 11],
        "chosen_token_ids": [7, 8, 9, 2, 4, 6],
        "rejected_token_ids": [1, 2, 3, 4, 5],
    });
    for (key, value) in extra.as_object().unwrap() {
        row[key] = value.clone();
    }
    format!("{row}\n")
}

#[track_caller]
fn refused(rows: &str, objective: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let output = train(dir.path(), &small(dir.path(), rows, objective));
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(!dir.path().join("out/policy").exists());
    message
}

#[test]
fn bad_settings_are_refused_in_sentences() {
    let pair = &row(json!({}));
    let error = refused(pair, "eta = 0.1\ntau = 0.2");
    assert!(error.contains("tau = 0.2 exceeds eta = 0.1"), "{error}");
    let error = refused(pair, "eta = 0.0");
    assert!(
        error.contains("eta is 0; it is the inverse step size"),
        "{error}"
    );
    let error = refused(pair, "algorithm = 'dpo'\nbeta = -1.0");
    assert!(
        error.contains("beta is -1; it is the inverse step size"),
        "{error}"
    );
    let error = refused(pair, "algorithm = 'inpoo'");
    assert!(
        error.contains("unknown variant `inpoo`, expected one of `inpo`, `ipo`"),
        "{error}"
    );
    let error = refused(pair, "algorithm = 'mnpo'\nhistory_weights = [0.5, 0.25]");
    assert!(
        error.contains("history_weights add up to 0.75, not to 1"),
        "{error}"
    );
    // A setting of another algorithm is not ignored.
    for (setting, key) in [
        ("algorithm = 'dpo'\neta = 0.1", "objective.eta"),
        ("algorithm = 'dpo'\ntau = 0.1", "objective.tau"),
        (
            "algorithm = 'ipo'\ntau_eta_ratio = '1/3'",
            "objective.tau_eta_ratio",
        ),
        ("algorithm = 'inpo'\nbeta = 0.1", "objective.beta"),
        ("algorithm = 'ipo'\nbeta = 0.1\neta = 0.2", "objective.eta"),
        (
            "algorithm = 'ipo'\nlabel_smoothing = 0.1",
            "objective.label_smoothing",
        ),
        (
            "algorithm = 'inpo'\nhistory_weights = [1.0]",
            "objective.history_weights",
        ),
        ("algorithm = 'inpo'\nalpha = 0.1", "objective.alpha"),
        ("algorithm = 'enpo'\nalpha = 0.1", "objective.alpha"),
        ("algorithm = 'onpo'", "objective.algorithm"),
        ("algorithm = 'egpo'", "objective.algorithm"),
    ] {
        let error = refused(pair, setting);
        assert!(error.contains(&format!("`{key}` is")), "{setting}: {error}");
    }
    let error = refused(pair, "algorithm = 'dno'\nlabel = 'hard'");
    assert!(
        error.contains("dno cannot use hard labels; allowed: scores"),
        "{error}"
    );
    let error = refused(pair, "algorithm = 'dpo'\nlabel_smoothing = 0.5");
    assert!(error.contains("label_smoothing is 0.5"), "{error}");
    let error = refused(pair, "sft_loss_coef = -1.0");
    assert!(error.contains("sft_loss_coef is -1"), "{error}");
}

#[test]
fn bad_rows_are_refused_in_sentences() {
    let error = refused(&row(json!({"chosen_token_ids": null})), "");
    assert!(
        error.contains("pairs.jsonl, line 1: there is neither `chosen` nor `chosen_token_ids`"),
        "{error}"
    );
    let error = refused(&row(json!({"prompt_token_ids": null})), "");
    assert!(
        error.contains("line 1: there is neither `prompt` nor"),
        "{error}"
    );
    let error = refused(&row(json!({"chosen_token_ids": [99]})), "");
    assert!(error.contains("line 1:") && error.contains("99"), "{error}");
    let error = refused(&row(json!({"chosen_token_ids": []})), "");
    assert!(
        error.contains("pairs.jsonl is left: 1 of 1 rows were dropped for an empty response"),
        "{error}"
    );
    let error = refused(&row(json!({})), "label = 'soft'");
    assert!(
        error.contains("line 1: labels are soft, but there is neither"),
        "{error}"
    );
    let error = refused(&row(json!({"score_chosen": 0.5})), "algorithm = 'rebel'");
    assert!(error.contains("line 1: labels are scores, but"), "{error}");
    let error = refused(&row(json!({"probability": 1.5})), "label = 'soft'");
    assert!(error.contains("line 1: the probability is 1.5"), "{error}");
}

/// What teaches nothing, or what cannot be meant, is said before anything is computed.
#[test]
fn rows_that_make_no_sense_are_told() {
    let equal = row(json!({"rejected_token_ids": [7, 8, 9, 2, 4, 6]}));
    let twice = row(json!({})).replacen('{', "{\"probability\": 0.2, \"probability\": 0.9, ", 1);
    let error = refused(&(row(json!({})) + &twice), "label = 'soft'");
    assert!(
        error.contains("pairs.jsonl, line 2: the key \"probability\" occurs twice"),
        "{error}"
    );
    let nan =
        row(json!({"ref_rejected_logps": -25.0})).replacen('{', "{\"ref_chosen_logps\": NaN, ", 1);
    let error = refused(&nan, "");
    assert!(
        error.contains("line 1: `ref_chosen_logps` holds NaN or an infinity"),
        "{error}"
    );
    let dir = tempfile::tempdir().unwrap();
    let config = small(dir.path(), &(equal + &row(json!({}))), "");
    let output = train(dir.path(), &config);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    assert!(
        told.contains("note       in 1 of 2 pairs `chosen` and `rejected` are the same tokens"),
        "{told}"
    );
}

/// Steps far too large: the loss grows beyond all bounds, which is said once, or ends the training where it is limited.
#[test]
fn a_training_that_diverges_is_told_or_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let steps = "optim = 'sgd'\nlr_scheduler_type = 'constant'\nwarmup_steps = 0\nmax_steps = 5\n";
    let config = small(dir.path(), &row(json!({})), "eta = 0.1") + steps;
    let config = config.replace("learning_rate = 1e-4", "learning_rate = 20.0");
    let output = train(dir.path(), &config);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    assert_eq!(told.matches("warning: ").count(), 1, "{told}");
    assert!(
        told.contains("times that of the first step, 25.0000"),
        "{told}"
    );
    let config = config.replace("/out'", "/stopped'") + "max_loss_ratio = 10.0\n";
    let output = train(dir.path(), &config);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("error: step ") && told.contains("(train.max_loss_ratio is 10)"),
        "{told}"
    );
    assert!(!dir.path().join("stopped/policy").exists());
    // A warm-up that outlasts the training, and an adapter that says that it is another model's.
    let config = small(dir.path(), &row(json!({})), "eta = 0.1").replace("/out'", "/adapted'");
    let config = config.replace(
        "[data]",
        &format!("adapter = '{}'\n[data]", fixture("adapter").display()),
    );
    let config = config.replace("tiny_llama_untied", "tiny_llama_tied");
    let output = train(dir.path(), &(config + "warmup_steps = 40\n"));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    for want in [
        "note       the adapter in ",
        "was trained on tiny_llama_untied by its adapter_config.json",
        "warning: train.warmup_steps is 40, and there are 1 steps",
    ] {
        assert!(told.contains(want), "{want}: {told}");
    }
}

/// Log-probs that come with the pairs: complete, sums, of the model they should be of.
#[test]
fn bad_log_probs_are_refused_in_sentences() {
    let error = refused(&row(json!({})), "algorithm = 'mnpo'");
    assert!(
        error.contains("mnpo needs the columns history1_chosen_logps and history1_rejected_logps"),
        "{error}"
    );
    let given = |chosen: f64, rejected: f64| {
        row(json!({"ref_chosen_logps": chosen, "ref_rejected_logps": rejected}))
    };
    let error = refused(&(given(-30.0, -25.0) + &row(json!({}))), "");
    assert!(
        error.contains("line 2: `ref_chosen_logps` or `ref_rejected_logps` is missing"),
        "{error}"
    );
    let error = refused(&row(json!({"ref_chosen_logps": -30.0})), "");
    assert!(error.contains("line 1: `ref_chosen_logps` or"), "{error}");
    let error = refused(&given(1.0, -25.0), "");
    assert!(
        error.contains("line 1: `ref_chosen_logps` is 1; a log-prob is"),
        "{error}"
    );
    // About -4 nats a token on a vocabulary of 64: these are means.
    let error = refused(&given(-4.1, -4.2), "");
    assert!(
        error.contains("it looks like a mean over tokens, and sums are needed"),
        "{error}"
    );
    let error = refused(&row(json!({"logp_reduction": "mean"})), "");
    assert!(
        error.contains("line 1: `logp_reduction` is not \"sum\""),
        "{error}"
    );

    let dir = tempfile::tempdir().unwrap();
    let mut config = small(dir.path(), &given(-30.0, -25.0), "algorithm = 'dpo'");
    config += &format!("[reference]\nmodel = '{}'\n", model("tiny_llama_tied"));
    let output = train(dir.path(), &config);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("`ref_chosen_logps` is -30, but the model that the configuration names"),
        "{error}"
    );
    // Nothing stands in the way of the corrected file.
    let mut config = small(dir.path(), &row(json!({})), "algorithm = 'dpo'");
    config += &format!("[reference]\nmodel = '{}'\n", model("tiny_llama_tied"));
    assert!(train(dir.path(), &config).status.success());
}

/// Sums that come with the pairs are used instead of a model's: the loss is IPO's on them.
#[test]
fn given_sums_are_the_anchors() {
    let dir = tempfile::tempdir().unwrap();
    let rows = row(json!({"reference_chosen_logps": -30.0, "reference_rejected_logps": -25.0}));
    let config = small(dir.path(), &rows, "algorithm = 'ipo'\nbeta = 0.1");
    let output = train(dir.path(), &config);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{message}");
    assert!(
        message.contains("given      ref_chosen_logps, ref_rejected_logps"),
        "{message}"
    );
    let state = read(&dir.path().join("out/trainer_state.json"));
    let first = &state["log_history"][0];
    let of = |key: &str| first[key].as_f64().unwrap();
    let h = of("logps/chosen") - of("logps/rejected") + 5.0;
    assert!((of("loss") - (h - 5.0).powi(2)).abs() < 1e-3, "{first}");
    assert!((of("inpo/delta_ref") + 5.0).abs() < 1e-9);
}

/// ENPO's and COMAL's names for the same columns.
#[test]
fn other_names_of_the_columns_are_understood() {
    let [enpo, comal] = [
        json!({"logp_ref_chosen": -30.0, "logp_ref_rejected": -25.0, "logp_t_chosen": -28.0, "logp_t_rejected": -26.0}),
        json!({"ref_chosen_logprob": -30.0, "ref_rejected_logprob": -25.0, "chosen_logprob": -28.0,
            "rejected_logprob": -26.0}),
    ];
    for columns in [enpo, comal] {
        let dir = tempfile::tempdir().unwrap();
        let config = small(dir.path(), &row(columns), "eta = 0.1");
        assert!(train(dir.path(), &config).status.success());
        let state = read(&dir.path().join("out/trainer_state.json"));
        let first = &state["log_history"][0];
        assert_eq!(
            (&first["inpo/delta_ref"], &first["inpo/delta_prev"]),
            (&json!(-5.0), &json!(-2.0))
        );
    }
}

/// The header says what is trained; before the first update h = 0, so that the loss is the printed one.
#[test]
fn the_header_names_the_first_loss() {
    for (objective, anchors, first, label) in [
        (
            "eta = 0.1\ntau = 0.025",
            "0.2500 pi_ref + 0.7500 pi_t",
            25.0,
            "hard",
        ),
        (
            "algorithm = 'sigmoid'",
            "1.0000 pi_ref",
            std::f64::consts::LN_2,
            "hard",
        ),
        ("algorithm = 'hinge'", "1.0000 pi_ref", 1.0, "hard"),
        ("algorithm = 'sppo'\neta = 0.1", "1.0000 pi_t", 50.0, "hard"),
        (
            "algorithm = 'ipo_mean'\nbeta = 0.5",
            "1.0000 pi_ref, log-probs per token",
            1.0,
            "hard",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let output = train(dir.path(), &small(dir.path(), &row(json!({})), objective));
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{message}");
        assert!(
            message.contains(&format!("anchors    {anchors}")),
            "{message}"
        );
        assert!(
            message.contains(&format!("labels are {label}; first loss {first}")),
            "{message}"
        );
        let state = read(&dir.path().join("out/trainer_state.json"));
        let loss = state["log_history"][0]["loss"].as_f64().unwrap();
        assert!((loss - first).abs() < 1e-4 * first, "{objective}: {loss}");
    }
}

/// What the header says a smoothed label asks: h = log(0.9/0.1)/0.1 = 21.97 nats; and the last step has a row
/// whatever `logging_steps` is.
#[test]
fn the_last_step_is_logged_and_a_smoothed_label_has_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let objective = "algorithm = 'dpo'\nlabel_smoothing = 0.1";
    let mut config = small(dir.path(), &row(json!({})), objective);
    config += "max_steps = 5\nlogging_steps = 3\n";
    let output = train(dir.path(), &config);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{message}");
    assert!(message.contains("target     h = 21.97"), "{message}");
    let state = read(&dir.path().join("out/trainer_state.json"));
    let steps: Vec<_> = state["log_history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["step"].clone())
        .collect();
    assert_eq!(steps, [3, 5]);
    assert_eq!(
        (&state["global_step"], &state["epoch"]),
        (&json!(5), &json!(5.0))
    );
    let error = refused(&row(json!({})), "eta = 0.1\n[ignored]");
    assert!(error.contains("unknown field `ignored`"), "{error}");
}

/// A finished directory is not overwritten; with --resume it is read.
#[test]
fn a_directory_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let config = small(dir.path(), &row(json!({})), "eta = 0.1");
    assert!(train(dir.path(), &config).status.success());
    let state = text(&dir.path().join("out/trainer_state.json"));
    let again = train(dir.path(), &config);
    assert_eq!(again.status.code(), Some(2));
    assert!(
        String::from_utf8(again.stderr)
            .unwrap()
            .contains("pass --resume")
    );
    let path = dir.path().join("train.toml").display().to_string();
    assert!(
        inpo(&["train", "--config", &path, "--resume"])
            .status
            .success()
    );
    assert_eq!(text(&dir.path().join("out/trainer_state.json")), state);
    let other = inpo(&[
        "train",
        "--config",
        &path,
        "--resume",
        "--set",
        "objective.eta=0.2",
    ]);
    assert_eq!(other.status.code(), Some(2));
}
