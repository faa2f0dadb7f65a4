//! `[objective]`: the method and its settings.

use inpo_loss::{LabelKind, LossError, MethodLoss, SftTerm};
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::methods::{Algorithm, Key, Kl, Settings, Step};
use crate::objective::Objective;
use crate::ratio::Ratio;

/// The methods that have a key of `[objective]`; none where all have it.
fn methods_with(key: &str) -> Option<Vec<&'static str>> {
    let of_step = |step: Step| match step {
        Step::Eta(_) => ["eta", ""],
        Step::Beta(_) => ["beta", ""],
        Step::Either(_) => ["eta", "beta"],
    };
    let of_kl = |kl: Kl| match kl {
        Kl::None => ["", ""],
        Kl::Weight => ["tau", "tau_eta_ratio"],
        Kl::Step => ["tau", ""],
    };
    let has = |algorithm: &&Algorithm| {
        let method = algorithm.method();
        let own = method.keys.iter().any(|own| own.name() == key);
        own || of_step(method.step).contains(&key) || of_kl(method.kl).contains(&key)
    };
    let methods: Vec<_> = Algorithm::ALL
        .iter()
        .filter(has)
        .map(|a| a.name())
        .collect();
    (!methods.is_empty()).then_some(methods)
}

fn readers(schema: &mut schemars::Schema) {
    super::readers::note_readers(schema, methods_with);
}

/// `[objective]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(transform = readers)]
pub struct ObjectiveSection {
    /// The method.
    pub algorithm: Algorithm,
    /// INVERSE step size, above 0: small eta, big step. Absent: the method's own, 0.005 but for `sppo` (0.001) and the IPO
    /// family (0.1).
    pub eta: Option<f64>,
    /// What DPO and IPO call their inverse step size, above 0. Absent: 0.1.
    pub beta: Option<f64>,
    /// `tau / eta`, from 0 to 1 (any for `mpo`), a number or a fraction such as `"1/3"`, which it is where it is absent; not
    /// together with `tau`.
    pub tau_eta_ratio: Option<Ratio>,
    /// Weight of the KL to the reference, from 0 to eta (any for `mpo`). Absent: `tau_eta_ratio * eta`. In the IPO family
    /// another name of the inverse step size.
    pub tau: Option<f64>,
    /// What is known of a pair. Absent: the method's first choice.
    pub label: Option<LabelKind>,
    /// Share of labels taken as flipped (cDPO), from 0 to below 1/2. Absent: 0.
    pub label_smoothing: Option<f64>,
    /// Weights of the past policies, newest first, which add up to 1. Absent: three equal ones.
    pub history_weights: Option<Vec<f64>>,
    /// Weight of the exploration term, at least 0. Absent: 0.001 in `inpo run`, 0 in `inpo train`, where it must be 0.
    pub alpha: Option<f64>,
    /// Weight of the SFT term, at least 0: adds `-coef log pi(chosen) / tokens(chosen)` to the loss of each pair.
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

/// How many equal weights MNPO has when none are given.
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
        if !self.algorithm.is_single_phase() {
            let name = self.algorithm.name();
            let allowed = "an algorithm of one phase on given pairs; for this one use `inpo run`";
            return Err(TrainError::setting("objective.algorithm", name, allowed));
        }
        if self.has(Key::Alpha) && self.alpha.is_some_and(|alpha| alpha != 0.0) {
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
        let ratio = self.tau_eta_ratio.map(Ratio::value);
        match self.algorithm.method().kl {
            Kl::None => {
                self.absent("tau", self.tau.map(|tau| tau.to_string()))?;
                self.absent("tau_eta_ratio", ratio.map(|ratio| ratio.to_string()))?;
                Ok(None)
            }
            Kl::Step => match ratio.filter(|ratio| *ratio != 1.0) {
                None => Ok(None),
                Some(ratio) => {
                    let key = "objective.tau_eta_ratio";
                    let allowed = "1: IPO is INPO at tau = eta";
                    Err(TrainError::setting(key, ratio, allowed))
                }
            },
            Kl::Weight => match (self.tau, ratio) {
                (Some(tau), None) => Ok(Some(tau)),
                (None, ratio) => {
                    let ratio = ratio.unwrap_or(Ratio::THIRD.value());
                    Ok(Some(self.inverse_step()? * ratio))
                }
                (Some(tau), Some(_)) => {
                    let allowed = "tau or tau_eta_ratio, not both";
                    Err(TrainError::setting("objective.tau", tau, allowed))
                }
            },
        }
    }

    /// What the algorithm calls its inverse step size here: `eta` or `beta`.
    pub fn inverse_step_name(&self) -> &'static str {
        match (self.algorithm.method().step, self.beta) {
            (Step::Beta(_), _) | (Step::Either(_), Some(_)) => "beta",
            (Step::Eta(_), _) | (Step::Either(_), None) => "eta",
        }
    }

    /// The inverse step size.
    ///
    /// # Errors
    ///
    /// The one of `eta` and `beta` that the algorithm does not have; two names of the same thing with two
    /// values.
    pub fn inverse_step(&self) -> Result<f64, TrainError> {
        let method = self.algorithm.method();
        let refuse = |key: &str, got: f64, other: &str| {
            let allowed = format!("absent: {} has `{other}`", method.name);
            Err(TrainError::setting(
                &format!("objective.{key}"),
                got,
                &allowed,
            ))
        };
        let given = match (method.step, self.eta, self.beta) {
            (Step::Beta(_), Some(eta), _) => return refuse("eta", eta, "beta"),
            (Step::Eta(_), _, Some(beta)) => return refuse("beta", beta, "eta"),
            (Step::Beta(_), None, beta) => beta,
            (Step::Eta(_), eta, None) => eta,
            (Step::Either(_), eta, beta) => {
                let tau = self.tau.filter(|_| method.kl == Kl::Step);
                let names = [("beta", beta), ("eta", eta), ("tau", tau)];
                let mut given = names
                    .iter()
                    .filter_map(|(key, value)| Some((key, (*value)?)));
                let first = given.next();
                if let Some((word, step)) = first
                    && let Some((key, value)) = given.find(|(_, value)| *value != step)
                {
                    let name = method.name;
                    let allowed = format!("{step}, as {word}: they are the same thing in {name}");
                    let key = format!("objective.{key}");
                    return Err(TrainError::setting(&key, value, &allowed));
                }
                first.map(|(_, step)| step)
            }
        };
        Ok(given.unwrap_or(method.step.default()))
    }

    fn has(&self, key: Key) -> bool {
        self.algorithm.method().keys.contains(&key)
    }

    /// The value of a key that only some methods have, as it was given.
    fn given(&self, key: Key) -> Option<String> {
        match key {
            Key::LabelSmoothing => self.label_smoothing.map(|share| share.to_string()),
            Key::HistoryWeights => {
                let weights = self.history_weights.as_ref();
                weights.map(|weights| format!("{weights:?}"))
            }
            Key::Alpha => self.alpha.map(|alpha| alpha.to_string()),
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
        for key in Key::ALL.into_iter().filter(|&key| !self.has(key)) {
            self.absent(key.name(), self.given(key))?;
        }
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
        let equal = [1.0 / HISTORY as f64; HISTORY];
        let settings = Settings {
            step: self.inverse_step()?,
            tau: self.tau()?.unwrap_or(0.0),
            label_smoothing: self.label_smoothing.unwrap_or(0.0),
            history_weights: self.history_weights.as_deref().unwrap_or(&equal),
            alpha,
            policies: t,
        };
        let loss = (self.algorithm.method().loss)(&settings);
        let MethodLoss { loss, exploration } = loss.map_err(in_section)?;
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
}
