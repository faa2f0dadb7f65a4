//! `inpo doctor`: what it says is what the run does, and it leaves nothing behind.

mod command;
mod tiny_run;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use command::{inpo, snapshot};

fn doctor(dir: &Path, settings: &[&str]) -> (Value, String, Option<i32>) {
    let mut args = vec!["doctor", "--config", "run.toml", "--json"];
    args.extend(settings.iter().flat_map(|setting| ["--set", setting]));
    let output = inpo(dir, &args);
    let told = String::from_utf8(output.stderr).unwrap();
    let found = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (found, told, output.status.code())
}

/// The same header, prompts and comparisons as in the run's own files; nothing new in the folder.
#[test]
fn it_foretells_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    tiny_run::prepare(dir);
    let settings = [
        "output_dir=out",
        "data.eval_prompts=prompts.jsonl",
        "eval.num_generations=3",
        "data.shuffle=false",
        "train.max_steps=7",
    ];
    let before = snapshot(dir);
    let (found, told, status) = doctor(dir, &settings);
    assert_eq!(status, Some(0), "{told}");
    assert!(snapshot(dir) == before);

    let rows = std::fs::read_to_string(dir.join("prompts.jsonl")).unwrap();
    let rows = rows
        .lines()
        .map(|row| serde_json::from_str::<Value>(row).unwrap());
    let texts: Vec<String> = rows
        .map(|row| format!("<s> {} <s> ", row["prompt"].as_str().unwrap()))
        .collect();
    let shown: Vec<&str> = found["shown"]
        .as_array()
        .unwrap()
        .iter()
        .map(|prompt| prompt["text"].as_str().unwrap())
        .collect();
    assert_eq!(shown, texts[..2]);
    assert_eq!(found["shown"][0]["token_ids"].as_array().unwrap().len(), 6);
    assert_eq!(found["prompts"]["histogram"], json!([[6, 16]]));
    assert_eq!(found["prompt_limit"], 128 - 12);
    let differs = found["differs_from_paper"].as_array().unwrap();
    let eta = json!({"key": "objective.eta", "here": "0.1", "paper": "0.005"});
    assert!(differs.contains(&eta), "{differs:?}");
    assert_eq!(found["judge"], Value::Null);
    assert!(found["disk"]["needed"].as_u64().unwrap() > 1000);

    let mut args = vec!["run", "--config", "run.toml"];
    args.extend(settings.iter().flat_map(|setting| ["--set", setting]));
    assert!(inpo(dir, &args).status.success());
    let manifest = std::fs::read(dir.join("out/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    for key in ["inputs", "objective", "samplers", "oracle", "comparisons"] {
        assert_eq!(found["header"][key], manifest[key], "{key}");
        assert_ne!(manifest[key], Value::Null, "{key}");
    }
    let count = |name: &str| {
        let stages = found["forecast"]["stages"].as_array().unwrap();
        let stage = stages.iter().find(|stage| stage["stage"] == name);
        stage.unwrap()["count"].as_u64().unwrap() as usize
    };
    let responses = |file: &str| {
        let rows = std::fs::read_to_string(dir.join("out").join(file)).unwrap();
        let rows = rows
            .lines()
            .map(|row| serde_json::from_str::<Value>(row).unwrap());
        let counts = rows.map(|row| row["responses"].as_array().unwrap().len());
        counts.sum::<usize>()
    };
    let sampled: Vec<usize> = (0..=2)
        .map(|t| responses(&format!("iteration-000{t}/eval_responses.jsonl")))
        .collect();
    assert_eq!(count("evaluate"), sampled.iter().sum::<usize>());
    let sampled = (1..=2).map(|t| responses(&format!("iteration-000{t}/responses.jsonl")));
    assert_eq!(count("generate"), sampled.sum::<usize>());
    let state = std::fs::read(dir.join("out/trainer_state.json")).unwrap();
    let state: Value = serde_json::from_slice(&state).unwrap();
    // Steps of 4 pairs.
    assert_eq!(
        count("optimise") as u64,
        4 * state["global_step"].as_u64().unwrap()
    );
    // Iteration 1 is scored under pi_1 alone, which is the reference; iteration 2 under both.
    assert_eq!(count("anchors"), 8 + 2 * 8);
}

/// All that would stop the run is told at once, each by its key.
#[test]
fn it_lists_all_that_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    tiny_run::prepare(dir);
    let settings = [
        "output_dir=out",
        "reference={ model = './nowhere' }",
        "oracle={ kind = 'pair_lm', model = './nobody' }",
    ];
    let before = snapshot(dir);
    let (_, told, status) = doctor(dir, &settings);
    assert_eq!(status, Some(2), "{told}");
    assert_eq!(told.matches("error: ").count(), 2, "{told}");
    assert!(
        told.contains("reference.model") && told.contains("nowhere"),
        "{told}"
    );
    assert!(told.contains("nobody"), "{told}");
    let (_, told, status) = doctor(dir, &["output_dir=out", "generation.max_new_tokens=125"]);
    assert_eq!(status, Some(2), "{told}");
    assert!(
        told.contains("prompts.jsonl, line 1: the prompt has 6 tokens"),
        "{told}"
    );
    assert!(snapshot(dir) == before);
}

/// A server that lists a model and prefers the response in the first place, and the paths that it was asked for.
fn judge() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    let (sender, asked) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let lines = reader.by_ref().lines().map(Result::unwrap);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let length = head.iter().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                let wanted = name.eq_ignore_ascii_case("content-length");
                wanted.then(|| value.parse::<u64>().unwrap())
            });
            let mut body = Vec::new();
            let read = reader.take(length.unwrap_or(0)).read_to_end(&mut body);
            read.unwrap();
            let path = head[0].split(' ').nth(1).unwrap().to_owned();
            let likely = json!([{"token": "A", "logprob": -0.1}, {"token": "B", "logprob": -2.4}]);
            let answer = match path.as_str() {
                "/v1/models" => json!({"data": [{"id": "another"}]}),
                _ => json!({"choices": [{
                    "message": {"role": "assistant", "content": "A"}, "finish_reason": "stop",
                    "logprobs": {"content": [{"token": "A", "logprob": -0.1, "top_logprobs": likely}]},
                }]}),
            };
            let _ = sender.send(path);
            let answer = answer.to_string();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
            let length = answer.len();
            let _ = write!(stream, "{head}\r\nContent-Length: {length}\r\n\r\n{answer}");
        }
    });
    (address, asked)
}

#[test]
fn it_asks_a_judge_that_is_paid_for_a_few_comparisons() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    tiny_run::prepare(dir);
    let (address, asked) = judge();
    let oracle = |address: &str| {
        format!(
            "oracle={{ kind = 'server', base_url = '{address}', model = 'judge', max_retries = 0 }}"
        )
    };
    let before = snapshot(dir);
    let (found, told, status) = doctor(dir, &["output_dir=out", &oracle(&address)]);
    assert_eq!(status, Some(0), "{told}");
    assert!(snapshot(dir) == before);
    let asked: Vec<String> = asked.try_iter().collect();
    let calls = asked.iter().filter(|path| *path == "/v1/chat/completions");
    let comparisons = found["judge"]["asked"].as_u64().unwrap() as usize;
    assert!((1..=4).contains(&comparisons));
    // Both orders, each once.
    assert_eq!(calls.count(), 2 * comparisons);
    let budget = &found["header"]["comparisons"];
    let most = budget["training"].as_u64().unwrap() + budget["evaluation"].as_u64().unwrap();
    assert_eq!(found["judge"]["comparisons"], most);
    assert_eq!(found["judge"]["calls"], 2 * most);
    let facts = found["judges"].to_string();
    assert!(facts.contains("its list of models lacks"), "{facts}");

    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/v1", listener.local_addr().unwrap())
    };
    let (_, told, status) = doctor(dir, &["output_dir=out", &oracle(&nobody)]);
    assert_eq!(status, Some(1), "{told}");
    let reason = format!("is not available: {nobody}/models: no reply");
    assert!(told.contains(&reason), "{told}");
    assert!(snapshot(dir) == before);
}
