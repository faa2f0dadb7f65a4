//! EGPO: extragradient mirror descent.

use inpo_game::{PreferenceGame, Strategy};
use serde::{Deserialize, Serialize};

use crate::caution::{grows, rotation};
use crate::mirror::ask;
use crate::{
    Algorithm, Caution, Choice, CompanionState, Feedback, FromChoice, Problem, Reads, Solver,
    SolverError, State, StepSize,
};

/// EGPO (arXiv 2503.08942), the extragradient or mirror-prox form of INPO:
///
/// ```text
/// A_t          =  ref^(tau/eta) pi_t^(1 - tau/eta)
/// half_t(y)    is proportional to  A_t(y) exp(P(y > pi_t)   / eta)
/// pi_{t+1}(y)  is proportional to  A_t(y) exp(P(y > half_t) / eta)
/// ```
///
/// The half step is one INPO step; the full step starts again from pi_t but plays against where
/// the half step would go. The paper's step is gamma = 1/eta and its KL weight beta = tau; **here
/// eta is the INVERSE step size**. The state's companion is half_t. Nash mirror prox
/// (arXiv 2505.19731) has the same spirit; its exact update is not claimed here.
///
/// **Requires** eta > 0 and 0 <= tau <= eta; a start with the zeros of the reference.
///
/// **Guarantees** (abstract): linear convergence of the last iterate in the regularised game,
/// polynomial in the plain one; the constants are not published, so there is no theory schedule.
/// Locally, with k = 1 - tau/eta, a deviation is multiplied by k - (s/eta)^2 + i k s/eta in every
/// update (derived in this project): at tau = 0 any eta above the rotation speed s converges, which
/// INPO never does.
///
/// **Costs** two oracle calls an iteration. The averages are of the pi_t, not of the half steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Egpo {
    /// eta = 1/gamma, the INVERSE step size, of every update.
    pub step_size: StepSize,
}

impl Egpo {
    /// EGPO with this step size; [`StepSize::Theory`] is refused.
    #[must_use]
    pub fn new(step_size: StepSize) -> Self {
        Self { step_size }
    }
}

impl Solver for Egpo {
    type State = CompanionState;

    const ALGORITHMS: &'static [Algorithm] = &[Algorithm {
        name: "egpo",
        help: "Extragradient mirror descent",
        reads: Reads::STEP_SIZE,
        ..Algorithm::DEFAULT
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
        let tau = problem.tau();
        let eta = self.step_size.eta(update, tau);
        let keep = 1.0 - tau / eta;
        let CompanionState {
            policy,
            companion: half,
            rates,
            ..
        } = state;
        let advantages = ask(feedback, policy.strategy(), rates)?;
        let ratio = policy.log_ratio();
        half.set(problem, update, |y, _| {
            advantages[y] / eta + keep * ratio[y]
        })?;
        let advantages = ask(feedback, half.strategy(), rates)?;
        policy.propose(problem, update, |y, ratio| {
            advantages[y] / eta + keep * ratio
        })?;
        state.accept(problem, feedback);
        Ok(())
    }

    fn caution<G: PreferenceGame>(&self, problem: &Problem<G>, nash: &Strategy) -> Option<Caution> {
        let (tau, eta) = (problem.tau(), self.step_size.constant()?);
        let keep = 1.0 - tau / eta;
        let turn = rotation(problem, nash) / eta;
        if turn == 0.0 {
            return None;
        }
        grows(self.name(), (keep - turn * turn).hypot(keep * turn))
    }
}

impl FromChoice for Egpo {
    fn from_choice(choice: &Choice<'_>) -> Result<Self, SolverError> {
        Ok(Self::new(choice.step_size()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExactFeedback, Executor};
    use inpo_game::games::cyclic_three;

    fn strategy(p: [f64; 3]) -> Strategy {
        Strategy::new(p.to_vec()).unwrap()
    }

    #[test]
    fn one_step_of_the_table() {
        // docs/theory.md 11.2, to all digits of f64: the half step is INPO's pi_{t+1}.
        let reference = strategy([0.25, 0.45, 0.30]);
        let problem = Problem::new(cyclic_three(), reference, 0.2).unwrap();
        let solver = Egpo::new(StepSize::Constant(0.5));
        let mut state = solver.init(&problem, &strategy([0.5, 0.3, 0.2])).unwrap();
        let mut feedback = ExactFeedback::new(problem.game(), 0);
        solver.step(&problem, &mut feedback, &mut state).unwrap();
        let half = [0.3340341277183885, 0.44579645024419245, 0.2201694220374191];
        let full = [0.3139679933441494, 0.4008300860332979, 0.2852019206225528];
        for y in 0..3 {
            assert!((state.companion()[y] - half[y]).abs() < 1e-12);
            assert!((state.strategy()[y] - full[y]).abs() < 1e-12);
        }
        assert_eq!((state.iteration(), state.oracle_calls()), (1, 2));
    }

    #[test]
    fn it_converges_without_tau_and_circles_with_too_large_a_step() {
        // s = 0.209: the multiplier at tau = 0 is |1 - x^2 + i x|, x = s/eta, below 1 for eta > s.
        for (tau, eta, converges) in [(0.0, 2.0, true), (0.0, 0.2, false), (0.1, 0.12, false)] {
            let problem = Problem::new(cyclic_three(), Strategy::uniform(3), tau).unwrap();
            let nash = problem.nash().unwrap();
            let solver = Egpo::new(StepSize::Constant(eta));
            let run = Executor::new(&problem, solver)
                .iterations(10_000)
                .stride(10_000);
            let gap = run.run().unwrap().history[1].duality_gap;
            assert_eq!(gap < 1e-12, converges, "tau {tau}, eta {eta}: {gap}");
            assert_eq!(solver.caution(&problem, &nash).is_none(), converges);
        }
    }

    #[test]
    fn it_has_no_theory_schedule() {
        let problem = Problem::new(cyclic_three(), Strategy::uniform(3), 0.1).unwrap();
        let error = Egpo::new(StepSize::Theory)
            .init(&problem, problem.reference())
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "egpo has no theory schedule: give a constant eta instead"
        );
    }
}
