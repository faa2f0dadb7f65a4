//! A solver's iterates one by one, for callers that stop, average and plot by themselves.

use inpo_game::{PreferenceGame, Strategy};

use crate::asking::RunFeedback;
use crate::{Asking, Problem, Solver, SolverError, State};

/// An endless iterator over the states of a solver, the start first.
///
/// After an error it ends.
///
/// ```
/// use inpo_game::{Strategy, games};
/// use inpo_solver::{Inpo, Iterates, Problem, State, StepSize};
///
/// let problem = Problem::new(games::cyclic_three(), Strategy::uniform(3), 0.1)?;
/// let inpo = Inpo::new(StepSize::Constant(1.0));
/// for state in Iterates::new(&problem, &inpo, problem.reference())?.take(5) {
///     let state = state?;
///     println!("{} {:?}", state.iteration(), state.strategy().as_slice());
/// }
/// # Ok::<(), inpo_solver::SolverError>(())
/// ```
#[derive(Debug)]
pub struct Iterates<'a, G, S: Solver> {
    problem: &'a Problem<G>,
    solver: &'a S,
    feedback: RunFeedback<'a, G>,
    /// The next state to give out, or none after an error.
    next: Option<S::State>,
    started: bool,
}

impl<'a, G: PreferenceGame, S: Solver> Iterates<'a, G, S> {
    /// The iterates from `start`, which is pi_1, with exact feedback.
    ///
    /// # Errors
    /// As [`Solver::init`].
    pub fn new(
        problem: &'a Problem<G>,
        solver: &'a S,
        start: &Strategy,
    ) -> Result<Self, SolverError> {
        Self::asking(problem, solver, start, Asking::Exact)
    }

    /// The iterates from `start`, exact or sampled.
    ///
    /// # Errors
    /// As [`Solver::init`]; [`SolverError::Comparisons`] and [`SolverError::ExactOnly`].
    pub fn asking(
        problem: &'a Problem<G>,
        solver: &'a S,
        start: &Strategy,
        asking: Asking,
    ) -> Result<Self, SolverError> {
        asking.check(solver)?;
        let state = solver.init(problem, start)?;
        Ok(Self {
            problem,
            solver,
            feedback: RunFeedback::new(problem.game(), asking, None, state.oracle_calls()),
            next: Some(state),
            started: false,
        })
    }
}

impl<G: PreferenceGame, S: Solver> Iterator for Iterates<'_, G, S> {
    type Item = Result<S::State, SolverError>;

    fn next(&mut self) -> Option<Self::Item> {
        let state = self.next.as_mut()?;
        if self.started
            && let Err(error) = self.solver.step(self.problem, &mut self.feedback, state)
        {
            self.next = None;
            return Some(Err(error));
        }
        self.started = true;
        self.next.clone().map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Executor, Inpo, StepSize};
    use inpo_game::games::cyclic_three;

    #[test]
    fn they_are_those_of_the_executor() {
        let problem = Problem::new(cyclic_three(), Strategy::uniform(3), 0.1).unwrap();
        let inpo = Inpo::new(StepSize::Theory);
        let start = Strategy::new(vec![0.2, 0.2, 0.6]).unwrap();
        let states: Vec<_> = Iterates::new(&problem, &inpo, &start)
            .unwrap()
            .take(8)
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!((states[0].iteration(), states[0].strategy()), (0, &start));
        let run = Executor::new(&problem, inpo)
            .start(start)
            .iterations(7)
            .run()
            .unwrap();
        assert_eq!(states[7], run.state);
    }

    #[test]
    fn an_error_ends_them() {
        let problem = Problem::new(cyclic_three(), Strategy::uniform(3), 0.0).unwrap();
        let inpo = Inpo::new(StepSize::Constant(1e-320));
        let mut iterates = Iterates::new(&problem, &inpo, problem.reference()).unwrap();
        assert!(iterates.next().unwrap().is_ok());
        assert!(iterates.next().unwrap().is_err());
        assert!(iterates.next().is_none());
    }
}
