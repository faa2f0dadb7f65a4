//! What a solver learns of the game: the answers it asks for, counted.

use inpo_game::{PreferenceGame, Strategy};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::{Solver, SolverError};

/// Answers a solver's one question, the win rates of all actions against a strategy, and counts.
///
/// A solver sees the game through this and nothing else, so `oracle_calls` is what it paid.
/// Measures (duality gap, KL to the Nash policy) look at the game directly and are not counted.
pub trait Feedback {
    /// Writes P(y > opponent), exact or estimated, for every action y to `out`.
    fn win_rates_into(&mut self, opponent: &Strategy, out: &mut [f64]);

    /// The calls so far, those of a resumed run included: win-rate vectors of [`ExactFeedback`],
    /// comparisons of [`SampledFeedback`].
    fn calls(&self) -> u64;
}

/// How a run asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asking {
    /// [`ExactFeedback`].
    #[default]
    Exact,
    /// [`SampledFeedback`].
    Sampled {
        /// Comparisons a query, 1 or more.
        comparisons: u64,
        /// Of the generator.
        seed: u64,
    },
}

impl Asking {
    /// Checks that `solver` can be run so.
    pub(crate) fn check(self, solver: &impl Solver) -> Result<(), SolverError> {
        match self {
            Self::Sampled { comparisons: 0, .. } => Err(SolverError::Comparisons),
            Self::Sampled { .. } if solver.exact_only() => Err(SolverError::ExactOnly {
                algorithm: solver.name(),
            }),
            _ => Ok(()),
        }
    }
}

/// Exact win rates. **One call is one win-rate vector P pi**, the whole of what one iteration of
/// an exact method consumes: n expectations at once, not n comparisons.
///
/// The last answer is kept, so measuring an iterate and then asking about it costs one product.
#[derive(Debug)]
pub struct ExactFeedback<'a, G> {
    game: &'a G,
    calls: u64,
    opponent: Vec<f64>,
    rates: Vec<f64>,
}

impl<'a, G: PreferenceGame> ExactFeedback<'a, G> {
    /// Asks `game`, with `calls` made already (0 for a new run).
    pub fn new(game: &'a G, calls: u64) -> Self {
        Self {
            game,
            calls,
            opponent: Vec::new(),
            rates: vec![0.0; game.num_actions()],
        }
    }

    /// The win rates against `opponent`, not counted: for measures.
    pub fn measure(&mut self, opponent: &Strategy) -> &[f64] {
        if self.opponent != opponent.as_slice() {
            self.opponent.clear();
            self.opponent.extend_from_slice(opponent);
            self.game.win_rates_into(opponent, &mut self.rates);
        }
        &self.rates
    }
}

impl<G: PreferenceGame> Feedback for ExactFeedback<'_, G> {
    fn win_rates_into(&mut self, opponent: &Strategy, out: &mut [f64]) {
        self.calls += 1;
        out.copy_from_slice(self.measure(opponent));
    }

    fn calls(&self) -> u64 {
        self.calls
    }
}

/// Estimated win rates from m comparisons with Bernoulli labels, as people or a judge give them.
/// **One call is one comparison.**
///
/// A query draws m pairs, y uniformly from the n actions and y' from the opponent, and asks the
/// oracle once for each, z = 1 if y wins. The estimate
///
/// ```text
/// 1/2 + (n / m) sum over the pairs of y ( z - 1/2 )
/// ```
///
/// is unbiased, its variance about n / (4 m), and it may leave [0, 1] (that is what unbiased costs
/// when an action is not drawn). The draws of query k depend on the seed and k alone: a resumed
/// run is the uninterrupted one.
#[derive(Debug)]
pub struct SampledFeedback<'a, G> {
    game: &'a G,
    comparisons: u64,
    seed: u64,
    /// Calls that were no whole query of this kind.
    before: u64,
    queries: u64,
    cumulative: Vec<f64>,
}

impl<'a, G: PreferenceGame> SampledFeedback<'a, G> {
    /// `comparisons` a query from `game`, with `calls` comparisons made already.
    ///
    /// # Panics
    /// If `comparisons` is 0.
    pub fn new(game: &'a G, comparisons: u64, seed: u64, calls: u64) -> Self {
        assert!(comparisons > 0, "a query needs at least one comparison");
        Self {
            game,
            comparisons,
            seed,
            before: calls % comparisons,
            queries: calls / comparisons,
            cumulative: Vec::new(),
        }
    }
}

impl<G: PreferenceGame> Feedback for SampledFeedback<'_, G> {
    fn win_rates_into(&mut self, opponent: &Strategy, out: &mut [f64]) {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(self.queries);
        self.queries += 1;

        self.cumulative.clear();
        let mut sum = 0.0;
        self.cumulative.extend(opponent.iter().map(|p| {
            sum += p;
            sum
        }));
        let n = out.len();
        let last = (0..n).rfind(|&y| opponent[y] > 0.0).unwrap_or(0);
        out.fill(0.5);
        let weight = n as f64 / self.comparisons as f64;
        for _ in 0..self.comparisons {
            let first = rng.random_range(0..n);
            let draw = rng.random::<f64>() * sum;
            let second = self.cumulative.partition_point(|&c| c <= draw).min(last);
            let wins = rng.random::<f64>() < self.game.preference(first, second).get();
            out[first] += if wins { 0.5 * weight } else { -0.5 * weight };
        }
    }

    fn calls(&self) -> u64 {
        self.before
            .saturating_add(self.queries.saturating_mul(self.comparisons))
    }
}

/// The feedback of a run, and the exact win rates that its measures need.
#[derive(Debug)]
pub(crate) struct RunFeedback<'a, G> {
    exact: ExactFeedback<'a, G>,
    sampled: Option<SampledFeedback<'a, G>>,
}

impl<'a, G: PreferenceGame> RunFeedback<'a, G> {
    pub(crate) fn new(game: &'a G, asking: Asking, calls: u64) -> Self {
        let sampled = match asking {
            Asking::Exact => None,
            Asking::Sampled { comparisons, seed } => {
                Some(SampledFeedback::new(game, comparisons, seed, calls))
            }
        };
        Self {
            exact: ExactFeedback::new(game, calls),
            sampled,
        }
    }

    pub(crate) fn measure(&mut self, strategy: &Strategy) -> &[f64] {
        self.exact.measure(strategy)
    }
}

impl<G: PreferenceGame> Feedback for RunFeedback<'_, G> {
    fn win_rates_into(&mut self, opponent: &Strategy, out: &mut [f64]) {
        match &mut self.sampled {
            Some(sampled) => sampled.win_rates_into(opponent, out),
            None => self.exact.win_rates_into(opponent, out),
        }
    }

    fn calls(&self) -> u64 {
        match &self.sampled {
            Some(sampled) => sampled.calls(),
            None => self.exact.calls(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inpo_game::games::cyclic_three;

    #[test]
    fn one_vector_is_one_call_and_a_measure_is_none() {
        let game = cyclic_three();
        let mut feedback = ExactFeedback::new(&game, 5);
        let pi = Strategy::new(vec![0.5, 0.3, 0.2]).unwrap();
        assert!((feedback.measure(&pi)[1] - 0.62).abs() < 1e-15);
        assert_eq!(feedback.calls(), 5);
        let mut rates = [0.0; 3];
        for opponent in [&pi, &Strategy::pure(3, 0), &pi] {
            feedback.win_rates_into(opponent, &mut rates);
        }
        assert!((rates[1] - 0.62).abs() < 1e-15);
        assert_eq!(feedback.calls(), 8);
    }

    #[test]
    fn samples_are_unbiased_with_the_stated_variance() {
        let game = cyclic_three();
        let pi = Strategy::new(vec![0.5, 0.3, 0.2]).unwrap();
        let (queries, comparisons) = (20_000, 6);
        let mut feedback = SampledFeedback::new(&game, comparisons, 7, 0);
        let (mut sums, mut squares, mut rates) = ([0.0; 3], [0.0; 3], [0.0; 3]);
        for _ in 0..queries {
            feedback.win_rates_into(&pi, &mut rates);
            for y in 0..3 {
                sums[y] += rates[y];
                squares[y] += (rates[y] - 0.5).powi(2);
            }
        }
        for (y, want) in [0.44, 0.62, 0.47].into_iter().enumerate() {
            // sd of the mean: sqrt(0.125 / 20000) = 0.0025; four of them.
            let mean: f64 = sums[y] / f64::from(queries);
            assert!((mean - want).abs() < 0.01, "{y}: {mean} is not {want}");
            // m draws, each (n/m)^2 / 4 with probability 1/n: n / (4 m) = 0.125, less the square of
            // the mean, at most 0.0144 / 6; 5 % for the noise of the estimate.
            let variance = squares[y] / f64::from(queries) - (mean - 0.5).powi(2);
            assert!(
                (variance - 0.125).abs() < 0.125 * 0.05 + 0.0024,
                "{variance}"
            );
        }
        assert_eq!(feedback.calls(), 120_000);
    }

    #[test]
    fn the_draws_of_a_query_depend_on_its_number_alone() {
        let game = cyclic_three();
        let pi = Strategy::uniform(3);
        let mut whole = SampledFeedback::new(&game, 4, 3, 0);
        let (mut first, mut second) = ([0.0; 3], [0.0; 3]);
        whole.win_rates_into(&pi, &mut first);
        whole.win_rates_into(&pi, &mut second);
        let mut resumed = SampledFeedback::new(&game, 4, 3, 4);
        let mut again = [0.0; 3];
        resumed.win_rates_into(&pi, &mut again);
        assert_eq!(again, second);
        assert_ne!(first, second, "another query, other draws");
        let mut other = SampledFeedback::new(&game, 4, 4, 4);
        other.win_rates_into(&pi, &mut again);
        assert_ne!(again, second, "another seed, other draws");
        // Calls of another kind of feedback are not lost.
        assert_eq!(SampledFeedback::new(&game, 100, 3, 50).calls(), 50);
    }

    #[test]
    fn an_action_that_is_never_played_is_never_drawn_as_opponent() {
        // Against a alone: b wins 0.9, c wins 0.2, whatever the draws; nothing meets b or c.
        let game = cyclic_three();
        let mut feedback = SampledFeedback::new(&game, 30_000, 1, 0);
        let mut rates = [0.0; 3];
        feedback.win_rates_into(&Strategy::pure(3, 0), &mut rates);
        for (rate, want) in rates.into_iter().zip([0.5, 0.9, 0.2]) {
            // sd sqrt(3 / 120000) = 0.005
            assert!((rate - want).abs() < 0.02, "{rate} is not {want}");
        }
    }
}
