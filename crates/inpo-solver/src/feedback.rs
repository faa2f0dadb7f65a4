//! What a solver learns of the game: the answers it asks for, counted.

use std::mem;

use inpo_game::{Comparison, OracleError, Preference, PreferenceGame, PreferenceOracle, Strategy};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::SolverError;

/// Answers a solver's one question, the win rates of all actions against a strategy, and counts.
///
/// A solver sees the game through this and nothing else, so `oracle_calls` is what it paid.
/// Measures (duality gap, KL to the Nash policy) look at the game directly and are not counted.
pub trait Feedback {
    /// Writes P(y > opponent), exact or estimated, for every action y to `out`.
    ///
    /// # Errors
    /// [`SolverError::Oracle`]; the content of `out` has then no meaning.
    fn win_rates_into(&mut self, opponent: &Strategy, out: &mut [f64]) -> Result<(), SolverError>;

    /// The calls so far, those of a resumed run included: win-rate vectors of [`ExactFeedback`],
    /// comparisons of [`SampledFeedback`].
    fn calls(&self) -> u64;
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
    fn win_rates_into(&mut self, opponent: &Strategy, out: &mut [f64]) -> Result<(), SolverError> {
        self.calls += 1;
        out.copy_from_slice(self.measure(opponent));
        Ok(())
    }

    fn calls(&self) -> u64 {
        self.calls
    }
}

/// Estimated win rates from m comparisons with Bernoulli labels, as people or a judge give them.
/// **One call is one comparison.** The comparisons are answered by any [`PreferenceOracle`] over the
/// actions' indices: a [`MatrixOracle`](inpo_game::MatrixOracle), a judge, a closure.
///
/// A query draws m pairs, y uniformly from the n actions and y' from the opponent, and a label z for
/// each, 1 with the probability P(y > y') that the oracle gives. The estimate
///
/// ```text
/// 1/2 + (n / m) sum over the pairs of y ( z - 1/2 )
/// ```
///
/// is unbiased, its variance about n / (4 m), and it may leave [0, 1] (that is what unbiased costs
/// when an action is not drawn). The draws of query k depend on the seed and k alone: a resumed
/// run is the uninterrupted one.
///
/// The oracle is asked once a query, in a batch of m (more than 65 536 are asked in several batches).
/// A query that fails is not counted, so asking again repeats its draws.
///
/// ```
/// use inpo_game::{FnOracle, Strategy};
/// use inpo_solver::{Feedback, SampledFeedback};
///
/// let higher = FnOracle::new("higher", |_: &(), first: &usize, second: &usize| {
///     if first > second { 1.0 } else { 0.0 }
/// });
/// let mut feedback = SampledFeedback::new(higher, 4000, 7, 0);
/// let mut rates = [0.0; 2];
/// feedback.win_rates_into(&Strategy::pure(2, 0), &mut rates)?;
/// assert!(rates[0].abs() < 0.1 && (rates[1] - 1.0).abs() < 0.1); // 0 loses also to itself
/// assert_eq!(feedback.calls(), 4000);
/// # Ok::<(), inpo_solver::SolverError>(())
/// ```
#[derive(Debug)]
pub struct SampledFeedback<O> {
    oracle: O,
    comparisons: u64,
    seed: u64,
    /// Calls that were no whole query of this kind.
    before: u64,
    queries: u64,
    /// The indices 0 .. n, for questions to refer to.
    actions: Vec<usize>,
    cumulative: Vec<f64>,
    questions: Vec<Question<'static>>,
    /// Uniform in [0, 1): a question is won if its draw is below its preference.
    draws: Vec<f64>,
    answers: Vec<Preference>,
}

type Question<'a> = Comparison<'a, (), usize>;

/// The most comparisons in a batch, which bounds the memory of a large query.
const BATCH: u64 = 65_536;

impl<O: PreferenceOracle<(), usize>> SampledFeedback<O> {
    /// `comparisons` a query from `oracle`, with `calls` comparisons made already.
    ///
    /// # Panics
    /// If `comparisons` is 0.
    pub fn new(oracle: O, comparisons: u64, seed: u64, calls: u64) -> Self {
        assert!(comparisons > 0, "a query needs at least one comparison");
        Self {
            oracle,
            comparisons,
            seed,
            before: calls % comparisons,
            queries: calls / comparisons,
            actions: Vec::new(),
            cumulative: Vec::new(),
            questions: Vec::new(),
            draws: Vec::new(),
            answers: Vec::new(),
        }
    }
}

impl<O: PreferenceOracle<(), usize>> Feedback for SampledFeedback<O> {
    fn win_rates_into(&mut self, opponent: &Strategy, out: &mut [f64]) -> Result<(), SolverError> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(self.queries);

        self.cumulative.clear();
        let mut sum = 0.0;
        self.cumulative.extend(opponent.iter().map(|p| {
            sum += p;
            sum
        }));
        let n = out.len();
        let last = (0..n).rfind(|&y| opponent[y] > 0.0).unwrap_or(0);
        if self.actions.len() != n {
            self.actions = (0..n).collect();
        }
        out.fill(0.5);
        let weight = n as f64 / self.comparisons as f64;
        let mut left = self.comparisons;
        while left > 0 {
            let batch = left.min(BATCH);
            left -= batch;
            let mut questions = emptied(mem::take(&mut self.questions));
            self.draws.clear();
            for _ in 0..batch {
                let first = rng.random_range(0..n);
                let draw = rng.random::<f64>() * sum;
                let second = self.cumulative.partition_point(|&c| c <= draw).min(last);
                questions.push(Comparison {
                    prompt: &(),
                    first: &self.actions[first],
                    second: &self.actions[second],
                });
                self.draws.push(rng.random());
            }
            ask(&self.oracle, &questions, &mut self.answers)?;
            let labels = self.draws.iter().zip(&self.answers);
            for (question, (draw, preference)) in questions.iter().zip(labels) {
                let wins = *draw < preference.get();
                out[*question.first] += if wins { 0.5 * weight } else { -0.5 * weight };
            }
            self.questions = emptied(questions);
        }
        self.queries += 1;
        Ok(())
    }

    fn calls(&self) -> u64 {
        self.before
            .saturating_add(self.queries.saturating_mul(self.comparisons))
    }
}

/// Asks `questions` and fills `answers`.
fn ask(
    oracle: &impl PreferenceOracle<(), usize>,
    questions: &[Question<'_>],
    answers: &mut Vec<Preference>,
) -> Result<(), OracleError> {
    oracle.compare_into(questions, answers)?;
    let (expected, got) = (questions.len(), answers.len());
    if got == expected {
        return Ok(());
    }
    Err(OracleError::WrongCount {
        oracle: oracle.name(),
        expected,
        got,
    })
}

/// The memory of `questions`, for others: collecting an emptied vector keeps its allocation.
fn emptied<'b>(mut questions: Vec<Question<'_>>) -> Vec<Question<'b>> {
    questions.clear();
    let none = |_| unreachable!("the vector is empty");
    questions.into_iter().map(none).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use inpo_game::MatrixOracle;
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
            feedback.win_rates_into(opponent, &mut rates).unwrap();
        }
        assert!((rates[1] - 0.62).abs() < 1e-15);
        assert_eq!(feedback.calls(), 8);
    }

    #[test]
    fn samples_are_unbiased_with_the_stated_variance() {
        let game = cyclic_three();
        let pi = Strategy::new(vec![0.5, 0.3, 0.2]).unwrap();
        let (queries, comparisons) = (20_000, 6);
        let mut feedback = SampledFeedback::new(MatrixOracle::new(&game), comparisons, 7, 0);
        let (mut sums, mut squares, mut rates) = ([0.0; 3], [0.0; 3], [0.0; 3]);
        for _ in 0..queries {
            feedback.win_rates_into(&pi, &mut rates).unwrap();
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
        let mut whole = SampledFeedback::new(MatrixOracle::new(&game), 4, 3, 0);
        let (mut first, mut second) = ([0.0; 3], [0.0; 3]);
        whole.win_rates_into(&pi, &mut first).unwrap();
        whole.win_rates_into(&pi, &mut second).unwrap();
        let mut resumed = SampledFeedback::new(MatrixOracle::new(&game), 4, 3, 4);
        let mut again = [0.0; 3];
        resumed.win_rates_into(&pi, &mut again).unwrap();
        assert_eq!(again, second);
        assert_ne!(first, second, "another query, other draws");
        let mut other = SampledFeedback::new(MatrixOracle::new(&game), 4, 4, 4);
        other.win_rates_into(&pi, &mut again).unwrap();
        assert_ne!(again, second, "another seed, other draws");
        // Calls of another kind of feedback are not lost.
        assert_eq!(
            SampledFeedback::new(MatrixOracle::new(&game), 100, 3, 50).calls(),
            50
        );
    }

    #[test]
    fn an_action_that_is_never_played_is_never_drawn_as_opponent() {
        // Against a alone: b wins 0.9, c wins 0.2, whatever the draws; nothing meets b or c.
        let game = cyclic_three();
        let mut feedback = SampledFeedback::new(MatrixOracle::new(&game), 30_000, 1, 0);
        let mut rates = [0.0; 3];
        feedback
            .win_rates_into(&Strategy::pure(3, 0), &mut rates)
            .unwrap();
        for (rate, want) in rates.into_iter().zip([0.5, 0.9, 0.2]) {
            // sd sqrt(3 / 120000) = 0.005
            assert!((rate - want).abs() < 0.02, "{rate} is not {want}");
        }
    }
}
