//! Numbers that are not finite stop the training.

use std::collections::BTreeSet;
use std::path::Path;

use burn::tensor::Device;
use inpo_policy::Policy;
use inpo_train::{Models, Silent, TrainError};
use serde_json::json;

use crate::setup::{MODEL, config, fixture, ids, load, rows, train};

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
            reference: reference.map(Into::into),
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
