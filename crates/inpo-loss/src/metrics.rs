//! The metrics of a batch, with the names users know from TRL.

/// What one pair contributed, on the host, in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairFigures {
    /// log pi of chosen and rejected, sums.
    pub logps: [f64; 2],
    /// log pi_ref of chosen and rejected, sums.
    pub reference: [f64; 2],
    /// log pi_t of chosen and rejected, sums.
    pub previous: [f64; 2],
    /// `h`.
    pub h: f64,
    /// What `h` is pulled to; `None` where the loss pulls without end.
    pub target: Option<f64>,
    /// The loss, addends included.
    pub loss: f64,
    /// Response tokens of chosen and rejected.
    pub tokens: [usize; 2],
}

/// Means over the pairs of a batch (or of a whole optimiser step: pairs count once each, however they
/// were grouped).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchMetrics {
    /// `loss`: the mean loss.
    pub loss: f64,
    /// `logps/chosen`, `logps/rejected`: log-prob sums.
    pub logps: [f64; 2],
    /// `logps_mean/chosen`, `logps_mean/rejected`: log-probs per token, averaged over responses.
    pub logps_mean: [f64; 2],
    /// `rewards/chosen`, `rewards/rejected`: `beta (log pi - log pi_ref)`.
    pub rewards: [f64; 2],
    /// `rewards/margins`: the first less the second.
    pub rewards_margins: f64,
    /// `rewards/accuracies`: share of pairs whose chosen reward is the larger.
    pub rewards_accuracies: f64,
    /// `inpo/h_mean`.
    pub h_mean: f64,
    /// `inpo/delta_pi`: mean of log pi(chosen) - log pi(rejected).
    pub delta_pi: f64,
    /// `inpo/delta_ref`: the same under pi_ref.
    pub delta_ref: f64,
    /// `inpo/delta_prev`: the same under pi_t.
    pub delta_prev: f64,
    /// `objective/kl`: mean of log pi - log pi_ref over both responses, an estimate of the KL to pi_ref while pi is near to
    /// the policy that sampled them.
    pub kl: f64,
    /// `objective/entropy`: mean of -log pi over both responses, in the same sense.
    pub entropy: f64,
    /// What compares `h` with its target, for losses that have one.
    pub regression: Option<RegressionMetrics>,
    /// `inpo/policy_drift_max`: largest change of a log-prob sum since pi_t, in absolute value.
    pub policy_drift_max: f64,
}

/// The metrics of `h` as a regression on its target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RegressionMetrics {
    /// `inpo/target`: mean target.
    pub target: f64,
    /// `inpo/residual_mean`: mean of h - target.
    pub residual_mean: f64,
    /// `inpo/residual_rms`: root of the mean square of h - target.
    pub residual_rms: f64,
    /// `inpo/frac_above_target`: share of pairs with h above its target.
    pub frac_above_target: f64,
}

impl BatchMetrics {
    /// The metrics of `pairs`; `beta` scales the rewards
    /// ([`PairLoss::reward_scale`](crate::PairLoss::reward_scale)). Means are NaN without a pair.
    pub fn new(pairs: &[PairFigures], beta: f64) -> Self {
        let mean = |of: &dyn Fn(&PairFigures) -> f64| {
            pairs.iter().map(of).sum::<f64>() / pairs.len() as f64
        };
        let sides = |of: &dyn Fn(&PairFigures, usize) -> f64| [0, 1].map(|k| mean(&|f| of(f, k)));
        let reward = |f: &PairFigures, k: usize| beta * (f.logps[k] - f.reference[k]);
        let difference = |pair: [f64; 2]| pair[0] - pair[1];
        let of_both = |pair: [f64; 2]| (pair[0] + pair[1]) / 2.0;
        let drifts = pairs
            .iter()
            .flat_map(|f| [0, 1].map(|k| (f.logps[k] - f.previous[k]).abs()));
        let targets: Option<Vec<f64>> = pairs.iter().map(|f| f.target).collect();
        let regression = targets.map(|_| {
            let target = |f: &PairFigures| f.target.unwrap_or(f64::NAN);
            let residual = |f: &PairFigures| f.h - target(f);
            RegressionMetrics {
                target: mean(&target),
                residual_mean: mean(&residual),
                residual_rms: mean(&|f| residual(f).powi(2)).sqrt(),
                frac_above_target: mean(&|f| f64::from(residual(f) > 0.0)),
            }
        });
        Self {
            loss: mean(&|f| f.loss),
            logps: sides(&|f, k| f.logps[k]),
            logps_mean: sides(&|f, k| f.logps[k] / f.tokens[k].max(1) as f64),
            rewards: sides(&reward),
            rewards_margins: mean(&|f| reward(f, 0) - reward(f, 1)),
            rewards_accuracies: mean(&|f| f64::from(reward(f, 0) > reward(f, 1))),
            h_mean: mean(&|f| f.h),
            delta_pi: mean(&|f| difference(f.logps)),
            delta_ref: mean(&|f| difference(f.reference)),
            delta_prev: mean(&|f| difference(f.previous)),
            kl: mean(&|f| of_both(f.logps) - of_both(f.reference)),
            entropy: mean(&|f| -of_both(f.logps)),
            regression,
            policy_drift_max: drifts.fold(0.0, f64::max),
        }
    }

    /// Each metric with its name.
    pub fn entries(&self) -> Vec<(&'static str, f64)> {
        let mut entries = vec![
            ("loss", self.loss),
            ("logps/chosen", self.logps[0]),
            ("logps/rejected", self.logps[1]),
            ("logps_mean/chosen", self.logps_mean[0]),
            ("logps_mean/rejected", self.logps_mean[1]),
            ("rewards/chosen", self.rewards[0]),
            ("rewards/rejected", self.rewards[1]),
            ("rewards/margins", self.rewards_margins),
            ("rewards/accuracies", self.rewards_accuracies),
            ("inpo/h_mean", self.h_mean),
            ("inpo/delta_pi", self.delta_pi),
            ("inpo/delta_ref", self.delta_ref),
            ("inpo/delta_prev", self.delta_prev),
            ("inpo/policy_drift_max", self.policy_drift_max),
            ("objective/kl", self.kl),
            ("objective/entropy", self.entropy),
        ];
        if let Some(regression) = &self.regression {
            entries.extend([
                ("inpo/target", regression.target),
                ("inpo/residual_mean", regression.residual_mean),
                ("inpo/residual_rms", regression.residual_rms),
                ("inpo/frac_above_target", regression.frac_above_target),
            ]);
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{InpoLossConfig, Label, LogpSum, PairLogps, Role};
    use burn::tensor::{DType, Device, Tensor, TensorData};

    fn host(tensor: &Tensor<1>) -> Vec<f64> {
        tensor.clone().try_into_vec_as::<f64>().unwrap()
    }

    /// Token log-probs of two pairs, padded on the right with `padding` columns of -99.
    ///
    /// Sums: chosen -6 (3 tokens) and -2 (1), rejected -4 (2) and -5 (2).
    fn figures(padding: usize) -> Vec<PairFigures> {
        let device = Device::flex();
        let sums = |rows: [&[f64]; 2]| {
            let width = rows.iter().map(|r| r.len()).max().unwrap() + padding;
            let fill = |row: &[f64], value: f64| {
                let mut padded = vec![value; width];
                padded[..row.len()].copy_from_slice(row);
                padded
            };
            let tokens = rows.map(|row| fill(row, -99.0)).concat();
            let mask = rows.map(|row| fill(&vec![1.0; row.len()], 0.0)).concat();
            let tensor = |values: Vec<f64>| {
                let data = TensorData::new(values, [2, width]);
                Tensor::<2>::from_data(data, (&device, DType::F64))
            };
            LogpSum::from_tokens(tensor(tokens), tensor(mask))
        };
        let of = |values: [f64; 2]| {
            let data = TensorData::new(values.to_vec(), [2]);
            LogpSum::new(Tensor::from_data(data, (&device, DType::F64)))
        };
        let policy = PairLogps {
            chosen: sums([&[-1.0, -2.0, -3.0], &[-2.0]]),
            rejected: sums([&[-1.5, -2.5], &[-4.0, -1.0]]),
        };
        let reference = PairLogps {
            chosen: of([-7.0, -4.0]),
            rejected: of([-4.5, -3.0]),
        };
        let previous = PairLogps {
            chosen: of([-6.5, -2.0]),
            rejected: of([-3.0, -5.0]),
        };
        let anchors = [(Role::Reference, &reference), (Role::Previous, &previous)];
        let loss = InpoLossConfig { eta: 0.5, tau: 0.1 }.init().unwrap();
        let output = loss.evaluate(&policy, &anchors, &Label::Hard).unwrap();
        let [h, target, losses] =
            [output.h(), output.target().unwrap(), output.loss()].map(|t| host(&t));
        let both = |p: &PairLogps, i: usize| [&p.chosen, &p.rejected].map(|l| host(l.tensor())[i]);
        let tokens = [[3, 2], [1, 2]];
        let pair = |i: usize| PairFigures {
            logps: both(&policy, i),
            reference: both(&reference, i),
            previous: both(&previous, i),
            h: h[i],
            target: Some(target[i]),
            loss: losses[i],
            tokens: tokens[i],
        };
        vec![pair(0), pair(1)]
    }

    /// Weights 0.2 and 0.8, target 1. Pair 0: D pi = -2, D ref = -2.5, D prev = -3.5,
    /// h = -2 + 0.5 + 2.8 = 1.3, residual 0.3, loss 0.09. Pair 1: D pi = 3, D ref = -1, D prev = 3,
    /// h = 3 + 0.2 - 2.4 = 0.8, residual -0.2, loss 0.04. Rewards (beta = tau = 0.1): chosen 0.1 and
    /// 0.2, rejected 0.05 and -0.2. Per token: chosen -2 and -2, rejected -2 and -2.5. Over both responses log pi is -5 and -3.5,
    /// log pi_ref -5.75 and -3.5.
    #[test]
    fn a_batch_worked_by_hand() {
        let metrics = BatchMetrics::new(&figures(0), 0.1);
        let expected = [
            ("loss", 0.065),
            ("logps/chosen", -4.0),
            ("logps/rejected", -4.5),
            ("logps_mean/chosen", -2.0),
            ("logps_mean/rejected", -2.25),
            ("rewards/chosen", 0.15),
            ("rewards/rejected", -0.075),
            ("rewards/margins", 0.225),
            ("rewards/accuracies", 1.0),
            ("inpo/h_mean", 1.05),
            ("inpo/delta_pi", 0.5),
            ("inpo/delta_ref", -1.75),
            ("inpo/delta_prev", -0.25),
            ("inpo/policy_drift_max", 1.0),
            ("objective/kl", 0.375),
            ("objective/entropy", 4.25),
            ("inpo/target", 1.0),
            ("inpo/residual_mean", 0.05),
            ("inpo/residual_rms", 0.065_f64.sqrt()),
            ("inpo/frac_above_target", 0.5),
        ];
        let entries = metrics.entries();
        assert_eq!(entries.len(), expected.len());
        for ((name, got), (expected_name, value)) in entries.into_iter().zip(expected) {
            assert_eq!(name, expected_name);
            assert!((got - value).abs() < 1e-12, "{name}: {got}, not {value}");
        }
    }

    #[test]
    fn padding_changes_no_metric() {
        assert_eq!(
            BatchMetrics::new(&figures(0), 0.1),
            BatchMetrics::new(&figures(5), 0.1)
        );
    }

    /// A pair without a target: nothing is compared with one.
    #[test]
    fn a_loss_without_a_target_has_no_residual() {
        let mut pairs = figures(0);
        for pair in &mut pairs {
            pair.target = None;
        }
        let metrics = BatchMetrics::new(&pairs, 0.1);
        assert_eq!(metrics.regression, None);
        assert_eq!(metrics.entries().len(), 16);
    }
}
