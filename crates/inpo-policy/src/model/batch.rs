//! Sequences and the packed batches that a decoder takes.

use std::collections::HashMap;

use inpo_kernels::{PackedGroup, PackedLayout};

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
    /// Index into `ids` of the token that predicts each response token, sequence by sequence. Padding behind them points to the
    /// first token.
    pub positions: Vec<u32>,
    /// The response tokens, in the same order, and 0 for padding.
    pub targets: Vec<u32>,
    /// Response tokens of each sequence.
    pub lengths: Vec<usize>,
}

impl PackedBatch {
    /// Packs `sequences`, each with a prompt of at least one token; the numbers of tokens and of
    /// targets are padded to multiples of `multiple`.
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
        let mut positions = positions.concat();
        let responses = sequences.iter().flat_map(|s| s.response());
        let mut targets: Vec<u32> = responses.copied().collect();
        for list in [&mut ids, &mut positions, &mut targets] {
            list.resize(list.len().next_multiple_of(multiple.max(1)), 0);
        }
        Self {
            ids,
            layout: PackedLayout::new(layout),
            positions,
            targets,
            lengths: sequences.iter().map(|s| s.response().len()).collect(),
        }
    }

    /// Splits a flat list, one entry per response token and any for padding, into one list per sequence.
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
