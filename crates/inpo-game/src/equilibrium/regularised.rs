//! The Nash policy of the KL-regularised game by Newton's method.

use super::{EquilibriumError, skew};
use crate::linalg::{Lu, dot};
use crate::{PreferenceGame, Strategy};

/// The residual that [`regularised_nash`] guarantees.
const ALLOWED: f64 = 1e-12;

/// Corrections for one value of tau; quadratic convergence needs about five.
const MAX_CORRECTIONS: usize = 200;

/// A correction that does not lower |F| when shortened to this is no use.
const SHORTEST_STEP: f64 = 1e-10;

/// An |F| from which on Newton's method converges quadratically or is disturbed by rounding.
const NEAR: f64 = 1e-12;

/// The temperature t falls by this factor along the path.
const PATH_FACTOR: f64 = 0.5;

/// How well a point of the path that is only passed is solved, in nats of the policy's logits.
const PATH_ACCURACY: f64 = 1e-2;

/// Below this tau the win rates divided by it overflow.
const SMALLEST_TAU: f64 = 1e-300;

/// An error of this size in the win rates is rounding, also where an extreme reference magnifies
/// it. The best response divides it by tau.
const ROUNDING: f64 = 1e-14;

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
/// lowers |F|. Each step is damped until it does. The path to it leads through
///
/// ```text
/// pi proportional to exp((tau log ref + w) / t),      t = 1, 1/2, .., tau
/// ```
///
/// in which each solution starts the next: the reference counts as a payoff of tau log ref, the same all
/// the way, and an action that it hardly plays does not enter with a jump. Actions with reference
/// 0 stay at 0.
///
/// The work is one factorisation a correction, of a matrix over the actions that are played at all,
/// some twenty for tau = 0.01.
///
/// How right are the entries? In the metric of S the system is the identity plus a skew matrix, so
/// an error e of the win rates moves pi(y) by at most sqrt(pi(y)) e / tau. With e of some 1e-16
/// the entries, and the residual, are right to 1e-12 for tau >= 1e-3 and any reference that is not
/// extreme (below 1e-100). Games of hundreds of actions, which play each of them little, go down
/// to tau = 1e-5.
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
/// [`EquilibriumError::TauTooSmall`] when rounding ends the search above 1e-12, and
/// [`EquilibriumError::NotConverged`] when something else does.
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
    let mut newton = Newton::new(game, reference, tau);
    let mut temperature = tau.max(PATH_START);
    while temperature > tau {
        let enough = PATH_ACCURACY * temperature;
        let norm = newton.correct(temperature, enough);
        // Where rounding is in the way already, there is no path any more.
        let blurred = enough < norm && norm < NEAR;
        temperature = if blurred {
            tau
        } else {
            (temperature * PATH_FACTOR).max(tau)
        };
    }
    newton.correct(tau, 0.0);
    let strategy = newton.strategy(reference.num_actions());
    let residual = regularised_nash_residual(game, &strategy, reference, tau);
    let allowed = ALLOWED;
    if residual <= allowed {
        Ok(strategy)
    } else if residual * tau <= ROUNDING {
        Err(EquilibriumError::TauTooSmall {
            tau,
            residual,
            allowed,
        })
    } else {
        Err(EquilibriumError::NotConverged { residual, allowed })
    }
}

/// max_y |pi(y) - BR_tau(pi)(y)| with the [best response](crate::regularised_best_response): zero
/// exactly at the regularised Nash policy.
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
    assert!(
        tau > 0.0 && tau.is_finite(),
        "tau is {tau}: it must be positive"
    );
    // `regularised_best_response` without the common 1 / (2 tau), which would cost digits.
    let advantages = game.win_rates(strategy).into_iter().map(|rate| rate - 0.5);
    let logits: Vec<f64> = advantages
        .zip(reference.iter())
        .map(|(w, r)| w / tau + r.ln())
        .collect();
    let response = Strategy::from_logits(&logits).expect("finite on the support of the reference");
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
    tau: f64,
    /// A = P - 1/2 on the support, k x k, row-major.
    skew: Vec<f64>,
    /// The unknown w, k entries.
    advantage: Vec<f64>,
}

impl Newton {
    fn new<G: PreferenceGame + ?Sized>(game: &G, reference: &Strategy, tau: f64) -> Self {
        let support: Vec<usize> = (0..game.num_actions())
            .filter(|&y| reference[y] > 0.0)
            .collect();
        Self {
            log_reference: support.iter().map(|&y| reference[y].ln()).collect(),
            tau,
            skew: skew(game, &support),
            advantage: vec![0.0; support.len()],
            support,
        }
    }

    /// softmax((tau log ref + w) / temperature) on the support.
    fn policy(&self, advantage: &[f64], temperature: f64) -> Strategy {
        let weight = self.tau / temperature;
        let logits: Vec<f64> = self
            .log_reference
            .iter()
            .zip(advantage)
            .map(|(r, w)| weight * r + w / temperature)
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

    /// Damped Newton corrections at one temperature, until |F| is at most `enough` or no longer
    /// falls. Returns |F|.
    fn correct(&mut self, temperature: f64, enough: f64) -> f64 {
        let mut policy = self.policy(&self.advantage, temperature);
        let (mut miss, mut norm) = self.miss(&self.advantage, &policy);
        for _ in 0..MAX_CORRECTIONS {
            if norm <= enough {
                break;
            }
            let Some(direction) = self.direction(&policy, &miss, temperature) else {
                return norm;
            };
            let mut damping = 1.0;
            let fallen = loop {
                let trial: Vec<f64> = self
                    .advantage
                    .iter()
                    .zip(&direction)
                    .map(|(w, d)| w - damping * d)
                    .collect();
                let trial_policy = self.policy(&trial, temperature);
                let (trial_miss, trial_norm) = self.miss(&trial, &trial_policy);
                if trial_norm < (1.0 - 1e-4 * damping) * norm {
                    let fallen = trial_norm / norm;
                    self.advantage = trial;
                    (policy, miss, norm) = (trial_policy, trial_miss, trial_norm);
                    break fallen;
                }
                damping *= 0.5;
                if damping < SHORTEST_STEP {
                    return norm;
                }
            };
            if norm < NEAR && fallen > 0.5 {
                break; // Newton's method converges quadratically here: this is rounding.
            }
        }
        norm
    }

    /// Newton's direction F'(w)^-1 F(w). `None` if rounding made F' singular.
    ///
    /// Column y of F' is that of the identity up to pi(y) / t. Where this is below rounding, the
    /// action follows from the others, which are solved for alone.
    fn direction(&self, policy: &[f64], miss: &[f64], temperature: f64) -> Option<Vec<f64>> {
        let k = miss.len();
        let negligible = f64::EPSILON * temperature.min(1.0) / k as f64;
        let played: Vec<usize> = (0..k).filter(|&y| policy[y] > negligible).collect();
        let m = played.len();
        // Row i of A S / t: (A_ij - (A pi)_i) pi_j / t.
        let row = |i: usize| {
            let payoffs = &self.skew[i * k..(i + 1) * k];
            let mean = dot(payoffs, policy);
            played
                .iter()
                .map(move |&j| (payoffs[j] - mean) * policy[j] / temperature)
        };
        let mut jacobian = vec![0.0; m * m];
        for (at, (out, &i)) in jacobian.chunks_exact_mut(m).zip(&played).enumerate() {
            out.iter_mut().zip(row(i)).for_each(|(out, a)| *out = -a);
            out[at] += 1.0;
        }
        let mut solved: Vec<f64> = played.iter().map(|&y| miss[y]).collect();
        Lu::new(jacobian, m)?.solve(&mut solved);
        let mut known = played.iter().zip(&solved).peekable();
        let direction: Vec<f64> = (0..k)
            .map(|i| match known.next_if(|&(&y, _)| y == i) {
                Some((_, &d)) => d,
                None => miss[i] + row(i).zip(&solved).map(|(a, d)| a * d).sum::<f64>(),
            })
            .collect();
        let finite = direction.iter().all(|d| d.is_finite());
        finite.then_some(direction)
    }

    /// The policy over all actions.
    fn strategy(&self, num_actions: usize) -> Strategy {
        let policy = self.policy(&self.advantage, self.tau);
        let mut all = vec![0.0; num_actions];
        for (&y, &p) in self.support.iter().zip(policy.iter()) {
            all[y] = p;
        }
        Strategy::new(all).expect("a softmax")
    }
}

#[cfg(test)]
mod tests;
