//! How a pair is chosen among the responses to a prompt, as the commands take it.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use inpo_core::data::Row;
use inpo_core::oracle::{PairStrategy, ScoreKind, SelectionConfig, TiePolicy};
use inpo_core::train::SelectionDraws;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::CliError;

/// The strategies, as `[selection]` names them.
pub(crate) const STRATEGIES: [&str; 6] = [
    "tournament",
    "iid",
    "round_robin",
    "best_worst",
    "random",
    "adaptive",
];

/// Parses one of `names`, as a configuration would.
pub(crate) fn named<T, const N: usize>(names: [&'static str; N]) -> impl TypedValueParser<Value = T>
where
    T: DeserializeOwned + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).try_map(|name| serde_json::from_value(Value::String(name)))
}

/// Settings of a strategy, which decide with the seed what it asks. They must be the same in `inpo judge` and
/// `inpo select`.
#[derive(Debug, Args)]
pub(crate) struct SelectionArgs {
    /// The most comparisons a prompt of `adaptive`; default: 2 K.
    #[arg(long)]
    budget: Option<usize>,
    /// By what `round_robin`, `best_worst` and `adaptive` find best and worst.
    #[arg(long, default_value = "borda", value_parser = named::<ScoreKind, 2>(["borda", "copeland"]))]
    score: ScoreKind,
    /// Taken from the score of a response, times its length over that of the longest.
    #[arg(long, default_value_t = 0.0)]
    length_penalty: f64,
    /// Leaves out responses that were cut off at the token limit, before anything is asked.
    #[arg(long)]
    drop_truncated: bool,
    /// Seed of what `random` and `adaptive` draw, of winners and of coins for ties: that of the run in a loop.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl SelectionArgs {
    /// The selection with these settings, checked.
    pub(crate) fn config(
        &self,
        strategy: PairStrategy,
        tie_policy: Option<TiePolicy>,
    ) -> Result<SelectionConfig, CliError> {
        let config = SelectionConfig {
            strategy: Some(strategy),
            tie_policy,
            score: self.score,
            length_penalty: self.length_penalty,
            budget: self.budget,
            drop_truncated: self.drop_truncated,
        };
        let valid = config.validate();
        valid.map_err(|error| CliError::Input(error.to_string()))?;
        Ok(config)
    }

    /// Refuses settings where every two responses meet, and none would be read.
    pub(crate) fn check_unread(&self) -> Result<(), CliError> {
        let read = self.budget.is_some()
            || self.score != ScoreKind::default()
            || self.length_penalty != 0.0
            || self.drop_truncated;
        if read {
            return Err(CliError::Input(
                "--matches all compares every two responses: leave --budget, --score, --length-penalty and \
                 --drop-truncated out, or name a strategy"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// The number of a row's prompt and its draws. In a row of a run these are its `prompt_id` and those of its
    /// `iteration`; else the row's `place` in its file and those of no iteration.
    pub(crate) fn draws(&self, row: &Row, place: usize) -> (u64, SelectionDraws) {
        let number = |key: &str| row.columns.get(key).and_then(Value::as_u64);
        let draws = SelectionDraws::new(self.seed, number("iteration").unwrap_or(0));
        (number("prompt_id").unwrap_or(place as u64), draws)
    }

    /// The flags of `inpo judge` that ask what `strategy` needs.
    pub(crate) fn flags(&self, strategy: PairStrategy) -> String {
        let mut flags = format!("--matches {}", strategy.name());
        if let Some(budget) = self.budget {
            flags += &format!(" --budget {budget}");
        }
        if strategy == PairStrategy::Adaptive && self.score == ScoreKind::Copeland {
            flags += " --score copeland";
        }
        if strategy == PairStrategy::Adaptive && self.length_penalty != 0.0 {
            flags += &format!(" --length-penalty {}", self.length_penalty);
        }
        if self.drop_truncated {
            flags += " --drop-truncated";
        }
        if matches!(strategy, PairStrategy::Random | PairStrategy::Adaptive) {
            flags += &format!(" --seed {}", self.seed);
        }
        flags
    }
}
