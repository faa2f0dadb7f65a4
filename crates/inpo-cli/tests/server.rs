//! `inpo generate --server`: a model behind a server, which is a thread here.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use serde_json::{Value, json};

/// Path and body of a request.
type Seen = (String, Value);

/// A server here that answers with a status and a body: its address and what it was asked.
fn start(answer: impl Fn(&Value) -> (u16, Value) + Send + 'static) -> (String, Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.unwrap(), &sender, &answer);
        }
    });
    (address, requests)
}

fn serve(mut stream: TcpStream, seen: &Sender<Seen>, answer: &dyn Fn(&Value) -> (u16, Value)) {
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
    let body: Value = serde_json::from_slice(&body).unwrap();
    let (status, answer) = answer(&body);
    let _ = seen.send((path, body));
    let answer = answer.to_string();
    let length = answer.len();
    let head =
        format!("HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nConnection: close");
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
    let choice = |text: &str, reason: &str| json!({"message": {"role": "assistant", "content": text}, "finish_reason": reason});
    let answer = json!({"choices": [choice("Yes.", "stop"), choice("No, it", "length")]});
    let (address, requests) = start(move |_| (200, answer.clone()));
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

/// A server that answers `good` prompts, and each other one with another kind of failure until it is `well`.
fn moody(well: Arc<AtomicBool>) -> (String, Receiver<Seen>) {
    let choice = |message: Value, reason: &str| {
        (
            200,
            json!({"choices": [{"message": message, "finish_reason": reason}]}),
        )
    };
    start(move |body| {
        let prompt = body["messages"][0]["content"].as_str().unwrap();
        if well.load(Ordering::Relaxed) {
            return choice(json!({"content": format!("{prompt}!")}), "stop");
        }
        match prompt {
            "filtered" => choice(json!({"content": "x"}), "content_filter"),
            "null" => choice(json!({"content": null}), "stop"),
            "refused" => choice(json!({"content": null, "refusal": "I will not."}), "stop"),
            "tools" => choice(json!({"content": null, "tool_calls": []}), "tool_calls"),
            "bad" => (400, json!({"error": {"message": "too long"}})),
            "locked" => (401, json!({"error": {"message": "no key"}})),
            _ => choice(json!({"content": format!("{prompt}!")}), "stop"),
        }
    })
}

fn rows(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn prompts(dir: &Path, names: &[&str]) -> std::path::PathBuf {
    let path = dir.join("prompts.jsonl");
    let lines: Vec<String> = names
        .iter()
        .map(|name| json!({"prompt": name}).to_string())
        .collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    path
}

/// A prompt that fails is a row that says why; `--resume` asks for those rows alone, and ends with the file that a well
/// server would have given at once.
#[test]
fn one_bad_reply_costs_one_row() {
    let names = ["a", "filtered", "null", "b", "refused", "tools", "bad", "c"];
    let well = Arc::new(AtomicBool::new(false));
    let (address, requests) = moody(well.clone());
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (prompts(dir.path(), &names), dir.path().join("out.jsonl"));
    let output_flag = out.to_str().unwrap();
    let flags = [
        "--server",
        &address,
        "--num-generations",
        "1",
        "--output",
        output_flag,
    ];
    let first = generate(&input, &flags);
    let said = String::from_utf8_lossy(&first.stderr);
    assert_eq!(first.status.code(), Some(1), "{said}");
    assert!(
        said.contains("5 of 8 rows failed") && said.contains("line 2: "),
        "{said}"
    );
    assert!(said.contains("--resume"), "{said}");
    assert_eq!(requests.try_iter().count(), 8);
    let reasons = [
        r#"ended for the reason "content_filter""#,
        "has neither text nor ids",
        "the model refuses: \"I will not.\"",
        r#"ended for the reason "tool_calls""#,
        "400 Bad Request: too long",
    ];
    let mut reasons = reasons.into_iter();
    for (name, row) in names.iter().zip(rows(&out)) {
        assert_eq!(row["prompt"], *name);
        if name.len() == 1 {
            assert_eq!(row["responses"], json!([format!("{name}!")]));
            continue;
        }
        let error = row["error"].as_str().unwrap();
        assert!(error.contains(reasons.next().unwrap()), "{error}");
        assert!(row.get("responses").is_none());
    }

    // Rows of another temperature do not stand beside those.
    let hotter = generate(
        &input,
        &[&flags[..], &["--resume", "--temperature", "0.5"]].concat(),
    );
    let said = String::from_utf8_lossy(&hotter.stderr);
    assert!(said.contains("sampled with other settings"), "{said}");
    assert_eq!(requests.try_iter().count(), 0);

    well.store(true, Ordering::Relaxed);
    let second = generate(&input, &[&flags[..], &["--resume"]].concat());
    assert!(
        second.status.success(),
        "{}",
        String::from_utf8_lossy(&second.stderr)
    );
    let asked: Vec<Seen> = requests.try_iter().collect();
    let mut of: Vec<&str> = asked
        .iter()
        .map(|(_, body)| body["messages"][0]["content"].as_str().unwrap())
        .collect();
    of.sort_unstable();
    assert_eq!(of, ["bad", "filtered", "null", "refused", "tools"]);
    let again = rows(&out);
    let done = generate(&input, &[&flags[..], &["--resume"]].concat());
    assert!(done.status.success(), "nothing is left to ask");
    assert_eq!(requests.try_iter().count(), 0);
    let fresh = dir.path().join("fresh.jsonl");
    let third = generate(
        &input,
        &[
            "--server",
            &address,
            "--num-generations",
            "1",
            "--output",
            fresh.to_str().unwrap(),
        ],
    );
    assert!(third.status.success());
    assert_eq!(again, rows(&fresh));
    assert!(!dir.path().join("out.jsonl.partial").exists());
}

/// A server that refuses everything ends the call; what came before stays, and another call goes on from there.
#[test]
fn rows_that_came_are_kept_when_the_server_goes() {
    let well = Arc::new(AtomicBool::new(false));
    let (address, _requests) = moody(well.clone());
    let dir = tempfile::tempdir().unwrap();
    let names = [
        "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r",
        "s", "t", "locked",
    ];
    let (input, out) = (prompts(dir.path(), &names), dir.path().join("out.jsonl"));
    let output_flag = out.to_str().unwrap();
    let flags = [
        "--server",
        &address,
        "--num-generations",
        "1",
        "--output",
        output_flag,
    ];
    let first = generate(&input, &flags);
    let said = String::from_utf8_lossy(&first.stderr).into_owned();
    assert_eq!(first.status.code(), Some(2), "{said}");
    assert!(
        said.contains("401 Unauthorized: no key") && said.contains("--resume goes on"),
        "{said}"
    );
    assert!(!out.exists());
    let partial = dir.path().join("out.jsonl.partial");
    let kept = rows(&partial).len() - 1;
    assert!(
        kept >= 5,
        "{kept}: 16 of 21 requests are in flight at a time"
    );

    let unasked = generate(&input, &flags);
    let said = String::from_utf8_lossy(&unasked.stderr).into_owned();
    assert_eq!(unasked.status.code(), Some(2));
    assert!(
        said.contains("holds rows of an earlier call: add --resume"),
        "{said}"
    );
    let other = generate(&input, &[&flags[..], &["--resume", "--seed", "5"]].concat());
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(
        said.contains("out.jsonl.partial, line 1: these rows were sampled with other settings"),
        "{said}"
    );

    // The last line was being written when the power went.
    let text = std::fs::read_to_string(&partial).unwrap();
    std::fs::write(&partial, text.trim_end().split_at(text.len() - 9).0).unwrap();
    well.store(true, Ordering::Relaxed);
    // The server is back at another address.
    let (elsewhere, requests) = moody(well);
    let mut flags = flags;
    flags[1] = &elsewhere;
    let second = generate(&input, &[&flags[..], &["--resume"]].concat());
    assert!(
        second.status.success(),
        "{}",
        String::from_utf8_lossy(&second.stderr)
    );
    assert_eq!(requests.try_iter().count(), names.len() - (kept - 1));
    let answers: Vec<Value> = rows(&out)
        .into_iter()
        .map(|row| row["responses"][0].clone())
        .collect();
    let expected: Vec<Value> = names.iter().map(|name| json!(format!("{name}!"))).collect();
    assert_eq!(answers, expected);
    assert!(!partial.exists());
}
