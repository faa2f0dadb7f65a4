//! What `scripts/check-exports.py` has transformers and PEFT read.

use std::path::PathBuf;

use burn::module::Module;
use inpo_policy::{FloatType, LoraConfig, SaveOptions};
use serde_json::json;

use crate::adapters::trained;
use crate::setup::{checkpoints, fixture, load};

/// For every architecture: the model saved whole, sharded and in bf16, an adapter and the model with the adapter
/// added, each with our log-probs.
#[test]
#[ignore = "writes files for scripts/check-exports.py, which runs it"]
fn export_every_architecture() {
    let dir = PathBuf::from(std::env::var("INPO_EXPORT_DIR").expect("INPO_EXPORT_DIR is set"));
    let config = LoraConfig {
        rank: 3,
        alpha: 6.0,
        use_rslora: true,
        ..LoraConfig::default()
    };
    let mut log = serde_json::Map::new();
    for (name, expected) in checkpoints(false) {
        let base = load(&name);
        let (sequences, _) = expected.sequences();
        let logps = |policy: &inpo_policy::Policy| policy.logps(&sequences).unwrap();
        let place = |kind: &str| dir.join(&name).join(kind);
        base.save("unused", &place("whole")).unwrap();
        let sharded = SaveOptions {
            max_shard_bytes: 6_000,
            ..SaveOptions::default()
        };
        base.save_whole(&place("sharded"), &sharded).unwrap();
        let half = SaveOptions {
            dtype: Some(FloatType::Bf16),
            ..SaveOptions::default()
        };
        base.save_whole(&place("bf16"), &half).unwrap();
        let half = inpo_policy::Policy::load(&place("bf16"), &base.decoder().device()).unwrap();
        let policy = trained(&base, &config);
        policy.save("base", &place("adapter")).unwrap();
        policy
            .save_whole(&place("merged"), &SaveOptions::default())
            .unwrap();
        // A configuration that is made here and not handed on.
        let made = place("made");
        base.save("unused", &made).unwrap();
        std::fs::write(
            made.join("config.json"),
            base.config().to_hf_json().to_string(),
        )
        .unwrap();
        let ids: Vec<_> = sequences.iter().map(|s| s.ids.clone()).collect();
        let entry = json!({
            "base": fixture(&name), "ids": ids, "whole": logps(&base), "sharded": logps(&base),
            "made": logps(&base), "bf16": logps(&half), "adapter": logps(&policy),
            "merged": logps(&policy.merged()),
        });
        assert_eq!(base.decoder().num_params(), half.decoder().num_params());
        log.insert(name, entry);
    }
    let text = serde_json::to_vec(&log).unwrap();
    std::fs::write(dir.join("logps.json"), text).unwrap();
}
