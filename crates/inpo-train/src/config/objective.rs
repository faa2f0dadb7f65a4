//! `[objective]`: the algorithms and their settings.

use inpo_loss::{
    ComalLossConfig, DnoLossConfig, DnoPrctLossConfig, DpoLossConfig, EgpoLossConfig,
    EnpoLossConfig, HingeLossConfig, InpoLossConfig, IpoLossConfig, IpoMeanLossConfig,
    IterativeDpoLossConfig, IterativeIpoLossConfig, LabelKind, LossError, MnpoLossConfig,
    MpoLossConfig, NashMdLossConfig, OnlineIpoLossConfig, OnpoLossConfig, PairLoss,
    RebelLossConfig, SftTerm, SppoLossConfig,
};
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::objective::{Objective, ObjectiveLoss};
use crate::ratio::Ratio;

/// The algorithms of `[objective]`: a loss with its own samplers, anchors and phases
/// ([`phases`](crate::phases)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Iterative Nash policy optimisation (arXiv 2407.00617).
    Inpo,
    /// IPO on pairs from the reference (arXiv 2310.12036).
    Ipo,
    /// IPO on pairs from the current policy, the reference fixed (arXiv 2403.08635).
    OnlineIpo,
    /// IPO on pairs from the current policy, the reference moving.
    IterativeIpo,
    /// IPO on log-probs per token, as TRL's, on pairs from the reference.
    IpoMean,
    /// DPO on pairs from the reference (arXiv 2305.18290); `sigmoid` in TRL.
    #[serde(alias = "sigmoid")]
    Dpo,
    /// DPO on pairs from the current policy, the reference moving.
    IterativeDpo,
    /// DPO with the hinge loss, on pairs from the reference.
    Hinge,
    /// Self-play preference optimisation (arXiv 2405.00675).
    Sppo,
    /// Direct Nash optimisation (arXiv 2404.03715).
    Dno,
    /// Its practical form.
    DnoPrct,
    /// Regression of reward differences (arXiv 2404.16767), win rates as rewards.
    Rebel,
    /// Nash mirror descent on pairs from the mixture (arXiv 2312.00886).
    NashMd,
    /// Optimistic mirror descent, two phases (arXiv 2502.16852).
    Onpo,
    /// Extragradient, two phases (arXiv 2503.08942).
    Egpo,
    /// INPO towards a reference that moves (arXiv 2410.23223).
    Comal,
    /// Magnetic mirror descent (arXiv 2410.16714).
    Mpo,
    /// A history of opponents (arXiv 2509.23102).
    Mnpo,
    /// ENPO's step A (arXiv 2606.01382).
    Enpo,
}

/// What an algorithm calls its inverse step size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StepKey {
    Eta,
    Beta,
    Either,
}

impl Algorithm {
    /// Its word in a configuration.
    pub fn name(self) -> String {
        let word = serde_json::to_value(self).expect("a unit variant is a word");
        word.as_str().expect("a unit variant is a word").to_owned()
    }

    fn step_key(self) -> StepKey {
        match self {
            Self::Dpo | Self::IterativeDpo | Self::Hinge | Self::IpoMean => StepKey::Beta,
            Self::Ipo | Self::OnlineIpo | Self::IterativeIpo | Self::Sppo => StepKey::Either,
            Self::Inpo
            | Self::Dno
            | Self::DnoPrct
            | Self::Rebel
            | Self::NashMd
            | Self::Onpo
            | Self::Egpo
            | Self::Comal
            | Self::Mpo
            | Self::Mnpo
            | Self::Enpo => StepKey::Eta,
        }
    }

    /// The inverse step size when none is given: INPO's paper's for whatever is called eta, TRL's for DPO and
    /// its kin, the published code's for SPPO.
    fn default_step(self) -> f64 {
        match (self, self.step_key()) {
            (Self::Sppo, _) => 0.001,
            (_, StepKey::Eta) => 0.005,
            _ => 0.1,
        }
    }

    fn has_tau(self) -> bool {
        matches!(
            self,
            Self::Inpo | Self::NashMd | Self::Egpo | Self::Comal | Self::Mpo | Self::Enpo
        )
    }

    /// IPO's KL weight is its inverse step size: it is INPO at tau = eta.
    fn is_ipo(self) -> bool {
        matches!(self, Self::Ipo | Self::OnlineIpo | Self::IterativeIpo)
    }

    fn has_label_smoothing(self) -> bool {
        matches!(self, Self::Dpo | Self::IterativeDpo)
    }

    /// How many iterations the reference stays, when nothing is said; 0: for ever.
    pub(crate) fn default_ref_update(self) -> usize {
        match self {
            Self::IterativeIpo | Self::IterativeDpo => 1,
            // Of COMAL's text; its script has 12.
            Self::Comal | Self::Mpo => 6,
            _ => 0,
        }
    }

    /// Whether an iteration is one optimisation on one set of pairs.
    pub fn is_single_phase(self) -> bool {
        !matches!(self, Self::Onpo | Self::Egpo)
    }
}

/// `[objective]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObjectiveSection {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// INVERSE step size; default: 0.005, or the algorithm's own. IPO and SPPO take it as `eta` or `beta`, IPO as
    /// `tau` too.
    pub eta: Option<f64>,
    /// What DPO and IPO call their inverse step size; default: 0.1.
    pub beta: Option<f64>,
    /// `tau / eta`, a number or a fraction such as `"1/3"` (the default); not together with `tau`.
    pub tau_eta_ratio: Option<Ratio>,
    /// KL weight; default: `tau_eta_ratio * eta`.
    pub tau: Option<f64>,
    /// Kind of label; default: the algorithm's.
    pub label: Option<LabelKind>,
    /// DPO's share of flipped labels; default: 0.
    pub label_smoothing: Option<f64>,
    /// MNPO's weights, newest policy first; default: three equal ones.
    pub history_weights: Option<Vec<f64>>,
    /// Weight of ENPO's exploration term; default: 0.001 in `inpo run`.
    pub alpha: Option<f64>,
    /// Weight of the SFT term.
    pub sft_loss_coef: f64,
}

impl Default for ObjectiveSection {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::Inpo,
            eta: None,
            beta: None,
            tau_eta_ratio: None,
            tau: None,
            label: None,
            label_smoothing: None,
            history_weights: None,
            alpha: None,
            sft_loss_coef: 0.0,
        }
    }
}

/// MNPO's weights when none are given.
const HISTORY: usize = 3;

impl ObjectiveSection {
    /// The objective of the whole loop in iteration `t` (from 1): MNPO has fewer policies at the start.
    ///
    /// # Errors
    ///
    /// A setting the algorithm does not have, or outside its range.
    pub fn online(&self, t: usize) -> Result<Objective, TrainError> {
        self.init(t, self.alpha.unwrap_or(1e-3), None)
    }

    /// The objective of one phase on given pairs.
    ///
    /// # Errors
    ///
    /// As [`online`](Self::online); an algorithm of two phases; an exploration term, whose responses the
    /// pairs do not have.
    pub fn offline(&self) -> Result<Objective, TrainError> {
        let name = self.algorithm.name();
        if !self.algorithm.is_single_phase() {
            let allowed = "an algorithm of one phase on given pairs; for this one use `inpo run`";
            return Err(TrainError::setting("objective.algorithm", name, allowed));
        }
        if self.algorithm == Algorithm::Enpo && self.alpha.is_some_and(|alpha| alpha != 0.0) {
            let allowed = "0 on given pairs, which hold no response to explore; or use `inpo run`";
            let got = self.alpha.unwrap_or_default();
            return Err(TrainError::setting("objective.alpha", got, allowed));
        }
        self.init(usize::MAX, 0.0, Some(LabelKind::Hard))
    }

    /// `tau` of the objective, where the algorithm has one.
    ///
    /// # Errors
    ///
    /// Both `tau` and `tau_eta_ratio`; settings the algorithm does not have.
    pub fn tau(&self) -> Result<Option<f64>, TrainError> {
        if self.algorithm.is_ipo() {
            let ratio = self.tau_eta_ratio.map(Ratio::value);
            return match ratio.filter(|ratio| *ratio != 1.0) {
                None => Ok(None),
                Some(ratio) => {
                    let key = "objective.tau_eta_ratio";
                    let allowed = "1: IPO is INPO at tau = eta";
                    Err(TrainError::setting(key, ratio, allowed))
                }
            };
        }
        if !self.algorithm.has_tau() {
            self.absent("tau", self.tau.map(|tau| tau.to_string()))?;
            let ratio = self.tau_eta_ratio.map(|r| r.value().to_string());
            self.absent("tau_eta_ratio", ratio)?;
            return Ok(None);
        }
        match (self.tau, self.tau_eta_ratio) {
            (Some(tau), None) => Ok(Some(tau)),
            (None, ratio) => Ok(Some(
                self.inverse_step()? * ratio.unwrap_or(Ratio::THIRD).value(),
            )),
            (Some(tau), Some(_)) => {
                let allowed = "tau or tau_eta_ratio, not both";
                Err(TrainError::setting("objective.tau", tau, allowed))
            }
        }
    }

    /// What the algorithm calls its inverse step size here: `eta` or `beta`.
    pub fn inverse_step_name(&self) -> &'static str {
        match (self.algorithm.step_key(), self.beta) {
            (StepKey::Beta, _) | (StepKey::Either, Some(_)) => "beta",
            (StepKey::Eta, _) | (StepKey::Either, None) => "eta",
        }
    }

    /// The inverse step size.
    ///
    /// # Errors
    ///
    /// The one of `eta` and `beta` that the algorithm does not have; two names of the same thing with two
    /// values.
    pub fn inverse_step(&self) -> Result<f64, TrainError> {
        let key = self.algorithm.step_key();
        if key == StepKey::Either {
            let tau = self.tau.filter(|_| self.algorithm.is_ipo());
            let given = [("beta", self.beta), ("eta", self.eta), ("tau", tau)];
            let mut given = given
                .iter()
                .filter_map(|(key, value)| Some((key, (*value)?)));
            let Some((first, step)) = given.next() else {
                return Ok(self.algorithm.default_step());
            };
            return match given.find(|(_, value)| *value != step) {
                None => Ok(step),
                Some((key, value)) => {
                    let name = self.algorithm.name();
                    let allowed = format!("{step}, as {first}: they are the same thing in {name}");
                    Err(TrainError::setting(
                        &format!("objective.{key}"),
                        value,
                        &allowed,
                    ))
                }
            };
        }
        match (self.eta, self.beta) {
            (Some(eta), _) if key == StepKey::Beta => {
                let allowed = format!("absent: {} has `beta`", self.algorithm.name());
                Err(TrainError::setting("objective.eta", eta, &allowed))
            }
            (_, Some(beta)) if key == StepKey::Eta => {
                let allowed = format!("absent: {} has `eta`", self.algorithm.name());
                Err(TrainError::setting("objective.beta", beta, &allowed))
            }
            (Some(step), None) | (None, Some(step)) | (Some(_), Some(step)) => Ok(step),
            (None, None) => Ok(self.algorithm.default_step()),
        }
    }

    /// An error unless the setting `key` is not given.
    fn absent(&self, key: &str, got: Option<String>) -> Result<(), TrainError> {
        let Some(got) = got else { return Ok(()) };
        let allowed = format!("absent: {} has no such setting", self.algorithm.name());
        Err(TrainError::setting(
            &format!("objective.{key}"),
            got,
            &allowed,
        ))
    }

    fn init(
        &self,
        t: usize,
        alpha: f64,
        preferred: Option<LabelKind>,
    ) -> Result<Objective, TrainError> {
        let algorithm = self.algorithm;
        if !algorithm.has_label_smoothing() {
            let got = self.label_smoothing.map(|share| share.to_string());
            self.absent("label_smoothing", got)?;
        }
        if algorithm != Algorithm::Mnpo {
            let got = self.history_weights.as_ref();
            let got = got.map(|weights| format!("{weights:?}"));
            self.absent("history_weights", got)?;
        }
        if algorithm != Algorithm::Enpo {
            self.absent("alpha", self.alpha.map(|alpha| alpha.to_string()))?;
        }
        let step = self.inverse_step()?;
        let tau = self.tau()?.unwrap_or(0.0);
        let in_section = |error: LossError| {
            let error = match error {
                // Under the name that it was given by.
                LossError::InverseStep { value, .. } => LossError::InverseStep {
                    setting: self.inverse_step_name(),
                    value,
                },
                other => other,
            };
            TrainError::Config {
                origin: "[objective]".to_owned(),
                reason: error.to_string(),
            }
        };
        let mut exploration = None;
        let loss = match algorithm {
            Algorithm::IpoMean => {
                let loss = IpoMeanLossConfig { beta: step }.init();
                ObjectiveLoss::Mean(loss.map_err(in_section)?)
            }
            Algorithm::Enpo => {
                let config = EnpoLossConfig {
                    eta: step,
                    tau,
                    alpha,
                };
                let (loss, term) = config.init().map_err(in_section)?;
                exploration = (alpha > 0.0).then_some(term);
                ObjectiveLoss::Sum(loss)
            }
            _ => ObjectiveLoss::Sum(self.pair_loss(step, tau, t).map_err(in_section)?),
        };
        let mut objective = Objective {
            loss,
            label: LabelKind::Hard,
            sft: None,
            exploration,
        };
        if self.sft_loss_coef != 0.0 {
            let term = SftTerm::new(self.sft_loss_coef).map_err(in_section)?;
            objective.sft = Some(term);
        }
        let allowed = objective.pair_loss().labels();
        objective.label = match self.label {
            Some(label) => label,
            None => preferred
                .filter(|label| allowed.contains(label))
                .unwrap_or(allowed[0]),
        };
        if !allowed.contains(&objective.label) {
            let method = objective.pair_loss().name();
            let got = objective.label;
            return Err(in_section(LossError::Label {
                method,
                got,
                allowed,
            }));
        }
        Ok(objective)
    }

    fn pair_loss(&self, step: f64, tau: f64, t: usize) -> Result<PairLoss, LossError> {
        let (eta, beta) = (step, step);
        let label_smoothing = self.label_smoothing.unwrap_or(0.0);
        match self.algorithm {
            Algorithm::Inpo => InpoLossConfig { eta, tau }.init(),
            Algorithm::Ipo => IpoLossConfig { beta }.init(),
            Algorithm::OnlineIpo => OnlineIpoLossConfig { beta }.init(),
            Algorithm::IterativeIpo => IterativeIpoLossConfig { beta }.init(),
            Algorithm::Dpo => DpoLossConfig {
                beta,
                label_smoothing,
            }
            .init(),
            Algorithm::IterativeDpo => IterativeDpoLossConfig {
                beta,
                label_smoothing,
            }
            .init(),
            Algorithm::Hinge => HingeLossConfig { beta }.init(),
            Algorithm::Sppo => SppoLossConfig { eta }.init(),
            Algorithm::Dno => DnoLossConfig { eta }.init(),
            Algorithm::DnoPrct => DnoPrctLossConfig { eta }.init(),
            Algorithm::Rebel => RebelLossConfig { eta }.init(),
            Algorithm::NashMd => NashMdLossConfig { eta, tau }.init(),
            Algorithm::Onpo => OnpoLossConfig { eta }.init(),
            Algorithm::Egpo => EgpoLossConfig { eta, tau }.init(),
            Algorithm::Comal => ComalLossConfig { eta, tau }.init(),
            Algorithm::Mpo => MpoLossConfig { eta, tau }.init(),
            Algorithm::Mnpo => {
                let weights = self.history_weights.clone();
                let history_weights =
                    weights.unwrap_or_else(|| vec![1.0 / HISTORY as f64; HISTORY]);
                let config = MnpoLossConfig {
                    eta,
                    history_weights,
                };
                config.clone().init()?;
                config.truncated(t).init()
            }
            Algorithm::IpoMean | Algorithm::Enpo => unreachable!("built by the caller"),
        }
    }
}
