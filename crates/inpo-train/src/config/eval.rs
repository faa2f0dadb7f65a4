//! `[eval]`: what is measured on held-out prompts.

use inpo_eval::Lineup;
use inpo_oracle::{OracleConfig, SelectionConfig};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::sections::{at_least_one, at_most};
use crate::error::TrainError;

/// Words among the opponents that are no paths.
const REFERENCE: &str = "reference";
const PREVIOUS: &str = "previous";
const INITIAL: &str = "initial";

/// `[eval]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EvalSection {
    /// Held-out prompts used, the first ones, at least 1. Absent: all.
    pub num_prompts: Option<usize>,
    /// Samples per prompt of each policy, from 1 to 1024.
    pub num_generations: usize,
    /// Confidence of the bootstrap intervals, from 0 to below 1.
    pub confidence: f64,
    /// Samples per prompt on which the KL to the reference is estimated, from 1 to `eval.num_generations`.
    pub kl_samples: usize,
    /// Whom each iteration's policy meets, each once: `reference` (always), `previous`, `initial` (the policy that the run
    /// starts from), or the path of a model or of an adapter of the run's model.
    pub opponents: Vec<String>,
    /// Whether every two of the reference, the iterations and the named opponents meet, for the empirical game: its Nash
    /// weights say which policy to ship.
    pub empirical_game: bool,
    /// A second oracle, which does not train. It compares the responses with the reference's, so that the gap between the
    /// two oracles shows over-optimisation.
    #[schemars(extend("x-keys-of" = "oracle"))]
    pub oracle: Option<OracleConfig>,
}

impl Default for EvalSection {
    fn default() -> Self {
        Self {
            num_prompts: None,
            num_generations: 4,
            confidence: 0.95,
            kl_samples: 1,
            opponents: [REFERENCE, PREVIOUS].map(str::to_owned).to_vec(),
            empirical_game: true,
            oracle: None,
        }
    }
}

impl EvalSection {
    /// The opponents that are paths.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        let words = [REFERENCE, PREVIOUS, INITIAL];
        let names = self.opponents.iter().map(String::as_str);
        names.filter(move |name| !words.contains(name))
    }

    /// Who plays; `start` says whether the run starts from another model than the reference.
    pub(crate) fn lineup(&self, start: bool) -> Lineup {
        let lists = |word: &str| self.opponents.iter().any(|name| name == word);
        Lineup {
            start,
            opponents: self.named().count(),
            previous: lists(PREVIOUS),
            initial: lists(INITIAL),
            empirical_game: self.empirical_game,
        }
    }

    /// Checks the settings; `held_out` says whether there are held-out prompts.
    pub(super) fn validate(&self, held_out: bool) -> Result<(), TrainError> {
        let key = "eval.num_generations";
        at_least_one(key, Some(self.num_generations))?;
        at_most(key, self.num_generations, SelectionConfig::MOST_RESPONSES)?;
        at_least_one("eval.kl_samples", Some(self.kl_samples))?;
        at_least_one("eval.num_prompts", self.num_prompts)?;
        if !(0.0..1.0).contains(&self.confidence) {
            let allowed = "from 0 to below 1";
            return Err(TrainError::setting(
                "eval.confidence",
                self.confidence,
                allowed,
            ));
        }
        if self.kl_samples > self.num_generations {
            let allowed = "at most eval.num_generations";
            return Err(TrainError::setting(
                "eval.kl_samples",
                self.kl_samples,
                allowed,
            ));
        }
        self.validate_opponents()?;
        if let Some(oracle) = &self.oracle
            && oracle.shared.all_pairs
        {
            let allowed = "absent: the second oracle compares responses with the reference's alone";
            let key = "eval.oracle.all_pairs";
            return Err(TrainError::setting(key, "true", allowed));
        }
        if held_out { Ok(()) } else { self.refuse_all() }
    }

    /// Refuses whatever is not as by default: there is nothing to evaluate on.
    fn refuse_all(&self) -> Result<(), TrainError> {
        let table = |section| Table::try_from(section).expect("a section is TOML");
        let defaults = table(Self::default());
        for (key, value) in table(self.clone()) {
            if defaults.get(&key) == Some(&value) {
                continue;
            }
            let got = match value {
                Value::Table(_) => "set".to_owned(),
                value => value.to_string(),
            };
            let allowed = "absent: there are no data.eval_prompts";
            return Err(TrainError::setting(&format!("eval.{key}"), got, allowed));
        }
        Ok(())
    }

    fn validate_opponents(&self) -> Result<(), TrainError> {
        let key = "eval.opponents";
        let got = || format!("[{}]", self.opponents.join(", "));
        if !self.opponents.iter().any(|name| name == REFERENCE) {
            let allowed = "a list with \"reference\": every measure is held against it";
            return Err(TrainError::setting(key, got(), allowed));
        }
        for (place, name) in self.opponents.iter().enumerate() {
            if self.opponents[..place].contains(name) {
                let allowed = format!("each opponent once: {name} is there twice");
                return Err(TrainError::setting(key, got(), &allowed));
            }
            if name.trim().is_empty() || name.starts_with("iteration ") {
                let allowed =
                    "\"reference\", \"previous\", \"initial\" or the path of a model or an adapter";
                return Err(TrainError::setting(key, format!("{name:?}"), allowed));
            }
        }
        Ok(())
    }
}
