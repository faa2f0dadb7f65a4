//! Which responses to a prompt may be in a pair.

use std::collections::HashSet;

use inpo_data::{Completion, FinishReason};
use serde::{Deserialize, Serialize};

/// The responses to a prompt that may be in a pair, and why the others may not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usable {
    /// Indices of the responses that may be in a pair, ascending.
    pub kept: Vec<usize>,
    /// Responses without a character, or without a token but their end.
    pub empty: usize,
    /// Responses cut off at the token limit that were dropped for it.
    pub truncated: usize,
    /// Responses equal to an earlier one that is kept.
    pub duplicate: usize,
}

/// Says which responses may be in a pair: none that is empty, none equal to an earlier one, and with `drop_truncated`
/// none that was cut off at the token limit. Each response that is left out is counted once, under the first of these
/// three that holds: empty, truncated, duplicate.
///
/// Two responses are equal if their token ids are, or their texts where not both have ids: other ids may spell the same
/// text. Empty is a response whose text is white space alone, or, where the sampler gave no text, one without a token
/// but its end.
#[must_use]
pub fn usable(responses: &[Completion], drop_truncated: bool) -> Usable {
    let mut found = Usable::default();
    let mut texts: HashSet<&str> = HashSet::new();
    let mut ids: HashSet<&[u32]> = HashSet::new();
    let mut texts_without_ids: HashSet<&str> = HashSet::new();
    for (index, response) in responses.iter().enumerate() {
        if is_empty(response) {
            found.empty += 1;
        } else if drop_truncated && response.finish_reason == FinishReason::Length {
            found.truncated += 1;
        } else {
            let text = response.text.as_str();
            let known = match response.token_ids.as_deref() {
                Some(tokens) => ids.contains(tokens) || texts_without_ids.contains(text),
                None => texts.contains(text),
            };
            if known {
                found.duplicate += 1;
                continue;
            }
            found.kept.push(index);
            texts.insert(text);
            match response.token_ids.as_deref() {
                Some(tokens) => ids.insert(tokens),
                None => texts_without_ids.insert(text),
            };
        }
    }
    found
}

fn is_empty(response: &Completion) -> bool {
    let end = usize::from(response.finish_reason == FinishReason::Stop);
    match &response.token_ids {
        Some(ids) if response.text.is_empty() => ids.len() <= end,
        _ => response.text.trim().is_empty(),
    }
}

/// The responses to one prompt among which a pair is selected: two or more, with what a strategy may ask of them
/// beside the answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Players {
    indices: Vec<usize>,
    lengths: Vec<usize>,
    seed: u64,
}

impl Players {
    /// The responses `kept` of a prompt's `responses` (see [`usable`]); none of fewer than two. `seed` decides whatever
    /// the strategy draws for this prompt: it should differ between prompts and iterations, and be the same whenever
    /// the same selection is made again.
    ///
    /// Lengths are in characters, or in tokens where the sampler gave no text.
    ///
    /// # Panics
    ///
    /// If an index of `kept` is that of no response.
    #[must_use]
    pub fn new(responses: &[Completion], kept: &[usize], seed: u64) -> Option<Self> {
        let length = |&k: &usize| {
            let response = &responses[k];
            match &response.token_ids {
                Some(ids) if response.text.is_empty() => ids.len(),
                _ => response.text.chars().count(),
            }
        };
        (kept.len() > 1).then(|| Self {
            indices: kept.to_vec(),
            lengths: kept.iter().map(length).collect(),
            seed,
        })
    }

    /// All of `count` responses, without lengths; none if they are fewer than two.
    #[must_use]
    pub fn all(count: usize, seed: u64) -> Option<Self> {
        (count > 1).then(|| Self {
            indices: (0..count).collect(),
            lengths: vec![0; count],
            seed,
        })
    }

    /// The indices of the responses.
    #[must_use]
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }

    /// How many there are, two or more.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // Never empty.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// The lengths as shares of the longest one's, in [0, 1].
    pub(super) fn relative_lengths(&self) -> Vec<f64> {
        let longest = self.lengths.iter().copied().max().unwrap_or(0).max(1) as f64;
        self.lengths.iter().map(|&l| l as f64 / longest).collect()
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_ids(text: &str, ids: &[u32]) -> Completion {
        Completion {
            token_ids: Some(ids.to_vec()),
            ..Completion::finished(text)
        }
    }

    #[test]
    fn each_response_is_kept_or_counted_once() {
        let responses = [
            Completion::finished("a"),
            Completion::finished(" \n"),
            Completion::cut_off("b"),
            Completion::finished("a"),
            Completion::finished("c"),
            Completion::cut_off(""),
            Completion::cut_off("b"),
        ];
        let found = usable(&responses, false);
        assert_eq!(found.kept, [0, 2, 4]);
        assert_eq!((found.empty, found.truncated, found.duplicate), (2, 0, 2));
        let found = usable(&responses, true);
        assert_eq!(found.kept, [0, 4]);
        assert_eq!((found.empty, found.truncated, found.duplicate), (2, 2, 1));
    }

    /// Other ids of the same text are another response to a trainer; where one has no ids, the text decides.
    #[test]
    fn responses_are_equal_by_ids_or_else_by_text() {
        let responses = [
            with_ids("ab", &[1, 2, 0]),
            with_ids("ab", &[3, 0]),
            with_ids("ab", &[3, 0]),
            Completion::finished("ab"),
        ];
        let found = usable(&responses, false);
        assert_eq!((found.kept, found.duplicate), (vec![0, 1], 2));
        let found = usable(
            &[Completion::finished("ab"), with_ids("ab", &[3, 0])],
            false,
        );
        assert_eq!((found.kept, found.duplicate), (vec![0], 1));
        // Without a text: two tokens and the end, and an end alone.
        let found = usable(&[with_ids("", &[5, 6, 0]), with_ids("", &[0])], false);
        assert_eq!((found.kept, found.empty), (vec![0], 1));
    }

    #[test]
    fn players_are_two_or_more() {
        let responses = ["aé", "b"].map(Completion::finished);
        assert_eq!(Players::new(&responses, &[1], 0), None);
        assert_eq!(Players::all(1, 0), None);
        let players = Players::new(&responses, &[0, 1], 7).unwrap();
        assert_eq!(players.relative_lengths(), [1.0, 0.5]);
        assert_eq!((players.len(), players.seed()), (2, 7));
    }
}
