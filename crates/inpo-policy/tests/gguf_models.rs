//! Models in GGUF files, from the file to log-probs, against transformers in f64 on the same file
//! (`fixtures/gguf/make_gguf.py`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use inpo_policy::{DrawKey, GenerationConfig, LoraConfig, Policy, PromptTask, Sequence};
use serde::Deserialize;

#[derive(Deserialize)]
struct Expected {
    ids: Vec<u32>,
    token_logps: Vec<f64>,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/gguf")
        .join(name)
}

#[test]
fn log_probs_of_every_family_are_those_of_transformers() {
    let expected = std::fs::read(fixture("expected.json")).unwrap();
    let expected: BTreeMap<String, Expected> = serde_json::from_slice(&expected).unwrap();
    assert_eq!(expected.len(), 6);
    for (name, expected) in expected {
        let path = fixture(&format!("{name}.gguf"));
        let policy = Policy::load(&path, &Device::flex()).unwrap();
        let sequence = Sequence::new(&expected.ids[..1], &expected.ids[1..]);
        let found = policy.logps(&[sequence]).unwrap().remove(0);
        assert_eq!(found.len(), expected.token_logps.len());
        for (found, expected) in found.iter().zip(&expected.token_logps) {
            // f32 against f64.
            assert!(
                (found - expected).abs() < 2e-4,
                "{name}: {found}, {expected}"
            );
        }
    }
}

/// A model in four files, of which the first has no tensors, is the one in one (`fixtures/gguf/split_gguf.py`).
#[test]
fn a_split_model_is_the_one_it_was_made_of() {
    let load = |name| Policy::load(&fixture(name), &Device::flex()).unwrap();
    let [whole, split] = ["llama.gguf", "split/llama-00001-of-00004.gguf"].map(load);
    let sequences = [Sequence::new(&[1], &[5, 9, 20, 33])];
    assert_eq!(
        split.logps(&sequences).unwrap(),
        whole.logps(&sequences).unwrap()
    );
    assert_eq!(split.config(), whole.config());
    let hash = |policy: &Policy| policy.codec().unwrap().tokenizer_hash();
    assert_eq!(hash(&split), hash(&whole));
    assert_ne!(split.identity(), whole.identity(), "that of all files");
}

/// Sampling multiplies with the file's blocks, scoring with f32 weights: both give a sample the same log-probs, with the weights
/// of the file, with adapters on them, and with weights that are no longer the file's.
#[test]
fn samples_have_the_log_probs_of_the_weights_as_they_are() {
    for name in ["llama", "qwen2", "gemma3"] {
        let path = fixture(&format!("{name}.gguf"));
        let policy = Policy::load(&path, &Device::flex()).unwrap();
        let adapted = policy.clone();
        let adapted = adapted.with_adapters(&LoraConfig::default(), 1).unwrap();
        let policies = [changed(&policy), changed(&adapted), policy];
        let sums = policies.map(|policy| {
            let ids = vec![1, 5, 7];
            let prompt = [PromptTask { ids, number: 0 }];
            let config = GenerationConfig {
                num_generations: 3,
                max_new_tokens: 8,
                ..GenerationConfig::default()
            };
            let drawn = policy.generate(&prompt, &config, DrawKey::new(0, 0), &mut |_| {});
            for sample in drawn.unwrap().samples.remove(0) {
                let sequence = Sequence::new(&prompt[0].ids, &sample.ids);
                let scored = policy.logps(&[sequence]).unwrap().remove(0);
                for (drawn, scored) in sample.logps.iter().zip(&scored) {
                    assert!((drawn - scored).abs() < 1e-4, "{name}: {drawn}, {scored}");
                }
            }
            let fixed = Sequence::new(&prompt[0].ids, &[2, 3, 4]);
            policy.logps(&[fixed]).unwrap()[0].iter().sum::<f64>()
        });
        // The changes are far beyond what is allowed above.
        assert!((sums[0] - sums[2]).abs() > 1e-2, "{name}: {sums:?}");
        assert!((sums[1] - sums[2]).abs() > 1e-3, "{name}: {sums:?}");
    }
}

/// `policy` with other values in its adapters, or in its weights where it has none.
fn changed(policy: &Policy) -> Policy {
    let mut decoder = policy.decoder().clone();
    for layer in &mut decoder.layers {
        let projection = &mut layer.mlp.down_proj;
        match &mut projection.lora {
            Some(path) => path.b = path.b.clone().map(|b| b.add_scalar(0.1)),
            None => {
                let weight = projection.weight.clone();
                projection.weight = weight.map(|weight| weight.add_scalar(0.1));
            }
        }
    }
    policy.with_decoder(&decoder)
}
