//! Numbers that are not finite stop the training.

use std::collections::BTreeSet;

use burn::tensor::Tensor;
use inpo_policy::Policy;
use inpo_train::{Models, Silent, TrainError};
use serde_json::json;

use crate::setup::{MODEL, config, ids, load, rows, train};

/// The policy with an embedding of one id that is not a number. A file with such a weight is not read, so it
/// is put in afterwards, as a training that diverged would.
fn damaged(id: usize) -> Policy {
    let policy = load(MODEL);
    let mut decoder = policy.decoder().clone();
    decoder.embed_tokens = decoder.embed_tokens.map(|table| {
        let nan = Tensor::full([1, 1], f32::NAN, &table.device());
        table.slice_assign([id..id + 1, 0..1], nan)
    });
    policy.with_decoder(&decoder)
}

/// The third pair is the only one with a damaged id, and comes in the third step: it is found before the
/// first.
#[test]
fn log_probs_that_are_not_finite_stop_everything_and_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let bad = damaged(2);
    let mut pairs = rows(4);
    pairs[2]["rejected_token_ids"] = json!([7, 2, 8]);
    let others = || BTreeSet::from_iter((0..4).flat_map(|i| ids(i).concat()));
    assert!(!others().contains(&2));
    for (name, policy, reference, whose) in [
        ("policy", bad.clone(), None, "pi_ref"),
        ("reference", load(MODEL), Some(bad), "pi_ref"),
    ] {
        let mut config = config(dir.path(), name, &pairs, "eta = 0.1");
        config.common.train.per_device_train_batch_size = 1;
        config.common.train.gradient_accumulation_steps = 1;
        let models = Models {
            policy,
            reference: reference.map(Into::into),
            previous: None,
            opponents: Vec::new(),
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
            assert!(
                !config.common.output_dir.join(file).exists(),
                "{name}: {file}"
            );
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
    assert!(!config.common.output_dir.join("policy").exists());
}
