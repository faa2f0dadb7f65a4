//! What can be wrong with votes, and with what is asked about them.

/// Votes or questions that do not fit an empirical game.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EmpiricalError {
    /// No actions.
    #[error("names is empty: a game needs at least one action")]
    NoNames,
    /// A name that occurs twice.
    #[error("names[{second}] repeats names[{first}] ({name:?}): every name must be different")]
    DuplicateName {
        /// The name.
        name: String,
        /// Where it occurs first.
        first: usize,
        /// Where it occurs again.
        second: usize,
    },
    /// A name that no action has.
    #[error("names[{index}] is {name:?}, which no action has; there are {known}")]
    UnknownName {
        /// Where it was given.
        index: usize,
        /// The name.
        name: String,
        /// The names there are, the first of many.
        known: String,
    },
    /// An action beyond the last.
    #[error("there are votes on action {action}, but the game has {actions} actions")]
    Action {
        /// The action.
        action: usize,
        /// The number of actions.
        actions: usize,
    },
    /// Votes on an action against itself.
    #[error("there are votes on action {action} against itself: give two different actions")]
    SameAction {
        /// The action.
        action: usize,
    },
    /// More votes than f64 can count.
    #[error("the game has more than 2^53 votes: counts would lose digits")]
    TooManyVotes,
    /// The prior strength is not in [0, 2^53].
    #[error("the prior strength is {value}: it must be at least 0 and at most 2^53, in votes")]
    Prior {
        /// What was given.
        value: f64,
    },
    /// The confidence is not between 0 and 1.
    #[error("the confidence is {value}: it must be above 0 and below 1, such as 0.95")]
    Confidence {
        /// What was given.
        value: f64,
    },
}

/// Confidences lie strictly between 0 and 1.
pub(super) fn check_confidence(confidence: f64) -> Result<(), EmpiricalError> {
    if confidence > 0.0 && confidence < 1.0 {
        Ok(())
    } else {
        Err(EmpiricalError::Confidence { value: confidence })
    }
}
