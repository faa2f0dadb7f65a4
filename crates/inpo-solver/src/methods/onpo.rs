//! ONPO: optimistic mirror descent.

use inpo_game::{PreferenceGame, Strategy};
use num_complex::Complex64;
use serde::{Deserialize, Serialize};

use crate::caution::{grows, largest_root, rotation};
use crate::mirror::ask;
use crate::{
    Algorithm, Caution, Choice, CompanionState, Feedback, FromChoice, Plays, Problem, Reads,
    Solver, SolverError, State, StepSize,
};

/// ONPO (arXiv 2502.16852), whose tabular form is optimistic multiplicative weights (OMWU):
///
/// ```text
/// aux_{t+1}(y)  is proportional to  aux_t(y)     exp(gamma P(y > pi_t)),      gamma = 1/eta
/// pi_{t+1}(y)   is proportional to  aux_{t+1}(y) exp(gamma P(y > pi_t))
/// ```
///
/// The second step bets that the next win rates will be those just seen. The paper's eta is the
/// step gamma; **here eta is the INVERSE step size**. The state's companion is aux.
///
/// **Requires** tau = 0 (the plain game) and eta > 0; a start with the zeros of the reference.
///
/// **Guarantees** (paper): with [`theory`](Self::theory)'s gamma = 1/2 the average's
/// gap is at most 4 sqrt(D) / T as printed; the last iterate converges linearly if the Nash policy
/// is unique and gamma <= 1/8. Locally it does for gamma s < 1/sqrt(3), s the rotation speed (derived
/// in this project).
///
/// **Costs** one oracle call an iteration, the same answer serving both steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Onpo {
    /// eta = 1/gamma, the INVERSE step size, of every update.
    pub step_size: StepSize,
}

impl Onpo {
    /// ONPO with this step size; [`StepSize::Theory`] is refused, see [`theory`](Self::theory).
    #[must_use]
    pub fn new(step_size: StepSize) -> Self {
        Self { step_size }
    }

    /// The paper's step gamma = min(1/2, sqrt(D)) with D = log(1 / min start). Two or more actions
    /// have D >= log 2, so it is 1/2, and eta = 2.
    #[must_use]
    pub fn theory() -> Self {
        Self::new(StepSize::Constant(2.0))
    }
}

impl Solver for Onpo {
    type State = CompanionState;

    const ALGORITHMS: &'static [Algorithm] = &[Algorithm {
        name: "onpo",
        aliases: &["omwu"],
        help: "Optimistic multiplicative weights; plain game",
        plays: Plays::Plain,
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
        let eta = self.step_size.eta(update, 0.0);
        let CompanionState {
            policy,
            companion: aux,
            rates,
            ..
        } = state;
        let advantages = ask(feedback, policy.strategy(), rates)?;
        let ratio = aux.log_ratio();
        policy.propose(problem, update, |y, _| ratio[y] + 2.0 * advantages[y] / eta)?;
        aux.set(problem, update, |y, ratio| ratio + advantages[y] / eta)?;
        state.accept(problem, feedback);
        Ok(())
    }

    fn caution<G: PreferenceGame>(&self, problem: &Problem<G>, nash: &Strategy) -> Option<Caution> {
        let turn = rotation(problem, nash) / self.step_size.constant()?;
        if turn == 0.0 {
            return None;
        }
        let factor = largest_root(Complex64::new(1.0, 2.0 * turn), Complex64::new(0.0, turn));
        grows(self.name(), factor)
    }
}

impl FromChoice for Onpo {
    fn from_choice(choice: &Choice<'_>) -> Result<Self, SolverError> {
        if choice.is_theory() {
            return Ok(Self::theory());
        }
        Ok(Self::new(choice.step_size()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExactFeedback, Executor};
    use inpo_game::games::cyclic_three;

    #[test]
    fn two_steps_by_hand() {
        let problem = Problem::new(cyclic_three(), Strategy::uniform(3), 0.0).unwrap();
        let solver = Onpo::new(StepSize::Constant(2.0));
        let mut state = solver.init(&problem, &Strategy::uniform(3)).unwrap();
        let mut feedback = ExactFeedback::new(problem.game(), 0);
        let softmax = |z: [f64; 3]| Strategy::from_logits(&z).unwrap();
        let mut aux = [0.0; 3];
        for _ in 0..2 {
            let rates = problem.game().win_rates(state.strategy());
            aux = [0, 1, 2].map(|y| aux[y] + 0.5 * rates[y]);
            let next = softmax([0, 1, 2].map(|y| aux[y] + 0.5 * rates[y]));
            solver.step(&problem, &mut feedback, &mut state).unwrap();
            for y in 0..3 {
                assert!((state.strategy()[y] - next[y]).abs() < 1e-15);
                assert!((state.companion()[y] - softmax(aux)[y]).abs() < 1e-15);
            }
        }
        assert_eq!(state.oracle_calls(), 2);
    }

    #[test]
    fn too_large_a_step_has_a_caution_and_diverges() {
        // s^2 = 0.0436 at the Nash policy; the modulus reaches 1 at s/eta = 1/sqrt(3), eta = 0.362.
        let problem = Problem::new(cyclic_three(), Strategy::uniform(3), 0.0).unwrap();
        let nash = problem.nash().unwrap();
        let start = Strategy::new(vec![0.36, 0.28, 0.36]).unwrap();
        for (eta, converges) in [(0.40, true), (0.33, false)] {
            let solver = Onpo::new(StepSize::Constant(eta));
            assert_eq!(
                solver.caution(&problem, &nash).is_none(),
                converges,
                "{eta}"
            );
            let run = Executor::new(&problem, solver).start(start.clone());
            let gap = run.iterations(5000).run().unwrap().history[5000].duality_gap;
            assert_eq!(gap < 1e-9, converges, "{eta}: {gap}");
        }
    }
}
