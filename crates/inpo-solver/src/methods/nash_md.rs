//! Nash-MD: mirror descent against a mixture with the reference.

use inpo_game::{PreferenceGame, Strategy, regularised_nash};
use serde::{Deserialize, Serialize};

use crate::caution::{grows, rotation};
use crate::mirror::ask;
use crate::{
    Algorithm, Caution, Choice, CompanionState, Feedback, FromChoice, Plays, Problem, Reads,
    Solver, SolverError, State, StepSize,
};

/// Nash-MD (arXiv 2312.00886; update as quoted by arXiv 2502.16852):
///
/// ```text
/// mix_t(y)     is proportional to  ref(y)^(tau/eta) pi_t(y)^(1 - tau/eta)
/// pi_{t+1}(y)  is proportional to  mix_t(y) exp(P(y > mix_t) / eta)
/// ```
///
/// where eta is the INVERSE step size. It is INPO with the opponent moved from pi_t to mix_t; the
/// anchors are the same. The state's companion is mix_t.
///
/// **Requires** tau > 0 and tau <= eta; a start with the zeros of the reference.
///
/// **Guarantees** (paper; the constant as it is quoted, not checked by us): the last iterate has
/// KL(pi*, pi_T) <= 8 / (tau^2 (T + 1)) with [`StepSize::Theory`]. With a constant eta the fixed
/// point is NOT pi*: mix is then the regularised Nash policy of tau / (1 - tau/eta) (derived in this
/// project: at a fixed point tau log(pi/ref) = P mix and log(mix/ref) = (1 - tau/eta) log(pi/ref)).
///
/// **Costs** one oracle call an iteration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NashMd {
    /// eta, the INVERSE step size, of every update.
    pub step_size: StepSize,
}

impl NashMd {
    /// Nash-MD with this step size.
    #[must_use]
    pub fn new(step_size: StepSize) -> Self {
        Self { step_size }
    }
}

impl Solver for NashMd {
    type State = CompanionState;

    const ALGORITHMS: &'static [Algorithm] = &[Algorithm {
        name: "nash_md",
        aliases: &["nash-md"],
        help: "Against a mixture with the reference",
        plays: Plays::Regularised,
        theory: true,
        reads: Reads::STEP_SIZE,
    }];

    fn step_size(&self) -> Option<StepSize> {
        Some(self.step_size)
    }

    fn step<G: PreferenceGame>(
        &self,
        problem: &Problem<G>,
        feedback: &mut impl Feedback,
        state: &mut CompanionState,
    ) -> Result<(), SolverError> {
        let update = state.iteration() + 1;
        let eta = self.step_size.eta(update, problem.tau());
        let keep = 1.0 - problem.tau() / eta;
        let CompanionState {
            policy,
            companion: mix,
            rates,
            ..
        } = state;
        let ratio = policy.log_ratio();
        mix.set(problem, update, |y, _| keep * ratio[y])?;
        let advantages = ask(feedback, mix.strategy(), rates)?;
        policy.propose(problem, update, |y, ratio| {
            advantages[y] / eta + keep * ratio
        })?;
        state.accept(problem, feedback);
        Ok(())
    }

    fn caution<G: PreferenceGame>(&self, problem: &Problem<G>, nash: &Strategy) -> Option<Caution> {
        let (tau, eta) = (problem.tau(), self.step_size.constant()?);
        let keep = 1.0 - tau / eta;
        // Its own fixed point, at which mix and policy are both multiplied by keep (1 +- i s / eta).
        let _ = nash;
        let tau = tau / keep;
        if !tau.is_finite() {
            let algorithm = self.name();
            return Some(Caution::Biased { algorithm, tau });
        }
        let mix = regularised_nash(problem.game(), problem.reference(), tau).ok()?;
        let turn = rotation(problem, &mix) / eta;
        grows(self.name(), keep * turn.hypot(1.0)).or(Some(Caution::Biased {
            algorithm: self.name(),
            tau,
        }))
    }
}

impl FromChoice for NashMd {
    fn from_choice(choice: &Choice<'_>) -> Result<Self, SolverError> {
        Ok(Self::new(choice.step_size()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExactFeedback, Executor};
    use inpo_game::games::cyclic_three;
    use inpo_game::{kl, regularised_nash};

    fn strategy(p: [f64; 3]) -> Strategy {
        Strategy::new(p.to_vec()).unwrap()
    }

    #[test]
    fn one_step_of_the_table() {
        // docs/theory.md 11.2, to all digits of f64.
        let reference = strategy([0.25, 0.45, 0.30]);
        let problem = Problem::new(cyclic_three(), reference, 0.2).unwrap();
        let solver = NashMd::new(StepSize::Constant(0.5));
        let mut state = solver.init(&problem, &strategy([0.5, 0.3, 0.2])).unwrap();
        let mut feedback = ExactFeedback::new(problem.game(), 0);
        solver.step(&problem, &mut feedback, &mut state).unwrap();
        let mix = [0.39187324273140683, 0.3648760543611558, 0.24325070290743725];
        let next = [0.33628227893586726, 0.4080618142523526, 0.25565590681178];
        for y in 0..3 {
            assert!((state.companion()[y] - mix[y]).abs() < 1e-12);
            assert!((state.strategy()[y] - next[y]).abs() < 1e-12);
        }
        assert_eq!((state.iteration(), state.oracle_calls()), (1, 1));
    }

    #[test]
    fn a_constant_step_settles_beside_the_nash_policy() {
        // tau / (1 - tau/eta) = 0.1 / 0.9
        let (game, uniform) = (cyclic_three(), Strategy::uniform(3));
        let beside = regularised_nash(&game, &uniform, 0.1 / 0.9).unwrap();
        let problem = Problem::new(game, uniform, 0.1).unwrap();
        let solver = NashMd::new(StepSize::Constant(1.0));
        let run = Executor::new(&problem, solver).iterations(1000);
        let state = run.run().unwrap().state;
        for (mix, want) in state.companion().iter().zip(beside.iter()) {
            assert!((mix - want).abs() < 1e-13, "{mix} is not {want}");
        }
        let nash = problem.nash().unwrap();
        assert!(kl(&nash, state.strategy()) > 1e-7);
        let text = solver.caution(&problem, &nash).unwrap().to_string();
        assert!(
            text.contains("its mixture is that of tau = 0.111111"),
            "{text}"
        );
        assert!(
            NashMd::new(StepSize::Theory)
                .caution(&problem, &nash)
                .is_none()
        );
    }

    #[test]
    fn without_tau_it_says_so() {
        let problem = Problem::new(cyclic_three(), Strategy::uniform(3), 0.0).unwrap();
        let error = NashMd::new(StepSize::Constant(1.0))
            .init(&problem, problem.reference())
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "tau is 0: nash_md plays the KL-regularised game and needs tau above 0"
        );
    }
}
