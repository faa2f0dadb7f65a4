//! `[oracle]` of a configuration: a kind with its keys, and the keys of every kind.

use std::path::Path;

use inpo_data::{Completion, DataError, Prompt, in_toml, in_words};
use inpo_game::{Comparison, OracleCounts, OracleError, Preference, PreferenceOracle};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use toml::Table;

use crate::judged::Judged;
use crate::kind::{BoxedOracle, OracleConfigError};
use crate::kinds::{BY_FEATURE, OracleKind};
use crate::rules::RulesOracleConfig;
use crate::surroundings::Surroundings;
use crate::verdict::{Question, Usage};
use crate::wrappers::{Budget, LabelNoise, TieBand};

/// `[oracle]`: a kind with its keys, and the keys of every kind.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
pub struct OracleConfig {
    /// Who compares.
    #[serde(flatten)]
    pub kind: OracleKind,
    /// What is done with every kind's answers.
    #[serde(flatten)]
    pub shared: SharedKeys,
}

/// The keys of every kind.
#[derive(Clone, Debug, PartialEq, Serialize, schemars::JsonSchema)]
#[schemars(default)]
pub struct SharedKeys {
    /// Whether every two responses of a prompt are compared, and not only those that the selection of pairs needs.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(!skip_serializing_if)]
    pub all_pairs: bool,
    /// Whether a judge that may prefer a place is asked in both orders.
    #[serde(skip_serializing_if = "is_true")]
    #[schemars(!skip_serializing_if)]
    pub both_orders: bool,
    /// Answers this near to 1/2 are ties, from 0 to less than 1/2. `rules` has a key of this name of its own.
    #[serde(rename = "tie_band", skip_serializing_if = "is_default")]
    #[schemars(!skip_serializing_if)]
    pub tie_band: f64,
    /// The share of answers that are turned round, from 0 to 1, to study a noisy judge.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(!skip_serializing_if)]
    pub label_noise: f64,
    /// Seed of the answers that are turned round, a whole number of at least 0.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(!skip_serializing_if)]
    pub noise_seed: u64,
    /// The most comparisons that may be asked: a run that may need more is refused before it starts. Absent: no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_comparisons: Option<u64>,
}

impl Default for SharedKeys {
    fn default() -> Self {
        Self {
            all_pairs: false,
            both_orders: true,
            tie_band: 0.0,
            label_noise: 0.0,
            noise_seed: 0,
            max_comparisons: None,
        }
    }
}

impl Default for OracleConfig {
    /// The rules with their default criteria.
    fn default() -> Self {
        OracleKind::Rules(RulesOracleConfig::default()).into()
    }
}

impl From<OracleKind> for OracleConfig {
    fn from(kind: OracleKind) -> Self {
        Self {
            kind,
            shared: SharedKeys::default(),
        }
    }
}

impl OracleConfig {
    /// Reads a TOML file with the keys of `[oracle]` at its top level.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, a key that is unknown or of another type, with the file's name.
    pub fn read(path: &Path) -> Result<Self, OracleConfigError> {
        let read = inpo_data::input::read_text(path).map_err(DataError::read(path));
        let text = read.map_err(OracleConfigError::new)?;
        toml::from_str(&text).map_err(|error| {
            let mut reason = in_toml(&text, error.span(), error.message());
            if text.parse::<Table>().is_err() {
                reason = format!("not TOML: {reason}");
            }
            OracleConfigError::new(format!("{}: {reason}", path.display()))
        })
    }

    /// Checks the settings and builds the oracle.
    ///
    /// # Errors
    ///
    /// The first setting out of its range, in a sentence; a model, file or journal that cannot be opened.
    pub fn init(&self, around: &Surroundings<'_>) -> Result<Oracle, OracleConfigError> {
        let shared = &self.shared;
        shared.check()?;
        let around = Surroundings {
            member: Some(member),
            ..*around
        };
        let mut judged = Judged::new(self.kind.init(&around)?);
        if !shared.both_orders {
            judged = judged.one_order();
        }
        if let Some(dir) = around.journal {
            judged = judged.with_journal(dir);
        }
        if around.retry_invalid {
            judged = judged.retrying_invalid();
        }
        if let Some(progress) = around.progress {
            judged = judged.with_progress(progress.clone());
        }
        Ok(Oracle::new(judged, shared))
    }
}

/// An oracle among the members of another.
fn member(keys: &Table, around: &Surroundings<'_>) -> Result<BoxedOracle, OracleConfigError> {
    let read = keys.clone().try_into();
    let read = read.map_err(|error: toml::de::Error| in_words(error.message()));
    let config: OracleConfig = read.map_err(OracleConfigError::new)?;
    Ok(Box::new(config.init(around)?))
}

impl SharedKeys {
    fn check(&self) -> Result<(), OracleConfigError> {
        let Self {
            tie_band,
            label_noise,
            ..
        } = self;
        if !(0.0..0.5).contains(tie_band) {
            return Err(OracleConfigError::new(format!(
                "oracle.tie_band is {tie_band}: a tie is an answer this near to 1/2, so it must be at least 0 and less than 0.5"
            )));
        }
        if !(0.0..=1.0).contains(label_noise) {
            return Err(OracleConfigError::new(format!(
                "oracle.label_noise is {label_noise}: it is the share of answers that are turned round, from 0 to 1"
            )));
        }
        Ok(())
    }

    /// Takes these keys out of `keys`, but for those that the kind has itself.
    fn take(keys: &mut Table) -> Result<Self, String> {
        let of_rules = keys.get("kind").and_then(|kind| kind.as_str()) == Some("rules");
        let mut shared = Self::default();
        take(keys, "all_pairs", &mut shared.all_pairs)?;
        take(keys, "both_orders", &mut shared.both_orders)?;
        if !of_rules {
            take(keys, "tie_band", &mut shared.tie_band)?;
        }
        take(keys, "label_noise", &mut shared.label_noise)?;
        take(keys, "noise_seed", &mut shared.noise_seed)?;
        take(keys, "max_comparisons", &mut shared.max_comparisons)?;
        Ok(shared)
    }
}

fn take<T: DeserializeOwned>(keys: &mut Table, name: &str, into: &mut T) -> Result<(), String> {
    if let Some(value) = keys.remove(name) {
        *into = value
            .try_into()
            .map_err(|e: toml::de::Error| format!("{name}: {}", e.message()))?;
    }
    Ok(())
}

impl<'de> Deserialize<'de> for OracleConfig {
    /// The shared keys are taken out first: what is left are the kind's own, which refuses unknown ones. TOML's table keeps
    /// numbers that are not finite, which JSON's does not: the kind refuses them by their key.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut keys = Table::deserialize(deserializer)?;
        let kind = keys.get("kind").and_then(toml::Value::as_str);
        let absent = BY_FEATURE
            .iter()
            .find(|(name, _, here)| kind == Some(*name) && !here);
        if let Some((name, feature, _)) = absent {
            let sentence = format!("the kind `{name}` needs a build with the feature `{feature}`");
            return Err(D::Error::custom(sentence));
        }
        let shared = SharedKeys::take(&mut keys).map_err(D::Error::custom)?;
        let kind = read_kind(&keys).map_err(D::Error::custom)?;
        Ok(Self { kind, shared })
    }
}

/// The kind with its keys. An error about a value names its key: serde forgets the keys of tagged enums, so it is the key
/// without which the error is another one.
fn read_kind(keys: &Table) -> Result<OracleKind, String> {
    let read = |keys: Table| {
        let kind: Result<OracleKind, toml::de::Error> = keys.try_into();
        kind.map_err(|error| error.message().to_owned())
    };
    read(keys.clone()).map_err(|message| {
        let wrong = |key: &&String| {
            let mut others = keys.clone();
            others.remove(*key);
            read(others).err().as_ref() != Some(&message)
        };
        let mut own = keys.keys().filter(|key| *key != "kind");
        match own.find(wrong).filter(|_| message.contains("invalid ")) {
            Some(key) => format!("{key}: {message}"),
            None => message,
        }
    })
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_true(value: &bool) -> bool {
    *value
}

/// The oracle that `[oracle]` describes: a judge in both orders with its journal, behind the wrappers that were asked for.
#[derive(Debug)]
pub struct Oracle {
    // Innermost first: an answer is widened to a tie, turned round, and paid from the budget.
    oracle: Budget<LabelNoise<TieBand<Judged>>>,
    name: String,
}

impl Oracle {
    fn new(judged: Judged, shared: &SharedKeys) -> Self {
        let mut name = judged.name();
        if !shared.both_orders {
            name.push_str(" both_orders=false");
        }
        if shared.tie_band > 0.0 {
            name.push_str(&format!(" tie_band={}", shared.tie_band));
        }
        if shared.label_noise > 0.0 {
            let SharedKeys {
                label_noise,
                noise_seed,
                ..
            } = shared;
            name.push_str(&format!(
                " label_noise={label_noise} noise_seed={noise_seed}"
            ));
        }
        let banded = TieBand::new(judged, shared.tie_band);
        let noisy = LabelNoise::new(banded, shared.label_noise, shared.noise_seed);
        let oracle = Budget::new(noisy, shared.max_comparisons.unwrap_or(u64::MAX));
        Self { oracle, name }
    }

    /// The judge behind the wrappers.
    #[must_use]
    pub fn judged(&self) -> &Judged {
        self.oracle.inner().inner().inner()
    }

    /// The most comparisons that may be asked.
    #[must_use]
    pub fn max_comparisons(&self) -> Option<u64> {
        Some(self.oracle.max_comparisons()).filter(|&max| max != u64::MAX)
    }

    /// How many questions these comparisons would put to the judge, and what those would take.
    ///
    /// # Errors
    ///
    /// A comparison that cannot be asked.
    pub fn estimate(&self, comparisons: &[Question<'_>]) -> Result<(u64, Usage), OracleError> {
        self.judged().estimate(comparisons)
    }
}

impl PreferenceOracle<Prompt, Completion> for Oracle {
    fn compare(
        &self,
        comparisons: &[Comparison<'_, Prompt, Completion>],
    ) -> Result<Vec<Preference>, OracleError> {
        self.oracle.compare(comparisons)
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn counts(&self) -> OracleCounts {
        self.oracle.counts()
    }
}

#[cfg(test)]
mod tests {
    use inpo_game::PreferenceOracle;

    use super::*;

    fn read(text: &str) -> Result<OracleConfig, String> {
        serde_json::from_str(text).map_err(|e| e.to_string())
    }

    #[test]
    fn keys_of_every_kind_stand_beside_the_kinds_own() {
        let text = r#"{"kind": "rules", "tie_band": 0.1, "all_pairs": true}"#;
        let config = read(text).unwrap();
        assert!(config.shared.all_pairs);
        assert!(matches!(&config.kind, OracleKind::Rules(rules) if rules.tie_band == 0.1));
        assert!(
            config
                .init(&Surroundings::default())
                .unwrap()
                .name()
                .starts_with("rules(")
        );
        let written = serde_json::to_string(&config).unwrap();
        assert_eq!(read(&written).unwrap(), config);
        assert!(!read(r#"{"kind": "rules"}"#).unwrap().shared.all_pairs);
    }

    #[test]
    fn what_is_unknown_or_out_of_range_is_named() {
        let says = |text: &str, words: &str| {
            let error = read(text).unwrap_err();
            assert!(error.contains(words), "{error}");
        };
        says(
            r#"{"kind": "rules", "colour": 1}"#,
            "unknown field `colour`",
        );
        says(r#"{"kind": "dice"}"#, "unknown variant `dice`, expected ");
        says(r#"{"all_pairs": true}"#, "missing field `kind`");
        says(
            r#"{"kind": "rules", "all_pairs": 3}"#,
            "all_pairs: invalid type",
        );
        says(
            r#"{"kind": "rules", "min_words": 2, "target_words": "x"}"#,
            "target_words: invalid type",
        );
        let config = read(r#"{"kind": "rules", "target_words": 0}"#).unwrap();
        let error = config
            .init(&Surroundings::default())
            .err()
            .unwrap()
            .to_string();
        assert!(error.starts_with("oracle.target_words is 0"), "{error}");
        let config: OracleConfig = toml::from_str("kind = 'rules'\ntie_band = nan").unwrap();
        let error = config
            .init(&Surroundings::default())
            .err()
            .unwrap()
            .to_string();
        assert!(error.starts_with("oracle.tie_band is NaN"), "{error}");
    }
}
