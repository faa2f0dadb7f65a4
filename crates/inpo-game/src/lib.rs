//! Preference games: what is played, who decides, and how good a strategy is.
//!
//! People asked which of two answers is better do not give scores. Their choices can go round in
//! circles: b beats a, c beats b, and a beats c. Nash alignment (INPO, arXiv 2407.00617) takes the
//! preference P(y > y') itself as the payoff of a two-player game and looks for the policy that no
//! other policy beats. This crate is that game over finitely many actions, where every claim can
//! be checked to machine precision. It is also of use by itself: put in a matrix of model against
//! model, agent against agent or candidate against candidate, and take out its equilibrium.
//!
//! # A matrix in, its equilibrium out
//!
//! ```
//! use inpo_game::{MatrixGame, PreferenceGame, Strategy, exploitability, nash, regularised_nash};
//!
//! // Entry (i, j) is P(i beats j). Read a file with `MatrixGame::read("game.json")`.
//! let game = MatrixGame::new(vec![
//!     vec![0.5, 0.1, 0.8],
//!     vec![0.9, 0.5, 0.1],
//!     vec![0.2, 0.9, 0.5],
//! ])?;
//! let pi = nash(&game)?; // (4/11, 3/11, 4/11)
//! assert!(exploitability(&game, &pi) < 1e-12);
//! let near_uniform = regularised_nash(&game, &Strategy::uniform(3), 0.1)?;
//! assert!(exploitability(&game, &near_uniform) > 0.01);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # 1. Preferences and strategies
//!
//! A [`Preference`] is a checked probability that the first of two beats the second; its
//! [`complement`](Preference::complement) answers the opposite question. A [`Strategy`] is a
//! checked point of the simplex: a policy that can be written down. Both are checked once, where
//! numbers come in, and trusted from then on.
//!
//! ```
//! use inpo_game::{Preference, Strategy};
//!
//! assert_eq!(Preference::new(0.75)?.complement().get(), 0.25);
//! let pi = Strategy::from_logits(&[0.0, 2f64.ln()])?;
//! assert!((pi[1] - 2.0 / 3.0).abs() < 1e-15);
//! let error = Strategy::new(vec![0.5, 0.4]).unwrap_err();
//! assert!(error.to_string().starts_with("the probabilities of a strategy add to 0.9"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # 2. Games
//!
//! A [`PreferenceGame`] promises P(y > y') + P(y' > y) = 1 and P(y > y) = 1/2 and nothing else.
//! What the solvers ask of it is one matrix-vector product, the win rates
//! P(y > pi) = sum_y' P(y > y') pi(y') of all actions against a strategy; a game that can compute
//! them without its matrix need not hold one. [`MatrixGame`] holds one, with optional names and
//! a reference policy; it reads, checks and writes files. By the complement law half of the matrix
//! is enough: one triangle is kept, and a product reads each of its numbers once.
//!
//! ```
//! use inpo_game::{PreferenceGame, Strategy, games, win_rate};
//!
//! let game = games::cyclic_three();
//! let pi = Strategy::new(vec![0.5, 0.3, 0.2])?;
//! let rates = game.win_rates(&pi); // 0.44, 0.62, 0.47
//! assert!((rates[1] - 0.62).abs() < 1e-15);
//! assert!((win_rate(&game, &pi, &pi) - 0.5).abs() < 1e-15);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Games also come as models, data and mixtures, all of them without a matrix until
//! [`MatrixGame::from_game`] makes one; [`games`] has the table and generators from a seed.
//!
//! * [`ScoreGame`]: Bradley-Terry scores and Elo ratings. Never cycles.
//! * [`LowRankGame`]: preference embeddings, e_i^T S e_j with S skew-symmetric. May cycle.
//! * [`EmpiricalGame`]: votes, with posterior means, intervals and a bootstrap of whatever is
//!   computed from them. [`read_records`] counts them from CSV or JSON lines.
//! * [`PromptGames`]: a game for each prompt; [`JudgeMixture`]: several judges, by mean or majority.
//!
//! ```
//! use inpo_game::{RecordOptions, nash, read_records_csv};
//!
//! // Rock beats scissors 3 to 1, and so on round; a tie is half a win for each.
//! let votes = "model_x,model_y,winner\n\
//!     rock,scissors,rock\nscissors,rock,right\nrock,scissors,tie\nrock,scissors,tie\n\
//!     paper,rock,left\npaper,rock,left\npaper,rock,left\nrock,paper,left\n\
//!     scissors,paper,scissors\nscissors,paper,scissors\nscissors,paper,scissors\nscissors,paper,b\n";
//! let options = RecordOptions { prior: 0.5, ..RecordOptions::default() };
//! let game = read_records_csv(votes.as_bytes(), "votes.csv".as_ref(), &options)?.game;
//! assert_eq!(game.total_votes(), 12);
//! let pi = nash(&game)?; // 1/3 each: every pair is (3 + 1/2) to (1 + 1/2)
//! assert!(pi.iter().all(|p| (p - 1.0 / 3.0).abs() < 1e-12));
//! // Four votes a pair are not much: how often would each model stay in the Nash policy?
//! let bootstrap = game.bootstrap(500, 0, |game| nash(game).map(Vec::from))?;
//! assert!((0..3).all(|y| bootstrap.positive_share(y) > 0.5));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # 3. Oracles
//!
//! Where the game is not known, a [`PreferenceOracle`] answers [`Comparison`]s, in batches. It is
//! generic over what a prompt and a response are: indices here ([`MatrixOracle`]), messages and
//! text for a language model. [`FnOracle`] makes one of a closure. [`Counted`] counts what is asked,
//! because comparisons are what alignment pays for.
//!
//! ```
//! use inpo_game::{Comparison, Counted, MatrixOracle, PreferenceOracle, games};
//!
//! let oracle = Counted::new(MatrixOracle::new(games::cyclic_three()));
//! let question = Comparison { prompt: &(), first: &1, second: &0 };
//! assert_eq!(oracle.compare(&[question])?[0].get(), 0.9);
//! assert_eq!(oracle.comparisons(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # 4. Measures
//!
//! Free functions on any game and any strategy, whoever made it. In the plain game the best answer
//! to pi wins max_y P(y > pi); [`exploitability`] is that minus 1/2, and the paper's
//! [`duality_gap`] is **twice** the exploitability, since both players can deviate. The
//! regularised game subtracts tau KL(pi || ref) from a player's payoff; its best response is a
//! softmax and its [`regularised_duality_gap`] has a closed form.
//!
//! ```
//! use inpo_game::{Strategy, duality_gap, exploitability, games, regularised_duality_gap};
//!
//! let (game, pi) = (games::cyclic_three(), Strategy::uniform(3));
//! assert_eq!(duality_gap(&game, &pi), 2.0 * exploitability(&game, &pi)); // 1/15
//! let gap = regularised_duality_gap(&game, &pi, &Strategy::uniform(3), 0.1);
//! assert!((gap - 0.007339900827).abs() < 1e-12);
//! ```
//!
//! # 5. Exact equilibria
//!
//! [`nash`] solves the linear program of the plain game, to rounding and for margins of any size, and
//! [`nash_report`] says also whether its answer is the only one, to 1e-9. [`regularised_nash`] solves
//! pi(y) proportional to ref(y) exp(P(y > pi) / tau) by Newton's method; that policy is unique
//! and is what INPO converges to. [`stability_threshold`] says from which inverse step size on.
//!
//! ```
//! use inpo_game::{Strategy, games, nash_report, regularised_nash, stability_threshold};
//!
//! let game = games::cyclic_three();
//! assert!(nash_report(&game)?.unique);
//! let pi = regularised_nash(&game, &Strategy::uniform(3), 0.1)?;
//! assert!((stability_threshold(&game, &pi, 0.1) - 0.269359).abs() < 1e-6);
//! # Ok::<(), inpo_game::EquilibriumError>(())
//! ```
//!
//! # 6. Analysis
//!
//! [`analysis`] says what kind of game it is: whether someone beats everyone
//! ([`condorcet_winner`](analysis::condorcet_winner)) or which set comes next
//! ([`smith_set`](analysis::smith_set)), how many triads are cycles, and how much of it scores could
//! explain ([`hodge`](analysis::hodge)). [`bradley_terry`] fits such scores, to a game or to counts of wins.
//!
//! ```
//! use inpo_game::{analysis, bradley_terry, games};
//!
//! let game = games::cyclic_three();
//! assert_eq!(analysis::condorcet_winner(&game), None);
//! assert_eq!(analysis::smith_set(&game), [0, 1, 2]);
//! assert_eq!(analysis::cyclic_triads(&game).cyclic, 1);
//! assert!(analysis::transitive_share(&game) < 0.02);
//! assert_eq!(analysis::ranking(&bradley_terry::scores(&game)?), [2, 1, 0]);
//! # Ok::<(), bradley_terry::FitError>(())
//! ```

pub mod analysis;
pub mod bradley_terry;
mod csv_rows;
mod equilibrium;
mod game;
mod game_error;
pub mod games;
mod graph;
mod linalg;
mod matrix;
mod measure;
mod oracle;
mod preference;
mod read;
mod records;
mod strategy;
mod write;

pub use equilibrium::{
    EquilibriumError, NashReport, nash, nash_report, nash_residual, regularised_nash,
    regularised_nash_residual, rotation_squared, stability_threshold, support,
};
pub use game::PreferenceGame;
pub use game_error::GameError;
pub use games::empirical::{
    Bootstrap, BootstrapError, EmpiricalError, EmpiricalGame, Interval, PairCounts,
};
pub use games::judges::{JudgeError, JudgeMixture};
pub use games::low_rank::{Link, LowRankError, LowRankGame};
pub use games::prompts::{PooledGame, PromptError, PromptGames};
pub use games::score::{ScoreError, ScoreGame};
pub use games::weights::WeightError;
pub use matrix::{COMPLEMENT_TOLERANCE, MatrixGame};
pub use measure::{
    SMALLEST_TAU, best_response, duality_gap, entropy, exploitability, exploitability_of_rates, kl,
    regret, regularised_best_response, regularised_duality_gap, regularised_duality_gap_of_rates,
    regularised_regret, win_rate,
};
pub use oracle::{
    Comparison, Counted, FnOracle, MatrixOracle, OracleCounts, OracleError, PreferenceOracle,
};
pub use preference::{Preference, PreferenceError};
pub use read::ReadError;
pub use records::{
    RecordColumns, RecordError, RecordOptions, Records, RowError, read_records, read_records_csv,
    read_records_json,
};
pub use strategy::{SUM_TOLERANCE, Strategy, StrategyError};
