//! Servers that misbehave, each with the verdict or the sentence that comes of it.

use std::time::Instant;

use super::*;

/// The server misbehaves at first: the verdict is that of the answer which comes in the end.
#[test]
fn passing_faults_are_outlived() {
    let slow_down = r#"{"error": {"message": "slow down"}}"#;
    let later = r#"{"error": {"message": "later"}}"#;
    let seven = r#"{"choices": [{"message": {"content": 7}}]}"#;
    let faults = [
        ("busy", of(429, "Retry-After: 1\r\n", slow_down)),
        ("overloaded", of(503, "", "")),
        ("broken", of(500, "", "oops")),
        ("silent", Reply::Silence(Duration::from_secs(3))),
        ("cut off", Reply::Cut),
        ("malformed", of(200, "", r#"{"choices": [{"#)),
        ("a web page", of(200, "", "<html>")),
        ("an error in the place of a reply", of(200, "", later)),
        ("no choices", of(200, "", r#"{"choices": []}"#)),
        ("content of another type", of(200, "", seven)),
    ];
    for (name, fault) in faults {
        let (url, log) = serve(move |number, _| match number {
            0 => fault.clone(),
            _ => good(),
        });
        let judge = judge(&url, |c| c.timeout_seconds = 0.5);
        let started = Instant::now();
        let verdict = one(&judge).unwrap();
        let p = verdict.outcome.expect(name).get();
        assert!((p - 0.75).abs() < 1e-12, "{name}");
        let requests = log.lock().unwrap().len();
        assert_eq!((verdict.usage.calls, requests), (2, 2), "{name}");
        if name == "busy" {
            assert!(started.elapsed() >= Duration::from_millis(990));
        }
    }
}

/// Limits that make no sense neither stop nor slow the judge.
#[test]
fn nonsense_limits_are_ignored() {
    let headers = "x-ratelimit-limit-requests: -1\r\nx-ratelimit-remaining-requests: -1\r\nx-ratelimit-reset-requests: 0\r\nx-ratelimit-remaining-tokens: 0\r\nRetry-After: -1\r\n";
    let (url, _) = serve(move |number, _| match number {
        0 => of(429, headers, ""),
        _ => of(200, headers, &tokens(&[("B", 0.5)]).to_string()),
    });
    let started = Instant::now();
    assert_eq!(p(&judge(&url, no_change)), 0.0);
    assert!(started.elapsed() < Duration::from_secs(2));
}

/// The server answers, and not with a verdict: invalid, with the reason, and not asked again.
#[test]
fn answers_that_are_no_verdicts() {
    let choice = |choice: Value| json!({ "choices": [choice] });
    let refusal = json!({"message": {"content": null, "refusal": "I cannot."}});
    let filtered = json!({"message": {"content": ""}, "finish_reason": "content_filter"});
    let cut = json!({"message": {"content": "Let me see"}, "finish_reason": "length"});
    let empty = json!({"message": {"content": ""}, "finish_reason": "length"});
    use VerdictMode::{Choice, Logprobs, Text};
    for (mode, reply, reason) in [
        (
            Logprobs,
            tokens(&[("The", 0.9), ("An", 0.1)]),
            "no label among the 2 likeliest first tokens, the first of which is \"The\"",
        ),
        (
            Logprobs,
            choice(refusal.clone()),
            "the judge refuses: \"I cannot.\"",
        ),
        (
            Choice,
            texts(&["A is better"]),
            "the answer \"A is better\" is no label",
        ),
        (Choice, choice(filtered), "the answer was filtered"),
        (
            Text,
            texts(&["Both are fine."]),
            "the answer \"Both are fine.\" is no label",
        ),
        (Text, texts(&[" "]), "the answer is empty"),
        (Text, choice(refusal), "the judge refuses: \"I cannot.\""),
        (
            Text,
            choice(cut),
            "the answer \"Let me see\" is no label; it was cut off at oracle.max_tokens 2048",
        ),
        (
            Text,
            choice(empty),
            "the answer is empty at oracle.max_tokens: a judge that reasons needs more",
        ),
    ] {
        let (url, log) = serve(move |_, _| Reply::Json(reply.clone()));
        let judge = judge(&url, |c| c.verdict = Some(mode));
        assert_eq!(invalid(&judge), reason);
        assert_eq!(log.lock().unwrap().len(), 1, "{reason}");
    }
}

/// A question that is refused, or gets no answer that can be read: invalid, after all tries where trying may help.
#[test]
fn faults_of_one_question() {
    let long = json!({"choices": [{"message": {"content": "A".repeat(10 << 20)}}]}).to_string();
    let too_long = "'max_tokens' is too large: 1. This model's maximum context length is 1024 tokens and your request has 2000 input tokens";
    let says = |message: &str| json!({"error": {"message": message}}).to_string();
    for (reply, tries, reason) in [
        (
            of(500, "", &says("broken")),
            3,
            "500 Internal Server Error: broken (tried 3 times)",
        ),
        (
            of(200, "", "<html>"),
            3,
            "the reply is no JSON: \"<html>\" (tried 3 times)",
        ),
        (
            of(200, "", &says("no capacity")),
            3,
            "the reply is an error: \"no capacity\" (tried 3 times)",
        ),
        (
            of(200, "", &long),
            1,
            "the reply is longer than 8388608 bytes",
        ),
        (of(400, "", &says("flagged")), 1, "400 Bad Request: flagged"),
        (
            of(400, "", &says(too_long)),
            1,
            &format!("400 Bad Request: {too_long}"),
        ),
    ] {
        let (url, log) = serve(move |_, _| reply.clone());
        let verdict = one(&judge(&url, no_change)).unwrap();
        assert_eq!(verdict.outcome.unwrap_err(), reason);
        assert_eq!(verdict.usage.calls, tries, "{reason}");
        assert_eq!(log.lock().unwrap().len() as u64, tries, "{reason}");
    }
}

/// A question on which the server hangs while it answers others is invalid; the others have their verdicts.
#[test]
fn one_question_that_hangs() {
    let (url, _) = serve(|_, seen| {
        let user = seen.body["messages"][1]["content"].as_str().unwrap();
        if user.contains("q3") {
            return Reply::Silence(Duration::from_secs(2));
        }
        std::thread::sleep(Duration::from_millis(100));
        good()
    });
    let judge = judge(&url, |c| {
        c.timeout_seconds = 0.3;
        c.concurrency = 2;
    });
    let texts = Texts::new(16);
    let (verdicts, result) = verdicts(&judge, &texts.questions());
    result.unwrap();
    for (place, verdict) in verdicts.into_iter().enumerate() {
        let outcome = verdict.unwrap().outcome;
        assert_eq!(outcome.is_err(), place == 3, "{place}");
    }
}

/// Faults of the server as a whole stop the judge, and name the key to set.
#[test]
fn faults_of_the_server() {
    let says = |message: &str| json!({"error": {"message": message}}).to_string();
    let refusal = |message: &str| of(400, "", &says(message));
    let elsewhere = "Location: https://elsewhere.example/v1/chat/completions\r\n";
    let extra = r#"{"detail": [{"loc": ["body", "structured_outputs"], "msg": "extra fields not permitted"}]}"#;
    let no_logprobs = json!({"choices": [{"message": {"content": "A"}, "logprobs": null}]});
    let dated = json!({"model": "tiny-2026-01-01", "choices": [{"message": {"content": "A"}}]});
    for (reply, change, words) in [
        (
            of(307, elsewhere, ""),
            no_change as Change,
            "it redirects to another host, \"https://elsewhere.example/v1/chat/completions\", and neither key nor prompts are sent there; set `base_url` to it if it is right",
        ),
        (
            of(401, "", &says("no key")),
            no_change,
            "401 Unauthorized: no key; name the variable with the key in `api_key_env`",
        ),
        (
            of(404, "", &says("no such model")),
            no_change,
            "404 Not Found: no such model; are `base_url` and `model` right?",
        ),
        (
            of(429, "", &says("quota")),
            no_change,
            "429 Too Many Requests: quota (tried 3 times)",
        ),
        (
            Reply::Json(no_logprobs),
            no_change,
            "the server gives no log-probs; set oracle.verdict to \"choice\" or \"text\"",
        ),
        (
            refusal("Unsupported parameter: 'logprobs' is not supported with this model."),
            no_change,
            "; set oracle.verdict to \"choice\" or \"text\": this model gives no log-probs",
        ),
        (
            refusal("Requested sample logprobs of 20, which is greater than max allowed: 5"),
            no_change,
            "; set oracle.top_logprobs, which is 20, to fewer",
        ),
        (
            refusal("Unsupported value: 'temperature' does not support 0 with this model."),
            |c| c.verdict = Some(VerdictMode::Text),
            "; set oracle.temperature to \"none\", or to a value that the model takes",
        ),
        (
            refusal(
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
            ),
            no_change,
            "; set oracle.max_tokens_name to \"max_completion_tokens\", or another oracle.max_tokens than 1",
        ),
        (
            of(422, "", extra),
            |c| c.verdict = Some(VerdictMode::Choice),
            "; set oracle.structured to \"response_format\", or oracle.verdict to \"text\"",
        ),
        (
            Reply::Json(dated),
            |c| {
                c.verdict = Some(VerdictMode::Text);
                c.check_model = true;
            },
            "the model \"tiny-2026-01-01\" answered, and oracle.model is \"tiny\" (oracle.check_model)",
        ),
    ] {
        let (url, _) = serve(move |_, _| reply.clone());
        let reason = unavailable(&judge(&url, change));
        let address = format!("{url}/chat/completions: ");
        assert!(reason.ends_with(words), "{reason}");
        assert!(!reason.starts_with("http") || reason.starts_with(&address));
    }
    // Nobody there.
    let reason = unavailable(&judge("http://127.0.0.1:9/v1", no_change));
    assert!(reason.contains("no reply: "), "{reason}");
    assert!(reason.ends_with("(tried 3 times)"), "{reason}");
}

/// A verdict goes to files: it holds neither the key, which the judge repeats, nor an escape sequence.
#[test]
fn a_key_in_an_answer_goes_to_no_file() {
    let key = std::env::var("CARGO_PKG_NAME").unwrap();
    let answer = format!("\u{1b}[1m{key} http://me:pw@h");
    let (url, _) = serve(move |_, _| Reply::Json(texts(&[&answer])));
    let judge = judge(&url, |c| {
        c.api_key_env = Some("CARGO_PKG_NAME".to_owned());
        c.verdict = Some(VerdictMode::Text);
    });
    assert_eq!(
        invalid(&judge),
        r#"the answer "\u{1b}[1m*** http://***@h" is no label"#
    );
}

/// Every question refused: no verdicts, but a server at fault. Twenty prompts are enough to tell.
#[test]
fn a_server_that_refuses_all_is_given_up() {
    let (url, log) = serve(|_, _| of(500, "", "no"));
    let change = |c: &mut ServerJudgeConfig| {
        c.max_retries = 0;
        c.concurrency = 1;
    };
    let texts = Texts::new(100);
    let (heard, result) = verdicts(&judge(&url, change), &texts.questions());
    assert_eq!(
        result.unwrap_err().to_string(),
        "the oracle \"server(model=tiny, template=labels, verdict=logprobs)\" is not available: 20 questions about 20 prompts, one after the other, got no answer; the last: 500 Internal Server Error: no (tried once)"
    );
    assert!(heard.iter().all(Option::is_none));
    assert!(log.lock().unwrap().len() < 30);
    // One prompt may be the fault of all its questions.
    let prompt = Prompt::user("long");
    let question = Comparison {
        prompt: &prompt,
        first: &texts.first,
        second: &texts.second,
    };
    let (heard, result) = verdicts(&judge(&url, change), &[question; 50]);
    result.unwrap();
    assert!(heard.iter().flatten().all(|v| v.outcome.is_err()));
    assert_eq!(heard.iter().flatten().count(), 50);
}

/// What was heard before the server went away is kept.
#[test]
fn verdicts_before_a_fault_are_heard() {
    let (url, _) = serve(|number, _| match number {
        0..5 => good(),
        _ => of(401, "", "expired"),
    });
    let judge = judge(&url, |c| c.concurrency = 1);
    let texts = Texts::new(9);
    let (heard, result) = verdicts(&judge, &texts.questions());
    assert!(matches!(result, Err(OracleError::Unavailable { .. })));
    assert_eq!(heard.iter().flatten().count(), 5);
}

/// Whoever hears may stop the judge: a full disk.
#[test]
fn a_listener_ends_the_asking() {
    let (url, log) = serve(|_, _| good());
    let judge = judge(&url, |c| c.concurrency = 1);
    let texts = Texts::new(2000);
    let full = || OracleError::Unavailable {
        oracle: "journal".to_owned(),
        reason: "the disk is full".to_owned(),
    };
    let result = judge.judge(&texts.questions(), &mut |_, _| Err(full()));
    assert_eq!(result.unwrap_err(), full());
    assert!(log.lock().unwrap().len() < 200);
}

/// Any variable that is set will do: cargo sets this one.
#[test]
fn the_key_is_sent_and_never_shown() {
    let name = "INPO_TEST_NO_SUCH_KEY";
    let missing = ServerJudgeConfig {
        api_key_env: Some(name.to_owned()),
        ..config("http://localhost:1/v1")
    };
    let error = missing.init(&Surroundings::default()).unwrap_err();
    let words = format!("the environment variable {name} (`api_key_env`) is not set");
    assert!(error.to_string().contains(&words), "{error}");
    let name = "CARGO_PKG_DESCRIPTION";
    let key = std::env::var(name).unwrap();
    let echo = format!("Incorrect API key provided: {key}");
    let (url, log) = serve(move |number, _| match number {
        0 => good(),
        _ => of(401, "", &json!({"error": {"message": echo}}).to_string()),
    });
    let judge = judge(&url, |c| c.api_key_env = Some(name.to_owned()));
    assert!((p(&judge) - 0.75).abs() < 1e-12);
    let sent = log.lock().unwrap()[0].authorization.clone();
    assert_eq!(sent, Some(format!("Bearer {key}")));
    let reason = unavailable(&judge);
    let words = "Incorrect API key provided: ***; is the key in CARGO_PKG_DESCRIPTION right?";
    assert!(reason.ends_with(words), "{reason}");
    let shown = [
        format!("{judge:?}"),
        judge.name(),
        judge.specification().to_string(),
        serde_json::to_string(judge.config()).unwrap(),
        reason,
    ];
    assert!(shown.iter().all(|text| !text.contains(&key)));
}
