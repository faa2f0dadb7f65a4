//! Text to token ids and back, and conversations to prompts.

use std::path::Path;

use serde_json::{Map, Value, json};
use tokenizers::Tokenizer;

use crate::error::{PolicyError, excerpt};
use crate::files::{sha256_bytes, write_whole};
use crate::template::{ChatTemplate, Message, SpecialTokens, check_messages};

mod gguf;
#[cfg(test)]
mod tests;

/// A tokenizer with its chat template.
#[derive(Debug)]
pub struct TextCodec {
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    special: SpecialTokens,
    /// `tokenizer_config.json` as it was read, for [`TextCodec::save`].
    config: Option<Map<String, Value>>,
    end_of_turn: Option<u32>,
    hash: String,
}

impl TextCodec {
    /// Reads `tokenizer.json`, and beside it `tokenizer_config.json` and `chat_template.jinja`
    /// where they exist. The latter wins over a template in the former.
    ///
    /// Truncation and padding that the file asks for are switched off: they are the trainer's.
    ///
    /// # Errors
    /// A file that cannot be read or used, or a template that does not compile.
    pub fn from_file(path: &Path) -> Result<Self, PolicyError> {
        let refuse = |reason: String| PolicyError::Tokenizer {
            path: path.to_path_buf(),
            reason,
        };
        let bytes = std::fs::read(path).map_err(PolicyError::read(path))?;
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|e| refuse(e.to_string()))?;
        tokenizer
            .with_truncation(None)
            .map_err(|e| refuse(e.to_string()))?;
        tokenizer.with_padding(None);

        let config_path = path.with_file_name("tokenizer_config.json");
        let config = if config_path.is_file() {
            Some(read_config(&config_path)?)
        } else {
            None
        };
        let token = |key: &str| {
            config
                .as_ref()
                .and_then(|config| special_token(config.get(key)))
        };
        let special = SpecialTokens {
            bos: token("bos_token"),
            eos: token("eos_token"),
            unk: token("unk_token"),
            pad: token("pad_token"),
        };
        let template_path = path.with_file_name("chat_template.jinja");
        let template = if template_path.is_file() {
            Some(
                std::fs::read_to_string(&template_path)
                    .map_err(PolicyError::read(&template_path))?,
            )
        } else {
            config
                .as_ref()
                .and_then(|config| template_in(config.get("chat_template")))
        };
        Self::assemble(tokenizer, template.as_deref(), special, config, path)
    }

    fn assemble(
        tokenizer: Tokenizer,
        template: Option<&str>,
        special: SpecialTokens,
        config: Option<Map<String, Value>>,
        path: &Path,
    ) -> Result<Self, PolicyError> {
        let refuse = |reason: String| PolicyError::Tokenizer {
            path: path.to_path_buf(),
            reason,
        };
        let text = tokenizer
            .to_string(false)
            .map_err(|e| refuse(e.to_string()))?;
        let template = template
            .map(|source| ChatTemplate::compile(source, special.clone()))
            .transpose()?;
        let hash = sha256_bytes(text.as_bytes());
        let mut codec = Self {
            tokenizer,
            template,
            special,
            config,
            end_of_turn: None,
            hash,
        };
        codec.end_of_turn = codec.find_end_of_turn();
        Ok(codec)
    }

    /// The ids of a text. No special token is added; those written in the text are recognised.
    ///
    /// # Errors
    /// A text that the tokenizer's model refuses; byte-level tokenizers refuse none.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, PolicyError> {
        match self.tokenizer.encode_fast(text, false) {
            Ok(encoding) => Ok(encoding.get_ids().to_vec()),
            Err(e) => Err(PolicyError::Encode {
                text: excerpt(text),
                reason: e.to_string(),
            }),
        }
    }

    /// The text of ids, without special tokens. Ids outside the vocabulary stand for nothing.
    ///
    /// # Errors
    /// Ids that the tokenizer's decoder refuses.
    pub fn decode(&self, ids: &[u32]) -> Result<String, PolicyError> {
        self.tokenizer
            .decode(ids, true)
            .map_err(|e| PolicyError::Decode {
                count: ids.len(),
                reason: e.to_string(),
            })
    }

    /// The number of tokens, those added to the model's vocabulary included.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// The id of a token, by its text in the vocabulary.
    #[must_use]
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// Whether messages can be turned into prompts.
    #[must_use]
    pub fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// The text of a conversation up to and including the opening of the model's answer.
    ///
    /// # Errors
    /// Messages that [`check_messages`] refuses, a model without a template, or a template that
    /// refuses the conversation.
    pub fn render_prompt(&self, messages: &[Message]) -> Result<String, PolicyError> {
        check_messages(messages)?;
        self.render(messages, true)
    }

    fn render(&self, messages: &[Message], answer: bool) -> Result<String, PolicyError> {
        self.template
            .as_ref()
            .ok_or(PolicyError::NoChatTemplate)?
            .render(messages, answer)
    }

    /// The ids of [`TextCodec::render_prompt`].
    ///
    /// # Errors
    /// Those of [`TextCodec::render_prompt`] and [`TextCodec::encode`].
    pub fn encode_prompt(&self, messages: &[Message]) -> Result<Vec<u32>, PolicyError> {
        self.encode(&self.render_prompt(messages)?)
    }

    /// The id that closes an answer: the first special token that the template writes after one,
    /// or else the end token of the tokenizer.
    #[must_use]
    pub fn end_of_turn(&self) -> Option<u32> {
        self.end_of_turn
    }

    fn find_end_of_turn(&self) -> Option<u32> {
        const ANSWER: &str = "the-answer-that-is-looked-for";
        let conversation = [Message::user("a question"), Message::assistant(ANSWER)];
        let after = || {
            let text = self.render(&conversation, false).ok()?;
            let (_, after) = text.rsplit_once(ANSWER)?;
            let added = self.tokenizer.get_added_tokens_decoder();
            let ids = self.encode(after).ok()?;
            ids.into_iter()
                .find(|id| added.get(id).is_some_and(|token| token.special))
        };
        after().or_else(|| self.token_to_id(self.special.eos.as_deref()?))
    }

    /// The sha256 of the chat template's text, in hexadecimal.
    #[must_use]
    pub fn template_hash(&self) -> Option<String> {
        self.template.as_ref().map(ChatTemplate::hash)
    }

    /// The sha256 of the tokenizer in its own JSON form, in hexadecimal: the same for a tokenizer
    /// from a GGUF and from tokenizer.json when the two give the same ids.
    #[must_use]
    pub fn tokenizer_hash(&self) -> String {
        self.hash.clone()
    }

    /// Writes `tokenizer.json`, `tokenizer_config.json` and `chat_template.jinja` into a directory
    /// that exists. A `tokenizer_config.json` that was read is written as it was.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), PolicyError> {
        let path = dir.join("tokenizer.json");
        let refuse = |reason: String| PolicyError::Tokenizer {
            path: path.clone(),
            reason,
        };
        let text = self
            .tokenizer
            .to_string(false)
            .map_err(|e| refuse(e.to_string()))?;
        write_whole(&path, text.as_bytes())?;
        let config = match &self.config {
            Some(config) => Value::Object(config.clone()),
            None => json!({
                "add_prefix_space": false,
                "bos_token": self.special.bos,
                "clean_up_tokenization_spaces": false,
                "eos_token": self.special.eos,
                "pad_token": self.special.pad,
                "tokenizer_class": "PreTrainedTokenizerFast",
                "unk_token": self.special.unk,
            }),
        };
        write_whole(
            &dir.join("tokenizer_config.json"),
            format!("{config:#}\n").as_bytes(),
        )?;
        if let Some(template) = &self.template {
            write_whole(
                &dir.join("chat_template.jinja"),
                template.source().as_bytes(),
            )?;
        }
        Ok(())
    }
}

fn read_config(path: &Path) -> Result<Map<String, Value>, PolicyError> {
    let text = std::fs::read(path).map_err(PolicyError::read(path))?;
    serde_json::from_slice(&text).map_err(|e| PolicyError::Json {
        path: path.to_path_buf(),
        reason: e.to_string(),
    })
}

/// A special token is a string or an object with a `content`.
fn special_token(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Object(token) => token.get("content")?.as_str().map(str::to_owned),
        _ => None,
    }
}

/// A template is a string or a list of named ones, of which `default` counts.
fn template_in(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => {
            let named = |name: &str| {
                list.iter()
                    .find(|t| t.get("name").and_then(Value::as_str) == Some(name))
            };
            named("default")?
                .get("template")?
                .as_str()
                .map(str::to_owned)
        }
        _ => None,
    }
}
