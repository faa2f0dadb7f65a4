//! Log-probs of responses.

use std::collections::HashMap;

use burn::tensor::Tensor;
use inpo_kernels::{PackedAttention, PackedGroup, PackedLayout, embedding};

use crate::head::DEFAULT_CHUNK;
use crate::model::Decoder;

/// A prompt with one response, as token ids. The response holds its end token when the model emitted
/// one; ids are taken as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// Prompt ids followed by response ids.
    pub ids: Vec<u32>,
    /// Number of prompt ids, at least 1.
    pub prompt_len: usize,
}

impl Sequence {
    /// Joins a prompt, of at least one id, and a response.
    pub fn new(prompt: &[u32], response: &[u32]) -> Self {
        Self {
            ids: [prompt, response].concat(),
            prompt_len: prompt.len(),
        }
    }

    /// The prompt's ids.
    pub fn prompt(&self) -> &[u32] {
        &self.ids[..self.prompt_len]
    }

    /// The response's ids.
    pub fn response(&self) -> &[u32] {
        &self.ids[self.prompt_len..]
    }
}

/// Sequences packed into one batch without padding between them: the prompt that several sequences share
/// is there once, followed by their responses.
#[derive(Debug, Clone)]
pub struct PackedBatch {
    /// Ids of all groups, one after the other. The last token of a response is left out: nothing follows
    /// it.
    pub ids: Vec<u32>,
    /// Which of them are prompts and responses.
    pub layout: PackedLayout,
    /// Index into `ids` of the token that predicts each response token, sequence by sequence.
    pub positions: Vec<u32>,
    /// The response tokens, in the same order.
    pub targets: Vec<u32>,
    /// Response tokens of each sequence.
    pub lengths: Vec<usize>,
}

impl PackedBatch {
    /// Packs `sequences`, each with a prompt of at least one token; the number of tokens is padded to a
    /// multiple of `multiple`.
    pub fn new(sequences: &[&Sequence], multiple: usize) -> Self {
        let mut groups: Vec<(&[u32], Vec<usize>)> = Vec::new();
        let mut known = HashMap::new();
        for (index, sequence) in sequences.iter().enumerate() {
            let prompt = sequence.prompt();
            let group = *known.entry(prompt).or_insert_with(|| {
                groups.push((prompt, Vec::new()));
                groups.len() - 1
            });
            groups[group].1.push(index);
        }
        let mut ids = Vec::new();
        let mut layout = Vec::with_capacity(groups.len());
        let mut positions = vec![Vec::new(); sequences.len()];
        for (prompt, members) in groups {
            ids.extend_from_slice(prompt);
            let last = ids.len() as u32 - 1;
            let mut responses = Vec::with_capacity(members.len());
            for index in members {
                let response = sequences[index].response();
                let inputs = &response[..response.len().saturating_sub(1)];
                let first = ids.len() as u32;
                if !response.is_empty() {
                    positions[index].push(last);
                }
                positions[index].extend(first..first + inputs.len() as u32);
                ids.extend_from_slice(inputs);
                responses.push(inputs.len());
            }
            layout.push(PackedGroup {
                prompt: prompt.len(),
                responses,
            });
        }
        ids.resize(ids.len().next_multiple_of(multiple.max(1)), 0);
        Self {
            ids,
            layout: PackedLayout::new(layout),
            positions: positions.concat(),
            targets: sequences
                .iter()
                .flat_map(|s| s.response())
                .copied()
                .collect(),
            lengths: sequences.iter().map(|s| s.response().len()).collect(),
        }
    }

    /// Splits a flat list, one entry per response token, into one list per sequence.
    pub fn split<T: Copy>(&self, values: &[T]) -> Vec<Vec<T>> {
        let mut rest = values;
        self.lengths
            .iter()
            .map(|&length| {
                let (head, tail) = rest.split_at(length);
                rest = tail;
                head.to_vec()
            })
            .collect()
    }
}

/// How many tokens a scoring batch may hold, unless one sequence is longer.
const BATCH_TOKENS: usize = 2048;

/// Log-prob, in nats, of each response token of each sequence under `decoder` (one list per
/// sequence, temperature 1). Sequences of one prompt share it; up to the rounding of the float type (1e-5 in
/// f32) the result depends on neither that nor on what else is in a batch.
pub fn response_logps(decoder: &Decoder, sequences: &[Sequence]) -> Vec<Vec<f64>> {
    let mut result = vec![Vec::new(); sequences.len()];
    let head = decoder.vocabulary_head();
    let padded = PackedAttention::pads((&decoder.device(), decoder.dtype()));
    for members in batches(sequences, padded) {
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
        let size = match padded {
            true => next_groups * next_longest,
            false => tokens + added,
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
