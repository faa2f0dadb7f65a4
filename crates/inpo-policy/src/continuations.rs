//! Log-likelihoods of continuations, as benchmarks ask for them.

use std::collections::HashMap;

use inpo_kernels::embedding;

use crate::error::PolicyError;
use crate::head::DEFAULT_CHUNK;
use crate::logps::Sequence;
use crate::policy::Policy;
use crate::prefix::{self, PrefixBatch};

impl Policy {
    /// Log-prob, in nats, of the whole response of each sequence behind its prompt. Sequences that begin alike share what they
    /// have in common, wherever their prompts end, and equal ones are computed once.
    ///
    /// The last token is only predicted, so that a sequence may be one token longer than the model's context.
    ///
    /// # Errors
    ///
    /// An empty prompt, a sequence beyond the model's context, an id beyond its vocabulary. `number` in the error is the
    /// sequence's place in the list.
    pub fn continuation_logps(&self, sequences: &[Sequence]) -> Result<Vec<f64>, PolicyError> {
        for (number, sequence) in sequences.iter().enumerate() {
            if sequence.prompt_len == 0 {
                let number = number as u64;
                return Err(PolicyError::EmptyPrompt { number });
            }
            prefix::check(self.config(), number as u64, read(sequence))?;
            let vocab_size = self.config().vocab_size;
            if let Some(&id) = sequence.ids.last().filter(|id| **id as usize >= vocab_size) {
                return Err(PolicyError::TokenOutOfVocabulary { id, vocab_size });
            }
        }
        // Equal sequences, and then equal inputs: choices of one token differ in nothing that is read.
        let mut places = HashMap::new();
        let (mut inputs, mut asked) = (Vec::new(), Vec::<Vec<&Sequence>>::new());
        for sequence in sequences {
            let input = read(sequence);
            let place = *places.entry(input).or_insert_with(|| {
                inputs.push(input);
                asked.push(Vec::new());
                inputs.len() - 1
            });
            if !asked[place].contains(&sequence) {
                asked[place].push(sequence);
            }
        }
        let decoder = self.decoder().cast_once();
        let head = decoder.vocabulary_head();
        let mut sums: HashMap<(usize, &[u32]), f64> = HashMap::new();
        for batch in PrefixBatch::split(&decoder, &inputs) {
            let (mut positions, mut targets, mut members) = (Vec::new(), Vec::new(), Vec::new());
            for (index, &member) in batch.members.iter().enumerate() {
                for &sequence in &asked[member] {
                    let first = sequence.prompt_len - 1;
                    let predicting = first..first + sequence.response().len();
                    positions.extend(predicting.map(|position| batch.token(index, position)));
                    targets.extend_from_slice(sequence.response());
                    members.push(sequence);
                }
            }
            let mut logps = Vec::new();
            if !targets.is_empty() {
                let hidden = decoder.forward(&batch.ids, &batch.layout);
                logps = head.token_logps(&embedding(hidden, &positions), &targets, DEFAULT_CHUNK);
            }
            let mut logps = logps.into_iter();
            for sequence in members {
                let sum = logps.by_ref().take(sequence.response().len()).sum();
                sums.insert((sequence.prompt_len, &sequence.ids), sum);
            }
        }
        let sum = |sequence: &Sequence| sums[&(sequence.prompt_len, sequence.ids.as_slice())];
        Ok(sequences.iter().map(sum).collect())
    }
}

/// The ids that the model reads: all but the last, unless that is the prompt's.
fn read(sequence: &Sequence) -> &[u32] {
    let response = sequence.response().len();
    &sequence.ids[..sequence.ids.len() - response.min(1)]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use burn::tensor::Device;

    use super::*;

    /// Against the sums of [`Policy::logps`]: choices of one context, contexts that begin alike, continuations that begin like
    /// another's context, equal ones, and one that fills the context and one token more.
    #[test]
    fn fronts_are_shared_without_a_difference() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny_llama_tied");
        let policy = Policy::load(&path, &Device::flex()).unwrap();
        let sequences = [
            Sequence::new(&[5, 6, 7], &[8]),
            Sequence::new(&[5, 6, 7], &[9]),
            Sequence::new(&[5, 6, 7], &[8, 9, 10]),
            Sequence::new(&[5, 6], &[7, 8, 9]),
            Sequence::new(&[5, 6, 7, 8, 9, 10], &[11]),
            Sequence::new(&[5, 6, 7], &[8]),
            Sequence::new(&[4], &[5, 6, 7]),
            Sequence::new(&[4, 4], &[]),
        ];
        let sums = policy.continuation_logps(&sequences).unwrap();
        let tokens = policy.logps(&sequences).unwrap();
        for (sum, tokens) in sums.iter().zip(&tokens) {
            assert!(
                (sum - tokens.iter().sum::<f64>()).abs() < 1e-4,
                "{sums:?} {tokens:?}"
            );
        }
        assert_eq!(sums[0], sums[5]);
        let limit = policy.config().max_position_embeddings;
        let full = |tokens: usize| Sequence::new(&vec![5; tokens - 1], &[6]);
        assert!(policy.continuation_logps(&[full(limit + 1)]).is_ok());
        assert!(policy.continuation_logps(&[full(limit + 2)]).is_err());
        assert!(
            policy
                .continuation_logps(&[Sequence::new(&[], &[6])])
                .is_err()
        );
        assert!(
            policy
                .continuation_logps(&[Sequence::new(&[5], &[6, 1 << 20])])
                .is_err()
        );
    }
}
