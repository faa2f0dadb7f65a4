//! Who should win: the Condorcet winner and the two sets that take its place.

use super::majority::Majority;
use crate::PreferenceGame;
use crate::graph::reach;

/// The action that beats every other with a probability above 1/2, if there is one.
#[must_use]
pub fn condorcet_winner<G: PreferenceGame + ?Sized>(game: &G) -> Option<usize> {
    let n = game.num_actions();
    let beats = |i: usize, j: usize| game.preference(i, j).get() > 0.5;
    // Whoever does not beat `best` is not the winner, and whom `best` beats is not either.
    let best = (1..n).fold(0, |best, i| if beats(best, i) { best } else { i });
    (0..n).all(|j| j == best || beats(best, j)).then_some(best)
}

/// The Smith set, in rising order: the smallest set, not empty, each member of which beats
/// everyone outside it (P > 1/2).
///
/// Sets with that property are nested, so there is a smallest. It is {w} exactly if w is a
/// Condorcet winner. Equivalently, it is the actions that reach every other along "beats or ties
/// with": a **tie keeps** an action in. (Smith, Econometrica 41, 1973; GETCHA of Schwartz, The
/// Logic of Collective Choice, 1986.) See [`schwartz_set`] for the set in which a tie does not.
///
/// Where there are no ties the two are the same and are called the top cycle of the tournament:
/// all actions of it lie on one circle of wins.
///
/// ```
/// use inpo_game::{MatrixGame, analysis};
///
/// // a beats b, b beats c, and a ties with c.
/// let game = MatrixGame::new(vec![
///     vec![0.5, 0.9, 0.5],
///     vec![0.1, 0.5, 0.9],
///     vec![0.5, 0.1, 0.5],
/// ])?;
/// assert_eq!(analysis::smith_set(&game), [0, 1, 2]); // c ties with a, b beats c
/// assert_eq!(analysis::schwartz_set(&game), [0]); // nobody beats a
/// # Ok::<(), inpo_game::GameError>(())
/// ```
#[must_use]
pub fn smith_set<G: PreferenceGame + ?Sized>(game: &G) -> Vec<usize> {
    let majority = Majority::new(game);
    maximal(majority.n, |i, j| i != j && !majority.beats(j, i))
}

/// The Schwartz set, in rising order: the union of all minimal undominated sets, where a set, not
/// empty, is undominated if nobody outside it beats a member (P > 1/2).
///
/// Equivalently, it is the actions i such that whoever reaches i along "beats" is reached from i:
/// the maximal strongly connected components of "beats". A **tie does not keep** an action in. It
/// is a subset of the [`smith_set`] and equal to it where there are no ties; a Condorcet winner is
/// its only member. (GOCHA, often spelt GOTCHA, of Schwartz, The Logic of Collective Choice, 1986;
/// the definitions are compared in Brandt, Brill and Harrenstein, Tournament Solutions, Handbook of
/// Computational Social Choice, 2016.)
#[must_use]
pub fn schwartz_set<G: PreferenceGame + ?Sized>(game: &G) -> Vec<usize> {
    let majority = Majority::new(game);
    maximal(majority.n, |i, j| majority.beats(i, j))
}

/// The maximal elements of the transitive closure of a relation: i such that whoever reaches i is
/// reached from i. They are the components without an edge into them from outside. In n^2 steps.
fn maximal(n: usize, edge: impl Fn(usize, usize) -> bool) -> Vec<usize> {
    // Each of these components holds the root of a search that visits everyone: nothing outside
    // reaches it. The last root lies in one, since whoever reaches it would have been visited by
    // its own search. Going back through the roots, one that no later root reaches lies in one
    // too, for the same reason.
    let mut visited = vec![false; n];
    let mut roots = Vec::new();
    for i in 0..n {
        if !visited[i] {
            roots.push(i);
            reach(i, &edge, &mut visited);
        }
    }
    let mut reached = vec![false; n];
    let mut members = vec![false; n];
    for &root in roots.iter().rev() {
        if !reached[root] {
            reach(root, &edge, &mut reached);
            reach(root, &|i, j| edge(j, i), &mut members);
        }
    }
    (0..n).filter(|&i| members[i]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MatrixGame;
    use crate::games::cyclic_three;

    /// A game of `n` actions in which the pairs (i, j) of `wins` are won with 0.9 and all others
    /// tie.
    fn game(n: usize, wins: &[(usize, usize)]) -> MatrixGame {
        let mut rows = vec![vec![0.5; n]; n];
        for &(i, j) in wins {
            (rows[i][j], rows[j][i]) = (0.9, 0.1);
        }
        MatrixGame::new(rows).unwrap()
    }

    #[test]
    fn a_condorcet_winner_is_alone_in_both_sets() {
        let game = game(4, &[(2, 0), (2, 1), (2, 3), (0, 1), (1, 3), (3, 0)]);
        assert_eq!(condorcet_winner(&game), Some(2));
        assert_eq!(smith_set(&game), [2]);
        assert_eq!(schwartz_set(&game), [2]);
    }

    #[test]
    fn a_circle_on_top_is_both_sets() {
        assert_eq!(condorcet_winner(&cyclic_three()), None);
        assert_eq!(smith_set(&cyclic_three()), [0, 1, 2]);
        // The circle 1, 2, 3 beats 0 and 4; 0 beats 4.
        let wins = [(1, 2), (2, 3), (3, 1), (1, 0), (2, 0), (3, 0)];
        let below = [(1, 4), (2, 4), (3, 4), (0, 4)];
        let game = game(5, &[wins.as_slice(), &below].concat());
        assert_eq!(smith_set(&game), [1, 2, 3]);
        assert_eq!(schwartz_set(&game), [1, 2, 3]);
    }

    #[test]
    fn ties_tell_the_two_sets_apart() {
        // 0 beats 1; 2 ties with both. No two have a member that beats 2, so Smith has all three.
        // {0} and {2} are undominated: Schwartz has these.
        let one = game(3, &[(0, 1)]);
        assert_eq!(smith_set(&one), [0, 1, 2]);
        assert_eq!(schwartz_set(&one), [0, 2]);
        // Two circles that tie with each other, both minimal and undominated.
        let two = game(6, &[(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)]);
        assert_eq!(schwartz_set(&two), [0, 1, 2, 3, 4, 5]);
        // 0 beats 1, 1 and 3 beat 2, the rest ties: {0} and {3} are undominated, {0, 1} is not minimal.
        let chain = game(4, &[(0, 1), (1, 2), (3, 2)]);
        assert_eq!(smith_set(&chain), [0, 1, 2, 3]);
        assert_eq!(schwartz_set(&chain), [0, 3]);
    }

    #[test]
    fn all_ties_and_one_action() {
        assert_eq!(condorcet_winner(&game(3, &[])), None);
        assert_eq!(smith_set(&game(3, &[])), [0, 1, 2]);
        assert_eq!(schwartz_set(&game(3, &[])), [0, 1, 2]);
        assert_eq!(condorcet_winner(&game(1, &[])), Some(0));
        assert_eq!(smith_set(&game(1, &[])), [0]);
        assert_eq!(schwartz_set(&game(1, &[])), [0]);
    }
}
