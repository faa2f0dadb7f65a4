//! A loss over all pairs that a sampler can draw, as a function of a policy's logits.

use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use inpo_game::{MatrixGame, PreferenceGame, Strategy};
use inpo_loss::{Label, LabelKind, LogpSum, LossOutput, PairLogps, PairLoss, Reduction, Role};

/// How far a gradient may be from 0, relative to that where training starts.
const VANISHES: f64 = 1e-9;

/// Where training starts at the minimum, the run having arrived: the part of the gradient a nat aside that
/// counts in its place.
const ARRIVED: f64 = 1e-3;

/// One draw: its weight is its probability.
#[derive(Clone, Copy, Debug)]
struct Draw {
    chosen: usize,
    rejected: usize,
    weight: f64,
}

/// The loss of every policy, given who samples the pairs and how they are labelled.
#[derive(Clone, Debug)]
pub(crate) struct Objective {
    loss: PairLoss,
    draws: Vec<Draw>,
    /// Of each draw, by its kind: nothing, p, or both scores.
    labels: Labels,
    /// log q(y) of every action.
    anchors: Vec<(Role, Vec<f64>)>,
}

#[derive(Clone, Debug)]
enum Labels {
    Hard,
    Soft(Vec<f64>),
    Scores([Vec<f64>; 2]),
}

impl Objective {
    /// All ordered pairs of actions with the probability that `sampler` draws them. A hard label chooses
    /// either with its probability, a soft one is P(y > y'), and scores are win rates against the sampler.
    pub(crate) fn new(
        loss: PairLoss,
        kind: LabelKind,
        game: &MatrixGame,
        sampler: &Strategy,
    ) -> Self {
        let n = sampler.num_actions();
        let pairs = (0..n).flat_map(|y| (0..n).map(move |other| (y, other)));
        let draw = |(chosen, rejected): (usize, usize), share: f64| Draw {
            chosen,
            rejected,
            weight: sampler[chosen] * sampler[rejected] * share,
        };
        let preference = |y: usize, other: usize| game.preference(y, other).get();
        let draws: Vec<Draw> = match kind {
            LabelKind::Hard => pairs
                .flat_map(|(y, other)| {
                    let won = preference(y, other);
                    [draw((y, other), won), draw((other, y), 1.0 - won)]
                })
                .collect(),
            LabelKind::Soft | LabelKind::Scores => pairs.map(|pair| draw(pair, 1.0)).collect(),
        };
        let rates = game.win_rates(sampler);
        let each = |of: &dyn Fn(&Draw) -> f64| draws.iter().map(of).collect::<Vec<f64>>();
        let labels = match kind {
            LabelKind::Hard => Labels::Hard,
            LabelKind::Soft => Labels::Soft(each(&|d| preference(d.chosen, d.rejected))),
            LabelKind::Scores => {
                Labels::Scores([each(&|d| rates[d.chosen]), each(&|d| rates[d.rejected])])
            }
        };
        Self {
            loss,
            draws,
            labels,
            anchors: Vec::new(),
        }
    }

    /// The same with `policy` in the place of `role`.
    pub(crate) fn towards(mut self, role: Role, policy: &Strategy) -> Self {
        self.anchors.push((role, logits(policy)));
        self
    }

    fn vector(device: &Device, values: Vec<f64>) -> Tensor<1> {
        let shape = [values.len()];
        Tensor::from_data(TensorData::new(values, shape), (device, DType::F64))
    }

    /// Log-probs of the draws' responses, given those of all actions.
    fn pairs(&self, device: &Device, logps: &[f64]) -> PairLogps {
        let side = |of: &dyn Fn(&Draw) -> usize| {
            let values = self.draws.iter().map(|draw| logps[of(draw)]).collect();
            LogpSum::new(Self::vector(device, values))
        };
        PairLogps {
            chosen: side(&|draw| draw.chosen),
            rejected: side(&|draw| draw.rejected),
        }
    }

    fn evaluate(&self, device: &Device, policy: &PairLogps) -> LossOutput {
        let anchors: Vec<_> = self
            .anchors
            .iter()
            .map(|(role, logps)| (*role, self.pairs(device, logps)))
            .collect();
        let anchors: Vec<_> = anchors.iter().map(|(role, logps)| (*role, logps)).collect();
        let label = match &self.labels {
            Labels::Hard => Label::Hard,
            Labels::Soft(p) => Label::Soft(Self::vector(device, p.clone())),
            Labels::Scores([chosen, rejected]) => Label::Scores {
                chosen: Self::vector(device, chosen.clone()),
                rejected: Self::vector(device, rejected.clone()),
            },
        };
        self.loss.evaluate(policy, &anchors, &label).unwrap()
    }

    /// The loss of log-probs that need not be normalised.
    pub(crate) fn value_of_logps(&self, logps: &[f64]) -> f64 {
        let device = Device::flex();
        let losses = self.evaluate(&device, &self.pairs(&device, logps)).loss();
        let losses = losses.try_into_vec_as::<f64>().unwrap();
        losses
            .iter()
            .zip(&self.draws)
            .map(|(l, d)| l * d.weight)
            .sum()
    }

    /// Its gradient, through [`LossOutput::gradient`].
    pub(crate) fn gradient_of_logps(&self, logps: &[f64]) -> Vec<f64> {
        let device = Device::flex();
        let output = self.evaluate(&device, &self.pairs(&device, logps));
        let [chosen, rejected] = output
            .gradient(Reduction::Sum)
            .map(|side| side.try_into_vec_as::<f64>().unwrap());
        let mut gradient = vec![0.0; logps.len()];
        for (draw, (chosen, rejected)) in self.draws.iter().zip(chosen.iter().zip(rejected)) {
            gradient[draw.chosen] += draw.weight * chosen;
            gradient[draw.rejected] += draw.weight * rejected;
        }
        gradient
    }

    /// The loss of the policy with these logits.
    pub(crate) fn value(&self, logits: &[f64]) -> f64 {
        self.value_of_logps(&log_probs(logits))
    }

    /// Its gradient in the logits, through [`LossOutput::gradient`].
    pub(crate) fn gradient(&self, logits: &[f64]) -> Vec<f64> {
        let logps = log_probs(logits);
        let gradient = self.gradient_of_logps(&logps);
        // log pi = logits - log sum exp(logits).
        let sum: f64 = gradient.iter().sum();
        gradient
            .iter()
            .zip(logps)
            .map(|(g, logp)| g - logp.exp() * sum)
            .collect()
    }

    /// The same by autodiff, from the logits on.
    pub(crate) fn gradient_by_autodiff(&self, logits: &[f64]) -> Vec<f64> {
        let device = Device::flex().autodiff();
        let logits = Self::vector(&device, logits.to_vec()).require_grad();
        let logps = log_softmax(logits.clone(), 0);
        let side = |of: &dyn Fn(&Draw) -> usize| {
            let places: Vec<i64> = self.draws.iter().map(|draw| of(draw) as i64).collect();
            let data = TensorData::new(places, [self.draws.len()]);
            let places = Tensor::<1, Int>::from_data(data, (&device, DType::I64));
            LogpSum::new(logps.clone().select(0, places))
        };
        let policy = PairLogps {
            chosen: side(&|draw| draw.chosen),
            rejected: side(&|draw| draw.rejected),
        };
        let weights = self.draws.iter().map(|draw| draw.weight).collect();
        let losses = self.evaluate(&device, &policy).loss() * Self::vector(&device, weights);
        let gradient = logits.grad(&losses.sum().backward()).unwrap();
        gradient.try_into_vec_as::<f64>().unwrap()
    }

    /// Asserts that the loss is least at `minimum`: the gradient vanishes there by both ways, relative to
    /// that at `start`, and policies `aside` of it are worse.
    #[track_caller]
    pub(crate) fn check_minimum(&self, start: &Strategy, minimum: &Strategy, aside: &[f64]) {
        let (start, minimum) = (logits(start), logits(minimum));
        let moved = |far: f64| -> Vec<f64> {
            minimum
                .iter()
                .zip(aside)
                .map(|(z, a)| z + far * a)
                .collect()
        };
        let nearby = ARRIVED * largest(&self.gradient(&moved(1.0)));
        let scale = largest(&self.gradient(&start)).max(nearby);
        for gradient in [self.gradient(&minimum), self.gradient_by_autodiff(&minimum)] {
            let left = largest(&gradient);
            assert!(left <= VANISHES * scale, "{left} of {scale} is left");
        }
        let least = self.value(&minimum);
        for far in [1.0, -1.0, 0.05] {
            let value = self.value(&moved(far));
            assert!(value > least, "{value} is below {least}, {far} aside");
        }
    }

    /// The minimiser, by Newton's method on free logits from `start`, with differences of gradients for the
    /// second derivatives.
    pub(crate) fn minimise(&self, start: &Strategy) -> Strategy {
        const DIFFERENCE: f64 = 1e-4;
        let mut at = logits(start);
        let scale = largest(&self.gradient(&at));
        // A constant added to all logits changes nothing: the last one stays.
        let free = at.len() - 1;
        for _ in 0..60 {
            let gradient = self.gradient(&at);
            if largest(&gradient) <= 1e-14 * scale {
                break;
            }
            let mut rows: Vec<Vec<f64>> = (0..free)
                .map(|k| {
                    let moved = |by: f64| {
                        let mut moved = at.clone();
                        moved[k] += by;
                        self.gradient(&moved)
                    };
                    let (up, down) = (moved(DIFFERENCE), moved(-DIFFERENCE));
                    let slope = |j: usize| (up[j] - down[j]) / (2.0 * DIFFERENCE);
                    (0..free).map(slope).chain([-gradient[k]]).collect()
                })
                .collect();
            let step = solve(&mut rows);
            let moved = |share: f64| -> Vec<f64> {
                let step = step.iter().copied().chain([0.0]);
                at.iter().zip(step).map(|(z, s)| z + share * s).collect()
            };
            // Near the minimum the loss is flat to rounding, and the gradient tells.
            let (value, slope) = (self.value(&at), largest(&gradient));
            let better = |share: &f64| {
                let moved = moved(*share);
                self.value(&moved) < value || largest(&self.gradient(&moved)) < slope
            };
            let shares = (0..20).map(|halvings| 0.5_f64.powi(halvings));
            match shares.into_iter().find(better) {
                Some(share) => at = moved(share),
                // Rounding.
                None => break,
            }
        }
        Strategy::from_logits(&at).unwrap()
    }
}

/// Solves A x = b, given the rows (A, b) of a positive definite A, by elimination.
fn solve(rows: &mut [Vec<f64>]) -> Vec<f64> {
    let n = rows.len();
    for k in 0..n {
        let pivot = rows[k].clone();
        for (_, row) in rows.iter_mut().enumerate().filter(|(j, _)| *j != k) {
            let factor = row[k] / pivot[k];
            row.iter_mut()
                .zip(&pivot)
                .for_each(|(a, p)| *a -= factor * p);
        }
    }
    (0..n).map(|k| rows[k][n] / rows[k][k]).collect()
}

/// The largest modulus.
pub(crate) fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most, value| most.max(value.abs()))
}

/// log pi(y).
pub(crate) fn logits(policy: &Strategy) -> Vec<f64> {
    policy.iter().map(|p| p.ln()).collect()
}

/// The logits less the logarithm of their normaliser.
fn log_probs(logits: &[f64]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|z| (z - most).exp()).sum();
    let log_sum = most + sum.ln();
    logits.iter().map(|z| z - log_sum).collect()
}

/// Asserts that two policies are the same to `bound` in every probability.
#[track_caller]
pub(crate) fn same(got: &Strategy, expected: &Strategy, bound: f64) {
    for (g, e) in got.iter().zip(expected.iter()) {
        assert!((g - e).abs() <= bound, "{got:?}, not {expected:?}");
    }
}
