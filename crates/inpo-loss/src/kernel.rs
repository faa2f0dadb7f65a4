use burn::tensor::Tensor;

use crate::{LossError, PairLogps};

/// A fixed policy that pulls on the trained one: `w_k log q_k` in `r(y)`.
#[derive(Debug, Clone, Copy)]
pub struct Anchor<'a> {
    /// `w_k`. The weights of all anchors add up to 1.
    pub weight: f64,
    /// `log q_k` of both responses of each pair.
    pub logps: &'a PairLogps,
}

/// What is known of the outcome of each pair.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "one label exists per batch; its tensor is a handle"
)]
pub enum Label {
    /// `chosen` won one draw of the oracle: target `1/(2 eta)` (equation 8).
    Hard,
    /// `P(chosen beats rejected)`, `[pairs]`: target `(p - 1/2)/eta`; a tie is 1/2. It is the hard
    /// label averaged over the draw, less `p (1 - p)/eta^2`.
    Soft(Tensor<1>),
}

/// How the losses of a batch become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reduction {
    /// Mean over the pairs.
    Mean,
    /// Sum over the pairs.
    Sum,
}

/// The general squared kernel over pairs: `(h - target)^2` with any weighted anchors.
///
/// At its minimum over all policies, with i.i.d. pairs from a sampler `mu`,
/// `pi(y)` is proportional to `prod_k q_k(y)^(w_k) exp(P(y beats mu)/eta)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairKernel {
    /// INVERSE step size, positive.
    eta: f64,
}

/// `h`, the target and the loss of each pair, each `[pairs]`.
#[derive(Debug, Clone)]
pub struct PairOutput {
    /// `r(chosen) - r(rejected)`, in nats.
    pub h: Tensor<1>,
    /// What `h` is pulled to, in nats.
    pub target: Tensor<1>,
}

impl PairOutput {
    /// `(h - target)^2` of each pair, `[pairs]`.
    pub fn loss(&self) -> Tensor<1> {
        (self.h.clone() - self.target.clone()).square()
    }

    /// The loss of the batch, `[1]`.
    pub fn reduce(&self, reduction: Reduction) -> Tensor<1> {
        match reduction {
            Reduction::Mean => self.loss().mean(),
            Reduction::Sum => self.loss().sum(),
        }
    }

    /// The gradient of the reduced loss in `log pi(chosen)` of each pair, `[pairs]`, in closed form:
    /// `2 (h - target)`, over the number of pairs for a mean. In `log pi(rejected)` it is the
    /// negative. This is all that backpropagation through the policy needs.
    pub fn coefficient(&self, reduction: Reduction) -> Tensor<1> {
        let pairs = self.h.dims()[0].max(1) as f64;
        let scale = match reduction {
            Reduction::Mean => 2.0 / pairs,
            Reduction::Sum => 2.0,
        };
        (self.h.clone() - self.target.clone()).mul_scalar(scale)
    }
}

impl PairKernel {
    /// A kernel with inverse step size `eta`.
    ///
    /// # Errors
    ///
    /// `eta` that is not a positive finite number.
    pub fn new(eta: f64) -> Result<Self, LossError> {
        if eta > 0.0 && eta.is_finite() {
            Ok(Self { eta })
        } else {
            Err(LossError::Eta(eta))
        }
    }

    /// `h` and the target of each pair, differentiable in `policy`.
    ///
    /// # Errors
    ///
    /// Weights that do not add up to 1 within 1e-9, inputs of different lengths.
    pub fn evaluate(
        &self,
        policy: &PairLogps,
        anchors: &[Anchor<'_>],
        label: &Label,
    ) -> Result<PairOutput, LossError> {
        let weight: f64 = anchors.iter().map(|anchor| anchor.weight).sum();
        if (weight - 1.0).abs() > 1e-9 {
            return Err(LossError::AnchorWeights(weight));
        }
        let expected = policy.pairs();
        let same = |what: &str, found: usize| {
            let what = what.to_owned();
            (found == expected)
                .then_some(())
                .ok_or(LossError::PairCount {
                    what,
                    found,
                    expected,
                })
        };
        same(
            "the policy's rejected list",
            policy.rejected.tensor().dims()[0],
        )?;
        let mut h = policy.difference();
        for (k, anchor) in anchors.iter().enumerate() {
            same(&format!("anchor {k}"), anchor.logps.pairs())?;
            same(
                &format!("anchor {k}'s rejected list"),
                anchor.logps.rejected.tensor().dims()[0],
            )?;
            h = h - anchor.logps.difference().mul_scalar(anchor.weight);
        }
        let target = match label {
            Label::Hard => h.full_like(0.5 / self.eta),
            Label::Soft(p) => {
                same("the list of soft labels", p.dims()[0])?;
                p.clone().sub_scalar(0.5).div_scalar(self.eta)
            }
        };
        Ok(PairOutput { h, target })
    }
}
