//! The tokenizer in a GGUF's metadata.
//!
//! A GGUF has a vocabulary, merges or scores, and only the name of the pre-tokenizer. Each name is a
//! rule of its own, so only rules that were compared with their source are rebuilt: a nearly right rule
//! gives plausible, wrong ids. `default` is not one of them: the converter writes it where it did not
//! know the rule, and llama.cpp then splits as no published tokenizer does.

use std::path::Path;

use serde_json::json;
use tokenizers::models::bpe::{BPE, BpeBuilder};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, Tokenizer};

use super::bounds::{Growth, LARGEST_ID, check_added};
use super::ends::KNOWN;
use super::{PANICKED, TextCodec};
use crate::error::{PolicyError, excerpt};
use crate::files::gguf::Metadata;
use crate::template::{DEFAULT, SpecialTokens, Templates};
use inpo_data::caught;

mod byte_level;
mod sentencepiece;

/// Token types of the vocabulary.
const NORMAL: i64 = 1;
const UNKNOWN: i64 = 2;
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;
const BYTE: i64 = 6;

/// The vocabulary, with what every kind of tokenizer reads.
struct Vocabulary<'a> {
    metadata: &'a Metadata,
    path: &'a Path,
    tokens: &'a [String],
    /// As many as tokens, or none.
    types: &'a [i64],
}

impl<'a> Vocabulary<'a> {
    fn read(metadata: &'a Metadata, path: &'a Path) -> Result<Option<Self>, PolicyError> {
        let Some(tokens) = metadata.strings("tokenizer.ggml.tokens")? else {
            return Ok(None);
        };
        let types = metadata
            .integers("tokenizer.ggml.token_type")?
            .unwrap_or_default();
        let vocabulary = Self {
            metadata,
            path,
            tokens,
            types,
        };
        if !types.is_empty() && types.len() != tokens.len() {
            return Err(vocabulary.refuse(format!(
                "there are {} tokens and {} token types",
                tokens.len(),
                types.len()
            )));
        }
        if tokens.len() as u64 > LARGEST_ID {
            return Err(vocabulary.refuse(format!(
                "there are {} tokens; allowed: up to {LARGEST_ID}",
                tokens.len()
            )));
        }
        Ok(Some(vocabulary))
    }

    fn refuse(&self, reason: String) -> PolicyError {
        PolicyError::Tokenizer {
            path: self.path.to_path_buf(),
            reason,
        }
    }

    /// The type of a token; normal where the file has no types.
    fn kind(&self, id: usize) -> i64 {
        self.types.get(id).copied().unwrap_or(NORMAL)
    }

    /// The ids of all tokens; each token is there once.
    fn ids(&self) -> Result<tokenizers::models::bpe::Vocab, PolicyError> {
        let capacity = self.tokens.len();
        let mut ids =
            tokenizers::models::bpe::Vocab::with_capacity_and_hasher(capacity, Default::default());
        for (id, token) in (0u32..).zip(self.tokens) {
            if ids.insert(token.clone(), id).is_some() {
                return Err(self.refuse(format!("the token {} is there twice", excerpt(token))));
            }
        }
        Ok(ids)
    }

    fn token_at(&self, name: &str) -> Result<Option<String>, PolicyError> {
        let key = format!("tokenizer.ggml.{name}_token_id");
        let Some(id) = self.metadata.id(&key)? else {
            return Ok(None);
        };
        match self.tokens.get(id as usize) {
            Some(token) => Ok(Some(token.clone())),
            None => Err(self.metadata.refuse(
                &key,
                id.to_string(),
                &format!("there are {} tokens", self.tokens.len()),
            )),
        }
    }

    fn special(&self) -> Result<SpecialTokens, PolicyError> {
        let mut tokens = Vec::new();
        for (name, key) in [
            ("bos_token", "bos"),
            ("eos_token", "eos"),
            ("unk_token", "unknown"),
            // Spelt so by the format.
            ("sep_token", "seperator"),
            ("pad_token", "padding"),
            ("cls_token", "cls"),
            ("mask_token", "mask"),
        ] {
            let token = self.token_at(key)?;
            tokens.extend(token.map(|token| (name.to_owned(), token)));
        }
        Ok(SpecialTokens::new(tokens))
    }

    /// The tokens that end a turn or a message, by their keys and by their names.
    fn ends(&self) -> Result<Vec<u32>, PolicyError> {
        let mut ends = Vec::new();
        for key in ["eot", "eom"] {
            let token = self.token_at(key)?;
            ends.extend(token.and_then(|token| self.id_of(&token)));
        }
        let known = KNOWN.iter().filter_map(|name| self.id_of(name));
        ends.extend(known.filter(|id| self.kind(*id as usize) == CONTROL));
        Ok(ends)
    }

    fn id_of(&self, token: &str) -> Option<u32> {
        let place = self.tokens.iter().position(|known| known == token)?;
        u32::try_from(place).ok()
    }

    /// Whether the tokenizer puts its opening token before a text: as the file says, or else as its
    /// kind does.
    fn adds_bos(&self, kind_does: bool) -> Result<bool, PolicyError> {
        let said = self.metadata.flag("tokenizer.ggml.add_bos_token")?;
        Ok(said.unwrap_or(kind_does))
    }

    /// Marks the tokens that are found in text as they stand, before anything else: control tokens and
    /// the unknown token as special ones, user-defined ones as ordinary ones.
    fn mark_added(&self, tokenizer: &mut Tokenizer) -> Result<(), PolicyError> {
        let of_type = |wanted: &'static [i64], special: bool| {
            let tokens = self.tokens.iter().enumerate();
            tokens
                .filter(move |(id, _)| wanted.contains(&self.kind(*id)))
                .map(move |(_, token)| AddedToken::from(token.as_str(), special).normalized(false))
        };
        let (special, plain) = (&[UNKNOWN, CONTROL][..], &[USER_DEFINED][..]);
        for (wanted, special) in [(special, true), (plain, false)] {
            let tokens: Vec<AddedToken> = of_type(wanted, special).collect();
            check_added(tokens.iter().map(|token| token.content.as_str()))
                .map_err(|e| self.refuse(e))?;
            let added = caught(|| tokenizer.add_tokens(tokens));
            let added = added.ok_or_else(|| self.refuse(PANICKED.to_owned()))?;
            added.map_err(|e| self.refuse(e.to_string()))?;
        }
        Ok(())
    }

    /// Builds a model; the library panics on merges that are no tokens.
    fn built(&self, model: BpeBuilder) -> Result<BPE, PolicyError> {
        let model = caught(|| model.build());
        let model = model.ok_or_else(|| self.refuse("a merge is no token".to_owned()))?;
        model.map_err(|e| self.refuse(e.to_string()))
    }

    /// Puts the opening token before a text that is encoded with special tokens. Nothing here encodes so:
    /// it is for others that read the saved tokenizer.
    fn open_texts(&self, tokenizer: &mut Tokenizer, bos: &str) -> Result<(), PolicyError> {
        let Some(id) = tokenizer.token_to_id(bos) else {
            return Ok(());
        };
        let token = |type_id: u32| json!({"SpecialToken": {"id": bos, "type_id": type_id}});
        let text = |id: &str, type_id: u32| json!({"Sequence": {"id": id, "type_id": type_id}});
        let processor = json!({
            "type": "TemplateProcessing",
            "single": [token(0), text("A", 0)],
            "pair": [token(0), text("A", 0), token(1), text("B", 1)],
            "special_tokens": {bos: {"id": bos, "ids": [id], "tokens": [bos]}},
        });
        let processor: TemplateProcessing =
            serde_json::from_value(processor).map_err(|e| self.refuse(e.to_string()))?;
        tokenizer.with_post_processor(Some(processor));
        Ok(())
    }
}

impl TextCodec {
    /// The tokenizer in a GGUF's metadata.
    ///
    /// # Errors
    /// [`PolicyError::NoTokenizer`] where there is none or of a kind that is not rebuilt; other
    /// errors where it is broken.
    pub(crate) fn from_gguf(metadata: &Metadata, path: &Path) -> Result<Self, PolicyError> {
        let absent = |reason: String| PolicyError::NoTokenizer {
            path: path.to_path_buf(),
            reason,
        };
        let Some(vocabulary) = Vocabulary::read(metadata, path)? else {
            return Err(absent("the file has none".to_owned()));
        };
        let kind = metadata.text("tokenizer.ggml.model")?.unwrap_or("none");
        let rule = metadata.text("tokenizer.ggml.pre")?.unwrap_or("none");
        let space = metadata.flag("tokenizer.ggml.add_space_prefix")?;
        let (mut tokenizer, adds_bos) = match (kind, byte_level::Rule::of(rule)) {
            ("gpt2", Some(rule)) if space != Some(true) => {
                (byte_level::build(&vocabulary, rule)?, rule.adds_bos())
            }
            // llama.cpp has no pre-tokenizers for this kind: the name says nothing.
            ("llama", _) => (
                sentencepiece::build(&vocabulary, space.unwrap_or(true))?,
                true,
            ),
            _ => {
                return Err(absent(format!(
                    "the file's is of model {} with pre-tokenizer {}{}, and rebuilt from a GGUF are \"gpt2\" with \"gpt-2\", \"llama-bpe\", \"qwen2\" or \"smollm\", and \"llama\"",
                    excerpt(kind),
                    excerpt(rule),
                    if space == Some(true) {
                        " and a space before each text"
                    } else {
                        ""
                    },
                )));
            }
        };
        let special = vocabulary.special()?;
        if let Some(bos) = special.get("bos_token")
            && vocabulary.adds_bos(adds_bos)?
        {
            vocabulary.open_texts(&mut tokenizer, bos)?;
        }
        let template = metadata.text("tokenizer.chat_template")?;
        let sources = template.map(|source| (DEFAULT.to_owned(), source.to_owned()));
        let templates = Templates::compile(sources, &special)?;
        Self::assemble(
            (tokenizer, Growth::GGUF),
            templates,
            special,
            None,
            vocabulary.ends()?,
            path,
        )
    }
}
