//! The update of one tensor by each optimiser, with torch's arithmetic: scalars in f64, tensors in the
//! parameter's own precision.

use burn::optim::{LearningRate, Optimizer, RecordState, StateSink, StateSource};
use burn::tensor::{Device, Tensor};
use inpo_kernels::{AdamWStep, adamw};

/// RMSprop's epsilon: torch's default, which Hugging Face's Trainer does not change either.
const RMSPROP_EPSILON: f64 = 1e-8;

/// What an optimiser remembers of one parameter.
#[derive(Debug, Clone)]
pub(crate) struct Moments<const D: usize> {
    /// Steps taken.
    time: usize,
    /// Average or sum of past updates: AdamW's first moment, the momentum buffer.
    first: Option<Tensor<D>>,
    /// Average of past squared gradients.
    second: Option<Tensor<D>>,
}

impl<const D: usize> Moments<D> {
    /// The state before the first step; absent moments are zero.
    const START: Self = Self {
        time: 0,
        first: None,
        second: None,
    };

    fn moved_to(self, device: &Device) -> Self {
        Self {
            time: self.time,
            first: self.first.map(|tensor| tensor.to_device(device)),
            second: self.second.map(|tensor| tensor.to_device(device)),
        }
    }
}

// Burn's derive names crates that are not ours to name.
impl<const D: usize> RecordState for Moments<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        out.push_scalar(prefix, "time", self.time.into());
        for (name, tensor) in [("first", &self.first), ("second", &self.second)] {
            if let Some(tensor) = tensor {
                out.push_tensor(prefix, name, tensor.clone().into_data());
            }
        }
    }

    fn state_unflatten(prefix: &str, src: &mut StateSource, device: &Device) -> Option<Self> {
        let time = src.take_scalar(prefix, "time")?.try_into().ok()?;
        let mut tensor = |name| {
            let data = src.take_tensor(prefix, name)?;
            let dtype = data.dtype();
            Some(Tensor::from_data(data, (device, dtype)))
        };
        Some(Self {
            time,
            first: tensor("first"),
            second: tensor("second"),
        })
    }
}

/// `keep * past + add * new`, the past being zero before the first step.
fn blend<const D: usize>(
    past: Option<Tensor<D>>,
    keep: f64,
    new: Tensor<D>,
    add: f64,
) -> Tensor<D> {
    let new = if add == 1.0 { new } else { new.mul_scalar(add) };
    match past {
        Some(past) => past.mul_scalar(keep) + new,
        None => new,
    }
}

/// The decay of a parameter of `D` dimensions: none for gains and biases.
const fn decay_of<const D: usize>(decay: f64) -> f64 {
    if D >= 2 { decay } else { 0.0 }
}

/// Coupled decay: the gradient of `loss + decay/2 * |w|^2`.
fn with_decay<const D: usize>(grad: Tensor<D>, tensor: &Tensor<D>, decay: f64) -> Tensor<D> {
    match decay_of::<D>(decay) {
        0.0 => grad,
        decay => grad + tensor.clone().mul_scalar(decay),
    }
}

/// torch.optim.AdamW: [`adamw`] with the state `m` and `v`.
#[derive(Debug, Clone)]
pub(crate) struct AdamW {
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    pub(crate) epsilon: f64,
    pub(crate) decay: f64,
}

impl Optimizer for AdamW {
    type State<const D: usize> = Moments<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Moments<D>>,
    ) -> (Tensor<D>, Option<Moments<D>>) {
        let past = state.unwrap_or(Moments::START);
        let step = AdamWStep {
            rate: lr,
            beta1: self.beta1,
            beta2: self.beta2,
            epsilon: self.epsilon,
            decay: decay_of::<D>(self.decay),
            time: past.time + 1,
        };
        let moments = past.first.zip(past.second).map(|(m, v)| [m, v]);
        let (moved, [m, v]) = adamw(tensor, grad, moments, &step);
        let state = Moments {
            time: step.time,
            first: Some(m),
            second: Some(v),
        };
        (moved, Some(state))
    }

    fn to_device<const D: usize>(state: Moments<D>, device: &Device) -> Moments<D> {
        state.moved_to(device)
    }
}

/// torch.optim.SGD without dampening: `g += decay w`, `b = momentum b + g`, `w -= lr b`.
#[derive(Debug, Clone)]
pub(crate) struct Sgd {
    pub(crate) momentum: f64,
    pub(crate) decay: f64,
}

impl Optimizer for Sgd {
    type State<const D: usize> = Moments<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Moments<D>>,
    ) -> (Tensor<D>, Option<Moments<D>>) {
        let grad = with_decay(grad, &tensor, self.decay);
        if self.momentum == 0.0 {
            return (tensor - grad.mul_scalar(lr), None);
        }
        let past = state.unwrap_or(Moments::START);
        let buffer = blend(past.first, self.momentum, grad, 1.0);
        let moved = tensor - buffer.clone().mul_scalar(lr);
        let state = Moments {
            time: past.time + 1,
            first: Some(buffer),
            second: None,
        };
        (moved, Some(state))
    }

    fn to_device<const D: usize>(state: Moments<D>, device: &Device) -> Moments<D> {
        state.moved_to(device)
    }
}

/// torch.optim.RMSprop, not centred:
///
/// ```text
/// g += decay w        v = alpha v + (1 - alpha) g^2        u = g / (sqrt(v) + epsilon)
/// b = momentum b + u  w -= lr b
/// ```
#[derive(Debug, Clone)]
pub(crate) struct RmsProp {
    pub(crate) alpha: f64,
    pub(crate) momentum: f64,
    pub(crate) decay: f64,
}

impl Optimizer for RmsProp {
    type State<const D: usize> = Moments<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Moments<D>>,
    ) -> (Tensor<D>, Option<Moments<D>>) {
        let past = state.unwrap_or(Moments::START);
        let grad = with_decay(grad, &tensor, self.decay);
        let square = grad.clone().square();
        let v = blend(past.second, self.alpha, square, 1.0 - self.alpha);
        let update = grad / v.clone().sqrt().add_scalar(RMSPROP_EPSILON);
        let (update, first) = if self.momentum == 0.0 {
            (update, None)
        } else {
            let buffer = blend(past.first, self.momentum, update, 1.0);
            (buffer.clone(), Some(buffer))
        };
        let moved = tensor - update.mul_scalar(lr);
        let state = Moments {
            time: past.time + 1,
            first,
            second: Some(v),
        };
        (moved, Some(state))
    }

    fn to_device<const D: usize>(state: Moments<D>, device: &Device) -> Moments<D> {
        state.moved_to(device)
    }
}
