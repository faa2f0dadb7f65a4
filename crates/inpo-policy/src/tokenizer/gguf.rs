//! The tokenizer in a GGUF's metadata.
//!
//! A GGUF has a vocabulary and merges, and only the name of the pre-tokenizer. Each name is a rule
//! of its own, so only rules that were compared with their source are rebuilt: a nearly right rule
//! gives plausible, wrong ids.

use std::path::Path;

use tokenizers::models::bpe::BPE;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::{AddedToken, PreTokenizerWrapper, Tokenizer};

use super::TextCodec;
use crate::error::{PolicyError, excerpt};
use crate::files::gguf::Metadata;
use crate::template::SpecialTokens;

/// Token types of the vocabulary: written in text as themselves, or marks.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

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
        let refuse = |reason: String| PolicyError::Tokenizer {
            path: path.to_path_buf(),
            reason,
        };
        let Some(tokens) = metadata.strings("tokenizer.ggml.tokens")? else {
            return Err(absent("the file has none".to_owned()));
        };
        let kind = metadata.text("tokenizer.ggml.model")?.unwrap_or("none");
        let rule = metadata.text("tokenizer.ggml.pre")?.unwrap_or("none");
        if (kind, rule) != ("gpt2", "smollm")
            || metadata.flag("tokenizer.ggml.add_space_prefix")? == Some(true)
        {
            return Err(absent(format!(
                "the file's is of model {} with pre-tokenizer {}, and only \"gpt2\" with \"smollm\" is rebuilt from a GGUF",
                excerpt(kind),
                excerpt(rule)
            )));
        }

        let mut vocabulary = ahash(tokens.len());
        for (id, token) in (0u32..).zip(tokens) {
            if vocabulary.insert(token.clone(), id).is_some() {
                return Err(refuse(format!(
                    "the token {} is there twice",
                    excerpt(token)
                )));
            }
        }
        let merges = metadata.strings("tokenizer.ggml.merges")?;
        let merges =
            merges.ok_or_else(|| refuse("`tokenizer.ggml.merges` is missing".to_owned()))?;
        let merges = merges
            .iter()
            .map(|merge| match merge.split_once(' ') {
                Some((left, right)) if !right.contains(' ') => {
                    Ok((left.to_owned(), right.to_owned()))
                }
                _ => Err(refuse(format!(
                    "the merge {} is not two tokens",
                    excerpt(merge)
                ))),
            })
            .collect::<Result<Vec<_>, _>>()?;
        let types = metadata
            .integers("tokenizer.ggml.token_type")?
            .unwrap_or_default();
        if !types.is_empty() && types.len() != tokens.len() {
            return Err(refuse(format!(
                "there are {} tokens and {} token types",
                tokens.len(),
                types.len()
            )));
        }

        let model = BPE::builder().vocab_and_merges(vocabulary, merges).build();
        let mut tokenizer = Tokenizer::new(model.map_err(|e| refuse(e.to_string()))?);
        let parts: Vec<PreTokenizerWrapper> = vec![
            Digits::new(true).into(),
            ByteLevel::new(false, true, true).into(),
        ];
        tokenizer.with_pre_tokenizer(Some(Sequence::new(parts)));
        tokenizer.with_decoder(Some(ByteLevel::default()));
        let added = |wanted: i64| {
            let of_type = tokens.iter().zip(types).filter(move |(_, t)| **t == wanted);
            of_type.map(move |(token, _)| {
                AddedToken::from(token.as_str(), wanted == CONTROL).normalized(false)
            })
        };
        tokenizer
            .add_special_tokens(added(CONTROL))
            .map_err(|e| refuse(e.to_string()))?;
        tokenizer
            .add_tokens(added(USER_DEFINED))
            .map_err(|e| refuse(e.to_string()))?;

        let token = |name: &str| -> Result<Option<String>, PolicyError> {
            let key = format!("tokenizer.ggml.{name}_token_id");
            let Some(id) = metadata.id(&key)? else {
                return Ok(None);
            };
            match tokens.get(id as usize) {
                Some(token) => Ok(Some(token.clone())),
                None => Err(metadata.refuse(
                    &key,
                    id.to_string(),
                    &format!("there are {} tokens", tokens.len()),
                )),
            }
        };
        let special = SpecialTokens {
            bos: token("bos")?,
            eos: token("eos")?,
            unk: token("unknown")?,
            pad: token("padding")?,
        };
        let template = metadata.text("tokenizer.chat_template")?;
        Self::assemble(tokenizer, template, special, None, path)
    }
}

/// The map that the tokenizers library takes its vocabulary in.
fn ahash(capacity: usize) -> tokenizers::models::bpe::Vocab {
    tokenizers::models::bpe::Vocab::with_capacity_and_hasher(capacity, Default::default())
}
