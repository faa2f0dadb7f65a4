//! From named host tensors to a decoder on a device.

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::{Attention, Block, Decoder, Mlp, Projection, RmsNorm};
use crate::config::ModelConfig;
use crate::error::PolicyError;
use crate::files::WeightSource;

impl Decoder {
    /// Builds the decoder of `config` from `weights`, on the device and in the float type of `options`.
    ///
    /// # Errors
    ///
    /// A tensor that is missing or misshapen, by name.
    pub fn load(
        config: &ModelConfig,
        weights: &dyn WeightSource,
        options: (&Device, DType),
    ) -> Result<Self, PolicyError> {
        let loader = Loader { weights, options };
        let (hidden, vocab) = (config.hidden_size, config.vocab_size);
        let queries = config.num_attention_heads * config.head_dim;
        let keys = config.num_key_value_heads * config.head_dim;
        let inner = config.intermediate_size;
        let mut layers = Vec::with_capacity(config.num_hidden_layers);
        for layer in 0..config.num_hidden_layers {
            let projection = |part: &str, shape| {
                loader.projection(&format!("model.layers.{layer}.{part}.weight"), shape)
            };
            let norm = |part: &str| {
                let name = format!("model.layers.{layer}.{part}.weight");
                let gain = loader.vector(&name, hidden)?;
                Ok::<_, PolicyError>(RmsNorm::new(gain, config.rms_norm_eps))
            };
            let attention = Attention::new(
                [
                    projection("self_attn.q_proj", [queries, hidden])?,
                    projection("self_attn.k_proj", [keys, hidden])?,
                    projection("self_attn.v_proj", [keys, hidden])?,
                    projection("self_attn.o_proj", [hidden, queries])?,
                ],
                config.num_attention_heads,
                config.num_key_value_heads,
            );
            layers.push(Block {
                input_layernorm: norm("input_layernorm")?,
                self_attn: attention,
                post_attention_layernorm: norm("post_attention_layernorm")?,
                mlp: Mlp {
                    gate_proj: projection("mlp.gate_proj", [inner, hidden])?,
                    up_proj: projection("mlp.up_proj", [inner, hidden])?,
                    down_proj: projection("mlp.down_proj", [hidden, inner])?,
                },
            });
        }
        let embedding = loader.matrix("model.embed_tokens.weight", [vocab, hidden])?;
        let norm = loader.vector("model.norm.weight", hidden)?;
        let head = (!config.tie_word_embeddings)
            .then(|| loader.matrix("lm_head.weight", [vocab, hidden]))
            .transpose()?;
        let norm = RmsNorm::new(norm, config.rms_norm_eps);
        Ok(Self::new(config, embedding, layers, norm, head))
    }
}

struct Loader<'a> {
    weights: &'a dyn WeightSource,
    options: (&'a Device, DType),
}

impl Loader<'_> {
    fn data(&self, name: &str, shape: &[usize]) -> Result<TensorData, PolicyError> {
        let tensor = self.weights.load(name)?;
        if tensor.shape != shape {
            return Err(PolicyError::WrongShape {
                tensor: name.to_owned(),
                found: tensor.shape,
                expected: shape.to_vec(),
            });
        }
        Ok(TensorData::new(tensor.data, shape.to_vec()))
    }

    fn matrix(&self, name: &str, shape: [usize; 2]) -> Result<Tensor<2>, PolicyError> {
        Ok(Tensor::from_data(self.data(name, &shape)?, self.options))
    }

    fn vector(&self, name: &str, width: usize) -> Result<Tensor<1>, PolicyError> {
        Ok(Tensor::from_data(self.data(name, &[width])?, self.options))
    }

    /// Files store `[out, in]`; the projection wants `[in, out]`, laid out as such.
    fn projection(
        &self,
        name: &str,
        [output, input]: [usize; 2],
    ) -> Result<Projection, PolicyError> {
        let weight = self.weights.load(name)?;
        if weight.shape != [output, input] {
            return Err(PolicyError::WrongShape {
                tensor: name.to_owned(),
                found: weight.shape,
                expected: vec![output, input],
            });
        }
        let transposed = transpose(&weight.data, input);
        let data = TensorData::new(transposed, [input, output]);
        Ok(Projection::new(Tensor::from_data(data, self.options)))
    }
}

/// The row-major transpose of a row-major matrix with `columns` columns.
pub(crate) fn transpose(values: &[f32], columns: usize) -> Vec<f32> {
    let rows = values.len() / columns.max(1);
    let mut transposed = vec![0.0_f32; values.len()];
    for (row, values) in values.chunks_exact(columns.max(1)).enumerate() {
        for (column, &value) in values.iter().enumerate() {
            transposed[column * rows + row] = value;
        }
    }
    transposed
}
