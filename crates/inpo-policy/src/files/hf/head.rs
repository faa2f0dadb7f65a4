//! Heads: the vocabulary's beside an embedding that the configuration ties it to, and those of other models.

use std::collections::BTreeMap;

use super::Place;
use crate::config::ModelConfig;
use crate::error::PolicyError;
use crate::files::FileReader;

const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";
/// What stands before the names of a language model's decoder.
const DECODER: &str = "model.";

/// How many values are compared at once.
const PIECE: usize = 1 << 20;

/// Compares the head of a tied model with its embedding, as transformers 5 does: an equal head is left out; a different
/// one counts, so that the model is not tied, and a note says so; a head without an embedding is both.
pub(super) fn check(
    config: &mut ModelConfig,
    places: &mut BTreeMap<String, Place>,
    shards: &[FileReader],
) -> Result<Option<String>, PolicyError> {
    let Some(head) = places.get(HEAD) else {
        return Ok(None);
    };
    let Some(embedding) = places.get(EMBEDDING) else {
        if let Some(head) = places.remove(HEAD) {
            places.insert(EMBEDDING.to_owned(), head);
        }
        return Ok(None);
    };
    if are_equal(embedding, head, shards)? {
        places.remove(HEAD);
        return Ok(None);
    }
    config.tie_word_embeddings = false;
    Ok(Some(format!(
        "{}: `tie_word_embeddings` is true, but `{HEAD}` is not the embedding; the head is used as it is in the file, and the model is taken as not tied",
        shards[head.shard].path().display()
    )))
}

/// Takes the heads of these names out of `places`, and the vocabulary's with them, unless it is the embedding too. A bare
/// decoder's tensors get the names that they have in a language model.
pub(super) fn take_heads(
    heads: &[&str],
    places: &mut BTreeMap<String, Place>,
) -> BTreeMap<String, Place> {
    let take = |name: &&str| Some(((*name).to_owned(), places.remove(*name)?));
    let kept = heads.iter().filter_map(take).collect();
    let bare = EMBEDDING.strip_prefix(DECODER).unwrap_or_default();
    if places.contains_key(bare) && !places.contains_key(EMBEDDING) {
        let named = std::mem::take(places).into_iter();
        places.extend(named.map(|(name, place)| match name.as_str() {
            HEAD => (name, place),
            _ => (format!("{DECODER}{name}"), place),
        }));
    }
    if places.contains_key(EMBEDDING) {
        places.remove(HEAD);
    }
    kept
}

fn are_equal(a: &Place, b: &Place, shards: &[FileReader]) -> Result<bool, PolicyError> {
    if a.shape != b.shape {
        return Ok(false);
    }
    let count: usize = a.shape.iter().product();
    let read = |place: &Place, from: usize, to: usize| {
        let width = place.bytes / count;
        shards[place.shard].read_at(place.offset + (from * width) as u64, (to - from) * width)
    };
    for from in (0..count).step_by(PIECE) {
        let to = count.min(from + PIECE);
        let (left, right) = (read(a, from, to)?, read(b, from, to)?);
        let same = a.element == b.element && left == right;
        if !same && a.element.dequantise(&left) != b.element.dequantise(&right) {
            return Ok(false);
        }
    }
    Ok(true)
}
