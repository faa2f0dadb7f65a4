//! The shipped kinds of oracle, in one table.

use serde::{Deserialize, Serialize};

use crate::ensemble::EnsembleConfig;
use crate::instructions::InstructionsOracleConfig;
use crate::kind::OracleConfigError;
use crate::recorded::RecordedOracleConfig;

use crate::rules::RulesOracleConfig;
#[cfg(feature = "server")]
use crate::server::ServerJudgeConfig;
use crate::surroundings::Surroundings;
use crate::tabular::GameOracleConfig;
use crate::verdict::{Judge, Symmetric};

/// Writes [`OracleKind`] and its dispatch from one table: the word of `kind`, the variant, its settings, and what their
/// `init` makes: `oracle`, a preference without an order that costs nothing, or `judge`, built in its surroundings. A kind
/// may be of a feature: `#[cfg(..)]` behind its doc.
macro_rules! kinds {
    ($(
        $(#[doc = $doc:literal])* $(#[cfg($cfg:meta)])?
        $name:literal => $variant:ident($config:ty) as $what:ident
    ),+ $(,)?) => {
        /// `kind`, with the kind's own keys.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(tag = "kind")]
        // A run has one or two of them.
        #[allow(clippy::large_enum_variant)]
        #[non_exhaustive]
        pub enum OracleKind {
            $($(#[doc = $doc])* $(#[cfg($cfg)])? #[serde(rename = $name)] $variant($config)),+
        }

        impl OracleKind {
            /// Checks the settings and builds the judge, as it answers in one order.
            ///
            /// # Errors
            ///
            /// The first setting out of its range, in a sentence; a model or file that cannot be read.
            pub fn init(&self, around: &Surroundings<'_>) -> Result<Box<dyn Judge>, OracleConfigError> {
                Ok(match self {
                    $($(#[cfg($cfg)])? Self::$variant(config) => kinds!(@$what config.clone(), around)),+
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
    /// Votes of people or models from a file.
    "recorded" => Recorded(RecordedOracleConfig) as oracle,
    /// A tabular game by the name or number of an action.
    "game" => Game(GameOracleConfig) as oracle,
    /// Several oracles that vote or are averaged.
    "ensemble" => Ensemble(EnsembleConfig) as judge,
    /// A language model that reads both responses.
    #[cfg(feature = "models")]
    "pair_lm" => PairLm(crate::PairLmConfig) as judge,
    /// A score of each response: Bradley-Terry.
    #[cfg(feature = "models")]
    "reward_model" => RewardModel(crate::RewardModelConfig) as judge,
    /// A representation of each response, which turns against another's.
    #[cfg(feature = "models")]
    "general_preference" => GeneralPreference(crate::GeneralPreferenceConfig) as judge,
    /// Instructions that a program can check.
    "instructions" => Instructions(InstructionsOracleConfig) as oracle,
    /// A language model behind an OpenAI-compatible server.
    #[cfg(feature = "server")]
    "server" => Server(ServerJudgeConfig) as judge,
}

/// Kinds that a build without their feature does not have.
pub(crate) const BY_FEATURE: [(&str, &str, bool); 4] = [
    ("pair_lm", "models", cfg!(feature = "models")),
    ("reward_model", "models", cfg!(feature = "models")),
    ("general_preference", "models", cfg!(feature = "models")),
    ("server", "server", cfg!(feature = "server")),
];
