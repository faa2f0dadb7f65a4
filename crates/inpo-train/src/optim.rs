//! What moves the weights: optimiser, learning rate, gradient clipping.

mod clip;
mod rules;
mod schedule;

use std::io::Error;
use std::path::Path;

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;
use burn_pack::{Reader, Writer};
use inpo_data::DataError;

use crate::config::{Optim, TrainSection};
use crate::error::TrainError;

pub use clip::clip_grad_norm;
use rules::{AdamW, RmsProp, Sgd};
pub use schedule::learning_rate;

/// The optimiser of `[train]` with its state: torch's AdamW, SGD or RMSprop.
///
/// Weight decay acts on parameters of two or more dimensions (projections, embeddings, adapters) and
/// never on those of one (norm gains, biases), the groups of Hugging Face's Trainer. It is decoupled
/// in AdamW and part of the gradient in SGD and RMSprop.
///
/// The steps are written out here, not taken from Burn, whose optimisers hold their settings as f32
/// and compute `1 - beta2` and the bias corrections from them: for beta2 = 0.999 that is off by 1.3e-5,
/// where torch's scalars are f64.
#[derive(Clone)]
pub struct Optimiser {
    inner: ModuleOptimizer,
}

impl Optimiser {
    /// A fresh optimiser: no moments, step 0. The settings must be valid ([`TrainSection::validate`]).
    pub fn new(config: &TrainSection) -> Self {
        let decay = config.weight_decay;
        let inner = match config.optim {
            Optim::AdamW => ModuleOptimizer::from(AdamW {
                beta1: config.adam_beta1,
                beta2: config.adam_beta2,
                epsilon: config.adam_epsilon,
                decay,
            }),
            Optim::Sgd => ModuleOptimizer::from(Sgd {
                momentum: config.momentum,
                decay,
            }),
            Optim::RmsProp => ModuleOptimizer::from(RmsProp {
                alpha: config.rmsprop_alpha,
                momentum: config.momentum,
                decay,
            }),
        };
        Self { inner }
    }

    /// One step at learning rate `rate`; `module` is in training (its tensors carry autodiff) and `grads`
    /// has tensors without. Parameters without a gradient stay as they are, and so does their state.
    pub fn step<M: Module>(&mut self, rate: f64, module: M, grads: GradientsParams) -> M {
        self.inner.step(rate, module, grads)
    }

    /// Writes the state, in Burn's own format, under the numbers of the parameters ([`numbered`]).
    ///
    /// # Errors
    ///
    /// A file that cannot be written.
    pub(crate) fn save(&self, path: &Path) -> Result<(), TrainError> {
        let save = || {
            let pack = Reader::from_bytes(self.inner.into_bytes().map_err(Error::other)?);
            let pack = pack.map_err(Error::other)?;
            let (scalars, metadata) = (pack.scalars().clone(), pack.metadata().clone());
            let mut tensors = pack.into_tensors().map_err(Error::other)?;
            // Burn has them in the order of a hash map.
            tensors.sort_by(|a, b| a.name.cmp(&b.name));
            let writer = Writer::new(tensors);
            let scalars = scalars.iter();
            let writer = scalars.fold(writer, |to, (key, &value)| to.with_scalar(key, value));
            let metadata = metadata.iter();
            let writer = metadata.fold(writer, |to, (key, value)| to.with_metadata(key, value));
            // Whole or not at all, and synced.
            writer.write_to_file(path).map_err(Error::other)
        };
        Ok(save().map_err(DataError::write(path))?)
    }

    /// An optimiser with the state that [`Optimiser::save`] wrote.
    ///
    /// # Errors
    ///
    /// A file that does not hold it.
    pub(crate) fn load(config: &TrainSection, path: &Path) -> Result<Self, TrainError> {
        let inner = Self::new(config).inner.load(path);
        let inner = inner.map_err(|error| TrainError::artefact(path, error.to_string()))?;
        Ok(Self { inner })
    }
}

/// `module` with its parameters numbered in its own order, so that the state of an optimiser, which knows them by their ids,
/// is theirs in another process too.
pub(crate) fn numbered<M: Module>(module: M) -> M {
    module.map(&mut Numbers(0))
}

/// The last number that was given.
struct Numbers(u64);

impl ModuleMapper for Numbers {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.0 += 1;
        let (_, value, mapper) = param.consume();
        Param::from_mapped_value(ParamId::from(self.0), value, mapper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::module::Param;
    use burn::tensor::{DType, Device, Tensor};

    #[derive(Module, Debug)]
    struct Net {
        gain: Param<Tensor<1>>,
        matrix: Param<Tensor<2>>,
        frozen: Param<Tensor<2>>,
    }

    fn tensor<const D: usize>(value: f64) -> Tensor<D> {
        Tensor::full([1; D], value, (&Device::flex(), DType::F64))
    }

    fn param<const D: usize>(value: f64) -> Param<Tensor<D>> {
        Param::from_tensor(Tensor::from_inner(tensor(value)))
    }

    /// One number in each of a gain, a matrix and a matrix without gradient.
    fn net(value: f64) -> Net {
        Net {
            gain: param(value),
            matrix: param(value),
            frozen: param(value),
        }
    }

    fn values(net: &Net) -> [f64; 3] {
        [
            net.gain.val().into_scalar(),
            net.matrix.val().into_scalar(),
            net.frozen.val().into_scalar(),
        ]
    }

    fn step(optimiser: &mut Optimiser, net: Net, grad: f64) -> Net {
        let mut grads = GradientsParams::new();
        grads.register(net.gain.id, tensor::<1>(grad));
        grads.register(net.matrix.id, tensor::<2>(grad));
        optimiser.step(0.5, net, grads)
    }

    /// Gain, matrix and frozen matrix after gradient `first` and after a gradient of 0.
    fn check(config: &TrainSection, start: f64, first: f64, expected: [[f64; 3]; 2]) {
        let mut optimiser = Optimiser::new(config);
        let mut net = net(start);
        for (grad, expected) in [first, 0.0].into_iter().zip(expected) {
            net = step(&mut optimiser, net, grad);
            for (value, expected) in values(&net).into_iter().zip(expected) {
                assert!((value - expected).abs() < 1e-12, "{value}, {expected}");
            }
        }
    }

    /// beta1 = 1/2, beta2 = 3/4, epsilon = 2, rate 1/2, decay 1/10, w = 4.
    /// Gradient 2: m = 1, v = 1, corrections 1/2 and 1/4: update 1/2 * 2 * 1/(1/(1/2) + 2) = 1/4.
    /// Gradient 0: m = 1/2, v = 3/4, corrections 3/4 and 7/16: update 1/2 * 4/3 * 1/2 / (sqrt(12/7) + 2)
    /// = 0.1007260127...
    /// A matrix is multiplied by 1 - 1/2 * 1/10 = 0.95 before: 3.8 - 0.25, then 0.95 * 3.55 - 0.1007...
    #[test]
    fn adamw_by_hand() {
        let config = TrainSection {
            adam_beta1: 0.5,
            adam_beta2: 0.75,
            adam_epsilon: 2.0,
            weight_decay: 0.1,
            ..TrainSection::default()
        };
        let second = [3.649_273_987_289_827, 3.271_773_987_289_827, 4.0];
        check(&config, 4.0, 2.0, [[3.75, 3.55, 4.0], second]);
    }

    /// Momentum 1/2, rate 1/2, decay 1/10, w = 10. Gain: buffer 4, then 2. Matrix: gradient
    /// 4 + 1 = 5, buffer 5, w = 7.5; gradient 0.75, buffer 3.25, w = 7.5 - 1.625.
    /// Without momentum: 10 - 2 and no more; 10 - 2.5, then 7.5 * (1 - 0.05).
    #[test]
    fn sgd_by_hand() {
        let mut config = TrainSection {
            optim: Optim::Sgd,
            momentum: 0.5,
            weight_decay: 0.1,
            ..TrainSection::default()
        };
        let expected = [[8.0, 7.5, 10.0], [7.0, 5.875, 10.0]];
        check(&config, 10.0, 4.0, expected);
        config.momentum = 0.0;
        let expected = [[8.0, 7.5, 10.0], [8.0, 7.125, 10.0]];
        check(&config, 10.0, 4.0, expected);
    }

    /// alpha = 3/4, momentum 1/2, rate 1/2, decay 1/10, epsilon 1e-8, w = 10.
    /// Gain: v = 4, update u = 4/(2 + 1e-8) = 1.99999999, w = 10 - u/2; then update 0, buffer u/2.
    /// Matrix: gradient 4 + 1 = 5, v = 6.25, u = 5/(2.5 + 1e-8) = 1.999999992, w = 9.000000004; gradient
    /// 0.9000000004, v = 4.6875 + 0.9000000004^2/4, update 0.4069940667..., buffer 0.999999996 + 0.4069...
    #[test]
    fn rmsprop_by_hand() {
        let mut config = TrainSection {
            optim: Optim::RmsProp,
            rmsprop_alpha: 0.75,
            momentum: 0.5,
            weight_decay: 0.1,
            ..TrainSection::default()
        };
        let first = [9.000_000_005, 9.000_000_004, 10.0];
        let second = [8.500_000_007_5, 8.296_502_972_592_787, 10.0];
        check(&config, 10.0, 4.0, [first, second]);
        config.momentum = 0.0;
        let second = [9.000_000_005, 8.796_502_970_592_787, 10.0];
        check(&config, 10.0, 4.0, [first, second]);
    }

    /// An optimiser that was written after one step and read back goes on as the first would have.
    #[test]
    fn the_state_survives_a_record() {
        for (optim, momentum) in [
            (Optim::AdamW, 0.0),
            (Optim::Sgd, 0.9),
            (Optim::RmsProp, 0.0),
            (Optim::RmsProp, 0.9),
        ] {
            let config = TrainSection {
                optim,
                momentum,
                ..TrainSection::default()
            };
            let mut whole = Optimiser::new(&config);
            let after = step(&mut whole, net(1.0), 0.3);
            let record = whole.inner.into_bytes().unwrap();
            let mut read = Optimiser::new(&config);
            read.inner = read.inner.from_bytes(record).unwrap();
            let expected = values(&step(&mut whole, after.clone(), -0.7));
            assert_eq!(values(&step(&mut read, after.clone(), -0.7)), expected);
            let fresh = step(&mut Optimiser::new(&config), after, -0.7);
            assert_ne!(values(&fresh), expected, "the state counts");
        }
    }
}
