//! What can go wrong with a policy: one variant per kind of bad input.
//!
//! Each sentence says what was found, what is allowed and what to do, and names the file and the
//! key or tensor. Text that comes from a file is printed escaped and shortened by `excerpt`.

use std::path::{Path, PathBuf};

use inpo_data::DataError;
pub(crate) use inpo_data::excerpt;

#[cfg(test)]
mod tests;

/// The error of this crate.
#[derive(thiserror::Error, Debug)]
#[non_exhaustive]
pub enum PolicyError {
    /// A file that cannot be read or written, a server that does not answer.
    #[error(transparent)]
    Data(#[from] DataError),

    /// Sampling that whoever takes the answers broke off.
    #[error("the sampling was broken off")]
    BrokenOff,

    /// A file that must hold JSON does not.
    #[error("{} is not the JSON expected: {reason}; restore the file from its source", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser said, with line and column.
        reason: String,
    },

    /// A key without which the model is not known is absent from its configuration.
    #[error("{}: the key `{key}` is missing; the model cannot be built without it", path.display())]
    MissingConfigKey {
        /// The configuration file, or the GGUF whose metadata it is.
        path: PathBuf,
        /// The key, with dots between levels.
        key: String,
    },

    /// A key that this crate does not know.
    #[error(
        "{}: unknown config key `{key}` that could change arithmetic; remove it if it does not, or use a model without it",
        path.display()
    )]
    UnknownConfigKey {
        /// The configuration file.
        path: PathBuf,
        /// The key, with dots between levels.
        key: String,
    },

    /// A key that has a value for which there is no code, or that contradicts another.
    #[error("{}: `{key}` is {found}, but {allowed}", path.display())]
    ConfigValue {
        /// The configuration file, or the GGUF whose metadata it is.
        path: PathBuf,
        /// The key, with dots between levels.
        key: String,
        /// The value found.
        found: String,
        /// A clause that says what is allowed.
        allowed: String,
    },

    /// A path that is neither a GGUF file nor a Hugging Face model directory.
    #[error("{} is not a model: {reason}; give a Hugging Face directory (config.json and model.safetensors) or a .gguf file", path.display())]
    NotAModel {
        /// The path given.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },

    /// A GGUF file that breaks the format before or in its tensor table.
    #[error("{} is not a usable GGUF file: {reason}; fetch the file again", path.display())]
    Gguf {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        reason: String,
    },

    /// A tensor whose entry or bytes cannot be used.
    #[error("{}: tensor `{tensor}`: {reason}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor, by the name that the file gives it.
        tensor: String,
        /// What is wrong and what is allowed.
        reason: String,
    },

    /// Tensors that the configuration asks for are not there.
    #[error("{}: {} missing, {}; the file is incomplete or of another architecture", path.display(),
        if tensors.len() == 1 { "1 tensor is".to_owned() } else { format!("{} tensors are", tensors.len()) },
        list_names(tensors))]
    MissingTensors {
        /// The file or directory.
        path: PathBuf,
        /// All names that are missing.
        tensors: Vec<String>,
    },

    /// A tensor whose shape is not the one that the configuration implies.
    #[error("{}: tensor `{tensor}` has shape {found:?}, but its configuration implies {expected:?}; the two are not of one model", path.display())]
    TensorShape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The shape in the file.
        found: Vec<usize>,
        /// The shape that the configuration implies.
        expected: Vec<usize>,
    },

    /// A safetensors file with a broken header.
    #[error("{} is not a usable safetensors file: {reason}; fetch the file again", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },

    /// A tokenizer file, or the tokenizer in a GGUF, that cannot be used.
    #[error("{}: the tokenizer cannot be used: {reason}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },

    /// Text was given, and the model has no tokenizer that is known here.
    #[error("{} has no tokenizer that can be used: {reason}; give token ids (`prompt_token_ids`, `response_token_ids`), or the Hugging Face directory of this model with its tokenizer.json", path.display())]
    NoTokenizer {
        /// The model.
        path: PathBuf,
        /// Why not.
        reason: String,
    },

    /// Stop strings for a model whose responses cannot be read as text.
    #[error("`generation.stop_strings` need a tokenizer, and {} has none that can be used: {reason}; give the ids that end a response (`generation.stop_token_ids`)", path.display())]
    StopStrings {
        /// The model.
        path: PathBuf,
        /// Why not.
        reason: String,
    },

    /// A text that the tokenizer refuses.
    #[error("the tokenizer refuses the text {text}: {reason}")]
    Encode {
        /// The text, shortened.
        text: String,
        /// What the tokenizer said.
        reason: String,
    },

    /// Token ids that the tokenizer refuses.
    #[error("the tokenizer cannot decode {count} token ids: {reason}")]
    Decode {
        /// How many ids there were.
        count: usize,
        /// What the tokenizer said.
        reason: String,
    },

    /// Messages were given to a model without a chat template.
    #[error(
        "this model has no chat template, so messages cannot be turned into a prompt; give `prompt_token_ids`, or add chat_template.jinja to its directory"
    )]
    NoChatTemplate,

    /// A chat template that does not compile or that fails on these messages.
    #[error("the chat template fails: {reason}; check the roles and their order, or the template")]
    ChatTemplate {
        /// What the template engine or the template itself said.
        reason: String,
    },

    /// A text that the chat template was applied to before it was given.
    #[error(
        "the text is templated already: it has {mark} at an end, which the chat template writes itself; give the conversation as messages, or its ids (`prompt_token_ids`, `response_token_ids`)"
    )]
    AlreadyTemplated {
        /// The mark of the template.
        mark: String,
    },

    /// A conversation without messages.
    #[error("the conversation is empty; give at least one message with role `user`")]
    EmptyConversation,

    /// A role that chat templates do not have.
    #[error(
        "message {index}: unknown role {role}; allowed are system, developer, user, assistant, tool, function and ipython"
    )]
    UnknownRole {
        /// The message, from 0.
        index: usize,
        /// The role given, shortened.
        role: String,
    },

    /// A message of the prompt without text.
    #[error("message {index} (role {role}) is empty; give it text or leave it out")]
    EmptyMessage {
        /// The message, from 0.
        index: usize,
        /// Its role.
        role: String,
    },

    /// A setting outside its range.
    #[error("`{key}` is {got}; allowed: {allowed}")]
    InvalidSetting {
        /// The key, with dots between levels.
        key: String,
        /// Its value.
        got: String,
        /// What it may be.
        allowed: String,
    },

    /// A prompt without a token.
    #[error("prompt {number} is empty; give it at least one token")]
    EmptyPrompt {
        /// The prompt's number, from 0.
        number: u64,
    },

    /// A prompt, or a prompt with its response, that does not fit.
    #[error(
        "prompt {number} has {tokens} tokens, but at most {limit} fit; shorten it, or ask for fewer new tokens"
    )]
    PromptTooLong {
        /// The prompt's number, from 0.
        number: u64,
        /// Its tokens (with the response, when one is scored).
        tokens: usize,
        /// How many fit into the model's context beside what is asked for.
        limit: usize,
    },

    /// A token id that the model does not have.
    #[error(
        "token id {id} is beyond the model's vocabulary of {vocab_size}; the ids are another tokenizer's"
    )]
    TokenOutOfVocabulary {
        /// The id.
        id: u32,
        /// Number of ids the model has.
        vocab_size: usize,
    },

    /// A mixture of two models whose token ids are not the same.
    #[error(
        "the policy has a vocabulary of {policy} tokens and the reference one of {reference}; a mixture is taken token by token, so both must have the same vocabulary"
    )]
    MixedVocabularies {
        /// Number of ids of the policy.
        policy: usize,
        /// Number of ids of the reference.
        reference: usize,
    },

    /// Logits that cannot be sampled from.
    #[error(
        "the model's logits are not finite at new token {step}; its weights are damaged or training diverged"
    )]
    NonFiniteLogits {
        /// The new token, from 0.
        step: usize,
    },

    /// A PEFT adapter that cannot be used.
    #[error("{}: {reason}", path.display())]
    Adapter {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },

    /// A weight that is NaN or infinite.
    #[error(
        "tensor `{tensor}` holds {value} at index {index}; weights must be finite: fetch the file again, or check the training that wrote it"
    )]
    NonFiniteWeight {
        /// The tensor.
        tensor: String,
        /// The value.
        value: f32,
        /// Where, row major.
        index: usize,
    },

    /// A weight of another shape than the configuration implies.
    #[error("tensor `{tensor}` has shape {found:?}, but the configuration implies {expected:?}")]
    WrongShape {
        /// The tensor.
        tensor: String,
        /// The shape found.
        found: Vec<usize>,
        /// The shape that the configuration implies.
        expected: Vec<usize>,
    },
}

impl PolicyError {
    /// For `map_err`: a failed read of `path`.
    pub(crate) fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let read = DataError::read(path);
        |source| Self::Data(read(source))
    }

    /// The same error, which says that `by`, a key or a flag, names the file, where a file cannot be read.
    #[must_use]
    pub fn named_by(self, by: &str) -> Self {
        match self {
            Self::Data(error) => Self::Data(error.named_by(by)),
            other => other,
        }
    }

    /// For `map_err`: a failed write of `path`.
    pub(crate) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let write = DataError::write(path);
        |source| Self::Data(write(source))
    }

    /// Whether the user's input is at fault, and not the machine or the weights.
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            Self::NonFiniteLogits { .. } => false,
            Self::Data(error) => error.is_input(),
            _ => true,
        }
    }
}

fn list_names(names: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|n| format!("`{n}`")).collect();
    let more = names.len().saturating_sub(SHOWN);
    let tail = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}{tail}", shown.join(", "))
}
