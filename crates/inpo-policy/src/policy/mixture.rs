//! A geometric mixture of two policies.

use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Tensor};

use super::Policy;
use crate::error::PolicyError;
use crate::head::DEFAULT_CHUNK;
use crate::logps::{PackedBatch, Sequence, scored_hidden, scoring_batches};
use crate::model::{Decoder, index_tensor};
use crate::sample::{DrawKey, GenerationConfig, Generations, PromptTask};

/// The geometric mixture `reference^w policy^(1 - w)` of two policies, taken token by token as Nash-MD does
/// (arXiv 2312.00886): see [`Policy::generate_mixture`].
#[derive(Debug, Clone)]
pub struct PolicyMixture {
    /// The policy, whose tokenizer and end tokens are the mixture's.
    pub policy: Policy,
    /// The other one.
    pub reference: Policy,
    /// `w`, the weight of the reference, from 0 to 1.
    pub weight: f64,
}

impl PolicyMixture {
    /// [`Policy::generate_mixture`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn generate(
        &self,
        prompts: &[PromptTask],
        config: &GenerationConfig,
        draws: DrawKey,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Generations, PolicyError> {
        let (reference, weight) = (&self.reference, self.weight);
        self.policy
            .generate_mixture(reference, weight, prompts, config, draws, progress)
    }

    /// Log-probs of the response tokens of each sequence under the mixture, in nats, at temperature 1.
    ///
    /// # Errors
    ///
    /// As [`Policy::logps`], for both.
    pub fn logps(&self, sequences: &[Sequence]) -> Result<Vec<Vec<f64>>, PolicyError> {
        for (number, sequence) in (0..).zip(sequences) {
            self.policy.check(number, sequence)?;
            self.reference.check(number, sequence)?;
        }
        let members = [
            (self.policy.decoder.cast_once(), 1.0 - self.weight),
            (self.reference.decoder.cast_once(), self.weight),
        ];
        let mut result = vec![Vec::new(); sequences.len()];
        for rows in scoring_batches(&members[0].0, sequences) {
            let batch: Vec<&Sequence> = rows.iter().map(|&i| &sequences[i]).collect();
            let batch = PackedBatch::new(&batch, members[0].0.token_multiple());
            let logps = token_logps(&members, &batch);
            for (i, values) in rows.into_iter().zip(batch.split(&logps)) {
                result[i] = values;
            }
        }
        Ok(result)
    }
}

/// The log-prob of each of the batch's response tokens under the mixture of `members`, decoders with their weights.
fn token_logps(members: &[(Decoder, f64)], batch: &PackedBatch) -> Vec<f64> {
    let hidden: Vec<Tensor<2>> = members
        .iter()
        .map(|(decoder, _)| scored_hidden(decoder, batch))
        .collect();
    let device = hidden[0].device();
    let mut logps = Vec::with_capacity(batch.targets.len());
    for (chunk, targets) in batch.targets.chunks(DEFAULT_CHUNK).enumerate() {
        let first = chunk * DEFAULT_CHUNK;
        let rows = first..first + targets.len();
        let mixed = members.iter().zip(&hidden).map(|((decoder, weight), x)| {
            let logits = decoder.logits(x.clone().slice([rows.clone()]));
            logits
                .to_device(&device)
                .cast(DType::F32)
                .mul_scalar(*weight)
        });
        let mixed = mixed.reduce(|sum, logits| sum + logits);
        let mixed = mixed.expect("a mixture has members");
        let index = index_tensor(targets.iter().map(|&id| id as usize), &device);
        let chosen = log_softmax(mixed, 1).gather(1, index.unsqueeze_dim(1));
        let chosen = chosen.try_into_vec_as::<f64>();
        logps.extend(chosen.expect("a float tensor reads as f64"));
    }
    logps
}
