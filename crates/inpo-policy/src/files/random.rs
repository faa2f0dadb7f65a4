//! Weights of a freshly initialised model.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::{HostTensor, WeightSource, expected_tensors};
use crate::config::ModelConfig;
use crate::error::PolicyError;
use inpo_data::sha256;

/// Standard deviation of a fresh weight, Hugging Face's `initializer_range`.
const DEVIATION: f64 = 0.02;

/// A source of random weights: matrices normal, gains 1, biases 0. Each tensor has its own stream of the seed,
/// so the order of loading does not matter.
#[derive(Debug, Clone)]
pub struct RandomWeights {
    tensors: Vec<(String, Vec<usize>)>,
    seed: u64,
    /// A norm's weight that leaves sizes as they are.
    gain: f32,
}

impl RandomWeights {
    /// Weights for `config` from `seed`.
    #[must_use]
    pub fn new(config: &ModelConfig, seed: u64) -> Self {
        Self {
            tensors: expected_tensors(config),
            seed,
            gain: if config.family.unit_offset_norms() {
                0.0
            } else {
                1.0
            },
        }
    }
}

impl WeightSource for RandomWeights {
    fn names(&self) -> Vec<String> {
        self.tensors.iter().map(|(name, _)| name.clone()).collect()
    }

    fn load(&self, name: &str) -> Result<HostTensor, PolicyError> {
        let found = self.tensors.iter().position(|(n, _)| n == name);
        let Some(index) = found else {
            let tensors = vec![name.to_owned()];
            return Err(PolicyError::MissingTensors {
                path: "a fresh model".into(),
                tensors,
            });
        };
        let shape = self.tensors[index].1.clone();
        let count = shape.iter().product();
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(index as u64);
        let data = match shape.len() {
            1 if name.ends_with(".bias") => vec![0.0; count],
            1 => vec![self.gain; count],
            _ => (0..count)
                .map(|_| (DEVIATION * normal(&mut rng)) as f32)
                .collect(),
        };
        Ok(HostTensor { shape, data })
    }

    fn identity(&self) -> Result<String, PolicyError> {
        let shapes = sha256(format!("{:?}", self.tensors).as_bytes());
        Ok(format!("fresh-{}-{shapes}", self.seed))
    }
}

/// `count` normal numbers with this standard deviation, from a stream of the seed.
pub(crate) fn random_matrix(count: usize, deviation: f64, seed: u64, stream: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    let draw = |_| (deviation * normal(&mut rng)) as f32;
    (0..count).map(draw).collect()
}

/// A standard normal draw by the Box-Muller transform.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos()
}
