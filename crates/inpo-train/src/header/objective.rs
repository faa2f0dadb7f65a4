//! What is minimised.

use inpo_loss::{Kernel, LabelKind};
use serde::Serialize;

use crate::config::ObjectiveSection;
use crate::error::TrainError;
use crate::objective::Objective;

/// What is minimised, in words and numbers.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ObjectiveHeader {
    /// The algorithm.
    pub algorithm: &'static str,
    /// INVERSE step size, whatever the algorithm calls it.
    pub inverse_step: f64,
    /// What the algorithm calls it, `eta` or `beta`.
    pub inverse_step_name: &'static str,
    /// KL weight, where the algorithm has one.
    pub tau: Option<f64>,
    /// The anchors with their weights.
    pub anchors: String,
    /// The kind of label.
    pub label: LabelKind,
    /// What the labels ask, in nats: a number for hard ones, else a formula; none for the logistic loss of hard ones.
    pub target: String,
    /// The loss before the first step of a policy that is each of its anchors, where it is the same for all pairs: with
    /// hard labels, and whatever the labels of a logistic or a hinge loss.
    pub expected_first_loss: Option<f64>,
    /// Weight of the SFT term.
    pub sft_loss_coef: f64,
    /// Weight of the exploration term.
    pub alpha: f64,
    /// Reduction of token log-probs: the sum, but for the length-normalised variant.
    pub logp_reduction: &'static str,
}

impl ObjectiveHeader {
    /// The header of `objective`, which `section` describes.
    ///
    /// # Errors
    ///
    /// Those of the section.
    pub(crate) fn new(
        objective: &Objective,
        section: &ObjectiveSection,
    ) -> Result<Self, TrainError> {
        let loss = objective.pair_loss();
        let constant = matches!(
            loss.kernel(),
            Kernel::Logistic { .. } | Kernel::Hinge { .. }
        );
        let hard = objective.label == LabelKind::Hard || constant;
        let known = hard && objective.sft.is_none() && objective.exploration.is_none();
        Ok(Self {
            algorithm: loss.name(),
            inverse_step: section.inverse_step()?,
            inverse_step_name: section.inverse_step_name(),
            tau: section.tau()?,
            anchors: loss.to_string(),
            label: objective.label,
            target: target(objective),
            expected_first_loss: known.then(|| objective.loss_at_zero()),
            sft_loss_coef: objective.sft.map_or(0.0, |term| term.coefficient()),
            alpha: objective.exploration.map_or(0.0, |term| term.alpha()),
            logp_reduction: objective.reduction(),
        })
    }
}

impl std::fmt::Display for ObjectiveHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "objective  {}: {} (inverse step) {}",
            self.algorithm, self.inverse_step_name, self.inverse_step
        )?;
        if let Some(tau) = self.tau {
            write!(f, ", tau {tau}")?;
        }
        for (name, weight) in [("sft_loss_coef", self.sft_loss_coef), ("alpha", self.alpha)] {
            if weight != 0.0 {
                write!(f, ", {name} {weight}")?;
            }
        }
        let per_token = match self.logp_reduction {
            "mean" => ", log-probs per token",
            _ => "",
        };
        writeln!(f, "\nanchors    {}{per_token}", self.anchors)?;
        write!(f, "target     {}; labels are {}", self.target, self.label)?;
        if let Some(loss) = self.expected_first_loss {
            write!(
                f,
                "; first loss {loss} where the anchors are the policy itself"
            )?;
        }
        Ok(())
    }
}

/// What an objective's labels ask of h, or of each response.
fn target(objective: &Objective) -> String {
    let step = objective.pair_loss().kernel().inverse_step();
    match (objective.pair_loss().kernel(), objective.label) {
        (Kernel::Logistic { .. }, LabelKind::Scores) => {
            format!("h = (s_w - s_l)/{step}, s the scores")
        }
        (Kernel::Logistic { .. }, LabelKind::Soft) => {
            format!(
                "h = logit(p)/{step} nats, p = P(chosen beats rejected), flipped labels included"
            )
        }
        (
            Kernel::Logistic {
                label_smoothing: e, ..
            },
            LabelKind::Hard,
        ) if *e > 0.0 => {
            format!(
                "h = {} nats, with label_smoothing {e}",
                ((1.0 - e) / e).ln() / step
            )
        }
        (Kernel::Logistic { .. }, LabelKind::Hard) => "none: the loss has no end".into(),
        (Kernel::Hinge { .. }, LabelKind::Hard) => format!("h = {} nats or more", 1.0 / step),
        (Kernel::Hinge { .. }, _) => {
            format!(
                "h = {} nats where chosen is the likelier winner, else its negative",
                1.0 / step
            )
        }
        (Kernel::Squared { .. }, LabelKind::Hard) => format!("h = {} nats", 0.5 / step),
        (Kernel::Squared { .. }, LabelKind::Soft) => {
            format!("h = (p - 1/2)/{step} nats, p = P(chosen beats rejected)")
        }
        (Kernel::Squared { .. }, LabelKind::Scores) => {
            format!("h = (s_w - s_l)/{step} nats, s the scores")
        }
        (Kernel::SquaredEach { .. }, LabelKind::Hard) => {
            format!("r = {0} and -{0} nats", 0.5 / step)
        }
        (Kernel::SquaredEach { .. }, LabelKind::Soft) => {
            format!("r = (p - 1/2)/{step} and its negative, p = P(chosen beats rejected)")
        }
        (Kernel::SquaredEach { .. }, LabelKind::Scores) => {
            format!("r = (s - 1/2)/{step} nats for each response, s its score")
        }
    }
}
