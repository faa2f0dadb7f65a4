//! Endpoints that generate nothing: the probabilities of the labels behind a prompt.
//!
//! vLLM's `/generative_scoring` and SGLang's `/v1/score` take token ids, so that what was counted is what is read: both cut a
//! prompt that is too long at its end, without a word, where the verdict is asked for.

use std::ops::Range;
use std::sync::OnceLock;
use std::time::Instant;

use inpo_data::DataError;
use inpo_data::http::check_places;
use inpo_game::{OracleError, Preference};
use serde::Deserialize;
use serde_json::{Value, json};

use super::ServerJudge;
use super::chat::unexpected;
use super::config::JudgeEndpoint;
use super::faults::Outcome;
use crate::verdict::{Question, Usage, Verdict};

/// What is asked of the server once.
#[derive(Debug, Default)]
pub(super) struct Facts {
    label_ids: OnceLock<Vec<u32>>,
    /// From `/v1/models`, where `/tokenize` does not say it.
    max_model_len: OnceLock<Option<usize>>,
}

/// The reply of `/tokenize`.
#[derive(Deserialize)]
struct Tokenized {
    tokens: Vec<u32>,
    max_model_len: Option<i64>,
}

/// P(first label) of each item, or the probabilities of all labels.
#[derive(Deserialize)]
struct Scored {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    index: Option<usize>,
    score: f64,
}

#[derive(Deserialize)]
struct Scores {
    scores: Vec<Vec<f64>>,
}

/// The server's address without the version.
pub(super) fn root(base_url: &str) -> &str {
    let base_url = base_url.trim_end_matches('/');
    let root = base_url.strip_suffix("/v1").unwrap_or(base_url);
    root.trim_end_matches('/')
}

/// Questions that go together: a pair of responses in both orders, or one question alone.
pub(super) fn units(questions: &[Question<'_>]) -> Vec<Range<usize>> {
    let mut units = Vec::new();
    let mut place = 0;
    while place < questions.len() {
        let swapped = questions.get(place + 1).is_some_and(|next| {
            let this = &questions[place];
            std::ptr::eq(this.prompt, next.prompt)
                && std::ptr::eq(this.first, next.second)
                && std::ptr::eq(this.second, next.first)
        });
        let end = place + if swapped { 2 } else { 1 };
        units.push(place..end);
        place = end;
    }
    units
}

impl ServerJudge {
    /// The ids of the labels, one each.
    pub(super) fn label_ids(&self) -> Result<&[u32], OracleError> {
        if let Some(ids) = self.config.label_token_ids.as_ref() {
            return Ok(ids);
        }
        if let Some(ids) = self.facts.label_ids.get() {
            return Ok(ids);
        }
        let mut ids = Vec::new();
        for label in &self.labels {
            let body = json!({
                "model": self.config.model, "prompt": label, "add_special_tokens": false,
            });
            let tokens = self.tokenized(&body, &mut 0);
            match tokens.map_err(|error| self.unavailable(error))?.tokens[..] {
                [id] => ids.push(id),
                ref tokens => {
                    return Err(self.unavailable(format!(
                        "the label {label:?} is {} tokens of this model and must be one; set oracle.labels",
                        tokens.len()
                    )));
                }
            }
        }
        Ok(self.facts.label_ids.get_or_init(|| ids))
    }

    /// Asks the questions at `unit`, whose prompt is the same.
    pub(super) fn score(
        &self,
        questions: &[Question<'_>],
        unit: Range<usize>,
    ) -> Result<Vec<(usize, Outcome)>, OracleError> {
        let started = Instant::now();
        let mut usages = vec![Usage::default(); unit.len()];
        let mut prompts = Vec::new();
        let refused = |mut usages: Vec<Usage>, reason: String| {
            for usage in &mut usages {
                usage.latency = started.elapsed();
            }
            let verdicts = usages
                .into_iter()
                .map(|usage| Outcome::Refused(Verdict::invalid(reason.clone(), usage)));
            unit.clone().zip(verdicts).collect()
        };
        for (place, usage) in unit.clone().zip(&mut usages) {
            match self.prompt_ids(place, &questions[place], &mut usage.calls)? {
                Ok(ids) => {
                    usage.prompt_tokens = ids.len() as u64;
                    prompts.push(ids);
                }
                Err(reason) => return Ok(refused(usages, reason)),
            }
        }
        let body = self.score_body(&prompts)?;
        let (path, count) = (self.score_path(), prompts.len());
        let read = |reply: Value| {
            let model = reply["model"].as_str().map(str::to_owned);
            Ok((model, self.read_scores(reply, count)?))
        };
        let scores = self.client.ask(path, &body, &mut usages[0].calls, read);
        let scores = match scores {
            Ok((model, scores)) => {
                self.check_model(model.as_deref())?;
                scores
            }
            Err(DataError::Request { reason, .. }) => return Ok(refused(usages, reason)),
            Err(error) => return Err(self.unavailable(error)),
        };
        let verdicts = scores.into_iter().zip(usages).map(|(p, mut usage)| {
            usage.latency = started.elapsed();
            Outcome::Answered(Verdict { outcome: p, usage })
        });
        Ok(unit.zip(verdicts).collect())
    }

    fn tokenized(&self, body: &Value, sent: &mut u64) -> Result<Tokenized, DataError> {
        let read = |reply: Value| Tokenized::deserialize(reply).map_err(unexpected);
        self.client.ask("/tokenize", body, sent, read)
    }

    /// The ids of a question, or why the server makes none of it.
    fn prompt_ids(
        &self,
        place: usize,
        question: &Question<'_>,
        sent: &mut u64,
    ) -> Result<Result<Vec<u32>, String>, OracleError> {
        let messages = self.messages(place, question)?;
        let mut body = match self.config.endpoint {
            JudgeEndpoint::Score => {
                let texts: Vec<&str> = messages.iter().map(|m| m.content.as_str()).collect();
                json!({ "prompt": texts.join("\n\n") })
            }
            _ => json!({ "messages": messages, "add_generation_prompt": true }),
        };
        self.extend(&mut body);
        let tokenized = match self.tokenized(&body, sent) {
            Ok(tokenized) => tokenized,
            Err(DataError::Request { reason, .. }) => return Ok(Err(reason)),
            Err(error) => return Err(self.unavailable(error)),
        };
        let limit = tokenized.max_model_len.filter(|limit| *limit > 0);
        let limit = match limit {
            Some(limit) => limit as usize,
            None => self.max_model_len()?,
        };
        let count = tokenized.tokens.len();
        // One token is left for the label.
        if count >= limit {
            return Err(OracleError::Invalid {
                index: place,
                reason: format!(
                    "prompt {} with its two responses has {count} tokens, and the judge reads {}",
                    question.prompt.number,
                    limit.saturating_sub(1)
                ),
            });
        }
        if count < 2 {
            return Ok(Err("the question has fewer than two tokens".to_owned()));
        }
        Ok(Ok(tokenized.tokens))
    }

    fn max_model_len(&self) -> Result<usize, OracleError> {
        let limit = match self.facts.max_model_len.get() {
            Some(limit) => *limit,
            None => {
                let models = self.client.get("/v1/models");
                let models = models.map_err(|error| self.unavailable(error))?;
                let named = |model: &&Value| model["id"] == *self.config.model;
                let model = models["data"]
                    .as_array()
                    .and_then(|all| all.iter().find(named));
                let limit = model.and_then(|model| model["max_model_len"].as_u64());
                let limit = limit.map(|limit| limit as usize);
                *self.facts.max_model_len.get_or_init(|| limit)
            }
        };
        limit.ok_or_else(|| {
            self.unavailable(
                "the server does not say how long a prompt may be (`max_model_len`), and cuts longer ones without a word; set oracle.endpoint to \"chat\"",
            )
        })
    }

    fn score_path(&self) -> &'static str {
        match self.config.endpoint {
            JudgeEndpoint::Score => "/v1/score",
            _ => "/generative_scoring",
        }
    }

    fn score_body(&self, prompts: &[Vec<u32>]) -> Result<Value, OracleError> {
        // What the prompts share is sent once. Each item keeps a token, and so does the query.
        let shared = prompts[1..].iter().fold(prompts[0].len(), |shared, other| {
            let same = prompts[0].iter().zip(other).take_while(|(a, b)| a == b);
            shared.min(same.count())
        });
        let shortest = prompts.iter().map(Vec::len).min().unwrap_or_default();
        let shared = shared.clamp(1, shortest - 1);
        let same = prompts
            .iter()
            .all(|ids| ids[..shared] == prompts[0][..shared]);
        if !same {
            return Err(self.unavailable("its tokenizer begins two questions differently"));
        }
        let items: Vec<&[u32]> = prompts.iter().map(|ids| &ids[shared..]).collect();
        let mut body = json!({
            "query": prompts[0][..shared],
            "items": items,
            "label_token_ids": self.label_ids()?,
            "apply_softmax": true,
            "item_first": false,
        });
        if self.config.endpoint == JudgeEndpoint::GenerativeScoring {
            body["add_special_tokens"] = json!(false);
        }
        self.extend(&mut body);
        Ok(body)
    }

    /// Adds the model and the configured fields.
    fn extend(&self, body: &mut Value) {
        body["model"] = json!(self.config.model);
        for (key, value) in &self.config.extra_body {
            body[key] = value.clone();
        }
    }

    /// The verdict of each item.
    fn read_scores(
        &self,
        reply: Value,
        count: usize,
    ) -> Result<Vec<Result<Preference, String>>, String> {
        let scores: Vec<f64> = match self.config.endpoint {
            JudgeEndpoint::Score => {
                let all = Scores::deserialize(reply).map_err(unexpected)?.scores;
                let shares = all
                    .iter()
                    .map(|scores| label_share(scores, self.labels.len()));
                shares.collect::<Result<_, _>>()?
            }
            _ => {
                let mut items = Scored::deserialize(reply).map_err(unexpected)?.data;
                check_places(items.iter().map(|item| item.index))?;
                items.sort_by_key(|item| item.index);
                items.iter().map(|item| item.score).collect()
            }
        };
        if scores.len() != count {
            let got = scores.len();
            return Err(format!("{count} scores were asked for, and {got} came"));
        }
        let verdict = |p: f64| {
            Preference::new(p).map_err(|_| format!("the score is {p}, which is no probability"))
        };
        Ok(scores.into_iter().map(verdict).collect())
    }
}

/// P of the first label over P of all, a tie counted half.
fn label_share(of_labels: &[f64], labels: usize) -> Result<f64, String> {
    let probabilities = of_labels.iter().all(|p| (0.0..=1.001).contains(p));
    let &[first, _, ref tie @ ..] = of_labels else {
        return Err(format!(
            "{} scores came for {labels} labels",
            of_labels.len()
        ));
    };
    if of_labels.len() != labels || !probabilities {
        return Err(format!(
            "the scores of {labels} labels are {of_labels:?}, which are no probabilities of theirs"
        ));
    }
    let tie = tie.first().copied().unwrap_or_default();
    Ok((first + tie / 2.0) / of_labels.iter().sum::<f64>())
}
