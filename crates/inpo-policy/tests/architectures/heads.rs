//! A head beside an embedding that the configuration ties it to (`fixtures/make_heads.py`).

use std::path::Path;

use burn::tensor::Device;
use inpo_policy::{Policy, Sequence};
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::Value;

use crate::setup::largest_gap;

const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";
const WEIGHTS: &str = "model.safetensors";

fn fixtures() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures"))
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// `tiny_llama_tied` with a head of the embedding's rows in the order of `rows`, and with an embedding or without.
fn with_head(rows: impl Fn(usize) -> usize, embedding: bool) -> tempfile::TempDir {
    let from = fixtures().join("tiny_llama_tied");
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(from.join("config.json"), dir.path().join("config.json")).unwrap();
    let bytes = std::fs::read(from.join(WEIGHTS)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let own = file.tensor(EMBEDDING).unwrap();
    let [vocab, hidden] = own.shape() else {
        panic!("an embedding is a matrix")
    };
    let row = |n: usize| &own.data()[n * hidden * 4..][..hidden * 4];
    let head: Vec<u8> = (0..*vocab).flat_map(|n| row(rows(n)).to_vec()).collect();
    let mut tensors = file.tensors();
    tensors.retain(|(name, _)| embedding || name != EMBEDDING);
    let head = TensorView::new(safetensors::Dtype::F32, own.shape().to_vec(), &head).unwrap();
    tensors.push((HEAD.to_owned(), head));
    let out = safetensors::serialize(tensors, None).unwrap();
    std::fs::write(dir.path().join(WEIGHTS), out).unwrap();
    dir
}

fn load(dir: &Path) -> Policy {
    Policy::load(dir, &Device::flex()).unwrap()
}

/// An equal head is left out, a different one unties the model and is written again, and one without an embedding is both.
#[test]
fn a_head_beside_a_tied_embedding_is_what_transformers_makes_of_it() {
    let expected = json(&fixtures().join("heads.json"));
    let ids: Vec<u32> = serde_json::from_value(expected["ids"].clone()).unwrap();
    let sequences = [Sequence::new(&ids[..1], &ids[1..])];
    let gap = |policy: &Policy, name: &str| {
        let rows: Vec<f64> = serde_json::from_value(expected[name].clone()).unwrap();
        largest_gap(&policy.logps(&sequences).unwrap(), &[rows])
    };
    for (name, rows, embedding) in [
        ("equal", (|n| n) as fn(usize) -> usize, true),
        ("alone", |n| n, false),
        ("reversed", |n| 63 - n, true),
    ] {
        let dir = with_head(rows, embedding);
        let policy = load(dir.path());
        assert!(gap(&policy, name) < 1e-4, "{name}");
        let differs = name == "reversed";
        assert_eq!(policy.config().tie_word_embeddings, !differs, "{name}");
        if differs {
            assert_eq!(
                policy.notes(),
                [format!(
                    "{}: `tie_word_embeddings` is true, but `lm_head.weight` is not the embedding; the head is used as it is in the file, and the model is taken as not tied",
                    dir.path().join(WEIGHTS).display()
                )]
            );
        } else {
            assert!(policy.notes().is_empty(), "{name}");
        }
        let saved = tempfile::tempdir().unwrap();
        policy.save("unused", saved.path()).unwrap();
        let config = json(&saved.path().join("config.json"));
        assert_eq!(config["tie_word_embeddings"], !differs, "{name}");
        let again = load(saved.path());
        assert!(again.notes().is_empty(), "{name}");
        assert!(gap(&again, name) < 1e-4, "{name}");
    }
}
