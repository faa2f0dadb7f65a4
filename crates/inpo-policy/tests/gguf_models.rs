//! Models in GGUF files, from the file to log-probs, against transformers in f64 on the same file
//! (`fixtures/gguf/make_gguf.py`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use inpo_policy::{Policy, Sequence};
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
