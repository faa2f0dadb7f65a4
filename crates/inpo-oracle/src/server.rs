//! A judge behind an OpenAI-compatible server.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use inpo_data::http::Client;
use inpo_data::http::redact_address;
use inpo_data::{DataError, Message, Prompt, excerpt};
use inpo_game::{OracleError, Preference};
use serde_json::{Value, json};

use crate::kind::OracleConfigError;
use crate::pair_template::{PairTemplate, check_labels};
use crate::verdict::{Heard, Judge, Question, Usage, Verdict};

mod chat;
mod config;
mod faults;
mod scoring;
mod verdict;

pub use config::{
    JudgeEndpoint, JudgeTemperature, MaxTokensName, ServerJudgeConfig, StructuredOutput,
    VerdictMode,
};

use chat::{Asking, Choice, Reply};
use faults::{Hearing, Outcome, unsupported};

/// Replies of more bytes are refused: a verdict is short, and so is the reasoning before it.
const REPLY_BYTES: u64 = 8 << 20;

/// A language model behind a server that is shown two responses: any server with OpenAI's chat completions, and the endpoints
/// of vLLM and SGLang that score labels without generating ([`JudgeEndpoint`]).
///
/// ```text
/// P(a > b | x) = p(A) / (p(A) + p(B))          verdict = "logprobs": p of the first token
///              = v(label or match of a pattern)  verdict = "choice" or "text"
/// ```
///
/// It answers in the order shown. An answer that is no verdict (prose, a refusal, no label among the likeliest tokens) is an
/// invalid verdict with its reason, and never a win. So is a question that gets no answer after all retries while others
/// do. A server that answers nobody, refuses the key, or does not know a setting is
/// [`OracleError::Unavailable`], which names the key to set; what was heard before is not lost.
#[derive(Debug)]
pub struct ServerJudge {
    config: ServerJudgeConfig,
    client: Client,
    template: PairTemplate,
    mode: VerdictMode,
    labels: Vec<String>,
    max_tokens: u32,
    /// Whether the server has given log-probs: one that never does is not asked on.
    has_logprobs: AtomicBool,
    facts: scoring::Facts,
}

impl ServerJudge {
    /// The judge of settings that are in their ranges by themselves.
    fn new(config: ServerJudgeConfig) -> Result<Self, OracleConfigError> {
        let template = PairTemplate::find(&config.template).map_err(OracleConfigError::new)?;
        let mode = match (config.verdict, template.has_pattern()) {
            (None, true) if config.endpoint == JudgeEndpoint::Chat => VerdictMode::Text,
            (None, false) => VerdictMode::Logprobs,
            (Some(VerdictMode::Text), _) | (Some(_), false) => config.verdict.unwrap_or_default(),
            (Some(_) | None, true) => {
                return Err(OracleConfigError::new(format!(
                    "oracle.template {:?} asks for a text whose verdict its `pattern` finds: set oracle.verdict to \"text\", or take a template that asks for a label",
                    config.template
                )));
            }
        };
        let labels = config.labels.clone();
        let labels = labels.or_else(|| template.labels().map(<[String]>::to_vec));
        let labels = labels.unwrap_or_else(|| vec!["A".to_owned(), "B".to_owned()]);
        check_labels(&labels).map_err(|e| OracleConfigError::new(format!("oracle: {e}")))?;
        let max_tokens = config.max_tokens.unwrap_or(match mode {
            VerdictMode::Logprobs => 1,
            VerdictMode::Choice => 64,
            VerdictMode::Text => 2048,
        });
        if let Some(ids) = &config.label_token_ids
            && ids.len() != labels.len()
        {
            let sentence = format!(
                "oracle.label_token_ids has {} ids for {} labels",
                ids.len(),
                labels.len()
            );
            return Err(OracleConfigError::new(sentence));
        }
        if config.endpoint == JudgeEndpoint::GenerativeScoring && labels.len() > 2 {
            return Err(OracleConfigError::new(
                "oracle.labels has a tie, and `generative_scoring` gives the probability of the first of two labels; leave it out",
            ));
        }
        let mut server = config.server();
        if config.endpoint != JudgeEndpoint::Chat {
            server.base_url = scoring::root(&config.base_url).to_owned();
        }
        let client = Client::new(&server).map_err(OracleConfigError::new)?;
        Ok(Self {
            client: client.with_reply_bytes(REPLY_BYTES),
            template,
            mode,
            labels,
            max_tokens,
            has_logprobs: AtomicBool::new(false),
            facts: scoring::Facts::default(),
            config,
        })
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &ServerJudgeConfig {
        &self.config
    }

    fn asking(&self) -> Asking<'_> {
        Asking {
            config: &self.config,
            mode: self.mode,
            labels: &self.labels,
            max_tokens: self.max_tokens,
        }
    }

    fn unavailable(&self, reason: impl ToString) -> OracleError {
        OracleError::Unavailable {
            oracle: self.name(),
            reason: reason.to_string(),
        }
    }

    fn messages(&self, index: usize, question: &Question<'_>) -> Result<Vec<Message>, OracleError> {
        let messages = self.template.render(question, &self.labels);
        messages.map_err(|reason| OracleError::Invalid { index, reason })
    }

    /// Asks one question, as often as samples are wanted.
    fn ask(&self, place: usize, question: &Question<'_>) -> Result<Outcome, OracleError> {
        let messages = self.messages(place, question)?;
        let (asking, started) = (self.asking(), Instant::now());
        let wanted = self.config.samples;
        let mut usage = Usage::default();
        let mut samples: Vec<Result<Preference, String>> = Vec::new();
        while samples.len() < wanted {
            let body = asking.body(&messages, samples.len(), wanted - samples.len());
            let reply = self
                .client
                .ask(chat::PATH, &body, &mut usage.calls, Reply::read);
            usage.latency = started.elapsed();
            let reply = match reply {
                Ok(reply) => reply,
                Err(error) => {
                    if let Some(advice) = unsupported(&error, &asking) {
                        return Err(self.unavailable(advice));
                    }
                    let DataError::Request { reason, .. } = error else {
                        return Err(self.unavailable(error));
                    };
                    return Ok(Outcome::Refused(Verdict::invalid(reason, usage)));
                }
            };
            self.check_model(reply.model.as_deref())?;
            let tokens = reply.usage.unwrap_or_default();
            usage.prompt_tokens += tokens.prompt_tokens;
            usage.completion_tokens += tokens.completion_tokens;
            // A server that gives more than was asked for is not believed more.
            for choice in reply.choices.iter().take(wanted - samples.len()) {
                samples.push(self.read(choice)?);
            }
        }
        Ok(Outcome::Answered(Verdict {
            outcome: mean(samples),
            usage,
        }))
    }

    fn check_model(&self, answered: Option<&str>) -> Result<(), OracleError> {
        let wanted = &self.config.model;
        match answered {
            Some(model) if self.config.check_model && model != wanted => {
                Err(self.unavailable(format!(
                    "the model {} answered, and oracle.model is {wanted:?} (oracle.check_model)",
                    excerpt(model)
                )))
            }
            _ => Ok(()),
        }
    }

    /// The verdict of one answer; an error where the server gives no log-probs at all. No reason holds a secret: verdicts
    /// are written to files.
    fn read(&self, choice: &Choice) -> Result<Result<Preference, String>, OracleError> {
        let verdict = self.heard(choice)?;
        Ok(verdict.map_err(|reason| self.client.without_secrets(&reason)))
    }

    fn heard(&self, choice: &Choice) -> Result<Result<Preference, String>, OracleError> {
        if self.mode == VerdictMode::Logprobs {
            if let Some(tokens) = choice.first_tokens() {
                self.has_logprobs.store(true, Ordering::Relaxed);
                return Ok(verdict::from_logprobs(&self.labels, &tokens));
            }
            let reason = match choice.text() {
                Err(reason) => reason,
                Ok(_) if self.has_logprobs.load(Ordering::Relaxed) => {
                    "the answer has no log-probs".to_owned()
                }
                Ok(_) => {
                    return Err(self.unavailable(
                        "the server gives no log-probs; set oracle.verdict to \"choice\" or \"text\"",
                    ));
                }
            };
            return Ok(Err(reason));
        }
        let text = match choice.text() {
            Ok(text) => text,
            Err(reason) => return Ok(Err(reason)),
        };
        let verdict = match (self.mode, self.config.structured) {
            (VerdictMode::Choice, StructuredOutput::ResponseFormat) => {
                Choice::label(text).and_then(|label| verdict::from_label(&self.labels, &label))
            }
            (VerdictMode::Text, _) if self.template.has_pattern() => self.template.read(text),
            _ => verdict::from_label(&self.labels, text),
        };
        let cut_off = choice.finish_reason.as_deref() == Some("length");
        Ok(verdict.map_err(|reason| match cut_off {
            true => format!(
                "{reason}; it was cut off at oracle.max_tokens {}",
                self.max_tokens
            ),
            false => reason,
        }))
    }
}

/// The mean of the valid samples; invalid, for the first reason, where fewer than half are valid.
fn mean(samples: Vec<Result<Preference, String>>) -> Result<Preference, String> {
    let wanted = samples.len();
    let (mut sum, mut valid, mut reason) = (0.0, 0, String::new());
    for sample in samples {
        match sample {
            Ok(p) => {
                sum += p.get();
                valid += 1;
            }
            Err(why) if reason.is_empty() => reason = why,
            Err(_) => {}
        }
    }
    if 2 * valid < wanted || valid == 0 {
        return Err(match wanted {
            1 => reason,
            _ => format!("{valid} of {wanted} samples are valid: {reason}"),
        });
    }
    Preference::new(sum / f64::from(valid as u32)).map_err(|error| error.to_string())
}

/// What a list of models says of `model`.
fn listed(list: &Value, model: &str) -> String {
    let entries = list["data"].as_array().map_or(&[][..], Vec::as_slice);
    let names: Vec<&str> = entries.iter().filter_map(|m| m["id"].as_str()).collect();
    if names.contains(&model) {
        return format!("it has {}", excerpt(model));
    }
    let names = names.iter().take(5).map(|name| excerpt(name));
    let names = names.collect::<Vec<_>>().join(", ");
    format!(
        "its list of models lacks {}, and has {}",
        excerpt(model),
        if names.is_empty() { "none" } else { &names }
    )
}

impl Judge for ServerJudge {
    fn judge(&self, questions: &[Question<'_>], heard: &mut Heard<'_>) -> Result<(), OracleError> {
        // Before anything is paid for: every question can be asked.
        for (place, question) in questions.iter().enumerate() {
            self.messages(place, question)?;
        }
        let mut hearing = Hearing::new(questions, heard, self.name());
        let chat = self.config.endpoint == JudgeEndpoint::Chat;
        let units = if chat {
            (0..questions.len()).map(|place| place..place + 1).collect()
        } else {
            // Once, and not by every thread.
            if !questions.is_empty() {
                self.label_ids()?;
            }
            scoring::units(questions)
        };
        let ask = |unit: &Range<usize>| match chat {
            true => {
                let outcome = self.ask(unit.start, &questions[unit.start])?;
                Ok(vec![(unit.start, outcome)])
            }
            false => self.score(questions, unit.clone()),
        };
        let mut done = |_, outcomes: Vec<(usize, Outcome)>| {
            let mut outcomes = outcomes.into_iter();
            outcomes.try_for_each(|(place, outcome)| hearing.take(place, outcome))
        };
        self.client.for_each(&units, ask, &mut done)?;
        hearing.finish()
    }

    fn name(&self) -> String {
        let ServerJudgeConfig {
            model, template, ..
        } = &self.config;
        let how = match (self.config.endpoint, self.mode) {
            (JudgeEndpoint::GenerativeScoring, _) => "generative_scoring",
            (JudgeEndpoint::Score, _) => "score",
            (JudgeEndpoint::Chat, VerdictMode::Logprobs) => "logprobs",
            (JudgeEndpoint::Chat, VerdictMode::Choice) => "choice",
            (JudgeEndpoint::Chat, VerdictMode::Text) => "text",
        };
        format!("server(model={model}, template={template}, verdict={how})")
    }

    /// Everything but how fast and at what price it is asked. The template counts by its text.
    fn specification(&self) -> Value {
        let config = &self.config;
        let mut specification = json!({
            "kind": "server",
            "base_url": config.base_url.trim_end_matches('/'),
            "model": config.model,
            "endpoint": config.endpoint,
            "template_sha256": self.template.digest(),
            "verdict": self.mode,
            "labels": self.labels,
        });
        let mut set = |key: &str, value: Value| specification[key] = value;
        if config.endpoint == JudgeEndpoint::Chat {
            set("temperature", json!(config.temperature));
            set("max_tokens", json!(self.max_tokens));
            set("samples", json!(config.samples));
            set("seed", json!(config.seed));
            match self.mode {
                VerdictMode::Logprobs => set("top_logprobs", json!(config.top_logprobs)),
                VerdictMode::Choice => set("structured", json!(config.structured)),
                VerdictMode::Text => {}
            }
        }
        if let Some(ids) = &config.label_token_ids {
            set("label_token_ids", json!(ids));
        }
        if !config.extra_body.is_empty() {
            set("extra_body", json!(config.extra_body));
        }
        specification
    }

    fn prompt_key(&self, prompt: &Prompt) -> Value {
        self.template.prompt_key(prompt)
    }

    /// Whether the server's list of models has the one that is asked for, and how it is asked.
    fn look(&self) -> Result<Vec<String>, OracleError> {
        let ServerJudgeConfig {
            base_url,
            model,
            template,
            ..
        } = &self.config;
        let address = redact_address(base_url);
        let path = match self.config.endpoint {
            JudgeEndpoint::Chat => "/models",
            JudgeEndpoint::Score | JudgeEndpoint::GenerativeScoring => "/v1/models",
        };
        let listed = match self.client.get(path) {
            Ok(list) => listed(&list, model),
            // Servers need not have a list.
            Err(DataError::Request { reason, .. }) if reason.contains("404") => {
                "it has no list of models".to_owned()
            }
            Err(error) => return Err(self.unavailable(error)),
        };
        let how = match self.mode {
            VerdictMode::Logprobs => format!(
                "P from the log-probs of {} (top_logprobs {})",
                self.labels.join(" and "),
                self.config.top_logprobs
            ),
            VerdictMode::Choice => format!("a label of {}", self.labels.join(", ")),
            VerdictMode::Text => format!("a text of at most {} tokens", self.max_tokens),
        };
        Ok(vec![
            format!("the server at {address} answers; {listed}"),
            format!("it is asked for {how} with the template {template}"),
        ])
    }

    /// One request a question, and one more a pair where nothing is generated. Prompt tokens are guessed at four characters each, without the server's chat template;
    /// generated tokens are their bound.
    fn estimate(&self, questions: &[Question<'_>]) -> Result<Usage, OracleError> {
        let mut usage = Usage::default();
        for (place, question) in questions.iter().enumerate() {
            let messages = self.messages(place, question)?;
            let characters = messages
                .iter()
                .map(|m| m.content.chars().count())
                .sum::<usize>();
            usage.calls += 1;
            usage.prompt_tokens += characters.div_ceil(4) as u64;
        }
        if self.config.endpoint == JudgeEndpoint::Chat {
            let bound = u64::from(self.max_tokens) * self.config.samples as u64;
            usage.completion_tokens = bound * questions.len() as u64;
        } else {
            usage.calls += scoring::units(questions).len() as u64;
        }
        Ok(usage)
    }

    fn cost(&self, usage: &Usage) -> Option<f64> {
        let (input, output) = self.config.input_price.zip(self.config.output_price)?;
        Some((usage.prompt_tokens as f64 * input + usage.completion_tokens as f64 * output) / 1e6)
    }
}
