//! Maximal lotteries: the Nash policy as a rule of election.

use super::majority::Majority;
use crate::{EquilibriumError, PreferenceGame, Strategy, nash, support};

/// What a comparison counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Margins {
    /// By how much it is won: 2 P(i beats j) - 1.
    Weighted,
    /// Who wins it: 1, 0 for a tie, -1. Such rules are called C1, after Fishburn.
    SignOnly,
}

/// A maximal lottery: probabilities pi that no action beats on average,
///
/// ```text
/// sum_j M_ij pi_j <= 0   for all i,      M_ij = 2 P(i beats j) - 1   or its sign
/// ```
///
/// (Kreweras 1965; Fishburn, Review of Economic Studies 51, 1984.) With [`Margins::Weighted`] this
/// is the Nash policy of the game as it stands: M = 2 (P - 1/2) only stretches the payoffs, so it
/// is [`nash`] itself. With [`Margins::SignOnly`] it is the Nash policy of another game, in which
/// a win by a hair is a win. The two can have no action in common.
///
/// If there are several, this is one that plays every action that any of them plays.
///
/// # Errors
/// As for [`nash`].
pub fn maximal_lottery<G: PreferenceGame + ?Sized>(
    game: &G,
    margins: Margins,
) -> Result<Strategy, EquilibriumError> {
    match margins {
        Margins::Weighted => nash(game),
        Margins::SignOnly => nash(&Majority::new(game)),
    }
}

/// The essential set, in rising order: the actions that some maximal lottery plays (Dutta and
/// Laslier, Social Choice and Welfare 16, 1999).
///
/// With [`Margins::SignOnly`] and no ties it is the bipartisan set of the tournament (Laffond,
/// Laslier and Le Breton, Games and Economic Behavior 5, 1993): the lottery is then unique and
/// plays an odd number of actions.
///
/// It lies in the [`smith_set`](super::smith_set), by either margin: a lottery of the Smith set
/// that is maximal there gains against whatever is played outside. It need not lie in the
/// [`schwartz_set`](super::schwartz_set) where there are ties.
///
/// ```
/// use inpo_game::MatrixGame;
/// use inpo_game::analysis::{self, Margins};
///
/// // a, b, c go round in a circle; d loses to a and c but beats b with certainty.
/// let game = MatrixGame::new(vec![
///     vec![0.5, 0.6, 0.4, 0.6],
///     vec![0.4, 0.5, 0.6, 0.0],
///     vec![0.6, 0.4, 0.5, 0.6],
///     vec![0.4, 1.0, 0.4, 0.5],
/// ])?;
/// assert_eq!(analysis::smith_set(&game), [0, 1, 2, 3]);
/// assert_eq!(analysis::essential_set(&game, Margins::SignOnly)?, [0, 1, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As for [`nash`].
pub fn essential_set<G: PreferenceGame + ?Sized>(
    game: &G,
    margins: Margins,
) -> Result<Vec<usize>, EquilibriumError> {
    Ok(support(&maximal_lottery(game, margins)?, 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MatrixGame;
    use crate::games::cyclic_three;

    #[test]
    fn margins_weigh_and_signs_do_not() {
        // Signs: a circle of three, one third each. Margins: (4/11, 3/11, 4/11).
        let game = cyclic_three();
        let weighted = maximal_lottery(&game, Margins::Weighted).unwrap();
        let signs = maximal_lottery(&game, Margins::SignOnly).unwrap();
        assert!((weighted[1] - 3.0 / 11.0).abs() < 1e-13);
        for p in signs.iter() {
            assert!((p - 1.0 / 3.0).abs() < 1e-13);
        }
    }

    #[test]
    fn a_win_by_a_hair_is_a_win_only_by_sign() {
        // a beats b by a hair and c; c beats b by far. By sign a is the Condorcet winner, and by
        // margin too: a win of every comparison is enough for both.
        let game = MatrixGame::new(vec![
            vec![0.5, 0.500_001, 0.6],
            vec![0.499_999, 0.5, 0.1],
            vec![0.4, 0.9, 0.5],
        ])
        .unwrap();
        for margins in [Margins::Weighted, Margins::SignOnly] {
            assert_eq!(essential_set(&game, margins).unwrap(), [0]);
        }
        // Now b beats a by a hair: a circle by sign, a third each. The margins are
        // a-b -2e-6, a-c 0.2, b-c -0.8: the mass of an action is the share of the margin of the
        // two others, (0.8, 0.2, 2e-6) / 1.000002 if they go round: b > a > c > b.
        let game = MatrixGame::new(vec![
            vec![0.5, 0.499_999, 0.6],
            vec![0.500_001, 0.5, 0.1],
            vec![0.4, 0.9, 0.5],
        ])
        .unwrap();
        let weighted = maximal_lottery(&game, Margins::Weighted).unwrap();
        for (got, want) in weighted.iter().zip([0.8, 0.2, 2e-6]) {
            assert!((got - want / 1.000_002).abs() < 1e-12, "{weighted:?}");
        }
        let signs = maximal_lottery(&game, Margins::SignOnly).unwrap();
        assert!((signs[2] - 1.0 / 3.0).abs() < 1e-13);
    }

    #[test]
    fn a_tie_for_the_first_place_is_shared() {
        // 0 and 1 tie and beat 2: by sign and by margin every mix of the two is a lottery.
        let game = MatrixGame::new(vec![
            vec![0.5, 0.5, 0.9],
            vec![0.5, 0.5, 0.6],
            vec![0.1, 0.4, 0.5],
        ])
        .unwrap();
        for margins in [Margins::Weighted, Margins::SignOnly] {
            assert_eq!(essential_set(&game, margins).unwrap(), [0, 1]);
        }
    }
}
