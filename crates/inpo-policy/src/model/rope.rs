//! Rotary position embedding in Hugging Face's half-split layout.

use burn::tensor::{DType, Device, Tensor, TensorData};
use inpo_kernels::rotate;

use super::layer_kind::FullOrSliding;
use crate::config::{ModelConfig, RopeScaling};

/// Inverse frequencies of one head, one per rotated pair (arXiv 2104.09864, section 3.2).
///
/// Pair `i` of a head of width `d` turns by `position * theta^(-2i/d)`; scalings stretch the slow pairs, and
/// YaRN's multiplies cosines and sines besides (as `transformers` does for each `rope_type`).
#[derive(Debug, Clone)]
pub(super) struct RotaryFrequencies {
    inverse: Vec<f64>,
    /// What cosines and sines are multiplied by.
    factor: f64,
}

impl RotaryFrequencies {
    /// The frequencies of the layers of `config`: those with a sliding window may have their own.
    pub(super) fn of_layers(config: &ModelConfig) -> FullOrSliding<Self> {
        let width = config.head_dim;
        let full = Self::new(width, config.rope_theta, &config.rope_scaling);
        match &config.local_rope {
            None => FullOrSliding::Same(full),
            Some(rope) => FullOrSliding::Each {
                full,
                sliding: Self::new(width, rope.theta, &rope.scaling),
            },
        }
    }

    /// Frequencies of base `theta` for heads of `head_dim`.
    fn new(head_dim: usize, theta: f64, scaling: &RopeScaling) -> Self {
        let width = head_dim as f64;
        let base = |i: usize| theta.powf(-2.0 * i as f64 / width);
        let stretch = Stretch::new(width, theta, scaling);
        Self {
            inverse: (0..head_dim / 2)
                .map(|i| stretch.apply(i, base(i)))
                .collect(),
            factor: match *scaling {
                RopeScaling::Yarn {
                    attention_factor, ..
                } => attention_factor,
                _ => 1.0,
            },
        }
    }

    /// Cosines and signed sines for each of `positions`, `[positions, head_dim]`.
    ///
    /// The sine's first half is negated, so that a rotation is `x * cos + swap_halves(x) * sin`.
    pub(super) fn tables(&self, positions: &[usize], options: (&Device, DType)) -> Rotary {
        let half = self.inverse.len();
        let mut cos = Vec::with_capacity(positions.len() * half * 2);
        let mut sin = Vec::with_capacity(positions.len() * half * 2);
        for &position in positions {
            let angles = self.inverse.iter().map(|f| position as f64 * f);
            let scaled = |angle: f64| {
                let (sin, cos) = angle.sin_cos();
                (sin * self.factor, cos * self.factor)
            };
            let (s, c): (Vec<f64>, Vec<f64>) = angles.map(scaled).unzip();
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

/// A scaling, ready to be applied to the pairs of a head.
enum Stretch<'a> {
    ByFrequency(&'a RopeScaling),
    /// YaRN: pairs below `low` are kept, pairs above `high` are divided, a ramp between.
    ByPair {
        factor: f64,
        low: f64,
        high: f64,
    },
}

impl<'a> Stretch<'a> {
    fn new(width: f64, theta: f64, scaling: &'a RopeScaling) -> Self {
        let RopeScaling::Yarn {
            factor,
            beta_fast,
            beta_slow,
            original_max_position_embeddings,
            truncate,
            ..
        } = *scaling
        else {
            return Self::ByFrequency(scaling);
        };
        // The pair that turns so often in the original context (arXiv 2309.00071, equation 17).
        let context = original_max_position_embeddings as f64;
        let pair = |turns: f64| {
            let wavelength = context / (turns * 2.0 * std::f64::consts::PI);
            width * wavelength.ln() / (2.0 * theta.ln())
        };
        let (mut low, mut high) = (pair(beta_fast), pair(beta_slow));
        if truncate {
            (low, high) = (low.floor(), high.ceil());
        }
        let (low, mut high) = (low.max(0.0), high.min(width - 1.0));
        if low == high {
            high += 0.001;
        }
        Self::ByPair { factor, low, high }
    }

    fn apply(&self, pair: usize, frequency: f64) -> f64 {
        match *self {
            Self::ByFrequency(scaling) => scale(frequency, scaling),
            Self::ByPair { factor, low, high } => {
                let divided = ((pair as f64 - low) / (high - low)).clamp(0.0, 1.0);
                frequency / factor * divided + frequency * (1.0 - divided)
            }
        }
    }
}

fn scale(frequency: f64, scaling: &RopeScaling) -> f64 {
    match *scaling {
        RopeScaling::None | RopeScaling::Yarn { .. } => frequency,
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
pub(super) struct Rotary {
    cos: Tensor<2>,
    sin: Tensor<2>,
}

impl Rotary {
    /// Rotates every head of `x`, `[tokens, heads * head_dim]`; pair `i` of a head is
    /// `(x_i, x_{i + head_dim/2})`.
    pub(super) fn rotate(&self, x: Tensor<2>) -> Tensor<2> {
        rotate(x, self.cos.clone(), self.sin.clone())
    }
}
