//! `kind = "general_preference"`.

use std::collections::HashMap;
use std::path::Path;

use burn::tensor::{Device, Tensor};
use inpo_policy::{Policy, PreferenceHead, PreferenceHeadConfig, PreferenceModel, SaveOptions};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::setup::{
    Asked, BATCH_TOLERANCE, Expected, TOLERANCE, add_tokenizer, assert_close, copy, fixtures, json,
    judge, probabilities, refused, verdicts, with,
};

/// A tensor of f32.
#[derive(Clone)]
struct Stored {
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl Stored {
    fn new(shape: [usize; 2], value: f32) -> Self {
        let data = std::iter::repeat_n(value.to_le_bytes(), shape.iter().product());
        Self {
            shape: shape.to_vec(),
            data: data.flatten().collect(),
        }
    }
}

type Tensors = HashMap<String, Stored>;

fn read(path: &Path) -> Tensors {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let stored = |view: TensorView<'_>| Stored {
        shape: view.shape().to_vec(),
        data: view.data().to_vec(),
    };
    let tensors = file.tensors().into_iter();
    tensors.map(|(name, view)| (name, stored(view))).collect()
}

fn write(path: &Path, tensors: &Tensors) {
    let views = tensors.iter().map(|(name, t)| {
        let view = TensorView::new(Dtype::F32, t.shape.clone(), &t.data).unwrap();
        (name.clone(), view)
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// The heads of a model of `heads.safetensors`.
fn heads(name: &str) -> Tensors {
    let all = read(&fixtures().join("heads.safetensors")).into_iter();
    let own = all.filter_map(|(path, tensor)| {
        let head = path.strip_prefix(name)?.strip_prefix('/')?;
        Some((head.to_owned(), tensor))
    });
    own.collect()
}

/// The decoder with heads in one file, changed by `change`.
fn model_with(template: &str, change: impl FnOnce(&mut Tensors)) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(&fixtures().join("decoder"), dir.path());
    add_tokenizer(dir.path(), template);
    let path = dir.path().join("model.safetensors");
    let mut tensors = read(&path);
    change(&mut tensors);
    write(&path, &tensors);
    dir
}

fn model(name: &str, template: &str) -> TempDir {
    model_with(template, |tensors| tensors.extend(heads(name)))
}

fn keys(dir: &TempDir) -> Value {
    // The released code's sign, which the expected values have.
    json!({"kind": "general_preference", "model": dir.path().to_str().unwrap(), "transposed": true})
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// P from the scores of `expected.json`, at a temperature that keeps them apart.
fn wanted(rows: &[&Value], variant: &str, temperature: f64) -> Vec<f64> {
    let score = |row: &&Value| row["scores"][variant].as_f64().unwrap();
    rows.iter()
        .map(|row| sigmoid(score(row) / temperature))
        .collect()
}

/// Values of 1, 2, 4 and 6 numbers, a prompt head, a reward; normalised or not, both ways to weigh blocks; templates that
/// write an end token, a line feed behind it, or none.
#[test]
fn probabilities_are_those_of_the_released_code() {
    let expected = Expected::read();
    for template in ["chatml", "bos", "open"] {
        let rows = expected.rows("preferences", template);
        assert_eq!(rows.len(), 6);
        let asked = expected.asked(&rows);
        for (variant, _) in rows[0]["scores"].as_object().unwrap() {
            let [name, length, scale] = variant.split('/').collect::<Vec<_>>()[..] else {
                panic!("{variant}")
            };
            let dir = model(name, template);
            let settings = json!({
                "normalise": length == "unit", "prompt_head_scale": scale, "temperature": 2.5,
            });
            let judge = judge(&with(&keys(&dir), settings)).unwrap();
            assert!(judge.is_symmetric());
            let got = probabilities(&*judge, &asked);
            assert_close(&got, &wanted(&rows, variant, 2.5), TOLERANCE);
        }
    }
}

/// `v_a R v_b'` of rows is the released code's score with the other sign.
#[test]
fn as_a_product_of_rows_the_other_response_wins() {
    let expected = Expected::read();
    let rows = expected.rows("preferences", "bos");
    let dir = model("six", "bos");
    let judge = judge(&with(&keys(&dir), json!({"transposed": false}))).unwrap();
    let got = probabilities(&*judge, &expected.asked(&rows));
    let released = wanted(&rows, "six/unit/softmax", 0.1);
    let other: Vec<f64> = released.iter().map(|p| 1.0 - p).collect();
    assert_close(&got, &other, TOLERANCE);
}

/// The defaults but for the sign are the released example's: normalised, 0.1, softmax.
#[test]
fn defaults_are_those_of_the_released_example() {
    let expected = Expected::read();
    let rows = expected.rows("preferences", "bos");
    let dir = model("prompt", "bos");
    let judge = judge(&keys(&dir)).unwrap();
    let got = probabilities(&*judge, &expected.asked(&rows));
    assert_close(&got, &wanted(&rows, "prompt/unit/softmax", 0.1), TOLERANCE);
}

/// The decoder of a language model with a head of its own under a class that nobody knows, in shards.
#[test]
fn directories_of_other_forms_are_read() {
    let expected = Expected::read();
    let rows = expected.rows("preferences", "chatml");
    let asked = expected.asked(&rows);
    let dir = tempfile::tempdir().unwrap();
    copy(&fixtures().join("decoder"), dir.path());
    add_tokenizer(dir.path(), "chatml");
    let mut config = json(&dir.path().join("config.json"));
    config["architectures"] = json!(["CustomRewardModel"]);
    config["tie_word_embeddings"] = json!(false);
    std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    let single = dir.path().join("model.safetensors");
    let decoder = read(&single).into_iter();
    let mut decoder: Tensors = decoder
        .map(|(name, tensor)| (format!("model.{name}"), tensor))
        .collect();
    decoder.insert("lm_head.weight".to_owned(), Stored::new([303, 16], 0.5));
    std::fs::remove_file(single).unwrap();
    let mut map = serde_json::Map::new();
    for (file, tensors) in [("a.safetensors", decoder), ("b.safetensors", heads("six"))] {
        write(&dir.path().join(file), &tensors);
        map.extend(tensors.keys().map(|name| (name.clone(), json!(file))));
    }
    let index = json!({"weight_map": map}).to_string();
    std::fs::write(dir.path().join("model.safetensors.index.json"), index).unwrap();
    let judge = judge(&keys(&dir)).unwrap();
    let got = probabilities(&*judge, &asked);
    assert_close(&got, &wanted(&rows, "six/unit/softmax", 0.1), TOLERANCE);
    // An ordinary policy still has exactly the tensors of its configuration.
    config["architectures"] = json!(["LlamaForCausalLM"]);
    std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    let error = Policy::load(dir.path(), &Device::flex()).unwrap_err();
    assert!(
        error.to_string().contains("tensor `value_head.weight`"),
        "{error}"
    );
}

/// What training saves is read again: the hybrid head on a language model.
#[test]
fn a_saved_head_is_read_again() {
    let device = Device::flex();
    let from = crate::setup::model("pair", "bos");
    let policy = Policy::load(from.path(), &device).unwrap();
    let stored = heads("hybrid");
    let tensor = |name: &str| {
        let Stored { shape, data } = &stored[name];
        let numbers = data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b));
        let numbers: Vec<f32> = numbers.collect();
        Tensor::<1>::from_floats(&numbers[..], &device).reshape([shape[0], shape[1]])
    };
    let config = PreferenceHeadConfig::default();
    let reward = Some(tensor("reward_head.weight"));
    let head = PreferenceHead::new(tensor("value_head.weight"), reward, None, config).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let options = SaveOptions::default();
    policy.save_with_head(&head, dir.path(), &options).unwrap();
    let float = (&device, burn::tensor::DType::F32);
    let model = PreferenceModel::load(dir.path(), float, config).unwrap();
    let again = model.head();
    for (a, b) in [
        (&head.value, &again.value),
        (
            head.reward.as_ref().unwrap(),
            again.reward.as_ref().unwrap(),
        ),
    ] {
        assert_eq!(a.val().into_data(), b.val().into_data());
    }
    assert!(
        judge(&keys(&dir))
            .unwrap()
            .name()
            .contains("4 values and a reward")
    );
}

#[test]
fn an_answer_does_not_depend_on_its_batch() {
    let dir = model("prompt", "chatml");
    let judge = judge(&keys(&dir)).unwrap();
    let texts = [
        "Paris.",
        "Paris, of course, is the capital.",
        "It is Rome",
        "No.",
    ];
    let mut asked = Vec::new();
    for prompt in ["What is the capital of France?", "And of Italy?"] {
        for first in texts {
            asked.extend(texts.map(|second| Asked::text(prompt, first, second)));
        }
    }
    let together = probabilities(&*judge, &asked);
    let one = |asked: &Asked| probabilities(&*judge, std::slice::from_ref(asked))[0];
    let alone: Vec<f64> = asked.iter().map(one).collect();
    assert_close(&together, &alone, BATCH_TOLERANCE);
    for (first, row) in together.chunks(4).enumerate() {
        for (second, p) in row.iter().enumerate() {
            let back = together[first / 4 * 16 + second * 4 + first % 4];
            assert!((p + back - 1.0).abs() < 1e-12, "{p} {back}");
        }
        assert_eq!(row[first % 4], 0.5);
    }
    // Four answers and the prompt, twice.
    let calls: u64 = verdicts(&*judge, &asked)
        .unwrap()
        .iter()
        .map(|v| v.usage.calls)
        .sum();
    assert_eq!(calls, 10);
}

/// What opens a text: the template "bos" writes one token, so that the three differ.
#[test]
fn the_opening_token_is_a_setting() {
    let dir = model("six", "bos");
    let asked = [Asked::text("Why?", "Because.", "No.")];
    let of = |bos: &str| {
        let judge = judge(&with(&keys(&dir), json!({"bos": bos}))).unwrap();
        let verdict = verdicts(&*judge, &asked).unwrap().remove(0);
        (verdict.usage.prompt_tokens, judge.specification())
    };
    let (template, specification) = of("template");
    let (doubled, other) = of("doubled");
    // Two sequences, one token more or less in each.
    assert_eq!(doubled, template + 2);
    assert_eq!(of("none").0, template - 2);
    assert_ne!(specification, other);
}

#[test]
fn heads_that_do_not_fit_are_named() {
    let says = |change: &dyn Fn(&mut Tensors), words: &str| {
        let dir = model_with("bos", |tensors| {
            tensors.extend(heads("prompt"));
            change(tensors);
        });
        let error = refused(&keys(&dir));
        assert!(error.contains(words), "{error}");
    };
    let insert = |name: &'static str, shape: [usize; 2]| {
        move |tensors: &mut Tensors| {
            tensors.insert(name.to_owned(), Stored::new(shape, 0.5));
        }
    };
    says(
        &|tensors| {
            tensors.remove("value_head.weight");
        },
        "it has no tensor `value_head.weight`, so it is no preference model",
    );
    says(
        &insert("value_head.weight", [6, 15]),
        "tensor `value_head.weight` has shape [6, 15], but its configuration implies [6, 16]",
    );
    says(
        &insert("value_head.weight", [3, 16]),
        "tensor `value_head.weight`: it has 3 rows, and values turn in pairs",
    );
    says(
        &insert("value_head.weight", [1, 16]),
        "tensor `prompt_head.weight`: it stands beside a `value_head.weight` of one row",
    );
    says(
        &insert("prompt_head.weight", [6, 16]),
        "tensor `prompt_head.weight` has shape [6, 16], but its configuration implies [3, 16]",
    );
    says(
        &insert("reward_head.weight", [2, 16]),
        "tensor `reward_head.weight` has shape [2, 16], but its configuration implies [1, 16]",
    );
    says(
        &insert("other_head.weight", [2, 16]),
        "tensor `model.other_head.weight`: it is not part of a llama model",
    );
    says(
        &|tensors| {
            tensors.insert(
                "value_head.weight".to_owned(),
                Stored::new([2, 16], f32::NAN),
            );
            tensors.remove("prompt_head.weight");
        },
        "tensor `value_head.weight` holds NaN at index 0",
    );
    let dir = model("two", "bos");
    for temperature in [0.0, -0.5] {
        let error = refused(&with(&keys(&dir), json!({"temperature": temperature})));
        assert!(error.starts_with("oracle.temperature is "), "{error}");
    }
}
