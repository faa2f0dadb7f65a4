//! ONPO: optimistic mirror descent.

use inpo_game::{PreferenceGame, Strategy};
use serde::{Deserialize, Serialize};

use crate::mirror::ask;
use crate::{CompanionState, Feedback, Problem, Solver, SolverError, State, StepSize};

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
/// **Guarantees** (paper): with [`theory`](Self::theory)'s gamma = min(1/2, sqrt(D)) the average's
/// gap is at most 4 sqrt(D) / T as printed; the last iterate converges linearly if the Nash policy
/// is unique and gamma <= 1/8. On the cyclic game of three it does so at gamma = 1/2 as well.
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

    /// The paper's step for play from `start`: gamma = min(1/2, sqrt(D)), D = log(1 / min start).
    #[must_use]
    pub fn theory<G: PreferenceGame>(start: &Strategy) -> Self {
        let root = Problem::<G>::diameter(start).sqrt();
        Self::new(StepSize::Constant(root.recip().clamp(2.0, f64::MAX)))
    }
}

impl Solver for Onpo {
    type State = CompanionState;

    fn name(&self) -> &'static str {
        "onpo"
    }

    fn validate<G: PreferenceGame>(&self, problem: &Problem<G>) -> Result<(), SolverError> {
        self.step_size.validate_plain(self.name(), problem.tau())
    }

    fn start<G: PreferenceGame>(
        &self,
        problem: &Problem<G>,
        start: &Strategy,
    ) -> Result<CompanionState, SolverError> {
        CompanionState::new(problem, start)
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
        let advantages = ask(feedback, policy.strategy(), rates);
        let ratio = aux.log_ratio();
        policy.propose(problem, update, |y, _| ratio[y] + 2.0 * advantages[y] / eta)?;
        aux.set(problem, update, |y, ratio| ratio + advantages[y] / eta)?;
        state.accept(problem, feedback);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ExactFeedback;
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
    fn the_papers_step() {
        // D = log 3 > 1/4, so gamma = 1/2.
        let solver = Onpo::theory::<inpo_game::MatrixGame>(&Strategy::uniform(3));
        assert_eq!(solver.step_size, StepSize::Constant(2.0));
        // D = log(1 / 0.99..) is small: gamma = sqrt(D).
        let start = Strategy::new(vec![1.0]).unwrap();
        let solver = Onpo::theory::<inpo_game::MatrixGame>(&start);
        assert!(matches!(solver.step_size, StepSize::Constant(eta) if eta.is_finite()));
    }
}
