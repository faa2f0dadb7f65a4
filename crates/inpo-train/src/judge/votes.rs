//! Votes as they are trained on and measured against.

use std::collections::HashMap;
use std::path::Path;

use inpo_data::{Completion, Prompt, sha256};
use inpo_oracle::read_votes;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;

use crate::error::TrainError;

/// What people said of two responses to a prompt.
#[derive(Debug, Clone)]
pub(super) struct VotedPair {
    pub(super) prompt: Prompt,
    pub(super) responses: [Completion; 2],
    /// The share who prefer the first, ties counted half.
    pub(super) share: f64,
    /// How many voted.
    pub(super) votes: usize,
}

/// The pairs of a file of votes, each once, in the order in which they are first there. `prompt.number` numbers the
/// prompts.
pub(super) fn read_pairs(path: &Path) -> Result<Vec<VotedPair>, TrainError> {
    let mut pairs: Vec<VotedPair> = Vec::new();
    let (mut places, mut prompts) = (HashMap::new(), HashMap::new());
    for vote in read_votes(path)? {
        let conversation = serde_json::json!(vote.messages).to_string();
        let next = prompts.len() as u64;
        let number = *prompts.entry(conversation).or_insert(next);
        let [first, second] = vote.responses;
        let swapped = first > second;
        let key = if swapped {
            (number, second.clone(), first.clone())
        } else {
            (number, first.clone(), second.clone())
        };
        let place = *places.entry(key).or_insert_with(|| {
            pairs.push(VotedPair {
                prompt: Prompt::new(vote.messages).numbered(number),
                responses: [&first, &second].map(Completion::finished),
                share: 0.0,
                votes: 0,
            });
            pairs.len() - 1
        });
        let pair = &mut pairs[place];
        let for_first = if pair.responses[0].text == first {
            vote.outcome
        } else {
            vote.outcome.complement()
        };
        // A running mean, so that whole shares stay whole.
        pair.share = (pair.share * pair.votes as f64 + for_first.get()) / (pair.votes + 1) as f64;
        pair.votes += 1;
    }
    // Nobody learns from a response against itself.
    pairs.retain(|pair| pair.responses[0].text != pair.responses[1].text);
    Ok(pairs)
}

/// Splits off the pairs of a share of the prompts, drawn from `seed`.
pub(super) fn split(
    pairs: Vec<VotedPair>,
    share: f64,
    seed: u64,
) -> (Vec<VotedPair>, Vec<VotedPair>) {
    let mut numbers: Vec<u64> = pairs.iter().map(|pair| pair.prompt.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    numbers.truncate((share * numbers.len() as f64).round() as usize);
    pairs
        .into_iter()
        .partition(|pair| !numbers.contains(&pair.prompt.number))
}

/// A digest of pairs and what was said of them.
pub(super) fn digest(pairs: &[VotedPair]) -> String {
    let one = |pair: &VotedPair| {
        let [first, second] = &pair.responses;
        serde_json::json!([
            pair.prompt.messages,
            first.text,
            second.text,
            pair.share,
            pair.votes
        ])
    };
    let all: Vec<_> = pairs.iter().map(one).collect();
    sha256(serde_json::json!(all).to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes_on_a_pair_are_one_share_whatever_their_order() {
        let file = tempfile::Builder::new()
            .suffix(".jsonl")
            .tempfile()
            .unwrap();
        let rows = [
            r#"{"prompt": "x", "response_a": "y", "response_b": "z", "winner": "a"}"#,
            r#"{"prompt": "x", "response_a": "z", "response_b": "y", "winner": "a"}"#,
            r#"{"prompt": "x", "response_a": "z", "response_b": "y", "winner": "tie"}"#,
            r#"{"prompt": "w", "response_a": "y", "response_b": "z", "winner": "b"}"#,
            r#"{"prompt": "x", "response_a": "y", "response_b": "y", "winner": "a"}"#,
            r#"{"prompt": "x", "response_a": "y", "response_b": "z", "winner": "a"}"#,
        ];
        std::fs::write(file.path(), rows.join("\n")).unwrap();
        let pairs = read_pairs(file.path()).unwrap();
        let told: Vec<_> = pairs
            .iter()
            .map(|p| (p.prompt.number, p.share, p.votes))
            .collect();
        // y against z under x: won, lost, tied, won.
        assert_eq!(told, [(0, 0.625, 4), (1, 0.0, 1)]);
        let (train, held) = split(pairs, 0.5, 3);
        assert_eq!((train.len(), held.len()), (1, 1));
    }
}
