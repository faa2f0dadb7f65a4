//! Hugging Face directories out and in again.

use std::collections::BTreeSet;
use std::path::Path;

use burn::tensor::Device;
use inpo_policy::files::ModelFiles;
use inpo_policy::{FloatType, ModelConfig, Policy, SaveOptions};
use safetensors::SafeTensors;
use serde_json::Value;

use crate::setup::{checkpoints, fixture, largest_gap, load};

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn files(dir: &Path) -> BTreeSet<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().file_name().into_string().unwrap()
    };
    std::fs::read_dir(dir).unwrap().map(name).collect()
}

/// The names and shapes of a directory's tensors are those that transformers wrote, its configuration is the
/// one that was read but for the float type, and its values are the same to the bit.
#[test]
fn what_is_saved_is_what_was_read() {
    for (name, expected) in checkpoints(false) {
        let policy = load(&name);
        let dir = tempfile::tempdir().unwrap();
        policy.save("unused", dir.path()).unwrap();
        let single = ["config.json", "model.safetensors"].map(str::to_owned);
        assert_eq!(files(dir.path()), single.into());

        let read = |dir: &Path| std::fs::read(dir.join("model.safetensors")).unwrap();
        let (ours, theirs) = (read(dir.path()), read(&fixture(&name)));
        let (_, header) = SafeTensors::read_metadata(&ours).unwrap();
        let format = header.metadata().as_ref().and_then(|m| m.get("format"));
        assert_eq!(format.map(String::as_str), Some("pt"));
        let shapes = |bytes: &[u8]| {
            let file = SafeTensors::deserialize(bytes).unwrap();
            let shape = |(name, view): (&str, safetensors::tensor::TensorView<'_>)| {
                (name.to_owned(), view.shape().to_vec())
            };
            file.iter().map(shape).collect::<BTreeSet<_>>()
        };
        assert_eq!(shapes(&ours), shapes(&theirs), "{name}");

        let (mut ours, mut theirs) = (
            json(&dir.path().join("config.json")),
            json(&fixture(&name).join("config.json")),
        );
        assert_eq!(ours["dtype"], "float32");
        (ours["dtype"], theirs["dtype"]) = (Value::Null, Value::Null);
        assert_eq!(ours.to_string(), theirs.to_string(), "{name}");

        let loaded = Policy::load(dir.path(), &Device::flex()).unwrap();
        assert_eq!(loaded.config(), policy.config());
        let (sequences, _) = expected.sequences();
        let [ours, theirs] = [&loaded, &policy].map(|p| p.logps(&sequences).unwrap());
        assert_eq!(ours, theirs, "{name}");
    }
}

/// A configuration that is made and not handed on says the same.
#[test]
fn a_made_configuration_reads_back() {
    for name in checkpoints(false)
        .into_keys()
        .chain(checkpoints(true).into_keys())
    {
        let config = ModelFiles::open(&fixture(&name)).unwrap().config;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, config.to_hf_json().to_string()).unwrap();
        assert_eq!(ModelConfig::from_hf_json(&path).unwrap(), config, "{name}");
    }
}

/// Shards hold each tensor once, none is larger than asked unless it is one tensor, and a later save of one
/// file takes the index away.
#[test]
fn large_models_are_sharded() {
    let policy = load("gemma2");
    let dir = tempfile::tempdir().unwrap();
    let most = 8_000;
    let options = SaveOptions {
        max_shard_bytes: most,
        ..SaveOptions::default()
    };
    policy.save_whole(dir.path(), &options).unwrap();
    let names = files(dir.path());
    assert!(!names.contains("model.safetensors"));
    let index = json(&dir.path().join("model.safetensors.index.json"));
    let shards: BTreeSet<&str> = index["weight_map"]
        .as_object()
        .unwrap()
        .values()
        .map(|file| file.as_str().unwrap())
        .collect();
    assert!(shards.len() > 3);
    let mut total = 0;
    for shard in &shards {
        let bytes = std::fs::read(dir.path().join(shard)).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let size: usize = file.iter().map(|(_, view)| view.data().len()).sum();
        assert!(size <= most, "{shard}: {size}");
        total += size;
    }
    assert_eq!(index["metadata"]["total_size"], total);
    let sequences = [inpo_policy::Sequence::new(&[5], &[9, 11, 40])];
    let expected = policy.logps(&sequences).unwrap();
    let loaded = Policy::load(dir.path(), &Device::flex()).unwrap();
    assert_eq!(loaded.logps(&sequences).unwrap(), expected);

    policy.save("unused", dir.path()).unwrap();
    assert!(!files(dir.path()).contains("model.safetensors.index.json"));
    let loaded = Policy::load(dir.path(), &Device::flex()).unwrap();
    assert_eq!(loaded.logps(&sequences).unwrap(), expected);
}

/// 16 bits hold what came from 16 bits; f16 refuses what it cannot hold.
#[test]
fn float_types_can_be_chosen() {
    for (name, stored) in [("llama_linear", FloatType::Bf16), ("qwen2", FloatType::F16)] {
        let policy = load(name);
        let dir = tempfile::tempdir().unwrap();
        let options = SaveOptions {
            dtype: Some(stored),
            ..SaveOptions::default()
        };
        policy.save_whole(dir.path(), &options).unwrap();
        let (ours, theirs) = (
            dir.path().join("config.json"),
            fixture(name).join("config.json"),
        );
        assert_eq!(
            json(&ours),
            json(&theirs),
            "{name}: the type is the one it had"
        );
        let size = |dir: &Path| {
            std::fs::metadata(dir.join("model.safetensors"))
                .unwrap()
                .len()
        };
        assert!(
            size(dir.path()).abs_diff(size(&fixture(name))) < 200,
            "{name}"
        );
        let sequences = [inpo_policy::Sequence::new(&[5], &[9, 11, 40])];
        let loaded = Policy::load(dir.path(), &Device::flex()).unwrap();
        let [ours, theirs] = [&loaded, &policy].map(|p| p.logps(&sequences).unwrap());
        assert_eq!(largest_gap(&ours, &theirs), 0.0, "{name}");
    }
}

/// Tokenizer and template files go along byte for byte, whatever is in them.
#[test]
fn the_files_around_the_weights_are_handed_on() {
    let from = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture("qwen2").join(file), from.path().join(file)).unwrap();
    }
    let around = [
        (
            "generation_config.json",
            r#"{"eos_token_id": [2, 7], "temperature": 0.6}"#,
        ),
        ("chat_template.jinja", "{{ messages[0].content }}"),
        ("merges.txt", "#version: 0.2\na b\n"),
        ("additional_chat_templates/tool_use.jinja", "{{ tools }}"),
    ];
    std::fs::create_dir(from.path().join("additional_chat_templates")).unwrap();
    for (file, text) in around {
        std::fs::write(from.path().join(file), text).unwrap();
    }
    let policy = Policy::load(from.path(), &Device::flex()).unwrap();
    assert_eq!(policy.config().eos_token_ids, [2, 7]);
    let to = tempfile::tempdir().unwrap();
    policy.save("unused", to.path()).unwrap();
    for (file, text) in around {
        assert_eq!(std::fs::read_to_string(to.path().join(file)).unwrap(), text);
    }
    // In its own place nothing is lost.
    policy.save("unused", from.path()).unwrap();
    assert_eq!(files(from.path()), files(to.path()));
}

#[test]
fn a_weight_that_is_not_finite_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let source = fixture("qwen3");
    std::fs::copy(source.join("config.json"), dir.path().join("config.json")).unwrap();
    let mut bytes = std::fs::read(source.join("model.safetensors")).unwrap();
    let (header, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let name = "model.layers.1.self_attn.k_norm.weight";
    let (start, _) = metadata.info(name).unwrap().data_offsets;
    let at = 8 + header + start + 4 * 3;
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(dir.path().join("model.safetensors"), bytes).unwrap();
    let error = Policy::load(dir.path(), &Device::flex()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "tensor `{name}` holds NaN at index 3; weights must be finite: fetch the file again, or check \
             the training that wrote it"
        )
    );
}
