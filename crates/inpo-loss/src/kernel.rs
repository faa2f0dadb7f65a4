use burn::tensor::Tensor;
use burn::tensor::activation::{log_sigmoid, sigmoid};

use crate::{Label, LossError};

/// How the ratios `r(y) = log pi(y) - sum_k w_k log q_k(y)` of a pair become a loss. With
/// `h = r(chosen) - r(rejected)`:
///
/// | | hard label | soft label p | scores s |
/// |---|---|---|---|
/// | `Squared` | `(h - 1/(2 eta))^2` | `(h - (p - 1/2)/eta)^2` | `(h - (s_w - s_l)/eta)^2` |
/// | `SquaredEach` | as soft with p = 1 | `(r_w - (p - 1/2)/eta)^2 + (r_l + (p - 1/2)/eta)^2` | `(r_w - (s_w - 1/2)/eta)^2 + (r_l - (s_l - 1/2)/eta)^2` |
/// | `Logistic` | as soft with p = 1 | `-q log sigmoid(b h) - (1 - q) log sigmoid(-b h)`, `q = p (1 - e) + (1 - p) e` | p = sigmoid(s_w - s_l) |
/// | `Hinge` | as soft with p = 1 | `p max(0, 1 - b h) + (1 - p) max(0, 1 + b h)` | p = sigmoid(s_w - s_l) |
///
/// `b` is `scale`, `e` is `label_smoothing`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kernel {
    /// Squared distance of the pair's `h` to a target.
    Squared {
        /// INVERSE step size.
        eta: f64,
    },
    /// Squared distance of each response's `r` to a target of its own.
    SquaredEach {
        /// INVERSE step size.
        eta: f64,
    },
    /// Cross-entropy of the pair's `sigmoid(scale h)`.
    Logistic {
        /// Multiplies `h`; the larger, the smaller the step.
        scale: f64,
        /// Share of labels taken to be flipped, from 0 to below 1/2.
        label_smoothing: f64,
    },
    /// Linear up to a margin of `1/scale`, nothing beyond.
    Hinge {
        /// Multiplies `h`.
        scale: f64,
    },
}

impl Kernel {
    /// The inverse step size: `eta` of the squares, `scale` of the others.
    pub fn inverse_step(&self) -> f64 {
        match *self {
            Self::Squared { eta } | Self::SquaredEach { eta } => eta,
            Self::Logistic { scale, .. } | Self::Hinge { scale } => scale,
        }
    }

    /// Checks the settings; `name` is what the inverse step size is called there.
    pub(crate) fn validate(&self, name: &'static str) -> Result<(), LossError> {
        let value = self.inverse_step();
        if !(value > 0.0 && value.is_finite()) {
            return Err(LossError::InverseStep {
                setting: name,
                value,
            });
        }
        match *self {
            Self::Logistic {
                label_smoothing, ..
            } if !(0.0..0.5).contains(&label_smoothing) => {
                Err(LossError::LabelSmoothing(label_smoothing))
            }
            _ => Ok(()),
        }
    }

    /// The loss of a hard label where every `r` is 0, as before the first step of a policy that is its
    /// own anchors.
    pub fn loss_at_zero(&self) -> f64 {
        match *self {
            Self::Squared { eta } => (0.5 / eta).powi(2),
            Self::SquaredEach { eta } => 2.0 * (0.5 / eta).powi(2),
            Self::Logistic { .. } => std::f64::consts::LN_2,
            Self::Hinge { .. } => 1.0,
        }
    }

    /// What `h` is pulled to by a hard label, in nats, where that is finite.
    pub fn hard_target(&self) -> Option<f64> {
        match *self {
            Self::Squared { eta } => Some(0.5 / eta),
            Self::SquaredEach { eta } => Some(1.0 / eta),
            Self::Logistic { .. } | Self::Hinge { .. } => None,
        }
    }

    /// What the label asks of ratios like `like`, `[pairs]`.
    pub(crate) fn goal(self, label: &Label, like: &Tensor<1>) -> Goal {
        let probability = || match label {
            Label::Hard => like.ones_like(),
            Label::Soft(p) => p.clone(),
            Label::Scores { chosen, rejected } => sigmoid(chosen.clone() - rejected.clone()),
        };
        let centred = |value: &Tensor<1>, eta: f64| value.clone().sub_scalar(0.5).div_scalar(eta);
        match self {
            Self::Squared { eta } => Goal::Pair(match label {
                Label::Hard => like.full_like(0.5 / eta),
                Label::Soft(p) => centred(p, eta),
                Label::Scores { chosen, rejected } => {
                    (chosen.clone() - rejected.clone()).div_scalar(eta)
                }
            }),
            Self::SquaredEach { eta } => Goal::Each(match label {
                Label::Scores { chosen, rejected } => [chosen, rejected].map(|s| centred(s, eta)),
                Label::Hard | Label::Soft(_) => {
                    let target = centred(&probability(), eta);
                    [target.clone(), target.neg()]
                }
            }),
            Self::Logistic {
                scale,
                label_smoothing: e,
            } => Goal::Logistic {
                scale,
                label: probability().mul_scalar(1.0 - 2.0 * e).add_scalar(e),
            },
            Self::Hinge { scale } => Goal::Hinge {
                scale,
                label: probability(),
            },
        }
    }
}

/// What a batch's labels ask, each tensor `[pairs]`.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "one goal exists per batch; its tensors are handles"
)]
pub(crate) enum Goal {
    Pair(Tensor<1>),
    Each([Tensor<1>; 2]),
    Logistic { scale: f64, label: Tensor<1> },
    Hinge { scale: f64, label: Tensor<1> },
}

/// How the losses of a batch become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// Mean over the pairs.
    Mean,
    /// Sum over the pairs.
    Sum,
}

/// A loss's view of a batch: ratios, losses and gradient of each pair, each `[pairs]`.
#[derive(Debug, Clone)]
pub struct LossOutput {
    /// `r(chosen)`, in nats.
    pub chosen: Tensor<1>,
    /// `r(rejected)`, in nats.
    pub rejected: Tensor<1>,
    goal: Goal,
}

impl LossOutput {
    pub(crate) fn new(chosen: Tensor<1>, rejected: Tensor<1>, goal: Goal) -> Self {
        Self {
            chosen,
            rejected,
            goal,
        }
    }

    /// `h = r(chosen) - r(rejected)`, in nats.
    pub fn h(&self) -> Tensor<1> {
        self.chosen.clone() - self.rejected.clone()
    }

    /// What `h` is pulled to, in nats; `None` for the logistic and the hinge loss, which may pull without
    /// end.
    pub fn target(&self) -> Option<Tensor<1>> {
        match &self.goal {
            Goal::Pair(target) => Some(target.clone()),
            Goal::Each([chosen, rejected]) => Some(chosen.clone() - rejected.clone()),
            Goal::Logistic { .. } | Goal::Hinge { .. } => None,
        }
    }

    /// The loss of each pair.
    pub fn loss(&self) -> Tensor<1> {
        match &self.goal {
            Goal::Pair(target) => (self.h() - target.clone()).square(),
            Goal::Each([chosen, rejected]) => {
                (self.chosen.clone() - chosen.clone()).square()
                    + (self.rejected.clone() - rejected.clone()).square()
            }
            Goal::Logistic { scale, label } => {
                let logit = self.h().mul_scalar(*scale);
                let won = label.clone() * log_sigmoid(logit.clone());
                let lost = opposite(label) * log_sigmoid(logit.neg());
                (won + lost).neg()
            }
            Goal::Hinge { scale, label } => {
                let logit = self.h().mul_scalar(*scale);
                let won = label.clone() * logit.clone().neg().add_scalar(1.0).clamp_min(0.0);
                let lost = opposite(label) * logit.add_scalar(1.0).clamp_min(0.0);
                won + lost
            }
        }
    }

    /// The loss of the batch, `[1]`.
    pub fn reduce(&self, reduction: Reduction) -> Tensor<1> {
        match reduction {
            Reduction::Mean => self.loss().mean(),
            Reduction::Sum => self.loss().sum(),
        }
    }

    /// The gradient of the reduced loss in the policy's log-prob of the chosen and of the rejected
    /// response, in closed form:
    ///
    /// * pair squared `2 (h - target)`, logistic `b (sigmoid(b h) - q)`, hinge `b` times the slope: of the
    ///   chosen, and the negative of it of the rejected;
    /// * each squared `2 (r - target)` of each response.
    ///
    /// A mean divides by the number of pairs. This is all that backpropagation through the policy needs.
    pub fn gradient(&self, reduction: Reduction) -> [Tensor<1>; 2] {
        let scale = match reduction {
            Reduction::Mean => 1.0 / self.chosen.dims()[0].max(1) as f64,
            Reduction::Sum => 1.0,
        };
        let pair = |slope: Tensor<1>| [slope.clone(), slope.neg()];
        let slopes = match &self.goal {
            Goal::Pair(target) => pair((self.h() - target.clone()).mul_scalar(2.0)),
            Goal::Each([chosen, rejected]) => [
                (self.chosen.clone() - chosen.clone()).mul_scalar(2.0),
                (self.rejected.clone() - rejected.clone()).mul_scalar(2.0),
            ],
            Goal::Logistic { scale, label } => {
                let won = sigmoid(self.h().mul_scalar(*scale));
                pair((won - label.clone()).mul_scalar(*scale))
            }
            Goal::Hinge { scale, label } => {
                let logit = self.h().mul_scalar(*scale);
                let below = logit.clone().lower_elem(1.0);
                let won = label.clone().neg().mask_fill(below.bool_not(), 0.0);
                let above = logit.greater_elem(-1.0);
                let lost = opposite(label).mask_fill(above.bool_not(), 0.0);
                pair((won + lost).mul_scalar(*scale))
            }
        };
        slopes.map(|slope| slope.mul_scalar(scale))
    }
}

/// `1 - label`.
fn opposite(label: &Tensor<1>) -> Tensor<1> {
    label.clone().neg().add_scalar(1.0)
}
