//! SentencePiece vocabularies of its BPE kind (`tokenizer.ggml.model` is `llama`): Llama 1 and 2,
//! Mistral, Gemma.
//!
//! SentencePiece joins the neighbours whose joined piece has the highest score. As transformers does, the
//! scores become merges: each piece, best first, in every way to cut it into two pieces. Spaces are
//! written as `▁`, and a character that is no piece becomes its bytes.

use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as Decoders;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::{Prepend, Replace, Sequence as Normalizers};
use tokenizers::{DecoderWrapper, NormalizerWrapper, Tokenizer};

use super::{BYTE, NORMAL, Vocabulary};
use crate::error::{PolicyError, excerpt};

/// What SentencePiece writes for a space.
const SPACE: &str = "▁";

/// The longest piece that is cut: SentencePiece makes none of more than 16 characters unless told to.
const LONGEST_PIECE: usize = 1024;

/// The text of all merges in bytes, and the sum over pieces of their length squared, which is the time to find them. Gemma's
/// take 8 and 40 million.
const MERGES_TEXT: usize = 256 << 20;
const MERGES_TIME: usize = 4 << 30;

/// The tokenizer of a SentencePiece vocabulary. With `space_prefix` a text, and what follows a special
/// token, is read as if a space stood before it.
pub(super) fn build(vocabulary: &Vocabulary, space_prefix: bool) -> Result<Tokenizer, PolicyError> {
    let refuse = |reason: String| vocabulary.refuse(reason);
    let tokens = vocabulary.tokens;
    let scores = vocabulary
        .metadata
        .floats("tokenizer.ggml.scores")?
        .ok_or_else(|| refuse("`tokenizer.ggml.scores` is missing".to_owned()))?;
    if scores.len() != tokens.len() {
        return Err(refuse(format!(
            "there are {} tokens and {} scores",
            tokens.len(),
            scores.len()
        )));
    }
    let ids = vocabulary.ids()?;
    let merges = merges(vocabulary, scores, &ids)?;
    let byte_fallback = (0..tokens.len()).any(|id| vocabulary.kind(id) == BYTE);
    let mut model = BPE::builder()
        .vocab_and_merges(ids, merges)
        .fuse_unk(true)
        .byte_fallback(byte_fallback);
    if let Some(unknown) = vocabulary.token_at("unknown")? {
        model = model.unk_token(unknown);
    }
    let mut tokenizer = Tokenizer::new(vocabulary.built(model)?);
    let spaces = |from: &str, to: &str| Replace::new(from, to).map_err(|e| refuse(e.to_string()));
    let mut normalizers: Vec<NormalizerWrapper> = Vec::new();
    if space_prefix {
        normalizers.push(Prepend::new(SPACE.to_owned()).into());
    }
    normalizers.push(spaces(" ", SPACE)?.into());
    tokenizer
        .with_normalizer(Some(Normalizers::new(normalizers)))
        .map_err(|e| refuse(e.to_string()))?;
    let mut decoders: Vec<DecoderWrapper> = vec![
        spaces(SPACE, " ")?.into(),
        ByteFallback::new().into(),
        Fuse::new().into(),
    ];
    if space_prefix {
        decoders.push(Strip::new(' ', 1, 0).into());
    }
    tokenizer.with_decoder(Some(Decoders::new(decoders)));
    vocabulary.mark_added(&mut tokenizer)?;
    Ok(tokenizer)
}

/// The merges that join pieces in the order of their scores. Only normal pieces are joined: control and
/// byte tokens never come of text, and user-defined ones are found as they stand.
fn merges(
    vocabulary: &Vocabulary,
    scores: &[f32],
    ids: &Vocab,
) -> Result<Vec<(String, String)>, PolicyError> {
    struct Merge<'a> {
        score: f32,
        left: &'a str,
        right: &'a str,
        lengths: (usize, usize),
    }
    let mut merges: Vec<Merge> = Vec::new();
    let (mut bytes, mut time) = (0, 0);
    for (id, (token, score)) in vocabulary.tokens.iter().zip(scores).enumerate() {
        if vocabulary.kind(id) != NORMAL {
            continue;
        }
        if score.is_nan() {
            let reason = format!("the score of the token {} is not a number", excerpt(token));
            return Err(vocabulary.refuse(reason));
        }
        let length = token.chars().count();
        if length > LONGEST_PIECE {
            return Err(vocabulary.refuse(format!(
                "the token {} has {length} characters, and at most {LONGEST_PIECE} are allowed",
                excerpt(token)
            )));
        }
        time += token.len() * token.len();
        let first = merges.len();
        for (cut, (at, _)) in token.char_indices().enumerate().skip(1) {
            let (left, right) = token.split_at(at);
            if ids.contains_key(left) && ids.contains_key(right) {
                merges.push(Merge {
                    score: *score,
                    left,
                    right,
                    lengths: (cut, length - cut),
                });
            }
        }
        merges[first..].sort_by_key(|merge| (ids[merge.left], ids[merge.right]));
        bytes += token.len() * (merges.len() - first);
        if bytes > MERGES_TEXT || time > MERGES_TIME {
            return Err(vocabulary.refuse(format!(
                "its tokens are made of each other in too many ways: the merges have more than {MERGES_TEXT} bytes"
            )));
        }
    }
    // Stable: of equals, the one found first stays first.
    merges.sort_by(|a, b| {
        let score = b.score.total_cmp(&a.score);
        score.then_with(|| b.lengths.cmp(&a.lengths))
    });
    let own = |merge: Merge| (merge.left.to_owned(), merge.right.to_owned());
    Ok(merges.into_iter().map(own).collect())
}
