//! Log-probs of responses.

use burn::tensor::Tensor;

use crate::head::{DEFAULT_CHUNK, token_logps};
use crate::model::{Decoder, index_tensor};

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

    /// The response's ids.
    pub fn response(&self) -> &[u32] {
        &self.ids[self.prompt_len..]
    }
}

/// Sequences packed into one right-padded batch, with the places whose next token is scored.
#[derive(Debug, Clone)]
pub struct PackedBatch {
    /// Padded ids, `rows * tokens`, row by row.
    pub ids: Vec<u32>,
    /// Number of sequences.
    pub rows: usize,
    /// Index into `rows * tokens` of the position that predicts each response token.
    pub positions: Vec<usize>,
    /// Response tokens, all sequences one after the other.
    pub targets: Vec<u32>,
    /// Number of response tokens of each sequence.
    pub lengths: Vec<usize>,
}

impl PackedBatch {
    /// Packs `sequences`, padding on the right to a multiple of `bucket` tokens. The last token of a
    /// sequence predicts nothing that is scored, so it is not computed at all.
    pub fn new(sequences: &[&Sequence], bucket: usize) -> Self {
        let longest = sequences.iter().map(|s| s.ids.len().max(2) - 1).max();
        let tokens = longest.unwrap_or(1).next_multiple_of(bucket.max(1));
        let mut batch = Self {
            ids: vec![0; sequences.len() * tokens],
            rows: sequences.len(),
            positions: Vec::new(),
            targets: Vec::new(),
            lengths: Vec::with_capacity(sequences.len()),
        };
        for (row, sequence) in sequences.iter().enumerate() {
            let used = sequence.ids.len() - 1;
            batch.ids[row * tokens..row * tokens + used].copy_from_slice(&sequence.ids[..used]);
            let first = row * tokens + sequence.prompt_len - 1;
            let response = sequence.response();
            batch.positions.extend(first..first + response.len());
            batch.targets.extend_from_slice(response);
            batch.lengths.push(response.len());
        }
        batch
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

/// How many padded tokens a scoring batch may hold.
const BATCH_TOKENS: usize = 1024;

/// Log-prob, in nats, of each response token of each sequence under `decoder` (one list per
/// sequence, temperature 1). Sequences are batched by length; the result does not depend on it.
pub fn response_logps(decoder: &Decoder, sequences: &[Sequence]) -> Vec<Vec<f64>> {
    let mut order: Vec<usize> = (0..sequences.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(sequences[i].ids.len()));
    let mut result = vec![Vec::new(); sequences.len()];
    let head = decoder.head();
    let mut rest = order.as_slice();
    while let Some(&longest) = rest.first() {
        let rows = (BATCH_TOKENS / sequences[longest].ids.len().max(1)).clamp(1, rest.len());
        let (batch_rows, tail) = rest.split_at(rows);
        rest = tail;
        let members: Vec<&Sequence> = batch_rows.iter().map(|&i| &sequences[i]).collect();
        let batch = PackedBatch::new(&members, 1);
        if batch.targets.is_empty() {
            continue;
        }
        let hidden = scored_hidden(decoder, &batch);
        let logps = token_logps(&hidden, &head, &batch.targets, DEFAULT_CHUNK);
        for (&i, values) in batch_rows.iter().zip(batch.split(&logps)) {
            result[i] = values;
        }
    }
    result
}

/// Hidden states, `[targets, hidden]`, of the positions that predict the batch's response tokens.
pub fn scored_hidden(decoder: &Decoder, batch: &PackedBatch) -> Tensor<2> {
    let hidden = decoder.forward(&batch.ids, batch.rows);
    let index = index_tensor(batch.positions.iter().copied(), &hidden.device());
    hidden.select(0, index)
}
