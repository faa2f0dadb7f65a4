//! Nash-EMA: mirror descent against an exponential moving average of the policies.

use inpo_game::{PreferenceGame, Strategy};
use num_complex::Complex64;
use serde::{Deserialize, Serialize};

use crate::caution::{grows, largest_root, rotation};
use crate::mirror::ask;
use crate::{
    Algorithm, Caution, Choice, CompanionState, Feedback, FromChoice, Problem, Reads, Solver,
    SolverError, State, StepSize,
};

/// Nash-EMA, the tabular form of Nash-EMA-PG (arXiv 2312.00886, section 7; that paper averages the
/// parameters of a language model, and the parameters of a softmax table are its logits):
///
/// ```text
/// pi_{t+1}(y)    is proportional to  exp(P(y > ema_t) / eta) ref(y)^(tau/eta) pi_t(y)^(1 - tau/eta)
/// log ema_{t+1}  =  decay log ema_t + (1 - decay) log pi_{t+1}  + constant,      ema_1 = pi_1
/// ```
///
/// where eta is the INVERSE step size. decay = 0 is INPO. A slow average (decay near 1) is like
/// fictitious play and damps the circling of a small eta; a fast one lags behind and makes it
/// worse. The state's companion is ema_t.
///
/// **Requires** 0 <= decay < 1, eta > 0 and 0 <= tau <= eta; a start with the zeros of the
/// reference.
///
/// **Guarantees**: its fixed point is the regularised Nash policy (ema = pi there). No rate is
/// published for it. Locally, with k = 1 - tau/eta and the rotation speed s, it converges if both
/// roots of z^2 - (k + decay + i (1 - decay) s/eta) z + k decay are below 1 in modulus (derived in
/// this project); [`caution`](Solver::caution) checks that.
///
/// **Costs** one oracle call an iteration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NashEma {
    /// eta, the INVERSE step size, of every update.
    pub step_size: StepSize,
    /// The weight of the old average, in [0, 1).
    pub decay: f64,
}

impl NashEma {
    /// Nash-EMA with this step size and decay.
    #[must_use]
    pub fn new(step_size: StepSize, decay: f64) -> Self {
        Self { step_size, decay }
    }
}

impl Solver for NashEma {
    type State = CompanionState;

    const ALGORITHMS: &'static [Algorithm] = &[Algorithm {
        name: "nash_ema",
        aliases: &["nash-ema"],
        help: "Against a moving average of the policies",
        reads: Reads {
            decay: Some(0.5),
            ..Reads::STEP_SIZE
        },
        ..Algorithm::DEFAULT
    }];

    fn step_size(&self) -> Option<StepSize> {
        Some(self.step_size)
    }

    fn validate<G: PreferenceGame>(&self, problem: &Problem<G>) -> Result<(), SolverError> {
        if !(0.0..1.0).contains(&self.decay) {
            return Err(SolverError::Setting {
                setting: "decay",
                value: self.decay,
                allowed: "in [0, 1)",
            });
        }
        self.algorithm().check(problem.tau(), self.step_size())
    }

    fn step<G: PreferenceGame>(
        &self,
        problem: &Problem<G>,
        feedback: &mut impl Feedback,
        state: &mut CompanionState,
    ) -> Result<(), SolverError> {
        let update = state.iteration() + 1;
        let tau = problem.tau();
        let eta = self.step_size.eta(update, tau);
        let advantages = ask(feedback, state.companion.strategy(), &mut state.rates)?;
        state.policy.propose(problem, update, |y, ratio| {
            advantages[y] / eta + (1.0 - tau / eta) * ratio
        })?;
        state.accept(problem, feedback);
        let (decay, ratio) = (self.decay, state.policy.log_ratio());
        state.companion.set(problem, update, |y, average| {
            decay * average + (1.0 - decay) * ratio[y]
        })
    }

    fn caution<G: PreferenceGame>(&self, problem: &Problem<G>, nash: &Strategy) -> Option<Caution> {
        let (tau, eta) = (problem.tau(), self.step_size.constant()?);
        let (keep, decay) = (1.0 - tau / eta, self.decay);
        let turn = rotation(problem, nash) / eta;
        if turn == 0.0 {
            return None;
        }
        let factor = largest_root(
            Complex64::new(keep + decay, (1.0 - decay) * turn),
            Complex64::new(keep * decay, 0.0),
        );
        grows(self.name(), factor)
    }
}

impl FromChoice for NashEma {
    fn from_choice(choice: &Choice<'_>) -> Result<Self, SolverError> {
        Ok(Self::new(choice.step_size()?, choice.decay()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Executor, Inpo};
    use inpo_game::games::cyclic_three;
    use inpo_game::kl;

    fn problem() -> Problem<inpo_game::MatrixGame> {
        Problem::new(cyclic_three(), Strategy::uniform(3), 0.1).unwrap()
    }

    #[test]
    fn without_memory_it_is_inpo() {
        let problem = problem();
        let step = StepSize::Constant(0.3);
        let ema = Executor::new(&problem, NashEma::new(step, 0.0));
        let inpo = Executor::new(&problem, Inpo::new(step));
        let (ema, inpo) = (ema.run().unwrap(), inpo.run().unwrap());
        for (a, b) in ema.history.iter().zip(&inpo.history) {
            assert!((a.duality_gap - b.duality_gap).abs() < 1e-13);
        }
    }

    #[test]
    fn two_steps_by_hand() {
        // From uniform with tau = 0, eta = 1, decay = 1/2: advantages (-1, 0, 1)/30 both times the
        // same opponent (ema_2 is uniform^1/2 pi_2^1/2, so its log-ratio is half of pi_2's).
        let plain = Problem::new(cyclic_three(), Strategy::uniform(3), 0.0).unwrap();
        let run = |n| {
            let solver = NashEma::new(StepSize::Constant(1.0), 0.5);
            Executor::new(&plain, solver)
                .iterations(n)
                .run()
                .unwrap()
                .state
        };
        let softmax = |z: [f64; 3]| Strategy::from_logits(&z).unwrap();
        let first = [-1.0 / 30.0, 0.0, 1.0 / 30.0];
        let ema = softmax(first.map(|z| z / 2.0));
        let rates = plain.game().win_rates(&ema);
        let second = softmax([0, 1, 2].map(|y| first[y] + rates[y]));
        for y in 0..3 {
            assert!((run(1).companion()[y] - ema[y]).abs() < 1e-15);
            assert!((run(2).strategy()[y] - second[y]).abs() < 1e-15);
        }
    }

    #[test]
    fn a_slow_average_damps_and_a_fast_one_does_not() {
        // INPO's threshold is 0.269: at eta = 0.2 it circles, and an average of decay 0.9 stops that;
        // at eta = 0.3 it converges, and one of decay 0.5 prevents that. The caution knows all four.
        let problem = problem();
        let nash = problem.nash().unwrap();
        for (eta, decay, converges) in [
            (0.2, 0.0, false),
            (0.2, 0.9, true),
            (0.3, 0.0, true),
            (0.3, 0.5, false),
        ] {
            let solver = NashEma::new(StepSize::Constant(eta), decay);
            let run = Executor::new(&problem, solver).iterations(8000);
            let state = run.stride(8000).run().unwrap().state;
            let distance = kl(&nash, state.strategy());
            assert_eq!(
                distance < 1e-12,
                converges,
                "eta {eta}, decay {decay}: {distance}"
            );
            assert_eq!(solver.caution(&problem, &nash).is_none(), converges);
        }
    }

    #[test]
    fn a_decay_outside_its_range_is_refused() {
        for decay in [1.0, -0.1, f64::NAN] {
            let solver = NashEma::new(StepSize::Constant(1.0), decay);
            let error = solver.init(&problem(), &Strategy::uniform(3)).unwrap_err();
            let want = format!("decay is {decay}: it must be in [0, 1)");
            assert_eq!(error.to_string(), want);
        }
    }
}
