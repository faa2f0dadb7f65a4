//! Byte-level BPE vocabularies (`tokenizer.ggml.model` is `gpt2`).

use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer};

use super::Vocabulary;
use crate::error::{PolicyError, excerpt};

/// How a text is cut into words before the merges, by the name that GGUF files give it. The
/// expressions are those of the published `tokenizer.json` files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Gpt2,
    Llama3,
    Qwen2,
    SmolLm,
}

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

impl Rule {
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "gpt-2" | "gpt2" => Self::Gpt2,
            "llama-bpe" | "llama3" | "llama-v3" => Self::Llama3,
            "qwen2" => Self::Qwen2,
            "smollm" => Self::SmolLm,
            _ => return None,
        })
    }

    /// Whether an opening token goes before a text where the file does not say.
    pub(super) fn adds_bos(self) -> bool {
        self == Self::Llama3
    }

    fn pre_tokenizer(self) -> tokenizers::Result<PreTokenizerWrapper> {
        let split = |expression: &str| {
            let pattern = SplitPattern::Regex(expression.to_owned());
            Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
        };
        let parts: Vec<PreTokenizerWrapper> = match self {
            Self::Gpt2 => return Ok(ByteLevel::new(false, true, true).into()),
            Self::SmolLm => vec![
                Digits::new(true).into(),
                ByteLevel::new(false, true, true).into(),
            ],
            Self::Llama3 => vec![
                split(LLAMA3)?.into(),
                ByteLevel::new(false, true, false).into(),
            ],
            Self::Qwen2 => vec![
                split(QWEN2)?.into(),
                ByteLevel::new(false, false, false).into(),
            ],
        };
        Ok(Sequence::new(parts).into())
    }
}

/// The tokenizer of a byte-level vocabulary.
pub(super) fn build(vocabulary: &Vocabulary, rule: Rule) -> Result<Tokenizer, PolicyError> {
    let refuse = |reason: String| vocabulary.refuse(reason);
    let ids = vocabulary.ids()?;
    let merges = vocabulary
        .metadata
        .strings("tokenizer.ggml.merges")?
        .ok_or_else(|| refuse("`tokenizer.ggml.merges` is missing".to_owned()))?
        .iter()
        .map(|merge| match merge.split_once(' ') {
            Some((left, right)) if !right.contains(' ') => Ok((left.to_owned(), right.to_owned())),
            _ => Err(refuse(format!(
                "the merge {} is not two tokens",
                excerpt(merge)
            ))),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let model = BPE::builder()
        .vocab_and_merges(ids, merges)
        // Llama 3 takes a word that is a token as that token, whatever the merges would make of it.
        .ignore_merges(rule == Rule::Llama3);
    let mut tokenizer = Tokenizer::new(vocabulary.built(model)?);
    let pre_tokenizer = rule.pre_tokenizer().map_err(|e| refuse(e.to_string()))?;
    tokenizer.with_pre_tokenizer(Some(pre_tokenizer));
    if rule == Rule::Qwen2 {
        tokenizer
            .with_normalizer(Some(NFC))
            .map_err(|e| refuse(e.to_string()))?;
    }
    tokenizer.with_decoder(Some(ByteLevel::default()));
    vocabulary.mark_added(&mut tokenizer)?;
    Ok(tokenizer)
}
