//! Adapters to train further, and models that do not fit together.

use std::convert::Infallible;
use std::path::PathBuf;

use burn::tensor::Device;
use inpo_policy::Policy;
use inpo_train::config::{CommonConfig, ModelSection, PolicySection};
use inpo_train::{Models, Silent, TrainConfig};

use crate::setup::{
    MODEL, OTHER, close, config, first_step, fixture, load, logps, rows, tiny, train,
};

/// The models that `config` names, by their paths.
fn load_models(config: &TrainConfig) -> Models {
    let find = |name: &str| Ok::<_, Infallible>(PathBuf::from(name));
    Models::load(
        &config.common,
        config.previous.as_ref(),
        &Device::flex(),
        find,
    )
    .unwrap()
}

/// The starting weights are the model with its adapter: h = 0, and the loss is (1/(2 * 0.1))^2 = 25.
#[test]
fn going_on_with_an_adapter_starts_from_it() {
    let dir = tempfile::tempdir().unwrap();
    let base = config(dir.path(), "adapter", &rows(8), "eta = 0.1");
    let with_lora = |config: &TrainConfig| {
        let mut config = config.clone();
        let lora = toml::from_str("rank = 2\nalpha = 4.0\n").unwrap();
        config.common.policy.lora = Some(lora);
        config.common.train.learning_rate = 0.05;
        config.common.train.num_train_epochs = 3.0;
        config
    };
    let lora = with_lora(&base);
    let trained = train(&lora, load(MODEL), false, &mut Silent).unwrap();
    close(
        first_step(&lora.common.output_dir)["loss"]
            .as_f64()
            .unwrap(),
        25.0,
        1e-4,
    );
    let moved = logps(&trained, 0)[0] - logps(&load(MODEL), 0)[0];
    assert!(moved.abs() > 0.05, "the adapter does something: {moved}");

    let section = PolicySection {
        model: fixture(MODEL).display().to_string(),
        adapter: Some(dir.path().join("adapter/policy")),
        ..base.common.policy.clone()
    };
    let models = load_models(&TrainConfig {
        common: CommonConfig {
            policy: section.clone(),
            ..base.common.clone()
        },
        ..base.clone()
    });
    close(logps(&models.policy, 0)[0], logps(&trained, 0)[0], 1e-5);
    let mut again = config(dir.path(), "again", &rows(8), "eta = 0.1");
    again.common.policy = section.clone();
    let policy = train(&again, models.clone(), false, &mut Silent).unwrap();
    let first = first_step(&again.common.output_dir);
    close(first["loss"].as_f64().unwrap(), 25.0, 1e-4);
    assert!(
        first["inpo/h_mean"].as_f64().unwrap().abs() < 1e-4,
        "{first}"
    );
    // What was written is the base model's adapter, and is read again.
    assert!(
        again
            .common
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
    other.common.policy = section;
    let start = models.policy.clone();
    let plain = load(MODEL);
    let against = Models {
        reference: Some(plain.clone().into()),
        ..models
    };
    train(&other, against, false, &mut Silent).unwrap();
    let d = |policy: &Policy, i: usize| logps(policy, i)[0] - logps(policy, i)[1];
    let loss = |i: usize| (d(&start, i) - d(&plain, i) - 1.0).powi(2);
    let expected = (0..8).map(loss).sum::<f64>() / 8.0;
    close(
        first_step(&other.common.output_dir)["loss"]
            .as_f64()
            .unwrap(),
        expected,
        1e-3,
    );

    let mut both = with_lora(&again);
    both.common.output_dir = dir.path().join("both");
    let error = train(&both, load(MODEL), false, &mut Silent)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("`policy.adapter` is ")
            && error.ends_with("or policy.lora for fresh ones, not both"),
        "{error}"
    );
    assert!(!both.common.output_dir.exists());
}

#[test]
fn models_of_other_token_ids_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), "out", &rows(2), "eta = 0.1");
    let other = Some(tiny(65, 32).into());
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
    assert!(!config.common.output_dir.exists());
}

/// Models that a configuration names leave memory until they are scored: what is read then is the same, and
/// files that hold something else by then are refused.
#[test]
fn models_are_read_again_when_they_are_scored() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("other");
    let copy = |name: &str| {
        std::fs::create_dir_all(&place).unwrap();
        for entry in std::fs::read_dir(fixture(name)).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, place.join(path.file_name().unwrap())).unwrap();
        }
    };
    copy(OTHER);
    let other = ModelSection {
        model: place.display().to_string(),
        adapter: None,
    };
    let mut named = config(dir.path(), "named", &rows(8), "eta = 0.1");
    named.common.policy.model = fixture(MODEL).display().to_string();
    named.common.reference = Some(other.clone());
    named.previous = Some(other);
    let models = || load_models(&named);
    train(&named, models(), false, &mut Silent).unwrap();

    let held = Models {
        reference: Some(load(OTHER).into()),
        previous: Some(load(OTHER).into()),
        ..Models::from(load(MODEL))
    };
    let here = config(dir.path(), "here", &rows(8), "eta = 0.1");
    train(&here, held, false, &mut Silent).unwrap();
    for key in ["loss", "inpo/h_mean", "inpo/delta_ref", "inpo/delta_prev"] {
        let [got, expected] =
            [&named, &here].map(|config| first_step(&config.common.output_dir)[key].clone());
        assert_eq!(got, expected, "{key}");
    }

    let loaded = models();
    copy(MODEL);
    named.common.output_dir = dir.path().join("changed");
    let error = train(&named, loaded, false, &mut Silent).unwrap_err();
    let expected = format!(
        "{}: it is another model now than at the beginning",
        place.display()
    );
    assert_eq!(error.to_string(), expected);
}
