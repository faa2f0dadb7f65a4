//! The Nash policy of the plain game by linear programming.

use microlp::{ComparisonOp, OptimizationDirection, Problem};

use super::EquilibriumError;
use crate::linalg::{dot, solve};
use crate::{PreferenceGame, Strategy, exploitability};

/// The exploitability that [`nash`] guarantees.
const ALLOWED: f64 = 1e-9;

/// Probabilities below this are zeros of the linear program.
const SUPPORT: f64 = 1e-9;

/// Actions that win within this of 1/2 are taken to hold their equation exactly.
const TIGHT: f64 = 1e-7;

/// A Nash policy of the plain game, with an exploitability of at most 1e-9.
///
/// The game is symmetric with value 1/2, so pi is a Nash policy exactly if P pi <= 1/2 in every
/// entry. With y = pi / v this is the linear program
///
/// ```text
/// maximise sum y   subject to   P y <= 1,  y >= 0;        pi = y / sum y
/// ```
///
/// solved by the simplex method. The vertex it returns is then polished: the equations
/// (P pi)_y = 1/2 of the actions that hold them, restricted to the support, are solved again in
/// f64, which takes the error from the simplex tolerance to rounding. If there are several Nash
/// policies, this is one of them.
///
/// ```
/// use inpo_game::{games, nash};
///
/// let pi = nash(&games::cyclic_three())?;
/// assert!((pi[0] - 4.0 / 11.0).abs() < 1e-12);
/// assert!((pi[1] - 3.0 / 11.0).abs() < 1e-12);
/// # Ok::<(), inpo_game::EquilibriumError>(())
/// ```
///
/// # Errors
/// [`EquilibriumError::LinearProgram`] if the solver fails, [`EquilibriumError::NotConverged`] if
/// its answer is more exploitable than 1e-9.
pub fn nash<G: PreferenceGame + ?Sized>(game: &G) -> Result<Strategy, EquilibriumError> {
    let vertex = simplex_vertex(game)?;
    let polished = polish(game, &vertex);
    let best = match polished {
        Some(p) if nash_residual(game, &p) <= nash_residual(game, &vertex) => p,
        _ => vertex,
    };
    let residual = exploitability(game, &best);
    if residual > ALLOWED {
        return Err(EquilibriumError::NotConverged {
            residual,
            allowed: ALLOWED,
        });
    }
    Ok(best)
}

/// How far a strategy is from the conditions of a Nash policy of the plain game:
///
/// ```text
/// max_y | min(pi(y), 1/2 - P(y > pi)) |
/// ```
///
/// Zero exactly at a Nash policy: nothing wins more than half, and what wins less is not played.
#[must_use]
pub fn nash_residual<G: PreferenceGame + ?Sized>(game: &G, strategy: &Strategy) -> f64 {
    let rates = game.win_rates(strategy);
    let miss = |(p, rate): (&f64, &f64)| p.min(0.5 - rate).abs();
    strategy.iter().zip(&rates).map(miss).fold(0.0, f64::max)
}

fn simplex_vertex<G: PreferenceGame + ?Sized>(game: &G) -> Result<Strategy, EquilibriumError> {
    let failed = |reason: String| EquilibriumError::LinearProgram { reason };
    let n = game.num_actions();
    let mut program = Problem::new(OptimizationDirection::Maximize);
    let variables: Vec<_> = (0..n)
        .map(|_| program.add_var(1.0, (0.0, f64::INFINITY)))
        .collect();
    for row in 0..n {
        let terms: Vec<_> = (0..n)
            .map(|column| (variables[column], game.preference(row, column).get()))
            .collect();
        program.add_constraint(&terms, ComparisonOp::Le, 1.0);
    }
    let solved = program.solve().map_err(|error| failed(error.to_string()))?;
    let solution = solved
        .into_solution()
        .map_err(|_| failed("it was interrupted".to_owned()))?;
    let weights: Vec<f64> = variables.iter().map(|&v| solution[v].max(0.0)).collect();
    let sum: f64 = weights.iter().sum();
    let probabilities = weights.iter().map(|w| w / sum).collect();
    Strategy::new(probabilities).map_err(|error| failed(error.to_string()))
}

/// Solves the support's equations again, in the least-squares sense, by iterated Newton
/// corrections with a tiny ridge: the ridge lets a degenerate vertex through and its effect
/// vanishes over the corrections. `None` if a probability leaves [0, 1].
fn polish<G: PreferenceGame + ?Sized>(game: &G, vertex: &Strategy) -> Option<Strategy> {
    const RIDGE: f64 = 1e-10;
    const CORRECTIONS: usize = 8;

    let n = game.num_actions();
    let rates = game.win_rates(vertex);
    let support: Vec<usize> = (0..n).filter(|&y| vertex[y] > SUPPORT).collect();
    let tight = (0..n).filter(|&y| vertex[y] > SUPPORT || rates[y] > 0.5 - TIGHT);
    let k = support.len();

    // Rows of M x = b: sum_j (p_ij - 1/2) x_j = 0 for tight i, and sum x = 1.
    let mut rows: Vec<Vec<f64>> = tight
        .map(|i| {
            support
                .iter()
                .map(|&j| game.preference(i, j).get() - 0.5)
                .collect()
        })
        .collect();
    rows.push(vec![1.0; k]);
    let last = rows.len() - 1;

    let mut normal = vec![0.0; k * k];
    for row in &rows {
        for (a, line) in row.iter().zip(normal.chunks_exact_mut(k)) {
            line.iter_mut().zip(row).for_each(|(m, b)| *m += a * b);
        }
    }
    let scale = (0..k).map(|i| normal[i * k + i]).fold(0.0, f64::max);
    (0..k).for_each(|i| normal[i * k + i] += RIDGE * scale);

    let mut x: Vec<f64> = support.iter().map(|&y| vertex[y]).collect();
    for _ in 0..CORRECTIONS {
        let mut correction = vec![0.0; k];
        for (i, row) in rows.iter().enumerate() {
            let target = if i == last { 1.0 } else { 0.0 };
            let miss = target - dot(row, &x);
            correction
                .iter_mut()
                .zip(row)
                .for_each(|(c, m)| *c += m * miss);
        }
        if !solve(&mut normal.clone(), &mut correction) {
            return None;
        }
        x.iter_mut().zip(&correction).for_each(|(x, c)| *x += c);
    }
    let mut probabilities = vec![0.0; n];
    for (&y, &p) in support.iter().zip(&x) {
        probabilities[y] = p;
    }
    Strategy::new(probabilities).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MatrixGame;
    use crate::games::cyclic_three;

    /// The polished solution is exact up to rounding.
    const EXACT: f64 = 1e-13;

    #[test]
    fn the_cyclic_game_has_its_known_nash() {
        let game = cyclic_three();
        let pi = nash(&game).unwrap();
        for (got, want) in pi.iter().zip([4.0 / 11.0, 3.0 / 11.0, 4.0 / 11.0]) {
            assert!((got - want).abs() < EXACT, "{got} is not {want}");
        }
        assert!(exploitability(&game, &pi).abs() < EXACT);
        assert!(nash_residual(&game, &pi) < EXACT);
    }

    #[test]
    fn a_winner_of_all_is_played_alone() {
        let game = MatrixGame::new(vec![
            vec![0.5, 0.4, 0.2],
            vec![0.6, 0.5, 0.7],
            vec![0.8, 0.3, 0.5],
        ])
        .unwrap();
        assert_eq!(nash(&game).unwrap().as_slice(), [0.0, 1.0, 0.0]);
    }

    #[test]
    fn degenerate_games_have_a_nash_too() {
        // Every strategy is a Nash policy of the flat game; one action is a game as well.
        for n in [1, 2, 5] {
            let flat = MatrixGame::new(vec![vec![0.5; n]; n]).unwrap();
            assert!(exploitability(&flat, &nash(&flat).unwrap()).abs() < EXACT);
        }
        // Two copies of the cyclic game's first action: a segment of Nash policies.
        let twin = MatrixGame::new(vec![
            vec![0.5, 0.5, 0.1, 0.8],
            vec![0.5, 0.5, 0.1, 0.8],
            vec![0.9, 0.9, 0.5, 0.1],
            vec![0.2, 0.2, 0.9, 0.5],
        ])
        .unwrap();
        let pi = nash(&twin).unwrap();
        assert!(exploitability(&twin, &pi).abs() < EXACT);
        assert!((pi[0] + pi[1] - 4.0 / 11.0).abs() < EXACT);
    }

    #[test]
    fn the_residual_is_large_away_from_the_nash() {
        // Uniform on the cyclic game: c wins 8/15, so it misses by 1/30.
        let residual = nash_residual(&cyclic_three(), &Strategy::uniform(3));
        assert!((residual - 1.0 / 30.0).abs() < EXACT);
    }
}
