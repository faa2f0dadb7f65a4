//! One number an action, and the order it gives.

use super::majority::Majority;
use crate::PreferenceGame;

/// The Borda scores: the mean win rate of each action against the others,
///
/// ```text
/// b_i = sum_{j != i} P(i beats j) / (n - 1),   in [0, 1], with mean 1/2
/// ```
///
/// An election by positions gives the same scores, scaled. A game of one action has no others and
/// gives 1/2.
///
/// ```
/// use inpo_game::{analysis, games};
///
/// let scores = analysis::borda(&games::cyclic_three()); // a 0.1 and 0.8, b 0.9 and 0.1, c 0.2 and 0.9
/// for (got, want) in scores.iter().zip([0.45, 0.5, 0.55]) {
///     assert!((got - want).abs() < 1e-15);
/// }
/// assert_eq!(analysis::ranking(&scores), [2, 1, 0]);
/// ```
#[must_use]
pub fn borda<G: PreferenceGame + ?Sized>(game: &G) -> Vec<f64> {
    let n = game.num_actions();
    if n == 1 {
        return vec![0.5];
    }
    let others = (n - 1) as f64;
    // Everyone wins 1/2 against itself, which is taken away again.
    let mut scores = game.win_rates(&vec![1.0; n]);
    scores.iter_mut().for_each(|s| *s = (*s - 0.5) / others);
    scores
}

/// The Copeland scores: the share of the others that each action beats (P > 1/2), a tie counting
/// for one half, in [0, 1] with mean 1/2. A game of one action gives 1/2.
#[must_use]
pub fn copeland<G: PreferenceGame + ?Sized>(game: &G) -> Vec<f64> {
    let majority = Majority::new(game);
    if majority.n == 1 {
        return vec![0.5];
    }
    let others = (majority.n - 1) as f64;
    // wins + ties / 2 = (others + wins - losses) / 2
    let score = |i: usize| {
        let (wins, losses) = (majority.num_wins(i) as f64, majority.num_losses(i) as f64);
        (others + wins - losses) / (2.0 * others)
    };
    (0..majority.n).map(score).collect()
}

/// The actions by their scores, the best first. Of equal scores the smaller action comes first.
/// NaN is placed by its sign, outside of the infinities.
#[must_use]
pub fn ranking(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    // Adding 0 makes -0 equal to 0.
    order.sort_by(|&i, &j| (scores[j] + 0.0).total_cmp(&(scores[i] + 0.0)));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MatrixGame;

    fn four() -> MatrixGame {
        MatrixGame::new(vec![
            vec![0.5, 0.9, 0.5, 0.3],
            vec![0.1, 0.5, 0.6, 0.5],
            vec![0.5, 0.4, 0.5, 1.0],
            vec![0.7, 0.5, 0.0, 0.5],
        ])
        .unwrap()
    }

    #[test]
    fn borda_leaves_out_the_action_itself() {
        // (0.9 + 0.5 + 0.3) / 3, (0.1 + 0.6 + 0.5) / 3, (0.5 + 0.4 + 1.0) / 3, (0.7 + 0.5 + 0) / 3
        for (got, want) in borda(&four()).iter().zip([1.7, 1.2, 1.9, 1.2]) {
            assert!((got - want / 3.0).abs() < 1e-15, "{got}");
        }
    }

    #[test]
    fn copeland_counts_wins_and_half_of_ties() {
        // 0 beats 1, ties 2, loses to 3: 1.5. 1 beats 2, ties 3: 1.5. 2 beats 3, ties 0: 1.5.
        // 3 beats 0, ties 1: 1.5. Out of 3 each.
        assert_eq!(copeland(&four()), [0.5; 4]);
        let game = MatrixGame::new(vec![
            vec![0.5, 0.9, 0.5],
            vec![0.1, 0.5, 0.6],
            vec![0.5, 0.4, 0.5],
        ])
        .unwrap();
        assert_eq!(copeland(&game), [0.75, 0.5, 0.25]);
    }

    #[test]
    fn one_action_is_neither_good_nor_bad() {
        let game = MatrixGame::new(vec![vec![0.5]]).unwrap();
        assert_eq!((borda(&game), copeland(&game)), (vec![0.5], vec![0.5]));
    }

    #[test]
    fn equal_scores_keep_their_order() {
        assert_eq!(ranking(&[0.5, 0.7, -0.0, 0.5, 0.0]), [1, 0, 3, 2, 4]);
        assert_eq!(ranking(&[]), [0_usize; 0]);
    }
}
