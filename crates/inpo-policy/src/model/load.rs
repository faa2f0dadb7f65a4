//! From named host tensors to a decoder on a device.

use burn::tensor::{DType, Device, Tensor, TensorData};
use inpo_kernels::Kernels;

use super::attention::Attention;
use super::block::{Block, OuterNorms};
use super::decoder::Decoder;
use super::mlp::Mlp;
use super::norm::RmsNorm;
use super::projection::Projection;
use super::tensors::transpose;
use crate::config::ModelConfig;
use crate::error::PolicyError;
use crate::files::WeightSource;

impl Decoder {
    /// Builds the decoder of `config` from `weights`, on the device and in the float type of `options`.
    ///
    /// On the CPU backend the process keeps the memory that is freed from now on, unless `INPO_KEEP_MEMORY=0` is in the
    /// environment: [`inpo_kernels::keep_freed_memory`] says what that is worth and costs.
    ///
    /// # Errors
    ///
    /// A tensor that is missing, misshapen or not finite, by name.
    pub fn load(
        config: &ModelConfig,
        weights: &dyn WeightSource,
        options: (&Device, DType),
    ) -> Result<Self, PolicyError> {
        let (device, dtype) = options;
        Kernels::on(device, dtype).keep_freed_memory();
        let loader = Loader {
            config,
            weights,
            options,
        };
        let (hidden, vocab) = (config.hidden_size, config.vocab_size);
        // The largest tensors first: what their conversion needs beside them is free again, and used again,
        // before the model has its full size.
        let embedding = loader.matrix("model.embed_tokens.weight", [vocab, hidden])?;
        let head = match (config.classifier, config.tie_word_embeddings) {
            (true, _) => Some(loader.matrix("score.weight", [1, hidden])?),
            (false, false) => Some(loader.matrix("lm_head.weight", [vocab, hidden])?),
            (false, true) => None,
        };
        let layers = (0..config.num_hidden_layers).map(|layer| loader.block(layer));
        let layers = layers.collect::<Result<_, _>>()?;
        let norm = loader.norm("model.norm", hidden)?;
        Ok(Self::new(config, embedding, layers, norm, head))
    }
}

struct Loader<'a> {
    config: &'a ModelConfig,
    weights: &'a dyn WeightSource,
    options: (&'a Device, DType),
}

impl Loader<'_> {
    fn block(&self, layer: usize) -> Result<Block, PolicyError> {
        let config = self.config;
        let family = config.family;
        let hidden = config.hidden_size;
        let queries = config.num_attention_heads * config.head_dim;
        let keys = config.num_key_value_heads * config.head_dim;
        let inner = config.intermediate_size;
        let path = |part: &str| format!("model.layers.{layer}.{part}");
        let projection = |part: &str, shape, bias: bool| self.projection(&path(part), shape, bias);
        let norm = |part: &str| self.norm(&path(part), hidden);
        let bias = config.attention_bias;
        let inputs = if family.fuses_projections() {
            vec![projection(
                "self_attn.qkv_proj",
                [queries + 2 * keys, hidden],
                bias,
            )?]
        } else {
            vec![
                projection("self_attn.q_proj", [queries, hidden], bias)?,
                projection("self_attn.k_proj", [keys, hidden], bias)?,
                projection("self_attn.v_proj", [keys, hidden], bias)?,
            ]
        };
        let bias = config.attention_output_bias;
        let output = projection("self_attn.o_proj", [hidden, queries], bias)?;
        let head_norm = |name: &str| {
            let norm = || self.norm(&path(name), config.head_dim);
            family.query_key_norm().then(norm).transpose()
        };
        let norms = [
            head_norm("self_attn.q_norm")?,
            head_norm("self_attn.k_norm")?,
        ];
        let bias = config.mlp_bias;
        let gates = if family.fuses_projections() {
            vec![projection("mlp.gate_up_proj", [2 * inner, hidden], bias)?]
        } else {
            vec![
                projection("mlp.gate_proj", [inner, hidden], bias)?,
                projection("mlp.up_proj", [inner, hidden], bias)?,
            ]
        };
        let down = projection("mlp.down_proj", [hidden, inner], bias)?;
        let outer_norms = if family.sandwich_norms() {
            Some(OuterNorms {
                pre_feedforward_layernorm: norm("pre_feedforward_layernorm")?,
                post_feedforward_layernorm: norm("post_feedforward_layernorm")?,
            })
        } else {
            None
        };
        Ok(Block {
            input_layernorm: norm("input_layernorm")?,
            self_attn: Attention::new(config, layer, inputs, output, norms),
            post_attention_layernorm: norm("post_attention_layernorm")?,
            outer_norms,
            mlp: Mlp::new(gates, down, config.activation),
        })
    }

    /// The norm at `path`, a module's name.
    fn norm(&self, path: &str, width: usize) -> Result<RmsNorm, PolicyError> {
        let gain = self.vector(&format!("{path}.weight"), width)?;
        let offset = f64::from(u8::from(self.config.family.unit_offset_norms()));
        Ok(RmsNorm::new(gain, self.config.rms_norm_eps).with_offset(offset))
    }

    /// The values of a tensor, which must have that shape and be finite.
    fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, PolicyError> {
        let tensor = self.weights.load(name)?;
        if tensor.shape != shape {
            return Err(PolicyError::WrongShape {
                tensor: name.to_owned(),
                found: tensor.shape,
                expected: shape.to_vec(),
            });
        }
        match tensor.data.iter().position(|value| !value.is_finite()) {
            None => Ok(tensor.data),
            Some(index) => Err(PolicyError::NonFiniteWeight {
                tensor: name.to_owned(),
                value: tensor.data[index],
                index,
            }),
        }
    }

    fn matrix(&self, name: &str, shape: [usize; 2]) -> Result<Tensor<2>, PolicyError> {
        let data = TensorData::new(self.values(name, &shape)?, shape);
        Ok(Tensor::from_data(data, self.options))
    }

    fn vector(&self, name: &str, width: usize) -> Result<Tensor<1>, PolicyError> {
        let data = TensorData::new(self.values(name, &[width])?, [width]);
        Ok(Tensor::from_data(data, self.options))
    }

    /// The projection at `path`, a module's name. Files store `[out, in]`; the projection wants `[in, out]`,
    /// laid out as such.
    fn projection(
        &self,
        path: &str,
        [output, input]: [usize; 2],
        bias: bool,
    ) -> Result<Projection, PolicyError> {
        let weight = self.values(&format!("{path}.weight"), &[output, input])?;
        let data = TensorData::new(transpose(&weight, input), [input, output]);
        drop(weight);
        let bias = bias.then(|| self.vector(&format!("{path}.bias"), output));
        let weight = Tensor::from_data(data, self.options);
        Ok(Projection::new(weight).with_bias(bias.transpose()?))
    }
}
