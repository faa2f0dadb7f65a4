//! How many answers must change until a prompt's responses are ranked.

use serde::{Deserialize, Serialize};

use super::{Outcome, asked};
use crate::Answers;

/// The most responses whose order is computed: the search visits 3^K divisions, half a million for 12.
pub const MAX_RESPONSES: usize = 12;

/// How far a prompt's preference is from a weak order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeakOrder {
    /// The fewest comparisons whose outcome must change.
    pub violations: usize,
    /// Comparisons that were asked.
    pub comparisons: usize,
    /// A nearest weak order: groups of equals, the best first.
    pub groups: Vec<Vec<usize>>,
}

/// A prompt with too many responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a nearest order of {0} responses is not computed: the search takes 3^K steps and is done for up to {MAX_RESPONSES}"
)]
pub struct TooManyResponses(pub usize);

/// The nearest weak order of one prompt's responses: the fewest comparisons whose outcome must be changed so that the
/// responses fall into groups, everyone of a group ties with everyone of it and beats everyone of the groups after it.
///
/// An outcome is that of P > 1/2, P = 1/2 or P < 1/2, and each that differs costs 1, whatever it becomes. A comparison
/// that was not asked costs nothing. The mean of `violations` over prompts is the TOV of Sage (arXiv 2512.16041): its
/// scale depends on the number of responses.
///
/// Exact, by dynamic programming over the set of responses already placed: with cost(A, G) the changes if group G
/// follows all of A, best(S) = min over G in S, G not empty, of best(S - G) + cost(S - G, G).
///
/// Of several nearest orders one is returned, the same for the same answers.
///
/// ```
/// use inpo_oracle::{Answers, report::weak_order::weak_order};
///
/// let (won, lost, half) = (Some(1.0), Some(0.0), Some(0.5));
/// let circle = vec![vec![half, won, lost], vec![lost, half, won], vec![won, lost, half]];
/// assert_eq!(weak_order(&Answers::from_matrix(circle))?.violations, 1);
/// # Ok::<(), inpo_oracle::report::weak_order::TooManyResponses>(())
/// ```
///
/// # Errors
///
/// More than [`MAX_RESPONSES`] responses.
pub fn weak_order(answers: &Answers) -> Result<WeakOrder, TooManyResponses> {
    let count = answers.count();
    if count > MAX_RESPONSES {
        return Err(TooManyResponses(count));
    }
    // Sets of responses are bits: those who, stated otherwise, would not beat or not tie with a response.
    let mut not_above = vec![0_usize; count];
    let mut not_equal = vec![0_usize; count];
    let mut comparisons = 0;
    for (i, j, p) in asked(answers) {
        comparisons += 1;
        let outcome = Outcome::of(p);
        if outcome != Outcome::Tie {
            not_equal[i] |= 1 << j;
            not_equal[j] |= 1 << i;
        }
        if outcome != Outcome::First {
            not_above[j] |= 1 << i;
        }
        if outcome != Outcome::Second {
            not_above[i] |= 1 << j;
        }
    }
    let members = |set: usize| (0..count).filter(move |k| set >> k & 1 == 1);
    let size = |set: usize| set.count_ones() as usize;
    let within: Vec<usize> = (0..1 << count)
        .map(|set: usize| {
            members(set)
                .map(|k| size(not_equal[k] & set))
                .sum::<usize>()
                / 2
        })
        .collect();
    // best[S] and the group that comes last in it.
    let mut best = vec![(0, 0); 1 << count];
    for set in 1..1_usize << count {
        let mut least = (usize::MAX, 0);
        let mut group = set;
        while group > 0 {
            let above = set & !group;
            let between: usize = members(group).map(|k| size(not_above[k] & above)).sum();
            let cost = best[above].0 + within[group] + between;
            if cost < least.0 {
                least = (cost, group);
            }
            group = (group - 1) & set;
        }
        best[set] = least;
    }
    let mut set = (1 << count) - 1;
    let violations = best[set].0;
    let mut groups = Vec::new();
    while set > 0 {
        let group = best[set].1;
        groups.push(members(group).collect());
        set &= !group;
    }
    groups.reverse();
    Ok(WeakOrder {
        violations,
        comparisons,
        groups,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt, SeedableRng};

    fn answers(count: usize, stated: &[(usize, usize, f64)]) -> Answers {
        let mut matrix = vec![vec![None; count]; count];
        for &(i, j, p) in stated {
            matrix[i][j] = Some(p);
            matrix[j][i] = Some(1.0 - p);
        }
        Answers::from_matrix(matrix)
    }

    #[test]
    fn orders_and_ties_are_no_violations() {
        let order = answers(3, &[(0, 1, 0.0), (1, 2, 1.0), (0, 2, 0.9)]);
        let found = weak_order(&order).unwrap();
        assert_eq!((found.violations, found.comparisons), (0, 3));
        assert_eq!(found.groups, [[1], [0], [2]]);
        let tied = answers(3, &[(0, 1, 0.5), (1, 2, 0.8), (0, 2, 0.8)]);
        let found = weak_order(&tied).unwrap();
        assert_eq!(found.violations, 0);
        assert_eq!(found.groups, [vec![0, 1], vec![2]]);
    }

    /// 0 ~ 1 and 1 ~ 2 but 0 > 2: no order says so. One tie becomes a win, or the win a tie: 1. Sage calls this a
    /// violation as well: ties must be transitive.
    #[test]
    fn ties_that_are_not_transitive_cost_one() {
        let found = weak_order(&answers(3, &[(0, 1, 0.5), (1, 2, 0.5), (0, 2, 1.0)])).unwrap();
        assert_eq!(found.violations, 1);
        // Without the question 0 : 2, ties all round are an order.
        let found = weak_order(&answers(3, &[(0, 1, 0.5), (1, 2, 0.5)])).unwrap();
        assert_eq!(found.violations, 0);
    }

    /// The rotating tournament of five (each beats the next two): against the order 0 1 2 3 4, three answers differ,
    /// 3 > 0, 4 > 0 and 4 > 1. Fewer do not suffice: it has five cyclic triples i > i + 1 > i + 3 > i, each needs a
    /// change, and no answer belongs to more than two of them, so at least 5/2 are changed.
    #[test]
    fn the_rotating_tournament_of_five_costs_three() {
        let wins: Vec<(usize, usize, f64)> = (0..5)
            .flat_map(|i| [(i, (i + 1) % 5, 1.0), (i, (i + 2) % 5, 1.0)])
            .collect();
        assert_eq!(weak_order(&answers(5, &wins)).unwrap().violations, 3);
    }

    /// Against trying every assignment of levels 0..K to the K responses, which covers every weak order.
    #[test]
    fn the_search_agrees_with_trying_every_order() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for case in 0..60_usize {
            let count = 2 + case % 4;
            let mut stated = Vec::new();
            for i in 0..count {
                for j in i + 1..count {
                    if rng.random::<f64>() < 0.85 {
                        stated.push((i, j, f64::from(rng.random_range(0..3_u8)) / 2.0));
                    }
                }
            }
            let mut fewest = usize::MAX;
            for code in 0..count.pow(count as u32) {
                let level = |k: usize| code / count.pow(k as u32) % count;
                let differs = |&&(i, j, p): &&(usize, usize, f64)| {
                    let order = level(j).cmp(&level(i));
                    let said = p.total_cmp(&0.5);
                    order != said
                };
                fewest = fewest.min(stated.iter().filter(differs).count());
            }
            let found = weak_order(&answers(count, &stated)).unwrap();
            assert_eq!(found.violations, fewest, "{stated:?}");
        }
    }

    #[test]
    fn twelve_responses_are_searched_and_thirteen_refused() {
        let stated: Vec<(usize, usize, f64)> = (0..12)
            .flat_map(|i| (i + 1..12).map(move |j| (i, j, 1.0)))
            .collect();
        let found = weak_order(&answers(12, &stated)).unwrap();
        assert_eq!((found.violations, found.groups.len()), (0, 12));
        assert_eq!(
            weak_order(&Answers::new(13)).unwrap_err().to_string(),
            "a nearest order of 13 responses is not computed: the search takes 3^K steps and is done for up to 12"
        );
        assert_eq!(weak_order(&Answers::new(0)).unwrap().violations, 0);
    }
}
