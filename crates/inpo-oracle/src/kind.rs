//! What every kind of oracle has: settings that make an oracle over text.

use inpo_data::{Completion, Prompt};
use inpo_game::PreferenceOracle;

/// An oracle over text: P(one completion beats another | prompt). Any implementation will do, see
/// [`FnOracle`](inpo_game::FnOracle) for one from a closure.
pub type TextOracle<'a> = dyn PreferenceOracle<Prompt, Completion> + 'a;

/// A text oracle that a configuration made.
pub type BoxedOracle = Box<dyn PreferenceOracle<Prompt, Completion> + Send + Sync>;

/// A setting of an oracle out of its range, in a sentence that names its key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OracleConfigError(String);

impl OracleConfigError {
    /// The sentence.
    pub fn new(sentence: impl ToString) -> Self {
        Self(sentence.to_string())
    }
}
