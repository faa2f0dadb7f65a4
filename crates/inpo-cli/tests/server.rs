//! `inpo generate --server`: a model behind a server, which is a thread here.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::mpsc::{Sender, channel};

use serde_json::{Value, json};

/// Path and body of a request; the reply is `answer`.
fn serve(mut stream: TcpStream, seen: &Sender<(String, Value)>, answer: &Value) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut lines = reader.by_ref().lines().map(Result::unwrap);
    let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
    let headers = lines.take_while(|line| !line.is_empty());
    let length = headers
        .filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let wanted = name.eq_ignore_ascii_case("content-length");
            wanted.then(|| value.parse::<usize>().unwrap())
        })
        .last()
        .unwrap();
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    seen.send((path, serde_json::from_slice(&body).unwrap()))
        .unwrap();
    let answer = answer.to_string();
    let length = answer.len();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
    write!(stream, "{head}\r\nContent-Length: {length}\r\n\r\n{answer}").unwrap();
}

fn generate(prompts: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_inpo"))
        .args(["generate", "--model", "some-model", "--prompts"])
        .arg(prompts)
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn a_server_answers_in_rows_of_the_same_form() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    let (sender, requests) = channel();
    let choice = |text: &str, reason: &str| json!({"message": {"role": "assistant", "content": text}, "finish_reason": reason});
    let answer = json!({"choices": [choice("Yes.", "stop"), choice("No, it", "length")]});
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.unwrap(), &sender, &answer);
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let prompts = dir.path().join("prompts.jsonl");
    // Ids and log-probs of an earlier answer are not those of the new ones; the prompt's ids are not for this endpoint.
    let row = json!({
        "prompt": "Is it?",
        "prompt_token_ids": [1, 2],
        "topic": "doubt",
        "response_token_ids": [3],
        "sampling_logps": -1.0,
    });
    std::fs::write(&prompts, format!("{row}\n")).unwrap();
    let settings = [
        "--num-generations",
        "2",
        "--max-new-tokens",
        "3",
        "--seed",
        "7",
    ];
    let output = generate(&prompts, &[&["--server", &address], &settings[..]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let row: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = json!({
        "prompt": "Is it?",
        "prompt_token_ids": [1, 2],
        "topic": "doubt",
        "responses": ["Yes.", "No, it"],
        "finish_reason": ["stop", "length"],
        "seed": 7,
    });
    assert_eq!(row, expected);
    let (path, body) = requests.try_iter().next().unwrap();
    assert_eq!(path, "/v1/chat/completions");
    assert_eq!(body["model"], "some-model");
    assert_eq!(
        body["messages"],
        json!([{"role": "user", "content": "Is it?"}])
    );
    assert_eq!((&body["n"], &body["max_tokens"]), (&json!(2), &json!(3)));
}

#[test]
fn a_server_excludes_what_is_loaded_here() {
    let prompts = Path::new("prompts.jsonl");
    let output = generate(
        prompts,
        &["--server", "http://localhost:1/v1", "--adapter", "a"],
    );
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        stderr.contains("--server") && stderr.contains("--adapter"),
        "{stderr}"
    );
}
