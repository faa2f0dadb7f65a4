//! What is sampled from: a model, or a geometric mixture of two.

use burn::tensor::{DType, Tensor};

use crate::config::ModelConfig;
use crate::error::PolicyError;
use crate::model::{Decoder, KvCache, Room};
use crate::tokenizer::TextCodec;

/// A geometric mixture of models, token by token: the next token's log-probs are
/// `log_softmax(sum_m w_m log_softmax(logits_m))`, with weights that sum to 1.
pub(crate) struct Mixture<'a> {
    /// The models that have a say, of one vocabulary; at least one.
    pub(super) members: Vec<Member<'a>>,
    /// The ids that end a response.
    pub(super) ends: Vec<u32>,
    /// What reads stop strings, where there are any.
    pub(super) codec: Option<&'a TextCodec>,
}

/// A model of a mixture.
pub(super) struct Member<'a> {
    pub(super) decoder: &'a Decoder,
    pub(super) config: &'a ModelConfig,
    weight: f64,
}

impl<'a> Mixture<'a> {
    /// One model, as it is.
    pub(crate) fn one(decoder: &'a Decoder, config: &'a ModelConfig) -> Self {
        Self {
            members: vec![Member {
                decoder,
                config,
                weight: 1.0,
            }],
            ends: config.eos_token_ids.clone(),
            codec: None,
        }
    }

    /// This mixture with other ids that end a response.
    pub(crate) fn with_ends(self, ends: Vec<u32>) -> Self {
        Self { ends, ..self }
    }

    /// This mixture with a reader of stop strings.
    pub(crate) fn with_codec(self, codec: Option<&'a TextCodec>) -> Self {
        Self { codec, ..self }
    }

    /// `reference` with weight `weight` and `policy` with the rest. A model of weight 0 is left out,
    /// so it costs nothing. The end tokens are the policy's.
    ///
    /// # Errors
    ///
    /// A weight outside [0, 1], vocabularies of different size.
    pub(crate) fn two(
        policy: (&'a Decoder, &'a ModelConfig),
        reference: (&'a Decoder, &'a ModelConfig),
        weight: f64,
    ) -> Result<Self, PolicyError> {
        if !(0.0..=1.0).contains(&weight) {
            return Err(PolicyError::InvalidSetting {
                key: "weight".to_owned(),
                got: weight.to_string(),
                allowed: "from 0 (the policy) to 1 (the reference)".to_owned(),
            });
        }
        if policy.1.vocab_size != reference.1.vocab_size {
            return Err(PolicyError::MixedVocabularies {
                policy: policy.1.vocab_size,
                reference: reference.1.vocab_size,
            });
        }
        let members = [(policy, 1.0 - weight), (reference, weight)];
        Ok(Self {
            members: members
                .into_iter()
                .filter(|&(_, weight)| weight > 0.0)
                .map(|((decoder, config), weight)| Member {
                    decoder,
                    config,
                    weight,
                })
                .collect(),
            ends: policy.1.eos_token_ids.clone(),
            codec: None,
        })
    }

    /// Number of ids of every member.
    pub(super) fn vocab_size(&self) -> usize {
        self.members[0].config.vocab_size
    }

    /// An empty cache for each member.
    pub(super) fn caches(&self, room: Room) -> Vec<KvCache> {
        let cache = |member: &Member<'_>| {
            let (device, dtype) = (member.decoder.device(), member.decoder.dtype());
            KvCache::new(member.config, room, (&device, dtype))
        };
        self.members.iter().map(cache).collect()
    }

    /// The mixture's logits, row after row, `vocab_size` each, where `hidden` runs a member and
    /// returns its last hidden states, `[rows, hidden]`.
    ///
    /// They are `sum_m w_m logits_m`: the members' log-softmaxes subtract one number per row, which
    /// normalising the logits takes out again. One member's logits are given as they are.
    pub(super) fn logits(
        &self,
        caches: &mut [KvCache],
        hidden: impl Fn(&Decoder, &mut KvCache) -> Tensor<2> + Send,
    ) -> Vec<f32> {
        let kernels = self.members[0].decoder.kernels();
        kernels.run(|| self.logits_here(caches, hidden))
    }

    /// [`Mixture::logits`] on the calling thread.
    fn logits_here(
        &self,
        caches: &mut [KvCache],
        hidden: impl Fn(&Decoder, &mut KvCache) -> Tensor<2>,
    ) -> Vec<f32> {
        let mut logits = self.members.iter().zip(caches).map(|(member, cache)| {
            let hidden = hidden(member.decoder, cache);
            (member.decoder.logits(hidden), member.weight)
        });
        let (first, weight) = logits.next().expect("a mixture has a member");
        let mut sum = first;
        if self.members.len() > 1 {
            sum = sum.cast(DType::F32).mul_scalar(weight);
            for (logits, weight) in logits {
                let logits = logits.to_device(&sum.device()).cast(DType::F32);
                sum = sum + logits.mul_scalar(weight);
            }
        }
        sum.try_into_vec_as::<f32>()
            .expect("a float tensor reads as f32")
    }
}
