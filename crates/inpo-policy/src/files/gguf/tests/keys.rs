//! Keys as other converters write them.

use super::*;

fn config_of(change: impl FnOnce(&mut Builder)) -> Result<ModelConfig, String> {
    let mut builder = Builder::tiny();
    change(&mut builder);
    let (_dir, path) = write(&builder.bytes());
    let model = ModelFiles::open(&path).map_err(|error| error.to_string());
    model.map(|model| model.config)
}

fn list(numbers: &[u32]) -> Vec<u8> {
    let head = [
        &4u32.to_le_bytes()[..],
        &(numbers.len() as u64).to_le_bytes(),
    ]
    .concat();
    let numbers = numbers.iter().flat_map(|n| n.to_le_bytes());
    head.into_iter().chain(numbers).collect()
}

#[test]
fn neutral_keys_change_nothing_and_others_are_refused() {
    let plain = config_of(|_| {}).unwrap();
    let one = 1f32.to_le_bytes();
    let half = 0.5f32.to_le_bytes();
    for (key, kind, value, other) in [
        (
            "llama.rope.scaling.attn_factor",
            6,
            one.to_vec(),
            half.to_vec(),
        ),
        ("llama.attention.causal", 7, vec![1], vec![0]),
        ("llama.logit_scale", 6, one.to_vec(), half.to_vec()),
        ("llama.pooling_type", 4, vec![0; 4], vec![1, 0, 0, 0]),
        (
            "llama.attention.sliding_window",
            4,
            vec![0; 4],
            vec![4, 0, 0, 0],
        ),
        ("llama.residual_scale", 6, one.to_vec(), half.to_vec()),
    ] {
        assert_eq!(
            config_of(|b| b.set(key, kind, &value)).unwrap(),
            plain,
            "{key}"
        );
        let refused = config_of(|b| b.set(key, kind, &other)).unwrap_err();
        let message = refused.split_once("tiny.gguf: ").unwrap().1;
        assert!(message.starts_with(&format!("`{key}` is ")), "{message}");
        assert!(message.ends_with(" is implemented"), "{message}");
    }
    let refused = config_of(|b| b.set("llama.logit_scale", 6, &half)).unwrap_err();
    assert!(refused.ends_with("`llama.logit_scale` is 0.5, but only 0 or 1 is implemented"));
}

#[test]
fn the_rotary_base_may_be_a_whole_number() {
    for (kind, bytes) in [
        (4, 500_000u32.to_le_bytes().to_vec()),
        (11, 500_000i64.to_le_bytes().to_vec()),
    ] {
        let config = config_of(|b| b.set("llama.rope.freq_base", kind, &bytes)).unwrap();
        assert_eq!(config.rope_theta, 500_000.0);
    }
}

/// A factor without a type is a linear one, also under its first name; 1 and 0 stretch nothing.
#[test]
fn a_stretch_is_linear_where_no_type_is_named() {
    use crate::config::RopeScaling;
    let scaling = |key: &str, factor: f32| {
        let key = format!("llama.rope.{key}");
        let config = config_of(|b| b.set(&key, 6, &factor.to_le_bytes()));
        config.unwrap().rope_scaling
    };
    for key in ["scale_linear", "scaling.factor"] {
        assert_eq!(scaling(key, 1.0), RopeScaling::None);
        assert_eq!(scaling(key, 0.0), RopeScaling::None);
        assert_eq!(scaling(key, 2.0), RopeScaling::Linear { factor: 2.0 });
    }
}

#[test]
fn numbers_of_each_layer_must_be_the_same() {
    let plain = config_of(|_| {}).unwrap();
    let heads = "llama.attention.head_count";
    assert_eq!(
        config_of(|b| b.set(heads, 9, &list(&[1, 1]))).unwrap(),
        plain
    );
    for (numbers, shown) in [
        (&[1, 2][..], "a list of 2 numbers"),
        (&[], "a list of 0 numbers"),
    ] {
        let refused = config_of(|b| b.set(heads, 9, &list(numbers))).unwrap_err();
        let end = format!("`{heads}` is {shown}, but it must be the same in every layer");
        assert!(refused.ends_with(&end), "{refused}");
    }
}

/// -1, in whichever type it is written, is no token.
#[test]
fn an_id_of_minus_one_is_none() {
    for (kind, bytes) in [(4, [255; 4]), (5, (-1i32).to_le_bytes())] {
        let config = config_of(|b| {
            for name in ["bos", "eos", "padding"] {
                b.set(&format!("tokenizer.ggml.{name}_token_id"), kind, &bytes);
            }
        });
        let config = config.unwrap();
        assert_eq!((config.bos_token_id, config.pad_token_id), (None, None));
        assert!(config.eos_token_ids.is_empty());
    }
    let refused =
        config_of(|b| b.set("tokenizer.ggml.padding_token_id", 5, &(-2i32).to_le_bytes()));
    assert!(
        refused
            .unwrap_err()
            .ends_with("`tokenizer.ggml.padding_token_id` is -2, but it must be a token id")
    );
}
