//! What judges that are models share: their device, what they read, and what is too long for them.

use std::time::Duration;

use burn::tensor::Device;
use inpo_data::{Completion, Message, Prompt};
use inpo_game::{OracleError, Preference};
use inpo_policy::{PolicyError, TextCodec};
use serde::{Deserialize, Serialize};

use crate::kind::OracleConfigError;
use crate::surroundings::Surroundings;
use crate::verdict::{Heard, Usage, Verdict};

/// What happens to a text that a judge's model cannot read whole. It is never cut.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TooLong {
    /// An error that names the prompt.
    #[default]
    Error,
    /// An invalid verdict, which is counted and no win.
    Skip,
}

impl TooLong {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How many tokens a model reads, and what happens to more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) tokens: usize,
    pub(crate) vocab_size: usize,
    pub(crate) too_long: TooLong,
}

impl Limit {
    /// The model's context, or the smaller `max_length`.
    ///
    /// # Errors
    ///
    /// A length of 0, or one beyond the context.
    pub(crate) fn new(
        max_length: Option<usize>,
        config: &inpo_policy::ModelConfig,
        too_long: TooLong,
    ) -> Result<Self, OracleConfigError> {
        let context = config.max_position_embeddings;
        match max_length {
            Some(tokens) if tokens == 0 || tokens > context => {
                Err(OracleConfigError::new(format!(
                    "oracle.max_length is {tokens}: the judge's model reads 1 to {context} tokens"
                )))
            }
            given => Ok(Self {
                tokens: given.unwrap_or(context),
                vocab_size: config.vocab_size,
                too_long,
            }),
        }
    }

    /// Why `ids` cannot be read, where they are too long and that is no error.
    ///
    /// # Errors
    ///
    /// Why the question cannot be answered.
    pub(crate) fn check(&self, prompt: &Prompt, ids: &[u32]) -> Result<Option<String>, String> {
        if let Some(id) = ids.iter().find(|&&id| id as usize >= self.vocab_size) {
            return Err(format!(
                "its text has the token id {id}, and the judge's model has {} ids; the tokenizer is another model's",
                self.vocab_size
            ));
        }
        let (tokens, limit) = (ids.len(), self.tokens);
        match self.too_long {
            _ if tokens <= limit => Ok(None),
            TooLong::Skip => Ok(Some(format!(
                "too long: {tokens} tokens, and the judge reads {limit}"
            ))),
            TooLong::Error => Err(format!(
                "prompt {} with its responses has {tokens} tokens for the judge, which reads {limit}; shorten it, or \
                 set oracle.too_long = \"skip\" to count it as invalid",
                prompt.number
            )),
        }
    }
}

/// The device of models.
///
/// # Errors
///
/// Surroundings without one.
pub(crate) fn device<'a>(
    around: &Surroundings<'a>,
    kind: &str,
) -> Result<&'a Device, OracleConfigError> {
    around.device.ok_or_else(|| {
        OracleConfigError::new(format!(
            "oracle.kind is \"{kind}\", a model, and no device was given to run it on"
        ))
    })
}

/// Finds the model that a configuration names.
///
/// # Errors
///
/// No name, or a model that is not found.
pub(crate) fn find_model(
    around: &Surroundings<'_>,
    name: &str,
) -> Result<std::path::PathBuf, OracleConfigError> {
    if name.trim().is_empty() {
        let sentence =
            "oracle.model is empty: name the judge's model, a directory, a .gguf file or a hub id";
        return Err(OracleConfigError::new(sentence));
    }
    (around.find_model)(name).map_err(|e| OracleConfigError::new(format!("oracle.model: {e}")))
}

/// For `map_err`: a model that cannot be used, under the key that names it.
pub(crate) fn of_key(key: &'static str) -> impl Fn(PolicyError) -> OracleConfigError {
    move |error| OracleConfigError::new(format!("oracle.{key}: {error}"))
}

/// Checks that a judge's model can read conversations.
///
/// # Errors
///
/// A model without a chat template.
pub(crate) fn require_template(codec: &TextCodec) -> Result<(), OracleConfigError> {
    if codec.has_template() {
        return Ok(());
    }
    Err(OracleConfigError::new(
        "oracle.model has no chat template, so it cannot read a conversation; add chat_template.jinja to its directory",
    ))
}

/// The tokenizer of a model that reads conversations.
///
/// # Errors
///
/// A model without one, or without a chat template.
pub(crate) fn require_codec(codec: Option<&TextCodec>) -> Result<&TextCodec, OracleConfigError> {
    let codec = codec.ok_or_else(|| {
        OracleConfigError::new(
            "oracle.model has no tokenizer that can be used, so it cannot read text; add tokenizer.json to its directory",
        )
    })?;
    require_template(codec)?;
    Ok(codec)
}

/// The conversation of a prompt.
///
/// # Errors
///
/// A prompt of ids alone: they are another model's.
pub(crate) fn conversation(prompt: &Prompt) -> Result<&[Message], String> {
    if prompt.messages.is_empty() {
        return Err(format!(
            "prompt {} has no messages, and a judge reads text: its token ids are another model's",
            prompt.number
        ));
    }
    Ok(&prompt.messages)
}

/// Hands on what a model said: a number that is none is an answer that cannot be used.
///
/// # Errors
///
/// Those of `heard`.
pub(crate) fn hear(
    heard: &mut Heard<'_>,
    place: usize,
    probability: f64,
    usage: Usage,
) -> Result<(), OracleError> {
    let verdict = match Preference::new(probability) {
        Ok(preference) => Verdict::new(preference, usage),
        Err(error) => Verdict::invalid(format!("the model's logits: {error}"), usage),
    };
    heard(place, verdict)
}

/// The conversation of a prompt and its answer.
///
/// # Errors
///
/// Those of [`conversation`].
pub(crate) fn answered(prompt: &Prompt, answer: &Completion) -> Result<Vec<Message>, String> {
    let answer = Message::assistant(answer.text.as_str());
    Ok([conversation(prompt)?, &[answer]].concat())
}

/// Each one's share of the time that `count` took together.
pub(crate) fn share(time: Duration, count: usize) -> Duration {
    time / u32::try_from(count.max(1)).unwrap_or(u32::MAX)
}

/// `1 / (1 + exp(-x))` without overflow.
pub(crate) fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}
