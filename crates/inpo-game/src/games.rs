//! Games and where they come from: known ones with known answers, random ones from a seed, and
//! games that are models (scores, embeddings), data (votes) or made of other games (prompts,
//! judges). The types are at the root of the crate; the functions here give a [`MatrixGame`].
//!
//! | from | game | P(i > j) |
//! |---|---|---|
//! | scores | [`ScoreGame`](crate::ScoreGame) | sigmoid(s_i - s_j): Bradley-Terry, Elo |
//! | preference embeddings | [`LowRankGame`](crate::LowRankGame) | link(e_i^T S e_j), S skew-symmetric |
//! | votes | [`EmpiricalGame`](crate::EmpiricalGame) | share of the votes, or posterior mean |
//! | prompts | [`PromptGames`](crate::PromptGames) | one game for each; pooled: their weighted mean |
//! | judges | [`JudgeMixture`](crate::JudgeMixture) | weighted mean, or a majority vote |
//! | a seed | [`uniform`], [`transitive_plus_cyclic`] | random |
//! | theory | [`cyclic`], [`cyclic_three`], [`rock_paper_scissors`] | known equilibrium |
//!
//! In every one of them the complement law holds to the bit: P(j > i) is 1 - P(i > j) and
//! P(i > j) is 1 - P(j > i), in floating point.

pub(crate) mod empirical;
mod generate;
pub(crate) mod judges;
pub(crate) mod law;
pub(crate) mod low_rank;
pub(crate) mod prompts;
pub(crate) mod score;
pub(crate) mod weights;

pub use self::generate::{GeneratorError, cyclic, transitive_plus_cyclic, uniform};

use crate::MatrixGame;

/// The cyclic game of three actions that COMAL (arXiv 2410.23223) uses for its synthetic study:
/// b beats a with 0.9, c beats b with 0.9, a beats c with 0.8. Its Nash policy is
/// (4/11, 3/11, 4/11), and simultaneous mirror descent without a reference circles around it.
///
/// ```
/// use inpo_game::{exploitability, games, Strategy};
///
/// let nash = Strategy::new(vec![4.0 / 11.0, 3.0 / 11.0, 4.0 / 11.0])?;
/// assert!(exploitability(&games::cyclic_three(), &nash).abs() < 1e-15);
/// # Ok::<(), inpo_game::StrategyError>(())
/// ```
#[must_use]
pub fn cyclic_three() -> MatrixGame {
    let preferences = vec![
        vec![0.5, 0.1, 0.8],
        vec![0.9, 0.5, 0.1],
        vec![0.2, 0.9, 0.5],
    ];
    named(preferences, ["a", "b", "c"])
}

/// Rock, paper, scissors, in this order: paper beats rock, scissors beat paper and rock beats
/// scissors, each for certain. The Nash policy is uniform, and it is the only one.
///
/// ```
/// use inpo_game::{PreferenceGame, games, nash};
///
/// let game = games::rock_paper_scissors();
/// assert_eq!(game.preference(1, 0).get(), 1.0);
/// assert!(nash(&game)?.iter().all(|p| (p - 1.0 / 3.0).abs() < 1e-12));
/// # Ok::<(), inpo_game::EquilibriumError>(())
/// ```
#[must_use]
pub fn rock_paper_scissors() -> MatrixGame {
    let preferences = vec![
        vec![0.5, 0.0, 1.0],
        vec![1.0, 0.5, 0.0],
        vec![0.0, 1.0, 0.5],
    ];
    named(preferences, ["rock", "paper", "scissors"])
}

fn named(preferences: Vec<Vec<f64>>, names: [&str; 3]) -> MatrixGame {
    MatrixGame::new(preferences)
        .and_then(|game| game.with_names(names.map(str::to_owned).to_vec()))
        .expect("a constant that obeys the complement law")
}
