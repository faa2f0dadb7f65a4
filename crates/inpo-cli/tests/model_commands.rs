//! `inpo logps`, `inpo generate` and `inpo run` as users meet them: contracts on a model without a
//! tokenizer, and one sentence with exit status 2 for bad input.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn tiny() -> PathBuf {
    let tests = "../inpo-policy/tests/fixtures/tiny_llama_untied";
    Path::new(env!("CARGO_MANIFEST_DIR")).join(tests)
}

fn inpo(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_inpo"))
        .args(args)
        .env("INPO_OFFLINE", "1")
        .output()
        .unwrap()
}

fn refused(args: &[&str]) -> String {
    let output = inpo(args);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    message
}

fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn rows(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The sum and each token against the fixture's f64 numbers; other columns are handed on.
#[test]
fn logps_follow_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let expected = std::fs::read(tiny().join("expected.json")).unwrap();
    let expected: Value = serde_json::from_slice(&expected).unwrap();
    let sequence = &expected["sequences"][1];
    let ids = sequence["ids"].as_array().unwrap();
    let row = serde_json::json!({
        "prompt_token_ids": ids[..1], "response_token_ids": ids[1..], "source": "mine"
    });
    let input = write(dir.path(), "rows.jsonl", &format!("{row}\n"));
    let output = dir.path().join("out.jsonl");
    let model = tiny().display().to_string();
    let out = output.display().to_string();
    let args = [
        "logps", "--model", &model, "--input", &input, "--output", &out,
    ];
    let result = inpo(&[&args[..], &["--per-token", "--ids"]].concat());
    assert!(
        result.status.success(),
        "{}",
        String::from_utf8_lossy(&result.stderr)
    );
    let row = &rows(&output)[0];
    let close = |got: &Value, expected: f64| {
        assert!(
            (got.as_f64().unwrap() - expected).abs() < 1e-3,
            "{got} {expected}"
        );
    };
    let tokens: Vec<f64> = serde_json::from_value(sequence["token_logps"].clone()).unwrap();
    close(&row["logp"], tokens.iter().sum());
    assert_eq!(row["num_tokens"], tokens.len());
    for (got, expected) in row["token_logps"].as_array().unwrap().iter().zip(&tokens) {
        close(got, *expected);
    }
    assert_eq!(row["response_token_ids"].as_array().unwrap()[..], ids[1..]);
    assert_eq!(row["source"], "mine");
    // Without the flags: sums only.
    assert!(inpo(&args).status.success());
    assert_eq!(rows(&output)[0].get("token_logps"), None);
}

/// Text goes through the chat template and gets the turn-end token: the reference's sum over 8 tokens
/// (numpy in f64: -2.8369310222). Needs the model; skipped, and said so, where it may not be fetched.
#[test]
fn logps_of_text_are_the_reference() {
    let dir = tempfile::tempdir().unwrap();
    let text = "{\"prompt\": \"What is the capital of France?\", \
                \"response\": \"The capital of France is Paris.\"}\n";
    let messages = "{\"prompt\": [{\"role\": \"user\", \"content\": \"What is the capital of France?\"}], \
                    \"response\": \"The capital of France is Paris.\"}\n";
    let input = write(dir.path(), "rows.jsonl", &format!("{text}{messages}"));
    let output = dir.path().join("out.jsonl").display().to_string();
    let result = Command::new(env!("CARGO_BIN_EXE_inpo"))
        .args(["logps", "--model", "smollm2-135m-instruct", "--ids"])
        .args(["--input", &input, "--output", &output])
        .output()
        .unwrap();
    let message = String::from_utf8(result.stderr).unwrap();
    if message.contains("INPO_OFFLINE") {
        eprintln!("SKIPPED: {message}");
        return;
    }
    assert!(result.status.success(), "{message}");
    for row in rows(Path::new(&output)) {
        assert!(
            (row["logp"].as_f64().unwrap() + 2.836_931_022_2).abs() < 8e-3,
            "{row}"
        );
        assert_eq!(row["num_tokens"], 8);
        assert_eq!(row["response_token_ids"][7], 2);
    }
}

#[test]
fn generate_follows_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let prompts = "{\"prompt_token_ids\": [5, 6, 7]}\n{\"prompt_token_ids\": [9], \"tag\": 1}\n";
    let prompts = write(dir.path(), "prompts.jsonl", prompts);
    let output = dir.path().join("responses.jsonl");
    let model = tiny().display().to_string();
    let out = output.display().to_string();
    let run = |extra: &[&str]| {
        let args = [
            "generate",
            "--model",
            &model,
            "--prompts",
            &prompts,
            "--num-generations",
            "3",
            "--max-new-tokens",
            "6",
            "--output",
            &out,
        ];
        let result = inpo(&[&args[..], extra].concat());
        let message = String::from_utf8(result.stderr).unwrap();
        assert!(result.status.success(), "{message}");
        assert!(message.trim_end().ends_with("tokens/s"), "{message}");
        rows(&output)
    };
    let first = run(&["--temperature", "1", "--seed", "4"]);
    assert_eq!(first.len(), 2);
    for row in &first {
        assert_eq!(row["response_token_ids"].as_array().unwrap().len(), 3);
        assert_eq!(row["sampling_logps"].as_array().unwrap().len(), 3);
        assert_eq!(row["seed"], 4);
        for (ids, reason) in row["response_token_ids"]
            .as_array()
            .unwrap()
            .iter()
            .zip(row["finish_reason"].as_array().unwrap())
        {
            let ids = ids.as_array().unwrap();
            let stopped = ids.last().unwrap() == 2;
            assert_eq!(reason, if stopped { "stop" } else { "length" });
            assert!(stopped || ids.len() == 6);
        }
    }
    assert_eq!(first[1]["tag"], 1);
    assert_eq!(run(&["--temperature", "1", "--seed", "4"]), first);
    assert_ne!(run(&["--temperature", "1", "--seed", "5"]), first);
    let long = run(&["--temperature", "1", "--min-new-tokens", "6"]);
    for ids in long[0]["response_token_ids"].as_array().unwrap() {
        assert_eq!(ids.as_array().unwrap().len(), 6);
    }
    // Few samples at a time, and little memory: the same texts.
    let narrow = [
        "--seed",
        "4",
        "--max-num-seqs",
        "2",
        "--max-cache-tokens",
        "30",
    ];
    for (row, expected) in run(&narrow).iter().zip(&first) {
        assert_eq!(row["response_token_ids"], expected["response_token_ids"]);
    }
    // Every id ends a response of one token; a penalty changes texts.
    let all: Vec<String> = (0..64).map(|id: u32| id.to_string()).collect();
    for row in run(&["--stop-token-ids", &all.join(",")]) {
        assert_eq!(
            row["finish_reason"],
            serde_json::json!(["stop", "stop", "stop"])
        );
        for ids in row["response_token_ids"].as_array().unwrap() {
            assert_eq!(ids.as_array().unwrap().len(), 1);
        }
    }
    assert_ne!(run(&["--seed", "4", "--repetition-penalty", "9"]), first);
    let greedy = run(&["--temperature", "0"]);
    let ids = greedy[0]["response_token_ids"].as_array().unwrap();
    assert!(
        ids.iter().all(|row| row == &ids[0]),
        "greedy samples are equal"
    );
    let ask = ["generate", "--model", &model, "--prompts", &prompts];
    let told = inpo(&[&ask[..], &["--top-k", "1", "--max-new-tokens", "2"]].concat());
    let told = String::from_utf8(told.stderr).unwrap();
    let expected = "all 8 responses to a prompt are equal";
    assert!(told.contains(expected), "{told}");
    let error = refused(&[&ask[..], &["--stop-token-ids", "2,64"]].concat());
    let expected = "`generation.stop_token_ids` is 64; allowed: ids below 64";
    assert!(error.contains(expected), "{error}");
}

/// K responses of a row are scored together, as lists, and each file is an input of both commands.
#[test]
fn what_is_written_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let array =
        "[{\"prompt_token_ids\": [5, 6, 7], \"margin\": NaN},\n {\"prompt_token_ids\": [9]}]";
    let prompts = write(dir.path(), "prompts.json", array);
    let model = tiny().display().to_string();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let generate = |prompts: &str, out: &str| {
        let draws = [
            "--num-generations",
            "3",
            "--max-new-tokens",
            "6",
            "--seed",
            "4",
        ];
        let files = ["--prompts", prompts, "--output", out];
        let result = inpo(&[&["generate", "--model", &model], &draws[..], &files].concat());
        let message = String::from_utf8(result.stderr).unwrap();
        assert!(result.status.success(), "{message}");
        rows(Path::new(out))
    };
    let logps = |input: &str, out: &str| {
        let files = ["--input", input, "--output", out, "--per-token", "--ids"];
        let result = inpo(&[&["logps", "--model", &model], &files[..]].concat());
        let message = String::from_utf8(result.stderr).unwrap();
        assert!(result.status.success(), "{message}");
        rows(Path::new(out))
    };
    let drawn = generate(&prompts, &path("drawn.jsonl"));
    let scored = logps(&path("drawn.jsonl"), &path("scored.jsonl"));
    for (drawn, scored) in drawn.iter().zip(&scored) {
        assert_eq!(scored["response_token_ids"], drawn["response_token_ids"]);
        for k in 0..3 {
            let [sampled, sum] = [&drawn["sampling_logps"][k], &scored["logp"][k]];
            let off = sampled.as_f64().unwrap() - sum.as_f64().unwrap();
            assert!(off.abs() < 1e-4, "{off}");
            let ids = drawn["response_token_ids"][k].as_array().unwrap();
            assert_eq!(scored["num_tokens"][k], ids.len());
            assert_eq!(
                scored["token_logps"][k].as_array().unwrap().len(),
                ids.len()
            );
        }
    }
    assert_eq!(logps(&path("scored.jsonl"), &path("again.jsonl")), scored);
    assert_eq!(
        generate(&path("scored.jsonl"), &path("redrawn.jsonl")),
        drawn
    );

    let kwargs = ["--chat-template-kwargs", "{\"tokenize\": true}"];
    let error = refused(
        &[
            &["logps", "--model", &model, "--input", &prompts],
            &kwargs[..],
        ]
        .concat(),
    );
    assert!(
        error.contains("`tokenize`, which is no variable of a template"),
        "{error}"
    );
}

#[test]
fn bad_models_and_devices_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let input = "{\"prompt_token_ids\": [1], \"response_token_ids\": [2]}\n";
    let input = write(dir.path(), "rows.jsonl", input);
    let with = |model: &str, extra: &[&str]| {
        refused(&[&["logps", "--model", model, "--input", &input], extra].concat())
    };
    let error = with("/no/such/model.gguf", &[]);
    assert!(error.contains("/no/such/model.gguf"), "{error}");
    let corrupt = write(dir.path(), "corrupt.gguf", "GGUF but not really");
    let error = with(&corrupt, &[]);
    assert!(error.contains("corrupt.gguf"), "{error}");
    let model = tiny().display().to_string();
    let error = with(&model, &["--device", "gpu"]);
    assert!(
        error.contains(
            "unknown device `gpu`; allowed: flex (the CPU), cuda:N, tch, wgpu, wgpu:discrete:N"
        ),
        "{error}"
    );
    let error = with(&model, &["--device", "cuda:0"]);
    let sentence = "device `cuda:0` is not compiled in; build with `--features cuda`";
    assert!(
        error.contains(sentence) || cfg!(feature = "cuda"),
        "{error}"
    );

    // A key that could change the arithmetic.
    let copy = dir.path().join("model");
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(
        tiny().join("model.safetensors"),
        copy.join("model.safetensors"),
    )
    .unwrap();
    let config = std::fs::read_to_string(tiny().join("config.json")).unwrap();
    let config = config.replacen('{', "{\"attention_sinks\": 4,", 1);
    std::fs::write(copy.join("config.json"), config).unwrap();
    let error = with(&copy.display().to_string(), &[]);
    assert!(
        error.contains("config.json") && error.contains("`attention_sinks`"),
        "{error}"
    );
}

/// A file in the cache that is not the published one is refused, not used.
#[test]
fn a_wrong_sha256_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let input = "{\"prompt_token_ids\": [1], \"response_token_ids\": [2]}\n";
    let input = write(dir.path(), "rows.jsonl", input);
    let cache = dir.path().join("cache");
    let probe = || {
        let output = Command::new(env!("CARGO_BIN_EXE_inpo"))
            .args([
                "logps",
                "--model",
                "smollm2-135m-instruct",
                "--input",
                &input,
            ])
            .env("INPO_OFFLINE", "1")
            .env("INPO_CACHE", &cache)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let error = probe();
    assert!(
        error.contains("INPO_OFFLINE=1 forbids fetching it"),
        "{error}"
    );
    let name = "SmolLM2-135M-Instruct.Q4_1.gguf";
    for place in [
        cache.clone(),
        cache.join("smollm2-135m-instruct"),
        cache.join("models"),
    ] {
        std::fs::create_dir_all(&place).unwrap();
        let file = std::fs::File::create(place.join(name)).unwrap();
        file.set_len(98_362_432).unwrap();
    }
    let error = probe();
    assert!(error.contains("wrong sha256"), "{error}");
}

#[test]
fn bad_rows_name_file_and_line() {
    let dir = tempfile::tempdir().unwrap();
    let model = tiny().display().to_string();
    let logps = |rows: &str| {
        let input = write(dir.path(), "rows.jsonl", rows);
        refused(&["logps", "--model", &model, "--input", &input])
    };
    let good = "{\"prompt_token_ids\": [1], \"response_token_ids\": [2]}\n";
    let error = logps(&format!("{good}\n{{\"prompt_token_ids\": 1}}\n"));
    assert!(
        error.contains("rows.jsonl, line 3: `prompt_token_ids` is not a list of ids"),
        "{error}"
    );
    let error = logps("{\"prompt_token_ids\": [], \"response_token_ids\": [2]}\n");
    assert!(
        error.contains("rows.jsonl, line 1: `prompt_token_ids` is empty"),
        "{error}"
    );
    let error = logps("{\"prompt\": \"hello\", \"response\": \"you\"}\n");
    assert!(error.contains("has no tokenizer"), "{error}");
    let error = logps("{\"prompt_token_ids\": [1]}\n");
    assert!(
        error.contains("line 1: there is neither `response` nor"),
        "{error}"
    );
    let error = logps("{\"prompt_token_ids\": [1], \"response_token_ids\": [64]}\n");
    assert!(
        error.contains("line 1: token id 64 is beyond the model's vocabulary of 64"),
        "{error}"
    );
    let long = format!("{{\"prompt_token_ids\": {:?}}}\n", vec![1; 130]);
    let prompts = write(dir.path(), "prompts.jsonl", &long);
    let error = refused(&["generate", "--model", &model, "--prompts", &prompts]);
    assert!(
        error.contains("prompts.jsonl, line 1:") && error.contains("130 tokens"),
        "{error}"
    );
}

#[test]
fn bad_configurations_name_file_and_key() {
    let dir = tempfile::tempdir().unwrap();
    let base = "output_dir = 'x'\n[policy]\nmodel = 'm'\n[data]\nprompts = 'p'\n";
    let run = |text: &str, extra: &[&str]| {
        let config = write(dir.path(), "run.toml", &format!("{base}{text}"));
        refused(&[&["run", "--config", &config], extra].concat())
    };
    let error = run("[objective]\nbogus = 1\n", &[]);
    assert!(
        error.contains("run.toml") && error.contains("bogus"),
        "{error}"
    );
    let error = run("[objective]\neta = 0.1\ntau = 0.2\n", &[]);
    assert!(error.contains("tau = 0.2 exceeds eta = 0.1"), "{error}");
    let error = run("", &["--set", "objective.eta=-1"]);
    assert!(error.contains("eta is -1"), "{error}");
    let error = run("", &["--device", "tpu"]);
    assert!(error.contains("unknown device `tpu`"), "{error}");
    let error = refused(&["run", "--config", "/no/such/run.toml"]);
    assert!(error.contains("/no/such/run.toml"), "{error}");
}

#[test]
fn devices_are_listed() {
    let output = inpo(&["devices", "--json"]);
    assert!(output.status.success());
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let devices = told["devices"].as_array().unwrap();
    let flex = devices
        .iter()
        .find(|device| device["name"] == "flex")
        .unwrap();
    let floats: Vec<&str> = flex["floats"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(Value::as_str)
        .collect();
    assert!(
        floats.contains(&"f32") && floats.contains(&"f64"),
        "{floats:?}"
    );
    if cfg!(target_os = "linux") {
        assert!(flex["memory"].as_u64().unwrap() > 1 << 28, "{flex}");
    }
    let text = String::from_utf8(inpo(&["devices"]).stdout).unwrap();
    for device in devices {
        assert!(text.contains(device["name"].as_str().unwrap()), "{text}");
    }
    assert!(text.contains("compiled in: flex"), "{text}");
}
