//! Rotary position embedding in Hugging Face's half-split layout.

use burn::tensor::{DType, Device, Tensor, TensorData};
use inpo_kernels::rotate;

use crate::config::{ModelConfig, RopeScaling};

/// Inverse frequencies of one head, one per rotated pair (arXiv 2104.09864, section 3.2).
///
/// Pair `i` of a head of width `d` turns by `position * theta^(-2i/d)`; Llama 3's scaling stretches
/// the slow pairs (as `transformers` does for `rope_type = "llama3"`).
#[derive(Debug, Clone)]
pub struct RotaryFrequencies {
    inverse: Vec<f64>,
}

impl RotaryFrequencies {
    /// Frequencies for `config`.
    pub fn new(config: &ModelConfig) -> Self {
        let half = config.head_dim / 2;
        let width = config.head_dim as f64;
        let inverse = (0..half)
            .map(|i| config.rope_theta.powf(-2.0 * i as f64 / width))
            .map(|f| scale(f, &config.rope_scaling))
            .collect();
        Self { inverse }
    }

    /// Cosines and signed sines for each of `positions`, `[positions, head_dim]`.
    ///
    /// The sine's first half is negated, so that a rotation is `x * cos + swap_halves(x) * sin`.
    pub(crate) fn tables(&self, positions: &[usize], options: (&Device, DType)) -> Rotary {
        let half = self.inverse.len();
        let mut cos = Vec::with_capacity(positions.len() * half * 2);
        let mut sin = Vec::with_capacity(positions.len() * half * 2);
        for &position in positions {
            let angles = self.inverse.iter().map(|f| position as f64 * f);
            let (s, c): (Vec<f64>, Vec<f64>) = angles.map(f64::sin_cos).unzip();
            cos.extend_from_slice(&c);
            cos.extend_from_slice(&c);
            sin.extend(s.iter().map(|s| -s));
            sin.extend_from_slice(&s);
        }
        let shape = [positions.len(), half * 2];
        Rotary {
            cos: Tensor::from_data(TensorData::new(cos, shape), options),
            sin: Tensor::from_data(TensorData::new(sin, shape), options),
        }
    }
}

fn scale(frequency: f64, scaling: &RopeScaling) -> f64 {
    match *scaling {
        RopeScaling::None => frequency,
        RopeScaling::Linear { factor } => frequency / factor,
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        } => {
            let context = original_max_position_embeddings as f64;
            let wavelength = 2.0 * std::f64::consts::PI / frequency;
            if wavelength < context / high_freq_factor {
                frequency
            } else if wavelength > context / low_freq_factor {
                frequency / factor
            } else {
                let smooth =
                    (context / wavelength - low_freq_factor) / (high_freq_factor - low_freq_factor);
                (1.0 - smooth) * frequency / factor + smooth * frequency
            }
        }
    }
}

/// The rotation of one forward pass, shared by all layers.
#[derive(Debug, Clone)]
pub(crate) struct Rotary {
    cos: Tensor<2>,
    sin: Tensor<2>,
}

impl Rotary {
    /// Rotates every head of `x`, `[tokens, heads * head_dim]`; pair `i` of a head is
    /// `(x_i, x_{i + head_dim/2})`.
    pub(crate) fn rotate(&self, x: Tensor<2>) -> Tensor<2> {
        rotate(x, self.cos.clone(), self.sin.clone())
    }
}
