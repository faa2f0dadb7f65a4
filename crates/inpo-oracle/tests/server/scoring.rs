//! Endpoints that generate nothing.

use inpo_oracle::JudgeEndpoint;

use super::*;

/// A server whose tokens are bytes: a question "a|b" has the ids of its text behind 1, and a label the id of its letter.
/// The score of a prompt is the share of the first label's id, 65 or more, as if P(first) were 0.9 where "one" comes first.
fn bytes(seen: &Seen, max_model_len: Value) -> Reply {
    let body = &seen.body;
    match seen.path.as_str() {
        "/tokenize" => {
            let text = match body["messages"].as_array() {
                Some(messages) => messages[0]["content"].as_str().unwrap(),
                None => body["prompt"].as_str().unwrap(),
            };
            let mut tokens: Vec<u32> = text.bytes().map(u32::from).collect();
            if body["add_special_tokens"] != json!(false) {
                tokens.insert(0, 1);
            }
            let count = tokens.len();
            Reply::Json(json!({"tokens": tokens, "count": count, "max_model_len": max_model_len}))
        }
        "/generative_scoring" | "/v1/score" => {
            let ids = |value: &Value| -> Vec<u8> {
                let ids = value.as_array().unwrap().iter();
                ids.map(|id| id.as_u64().unwrap() as u8).collect()
            };
            let query = ids(&body["query"]);
            assert!(!query.is_empty());
            let score = |item: &Value| {
                let prompt = [query.clone(), ids(item)].concat();
                let text = String::from_utf8(prompt).unwrap();
                if text.contains("one|") { 0.9 } else { 0.3 }
            };
            let scores: Vec<f64> = body["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(score)
                .collect();
            if seen.path == "/v1/score" {
                let scores: Vec<_> = scores.iter().map(|p| vec![*p, 1.0 - p]).collect();
                return Reply::Json(json!({"scores": scores, "object": "scoring"}));
            }
            let item = |(index, score): (usize, &f64)| json!({"index": index, "score": score});
            // Out of order, as a server may.
            let data: Vec<Value> = scores.iter().enumerate().rev().map(item).collect();
            Reply::Json(json!({"object": "list", "data": data}))
        }
        "/v1/models" => Reply::Json(json!({"data": [{"id": "tiny", "max_model_len": 30}]})),
        path => panic!("{path}"),
    }
}

/// A judge whose question is the prompt and the two responses.
fn scoring(
    url: &str,
    endpoint: JudgeEndpoint,
    change: impl FnOnce(&mut ServerJudgeConfig),
) -> ServerJudge {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("short.toml");
    std::fs::write(&path, "user = '{{ prompt }}:{{ a }}|{{ b }}'").unwrap();
    judge(url, |c| {
        c.endpoint = endpoint;
        c.template = path.to_str().unwrap().to_owned();
        change(c);
    })
}

/// Each prompt in both orders.
fn both_orders(texts: &Texts) -> Vec<Question<'_>> {
    let questions = texts.questions();
    questions.iter().flat_map(|q| [*q, q.swapped()]).collect()
}

#[test]
fn both_orders_of_a_pair_go_together() {
    for (endpoint, path) in [
        (JudgeEndpoint::GenerativeScoring, "/generative_scoring"),
        (JudgeEndpoint::Score, "/v1/score"),
    ] {
        let (url, log) = serve(|_, seen| bytes(seen, json!(100)));
        let judge = scoring(&url, endpoint, |_| {});
        let texts = Texts::new(3);
        let mut questions = both_orders(&texts);
        // One alone.
        questions.push(texts.questions()[0]);
        let (verdicts, result) = verdicts(&judge, &questions);
        result.unwrap();
        for (place, verdict) in verdicts.into_iter().enumerate() {
            let verdict = verdict.unwrap();
            let expected = if place % 2 == 0 { 0.9 } else { 0.3 };
            let p = verdict.outcome.unwrap().get();
            assert!((p - expected).abs() < 1e-12, "{place}: {p}");
            // 1 and "q0:one|two"
            assert_eq!(verdict.usage.prompt_tokens, 11);
            // Its tokens, and the request of both for the first of them.
            assert_eq!(verdict.usage.calls, if place % 2 == 0 { 2 } else { 1 });
        }
        let log = log.lock().unwrap();
        let scored: Vec<&Seen> = log.iter().filter(|seen| seen.path == path).collect();
        assert_eq!(scored.len(), 4);
        let pair = scored.iter().find(|seen| {
            let items = seen.body["items"].as_array().unwrap();
            items.len() == 2 && seen.body["query"][2] == u32::from(b'1')
        });
        let text = |text: &str| -> Vec<u32> { text.bytes().map(u32::from).collect() };
        let query = [vec![1], text("q1:")].concat();
        let mut expected = json!({
            "model": "tiny", "query": query, "items": [text("one|two"), text("two|one")],
            "label_token_ids": [65, 66], "apply_softmax": true, "item_first": false,
        });
        if endpoint == JudgeEndpoint::GenerativeScoring {
            expected["add_special_tokens"] = json!(false);
        }
        assert_eq!(pair.unwrap().body, expected);
        let labels = log.iter().filter(|seen| seen.body["prompt"] == "A");
        assert_eq!(labels.count(), 1);
    }
}

/// A server would cut it, and with it the place of the verdict.
#[test]
fn a_prompt_that_is_too_long_is_named() {
    let (url, log) = serve(|_, seen| bytes(seen, json!(30)));
    let mut texts = Texts::new(1);
    // 1 and "q:one|two": 29 tokens leave one for the label, 30 do not.
    texts.prompts[0] = Prompt::user("q".repeat(20)).numbered(4);
    let endpoint = JudgeEndpoint::GenerativeScoring;
    let (_, result) = verdicts(&scoring(&url, endpoint, |_| {}), &texts.questions());
    result.unwrap();
    texts.prompts[0] = Prompt::user("q".repeat(21)).numbered(4);
    let scored = |log: &faulty::Log| {
        let log = log.lock().unwrap();
        log.iter()
            .filter(|s| s.path == "/generative_scoring")
            .count()
    };
    assert_eq!(scored(&log), 1);
    let long = OracleError::Invalid {
        index: 0,
        reason: "prompt 4 with its two responses has 30 tokens, and the judge reads 29".to_owned(),
    };
    let (_, result) = verdicts(&scoring(&url, endpoint, |_| {}), &texts.questions());
    assert_eq!(result.unwrap_err(), long);
    assert_eq!(scored(&log), 1, "it is not asked");
    // Where /tokenize does not say it, the list of models does.
    let (url, _) = serve(|_, seen| bytes(seen, Value::Null));
    let (_, result) = verdicts(
        &scoring(&url, JudgeEndpoint::Score, |_| {}),
        &texts.questions(),
    );
    assert_eq!(result.unwrap_err(), long);
}

#[test]
fn faults_of_scoring_are_named() {
    let (url, _) = serve(|_, seen| bytes(seen, json!(100)));
    let words = |names: [&str; 2]| {
        let labels = names.map(str::to_owned).to_vec();
        let change = |c: &mut ServerJudgeConfig| c.labels = Some(labels);
        unavailable(&scoring(&url, JudgeEndpoint::Score, change))
    };
    assert_eq!(
        words(["A", "Beta"]),
        "the label \"Beta\" is 4 tokens of this model and must be one; set oracle.labels"
    );
    let (url, _) = serve(|_, seen| match seen.path.as_str() {
        "/generative_scoring" => Reply::Json(json!({"data": [{"index": 0, "score": 1.5}]})),
        _ => bytes(seen, json!(100)),
    });
    let judge = scoring(&url, JudgeEndpoint::GenerativeScoring, |_| {});
    assert_eq!(invalid(&judge), "the score is 1.5, which is no probability");
    let (url, _) = serve(|_, seen| match seen.path.as_str() {
        "/generative_scoring" => Reply::Json(json!({"data": []})),
        _ => bytes(seen, json!(100)),
    });
    let judge = scoring(&url, JudgeEndpoint::GenerativeScoring, |_| {});
    assert_eq!(
        invalid(&judge),
        "1 scores were asked for, and 0 came (tried 3 times)"
    );
    let (url, _) = serve(|_, seen| match seen.path.as_str() {
        "/v1/score" => Reply::Json(json!({"scores": [[-0.5, 0.7]]})),
        _ => bytes(seen, json!(100)),
    });
    let judge = scoring(&url, JudgeEndpoint::Score, |_| {});
    assert_eq!(
        invalid(&judge),
        "the scores of 2 labels are [-0.5, 0.7], which are no probabilities of theirs (tried 3 times)"
    );
    let (url, _) = serve(|_, seen| match seen.path.as_str() {
        "/generative_scoring" => {
            let item = json!({"index": 0, "score": 0.5});
            Reply::Json(json!({ "data": [item, item] }))
        }
        _ => bytes(seen, json!(100)),
    });
    let judge = scoring(&url, JudgeEndpoint::GenerativeScoring, |_| {});
    assert_eq!(
        invalid(&judge),
        "the 2 parts of the reply have the `index` 0, 0, and it counts them from 0 (tried 3 times)"
    );
}

/// (0.2 + 0.4 / 2) / 0.8, though the probabilities do not add up to 1.
#[test]
fn a_tie_counts_half() {
    let (url, log) = serve(|_, seen| match seen.path.as_str() {
        "/v1/score" => Reply::Json(json!({"scores": [[0.2, 0.2, 0.4]]})),
        _ => bytes(seen, json!(100)),
    });
    let judge = scoring(&url, JudgeEndpoint::Score, |c| {
        c.labels = Some(["A", "B", "C"].map(str::to_owned).to_vec());
        c.label_token_ids = Some(vec![7, 8, 9]);
    });
    assert!((p(&judge) - 0.5).abs() < 1e-12);
    let log = log.lock().unwrap();
    assert_eq!(
        log.last().unwrap().body["label_token_ids"],
        json!([7, 8, 9])
    );
}
