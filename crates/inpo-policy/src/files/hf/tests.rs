use std::collections::HashMap;

use half::{bf16, f16};
use inpo_data::sha256;
use proptest::prelude::*;
use safetensors::tensor::{TensorView, serialize_to_file};
use serde_json::{Value, json};

use super::*;

/// A model with 1 layer, hidden size 4, 2 heads and 1 key head of width 2, feed-forward 3,
/// vocabulary 5. Values count up from 0 within each tensor.
fn config(tied: bool) -> Value {
    json!({
        "model_type": "llama", "vocab_size": 5, "hidden_size": 4, "intermediate_size": 3,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
        "tie_word_embeddings": tied, "eos_token_id": 4,
    })
}

type Tensor = (String, Vec<usize>, Dtype, Vec<u8>);

fn tensor(name: &str, shape: &[usize], dtype: Dtype) -> Tensor {
    let count = shape.iter().product::<usize>();
    let values = (0..count).map(|i| i as f32);
    let bytes = match dtype {
        Dtype::F16 => values
            .flat_map(|x| f16::from_f32(x).to_le_bytes())
            .collect(),
        Dtype::BF16 => values
            .flat_map(|x| bf16::from_f32(x).to_le_bytes())
            .collect(),
        _ => values.flat_map(f32::to_le_bytes).collect(),
    };
    (name.to_owned(), shape.to_vec(), dtype, bytes)
}

fn tensors(tied: bool, dtype: Dtype) -> Vec<Tensor> {
    let mut list = vec![tensor("model.embed_tokens.weight", &[5, 4], dtype)];
    let layer = |name: &str, shape: &[usize]| {
        tensor(&format!("model.layers.0.{name}.weight"), shape, dtype)
    };
    list.push(layer("input_layernorm", &[4]));
    list.push(layer("self_attn.q_proj", &[4, 4]));
    list.push(layer("self_attn.k_proj", &[2, 4]));
    list.push(layer("self_attn.v_proj", &[2, 4]));
    list.push(layer("self_attn.o_proj", &[4, 4]));
    list.push(layer("post_attention_layernorm", &[4]));
    list.push(layer("mlp.gate_proj", &[3, 4]));
    list.push(layer("mlp.up_proj", &[3, 4]));
    list.push(layer("mlp.down_proj", &[4, 3]));
    list.push(tensor("model.norm.weight", &[4], dtype));
    if !tied {
        list.push(tensor("lm_head.weight", &[5, 4], dtype));
    }
    list
}

fn write(path: &Path, tensors: &[Tensor]) {
    let views = tensors.iter().map(|(name, shape, dtype, bytes)| {
        (
            name.as_str(),
            TensorView::new(*dtype, shape.clone(), bytes).unwrap(),
        )
    });
    serialize_to_file(views, None, path).unwrap();
}

/// A directory with one file.
fn single(tied: bool, tensors: &[Tensor]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.json"), config(tied).to_string()).unwrap();
    write(&dir.path().join(SINGLE), tensors);
    dir
}

/// A directory with two shards: the first `split` tensors and the others.
fn sharded(tensors: &[Tensor], split: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.json"), config(true).to_string()).unwrap();
    let (a, b) = tensors.split_at(split);
    let mut map = HashMap::new();
    for (file, part) in [("a.safetensors", a), ("b.safetensors", b)] {
        write(&dir.path().join(file), part);
        map.extend(part.iter().map(|t| (t.0.clone(), file)));
    }
    let index = json!({"metadata": {"total_size": 1}, "weight_map": map});
    std::fs::write(dir.path().join(INDEX), index.to_string()).unwrap();
    dir
}

fn change_index(dir: &Path, change: impl FnOnce(&mut Value)) {
    let path = dir.join(INDEX);
    let mut index = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut index);
    std::fs::write(path, index.to_string()).unwrap();
}

fn refusal(dir: &Path) -> String {
    let message = ModelFiles::open(dir).unwrap_err().to_string();
    message.replace(dir.to_str().unwrap(), "DIR")
}

#[test]
fn reads_one_file_in_each_type() {
    for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
        for tied in [true, false] {
            let list = tensors(tied, dtype);
            let dir = single(tied, &list);
            let model = ModelFiles::open(dir.path()).unwrap();
            assert_eq!(model.config.tie_word_embeddings, tied);
            let names: Vec<&String> = list.iter().map(|t| &t.0).collect();
            assert_eq!(model.weights.names().iter().collect::<Vec<_>>(), names);
            for (name, shape, _, _) in &list {
                let tensor = model.weights.load(name).unwrap();
                assert_eq!(&tensor.shape, shape);
                let expected: Vec<f32> = (0..tensor.data.len()).map(|i| i as f32).collect();
                assert_eq!(
                    tensor.data, expected,
                    "{name}: whole numbers to 19 are exact in all types"
                );
            }
            assert!(
                model.tokenizer.is_none(),
                "a model directory needs no tokenizer"
            );
            let message = model.require_tokenizer().unwrap_err().to_string();
            assert!(
                message.contains("has no tokenizer that can be used: tokenizer.json is not in it"),
                "{message}"
            );
        }
    }
}

#[test]
fn shards_give_the_same_model() {
    let list = tensors(true, Dtype::F32);
    let (one, two) = (single(true, &list), sharded(&list, 4));
    let (one, two) = (
        ModelFiles::open(one.path()).unwrap(),
        ModelFiles::open(two.path()).unwrap(),
    );
    assert_eq!(one.config, two.config);
    assert_eq!(one.weights.names(), two.weights.names());
    for name in one.weights.names() {
        assert_eq!(
            one.weights.load(&name).unwrap(),
            two.weights.load(&name).unwrap()
        );
    }
}

#[test]
fn identity_is_that_of_the_files() {
    let list = tensors(true, Dtype::F32);
    let dir = single(true, &list);
    let digest = |path: &Path| sha256(&std::fs::read(path).unwrap());
    let model = ModelFiles::open(dir.path()).unwrap();
    assert_eq!(
        model.weights.identity().unwrap(),
        digest(&dir.path().join(SINGLE))
    );

    let dir = sharded(&list, 4);
    let model = ModelFiles::open(dir.path()).unwrap();
    let (a, b) = (
        digest(&dir.path().join("a.safetensors")),
        digest(&dir.path().join("b.safetensors")),
    );
    let text = format!("{a}  a.safetensors\n{b}  b.safetensors\n");
    assert_eq!(model.weights.identity().unwrap(), sha256(text.as_bytes()));
}

#[test]
fn a_tied_head_that_was_written_is_left_out() {
    let dir = single(true, &tensors(false, Dtype::F32));
    let model = ModelFiles::open(dir.path()).unwrap();
    assert!(!model.weights.names().contains(&"lm_head.weight".to_owned()));
}

#[test]
fn refuses_directories_that_are_not_models() {
    let dir = tempfile::tempdir().unwrap();
    let advice =
        "give a Hugging Face directory (config.json and model.safetensors) or a .gguf file";
    assert_eq!(
        refusal(dir.path()),
        format!("DIR is not a model: config.json is not in it; {advice}")
    );
    std::fs::write(dir.path().join("config.json"), config(true).to_string()).unwrap();
    assert_eq!(
        refusal(dir.path()),
        format!(
            "DIR is not a model: neither model.safetensors nor model.safetensors.index.json is in it; {advice}"
        )
    );
}

#[test]
fn refuses_wrong_tensors() {
    let mut list = tensors(true, Dtype::F32);
    list[2] = tensor(
        "model.layers.0.self_attn.q_proj.weight",
        &[4, 5],
        Dtype::F32,
    );
    assert_eq!(
        refusal(single(true, &list).path()),
        "DIR/model.safetensors: tensor `model.layers.0.self_attn.q_proj.weight` has shape [4, 5], but its configuration implies [4, 4]; the two are not of one model"
    );
    list.remove(2);
    assert_eq!(
        refusal(single(true, &list).path()),
        "DIR/model.safetensors: 1 tensor is missing, `model.layers.0.self_attn.q_proj.weight`; the file is incomplete or of another architecture"
    );
    let mut list = tensors(true, Dtype::F32);
    list.push(tensor(
        "model.layers.0.self_attn.q_proj.bias",
        &[4],
        Dtype::F32,
    ));
    assert_eq!(
        refusal(single(true, &list).path()),
        "DIR/model.safetensors: tensor `model.layers.0.self_attn.q_proj.bias`: it is not part of a llama model as implemented here, and could change arithmetic; use a model without it"
    );
    let mut list = tensors(true, Dtype::F32);
    list[0].2 = Dtype::I32; // as wide as F32
    assert_eq!(
        refusal(single(true, &list).path()),
        "DIR/model.safetensors: tensor `model.embed_tokens.weight`: its type is I32, and F32, F16 and BF16 are implemented; use an unquantised model"
    );
}

#[test]
fn refuses_broken_indices() {
    let list = tensors(true, Dtype::F32);
    let dir = sharded(&list, 4);
    change_index(dir.path(), |index| {
        index["weight_map"]["model.norm.weight"] = json!("c.safetensors")
    });
    assert_eq!(
        refusal(dir.path()),
        "DIR is not a model: model.safetensors.index.json names the shard \"c.safetensors\", which is not in it; give a Hugging Face directory (config.json and model.safetensors) or a .gguf file"
    );
    change_index(dir.path(), |index| {
        index["weight_map"]["model.norm.weight"] = json!("a.safetensors")
    });
    assert_eq!(
        refusal(dir.path()),
        "DIR/a.safetensors: tensor `model.norm.weight`: model.safetensors.index.json says that it is in this shard, and it is not; fetch both again"
    );
    for file in ["../b.safetensors", "/etc/passwd", "", "x\\y"] {
        change_index(dir.path(), |index| {
            index["weight_map"]["model.norm.weight"] = json!(file)
        });
        let message = refusal(dir.path());
        assert!(
            message.contains("a shard must be a file name without directories"),
            "{message}"
        );
    }
    std::fs::write(dir.path().join(INDEX), "{}").unwrap();
    assert_eq!(
        refusal(dir.path()),
        "DIR/model.safetensors.index.json is not the JSON expected: missing field `weight_map` at line 1 column 2; restore the file from its source"
    );
}

#[test]
fn refuses_broken_files() {
    let dir = single(true, &tensors(true, Dtype::F32));
    let path = dir.path().join(SINGLE);
    let good = std::fs::read(&path).unwrap();
    let with = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        refusal(dir.path())
    };
    let start = "DIR/model.safetensors is not a usable safetensors file: ";
    assert_eq!(
        with(b"12"),
        format!("{start}it has 2 bytes, and a header needs more than 8; fetch the file again")
    );
    assert!(with(&[0xff; 64]).starts_with(&format!(
        "{start}its header announces 18446744073709551615 bytes"
    )));
    assert!(with(&[&8u64.to_le_bytes()[..], b"not json"].concat()).starts_with(start));
    let message = with(&good[..good.len() - 4]);
    // 5 4 + 4 + 16 + 8 + 8 + 16 + 4 + 3 (3 4) + 4 = 116 values of 4 bytes.
    assert_eq!(
        message,
        format!(
            "{start}its header describes 464 bytes of tensors, and 460 follow it; the file is cut off or longer than it should be; fetch the file again"
        )
    );
}

proptest! {
    #[test]
    fn changed_or_cut_files_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let dir = single(true, &tensors(true, Dtype::BF16));
        let path = dir.path().join(SINGLE);
        let mut bytes = std::fs::read(&path).unwrap();
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(model) = ModelFiles::open(dir.path()) {
            for name in model.weights.names() {
                let _ = model.weights.load(&name);
            }
        }
    }
}
