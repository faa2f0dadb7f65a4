//! Answers that no model gives.

use super::*;

/// What no model says: log-probs above 0 or beyond reason, ids of another text, of other tokens and beyond the limit, places
/// that are named twice, prompts that were not sent.
#[test]
fn impossible_answers_are_refused() {
    let told = |endpoint: Endpoint, choices: Value| {
        let (url, log) = serve(move |_, _| (200, "", json!({"choices": choices}).to_string()));
        let model = model(&url, |c| {
            c.endpoint = endpoint;
            c.logprobs = true;
        });
        let count = log.lock().unwrap().len();
        assert_eq!(count, 0);
        let prompt = match endpoint {
            Endpoint::Chat => conversations(1),
            Endpoint::Completions => vec![Prompt::from_ids(vec![1, 9]).numbered(0)],
        };
        let wanted = config(2);
        ask(&model, &prompt, &wanted)
            .map(|samples| samples.completions.concat())
            .map_err(|error| error.to_string().replace(&url, ""))
    };
    let choice = |index: Option<u64>, extra: Value| {
        let mut choice = json!({"text": "a", "finish_reason": "stop"});
        if let Some(index) = index {
            choice["index"] = json!(index);
        }
        for (key, value) in extra.as_object().unwrap() {
            choice[key] = value.clone();
        }
        choice
    };
    let logps = |list: Value| json!({"logprobs": {"tokens": [], "token_logprobs": list}});
    let completions = |choices: Value| told(Endpoint::Completions, choices);
    let refused = |extra: Value, reason: &str| {
        let good = choice(Some(0), json!({}));
        let error = completions(json!([good, choice(Some(1), extra)])).unwrap_err();
        assert_eq!(error, format!("/completions: {reason}"));
    };
    refused(
        logps(json!([-1.0, 2.5])),
        "the log-prob of token 1 is 2.5, and those of tokens lie between -1000 and 0",
    );
    refused(
        logps(json!([-9999.0])),
        "the log-prob of token 0 is -9999, and those of tokens lie between -1000 and 0",
    );
    refused(
        json!({"token_ids": [5], "logprobs": {"tokens": ["token_id:6"], "token_logprobs": [-1.0]}}),
        "a response has other ids in `token_ids` than in `logprobs`",
    );
    refused(
        json!({"token_ids": [1, 2, 3, 4, 5, 6, 7, 8]}),
        "a response has 8 ids, and 7 were asked for (`max_tokens`)",
    );
    refused(
        json!({"prompt_token_ids": [1, 8]}),
        "the ids in `prompt_token_ids` are not those that were sent",
    );
    let escapes =
        completions(json!([choice(None, json!({"finish_reason": "\u{1b}[2J"}))])).unwrap_err();
    assert!(!escapes.contains('\u{1b}'), "{escapes}");
    let twice = json!([choice(Some(1), json!({})), choice(Some(1), json!({}))]);
    assert_eq!(
        completions(twice).unwrap_err(),
        "/completions: the 2 parts of the reply have the `index` 1, 1, and it counts them from 0"
    );
    // A server may leave the places out, and log-probs are rounded.
    let rounded = choice(None, logps(json!([1e-6])));
    let answers = completions(json!([rounded, rounded])).unwrap();
    assert_eq!(answers[0].token_logps, Some(vec![0.0]));
    let error = told(Endpoint::Chat, json!([3, 4])).unwrap_err();
    assert_eq!(
        error,
        "/chat/completions: the reply is not as expected: the number 3 is given, and a table is expected"
    );
}

/// A tokenizer here knows whether ids and text are one answer.
#[test]
fn ids_of_another_text_are_refused() {
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [{
            "id": 2, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        }],
        "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"river": 0, "stone": 1, "</s>": 2}, "unk_token": "</s>"},
    });
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tokenizer.json");
    std::fs::write(&file, tokenizer.to_string()).unwrap();
    let codec = Arc::new(TextCodec::from_file(&file).unwrap());
    let told = |text: &str, ids: &[u32]| {
        let choice = json!({"text": text, "finish_reason": "stop", "token_ids": ids});
        let (url, _) = serve(move |_, _| (200, "", json!({"choices": [choice]}).to_string()));
        let model = model(&url, |c| c.endpoint = Endpoint::Completions).with_codec(codec.clone());
        let prompt = [Prompt::from_ids(vec![1]).numbered(0)];
        let answers = ask(&model, &prompt, &config(1));
        answers
            .map(drop)
            .map_err(|error| error.to_string().replace(&url, ""))
    };
    // With the token that ends a turn, and with a space that the decoder of a part does not know.
    assert_eq!(told("river stone", &[0, 1, 2]), Ok(()));
    assert_eq!(told(" river", &[0, 1]), Ok(()));
    assert_eq!(
        told("stone river", &[0, 1]).unwrap_err(),
        "/completions: the ids of a response are those of \"river stone\", and its text is \"stone river\""
    );
    assert_eq!(
        told("river", &[0, 7]).unwrap_err(),
        "/completions: the tokenizer does not know the id 7 of a response"
    );
}

#[test]
fn an_echo_of_another_prompt_is_refused() {
    let told = |tokens: Value, logps: Value| {
        let choice = json!({
            "text": "", "finish_reason": "length",
            "logprobs": {"tokens": tokens, "token_logprobs": logps},
        });
        let (url, _) = serve(move |_, _| (200, "", json!({"choices": [choice]}).to_string()));
        let logps = model(&url, |_| {}).logps(&[Sequence::new(&[1, 2], &[3])]);
        logps.map_err(|error| error.to_string().replace(&url, ""))
    };
    assert_eq!(
        told(json!([]), json!([null, -1.0, -2.0])).unwrap(),
        [vec![-2.0]]
    );
    let error = told(
        json!(["token_id:1", "token_id:5", "token_id:3"]),
        json!([null, -1.0, -2.0]),
    );
    assert_eq!(
        error.unwrap_err(),
        "/completions: the tokens in `logprobs` are not those that were sent"
    );
    let error = told(json!([]), json!([null, -1.0, -2.0, -3.0, -4.0]));
    assert_eq!(
        error.unwrap_err(),
        "/completions: 5 log-probs came for 3 tokens and one that is generated"
    );
    let error = told(json!([]), json!([null, -1.0, 0.5]));
    assert!(
        error
            .unwrap_err()
            .contains("the log-prob of token 0 is 0.5")
    );
}
