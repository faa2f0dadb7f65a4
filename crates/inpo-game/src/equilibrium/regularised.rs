//! The Nash policy of the KL-regularised game by Newton's method.

use super::EquilibriumError;
use crate::linalg::{Lu, dot};
use crate::{PreferenceGame, Strategy, regularised_best_response};

/// The residual that [`regularised_nash`] guarantees.
const ALLOWED: f64 = 1e-12;

/// Corrections for one value of tau; quadratic convergence needs about five.
const MAX_CORRECTIONS: usize = 200;

/// A correction that does not lower |F| when shortened to this is no use.
const SHORTEST_STEP: f64 = 1e-10;

/// An |F| from which on Newton's method converges quadratically or is disturbed by rounding.
const NEAR: f64 = 1e-12;

/// tau falls by this factor along the path.
const PATH_FACTOR: f64 = 0.5;

/// How well a point of the path that is only passed is solved, in nats of the policy's logits.
const PATH_ACCURACY: f64 = 1e-2;

/// Below this tau the win rates divided by it overflow.
const SMALLEST_TAU: f64 = 1e-300;

/// From this tau on the residual of 1e-12 is reached: a win rate is right to some 1e-16, which the
/// best response divides by tau. Below, it depends on the game.
const COMFORTABLE_TAU: f64 = 1e-5;

/// Where the path starts: from here on the best response hardly depends on the opponent.
const PATH_START: f64 = 1.0;

/// The unique Nash policy of the regularised game: the fixed point pi = BR_tau(pi), to a
/// [residual](regularised_nash_residual) of 1e-12.
///
/// With A = P - 1/2 (skew-symmetric) the unknown is the vector w of advantages over 1/2:
///
/// ```text
/// F(w) = w - A softmax(log ref + w / tau) = 0,     F'(w) = I - A S / tau,   S = diag(pi) - pi pi^T
/// ```
///
/// A S is a skew matrix times a positive semi-definite one, so its eigenvalues are imaginary, F'
/// has eigenvalues 1 +- i s / tau and is never singular: Newton's direction always exists and
/// lowers |F|. Each step is damped until it does. tau is lowered from 1 by halves to the one
/// asked for, and each solution starts the next. Actions with reference 0 stay at 0.
///
/// The work is one factorisation a correction, of a matrix over the actions that are played at all,
/// some twenty for tau = 0.01.
///
/// How right are the entries? In the metric of S the system is the identity plus a skew matrix, so
/// an error e of the win rates moves pi(y) by at most sqrt(pi(y)) e / tau. With e of about 1e-16
/// the entries are right to 1e-12 for tau >= 1e-4, and so is the residual down to tau = 1e-5.
///
/// ```
/// use inpo_game::{games, regularised_nash, Strategy};
///
/// let pi = regularised_nash(&games::cyclic_three(), &Strategy::uniform(3), 0.1)?;
/// assert!((pi[0] - 0.3371358500656738).abs() < 1e-12);
/// # Ok::<(), inpo_game::EquilibriumError>(())
/// ```
///
/// # Errors
/// [`EquilibriumError::Tau`], [`EquilibriumError::ReferenceLength`],
/// [`EquilibriumError::TauTooSmall`] when rounding stops the search first, which it may only for
/// tau < 1e-5, and [`EquilibriumError::NotConverged`] when something else does.
pub fn regularised_nash<G: PreferenceGame + ?Sized>(
    game: &G,
    reference: &Strategy,
    tau: f64,
) -> Result<Strategy, EquilibriumError> {
    if !(tau > 0.0 && tau.is_finite()) {
        return Err(EquilibriumError::Tau { tau });
    }
    if reference.num_actions() != game.num_actions() {
        return Err(EquilibriumError::ReferenceLength {
            got: reference.num_actions(),
            expected: game.num_actions(),
        });
    }
    if tau < SMALLEST_TAU {
        return Err(EquilibriumError::TauTooSmall {
            tau,
            residual: f64::INFINITY,
            allowed: ALLOWED,
        });
    }
    let mut newton = Newton::new(game, reference);
    let mut step_tau = tau.max(PATH_START);
    while step_tau > tau {
        newton.correct(step_tau, PATH_ACCURACY * step_tau);
        step_tau = (step_tau * PATH_FACTOR).max(tau);
    }
    newton.correct(tau, 0.0);
    let strategy = newton.strategy(reference.num_actions(), tau);
    let residual = regularised_nash_residual(game, &strategy, reference, tau);
    let allowed = ALLOWED;
    if residual <= allowed {
        Ok(strategy)
    } else if tau < COMFORTABLE_TAU {
        Err(EquilibriumError::TauTooSmall {
            tau,
            residual,
            allowed,
        })
    } else {
        Err(EquilibriumError::NotConverged { residual, allowed })
    }
}

/// max_y |pi(y) - BR_tau(pi)(y)|: zero exactly at the regularised Nash policy.
///
/// # Panics
/// If `tau` is not positive and finite, or a length is not the game's.
#[must_use]
pub fn regularised_nash_residual<G: PreferenceGame + ?Sized>(
    game: &G,
    strategy: &Strategy,
    reference: &Strategy,
    tau: f64,
) -> f64 {
    let response = regularised_best_response(game, strategy, reference, tau);
    let miss = |(p, b): (&f64, &f64)| (p - b).abs();
    strategy
        .iter()
        .zip(response.iter())
        .map(miss)
        .fold(0.0, f64::max)
}

/// The system on the support of the reference.
struct Newton {
    /// The actions with positive reference, k of them.
    support: Vec<usize>,
    log_reference: Vec<f64>,
    /// A = P - 1/2 on the support, k x k, row-major.
    skew: Vec<f64>,
    /// The unknown w, k entries.
    advantage: Vec<f64>,
}

impl Newton {
    fn new<G: PreferenceGame + ?Sized>(game: &G, reference: &Strategy) -> Self {
        let support: Vec<usize> = (0..game.num_actions())
            .filter(|&y| reference[y] > 0.0)
            .collect();
        let entry = |i: usize, j: usize| game.preference(i, j).get() - 0.5;
        let skew = support
            .iter()
            .flat_map(|&i| support.iter().map(move |&j| entry(i, j)))
            .collect();
        Self {
            log_reference: support.iter().map(|&y| reference[y].ln()).collect(),
            advantage: vec![0.0; support.len()],
            support,
            skew,
        }
    }

    /// softmax(log ref + w / tau) on the support.
    fn policy(&self, advantage: &[f64], tau: f64) -> Strategy {
        let logits: Vec<f64> = self
            .log_reference
            .iter()
            .zip(advantage)
            .map(|(r, w)| r + w / tau)
            .collect();
        Strategy::from_logits(&logits).expect("finite logits")
    }

    /// F(w), and its norm.
    fn miss(&self, advantage: &[f64], policy: &Strategy) -> (Vec<f64>, f64) {
        let k = advantage.len();
        let rows = self.skew.chunks_exact(k);
        let miss: Vec<f64> = advantage
            .iter()
            .zip(rows)
            .map(|(w, a)| w - dot(a, policy))
            .collect();
        let norm = dot(&miss, &miss).sqrt();
        (miss, norm)
    }

    /// Damped Newton corrections at one tau, until |F| is at most `enough` or no longer falls.
    fn correct(&mut self, tau: f64, enough: f64) {
        let mut policy = self.policy(&self.advantage, tau);
        let (mut miss, mut norm) = self.miss(&self.advantage, &policy);
        for _ in 0..MAX_CORRECTIONS {
            if norm <= enough {
                return;
            }
            let Some(direction) = self.direction(&policy, &miss, tau) else {
                return;
            };
            let mut damping = 1.0;
            let fallen = loop {
                let trial: Vec<f64> = self
                    .advantage
                    .iter()
                    .zip(&direction)
                    .map(|(w, d)| w - damping * d)
                    .collect();
                let trial_policy = self.policy(&trial, tau);
                let (trial_miss, trial_norm) = self.miss(&trial, &trial_policy);
                if trial_norm < (1.0 - 1e-4 * damping) * norm {
                    let fallen = trial_norm / norm;
                    self.advantage = trial;
                    (policy, miss, norm) = (trial_policy, trial_miss, trial_norm);
                    break fallen;
                }
                damping *= 0.5;
                if damping < SHORTEST_STEP {
                    return;
                }
            };
            if norm < NEAR && fallen > 0.5 {
                return; // Newton's method converges quadratically here: this is rounding.
            }
        }
    }

    /// Newton's direction F'(w)^-1 F(w). `None` if rounding made F' singular.
    ///
    /// Column y of F' is that of the identity up to pi(y) / tau. Where this is below rounding, the
    /// action follows from the others, which are solved for alone.
    fn direction(&self, policy: &[f64], miss: &[f64], tau: f64) -> Option<Vec<f64>> {
        let k = miss.len();
        let negligible = f64::EPSILON * tau / k as f64;
        let played: Vec<usize> = (0..k).filter(|&y| policy[y] > negligible).collect();
        let m = played.len();
        // Row i of A S / tau: (A_ij - (A pi)_i) pi_j / tau.
        let row = |i: usize| {
            let payoffs = &self.skew[i * k..(i + 1) * k];
            let mean = dot(payoffs, policy);
            played
                .iter()
                .map(move |&j| (payoffs[j] - mean) * policy[j] / tau)
        };
        let mut jacobian = vec![0.0; m * m];
        for (at, (out, &i)) in jacobian.chunks_exact_mut(m).zip(&played).enumerate() {
            out.iter_mut().zip(row(i)).for_each(|(out, a)| *out = -a);
            out[at] += 1.0;
        }
        let mut solved: Vec<f64> = played.iter().map(|&y| miss[y]).collect();
        Lu::new(jacobian, m)?.solve(&mut solved);
        let mut direction = vec![f64::NAN; k];
        for (&y, &d) in played.iter().zip(&solved) {
            direction[y] = d;
        }
        for (i, d) in direction.iter_mut().enumerate() {
            if d.is_nan() {
                *d = miss[i] + row(i).zip(&solved).map(|(a, d)| a * d).sum::<f64>();
            }
        }
        Some(direction)
    }

    /// The policy over all actions.
    fn strategy(&self, num_actions: usize, tau: f64) -> Strategy {
        let policy = self.policy(&self.advantage, tau);
        let mut all = vec![0.0; num_actions];
        for (&y, &p) in self.support.iter().zip(policy.iter()) {
            all[y] = p;
        }
        Strategy::new(all).expect("a softmax")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::games::cyclic_three;
    use crate::{MatrixGame, duality_gap, kl, regularised_duality_gap};

    /// The tables of `inpo.md` 11.2 and 11.3 are met to this.
    const TABLE: f64 = 1e-12;

    fn check(reference: &Strategy, tau: f64, want: [f64; 3], plain_gap: f64) {
        let game = cyclic_three();
        let pi = regularised_nash(&game, reference, tau).unwrap();
        for (got, want) in pi.iter().zip(want) {
            assert!((got - want).abs() < TABLE, "{got} is not {want}");
        }
        assert!((duality_gap(&game, &pi) - plain_gap).abs() < TABLE);
        assert!(regularised_duality_gap(&game, &pi, reference, tau).abs() < 1e-15);
        // One rounding of a win rate, 1e-16, moves the response by 1e-16 / tau.
        let residual = regularised_nash_residual(&game, &pi, reference, tau);
        assert!(residual < 2e-16 / tau, "{residual}");
    }

    #[test]
    fn the_three_known_points_of_the_cyclic_game() {
        let uniform = Strategy::uniform(3);
        check(
            &uniform,
            0.1,
            [0.3371358500656738, 0.2834641090988817, 0.37940004083544443],
            0.024489777239701027,
        );
        check(
            &uniform,
            0.01,
            [0.3609620458023815, 0.2728577522789052, 0.36618020191871326],
            0.0017089743416951464,
        );
        check(
            &Strategy::new(vec![0.25, 0.45, 0.30]).unwrap(),
            0.2,
            [0.24907627897693874, 0.3334710059782671, 0.41745271504479414],
            0.11733103739645045,
        );
    }

    #[test]
    fn kl_from_the_nash_to_the_policies_of_the_table() {
        let reference = Strategy::new(vec![0.25, 0.45, 0.30]).unwrap();
        let nash = regularised_nash(&cyclic_three(), &reference, 0.2).unwrap();
        let pi_t = Strategy::new(vec![0.5, 0.3, 0.2]).unwrap();
        let next = [0.3340341277183885, 0.44579645024419245, 0.2201694220374191];
        let next = Strategy::new(next.to_vec()).unwrap();
        assert!((kl(&nash, &pi_t) - 0.16888805956011688).abs() < TABLE);
        assert!((kl(&nash, &next) - 0.09716665526574458).abs() < TABLE);
    }

    #[test]
    fn an_action_without_reference_is_never_played() {
        let reference = Strategy::new(vec![0.5, 0.0, 0.5]).unwrap();
        let pi = regularised_nash(&cyclic_three(), &reference, 0.05).unwrap();
        assert_eq!(pi[1], 0.0);
        assert!(pi[0] > 0.99, "a beats c with 0.8: {pi:?}");
    }

    #[test]
    fn hundreds_of_actions_and_a_small_tau() {
        // Win probabilities from a fixed low-discrepancy sequence: no transitivity at all.
        let n = 200;
        let upper = |i: usize, j: usize| ((i * n + j) as f64 * 0.618_033_988_749_894_9).fract();
        let entry = |i: usize, j: usize| match i.cmp(&j) {
            std::cmp::Ordering::Less => upper(i, j),
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Greater => 1.0 - upper(j, i),
        };
        let rows = (0..n)
            .map(|i| (0..n).map(|j| entry(i, j)).collect())
            .collect();
        let game = MatrixGame::new(rows).unwrap();
        for tau in [0.01, 0.001] {
            let uniform = Strategy::uniform(n);
            let pi = regularised_nash(&game, &uniform, tau).unwrap();
            let gap = regularised_duality_gap(&game, &pi, &uniform, tau);
            assert!(gap.abs() < 1e-14, "{gap} at tau {tau}");
        }
    }

    #[test]
    fn bad_arguments_have_sentences() {
        let game = cyclic_three();
        for tau in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let error = regularised_nash(&game, &Strategy::uniform(3), tau).unwrap_err();
            assert!(error.to_string().contains("needs a positive finite tau"));
        }
        let error = regularised_nash(&game, &Strategy::uniform(2), 0.1).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("has 2 entries, but the game has 3")
        );
    }
}
