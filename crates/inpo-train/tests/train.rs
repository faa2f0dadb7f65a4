//! One phase on given pairs: where its anchors come from, its first losses by hand, resumption, refusals.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use inpo_policy::{ModelConfig, Policy, Sequence};
use inpo_train::config::{ModelSection, PolicySection};
use inpo_train::{
    Models, Observer, Silent, StepMetrics, TrainConfig, TrainError, TrainHeader, train as train_as,
};
use serde_json::{Value, json};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../inpo-policy/tests/fixtures")
        .join(name)
}

fn load(name: &str) -> Policy {
    Policy::load(&fixture(name), &Device::flex()).unwrap()
}

/// The policy of all tests, unless they say otherwise: 64 ids, hidden size 32.
const MODEL: &str = "tiny_llama_untied";
/// Another model of the same ids.
const OTHER: &str = "tiny_llama_tied";

/// Prompt, chosen and rejected ids of pair `i`; responses of 2 to 9 tokens.
fn ids(i: usize) -> [Vec<u32>; 3] {
    let list = |start: usize, count: usize| {
        (0..count)
            .map(|k| ((start + 17 * i + 11 * k) % 61 + 3) as u32)
            .collect()
    };
    [list(0, 3), list(5, 2 + i % 7), list(29, 3 + (i * 3) % 7)]
}

/// A row of pair `i` with `extra` columns.
fn row(i: usize, extra: Value) -> Value {
    let [prompt, chosen, rejected] = ids(i);
    let mut row = json!({
        "prompt_token_ids": prompt, "chosen_token_ids": chosen, "rejected_token_ids": rejected
    });
    let extra = extra.as_object().unwrap().clone();
    row.as_object_mut().unwrap().extend(extra);
    row
}

fn rows(count: usize) -> Vec<Value> {
    (0..count).map(|i| row(i, json!({}))).collect()
}

/// Sums of log-probs of pair `i`, chosen and rejected.
fn logps(policy: &Policy, i: usize) -> [f64; 2] {
    let [prompt, chosen, rejected] = ids(i);
    let sequences = [chosen, rejected].map(|response| Sequence::new(&prompt, &response));
    let rows = policy.logps(&sequences).unwrap();
    [rows[0].iter().sum(), rows[1].iter().sum()]
}

/// Columns of `prefix` with the sums of pair `i` under `policy`, each through `map` with its tokens.
fn columns(prefix: &str, policy: &Policy, i: usize, map: impl Fn(f64, usize) -> f64) -> Value {
    let [chosen, rejected] = logps(policy, i);
    let [_, of_chosen, of_rejected] = ids(i);
    json!({
        (format!("{prefix}_chosen_logps")): map(chosen, of_chosen.len()),
        (format!("{prefix}_rejected_logps")): map(rejected, of_rejected.len()),
    })
}

fn merge(mut a: Value, b: Value) -> Value {
    let entries = b.as_object().unwrap().clone();
    a.as_object_mut().unwrap().extend(entries);
    a
}

/// A configuration whose pairs are `rows` and whose output goes to `dir/NAME`.
fn config(dir: &Path, name: &str, rows: &[Value], objective: &str) -> TrainConfig {
    let pairs = dir.join("pairs.jsonl");
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    std::fs::write(&pairs, text).unwrap();
    let text = format!(
        "output_dir = '{}'\n[policy]\nmodel = '{MODEL}'\n[data]\npairs = '{}'\nshuffle = false\n\
         [objective]\n{objective}\n[train]\nlearning_rate = 1e-3\nper_device_train_batch_size = 4\n\
         gradient_accumulation_steps = 2\n",
        dir.join(name).display(),
        pairs.display(),
    );
    TrainConfig::parse(&text, "test.toml", &[]).unwrap()
}

fn model_section(name: &str) -> Option<ModelSection> {
    Some(ModelSection {
        model: name.to_owned(),
        adapter: None,
    })
}

/// Trains with a section for each model that is given: the library refuses the one without the other.
fn train(
    config: &TrainConfig,
    models: impl Into<Models>,
    resume: bool,
    observer: &mut dyn Observer,
) -> Result<Policy, TrainError> {
    let models = models.into();
    let mut config = config.clone();
    let named = |model: &Option<Policy>| model.as_ref().and_then(|_| model_section("another"));
    config.reference = config.reference.or_else(|| named(&models.reference));
    config.previous = config.previous.or_else(|| named(&models.previous));
    train_as(&config, models, resume, observer)
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The first row of the log.
fn first_step(root: &Path) -> Value {
    json_of(&root.join("trainer_state.json"))["log_history"][0].clone()
}

/// Trains on `rows` and returns the first loss; all rows are in the first step.
fn first_loss(rows: &[Value], objective: &str, models: impl Into<Models>) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    assert!(rows.len() <= 8);
    let config = config(dir.path(), "out", rows, objective);
    train(&config, models, false, &mut Silent).unwrap();
    first_step(&config.output_dir)["loss"].as_f64().unwrap()
}

#[track_caller]
fn close(got: f64, expected: f64, tolerance: f64) {
    assert!(
        (got - expected).abs() <= tolerance * expected.abs().max(1.0),
        "{got}, not {expected}"
    );
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The policy is its own anchor, so that h = 0 and the loss is what the labels say.
#[test]
fn labels_decide_the_first_loss() {
    let with = |labels: &[Value]| -> Vec<Value> {
        let each = labels.iter().enumerate();
        each.map(|(i, label)| row(i, label.clone())).collect()
    };
    let soft = with(&[
        json!({"probability": 0.9}),
        json!({"chosen_probs": 0.6}),
        json!({"probability": 0.5}),
    ]);
    // Targets (p - 1/2)/eta = 4, 1, 0: squares 16, 1, 0.
    close(
        first_loss(&soft, "eta = 0.1\nlabel = 'soft'", load(MODEL)),
        17.0 / 3.0,
        1e-4,
    );
    // The same file with hard labels: (1/(2 eta))^2 = 25.
    close(first_loss(&soft, "eta = 0.1", load(MODEL)), 25.0, 1e-4);
    // (1.5/0.5)^2 = 9 and (-1/0.5)^2 = 4.
    let scores = with(&[
        json!({"score_chosen": 2.0, "score_rejected": 0.5}),
        json!({"score_chosen": -1.0, "score_rejected": 0.0}),
    ]);
    close(
        first_loss(&scores, "algorithm = 'rebel'\neta = 0.5", load(MODEL)),
        6.5,
        1e-4,
    );
    // SPPO, each response: ((0.8 - 1/2)/0.1)^2 + ((0.3 - 1/2)/0.1)^2 = 9 + 4.
    let scores = with(&[json!({"score_chosen": 0.8, "score_rejected": 0.3})]);
    let objective = "algorithm = 'sppo'\neta = 0.1\nlabel = 'scores'";
    close(first_loss(&scores, objective, load(MODEL)), 13.0, 1e-4);
}

/// With another model as the reference h is not 0; every loss is worked out from the two models' log-probs.
#[test]
fn soft_labels_reach_the_loss_where_the_reference_is_another_model() {
    let (policy, other) = (load(MODEL), load(OTHER));
    let p = [0.9, 0.25, 0.5];
    let rows: Vec<Value> = (0..3)
        .map(|i| row(i, json!({"probability": p[i]})))
        .collect();
    let h = |i: usize, weight: f64| {
        let ([w, l], [ref_w, ref_l]) = (logps(&policy, i), logps(&other, i));
        weight * ((w - ref_w) - (l - ref_l))
    };
    let models = || Models {
        reference: Some(other.clone()),
        ..Models::from(policy.clone())
    };
    let mean = |loss: &dyn Fn(usize) -> f64| (0..3).map(loss).sum::<f64>() / 3.0;
    let largest = (0..3).map(|i| h(i, 1.0).abs()).fold(0.0, f64::max);
    assert!(largest > 1.0, "the models differ: {largest}");

    // r = log pi - 1/4 log ref - 3/4 log pi, since pi_t is the start: h is a quarter of the difference.
    let objective = "eta = 0.5\ntau_eta_ratio = '1/4'\nlabel = 'soft'";
    let expected = mean(&|i| (h(i, 0.25) - (p[i] - 0.5) / 0.5).powi(2));
    close(first_loss(&rows, objective, models()), expected, 1e-4);

    let objective = "algorithm = 'dpo'\nbeta = 0.2\nlabel = 'soft'";
    let logistic = |i: usize| {
        let s = sigmoid(0.2 * h(i, 1.0));
        -p[i] * s.ln() - (1.0 - p[i]) * (1.0 - s).ln()
    };
    close(
        first_loss(&rows, objective, models()),
        mean(&logistic),
        1e-5,
    );

    let objective = "algorithm = 'ipo'\nbeta = 0.5";
    let expected = mean(&|i| (h(i, 1.0) - 1.0).powi(2));
    close(first_loss(&rows, objective, models()), expected, 1e-4);
}

/// MNPO's newest policy is the previous one: `history0_*`, or `prev_*`, or `[previous]`, or the start.
#[test]
fn the_history_of_mnpo_comes_from_wherever_it_is() {
    let (policy, other) = (load(MODEL), load(OTHER));
    let objective = "algorithm = 'mnpo'\neta = 0.5\nhistory_weights = [0.25, 0.75]";
    // Of the oldest: the other model's log-probs moved by 1 and -1.
    let oldest = |i: usize| {
        let [w, l] = logps(&other, i);
        json!({"history1_chosen_logps": w + 1.0, "history1_rejected_logps": l - 1.0})
    };
    // r(w) - r(l) = d(pi) - 1/4 d(newest) - 3/4 (d(other) + 2), target 1.
    let loss = |newest: &Policy| {
        let d = |policy: &Policy, i: usize| {
            let [w, l] = logps(policy, i);
            w - l
        };
        let h = |i: usize| d(&policy, i) - 0.25 * d(newest, i) - 0.75 * (d(&other, i) + 2.0);
        (0..4).map(|i| (h(i) - 1.0).powi(2)).sum::<f64>() / 4.0
    };
    let rows = |prefix: Option<&str>| -> Vec<Value> {
        let newest = |i: usize| match prefix {
            Some(prefix) => columns(prefix, &other, i, |sum, _| sum),
            None => json!({}),
        };
        (0..4)
            .map(|i| row(i, merge(oldest(i), newest(i))))
            .collect()
    };
    close(
        first_loss(&rows(None), objective, policy.clone()),
        loss(&policy),
        1e-4,
    );
    for prefix in ["history0", "prev"] {
        let got = first_loss(&rows(Some(prefix)), objective, policy.clone());
        close(got, loss(&other), 1e-4);
    }
    let models = Models {
        previous: Some(other.clone()),
        ..Models::from(policy.clone())
    };
    close(
        first_loss(&rows(None), objective, models),
        loss(&other),
        1e-4,
    );

    // INPO reads MNPO's name of pi_t as well: h = d(pi) - 1/2 d(pi) - 1/2 d(other).
    let objective = "eta = 0.5\ntau = 0.25";
    let d = |policy: &Policy, i: usize| logps(policy, i)[0] - logps(policy, i)[1];
    let h = |i: usize| 0.5 * d(&policy, i) - 0.5 * d(&other, i);
    let expected = (0..4).map(|i| (h(i) - 1.0).powi(2)).sum::<f64>() / 4.0;
    for prefix in ["history0", "prev"] {
        let rows: Vec<Value> = (0..4)
            .map(|i| row(i, columns(prefix, &other, i, |sum, _| sum)))
            .collect();
        close(first_loss(&rows, objective, policy.clone()), expected, 1e-4);
    }
}

/// Keeps what is said before anything is computed.
#[derive(Default)]
struct Header(String);

impl Observer for Header {
    fn train_header(&mut self, header: &TrainHeader) {
        self.0 = header.to_string();
    }
}

/// The header says whose log-probs the anchors are.
#[test]
fn the_header_names_the_anchors() {
    let header = |rows: &[Value], named: bool| {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path(), "out", rows, "eta = 0.5\ntau = 0.125");
        let mut models = Models::from(load(MODEL));
        if named {
            config.reference = model_section(OTHER);
            models.reference = Some(load(OTHER));
        }
        let mut observer = Header::default();
        train(&config, models, false, &mut observer).unwrap();
        observer.0
    };
    let of = |prefix: &'static str| -> Vec<Value> {
        let row = |i| row(i, columns(prefix, &load(OTHER), i, |sum, _| sum));
        (0..3).map(row).collect()
    };
    let cases = [
        (
            rows(3),
            false,
            [
                "pi_ref     the starting weights",
                "pi_t       the starting weights",
            ],
            "",
        ),
        (
            rows(3),
            true,
            [
                "pi_ref     tiny_llama_tied",
                "pi_t       the starting weights",
            ],
            "",
        ),
        (
            of("ref"),
            false,
            ["pi_ref     see given", "pi_t       the starting weights"],
            "given      ref_chosen_logps, ref_rejected_logps\n",
        ),
        (
            of("history0"),
            false,
            ["pi_ref     the starting weights", "pi_t       see given"],
            "given      history0_chosen_logps, history0_rejected_logps\n",
        ),
        (
            of("ref"),
            true,
            [
                "pi_ref     tiny_llama_tied",
                "pi_t       the starting weights",
            ],
            "given      ref_chosen_logps, ref_rejected_logps\n",
        ),
    ];
    for (rows, named, lines, given) in cases {
        let header = header(&rows, named);
        for line in lines {
            assert!(header.contains(&format!("{line}\n")), "{header}");
        }
        assert_eq!(header.contains("given  "), !given.is_empty(), "{header}");
        assert!(header.contains(given), "{header}");
        assert!(
            header.contains("anchors    0.2500 pi_ref + 0.7500 pi_t"),
            "{header}"
        );
    }
}

#[track_caller]
fn refused(rows: &[Value], objective: &str, reference: Option<Policy>) -> String {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), "out", rows, objective);
    let models = Models {
        reference,
        ..Models::from(load(MODEL))
    };
    let error = train(&config, models, false, &mut Silent).unwrap_err();
    assert!(error.is_input(), "{error}");
    assert!(!dir.path().join("out/policy").exists());
    error.to_string()
}

/// Means are refused, whoever's they are; the sums of the same policy are not.
#[test]
fn means_are_refused_and_sums_are_not() {
    let of = |policy: &Policy, map: &dyn Fn(f64, usize) -> f64| -> Vec<Value> {
        (0..7)
            .map(|i| row(i, columns("ref", policy, i, map)))
            .collect()
    };
    let mean = |sum: f64, tokens: usize| sum / tokens as f64;
    for name in [MODEL, OTHER] {
        let policy = load(name);
        let error = refused(&of(&policy, &mean), "algorithm = 'dpo'", None);
        assert!(
            error.contains("it looks like a mean over tokens, and sums are needed"),
            "{error}"
        );
        // Sums of a policy that is so much surer that they are as small as means.
        for scale in [1.0, 0.3, 0.1] {
            let surer = of(&policy, &|sum, _| sum * scale);
            first_loss(&surer, "algorithm = 'dpo'", load(MODEL));
        }
        // A named model decides, and says so.
        let error = refused(
            &of(&policy, &mean),
            "algorithm = 'dpo'",
            Some(policy.clone()),
        );
        assert!(
            error.contains("but the model that the configuration names gives -")
                && error.ends_with(": it looks like a mean over tokens, and sums are needed"),
            "{error}"
        );
    }
    // A file that says that it holds sums is believed, unless a model speaks against it.
    let says = |rows: Vec<Value>| -> Vec<Value> {
        let says = json!({"logp_reduction": "sum"});
        rows.into_iter()
            .map(|row| merge(row, says.clone()))
            .collect()
    };
    let policy = load(OTHER);
    first_loss(&says(of(&policy, &mean)), "algorithm = 'dpo'", load(MODEL));
    let error = refused(&says(of(&policy, &mean)), "algorithm = 'dpo'", Some(policy));
    assert!(
        error.contains("the model that the configuration names"),
        "{error}"
    );
}

/// Over one token mean and sum are the same.
#[test]
fn one_token_responses_are_not_taken_for_means() {
    for name in [MODEL, OTHER] {
        let policy = load(name);
        let rows: Vec<Value> = (0..6)
            .map(|i| {
                let [prompt, chosen, rejected] = ids(i);
                let sides = [&chosen[..1], &rejected[..1]];
                let sequences = sides.map(|ids| Sequence::new(&prompt, ids));
                let logps = policy.logps(&sequences).unwrap();
                json!({
                    "prompt_token_ids": prompt,
                    "chosen_token_ids": sides[0], "rejected_token_ids": sides[1],
                    "ref_chosen_logps": logps[0][0], "ref_rejected_logps": logps[1][0]
                })
            })
            .collect();
        first_loss(&rows, "algorithm = 'dpo'", load(MODEL));
        let models = Models {
            reference: Some(policy),
            ..Models::from(load(MODEL))
        };
        first_loss(&rows, "algorithm = 'dpo'", models);
    }
}

/// Given log-probs are compared with the model that is named, in the first, the middle, the last and the
/// longest row.
#[test]
fn given_log_probs_must_be_those_of_the_named_model() {
    let other = load(OTHER);
    let given = |wrong: Option<usize>| -> Vec<Value> {
        (0..8)
            .map(|i| {
                let shift = if wrong == Some(i) { 0.2 } else { 0.0 };
                row(i, columns("ref", &other, i, |sum, _| sum - shift))
            })
            .collect()
    };
    let models = Models {
        reference: Some(other.clone()),
        ..Models::from(load(MODEL))
    };
    // Computed or given, the loss is the same.
    let objective = "algorithm = 'ipo'\nbeta = 0.5";
    let computed = first_loss(&rows(8), objective, models.clone());
    close(first_loss(&given(None), objective, models), computed, 1e-9);
    // Responses have up to 3 + 6 = 9 tokens, in pair 2 alone.
    for wrong in [0, 2, 3, 7] {
        let error = refused(&given(Some(wrong)), objective, Some(other.clone()));
        let place = format!("line {}: `ref_chosen_logps` is -", wrong + 1);
        assert!(error.contains(&place), "{error}");
    }
}

/// The embedding of one id, in a copy of the policy's checkpoint, is not a number.
fn damaged(dir: &Path, id: usize) -> Policy {
    let model = dir.join("damaged");
    std::fs::create_dir_all(&model).unwrap();
    let source = fixture(MODEL);
    std::fs::copy(source.join("config.json"), model.join("config.json")).unwrap();
    let mut bytes = std::fs::read(source.join("model.safetensors")).unwrap();
    let (header, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let (start, end) = metadata
        .info("model.embed_tokens.weight")
        .unwrap()
        .data_offsets;
    assert_eq!(end - start, 64 * 32 * 4);
    // Eight bytes say how long the header is.
    let place = 8 + header + start + id * 32 * 4;
    bytes[place..place + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(model.join("model.safetensors"), bytes).unwrap();
    Policy::load(&model, &Device::flex()).unwrap()
}

/// The third pair is the only one with a damaged id, and comes in the third step: it is found before the
/// first.
#[test]
fn log_probs_that_are_not_finite_stop_everything_and_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let bad = damaged(dir.path(), 2);
    let mut pairs = rows(4);
    pairs[2]["rejected_token_ids"] = json!([7, 2, 8]);
    let others = || BTreeSet::from_iter((0..4).flat_map(|i| ids(i).concat()));
    assert!(!others().contains(&2));
    for (name, policy, reference, whose) in [
        ("policy", bad.clone(), None, "pi_ref"),
        ("reference", load(MODEL), Some(bad), "pi_ref"),
    ] {
        let mut config = config(dir.path(), name, &pairs, "eta = 0.1");
        config.train.per_device_train_batch_size = 1;
        config.train.gradient_accumulation_steps = 1;
        let models = Models {
            policy,
            reference,
            previous: None,
        };
        let error = train(&config, models, false, &mut Silent).unwrap_err();
        assert!(matches!(error, TrainError::NonFinite { .. }), "{error}");
        let file = dir.path().join("pairs.jsonl");
        assert_eq!(
            error.to_string(),
            format!(
                "the log-prob of the rejected response of {}, line 3, under {whose} is not finite; the \
                 optimiser was not moved",
                file.display()
            )
        );
        for file in ["policy", "anchors.safetensors", "metrics.jsonl"] {
            assert!(!config.output_dir.join(file).exists(), "{name}: {file}");
        }
    }
}

/// A loss beyond f32 stops before the step it belongs to.
#[test]
fn a_loss_that_is_not_finite_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut pairs = rows(3);
    for (i, row) in pairs.iter_mut().enumerate() {
        row["score_chosen"] = json!(if i == 1 { 1e300 } else { 1.0 });
        row["score_rejected"] = json!(0.0);
    }
    let config = config(dir.path(), "out", &pairs, "algorithm = 'rebel'\neta = 0.5");
    let error = train(&config, load(MODEL), false, &mut Silent).unwrap_err();
    let error = error.to_string();
    assert!(
        error.starts_with("step 1: the loss of ")
            && error.ends_with("pairs.jsonl, line 2 is not finite; the optimiser was not moved"),
        "{error}"
    );
    assert!(!config.output_dir.join("policy").exists());
}

/// The starting weights are the model with its adapter: h = 0, and the loss is (1/(2 * 0.1))^2 = 25.
#[test]
fn going_on_with_an_adapter_starts_from_it() {
    let dir = tempfile::tempdir().unwrap();
    let base = config(dir.path(), "adapter", &rows(8), "eta = 0.1");
    let with_lora = |config: &TrainConfig| {
        let mut config = config.clone();
        let lora = toml::from_str("rank = 2\nalpha = 4.0\n").unwrap();
        config.policy.lora = Some(lora);
        config.train.learning_rate = 0.05;
        config.train.num_train_epochs = 3;
        config
    };
    let lora = with_lora(&base);
    let trained = train(&lora, load(MODEL), false, &mut Silent).unwrap();
    close(
        first_step(&lora.output_dir)["loss"].as_f64().unwrap(),
        25.0,
        1e-4,
    );
    let moved = logps(&trained, 0)[0] - logps(&load(MODEL), 0)[0];
    assert!(moved.abs() > 0.05, "the adapter does something: {moved}");

    let section = PolicySection {
        model: fixture(MODEL).display().to_string(),
        adapter: Some(dir.path().join("adapter/policy")),
        ..base.policy.clone()
    };
    let models = Models::load(&section, None, None, &Device::flex()).unwrap();
    close(logps(&models.policy, 0)[0], logps(&trained, 0)[0], 1e-5);
    let mut again = config(dir.path(), "again", &rows(8), "eta = 0.1");
    again.policy = section.clone();
    let policy = train(&again, models.clone(), false, &mut Silent).unwrap();
    let first = first_step(&again.output_dir);
    close(first["loss"].as_f64().unwrap(), 25.0, 1e-4);
    assert!(
        first["inpo/h_mean"].as_f64().unwrap().abs() < 1e-4,
        "{first}"
    );
    // What was written is the base model's adapter, and is read again.
    assert!(
        again
            .output_dir
            .join("policy/adapter_model.safetensors")
            .exists()
    );
    let read = train(&again, models.clone(), true, &mut Silent).unwrap();
    assert_eq!(logps(&read, 3), logps(&policy, 3));

    // Against the model without its adapter h is the adapter's.
    let mut other = config(
        dir.path(),
        "other",
        &rows(8),
        "algorithm = 'ipo'\nbeta = 0.5",
    );
    other.policy = section;
    let start = models.policy.clone();
    let plain = load(MODEL);
    let against = Models {
        reference: Some(plain.clone()),
        ..models
    };
    train(&other, against, false, &mut Silent).unwrap();
    let d = |policy: &Policy, i: usize| logps(policy, i)[0] - logps(policy, i)[1];
    let loss = |i: usize| (d(&start, i) - d(&plain, i) - 1.0).powi(2);
    let expected = (0..8).map(loss).sum::<f64>() / 8.0;
    close(
        first_step(&other.output_dir)["loss"].as_f64().unwrap(),
        expected,
        1e-3,
    );

    let mut both = with_lora(&again);
    both.output_dir = dir.path().join("both");
    let error = train(&both, load(MODEL), false, &mut Silent)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("`policy.adapter` is ")
            && error.ends_with("or policy.lora for fresh ones, not both"),
        "{error}"
    );
    assert!(!both.output_dir.exists());
}

/// A tiny model of `vocab_size` ids with hidden size `hidden`.
fn tiny(vocab_size: usize, hidden: usize) -> Policy {
    let mut config: Value = json_of(&fixture(OTHER).join("config.json"));
    config["vocab_size"] = vocab_size.into();
    config["hidden_size"] = hidden.into();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    std::fs::write(&path, config.to_string()).unwrap();
    let config = ModelConfig::from_hf_json(&path).unwrap();
    Policy::init(config, hidden as u64, &Device::flex()).unwrap()
}

#[test]
fn models_of_other_token_ids_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), "out", &rows(2), "eta = 0.1");
    let other = Some(tiny(65, 32));
    let reference = Models {
        reference: other.clone(),
        ..Models::from(load(MODEL))
    };
    let previous = Models {
        previous: other,
        ..Models::from(load(MODEL))
    };
    for (models, key) in [(reference, "reference"), (previous, "previous")] {
        let error = train(&config, models, false, &mut Silent).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("`{key}.model's vocabulary` is 65; allowed: 64, as the policy has")
        );
    }
    assert!(!config.output_dir.exists());
}

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
            config.train.per_device_train_batch_size = 1;
            config.train.num_train_epochs = 2;
            if lora {
                config.policy.lora = Some(toml::from_str("rank = 2\nalpha = 4.0\n").unwrap());
            }
            config
        };
        let models = || Models {
            reference: Some(load(OTHER)),
            ..Models::from(load(MODEL))
        };
        let whole = settings(&format!("whole-{lora}"));
        let policy = train(&whole, models(), false, &mut Silent).unwrap();
        let steps = json_of(&whole.output_dir.join("trainer_state.json"))["global_step"].clone();
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
            let root = &config.output_dir;
            for file in lost {
                let path = root.join(file);
                match path.is_dir() {
                    true => std::fs::remove_dir_all(path).unwrap(),
                    false => std::fs::remove_file(path).unwrap(),
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
            assert_same(root, &whole.output_dir);
            assert_eq!(logps(&again, 1), logps(&policy, 1), "{name}");
        }
    }
}

/// What decides the losses must be the same when a training is gone on with.
#[test]
fn a_training_is_not_gone_on_with_on_other_data() {
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
        previous,
        ..Models::from(load(MODEL))
    };
    let go_on = |rows: &[Value], models: Models, resume| {
        let config = config(dir.path(), "out", rows, objective);
        train(&config, models, resume, &mut Silent)
    };
    go_on(&first(0.75, 0.0), models(None), false).unwrap();
    go_on(&first(0.75, 0.0), models(None), true).unwrap();
    let cases = [
        (first(0.5, 0.0), None),
        (first(0.75, 0.5), None),
        (first(0.75, 0.0)[..2].to_vec(), None),
        (first(0.75, 0.0), Some(load(OTHER))),
    ];
    for (rows, previous) in cases {
        let error = go_on(&rows, models(previous), true).unwrap_err();
        assert!(matches!(error, TrainError::OtherRun(_)), "{error}");
    }
    let error = go_on(&first(0.75, 0.0), models(None), false).unwrap_err();
    assert!(matches!(error, TrainError::RunExists(_)), "{error}");
}

/// With one pair a step and next to no step size, log-probs say which pair a step had.
#[test]
fn the_order_depends_on_the_seed_alone() {
    let dir = tempfile::tempdir().unwrap();
    let policy = load(MODEL);
    let of_pair: Vec<f64> = (0..7).map(|i| logps(&policy, i)[0]).collect();
    let order = |name: &str, seed: u64, change: &dyn Fn(&mut TrainConfig)| -> Vec<usize> {
        let mut config = config(dir.path(), name, &rows(7), "eta = 0.1");
        config.seed = seed;
        config.data.shuffle = true;
        config.train.learning_rate = 1e-12;
        config.train.per_device_train_batch_size = 1;
        config.train.gradient_accumulation_steps = 1;
        config.train.num_train_epochs = 2;
        change(&mut config);
        train(&config, policy.clone(), false, &mut Silent).unwrap();
        let state = json_of(&config.output_dir.join("trainer_state.json"));
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
        config.train.learning_rate = 2e-12;
        config.objective.eta = Some(0.2);
        config.train.weight_decay = 0.1;
    };
    assert_eq!(order("c", 1, &other), first);
    let lora = |config: &mut TrainConfig| {
        config.policy.lora = Some(toml::from_str("rank = 2\nalpha = 4.0\n").unwrap());
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

/// Resident memory of this process, in MiB.
#[cfg(target_os = "linux")]
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024.0
}

/// Memory before anything is computed and in the first step.
#[cfg(target_os = "linux")]
#[derive(Default)]
struct Memory {
    before: f64,
    training: f64,
}

#[cfg(target_os = "linux")]
impl Observer for Memory {
    fn train_header(&mut self, _header: &TrainHeader) {
        self.before = resident();
    }

    fn step(&mut self, _iteration: usize, _metrics: &StepMetrics) {
        self.training = resident();
    }
}

/// Training reads cached log-probs only: the 256 MiB of the reference and of the previous policy are gone by
/// the first step (the policy has 1 MiB).
#[cfg(target_os = "linux")]
#[test]
fn only_the_policy_is_in_memory_while_training() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), "out", &rows(2), "eta = 0.1");
    let large = || Some(tiny(16_384, 2048));
    let models = Models {
        policy: tiny(16_384, 16),
        reference: large(),
        previous: large(),
    };
    let mut memory = Memory::default();
    train(&config, models, false, &mut memory).unwrap();
    let Memory { before, training } = memory;
    assert!(before > 256.0, "both models are there: {before} MiB");
    assert!(
        before - training > 200.0,
        "{before} MiB before, {training} MiB in the first step"
    );
}
