//! The judge behind a server, against one on this machine that misbehaves on purpose.
#![cfg(feature = "server")]

use std::time::Duration;

use inpo_data::{Completion, Prompt};
use inpo_game::{Comparison, OracleError};
use inpo_oracle::{
    Judge, JudgeTemperature, Question, ServerJudge, ServerJudgeConfig, StructuredOutput,
    Surroundings, Usage, Verdict, VerdictMode,
};
use serde_json::{Value, json};

mod faults;
#[path = "../../../inpo-data/tests/support/faulty.rs"]
mod faulty;
mod scoring;
mod settings;

use faulty::{Reply, Seen, serve};

/// A change of the settings.
type Change = fn(&mut ServerJudgeConfig);

fn no_change(_: &mut ServerJudgeConfig) {}

fn config(url: &str) -> ServerJudgeConfig {
    ServerJudgeConfig {
        base_url: url.to_owned(),
        model: "tiny".to_owned(),
        timeout_seconds: 5.0,
        max_retries: 2,
        retry_seconds: 0.01,
        ..ServerJudgeConfig::default()
    }
}

fn judge(url: &str, change: impl FnOnce(&mut ServerJudgeConfig)) -> ServerJudge {
    let mut config = config(url);
    change(&mut config);
    config.init(&Surroundings::default()).unwrap()
}

/// Prompts and two answers to each.
struct Texts {
    prompts: Vec<Prompt>,
    first: Completion,
    second: Completion,
}

impl Texts {
    fn new(count: usize) -> Self {
        let prompt = |n| Prompt::user(format!("q{n}")).numbered(n as u64);
        Self {
            prompts: (0..count).map(prompt).collect(),
            first: Completion::finished("one"),
            second: Completion::finished("two"),
        }
    }

    fn questions(&self) -> Vec<Question<'_>> {
        let question = |prompt| Comparison {
            prompt,
            first: &self.first,
            second: &self.second,
        };
        self.prompts.iter().map(question).collect()
    }
}

/// The verdicts in the order of the questions, those that were heard before an error too.
fn verdicts(
    judge: &ServerJudge,
    questions: &[Question<'_>],
) -> (Vec<Option<Verdict>>, Result<(), OracleError>) {
    let mut verdicts = vec![None; questions.len()];
    let result = judge.judge(questions, &mut |place, verdict| {
        assert!(verdicts[place].is_none(), "each is heard once");
        verdicts[place] = Some(verdict);
        Ok(())
    });
    (verdicts, result)
}

/// The verdict on one question.
fn one(judge: &ServerJudge) -> Result<Verdict, String> {
    let texts = Texts::new(1);
    let (verdicts, result) = verdicts(judge, &texts.questions());
    result.map_err(|error| error.to_string())?;
    Ok(verdicts[0].clone().expect("a verdict"))
}

fn p(judge: &ServerJudge) -> f64 {
    one(judge).unwrap().outcome.unwrap().get()
}

/// Why the verdict on one question is invalid.
fn invalid(judge: &ServerJudge) -> String {
    one(judge).unwrap().outcome.unwrap_err()
}

/// Why the server cannot be asked.
fn unavailable(judge: &ServerJudge) -> String {
    let error = one(judge).unwrap_err();
    assert!(
        error.starts_with("the oracle \"server(model=tiny, "),
        "{error}"
    );
    let (_, reason) = error.split_once(" is not available: ").unwrap();
    reason.to_owned()
}

fn of(status: u16, headers: &str, body: &str) -> Reply {
    Reply::Of(status, headers.to_owned(), body.to_owned())
}

/// A chat reply whose first token has these probabilities; the first is the drawn one.
fn tokens(list: &[(&str, f64)]) -> Value {
    let token = |(token, p): &(&str, f64)| json!({"token": token, "logprob": p.ln()});
    let top: Vec<Value> = list.iter().map(token).collect();
    let mut position = top[0].clone();
    position["top_logprobs"] = json!(top);
    json!({
        "model": "tiny",
        "choices": [{
            "index": 0, "message": {"role": "assistant", "content": list[0].0}, "finish_reason": "length",
            "logprobs": {"content": [position]},
        }],
        "usage": {"prompt_tokens": 40, "completion_tokens": 1, "total_tokens": 41},
    })
}

/// A chat reply with these texts.
fn texts(list: &[&str]) -> Value {
    let choice = |content: &&str| json!({"message": {"content": content}, "finish_reason": "stop"});
    json!({
        "model": "tiny",
        "choices": list.iter().map(choice).collect::<Vec<_>>(),
        "usage": {"prompt_tokens": 10, "completion_tokens": 3},
    })
}

/// 0.6 / (0.6 + 0.2)
fn good() -> Reply {
    Reply::Json(tokens(&[("A", 0.6), ("B", 0.2), ("The", 0.1)]))
}

/// The request without its messages.
fn fields(seen: &Seen) -> Value {
    let mut body = seen.body.clone();
    body.as_object_mut().unwrap().remove("messages");
    body
}

#[test]
fn a_question_and_its_answer() {
    let (url, log) = serve(|_, _| good());
    // A slash too many does not matter.
    let judge = judge(&format!("{url}/"), |c| {
        c.seed = Some(7);
        c.extra_body = json!({"top_k": 1, "temperature": 0.5})
            .as_object()
            .unwrap()
            .clone();
    });
    let verdict = one(&judge).unwrap();
    assert!((verdict.outcome.unwrap().get() - 0.75).abs() < 1e-12);
    let Usage {
        calls,
        prompt_tokens,
        completion_tokens,
        latency,
    } = verdict.usage;
    assert_eq!((calls, prompt_tokens, completion_tokens), (1, 40, 1));
    assert!(latency > Duration::ZERO);
    let seen = log.lock().unwrap()[0].clone();
    assert_eq!(seen.path, "/v1/chat/completions");
    assert_eq!(seen.authorization, None);
    let messages = &seen.body["messages"];
    assert_eq!(messages[0]["role"], "system");
    assert_eq!(messages[1]["role"], "user");
    let user = messages[1]["content"].as_str().unwrap();
    assert!(user.contains("q0") && user.contains("one") && user.contains("two"));
    let expected = json!({
        "model": "tiny", "max_tokens": 1, "temperature": 0.5, "seed": 7, "logprobs": true, "top_logprobs": 20,
        "top_k": 1,
    });
    assert_eq!(fields(&seen), expected, "extra_body wins");
}

#[test]
fn a_choice_is_asked_for_in_two_ways() {
    let (url, log) = serve(|_, seen| {
        let json = seen.body.get("response_format").is_some();
        Reply::Json(texts(&[if json { r#"{"verdict": "B"}"# } else { " B" }]))
    });
    use StructuredOutput::{ResponseFormat, StructuredOutputs};
    for structured in [StructuredOutputs, ResponseFormat] {
        let judge = judge(&url, |c| {
            c.verdict = Some(VerdictMode::Choice);
            c.structured = structured;
            c.temperature = JudgeTemperature::Unsent;
            c.labels = Some(["A", "B", "C"].map(str::to_owned).to_vec());
        });
        assert_eq!(p(&judge), 0.0);
    }
    let log = log.lock().unwrap();
    let choice = json!({
        "model": "tiny", "max_tokens": 64, "structured_outputs": {"choice": ["A", "B", "C"]},
    });
    assert_eq!(fields(&log[0]), choice);
    let schema = json!({
        "type": "object", "properties": {"verdict": {"type": "string", "enum": ["A", "B", "C"]}},
        "required": ["verdict"], "additionalProperties": false,
    });
    let format = json!({
        "type": "json_schema", "json_schema": {"name": "verdict", "strict": true, "schema": schema},
    });
    let expected = json!({"model": "tiny", "max_tokens": 64, "response_format": format});
    assert_eq!(fields(&log[1]), expected);
}

/// (1 + 1 + 0 + 1/2) / 4 of the four valid ones; prose is no vote.
#[test]
fn samples_are_averaged() {
    let (url, log) = serve(|number, _| {
        Reply::Json(match number {
            0 => texts(&["so [[A]]", "so [[A]]", "hm"]),
            _ => texts(&["[[B]]", "[[C]]", "[[A]]", "more than asked for"]),
        })
    });
    let judge = judge(&url, |c| {
        c.template = "mt_bench".to_owned();
        c.temperature = JudgeTemperature::Value(0.7);
        c.samples = 5;
        c.seed = Some(10);
    });
    let verdict = one(&judge).unwrap();
    assert_eq!(verdict.outcome.unwrap().get(), 2.5 / 4.0);
    assert_eq!(verdict.usage.calls, 2);
    assert_eq!(verdict.usage.completion_tokens, 6);
    let log = log.lock().unwrap();
    let asked = |n: usize| (log[n].body["n"].clone(), log[n].body["seed"].clone());
    assert_eq!(asked(0), (json!(5), json!(10)));
    assert_eq!(asked(1), (json!(2), json!(13)), "those that are missing");
    assert_eq!(log[0].body["max_tokens"], 2048);
}

#[test]
fn most_samples_must_be_valid() {
    let (url, _) = serve(|_, _| Reply::Json(texts(&["[[A]]", "hm", "hm"])));
    let judge = judge(&url, |c| {
        c.template = "mt_bench".to_owned();
        c.temperature = JudgeTemperature::Value(1.0);
        c.samples = 3;
    });
    assert_eq!(
        invalid(&judge),
        "1 of 3 samples are valid: no verdict in \"hm\""
    );
}

/// A question that cannot be asked costs nothing.
#[test]
fn questions_are_checked_before_any_is_asked() {
    let (url, log) = serve(|_, _| good());
    let mut texts = Texts::new(3);
    texts.prompts[2] = Prompt::from_ids(vec![1]).numbered(2);
    let (_, result) = verdicts(&judge(&url, no_change), &texts.questions());
    let reason = "prompt 2 is given as token ids, and a judge over text needs its conversation";
    let expected = OracleError::Invalid {
        index: 2,
        reason: reason.to_owned(),
    };
    assert_eq!(result.unwrap_err(), expected);
    assert!(log.lock().unwrap().is_empty());
}

/// By default a dated name is the model's.
#[test]
fn another_name_of_the_model_is_taken() {
    let (url, _) = serve(|_, _| {
        let mut reply = tokens(&[("A", 0.5), ("B", 0.5)]);
        reply["model"] = json!("tiny-2026-01-01");
        Reply::Json(reply)
    });
    assert_eq!(p(&judge(&url, no_change)), 0.5);
}
