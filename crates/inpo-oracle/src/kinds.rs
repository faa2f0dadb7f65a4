//! `[oracle]`: the shipped kinds of oracle and what they share.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use toml::Table;

use crate::judged::Judged;
use crate::kind::{BoxedOracle, OracleConfigError};
use crate::rules::RulesOracleConfig;
#[cfg(feature = "server")]
use crate::server::ServerJudgeConfig;
use crate::surroundings::Surroundings;
use crate::verdict::{Judge, Symmetric};

/// Writes [`OracleKind`] and its dispatch from one table: the word of `kind`, the variant, its settings, and what their
/// `init` makes: `oracle`, a preference without an order that costs nothing, or `judge`, built in its surroundings. A kind
/// may be of a feature: `#[cfg(..)]` behind its doc.
macro_rules! kinds {
    ($($(#[doc = $doc:expr])* $(#[cfg($($feature:tt)+)])? $name:literal => $variant:ident($config:ty) as $what:ident),+ $(,)?) => {
        /// `kind`, with the kind's own keys.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        // A run has one or two of them.
        #[allow(clippy::large_enum_variant)]
        #[non_exhaustive]
        pub enum OracleKind {
            $($(#[doc = $doc])* $(#[cfg($($feature)+)])? #[serde(rename = $name)] $variant($config)),+
        }

        impl OracleKind {
            /// Checks the settings and builds the judge, as it answers in one order.
            ///
            /// # Errors
            ///
            /// The first setting out of its range, in a sentence; a model or file that cannot be read.
            pub fn init(&self, around: &Surroundings<'_>) -> Result<Box<dyn Judge>, OracleConfigError> {
                Ok(match self {
                    $($(#[cfg($($feature)+)])? Self::$variant(config) => kinds!(@$what config.clone(), around)),+
                })
            }
        }
    };
    (@oracle $config:expr, $around:expr) => {{
        let _ = $around;
        Box::new(Symmetric($config.init().map_err(OracleConfigError::new)?))
    }};
    (@judge $config:expr, $around:expr) => {
        Box::new($config.init($around).map_err(OracleConfigError::new)?)
    };
}

kinds! {
    /// Criteria over the text that vote.
    "rules" => Rules(RulesOracleConfig) as oracle,
    /// A language model behind an OpenAI-compatible server.
    #[cfg(feature = "server")]
    "server" => Server(ServerJudgeConfig) as judge,
}

/// `[oracle]`: a kind with its keys, and the keys of every kind.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OracleConfig {
    /// Who compares.
    #[serde(flatten)]
    pub kind: OracleKind,
    /// Whether every two responses of a prompt are compared, and not only those that the selection of pairs needs.
    #[serde(skip_serializing_if = "is_false")]
    pub all_pairs: bool,
}

impl Default for OracleConfig {
    /// The rules with their default criteria.
    fn default() -> Self {
        Self {
            kind: OracleKind::Rules(RulesOracleConfig::default()),
            all_pairs: false,
        }
    }
}

impl OracleConfig {
    /// Checks the settings and builds the oracle.
    ///
    /// # Errors
    ///
    /// The first setting out of its range, in a sentence.
    pub fn init(&self) -> Result<BoxedOracle, OracleConfigError> {
        let judge = self.kind.init(&Surroundings::default())?;
        Ok(Box::new(Judged::new(judge)))
    }
}

impl<'de> Deserialize<'de> for OracleConfig {
    /// The shared keys are taken out first: what is left are the kind's own, which refuses unknown ones. TOML's table keeps
    /// numbers that are not finite, which JSON's does not: the kind refuses them by their key.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut keys = Table::deserialize(deserializer)?;
        let all_pairs = keys.remove("all_pairs").map(toml::Value::try_into);
        let all_pairs = all_pairs.transpose();
        let all_pairs = all_pairs.map_err(|e| D::Error::custom(format!("all_pairs: {e}")))?;
        let kind = keys.try_into().map_err(D::Error::custom)?;
        Ok(Self {
            kind,
            all_pairs: all_pairs.unwrap_or_default(),
        })
    }
}

fn is_false(value: &bool) -> bool {
    !value
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
        assert!(config.all_pairs);
        assert!(matches!(&config.kind, OracleKind::Rules(rules) if rules.tie_band == 0.1));
        assert!(config.init().unwrap().name().starts_with("rules("));
        let written = serde_json::to_string(&config).unwrap();
        assert_eq!(read(&written).unwrap(), config);
        assert!(!read(r#"{"kind": "rules"}"#).unwrap().all_pairs);
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
        let config = read(r#"{"kind": "rules", "target_words": 0}"#).unwrap();
        let error = config.init().err().unwrap().to_string();
        assert!(error.starts_with("oracle.target_words is 0"), "{error}");
        let config: OracleConfig = toml::from_str("kind = 'rules'\ntie_band = nan").unwrap();
        let error = config.init().err().unwrap().to_string();
        assert!(error.starts_with("oracle.tie_band is NaN"), "{error}");
    }
}
