//! Learning rate and gradient clipping.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use crate::config::{Schedule, TrainSection};

/// The learning rate of `step` (from 0) of `total`, a pure function of both.
///
/// It rises linearly over the first `ceil(warmup_ratio * total)` steps and then follows the schedule
/// down to 0 at `total` (as Hugging Face's schedules do, but for a single step, which would have rate 0
/// there and has the peak here).
pub fn learning_rate(config: &TrainSection, step: usize, total: usize) -> f64 {
    let warmup = (config.warmup_ratio * total as f64).ceil() as usize;
    let warmup = warmup.min(total.saturating_sub(1));
    let peak = config.learning_rate;
    if step < warmup {
        return peak * step as f64 / warmup as f64;
    }
    let progress = (step - warmup) as f64 / (total - warmup).max(1) as f64;
    match config.lr_scheduler_type {
        Schedule::Cosine => peak * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
        Schedule::Linear => peak * (1.0 - progress),
        Schedule::Constant => peak,
    }
}

/// Scales all gradients so that their GLOBAL norm is at most `max_norm`; returns the norm before.
/// Burn's own clipping works on each tensor by itself, which is another thing.
pub fn clip_grad_norm<M: Module>(
    module: M,
    grads: &mut GradientsParams,
    max_norm: f64,
) -> (M, f64) {
    let mut squares = SumOfSquares { grads, total: None };
    module.visit(&mut squares);
    let total = squares.total.map_or(0.0, |sum| sum.into_scalar::<f64>());
    let norm = total.sqrt();
    let scale = max_norm / (norm + 1e-6);
    let module = if scale < 1.0 {
        module.map(&mut Scale { grads, scale })
    } else {
        module
    };
    (module, norm)
}

struct SumOfSquares<'a> {
    grads: &'a GradientsParams,
    total: Option<Tensor<1>>,
}

impl ModuleVisitor for SumOfSquares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.grads.get::<D>(param.id) {
            let sum = grad.square().sum();
            self.total = Some(match self.total.take() {
                Some(total) => total + sum,
                None => sum,
            });
        }
    }
}

struct Scale<'a> {
    grads: &'a mut GradientsParams,
    scale: f64,
}

impl ModuleMapper for Scale<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if let Some(grad) = self.grads.remove::<D>(param.id) {
            self.grads.register(param.id, grad.mul_scalar(self.scale));
        }
        param
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    /// Ten steps, warm-up of ceil(0.15 * 10) = 2: 0, 1/2 peak, then half a cosine over eight steps:
    /// peak at 2, half the peak at 6, near 0 at 9: (1 + cos(7 pi / 8))/2 = 0.0380602...
    #[test]
    fn schedules() {
        let config = |lr_scheduler_type| TrainSection {
            learning_rate: 2.0,
            warmup_ratio: 0.15,
            lr_scheduler_type,
            ..TrainSection::default()
        };
        let at = |schedule, step| learning_rate(&config(schedule), step, 10);
        for schedule in [Schedule::Cosine, Schedule::Linear, Schedule::Constant] {
            assert_eq!(at(schedule, 0), 0.0);
            assert_eq!(at(schedule, 1), 1.0);
            assert_eq!(at(schedule, 2), 2.0);
        }
        assert!((at(Schedule::Cosine, 6) - 1.0).abs() < 1e-12);
        assert!((at(Schedule::Cosine, 9) - 2.0 * 0.038_060_233_744_356_62).abs() < 1e-12);
        assert_eq!(at(Schedule::Linear, 6), 1.0);
        assert_eq!(at(Schedule::Constant, 9), 2.0);
        let default = TrainSection::default();
        assert_eq!(learning_rate(&default, 0, 1), default.learning_rate);
    }

    #[derive(Module, Debug)]
    struct Two {
        a: Param<Tensor<1>>,
        b: Param<Tensor<2>>,
    }

    /// Gradients (3, 0) and (0, 4): global norm 5, whatever the norms of the parts.
    #[test]
    fn the_norm_is_global() {
        let device = Device::flex();
        let module = Two {
            a: Param::from_tensor(Tensor::zeros([2], &device)),
            b: Param::from_tensor(Tensor::zeros([1, 2], &device)),
        };
        let grads = || {
            let mut grads = GradientsParams::new();
            grads.register(module.a.id, Tensor::<1>::from_floats([3.0, 0.0], &device));
            grads.register(module.b.id, Tensor::<2>::from_floats([[0.0, 4.0]], &device));
            grads
        };
        let values = |grads: &GradientsParams| {
            let a = grads
                .get::<1>(module.a.id)
                .unwrap()
                .try_into_vec_as::<f32>();
            let b = grads
                .get::<2>(module.b.id)
                .unwrap()
                .try_into_vec_as::<f32>();
            (a.unwrap(), b.unwrap())
        };
        let mut clipped = grads();
        let (_, norm) = clip_grad_norm(module.clone(), &mut clipped, 1.0);
        assert!((norm - 5.0).abs() < 1e-6);
        let (a, b) = values(&clipped);
        assert!((a[0] - 0.6).abs() < 1e-6 && (b[1] - 0.8).abs() < 1e-6);
        let mut kept = grads();
        clip_grad_norm(module.clone(), &mut kept, 10.0);
        assert_eq!(values(&kept), (vec![3.0, 0.0], vec![0.0, 4.0]));
    }
}
