//! Known games with known answers.

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
    MatrixGame::new(preferences)
        .and_then(|game| game.with_names(vec!["a".into(), "b".into(), "c".into()]))
        .expect("a constant that obeys the complement law")
}
