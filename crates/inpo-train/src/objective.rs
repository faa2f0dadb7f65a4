//! `[objective]`: from settings to the loss of an iteration, evaluated on the host's numbers.

use burn::tensor::{DType, Device, Tensor, TensorData};
use inpo_loss::{
    Anchor, Exploration, Label, LabelKind, LogpSum, Loss, LossError, LossOutput, PairFigures,
    PairLogps, PairLoss, Reduction, Role, SftTerm,
};

use crate::pair::TrainPair;

/// A loss with its addends and its labels: all that an optimisation phase minimises.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    /// The loss of the pairs.
    pub loss: Loss,
    /// Which label of a pair is used.
    pub label: LabelKind,
    /// The SFT term.
    pub sft: Option<SftTerm>,
    /// The exploration term.
    pub exploration: Option<Exploration>,
}

impl From<PairLoss> for Objective {
    /// The loss with its usual label and no addend.
    fn from(loss: PairLoss) -> Self {
        Self {
            label: loss.labels()[0],
            loss: Loss::Sum(loss),
            sft: None,
            exploration: None,
        }
    }
}

/// What a batch's loss is made of, on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluated {
    /// The figures of each pair.
    pub figures: Vec<PairFigures>,
    /// The gradient of each pair's loss in the log-prob SUMS of its chosen and rejected response.
    pub gradient: Vec<[f64; 2]>,
}

impl Objective {
    /// The same objective with another kind of label.
    #[must_use]
    pub fn with_label(mut self, label: LabelKind) -> Self {
        self.label = label;
        self
    }

    /// The loss's name, anchors and kernel.
    pub fn pair_loss(&self) -> &PairLoss {
        self.loss.pair_loss()
    }

    /// The anchors whose log-probs each [`TrainPair`] must bring, in this order.
    pub fn anchors(&self) -> &[Anchor] {
        self.pair_loss().anchors()
    }

    /// The weight of the reference among the anchors; 0 when it is none.
    pub fn reference_weight(&self) -> f64 {
        let of_reference = self.anchors().iter().find(|a| a.role == Role::Reference);
        of_reference.map_or(0.0, |anchor| anchor.weight)
    }

    /// The loss before the first step where the policy is each of its anchors and labels are hard.
    pub fn loss_at_zero(&self) -> f64 {
        self.pair_loss().kernel().loss_at_zero()
    }

    /// How token log-probs become a response's: `sum`, or `mean` for the length-normalised variant.
    pub fn reduction(&self) -> &'static str {
        match self.loss {
            Loss::Sum(_) => "sum",
            Loss::Mean(_) => "mean",
        }
    }

    /// The loss of each pair where the policy's log-probs are `logps` (chosen, rejected), `explored` for
    /// the exploration term, with the gradient in them.
    ///
    /// # Errors
    ///
    /// Those of the loss.
    pub fn evaluate(
        &self,
        pairs: &[&TrainPair],
        logps: &[[f64; 2]],
        explored: &[f64],
        (device, dtype): (&Device, DType),
    ) -> Result<Evaluated, LossError> {
        let vector = |values: Vec<f64>| {
            let length = values.len();
            Tensor::<1>::from_data(TensorData::new(values, [length]), (device, dtype))
        };
        let side = |values: &dyn Fn(usize) -> f64| vector((0..pairs.len()).map(values).collect());
        let of = |values: &dyn Fn(usize, usize) -> f64| PairLogps {
            chosen: LogpSum::new(side(&|i| values(i, 0))),
            rejected: LogpSum::new(side(&|i| values(i, 1))),
        };
        for pair in pairs {
            if let Some(missing) = self.anchors().get(pair.anchors.len()) {
                return Err(LossError::MissingAnchor {
                    method: self.pair_loss().name(),
                    role: missing.role,
                });
            }
        }
        let policy = of(&|i, k| logps[i][k]);
        let anchors: Vec<(Role, PairLogps)> = self
            .anchors()
            .iter()
            .enumerate()
            .map(|(a, anchor)| (anchor.role, of(&|i, k| pairs[i].anchors[a][k])))
            .collect();
        let label = match self.label {
            LabelKind::Hard => Label::Hard,
            LabelKind::Soft => Label::Soft(side(&|i| pairs[i].probability)),
            LabelKind::Scores => Label::Scores {
                chosen: side(&|i| pairs[i].scores[0]),
                rejected: side(&|i| pairs[i].scores[1]),
            },
        };
        let tokens = |i: usize| pairs[i].tokens();
        let (output, divisor): (LossOutput, [Vec<f64>; 2]) = match &self.loss {
            Loss::Sum(loss) => {
                let anchors: Vec<(Role, &PairLogps)> =
                    anchors.iter().map(|(role, logps)| (*role, logps)).collect();
                let ones = || vec![1.0; pairs.len()];
                (loss.evaluate(&policy, &anchors, &label)?, [ones(), ones()])
            }
            Loss::Mean(loss) => {
                let lengths = [0, 1].map(|k| {
                    let lengths = (0..pairs.len()).map(|i| tokens(i)[k].max(1) as f64);
                    lengths.collect::<Vec<f64>>()
                });
                let mean = |logps: &PairLogps| {
                    let [chosen, rejected] = &lengths;
                    logps.per_token(vector(chosen.clone()), vector(rejected.clone()))
                };
                let means: Vec<_> = anchors.iter().map(|(role, l)| (*role, mean(l))).collect();
                let anchors: Vec<_> = means.iter().map(|(role, logps)| (*role, logps)).collect();
                (loss.evaluate(&mean(&policy), &anchors, &label)?, lengths)
            }
        };
        let [chosen, rejected] = output.gradient(Reduction::Sum).map(to_host);
        let (h, losses) = (to_host(output.h()), to_host(output.loss()));
        let targets = output.target().map(to_host);
        let mut figures = Vec::with_capacity(pairs.len());
        let mut gradient = Vec::with_capacity(pairs.len());
        for (i, pair) in pairs.iter().enumerate() {
            let mut slopes = [chosen[i] / divisor[0][i], rejected[i] / divisor[1][i]];
            let mut loss = losses[i];
            if let Some(sft) = &self.sft {
                slopes[0] += sft.gradient(tokens(i)[0]);
                loss += sft.gradient(tokens(i)[0]) * logps[i][0];
            }
            if let Some(exploration) = &self.exploration {
                loss -= exploration.alpha() * explored[i];
            }
            gradient.push(slopes);
            figures.push(PairFigures {
                logps: logps[i],
                reference: pair.reference,
                previous: pair.previous,
                h: h[i],
                target: targets.as_ref().map(|targets| targets[i]),
                loss,
                tokens: tokens(i),
            });
        }
        Ok(Evaluated { figures, gradient })
    }
}

fn to_host(tensor: Tensor<1>) -> Vec<f64> {
    tensor
        .try_into_vec_as::<f64>()
        .expect("a float tensor reads as f64")
}
