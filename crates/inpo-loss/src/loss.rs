use burn::tensor::Tensor;

use crate::logps::Logps;
use crate::{
    Anchor, Kernel, Label, LabelKind, LogpMean, LossError, LossOutput, PairLogps, Reduction, Role,
};

/// Every kind of label.
pub(crate) const ANY_LABEL: &[LabelKind] = &[LabelKind::Hard, LabelKind::Soft, LabelKind::Scores];

/// How far from 1 the anchors' weights may add up.
pub(crate) const WEIGHT_TOLERANCE: f64 = 1e-9;

/// A method's loss over pairs: anchors and a [`Kernel`]. The named configurations
/// ([`InpoLossConfig`](crate::InpoLossConfig), [`DpoLossConfig`](crate::DpoLossConfig), ..) make one.
///
/// With pairs drawn independently from a sampler `mu` and labelled by a preference P, the squared
/// loss is least, over all policies, at
///
/// ```text
/// pi(y)  proportional to  prod_k q_k(y)^(w_k) exp(P(y beats mu)/eta)
/// ```
///
/// so the anchors say where the step starts and the sampler who the opponent is.
///
/// # Shapes
///
/// All inputs are `[pairs]`, the reduced loss is `[1]`.
#[derive(Debug, Clone, PartialEq)]
pub struct PairLoss {
    name: &'static str,
    anchors: Vec<Anchor>,
    kernel: Kernel,
    labels: &'static [LabelKind],
}

impl PairLoss {
    /// A custom loss: any anchors, any kernel, any label.
    ///
    /// # Errors
    ///
    /// Weights that do not add up to 1 within 1e-9; a kernel's setting outside its range.
    pub fn new(
        name: &'static str,
        anchors: impl IntoIterator<Item = Anchor>,
        kernel: Kernel,
    ) -> Result<Self, LossError> {
        let setting = match kernel {
            Kernel::Squared { .. } | Kernel::SquaredEach { .. } => "eta",
            Kernel::Logistic { .. } | Kernel::Hinge { .. } => "scale",
        };
        kernel.validate(setting)?;
        let anchors: Vec<Anchor> = anchors.into_iter().collect();
        let total = anchors.iter().fold(0.0, |sum, anchor| sum + anchor.weight);
        if total.is_nan() || (total - 1.0).abs() > WEIGHT_TOLERANCE {
            return Err(LossError::AnchorWeights(total));
        }
        let used = anchors.into_iter().filter(|anchor| anchor.weight != 0.0);
        Ok(Self {
            name,
            anchors: used.collect(),
            kernel,
            labels: ANY_LABEL,
        })
    }

    /// The same loss for these kinds of labels only.
    pub(crate) fn with_labels(mut self, labels: &'static [LabelKind]) -> Self {
        self.labels = labels;
        self
    }

    /// The method's name, as in a configuration.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The anchors with a weight other than 0.
    pub fn anchors(&self) -> &[Anchor] {
        &self.anchors
    }

    /// The penalty and its target.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The kinds of labels it takes, the usual one first.
    pub fn labels(&self) -> &'static [LabelKind] {
        self.labels
    }

    /// The scale of the implicit rewards `beta (log pi - log pi_ref)`: the inverse step size times the
    /// reference's weight (INPO: tau; DPO: beta), or the inverse step size where the reference is no
    /// anchor. INPO's rewards therefore jump from tau's scale to eta's at tau = 0, where tau's would all be 0.
    pub fn reward_scale(&self) -> f64 {
        let reference = self.anchors.iter().find(|a| a.role == Role::Reference);
        self.kernel.inverse_step() * reference.map_or(1.0, |anchor| anchor.weight)
    }

    /// Ratios, target, loss and gradient of each pair, differentiable in `policy`. `anchors` holds the
    /// log-probs under each anchor of the loss, in any order; others are ignored.
    ///
    /// # Errors
    ///
    /// A missing anchor, a label the method cannot use, inputs of different lengths.
    pub fn evaluate(
        &self,
        policy: &PairLogps,
        anchors: &[(Role, &PairLogps)],
        label: &Label,
    ) -> Result<LossOutput, LossError> {
        self.run(policy, anchors, label)
    }

    /// The loss of the batch, `[1]`.
    ///
    /// # Errors
    ///
    /// As [`evaluate`](Self::evaluate).
    pub fn forward(
        &self,
        policy: &PairLogps,
        anchors: &[(Role, &PairLogps)],
        label: &Label,
        reduction: Reduction,
    ) -> Result<Tensor<1>, LossError> {
        Ok(self.evaluate(policy, anchors, label)?.reduce(reduction))
    }

    /// The loss of each pair, `[pairs]`.
    ///
    /// # Errors
    ///
    /// As [`evaluate`](Self::evaluate).
    pub fn forward_no_reduction(
        &self,
        policy: &PairLogps,
        anchors: &[(Role, &PairLogps)],
        label: &Label,
    ) -> Result<Tensor<1>, LossError> {
        Ok(self.evaluate(policy, anchors, label)?.loss())
    }

    /// [`evaluate`](Self::evaluate) in either reduction.
    fn run<L: Logps>(
        &self,
        policy: &PairLogps<L>,
        anchors: &[(Role, &PairLogps<L>)],
        label: &Label,
    ) -> Result<LossOutput, LossError> {
        let got = label.kind();
        if !self.labels.contains(&got) {
            let (method, allowed) = (self.name, self.labels);
            return Err(LossError::Label {
                method,
                got,
                allowed,
            });
        }
        let (mut chosen, mut rejected) = (
            policy.chosen.values().clone(),
            policy.rejected.values().clone(),
        );
        let expected = chosen.dims()[0];
        let check = |what: &dyn Fn() -> String, tensor: &Tensor<1>| {
            let found = tensor.dims()[0];
            (found == expected)
                .then_some(())
                .ok_or_else(|| LossError::PairCount {
                    what: what(),
                    found,
                    expected,
                })
        };
        check(&|| "the policy's rejected list".to_owned(), &rejected)?;
        for anchor in &self.anchors {
            let given = anchors.iter().find(|(role, _)| *role == anchor.role);
            let (role, logps) = given.ok_or(LossError::MissingAnchor {
                method: self.name,
                role: anchor.role,
            })?;
            let (of_chosen, of_rejected) = (logps.chosen.values(), logps.rejected.values());
            check(&|| role.columns()[0].clone(), of_chosen)?;
            check(&|| role.columns()[1].clone(), of_rejected)?;
            chosen = chosen - of_chosen.clone().mul_scalar(anchor.weight);
            rejected = rejected - of_rejected.clone().mul_scalar(anchor.weight);
        }
        match label {
            Label::Hard => {}
            Label::Soft(p) => check(&|| "the list of soft labels".to_owned(), p)?,
            Label::Scores {
                chosen: of_chosen,
                rejected: of_rejected,
            } => {
                check(&|| "the list of chosen scores".to_owned(), of_chosen)?;
                check(&|| "the list of rejected scores".to_owned(), of_rejected)?;
            }
        }
        let goal = self.kernel.goal(label, &chosen);
        Ok(LossOutput::new(chosen, rejected, goal))
    }
}

impl std::fmt::Display for PairLoss {
    /// The anchors with their weights, as `0.3333 pi_ref + 0.6667 pi_t`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (k, anchor) in self.anchors.iter().enumerate() {
            let plus = if k == 0 { "" } else { " + " };
            write!(f, "{plus}{:.4} {}", anchor.weight, anchor.role)?;
        }
        Ok(())
    }
}

/// A [`PairLoss`] on log-probs per token: the length-normalised variant of a loss, which is another
/// method and has another name.
#[derive(Debug, Clone, PartialEq)]
pub struct MeanPairLoss(PairLoss);

impl MeanPairLoss {
    pub(crate) fn new(loss: PairLoss) -> Self {
        Self(loss)
    }

    /// The loss whose log-probs are means: its name, anchors and kernel.
    pub fn inner(&self) -> &PairLoss {
        &self.0
    }

    /// As [`PairLoss::evaluate`]; the gradient of the output is in the MEANS (divide by the number of
    /// tokens for the one in the sums).
    ///
    /// # Errors
    ///
    /// As [`PairLoss::evaluate`].
    pub fn evaluate(
        &self,
        policy: &PairLogps<LogpMean>,
        anchors: &[(Role, &PairLogps<LogpMean>)],
        label: &Label,
    ) -> Result<LossOutput, LossError> {
        self.0.run(policy, anchors, label)
    }
}
