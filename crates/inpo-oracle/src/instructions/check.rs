//! What an instruction asks of a response.

use std::sync::Arc;

/// A checker with its arguments.
#[derive(Clone)]
pub(super) struct Check(Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl Check {
    pub(super) fn new(follows: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(follows))
    }

    /// Whether a response that says something follows the instruction.
    pub(super) fn holds(&self, response: &str) -> bool {
        (self.0)(response)
    }
}
