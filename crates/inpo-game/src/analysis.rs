//! What a game looks like: its winner if it has one, its cycles, and how much of it a ranking
//! explains. Exact, for games whose n^2 preferences (n^3 triads) can be visited.

use serde::{Deserialize, Serialize};

use crate::PreferenceGame;

/// The action that beats every other with a probability above 1/2, if there is one.
#[must_use]
pub fn condorcet_winner<G: PreferenceGame + ?Sized>(game: &G) -> Option<usize> {
    let n = game.num_actions();
    let beats = |i: usize, j: usize| game.preference(i, j).get() > 0.5;
    (0..n).find(|&i| (0..n).all(|j| i == j || beats(i, j)))
}

/// How many triads of actions are cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Triads {
    /// Triads i, j, k in which each beats the next with a probability above 1/2, around the circle.
    /// A tie breaks the circle.
    pub cyclic: u64,
    /// All triads: n (n - 1) (n - 2) / 6.
    pub total: u64,
}

/// Counts the cyclic triads, exactly, by visiting all of them.
///
/// ```
/// use inpo_game::{analysis, games};
///
/// let triads = analysis::cyclic_triads(&games::cyclic_three());
/// assert_eq!((triads.cyclic, triads.total), (1, 1));
/// ```
#[must_use]
pub fn cyclic_triads<G: PreferenceGame + ?Sized>(game: &G) -> Triads {
    let n = game.num_actions();
    let beats: Vec<bool> = (0..n * n)
        .map(|at| game.preference(at / n, at % n).get() > 0.5)
        .collect();
    let beats = |i: usize, j: usize| beats[i * n + j];
    let mut triads = Triads {
        cyclic: 0,
        total: 0,
    };
    for i in 0..n {
        for j in i + 1..n {
            triads.total += (n - j - 1) as u64;
            let cycles = |&k: &usize| {
                (beats(i, j) && beats(j, k) && beats(k, i))
                    || (beats(j, i) && beats(i, k) && beats(k, j))
            };
            triads.cyclic += (j + 1..n).filter(cycles).count() as u64;
        }
    }
    triads
}

/// The share, in [0, 1], of the game's departure from all ties that scores explain:
///
/// ```text
/// A = P - 1/2,   s_i = mean_j A_ij,   share = sum_ij (s_i - s_j)^2 / sum_ij A_ij^2
/// ```
///
/// The differences s_i - s_j are the orthogonal projection of A on the matrices that come from
/// scores (the gradient part of the Hodge decomposition of the complete graph); the rest is
/// cyclic. 1 for a game of pure ties.
#[must_use]
pub fn transitive_share<G: PreferenceGame + ?Sized>(game: &G) -> f64 {
    let n = game.num_actions();
    let mut scores = vec![0.0; n];
    let mut whole = 0.0;
    for (i, score) in scores.iter_mut().enumerate() {
        for j in 0..n {
            let a = game.preference(i, j).get() - 0.5;
            *score += a / n as f64;
            whole += a * a;
        }
    }
    if whole == 0.0 {
        return 1.0;
    }
    // The scores add to 0, so sum_ij (s_i - s_j)^2 = 2 n sum_i s_i^2.
    let explained = 2.0 * n as f64 * scores.iter().map(|s| s * s).sum::<f64>();
    (explained / whole).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MatrixGame;
    use crate::games::cyclic_three;

    #[test]
    fn the_cyclic_game_is_one_cycle_without_winner() {
        let game = cyclic_three();
        assert_eq!(condorcet_winner(&game), None);
        assert_eq!(
            cyclic_triads(&game),
            Triads {
                cyclic: 1,
                total: 1
            }
        );
        // s = (-1, 0, 1)/30; 2 * 3 * (2/900) / (2 * (.16 + .09 + .16)) = 0.0133.. / 0.82
        let want = 12.0 / 900.0 / 0.82;
        assert!((transitive_share(&game) - want).abs() < 1e-14);
    }

    #[test]
    fn additive_preferences_are_all_transitive() {
        // P = 1/2 + s_i - s_j with s = (0, 0.1, 0.3, 0.05).
        let s = [0.0, 0.1, 0.3, 0.05];
        let rows = s
            .iter()
            .map(|a| s.iter().map(|b| 0.5 + a - b).collect())
            .collect();
        let game = MatrixGame::new(rows).unwrap();
        assert_eq!(condorcet_winner(&game), Some(2));
        assert_eq!(
            cyclic_triads(&game),
            Triads {
                cyclic: 0,
                total: 4
            }
        );
        assert!((transitive_share(&game) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn ties_are_no_cycle_and_no_win() {
        let flat = MatrixGame::new(vec![vec![0.5; 3]; 3]).unwrap();
        assert_eq!(condorcet_winner(&flat), None);
        assert_eq!(cyclic_triads(&flat).cyclic, 0);
        assert_eq!(transitive_share(&flat), 1.0);
    }
}
