//! What a solver learns of the game: the answers it asks for, counted.

use inpo_game::{PreferenceGame, Strategy};

/// Answers a solver's one question, the win rates of all actions against a strategy, and counts.
///
/// A solver sees the game through this and nothing else, so `oracle_calls` is what it paid.
/// Measures (duality gap, KL to the Nash policy) look at the game directly and are not counted.
pub trait Feedback {
    /// Writes P(y > opponent), exact or estimated, for every action y to `out`.
    fn win_rates_into(&mut self, opponent: &Strategy, out: &mut [f64]);

    /// The calls so far, those of a resumed run included.
    fn calls(&self) -> u64;
}

/// Exact win rates. **One call is one win-rate vector P pi**, the whole of what one iteration of
/// an exact method consumes: n expectations at once, not n comparisons.
#[derive(Debug)]
pub struct ExactFeedback<'a, G> {
    game: &'a G,
    calls: u64,
}

impl<'a, G: PreferenceGame> ExactFeedback<'a, G> {
    /// Asks `game`, with `calls` made already (0 for a new run).
    pub fn new(game: &'a G, calls: u64) -> Self {
        Self { game, calls }
    }
}

impl<G: PreferenceGame> Feedback for ExactFeedback<'_, G> {
    fn win_rates_into(&mut self, opponent: &Strategy, out: &mut [f64]) {
        self.calls += 1;
        self.game.win_rates_into(opponent, out);
    }

    fn calls(&self) -> u64 {
        self.calls
    }
}
