//! Requests without an answer: whose fault it is, and what to do about it.

use std::collections::BTreeSet;

use inpo_data::{DataError, Prompt};
use inpo_game::OracleError;

use super::chat::Asking;
use super::config::{JudgeTemperature, MaxTokensName, StructuredOutput, VerdictMode};
use crate::verdict::{Heard, Question, Verdict};

/// Prompts whose questions may be refused one after the other before the server is taken to refuse all.
const REFUSED_PROMPTS: usize = 20;

/// What came of asking one question.
pub(super) enum Outcome {
    /// The judge answered, validly or not.
    Answered(Verdict),
    /// The question got no answer; others may.
    Refused(Verdict),
}

/// Hands verdicts on. Refusals are held back until another question is answered: a server that refuses every question is
/// at fault itself, and its refusals are no verdicts.
pub(super) struct Hearing<'a, 'h> {
    questions: &'a [Question<'a>],
    heard: &'a mut Heard<'h>,
    judge: String,
    held: Vec<(usize, Verdict)>,
    /// The prompts of the held ones.
    prompts: BTreeSet<*const Prompt>,
}

impl<'a, 'h> Hearing<'a, 'h> {
    pub(super) fn new(
        questions: &'a [Question<'a>],
        heard: &'a mut Heard<'h>,
        judge: String,
    ) -> Self {
        Self {
            questions,
            heard,
            judge,
            held: Vec::new(),
            prompts: BTreeSet::new(),
        }
    }

    pub(super) fn take(&mut self, place: usize, outcome: Outcome) -> Result<(), OracleError> {
        match outcome {
            Outcome::Answered(verdict) => {
                self.finish()?;
                (self.heard)(place, verdict)
            }
            Outcome::Refused(verdict) => {
                let reason = verdict.outcome.clone().err().unwrap_or_default();
                self.held.push((place, verdict));
                self.prompts.insert(self.questions[place].prompt);
                if self.prompts.len() < REFUSED_PROMPTS {
                    return Ok(());
                }
                let questions = self.held.len();
                Err(OracleError::Unavailable {
                    oracle: self.judge.clone(),
                    reason: format!(
                        "{questions} questions about {REFUSED_PROMPTS} prompts, one after the other, got no answer; the last: {reason}"
                    ),
                })
            }
        }
    }

    /// Hands on what is held back: the server answers others, or there were few.
    pub(super) fn finish(&mut self) -> Result<(), OracleError> {
        self.prompts.clear();
        for (place, verdict) in std::mem::take(&mut self.held) {
            (self.heard)(place, verdict)?;
        }
        Ok(())
    }
}

/// The key to set where a refusal says that a setting is not supported.
pub(super) fn unsupported(error: &DataError, asking: &Asking<'_>) -> Option<String> {
    let DataError::Request { reason, .. } = error else {
        return None;
    };
    if !["400", "422"]
        .iter()
        .any(|status| reason.starts_with(status))
    {
        return None;
    }
    let words = reason.to_lowercase();
    let says = |needles: &[&str]| needles.iter().any(|needle| words.contains(needle));
    // The length of this prompt, which messages of servers put beside max_tokens.
    if says(&["context", "too long", "longer than", "too many tokens"]) {
        return None;
    }
    let complains = says(&[
        "support",
        "not allowed",
        "permitted",
        "unrecognized",
        "unknown",
        "unexpected",
        "invalid",
        "extra ",
        "must be",
        "greater than",
        "at most",
        "deprecated",
        "less than",
        "only ",
    ]);
    if !complains {
        return None;
    }
    let (config, mode) = (asking.config, asking.mode);
    let logprobs = mode == VerdictMode::Logprobs;
    let advice = if logprobs && says(&["logprobs"]) {
        if says(&["greater than", "at most", "less than", "must be"]) {
            format!(
                "set oracle.top_logprobs, which is {}, to fewer",
                config.top_logprobs
            )
        } else {
            "set oracle.verdict to \"choice\" or \"text\": this model gives no log-probs".to_owned()
        }
    } else if mode == VerdictMode::Choice
        && says(&["structured_outputs", "response_format", "json_schema"])
    {
        let other = match config.structured {
            StructuredOutput::StructuredOutputs => "response_format",
            StructuredOutput::ResponseFormat => "structured_outputs",
        };
        format!("set oracle.structured to \"{other}\", or oracle.verdict to \"text\"")
    } else if says(&["max_tokens", "max_completion_tokens"]) {
        let other = match config.max_tokens_name {
            MaxTokensName::MaxTokens => MaxTokensName::MaxCompletionTokens,
            MaxTokensName::MaxCompletionTokens => MaxTokensName::MaxTokens,
        };
        format!(
            "set oracle.max_tokens_name to \"{}\", or another oracle.max_tokens than {}",
            other.word(),
            asking.max_tokens
        )
    } else if config.temperature != JudgeTemperature::Unsent && says(&["temperature"]) {
        "set oracle.temperature to \"none\", or to a value that the model takes".to_owned()
    } else if config.seed.is_some() && says(&["seed"]) {
        "leave oracle.seed out".to_owned()
    } else if config.samples > 1 && says(&["'n'", "`n`", "\"n\"", "n must be"]) {
        "set oracle.extra_body = { n = 1 }: samples are then asked for one by one".to_owned()
    } else {
        return None;
    };
    Some(format!("{error}; {advice}"))
}
