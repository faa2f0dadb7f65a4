use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::{Anchor, Label, LossError, PairKernel, PairLogps, PairOutput, Reduction};

/// Settings of the INPO loss (arXiv 2407.00617, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InpoLossConfig {
    /// INVERSE step size of mirror descent, in 1/nats. The paper's value for language models is
    /// 0.005.
    pub eta: f64,
    /// KL weight of the game, `0 <= tau <= eta`; 0 is the paper's ablation without a reference. The
    /// paper uses `eta / 3`.
    pub tau: f64,
}

impl InpoLossConfig {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// `eta` not positive, `tau` negative or above `eta`.
    pub fn init(self) -> Result<InpoLoss, LossError> {
        let kernel = PairKernel::new(self.eta)?;
        let Self { eta, tau } = self;
        if !(tau >= 0.0 && tau.is_finite()) {
            return Err(LossError::Tau(tau));
        }
        if tau > eta {
            return Err(LossError::TauAboveEta { tau, eta });
        }
        Ok(InpoLoss {
            config: self,
            kernel,
        })
    }
}

/// The loss of one INPO iteration: `mean((h_t - 1/(2 eta))^2)` with
///
/// ```text
/// h_t = D log pi - (tau/eta) D log ref - (1 - tau/eta) D log pi_t,    D f = f(chosen) - f(rejected)
/// ```
///
/// # Shapes
///
/// All inputs are `[pairs]`; the reduced loss is `[1]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InpoLoss {
    config: InpoLossConfig,
    kernel: PairKernel,
}

impl InpoLoss {
    /// Its settings.
    pub fn config(&self) -> InpoLossConfig {
        self.config
    }

    /// The anchors' weights: reference, previous.
    pub fn weights(&self) -> [f64; 2] {
        let reference = self.config.tau / self.config.eta;
        [reference, 1.0 - reference]
    }

    /// The target of a hard label, `1/(2 eta)`, in nats.
    pub fn target(&self) -> f64 {
        0.5 / self.config.eta
    }

    /// `h_t`, target and loss of each pair, differentiable in `policy`.
    ///
    /// # Errors
    ///
    /// Inputs of different lengths.
    pub fn evaluate(
        &self,
        policy: &PairLogps,
        reference: &PairLogps,
        previous: &PairLogps,
        label: &Label,
    ) -> Result<PairOutput, LossError> {
        let [w_ref, w_prev] = self.weights();
        let anchors = [
            Anchor {
                weight: w_ref,
                logps: reference,
            },
            Anchor {
                weight: w_prev,
                logps: previous,
            },
        ];
        self.kernel.evaluate(policy, &anchors, label)
    }

    /// The loss of the batch, `[1]`.
    ///
    /// # Errors
    ///
    /// Inputs of different lengths.
    pub fn forward(
        &self,
        policy: &PairLogps,
        reference: &PairLogps,
        previous: &PairLogps,
        label: &Label,
        reduction: Reduction,
    ) -> Result<Tensor<1>, LossError> {
        let output = self.evaluate(policy, reference, previous, label)?;
        Ok(output.reduce(reduction))
    }

    /// The loss of each pair, `[pairs]`.
    ///
    /// # Errors
    ///
    /// Inputs of different lengths.
    pub fn forward_no_reduction(
        &self,
        policy: &PairLogps,
        reference: &PairLogps,
        previous: &PairLogps,
        label: &Label,
    ) -> Result<Tensor<1>, LossError> {
        Ok(self.evaluate(policy, reference, previous, label)?.loss())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LogpSum;
    use burn::tensor::{DType, Device, TensorData};

    fn sum(values: &[f64], device: &Device) -> LogpSum {
        let data = TensorData::new(values.to_vec(), [values.len()]);
        LogpSum::new(Tensor::from_data(data, (device, DType::F64)))
    }

    fn pair(chosen: f64, rejected: f64, device: &Device) -> PairLogps {
        PairLogps {
            chosen: sum(&[chosen], device),
            rejected: sum(&[rejected], device),
        }
    }

    fn scalar(tensor: Tensor<1>) -> f64 {
        tensor.into_scalar::<f64>()
    }

    /// Worked by hand from the definition. V1: h = 10.75 - 3/3 - (2/3) 9 = 3.75, target 100,
    /// (3.75 - 100)^2 = 9264.0625, gradient 2 (3.75 - 100) = -192.5. V2: h = 2 - 0.5/3 - (2/3) 1.25 = 1.
    /// V3 (tau = 0): 2 - 1.25. V4 (tau = eta, which is IPO): 2 - 0.5. V5: the first step.
    #[test]
    fn scalar_vectors() {
        let third = 1.0 / 3.0;
        let v2 = [-10.0, -12.0, -11.0, -11.5, -10.5, -11.75];
        let v5 = [-50.0, -60.0, -50.0, -60.0, -50.0, -60.0];
        let v1 = [-120.5, -131.25, -125.0, -128.0, -121.0, -130.0];
        let cases = [
            (v1, 0.005, 0.005 * third, 3.75, 100.0, 9264.0625, -192.5),
            (v2, 0.1, 0.1 * third, 1.0, 5.0, 16.0, -8.0),
            (v2, 0.1, 0.0, 0.75, 5.0, 18.0625, -8.5),
            (v2, 0.1, 0.1, 1.5, 5.0, 12.25, -7.0),
            (
                v5,
                0.0075,
                0.0025,
                0.0,
                200.0 / 3.0,
                40000.0 / 9.0,
                -400.0 / 3.0,
            ),
        ];
        let device = Device::flex().autodiff();
        for (logps, eta, tau, h, target, loss, gradient) in cases {
            // The same constant added to both responses of one policy changes nothing.
            for shift in [0.0, 17.0] {
                let chosen = sum(&[logps[0] + shift], &device);
                let chosen = LogpSum::new(chosen.tensor().clone().require_grad());
                let rejected = sum(&[logps[1] + shift], &device);
                let rejected = LogpSum::new(rejected.tensor().clone().require_grad());
                let policy = PairLogps { chosen, rejected };
                let reference = pair(logps[2] - shift, logps[3] - shift, &device);
                let previous = pair(logps[4], logps[5], &device);
                let inpo = InpoLossConfig { eta, tau }.init().unwrap();
                let output = inpo.evaluate(&policy, &reference, &previous, &Label::Hard);
                let output = output.unwrap();
                let close = |got: f64, expected: f64| {
                    assert!(
                        (got - expected).abs() < 1e-11 * expected.abs().max(1.0),
                        "{got} {expected}"
                    );
                };
                close(scalar(output.h.clone()), h);
                close(scalar(output.target.clone()), target);
                close(inpo.target(), target);
                let value = output.reduce(Reduction::Mean);
                close(scalar(value.clone()), loss);
                close(scalar(output.coefficient(Reduction::Mean)), gradient);
                let grads = value.backward();
                close(
                    scalar(policy.chosen.tensor().grad(&grads).unwrap()),
                    gradient,
                );
                close(
                    scalar(policy.rejected.tensor().grad(&grads).unwrap()),
                    -gradient,
                );
            }
        }
    }

    /// Over a batch: mean of (1-5)^2 = 16 and (0-5)^2 = 25 is 20.5; coefficients 2 (h - 5)/2.
    #[test]
    fn reductions() {
        let device = Device::flex();
        let policy = PairLogps {
            chosen: sum(&[-10.0, -3.0], &device),
            rejected: sum(&[-12.0, -3.0], &device),
        };
        let reference = PairLogps {
            chosen: sum(&[-11.0, -2.0], &device),
            rejected: sum(&[-12.0, -2.0], &device),
        };
        let inpo = InpoLossConfig { eta: 0.1, tau: 0.1 }.init().unwrap();
        let output = inpo
            .evaluate(&policy, &reference, &policy, &Label::Hard)
            .unwrap();
        assert_eq!(scalar(output.reduce(Reduction::Mean)), 20.5);
        assert_eq!(scalar(output.reduce(Reduction::Sum)), 41.0);
        let each = output.coefficient(Reduction::Mean).try_into_vec_as::<f64>();
        assert_eq!(each.unwrap(), [-4.0, -5.0]);
    }

    /// A soft label's target is (p - 1/2)/eta: 2.5 for p = 3/4 at eta = 0.1, 0 for a tie, and the
    /// hard label's for p = 1.
    #[test]
    fn soft_labels() {
        let device = Device::flex();
        let three = PairLogps {
            chosen: sum(&[0.0; 3], &device),
            rejected: sum(&[0.0; 3], &device),
        };
        let p = sum(&[0.75, 0.5, 1.0], &device).tensor().clone();
        let inpo = InpoLossConfig { eta: 0.1, tau: 0.0 }.init().unwrap();
        let output = inpo
            .evaluate(&three, &three, &three, &Label::Soft(p))
            .unwrap();
        let target = output.target.try_into_vec_as::<f64>().unwrap();
        for (got, expected) in target.iter().zip([2.5, 0.0, 5.0]) {
            assert!((got - expected).abs() < 1e-12);
        }
    }

    #[test]
    fn settings_are_refused_in_sentences() {
        let error = |eta, tau| InpoLossConfig { eta, tau }.init().unwrap_err().to_string();
        assert_eq!(
            error(0.1, 0.2),
            "tau = 0.2 exceeds eta = 0.1: the previous policy would get the negative weight -1; \
             choose 0 <= tau <= eta"
        );
        assert!(error(0.0, 0.0).starts_with("eta is 0;"));
        assert!(error(-1.0, 0.0).starts_with("eta is -1;"));
        assert!(error(f64::NAN, 0.0).starts_with("eta is NaN;"));
        assert!(error(0.1, -0.1).starts_with("tau is -0.1;"));
    }

    #[test]
    fn inputs_are_refused_in_sentences() {
        let device = Device::flex();
        let one = pair(0.0, 0.0, &device);
        let two = PairLogps {
            chosen: sum(&[0.0; 2], &device),
            rejected: sum(&[0.0; 2], &device),
        };
        let inpo = InpoLossConfig { eta: 0.1, tau: 0.1 }.init().unwrap();
        let error = inpo.evaluate(&one, &two, &one, &Label::Hard).unwrap_err();
        assert_eq!(error.to_string(), "anchor 0 has 2 pairs, the policy has 1");
        let half = [Anchor {
            weight: 0.5,
            logps: &one,
        }];
        let kernel = PairKernel::new(0.1).unwrap();
        let error = kernel.evaluate(&one, &half, &Label::Hard).unwrap_err();
        assert_eq!(error, LossError::AnchorWeights(0.5));
    }

    #[test]
    fn sums_ignore_padding() {
        let device = Device::flex();
        let tokens = Tensor::<2>::from_floats([[-1.0, -2.0, -100.0], [-3.0, -4.0, -5.0]], &device);
        let mask = Tensor::<2>::from_floats([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]], &device);
        let sums = LogpSum::from_tokens(tokens, mask);
        let sums = sums.tensor().clone().try_into_vec_as::<f32>().unwrap();
        assert_eq!(sums, [-3.0, -12.0]);
    }
}
