//! The global gradient norm.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use inpo_kernels::{scale, sum_of_squares};

/// Scales all gradients so that their GLOBAL norm is at most `max_norm`; returns the norm before.
/// A `max_norm` of 0 is no limit, as in Hugging Face's Trainer: the norm is only measured.
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
    let module = if max_norm > 0.0 && scale < 1.0 {
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
            let sum = sum_of_squares(grad);
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
            self.grads.register(param.id, scale(grad, self.scale));
        }
        param
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

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
        let mut measured = grads();
        let (_, norm) = clip_grad_norm(module.clone(), &mut measured, 0.0);
        assert!((norm - 5.0).abs() < 1e-6);
        assert_eq!(values(&measured), (vec![3.0, 0.0], vec![0.0, 4.0]));
    }
}
