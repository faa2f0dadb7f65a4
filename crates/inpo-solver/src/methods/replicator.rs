//! The replicator dynamics, integrated.

use inpo_game::{PreferenceGame, Strategy};
use num_complex::Complex64;
use serde::{Deserialize, Serialize};

use crate::caution::{circles, grows, rotation};
use crate::mirror::ask;
use crate::{
    Algorithm, Caution, Choice, CompanionState, Feedback, FromChoice, Problem, Reads, Solver,
    SolverError, State,
};

/// The replicator dynamics (Taylor and Jonker, 1978), with the KL of the regularised game: what all
/// small-step mirror descents have in common,
///
/// ```text
/// d/dt log pi(y)  =  P(y > pi) - 1/2 - tau (log(pi(y)/ref(y)) - KL(pi || ref))
/// ```
///
/// one iteration being a step h of the classical Runge-Kutta method of order 4, in logits. Its
/// error is O(h^4) over a given time. The state's companion is the last intermediate point.
///
/// **Requires** 0 < h, so short that the integration is stable for every rotation speed
/// s <= 1/(2 sqrt 2) that a preference game can have (8 at tau = 0, about 2.8 / tau at a large
/// tau); a start with the zeros of the reference.
///
/// **Guarantees**: at tau = 0 with an interior Nash policy pi*, KL(pi* || pi) is a constant of the
/// motion (Hofbauer and Sigmund, 1998): the last iterate circles and only the average converges,
/// at the rate 1/t. At tau > 0, d/dt KL(pi* || pi) = -tau (KL(pi* || pi) + KL(pi || pi*)), so the
/// flow converges linearly whatever tau (derived in this project; follows from the skew symmetry of
/// P - 1/2).
///
/// **Costs** four oracle calls an iteration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replicator {
    /// h, the time of one iteration. (The step, not its inverse: time has a unit here.)
    pub step: f64,
}

impl Replicator {
    /// The replicator dynamics with this step.
    #[must_use]
    pub fn new(step: f64) -> Self {
        Self { step }
    }
}

/// No preference game rotates faster than this: s^2 is the largest eigenvalue of K^T K for a skew
/// K = B (P - 1/2) B^T with 2 s^2 <= |K|_F^2 <= 1/4.
const FASTEST: f64 = 0.353_553_390_593_273_8;

/// What a step h of the Runge-Kutta method multiplies a deviation by, in modulus:
/// |1 + z + z^2/2 + z^3/6 + z^4/24| at z = h (-tau + i s).
fn amplification(step: f64, tau: f64, rotation: f64) -> f64 {
    let z = Complex64::new(-tau * step, rotation * step);
    let one = Complex64::new(1.0, 0.0);
    // Horner's scheme.
    let inner = one + z / 4.0;
    (one + z * (one + z / 2.0 * (one + z / 3.0 * inner))).norm()
}

impl Solver for Replicator {
    type State = CompanionState;

    const ALGORITHMS: &'static [Algorithm] = &[Algorithm {
        name: "replicator",
        help: "The replicator dynamics, by Runge-Kutta",
        reads: Reads {
            step: Some(0.5),
            ..Reads::NOTHING
        },
        ..Algorithm::DEFAULT
    }];

    fn validate<G: PreferenceGame>(&self, problem: &Problem<G>) -> Result<(), SolverError> {
        let step = self.step;
        let damped = |s: f64| amplification(step, problem.tau(), s) <= 1.0;
        let speeds = || (0..=8).map(|part| FASTEST * f64::from(part) / 8.0);
        if step > 0.0 && step.is_finite() && speeds().all(damped) {
            Ok(())
        } else {
            Err(SolverError::Setting {
                setting: "step",
                value: step,
                allowed: "a positive finite time, short enough for Runge-Kutta to be stable in \
                          every preference game (8 at tau = 0, about 2.8 / tau at a large tau)",
            })
        }
    }

    fn step<G: PreferenceGame>(
        &self,
        problem: &Problem<G>,
        feedback: &mut impl Feedback,
        state: &mut CompanionState,
    ) -> Result<(), SolverError> {
        let update = state.iteration() + 1;
        let (tau, h) = (problem.tau(), self.step);
        let CompanionState {
            policy,
            companion: point,
            rates,
            room,
            ..
        } = state;
        let start = policy.log_ratio();
        let sum = room.sized(start.len());
        sum.fill(0.0);
        point.set(problem, update, |y, _| start[y])?;
        // (share of the slope in the sum, how far the next point is along it)
        for (share, next) in [(1.0, 0.5), (2.0, 0.5), (2.0, 1.0), (1.0, 0.0)] {
            let advantages = ask(feedback, point.strategy(), rates)?;
            let ratio = point.log_ratio();
            for ((sum, advantage), ratio) in sum.iter_mut().zip(advantages).zip(ratio) {
                *sum += share * (advantage - tau * ratio);
            }
            if next > 0.0 {
                point.set(problem, update, |y, ratio| {
                    start[y] + next * h * (advantages[y] - tau * ratio)
                })?;
            }
        }
        policy.propose(problem, update, |y, ratio| ratio + h * sum[y] / 6.0)?;
        state.accept(problem, feedback);
        Ok(())
    }

    fn caution<G: PreferenceGame>(&self, problem: &Problem<G>, nash: &Strategy) -> Option<Caution> {
        let tau = problem.tau();
        if tau == 0.0 {
            return circles(self.name(), problem, nash);
        }
        grows(
            self.name(),
            amplification(self.step, tau, rotation(problem, nash)),
        )
    }
}

impl FromChoice for Replicator {
    fn from_choice(choice: &Choice<'_>) -> Result<Self, SolverError> {
        Ok(Self::new(choice.step()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Executor;
    use inpo_game::games::cyclic_three;
    use inpo_game::kl;

    fn problem(tau: f64) -> Problem<inpo_game::MatrixGame> {
        Problem::new(cyclic_three(), Strategy::uniform(3), tau).unwrap()
    }

    fn start() -> Strategy {
        Strategy::new(vec![0.6, 0.3, 0.1]).unwrap()
    }

    fn distances(tau: f64, step: f64, iterations: u64) -> Vec<f64> {
        let problem = problem(tau);
        let run = Executor::new(&problem, Replicator::new(step)).start(start());
        let run = run
            .equilibrium(problem.nash().unwrap())
            .iterations(iterations);
        let history = run.run().unwrap().history;
        history.iter().map(|r| r.kl_to_nash.unwrap()).collect()
    }

    #[test]
    fn the_kl_to_the_nash_is_a_constant_of_the_motion() {
        let drift = |step: f64| {
            let kls = distances(0.0, step, (50.0 / step) as u64);
            (kls[kls.len() - 1] - kls[0]).abs()
        };
        assert!(drift(0.1) < 1e-8, "{}", drift(0.1));
        // Order 4 of the method, and one more for a quantity that is conserved: halving the step
        // divides the drift by 16 at least.
        assert!(drift(0.2) < drift(0.4) / 14.0);
    }

    #[test]
    fn with_a_kl_the_distance_falls_as_it_should() {
        // d/dt KL(pi* || pi) <= -tau KL(pi* || pi).
        let kls = distances(0.1, 0.05, 2000);
        for (n, pair) in kls.windows(2).enumerate().filter(|(_, w)| w[0] > 1e-13) {
            assert!(pair[1] <= pair[0] * (-0.1f64 * 0.05).exp(), "step {n}");
        }
        assert!(kls[2000] < 1e-6);
    }

    #[test]
    fn the_field_is_the_derivative_of_the_flow() {
        // A small step moves by h times the field of the definition.
        let (problem, h) = (problem(0.3), 1e-6);
        let run = Executor::new(&problem, Replicator::new(h))
            .start(start())
            .iterations(1);
        let state = run.run().unwrap().state;
        let (pi, reference) = (start(), Strategy::uniform(3));
        let rates = problem.game().win_rates(&pi);
        for y in 0..3 {
            let pull = (pi[y] / reference[y]).ln() - kl(&pi, &reference);
            let field = pi[y] * (rates[y] - 0.5 - 0.3 * pull);
            let moved = (state.strategy()[y] - pi[y]) / h;
            assert!((moved - field).abs() < 1e-6, "{moved} is not {field}");
        }
        assert_eq!(state.oracle_calls(), 4);
    }

    #[test]
    fn steps_that_cannot_be_integrated_are_refused() {
        for (step, tau) in [
            (0.0, 0.0),
            (-1.0, 0.0),
            (f64::NAN, 0.0),
            (8.1, 0.0),
            (20.0, 0.1),
            (3.0, 1.0),
        ] {
            let error = Replicator::new(step)
                .init(&problem(tau), &Strategy::uniform(3))
                .unwrap_err();
            let want = format!("step is {step}: it must be a positive finite time");
            assert!(error.to_string().contains(&want), "{error}");
        }
    }
}
