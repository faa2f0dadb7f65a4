//! The message of each kind of broken file.

use super::*;

/// The message for a file, from behind its path.
fn refusal(bytes: &[u8]) -> String {
    let (_dir, path) = write(bytes);
    let message = ModelFiles::open(&path).unwrap_err().to_string();
    message
        .split_once("tiny.gguf")
        .expect("the file is named")
        .1
        .to_owned()
}

fn refusal_of(change: impl FnOnce(&mut Builder)) -> String {
    let mut builder = Builder::tiny();
    change(&mut builder);
    refusal(&builder.bytes())
}

#[test]
fn refuses_broken_headers() {
    let good = Builder::tiny().bytes();
    let bad = |at: usize, with: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + with.len()].copy_from_slice(with);
        refusal(&bytes)
    };
    assert_eq!(
        refusal(b""),
        " is not a usable GGUF file: it is cut off: 4 bytes of the magic number are expected at byte 0, and the file has 0 bytes; fetch the file again"
    );
    assert_eq!(
        bad(0, b"PK\x03\x04"),
        " is not a usable GGUF file: it starts with \"PK\\\\x03\\\\x04\" instead of \"GGUF\"; fetch the file again"
    );
    assert_eq!(
        bad(4, &[1, 0, 0, 0]),
        " is not a usable GGUF file: its version is 1, and versions 2 and 3 are implemented; fetch the file again"
    );
    assert!(bad(4, &[0, 0, 0, 3]).contains("it is big endian"));
    assert!(
        bad(8, &[0xff; 8])
            .contains("it announces 18446744073709551615 tensors, and at most 65536 are read")
    );
    assert!(
        bad(8, &60_000u64.to_le_bytes())
            .contains("it is cut off: it announces 60000 tensors at byte 16, and ")
    );
    assert!(bad(16, &[0xff; 8]).contains("it announces 18446744073709551615 metadata keys"));
    assert!(
        bad(24, &[0xff; 8]).contains("it announces 18446744073709551615 bytes of a metadata key")
    );
    assert!(bad(32, &[0xff]).contains("a metadata key before byte 52 is not UTF-8"));
    assert!(bad(52, &[99]).contains("the metadata type 99 at byte 52 is unknown"));
    assert!(refusal(&good[..100]).contains("it is cut off"));
}

#[test]
fn refuses_broken_metadata() {
    assert!(
        refusal_of(|b| b.metadata.push(b.metadata[1].clone()))
            .contains("the metadata key \"llama.block_count\" is there twice")
    );
    assert!(refusal_of(|b| b.set("x", 7, &[2])).contains("a truth value is 2, and must be 0 or 1"));
    let nested: Vec<u8> = (0..6)
        .flat_map(|_| [&9u32.to_le_bytes()[..], &1u64.to_le_bytes()].concat())
        .collect();
    assert!(
        refusal_of(|b| b.set("x", 9, &nested)).contains("its metadata nests more than 4 arrays")
    );
    let many = [&0u32.to_le_bytes()[..], &(1u64 << 40).to_le_bytes()].concat();
    assert!(
        refusal_of(|b| b.set("x", 9, &many))
            .contains("it announces 1099511627776 array elements, and at most 4194304 are read")
    );
    assert_eq!(
        refusal_of(|b| b.set("general.alignment", 4, &12u32.to_le_bytes())),
        ": `general.alignment` is 12, but it must be a power of two up to 1048576"
    );
    assert_eq!(
        refusal_of(|b| b.set("general.architecture", 8, &string("mamba"))),
        ": `general.architecture` is \"mamba\", but only \"llama\", \"qwen2\", \"qwen3\", \"gemma2\" and \"gemma3\" are implemented in GGUF files; use one of those, or the Hugging Face directory of this model"
    );
    assert_eq!(
        refusal_of(|b| b.set("llama.block_count", 8, &string("one"))),
        ": `llama.block_count` is \"one\", but it must be a whole number"
    );
    assert_eq!(
        refusal_of(|b| b.set("llama.attention.gate", 6, &[0; 4])),
        ": unknown config key `llama.attention.gate` that could change arithmetic; remove it if it does not, or use a model without it"
    );
    assert_eq!(
        refusal_of(|b| b.set("llama.expert_count", 4, &8u32.to_le_bytes())),
        ": `llama.expert_count` is 8, but experts are not implemented, so it must be 0"
    );
    assert_eq!(
        refusal_of(|b| b.set("llama.rope.dimension_count", 4, &2u32.to_le_bytes())),
        ": `llama.rope.dimension_count` is 2, but it must be the width of a head, 4"
    );
    assert_eq!(
        refusal_of(|b| b.set("llama.rope.scaling.type", 8, &string("longrope"))),
        ": `llama.rope.scaling.type` is \"longrope\", but only \"none\", \"linear\" and \"yarn\" are known in GGUF files"
    );
    assert_eq!(
        refusal_of(|b| b
            .metadata
            .retain(|(key, ..)| key != "llama.embedding_length")),
        ": the key `llama.embedding_length` is missing; the model cannot be built without it"
    );
    assert_eq!(
        refusal_of(|b| b.set("llama.block_count", 4, &u32::MAX.to_le_bytes())),
        ": `num_hidden_layers` is 4294967295, but it must be from 1 to 4096"
    );
}

#[test]
fn refuses_broken_tensor_tables() {
    let q = "blk.0.attn_q.weight";
    assert_eq!(
        refusal_of(|b| b.tensor(q).2 = 10),
        ": tensor `blk.0.attn_q.weight`: its type is 10 (Q2_K), and F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K and Q6_K are implemented; use a file of those types"
    );
    assert_eq!(
        refusal_of(|b| b.tensor(q).2 = 14),
        ": tensor `blk.0.attn_q.weight`: its rows of 4 values are not whole blocks of 256, as Q6K needs; fetch the file again"
    );
    assert_eq!(
        refusal_of(|b| b.tensor(q).2 = 8),
        ": tensor `blk.0.attn_q.weight`: its rows of 4 values are not whole blocks of 32, as Q8_0 needs; fetch the file again"
    );
    assert_eq!(
        refusal_of(|b| b.tensor(q).1 = vec![4, u64::MAX]),
        ": tensor `blk.0.attn_q.weight`: its shape [4, 18446744073709551615] is empty or too large; fetch the file again"
    );
    assert_eq!(
        refusal_of(|b| b.tensor(q).1 = vec![1; 5]),
        ": tensor `blk.0.attn_q.weight`: it has 5 axes, and 1 to 4 are allowed; fetch the file again"
    );
    assert_eq!(
        refusal_of(|b| b.tensor(q).1 = vec![4, 5]),
        ": tensor `blk.0.attn_k.weight`: its bytes overlap those of `blk.0.attn_q.weight`; fetch the file again"
    );
    assert_eq!(
        refusal_of(|b| b.tensor(q).1 = vec![2, 4]),
        ": tensor `blk.0.attn_q.weight` has shape [4, 2], but its configuration implies [4, 4]; the two are not of one model"
    );
    assert_eq!(
        refusal_of(|b| b.tensors.push(b.tensors[3].clone())),
        ": tensor `blk.0.attn_k.weight`: it is in the table twice; fetch the file again"
    );
    assert_eq!(
        refusal_of(|b| b
            .tensors
            .retain(|t| t.0 != "blk.0.ffn_up.weight" && t.0 != "output_norm.weight")),
        ": 2 tensors are missing, `blk.0.ffn_up.weight`, `output_norm.weight`; the file is incomplete or of another architecture"
    );
    assert_eq!(
        refusal_of(|b| b.tensors.push((
            "blk.0.attn_q.bias".to_owned(),
            vec![4],
            0,
            floats(&[0.0; 4])
        ))),
        ": tensor `blk.0.attn_q.bias`: it is not part of a llama model as implemented here, and could change arithmetic; use a model without it"
    );
    let other_scaling = refusal_of(|b| {
        let row = (
            "rope_freqs.weight".to_owned(),
            vec![2],
            0,
            floats(&[1.0, 3.0]),
        );
        b.tensors.push(row);
    });
    assert_eq!(
        other_scaling,
        ": tensor `rope_freqs.weight`: it scales the rotary frequencies in another way than Llama 3.1 to 3.3 do; use the Hugging Face directory of this model"
    );
    // Before the last tensor: 48 -> 64 bytes, 16 -> 32, 4 x 64, 16 -> 32, 3 x 32: 480.
    let good = Builder::tiny().bytes();
    let cut = refusal(&good[..good.len() - 32]);
    assert!(
        cut.starts_with(
            ": tensor `output_norm.weight`: its 16 bytes at offset 480 end after the file's"
        ),
        "{cut}"
    );
}

#[test]
fn a_misaligned_offset_is_refused() {
    let mut bytes = Builder::tiny().bytes();
    // The last row of the table: name, number of axes, one axis, type, then the offset.
    let name = bytes
        .windows(18)
        .position(|w| w == b"output_norm.weight")
        .unwrap();
    bytes[name + 18 + 4 + 8 + 4] += 1;
    assert_eq!(
        refusal(&bytes),
        ": tensor `output_norm.weight`: its offset 481 is not a multiple of the alignment 32; fetch the file again"
    );
}

#[test]
fn an_unknown_name_is_refused() {
    let (_dir, path) = write(&Builder::tiny().bytes());
    let message = ModelFiles::open(&path)
        .unwrap()
        .weights
        .load("lm_head.weight")
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("1 tensor is missing, `\"lm_head.weight\"`"),
        "{message}"
    );
}

#[test]
fn a_weight_that_is_no_number_is_named() {
    let mut builder = Builder::tiny();
    let mut values = [1.0; 16];
    values[5] = f32::NAN;
    builder.tensor("blk.0.attn_v.weight").3 = floats(&values);
    let (_dir, path) = write(&builder.bytes());
    let model = ModelFiles::open(&path).unwrap();
    let message = model
        .weights
        .load("model.layers.0.self_attn.v_proj.weight")
        .unwrap_err()
        .to_string();
    assert!(
        message.ends_with("tiny.gguf: tensor `blk.0.attn_v.weight`: its value number 5 is NaN, and weights must be finite; the file is damaged or its training diverged"),
        "{message}"
    );
}
