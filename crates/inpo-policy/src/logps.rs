//! Log-probs of responses.

use burn::tensor::Tensor;
use inpo_kernels::{PackedAttention, embedding};

use crate::head::DEFAULT_CHUNK;
use crate::model::Decoder;
pub use crate::model::{PackedBatch, Sequence};

/// How many tokens a scoring batch may hold, unless one sequence is longer.
const BATCH_TOKENS: usize = 2048;

/// Log-prob, in nats, of each response token of each sequence under `decoder` (one list per
/// sequence, temperature 1). Sequences of one prompt share it; up to the rounding of the float type (1e-5 in
/// f32) the result depends on neither that nor on what else is in a batch.
pub fn response_logps(decoder: &Decoder, sequences: &[Sequence]) -> Vec<Vec<f64>> {
    let mut result = vec![Vec::new(); sequences.len()];
    let head = decoder.vocabulary_head();
    for members in scoring_batches(decoder, sequences) {
        let rows: Vec<&Sequence> = members.iter().map(|&i| &sequences[i]).collect();
        let batch = PackedBatch::new(&rows, decoder.token_multiple());
        if batch.targets.is_empty() {
            continue;
        }
        let hidden = scored_hidden(decoder, &batch);
        let logps = head.token_logps(&hidden, &batch.targets, DEFAULT_CHUNK);
        for (i, values) in members.into_iter().zip(batch.split(&logps)) {
            result[i] = values;
        }
    }
    result
}

/// Indices of `sequences` in the batches that `decoder` scores together.
pub(crate) fn scoring_batches(decoder: &Decoder, sequences: &[Sequence]) -> Vec<Vec<usize>> {
    let padded = PackedAttention::pads(&decoder.device(), decoder.dtype());
    batches(sequences, padded)
}

/// Indices of `sequences` in batches of at most [`BATCH_TOKENS`], those of one prompt together, long ones
/// first; `padded` counts every group as long as the longest, as attention that pads does.
fn batches(sequences: &[Sequence], padded: bool) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..sequences.len()).collect();
    order.sort_by(|&i, &j| {
        let key = |i: usize| (sequences[i].prompt_len, sequences[i].prompt());
        let longest = |i: usize| std::cmp::Reverse(sequences[i].response().len());
        key(j).cmp(&key(i)).then(longest(i).cmp(&longest(j)))
    });
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let (mut tokens, mut groups, mut longest, mut group) = (0, 0, 0, 0);
    for index in order {
        let sequence = &sequences[index];
        let last = batches.last_mut();
        let shared = last.as_ref().is_some_and(|batch| {
            let previous = batch.last().expect("a batch has a member");
            sequences[*previous].prompt() == sequence.prompt()
        });
        let response = sequence.response().len();
        let added = if shared { response } else { sequence.ids.len() };
        let next_groups = groups + usize::from(!shared);
        let next_group = if shared { group + response } else { added };
        let next_longest = longest.max(next_group);
        let size = if padded {
            next_groups * next_longest
        } else {
            tokens + added
        };
        match last {
            Some(batch) if size <= BATCH_TOKENS => {
                batch.push(index);
                (tokens, groups) = (tokens + added, next_groups);
                (longest, group) = (next_longest, next_group);
            }
            _ => {
                batches.push(vec![index]);
                let alone = sequence.ids.len();
                (tokens, groups, longest, group) = (alone, 1, alone, alone);
            }
        }
    }
    batches
}

/// Hidden states, `[targets, hidden]`, of the positions that predict the batch's response tokens.
pub fn scored_hidden(decoder: &Decoder, batch: &PackedBatch) -> Tensor<2> {
    let hidden = decoder.forward(&batch.ids, &batch.layout);
    embedding(hidden, &batch.positions)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A prompt of 100 tokens that begins with `first`, and a response.
    fn sequence(first: u32, response: usize) -> Sequence {
        let mut prompt = vec![5; 100];
        prompt[0] = first;
        Sequence::new(&prompt, &vec![7; response])
    }

    /// One sequence of 1024 tokens and eight of 128 are 2048 in all, but padded each counts as the longest: two of
    /// 1024 are a batch, and then seven of 128.
    #[test]
    fn a_padded_batch_is_bounded_by_its_longest_group() {
        // In the order of batches, the highest prompt first.
        let mut sequences = vec![sequence(90, 924)];
        sequences.extend((0..8).map(|i| sequence(80 - i, 28)));
        let whole: Vec<usize> = (0..9).collect();
        assert_eq!(batches(&sequences, false), [&whole[..]]);
        assert_eq!(batches(&sequences, true), [&whole[..2], &whole[2..]]);
        // One token more: the last one does not fit or, padded, none beside the longest.
        sequences[0] = sequence(90, 925);
        assert_eq!(batches(&sequences, false), [&whole[..8], &whole[8..]]);
        assert_eq!(batches(&sequences, true), [&whole[..1], &whole[1..]]);
    }

    /// Three responses of 300 tokens behind one prompt of 100 are a group of 1000, which goes twice into a batch; a
    /// fourth one of 100 makes two groups of 1100 too large for it, and comes with the prompt again.
    #[test]
    fn responses_of_one_prompt_are_one_group() {
        let mut sequences = vec![sequence(90, 28)];
        sequences.extend([300, 300, 300, 100].map(|response| sequence(80, response)));
        assert_eq!(
            batches(&sequences, true),
            [vec![0, 1, 2, 3], vec![4]],
            "padded"
        );
        assert_eq!(batches(&sequences, false), [[0, 1, 2, 3, 4]]);
    }

    /// What is longer than the bound is a batch of its own.
    #[test]
    fn a_sequence_beyond_the_bound_is_alone() {
        let sequences = [sequence(90, 3000), sequence(80, 1)];
        for padded in [false, true] {
            assert_eq!(batches(&sequences, padded), [[0], [1]]);
        }
    }
}
