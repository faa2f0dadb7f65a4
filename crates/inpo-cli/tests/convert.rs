//! `inpo convert` as users meet it: what it writes gives the log-probs of what it read.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../inpo-policy/tests/fixtures")
        .join(name)
}

fn inpo(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_inpo"))
        .args(args)
        .env("INPO_OFFLINE", "1")
        .output()
        .unwrap()
}

fn done(args: &[&str]) -> Output {
    let output = inpo(args);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
    output
}

fn refused(args: &[&str]) -> String {
    let output = inpo(args);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    message
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// The token log-probs of a row under a model.
fn logps(model: &Path, extra: &[&str], row: &Value, dir: &Path) -> Vec<f64> {
    let input = dir.join("rows.jsonl");
    std::fs::write(&input, format!("{row}\n")).unwrap();
    let (model, input) = (text(model), text(&input));
    let args = ["logps", "--model", &model, "--input", &input, "--per-token"];
    let output = done(&[&args[..], extra].concat());
    let row: Value = serde_json::from_slice(&output.stdout).unwrap();
    serde_json::from_value(row["token_logps"].clone()).unwrap()
}

fn close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() < tolerance,
            "{what}: {found}, {expected}"
        );
    }
}

fn json_file(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The header of a safetensors file.
fn header(path: &Path) -> Value {
    let bytes = std::fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    serde_json::from_slice(&bytes[8..8 + length]).unwrap()
}

/// Every family, against the log-probs that transformers gives of the same GGUF file in f64.
#[test]
fn a_gguf_file_becomes_a_directory() {
    let expected = json_file(&fixtures("gguf/expected.json"));
    for (name, expected) in expected.as_object().unwrap() {
        let dir = tempfile::tempdir().unwrap();
        let (model, out) = (
            fixtures(&format!("gguf/{name}.gguf")),
            dir.path().join("out"),
        );
        let result = done(&["convert", "--model", &text(&model), "--output", &text(&out)]);
        let message = String::from_utf8(result.stderr).unwrap();
        assert_eq!(
            message.contains("no tokenizer is written"),
            name != "llama",
            "{message}"
        );
        assert!(
            message
                .trim_end()
                .ends_with(&format!("written: {}", text(&out)))
        );
        let config = json_file(&out.join("config.json"));
        for key in [
            "model_type",
            "vocab_size",
            "rope_theta",
            "tie_word_embeddings",
        ] {
            assert_eq!(config[key], expected["config"][key], "{name}: {key}");
        }
        assert_eq!(config["torch_dtype"], "float32");
        let ids = expected["ids"].as_array().unwrap();
        let row = json!({"prompt_token_ids": ids[..1], "response_token_ids": ids[1..]});
        let wanted: Vec<f64> = serde_json::from_value(expected["token_logps"].clone()).unwrap();
        close(&logps(&out, &[], &row, dir.path()), &wanted, 2e-4, name);
    }
}

/// The vocabulary and the template of a GGUF file become files of their own that give the same prompt.
#[test]
fn the_tokenizer_of_a_gguf_file_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (model, out) = (fixtures("gguf/llama.gguf"), dir.path().join("out"));
    done(&["convert", "--model", &text(&model), "--output", &text(&out)]);
    for file in [
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
    ] {
        assert!(out.join(file).is_file(), "{file}");
    }
    let row = json!({"prompt": "the end of an answer.", "response": "a question?"});
    let before = logps(&model, &[], &row, dir.path());
    assert!(before.len() > 5);
    close(&logps(&out, &[], &row, dir.path()), &before, 1e-6, "text");
}

#[test]
fn the_float_type_and_the_size_of_the_files_can_be_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let model = fixtures("tiny_llama_untied");
    let ids: Vec<u32> = (1..20).collect();
    let row = json!({"prompt_token_ids": ids[..3], "response_token_ids": ids[3..]});
    let before = logps(&model, &[], &row, dir.path());
    // bf16 keeps 8 bits of a weight, f16 11.
    for (dtype, stored, named, tolerance) in [
        ("float32", "F32", "float32", 1e-6),
        ("bfloat16", "BF16", "bfloat16", 0.1),
        ("f16", "F16", "float16", 0.02),
    ] {
        let out = dir.path().join(dtype);
        let (from, to) = (text(&model), text(&out));
        done(&[
            "convert", "--model", &from, "--output", &to, "--dtype", dtype,
        ]);
        let header = header(&out.join("model.safetensors"));
        assert_eq!(header["__metadata__"]["format"], "pt");
        assert_eq!(header["lm_head.weight"]["dtype"], stored);
        // Under the key that the model's configuration had.
        assert_eq!(json_file(&out.join("config.json"))["dtype"], named);
        close(
            &logps(&out, &[], &row, dir.path()),
            &before,
            tolerance,
            dtype,
        );
    }
    let out = dir.path().join("shards");
    let (from, to) = (text(&model), text(&out));
    done(&[
        "convert",
        "--model",
        &from,
        "--output",
        &to,
        "--max-shard-bytes",
        "30000",
    ]);
    let index = json_file(&out.join("model.safetensors.index.json"));
    assert!(index["metadata"]["total_size"].as_u64().unwrap() > 90_000 - 8192);
    assert!(!out.join("model.safetensors").exists());
    close(&logps(&out, &[], &row, dir.path()), &before, 1e-6, "shards");
}

/// A merged adapter gives what the adapter beside its model gives.
#[test]
fn an_adapter_is_added_to_the_weights() {
    let dir = tempfile::tempdir().unwrap();
    let base = fixtures("tiny_llama_untied");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/trajectory/adapter");
    let adapter = dir.path().join("adapter");
    std::fs::create_dir(&adapter).unwrap();
    std::fs::copy(
        source.join("adapter_config.json"),
        adapter.join("adapter_config.json"),
    )
    .unwrap();
    // The fixture's B is zero: give it values.
    let file = "adapter_model.safetensors";
    let header = header(&source.join(file));
    let mut bytes = std::fs::read(source.join(file)).unwrap();
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for (name, tensor) in header.as_object().unwrap() {
        if name.contains("lora_B") {
            let at = |i: usize| start + tensor["data_offsets"][i].as_u64().unwrap() as usize;
            for (i, value) in bytes[at(0)..at(1)].chunks_exact_mut(4).enumerate() {
                value.copy_from_slice(&(0.1 * (i as f32).sin()).to_le_bytes());
            }
        }
    }
    std::fs::write(adapter.join(file), bytes).unwrap();

    let ids: Vec<u32> = (5..30).collect();
    let row = json!({"prompt_token_ids": ids[..4], "response_token_ids": ids[4..]});
    let with = logps(&base, &["--adapter", &text(&adapter)], &row, dir.path());
    let without = logps(&base, &[], &row, dir.path());
    let largest = |a: &[f64]| {
        a.iter()
            .zip(&without)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f64::max)
    };
    assert!(largest(&with) > 0.05, "the adapter does something");
    let out = dir.path().join("out");
    let (model, output) = (text(&base), text(&out));
    done(&[
        "convert",
        "--model",
        &model,
        "--adapter",
        &text(&adapter),
        "--output",
        &output,
    ]);
    close(&logps(&out, &[], &row, dir.path()), &with, 1e-4, "merged");
    assert!(!out.join("adapter_config.json").exists());
}

#[test]
fn bad_input_is_refused_in_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let model = text(&fixtures("tiny_llama_untied"));
    let full = dir.path().join("full");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("notes.txt"), "mine").unwrap();
    let message = refused(&["convert", "--model", &model, "--output", &text(&full)]);
    assert!(
        message.contains("full is not empty; give a directory that is absent or empty"),
        "{message}"
    );
    let file = text(&full.join("notes.txt"));
    let message = refused(&["convert", "--model", &model, "--output", &file]);
    assert!(
        message.contains("is not a directory that can be read"),
        "{message}"
    );
    let out = text(&dir.path().join("out"));
    let message = refused(&["convert", "--model", "/no/such.gguf", "--output", &out]);
    assert!(message.contains("/no/such.gguf"), "{message}");
    let args = ["convert", "--model", &model, "--output", &out];
    let message = refused(&[&args[..], &["--dtype", "int8"]].concat());
    assert!(message.contains("int8"), "{message}");
    let message = refused(&[&args[..], &["--max-shard-bytes", "0"]].concat());
    assert!(message.contains("`--max-shard-bytes` is 0"), "{message}");
    let message = refused(&[&args[..], &["--adapter", &text(&full)]].concat());
    assert!(message.contains("adapter_config.json"), "{message}");
    assert!(!Path::new(&out).exists());
}
