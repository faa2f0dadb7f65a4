//! A game for each prompt: contexts.

use crate::games::weights::{WeightError, normalise, weighted_preference, weighted_win_rates};
use crate::{
    EquilibriumError, Preference, PreferenceGame, Strategy, duality_gap, exploitability, nash,
    regularised_duality_gap, regularised_nash, win_rate,
};

/// A distribution over prompts x and the game P(y > y' | x) of each. Prompts may differ in their
/// numbers of actions.
///
/// A contextual policy is one [`Strategy`] for each prompt, and its measures are means over the
/// prompts: since the opponent sees the prompt too, max over policies of a mean is the mean of
/// the maxima,
///
/// ```text
/// DualGap(pi) = sum_x w_x DualGap(pi(. | x)),        P(p > q) = sum_x w_x P(p(. | x) > q(. | x) | x)
/// ```
///
/// and a contextual policy is Nash if and only if it is Nash in every prompt. A policy that does
/// not see the prompt plays the [`pooled`](Self::pooled) game.
///
/// ```
/// use inpo_game::{PromptGames, ScoreGame, exploitability, nash};
///
/// // Two prompts, two answers; the first prompt is three times as frequent.
/// let prefers_first = ScoreGame::elo(vec![400.0, 0.0])?;
/// let prefers_second = ScoreGame::elo(vec![0.0, 400.0])?;
/// let prompts = PromptGames::new(vec![prefers_first, prefers_second], vec![3.0, 1.0])?;
///
/// let informed = prompts.nashes()?;
/// assert!(prompts.exploitability(&informed) < 1e-12);
/// // A policy blind to the prompt plays the first answer and loses where the second is better:
/// // 1/4 (10/11 - 1/2).
/// let blind = nash(&prompts.pooled()?)?;
/// assert!(exploitability(&prompts.pooled()?, &blind) < 1e-12);
/// let regret = prompts.exploitability(&[blind.clone(), blind]);
/// assert!((regret - 0.25 * (10.0 / 11.0 - 0.5)).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct PromptGames<G> {
    games: Vec<G>,
    weights: Vec<f64>,
}

/// Why games of prompts cannot be put together or solved.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PromptError {
    /// No prompts.
    #[error("games is empty: give a game for at least one prompt")]
    Empty,
    /// The weights are no distribution over the prompts.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// A pooled game needs the same actions in each prompt.
    #[error(
        "the game of prompt {prompt} has {got} actions, but that of prompt 0 has {expected}: only games over the same actions can be pooled"
    )]
    ActionCount {
        /// The prompt.
        prompt: usize,
        /// Its number of actions.
        got: usize,
        /// That of prompt 0.
        expected: usize,
    },
    /// The game of a prompt was not solved.
    #[error("prompt {prompt}: {source}")]
    Equilibrium {
        /// The prompt.
        prompt: usize,
        /// What went wrong.
        source: EquilibriumError,
    },
}

impl<G: PreferenceGame> PromptGames<G> {
    /// One game and one positive weight for each prompt. The weights are divided by their sum.
    ///
    /// # Errors
    /// [`PromptError::Empty`] or [`PromptError::Weights`].
    pub fn new(games: Vec<G>, weights: Vec<f64>) -> Result<Self, PromptError> {
        if games.is_empty() {
            return Err(PromptError::Empty);
        }
        let weights = normalise(weights, games.len(), "prompts")?;
        Ok(Self { games, weights })
    }

    /// Prompts of equal weight.
    ///
    /// # Errors
    /// [`PromptError::Empty`].
    pub fn uniform(games: Vec<G>) -> Result<Self, PromptError> {
        let weights = vec![1.0; games.len()];
        Self::new(games, weights)
    }

    /// The number of prompts.
    #[must_use]
    pub fn num_prompts(&self) -> usize {
        self.games.len()
    }

    /// The games, one for each prompt.
    #[must_use]
    pub fn games(&self) -> &[G] {
        &self.games
    }

    /// The weights of the prompts; they add to 1.
    #[must_use]
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// sum_x w_x P(p(. | x) > q(. | x) | x).
    ///
    /// # Panics
    /// If there is not one strategy of the right length for each prompt. So do the other measures.
    #[must_use]
    pub fn win_rate(&self, first: &[Strategy], second: &[Strategy]) -> f64 {
        self.check_policy(second);
        self.mean(first, |x, game, pi| win_rate(game, pi, &second[x]))
    }

    /// sum_x w_x (max_y P(y > pi(. | x) | x) - 1/2): what the best opponent, who sees the prompt,
    /// gains over a draw. **Half** of the [`duality_gap`](Self::duality_gap).
    #[must_use]
    pub fn exploitability(&self, policy: &[Strategy]) -> f64 {
        self.mean(policy, |_, game, pi| exploitability(game, pi))
    }

    /// The duality gap of the contextual game: the mean of the prompts' own.
    #[must_use]
    pub fn duality_gap(&self, policy: &[Strategy]) -> f64 {
        self.mean(policy, |_, game, pi| duality_gap(game, pi))
    }

    /// The duality gap of the game with KL to `reference`: the mean of the prompts' own.
    ///
    /// # Panics
    /// Also if `tau` is not positive and finite.
    #[must_use]
    pub fn regularised_duality_gap(
        &self,
        policy: &[Strategy],
        reference: &[Strategy],
        tau: f64,
    ) -> f64 {
        self.check_policy(reference);
        self.mean(policy, |x, game, pi| {
            regularised_duality_gap(game, pi, &reference[x], tau)
        })
    }

    /// The Nash policy of each prompt.
    ///
    /// # Errors
    /// [`PromptError::Equilibrium`] of the first prompt that was not solved.
    pub fn nashes(&self) -> Result<Vec<Strategy>, PromptError> {
        self.solve(|_, game| nash(game))
    }

    /// The regularised Nash policy of each prompt.
    ///
    /// # Errors
    /// [`PromptError::Equilibrium`] of the first prompt that was not solved.
    ///
    /// # Panics
    /// If there is not one reference for each prompt.
    pub fn regularised_nashes(
        &self,
        reference: &[Strategy],
        tau: f64,
    ) -> Result<Vec<Strategy>, PromptError> {
        self.check_policy(reference);
        self.solve(|x, game| regularised_nash(game, &reference[x], tau))
    }

    /// The game of a policy that does not see the prompt: P(i > j) = sum_x w_x P(i > j | x).
    ///
    /// # Errors
    /// [`PromptError::ActionCount`] if the prompts differ in their numbers of actions.
    pub fn pooled(&self) -> Result<PooledGame<'_, G>, PromptError> {
        let expected = self.games[0].num_actions();
        for (prompt, game) in self.games.iter().enumerate() {
            let got = game.num_actions();
            if got != expected {
                return Err(PromptError::ActionCount {
                    prompt,
                    got,
                    expected,
                });
            }
        }
        Ok(PooledGame { prompts: self })
    }

    fn mean(&self, policy: &[Strategy], measure: impl Fn(usize, &G, &Strategy) -> f64) -> f64 {
        self.check_policy(policy);
        let term = |x: usize| self.weights[x] * measure(x, &self.games[x], &policy[x]);
        (0..self.games.len()).map(term).sum()
    }

    fn solve(
        &self,
        solver: impl Fn(usize, &G) -> Result<Strategy, EquilibriumError>,
    ) -> Result<Vec<Strategy>, PromptError> {
        let games = self.games.iter().enumerate();
        games
            .map(|(prompt, game)| {
                solver(prompt, game).map_err(|source| PromptError::Equilibrium { prompt, source })
            })
            .collect()
    }

    fn check_policy(&self, policy: &[Strategy]) {
        assert_eq!(
            policy.len(),
            self.games.len(),
            "a contextual policy has one strategy for each prompt"
        );
    }
}

/// The weighted mean of the games of all prompts: what a policy plays that does not see the
/// prompt. Made by [`PromptGames::pooled`].
///
/// Prompts that each have a clear winner can make a pooled game without one.
#[derive(Clone, Copy, Debug)]
pub struct PooledGame<'a, G> {
    prompts: &'a PromptGames<G>,
}

impl<G: PreferenceGame> PreferenceGame for PooledGame<'_, G> {
    fn num_actions(&self) -> usize {
        self.prompts.games[0].num_actions()
    }

    fn win_rates_into(&self, strategy: &[f64], out: &mut [f64]) {
        weighted_win_rates(&self.prompts.games, &self.prompts.weights, strategy, out);
    }

    fn preference(&self, first: usize, second: usize) -> Preference {
        weighted_preference(&self.prompts.games, &self.prompts.weights, first, second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::games::{cyclic_three, rock_paper_scissors};
    use crate::{MatrixGame, analysis};

    fn ranking(order: [usize; 3]) -> MatrixGame {
        let place = |y| order.iter().position(|&z| z == y).unwrap();
        MatrixGame::from_fn(3, |i, j| if place(i) < place(j) { 1.0 } else { 0.0 }).unwrap()
    }

    #[test]
    fn measures_are_weighted_means() {
        let prompts =
            PromptGames::new(vec![cyclic_three(), rock_paper_scissors()], vec![3.0, 1.0]).unwrap();
        assert_eq!(prompts.weights(), [0.75, 0.25]);
        let uniform = vec![Strategy::uniform(3); 2];
        // cyclic_three at uniform: rows 1.4, 1.5, 1.6 over 3, so 1/30; the other is 0.
        assert!((prompts.exploitability(&uniform) - 0.75 / 30.0).abs() < 1e-15);
        assert!((prompts.duality_gap(&uniform) - 1.5 / 30.0).abs() < 1e-15);
        // First row: 1.4/3 in prompt 0, 1/2 in prompt 1.
        let first = vec![Strategy::pure(3, 0); 2];
        let want = 0.75 * 1.4 / 3.0 + 0.25 * 0.5;
        assert!((prompts.win_rate(&first, &uniform) - want).abs() < 1e-15);
        let gap = prompts.regularised_duality_gap(&uniform, &uniform, 0.1);
        assert!((gap - 0.75 * 0.007339900827).abs() < 1e-12); // docs/theory.md 11.4
    }

    #[test]
    fn each_prompt_is_solved_by_itself() {
        let prompts = PromptGames::uniform(vec![
            cyclic_three(),
            MatrixGame::new(vec![vec![0.5]]).unwrap(),
        ])
        .unwrap();
        let nashes = prompts.nashes().unwrap();
        assert!((nashes[0][1] - 3.0 / 11.0).abs() < 1e-12);
        assert_eq!(nashes[1].as_slice(), [1.0]);
        let reference = [Strategy::uniform(3), Strategy::uniform(1)];
        let policy = prompts.regularised_nashes(&reference, 0.1).unwrap();
        assert!((policy[0][0] - 0.3371358500656738).abs() < 1e-12); // docs/theory.md 11.3
        let text = prompts
            .regularised_nashes(&reference, -1.0)
            .unwrap_err()
            .to_string();
        assert!(text.contains("prompt 0: tau is -1"), "{text}");
    }

    #[test]
    fn clear_prompts_can_pool_to_a_cycle() {
        // a > b > c, b > c > a, c > a > b: each has a winner, and pooled each beats the next with
        // 2/3.
        let games = vec![ranking([0, 1, 2]), ranking([1, 2, 0]), ranking([2, 0, 1])];
        let prompts = PromptGames::uniform(games).unwrap();
        let pooled = prompts.pooled().unwrap();
        for (i, j) in [(0, 1), (1, 2), (2, 0)] {
            assert!((pooled.preference(i, j).get() - 2.0 / 3.0).abs() < 1e-15);
        }
        assert_eq!(analysis::condorcet_winner(&pooled), None);
        // Against a pure: 1/2, 1/3, 2/3.
        let rates = pooled.win_rates(&[1.0, 0.0, 0.0]);
        for (got, want) in rates.iter().zip([1.0 / 2.0, 1.0 / 3.0, 2.0 / 3.0]) {
            assert!((got - want).abs() < 1e-15);
        }
    }

    #[test]
    fn each_misfit_has_its_sentence() {
        let none: Vec<MatrixGame> = vec![];
        let text = PromptGames::uniform(none).unwrap_err().to_string();
        assert!(text.contains("games is empty"), "{text}");
        let one = MatrixGame::new(vec![vec![0.5]]).unwrap();
        let text = PromptGames::new(vec![one.clone()], vec![0.0])
            .unwrap_err()
            .to_string();
        assert!(text.contains("weights[0] is 0"), "{text}");
        let text = PromptGames::new(vec![one.clone()], vec![])
            .unwrap_err()
            .to_string();
        assert!(text.contains("0 weights for 1 prompts"), "{text}");
        let text = PromptGames::uniform(vec![cyclic_three(), one])
            .unwrap()
            .pooled()
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("the game of prompt 1 has 1 actions"),
            "{text}"
        );
    }

    #[test]
    #[should_panic(expected = "one strategy for each prompt")]
    fn a_policy_of_other_prompts_is_a_bug() {
        let prompts = PromptGames::uniform(vec![cyclic_three()]).unwrap();
        let _ = prompts.exploitability(&[]);
    }
}
