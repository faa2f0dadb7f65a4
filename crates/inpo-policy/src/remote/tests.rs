//! Against a server on this machine that answers as vLLM does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use inpo_data::FinishReason;

mod impossible;

struct Request {
    path: String,
    authorization: Option<String>,
    body: Value,
}

type Log = Arc<Mutex<Vec<Request>>>;

/// Status, extra headers and body of a reply.
type Reply = (u16, &'static str, String);

/// A server that gives `reply` the number of the request, from 0, and the request.
fn serve(reply: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> (String, Log) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let log = Log::default();
    let (seen, reply) = (log.clone(), Arc::new(reply));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (seen, reply) = (seen.clone(), reply.clone());
            std::thread::spawn(move || handle(stream.unwrap(), &seen, &*reply));
        }
    });
    (format!("http://{address}/v1"), log)
}

fn handle(mut stream: TcpStream, seen: &Log, reply: &dyn Fn(usize, &Request) -> Reply) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let path = line.split(' ').nth(1).unwrap().to_owned();
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end().split_once(": ") {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap();
            }
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                authorization = Some(value.to_owned());
            }
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let request = Request {
        path,
        authorization,
        body: serde_json::from_slice(&body).unwrap(),
    };
    let (status, headers, body) = {
        let mut seen = seen.lock().unwrap();
        let reply = reply(seen.len(), &request);
        seen.push(request);
        reply
    };
    if status == 0 {
        // No reply within the test's patience.
        std::thread::sleep(Duration::from_secs(5));
        return;
    }
    let n = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nContent-Length: {n}\r\n{headers}Connection: close\r\n\r\n{body}"
    );
}

/// As many choices as are asked for, each with the text of its prompt and its number.
fn chat(_: usize, request: &Request) -> Reply {
    let question = &request.body["messages"][0]["content"];
    let choice = |index: u64| {
        json!({
            "index": index,
            "message": {"role": "assistant", "content": format!("{}-{index}", question.as_str().unwrap())},
            "finish_reason": if index == 0 { "stop" } else { "length" },
        })
    };
    let n = request.body["n"].as_u64().unwrap();
    // Out of order, as a server may.
    let choices: Vec<Value> = (0..n).rev().map(choice).collect();
    (200, "", json!({ "choices": choices }).to_string())
}

fn model(url: &str, change: impl FnOnce(&mut RemoteConfig)) -> RemoteModel {
    let mut config = RemoteConfig {
        timeout_seconds: 10.0,
        retry_seconds: 0.01,
        ..RemoteConfig::new(url, "tiny")
    };
    change(&mut config);
    RemoteModel::new(config).unwrap()
}

fn conversations(count: u64) -> Vec<Prompt> {
    let prompt = |number| Prompt::user(format!("q{number}")).numbered(number);
    (0..count).map(prompt).collect()
}

fn config(num_generations: usize) -> GenerationConfig {
    GenerationConfig {
        num_generations,
        max_new_tokens: 7,
        ..GenerationConfig::default()
    }
}

fn ask(
    model: &RemoteModel,
    prompts: &[Prompt],
    config: &GenerationConfig,
) -> Result<Samples, PolicyError> {
    let mut done = 0;
    let samples = model.sample(prompts, config, DrawKey::new(3, 1), &mut |n| done += n)?;
    assert_eq!(done, prompts.len() * config.num_generations);
    Ok(samples)
}

fn error(model: &RemoteModel) -> String {
    let result = ask(model, &conversations(1), &config(1));
    result.unwrap_err().to_string()
}

#[test]
fn conversations_are_answered_in_order() {
    let (url, log) = serve(chat);
    // A slash too many does not matter.
    let model = model(&format!("{url}/"), |_| {});
    let samples = ask(&model, &conversations(20), &config(3)).unwrap();
    assert!(samples.have_text);
    for (p, answers) in samples.completions.iter().enumerate() {
        let texts: Vec<&str> = answers.iter().map(|a| a.text.as_str()).collect();
        let expected: Vec<String> = (0..3).map(|k| format!("q{p}-{k}")).collect();
        assert_eq!(texts, expected);
        let reasons = answers.iter().map(|a| a.finish_reason);
        use FinishReason::{Length, Stop};
        assert_eq!(reasons.collect::<Vec<_>>(), [Stop, Length, Length]);
        assert!(
            answers
                .iter()
                .all(|a| a.token_ids.is_none() && a.token_logps.is_none())
        );
    }
    let log = log.lock().unwrap();
    assert_eq!(log.len(), 20, "one request a prompt");
    let mut seeds: Vec<u64> = log
        .iter()
        .map(|r| r.body["seed"].as_u64().unwrap())
        .collect();
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds.len(), 20, "each with a seed of its own");
    let first = log
        .iter()
        .find(|r| r.body["messages"][0]["content"] == "q0");
    let Request {
        path,
        body,
        authorization,
    } = first.unwrap();
    assert_eq!(path, "/v1/chat/completions");
    assert_eq!(*authorization, None);
    let mut body = body.clone();
    body.as_object_mut().unwrap().remove("seed");
    let expected = json!({
        "model": "tiny", "messages": [{"role": "user", "content": "q0"}], "n": 3, "max_tokens": 7,
        "temperature": 1.0, "top_p": 1.0,
    });
    assert_eq!(body, expected, "settings that OpenAI lacks are not sent");
}

#[test]
fn requests_of_one_sample_have_seeds_of_their_own() {
    let (url, log) = serve(chat);
    let model = model(&url, |c| c.samples_per_request = Some(2));
    ask(&model, &conversations(1), &config(3)).unwrap();
    let greedy = GenerationConfig {
        temperature: 0.0,
        ..config(2)
    };
    ask(&model, &conversations(1), &greedy).unwrap();
    let log = log.lock().unwrap();
    let mut counts: Vec<u64> = log.iter().map(|r| r.body["n"].as_u64().unwrap()).collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 1, 1, 2], "2 + 1, and greedy one by one");
    let seeds: Vec<&Value> = log[..2].iter().map(|r| &r.body["seed"]).collect();
    assert_ne!(seeds[0], seeds[1]);
}

/// Ids in, ids and log-probs out, in the two spellings of vLLM.
#[test]
fn token_ids_and_logps_come_back() {
    let (url, log) = serve(|_, request| {
        let spelled = json!({
            "text": "a b", "finish_reason": "stop",
            "logprobs": {"tokens": ["token_id:5", "token_id:2"], "token_logprobs": [-0.5, -0.25]},
        });
        let listed = json!({
            "text": "a b", "finish_reason": "stop", "token_ids": [5, 2], "prompt_token_ids": [1, 9],
            "logprobs": {"tokens": ["a", "b"], "token_logprobs": [-0.5, -0.25]},
        });
        let choice = if request.body["prompt"][0] == 1 {
            listed
        } else {
            spelled
        };
        (200, "", json!({"choices": [choice]}).to_string())
    });
    let model = model(&url, |c| {
        c.endpoint = Endpoint::Completions;
        c.logprobs = true;
        c.token_ids = true;
    });
    let prompt = |number, ids: &[u32]| Prompt::from_ids(ids.to_vec()).numbered(number);
    let config = GenerationConfig {
        top_k: Some(4),
        min_p: 0.1,
        repetition_penalty: 1.2,
        min_new_tokens: 2,
        stop_token_ids: vec![8],
        stop_strings: vec!["x".to_owned()],
        ..config(1)
    };
    let prompts = [prompt(0, &[1, 9]), prompt(1, &[3])];
    let samples = ask(&model, &prompts, &config).unwrap();
    assert!(samples.have_text);
    for completion in samples.completions.concat() {
        assert_eq!(completion.token_ids.as_deref(), Some(&[5, 2][..]));
        assert_eq!(completion.token_logps.as_deref(), Some(&[-0.5, -0.25][..]));
        assert_eq!(completion.text, "a b");
    }
    assert_eq!(samples.prompt_ids[0].as_deref(), Some(&[1, 9][..]));
    let log = log.lock().unwrap();
    let request = log
        .iter()
        .find(|r| r.body["prompt"] == json!([1, 9]))
        .unwrap();
    assert_eq!(request.path, "/v1/completions");
    let mut body = request.body.clone();
    body.as_object_mut().unwrap().remove("seed");
    let expected = json!({
        "model": "tiny", "prompt": [1, 9], "n": 1, "max_tokens": 7, "temperature": 1.0, "top_p": 1.0,
        "stop": ["x"], "top_k": 4, "min_p": 0.1, "repetition_penalty": 1.2, "min_tokens": 2,
        "stop_token_ids": [8], "logprobs": 0, "return_token_ids": true,
        "return_tokens_as_token_ids": true,
    });
    assert_eq!(body, expected);
}

#[test]
fn logps_of_a_chat_are_read() {
    let (url, _) = serve(|_, _| {
        let content = json!([{"token": "token_id:7", "logprob": -1.5}, {"token": "token_id:2", "logprob": -0.5}]);
        let choice = json!({
            "message": {"content": "hi"}, "finish_reason": "stop", "logprobs": {"content": content},
        });
        let reply = json!({"choices": [choice], "prompt_token_ids": [4, 4]});
        (200, "", reply.to_string())
    });
    let model = model(&url, |c| c.logprobs = true);
    let samples = ask(&model, &conversations(1), &config(1)).unwrap();
    let answer = &samples.completions[0][0];
    assert_eq!(answer.token_ids, Some(vec![7, 2]));
    assert_eq!(answer.token_logps, Some(vec![-1.5, -0.5]));
    assert_eq!(samples.prompt_ids[0], Some(vec![4, 4]));
}

/// The log-prob of token `t` is `-t`; the first has none, and one is generated behind the sequence.
#[test]
fn sequences_are_scored_by_their_echo() {
    let (url, log) = serve(|_, request| {
        let ids = request.body["prompt"].as_array().unwrap().iter();
        let mut logps: Vec<Option<f64>> = ids.map(|id| Some(-id.as_f64().unwrap())).collect();
        logps[0] = None;
        logps.push(Some(-99.0));
        let tokens: Vec<&str> = logps.iter().map(|_| "t").collect();
        let logprobs = json!({"tokens": tokens, "token_logprobs": logps});
        let choice = json!({"text": "", "finish_reason": "length", "logprobs": logprobs});
        (200, "", json!({"choices": [choice]}).to_string())
    });
    let sequences = [
        Sequence::new(&[1, 2], &[3, 4]),
        Sequence::new(&[7], &[6, 5, 4]),
    ];
    let logps = model(&url, |_| {}).logps(&sequences).unwrap();
    assert_eq!(logps, [vec![-3.0, -4.0], vec![-6.0, -5.0, -4.0]]);
    let log = log.lock().unwrap();
    assert!(
        log.iter()
            .all(|r| r.path == "/v1/completions" && r.body["echo"] == true)
    );
}

#[test]
fn a_server_without_logps_of_prompts_is_named() {
    let (url, _) = serve(|_, _| {
        let choice = json!({"text": "", "finish_reason": "length", "logprobs": null});
        (200, "", json!({"choices": [choice]}).to_string())
    });
    let result = model(&url, |_| {}).logps(&[Sequence::new(&[1], &[2])]);
    assert_eq!(
        result.unwrap_err().to_string(),
        format!(
            "{url}/completions: the server gives no log-probs of a prompt (`echo` with `logprobs`); score with the model's files"
        )
    );
}

/// 429 and 503 twice, then an answer; the wait doubles, and `Retry-After` wins.
#[test]
fn a_busy_server_is_asked_again() {
    let (url, log) = serve(|number, request| match number {
        0 => (429, "", r#"{"error": {"message": "slow down"}}"#.to_owned()),
        1 => (503, "Retry-After: 1\r\n", String::new()),
        _ => chat(number, request),
    });
    let started = Instant::now();
    let answers = ask(&model(&url, |_| {}), &conversations(1), &config(1)).unwrap();
    assert_eq!(answers.completions[0][0].text, "q0-0");
    assert!(
        started.elapsed() >= Duration::from_secs(1),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(log.lock().unwrap().len(), 3);
}

#[test]
fn a_server_that_stays_busy_is_given_up() {
    let (url, log) = serve(|_, _| (500, "", r#"{"error": {"message": "broken"}}"#.to_owned()));
    let message = error(&model(&url, |c| c.max_retries = 2));
    assert_eq!(
        message,
        format!("{url}/chat/completions: 500 Internal Server Error: broken (tried 3 times)")
    );
    assert_eq!(log.lock().unwrap().len(), 3);
}

#[test]
fn refusals_are_not_repeated_and_say_what_to_do() {
    let cases = [
        (
            400,
            r#"{"object": "error", "message": "top_k is unknown"}"#,
            "400 Bad Request: top_k is unknown",
        ),
        (
            401,
            r#"{"error": {"message": "no key"}}"#,
            "401 Unauthorized: no key; name the variable with the key in `api_key_env`",
        ),
        (
            404,
            r#"{"error": {"message": "no such model"}}"#,
            "404 Not Found: no such model; are `base_url` and `model` right?",
        ),
        (200, "<html>", r#"the reply is no JSON: "<html>""#),
        (
            200,
            r#"{"choices": []}"#,
            "1 responses were asked for (`n`), and 0 came; set `samples_per_request = 1`",
        ),
        (
            200,
            r#"{"choices": [{"message": {"content": "x"}, "finish_reason": "content_filter"}]}"#,
            r#"a response ended for the reason "content_filter""#,
        ),
        (
            200,
            r#"{"choices": [{"message": {}, "finish_reason": "stop"}]}"#,
            "a response has neither text nor ids",
        ),
    ];
    for (status, body, expected) in cases {
        let (url, log) = serve(move |_, _| (status, "", body.to_owned()));
        let message = error(&model(&url, |_| {}));
        assert_eq!(message, format!("{url}/chat/completions: {expected}"));
        assert_eq!(log.lock().unwrap().len(), 1, "{expected}");
    }
}

#[test]
fn a_server_that_does_not_reply_is_given_up_in_time() {
    let (url, _) = serve(|_, _| (0, "", String::new()));
    let started = Instant::now();
    let model = model(&url, |c| {
        c.timeout_seconds = 0.2;
        c.max_retries = 1;
    });
    let message = error(&model);
    assert!(
        message.starts_with(&format!("{url}/chat/completions: no reply: "))
            && message.ends_with(" (tried 2 times)"),
        "{message}"
    );
    assert!(started.elapsed() < Duration::from_secs(4));
}

/// Any variable that is set will do: cargo sets this one.
#[test]
fn the_key_comes_from_the_environment() {
    let (url, log) = serve(chat);
    let name = "CARGO_PKG_NAME";
    let with_key = model(&url, |c| c.api_key_env = Some(name.to_owned()));
    ask(&with_key, &conversations(1), &config(1)).unwrap();
    let key = std::env::var(name).unwrap();
    let expected = format!("Bearer {key}");
    assert_eq!(log.lock().unwrap()[0].authorization, Some(expected));
    assert!(
        !format!("{with_key:?}").contains(&key),
        "keys are not shown"
    );
    let missing = RemoteModel::new(RemoteConfig {
        api_key_env: Some("INPO_TEST_NO_SUCH_KEY".to_owned()),
        ..RemoteConfig::new(&url, "tiny")
    });
    assert_eq!(
        missing.unwrap_err().to_string(),
        format!(
            "{url}: the environment variable INPO_TEST_NO_SUCH_KEY (`api_key_env`) is not set; set it to the server's key, or leave `api_key_env` out"
        )
    );
}

#[test]
fn prompts_must_suit_the_endpoint() {
    let ids = Prompt::from_ids(vec![1]).numbered(6);
    let url = "http://127.0.0.1:9/v1";
    let refusal = |endpoint, prompt: &Prompt| {
        let model = model(url, |c| c.endpoint = endpoint);
        let result = ask(&model, std::slice::from_ref(prompt), &config(1));
        result.unwrap_err().to_string()
    };
    assert_eq!(
        refusal(Endpoint::Chat, &ids),
        "http://127.0.0.1:9/v1: prompt 6 is given as token ids, and `endpoint = \"chat\"` takes conversations; ask `completions`"
    );
    assert_eq!(
        refusal(Endpoint::Completions, &conversations(1)[0]),
        "http://127.0.0.1:9/v1: `endpoint = \"completions\"` takes token ids, and no tokenizer was given to make them of a conversation; give ids, a tokenizer, or ask `chat`"
    );
}

#[test]
fn settings_out_of_range_are_refused() {
    let error = |change: fn(&mut RemoteConfig)| {
        let mut config = RemoteConfig::new("http://localhost:1/v1", "tiny");
        change(&mut config);
        RemoteModel::new(config).unwrap_err().to_string()
    };
    assert_eq!(
        error(|c| c.base_url = "localhost:1".to_owned()),
        "`base_url` is \"localhost:1\"; allowed: an address such as http://localhost:8000/v1"
    );
    assert_eq!(
        error(|c| c.timeout_seconds = f64::NAN),
        "`timeout_seconds` is NaN; allowed: above 0, at most a year"
    );
    assert_eq!(
        error(|c| c.samples_per_request = Some(0)),
        "`samples_per_request` is 0; allowed: at least 1, or absent"
    );
}
