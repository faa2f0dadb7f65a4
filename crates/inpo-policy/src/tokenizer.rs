//! Text to token ids and back, and conversations to prompts.

use std::path::Path;
use std::sync::Mutex;

use serde_json::{Map, Value};
use tokenizers::Tokenizer;

use crate::error::{PolicyError, excerpt};
use crate::template::{SpecialTokens, Templates};
use inpo_data::{caught, sha256};

mod answers;
mod bounds;
mod charsmap;
mod chat;
mod declared;
mod ends;
mod files;
mod gguf;
mod stream;
#[cfg(test)]
pub(crate) mod tests;

use answers::Marks;
pub use answers::{Answer, Answered};
use bounds::Growth;
use ends::Ends;
pub use stream::TextStream;

/// What is said of a panic in the library.
const PANICKED: &str = "the tokenizer's settings do not fit together";

/// A tokenizer with its chat template.
#[derive(Debug)]
pub struct TextCodec {
    tokenizer: Tokenizer,
    growth: Growth,
    templates: Templates,
    special: SpecialTokens,
    /// `tokenizer_config.json` as it was read, for [`TextCodec::save`].
    config: Option<Map<String, Value>>,
    ends: Ends,
    marks: Marks,
    /// What a user should know of it, once each.
    notes: Mutex<Vec<String>>,
    hash: String,
}

impl TextCodec {
    fn assemble(
        (tokenizer, growth): (Tokenizer, Growth),
        templates: Templates,
        special: SpecialTokens,
        config: Option<Map<String, Value>>,
        named_ends: Vec<u32>,
        path: &Path,
    ) -> Result<Self, PolicyError> {
        let refuse = |reason: String| PolicyError::Tokenizer {
            path: path.to_path_buf(),
            reason,
        };
        let text = written(&tokenizer).map_err(refuse)?;
        let split = if tokenizer.get_encode_special_tokens() {
            "split_special_tokens"
        } else {
            ""
        };
        let hash = sha256(format!("{text}{split}").as_bytes());
        let mut codec = Self {
            tokenizer,
            growth,
            templates,
            special,
            config,
            ends: Ends::default(),
            marks: Marks::default(),
            notes: Mutex::default(),
            hash,
        };
        codec.find_ends(named_ends);
        codec.marks = codec.find_marks();
        Ok(codec)
    }

    /// The ids of a text. No special token is added; those written in the text are recognised.
    ///
    /// # Errors
    /// A text that the tokenizer's model refuses, which byte-level tokenizers do not, and one that its normalisers may
    /// make too long.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, PolicyError> {
        self.encode_as(text, false)
    }

    /// The ids of a text that is not a turn of a conversation, with the special tokens that the tokenizer's post-processor puts
    /// around it: as transformers' `tokenizer.encode(text)`.
    ///
    /// # Errors
    /// Those of [`TextCodec::encode`].
    pub fn encode_with_special(&self, text: &str) -> Result<Vec<u32>, PolicyError> {
        self.encode_as(text, true)
    }

    fn encode_as(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>, PolicyError> {
        let refuse = |reason: String| PolicyError::Encode {
            text: excerpt(text),
            reason,
        };
        bounds::check_length(text.len(), self.growth.encoded).map_err(refuse)?;
        match caught(|| self.tokenizer.encode_fast(text, add_special_tokens)) {
            Some(Ok(encoding)) => Ok(encoding.get_ids().to_vec()),
            Some(Err(e)) => Err(refuse(e.to_string())),
            None => Err(refuse(PANICKED.to_owned())),
        }
    }

    /// The text of ids, without special tokens. Ids outside the vocabulary stand for nothing.
    ///
    /// # Errors
    /// Ids that the tokenizer's decoder refuses, and those whose text it may make too long.
    pub fn decode(&self, ids: &[u32]) -> Result<String, PolicyError> {
        let refuse = |reason: String| PolicyError::Decode {
            count: ids.len(),
            reason,
        };
        // What published decoders do to a text needs no look at the tokens.
        if self.growth.decoded > Growth::GGUF.decoded {
            let length = |id: &u32| self.tokenizer.id_to_token(*id).map_or(0, |t| t.len());
            let length = ids.iter().map(length).sum();
            bounds::check_length(length, self.growth.decoded).map_err(refuse)?;
        }
        match caught(|| self.tokenizer.decode(ids, true)) {
            Some(Ok(text)) => Ok(text),
            Some(Err(e)) => Err(refuse(e.to_string())),
            None => Err(refuse(PANICKED.to_owned())),
        }
    }

    /// What was found out about tokenizer and template that a user should know, each once, in the order in which it
    /// was found.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.notes
            .lock()
            .map(|notes| notes.clone())
            .unwrap_or_default()
    }

    fn note(&self, note: String) {
        if let Ok(mut notes) = self.notes.lock()
            && !notes.contains(&note)
        {
            notes.push(note);
        }
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

    /// The text of a special token by the name that transformers gives it: `bos_token`, `eos_token`, ..
    #[must_use]
    pub fn special_token(&self, name: &str) -> Option<&str> {
        self.special.get(name)
    }

    /// The sha256 of the tokenizer in its own JSON form, in hexadecimal: the same for a tokenizer
    /// from a GGUF and from tokenizer.json when the two give the same ids.
    #[must_use]
    pub fn tokenizer_hash(&self) -> String {
        self.hash.clone()
    }
}

/// A tokenizer in its own JSON form.
fn written(tokenizer: &Tokenizer) -> Result<String, String> {
    let text = caught(|| tokenizer.to_string(false)).ok_or(PANICKED)?;
    text.map_err(|e| e.to_string())
}
