//! Iterative IPO: IPO solved again and again on samples of the last policy.

use inpo_game::{PreferenceGame, Strategy, regularised_nash};
use serde::{Deserialize, Serialize};

use crate::caution::{circles, grows, rotation};
use crate::{
    Algorithm, Caution, Choice, Feedback, FromChoice, OmdState, Plays, Problem, Reads, Reference,
    Solver, SolverError, State, StepSize,
};

/// Iterative IPO (IPO: arXiv 2310.12036), with pairs sampled from pi_t, solved exactly:
///
/// ```text
/// pi_{t+1}(y)  is proportional to  base_t(y) exp(P(y > pi_t) / eta),    base_t = pi_t or ref
/// ```
///
/// where eta is IPO's own tau, the weight of its KL to `base`, and plays the part of the INVERSE
/// step size. With [`Reference::Previous`] it is INPO at tau = 0 (multiplicative weights); with
/// [`Reference::Fixed`] INPO at tau = eta, whose fixed point is the regularised Nash policy with
/// that tau.
///
/// **Requires** tau = 0 of the problem (its KL is its own) and eta > 0; a start with the zeros of
/// the reference.
///
/// **Guarantees**: [`Reference::Previous`] as [`Sppo`](crate::Sppo), the average only.
/// [`Reference::Fixed`] is a best-response iteration: locally it contracts if and only if
/// eta > s, the rotation speed of [`rotation_squared`](inpo_game::rotation_squared) at its fixed
/// point (INPO's threshold at tau = eta; derived in this project).
///
/// **Costs** one oracle call an iteration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IterativeIpo {
    /// eta, the INVERSE step size, of every update.
    pub step_size: StepSize,
    /// What the KL is taken to.
    pub reference: Reference,
}

impl IterativeIpo {
    /// Iterative IPO with this step size and reference.
    #[must_use]
    pub fn new(step_size: StepSize, reference: Reference) -> Self {
        Self {
            step_size,
            reference,
        }
    }
}

impl Solver for IterativeIpo {
    type State = OmdState;

    const ALGORITHMS: &'static [Algorithm] = &[Algorithm {
        name: "iterative_ipo",
        aliases: &["iterative-ipo"],
        help: "IPO on the last policy's samples; plain game",
        plays: Plays::Plain,
        reads: Reads {
            base: Some(Reference::Previous),
            ..Reads::STEP_SIZE
        },
        ..Algorithm::DEFAULT
    }];

    fn step_size(&self) -> Option<StepSize> {
        Some(self.step_size)
    }

    fn step<G: PreferenceGame>(
        &self,
        problem: &Problem<G>,
        feedback: &mut impl Feedback,
        state: &mut OmdState,
    ) -> Result<(), SolverError> {
        let eta = self.step_size.eta(state.iteration() + 1, 0.0);
        let keep = match self.reference {
            Reference::Previous => 1.0,
            Reference::Fixed => 0.0,
        };
        state.descend(problem, feedback, |advantage, ratio| {
            keep * ratio + advantage / eta
        })
    }

    fn caution<G: PreferenceGame>(&self, problem: &Problem<G>, nash: &Strategy) -> Option<Caution> {
        match self.reference {
            Reference::Previous => circles(self.name(), problem, nash),
            Reference::Fixed => {
                let eta = self.step_size.constant()?;
                let own = regularised_nash(problem.game(), problem.reference(), eta).ok()?;
                grows(self.name(), rotation(problem, &own) / eta)
            }
        }
    }
}

impl FromChoice for IterativeIpo {
    fn from_choice(choice: &Choice<'_>) -> Result<Self, SolverError> {
        Ok(Self::new(choice.step_size()?, choice.base()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Executor, Inpo, Sppo};
    use inpo_game::games::cyclic_three;
    use inpo_game::{kl, regularised_best_response, regularised_nash};

    fn plain() -> Problem<inpo_game::MatrixGame> {
        let reference = Strategy::new(vec![0.25, 0.45, 0.30]).unwrap();
        Problem::new(cyclic_three(), reference, 0.0).unwrap()
    }

    fn run(solver: IterativeIpo, iterations: u64) -> Strategy {
        let problem = plain();
        let executor = Executor::new(&problem, solver).iterations(iterations);
        executor.run().unwrap().state.strategy().clone()
    }

    #[test]
    fn to_the_previous_policy_it_is_multiplicative_weights() {
        let (problem, step) = (plain(), StepSize::Constant(0.7));
        let sppo = Executor::new(&problem, Sppo::new(step)).iterations(30);
        let sppo = sppo.run().unwrap().state;
        let ipo = run(IterativeIpo::new(step, Reference::Previous), 30);
        assert_eq!(&ipo, sppo.strategy());
    }

    #[test]
    fn to_the_fixed_reference_it_is_the_regularised_best_response() {
        let step = StepSize::Constant(0.4);
        let solver = IterativeIpo::new(step, Reference::Fixed);
        let problem = plain();
        let (game, reference) = (problem.game(), problem.reference());
        // INPO at tau = eta, and the closed form of the best response.
        let one = run(solver, 1);
        let response = regularised_best_response(game, reference, reference, 0.4);
        let regularised = Problem::new(game, reference.clone(), 0.4).unwrap();
        let inpo = Executor::new(&regularised, Inpo::new(step)).iterations(2);
        let inpo = inpo.run().unwrap().state;
        let two = run(solver, 2);
        for y in 0..3 {
            assert!((one[y] - response[y]).abs() < 1e-15);
            assert!((two[y] - inpo.strategy()[y]).abs() < 1e-15);
        }
        // s = 0.2 is below 0.4, so it contracts, by about a half a step.
        let nash = regularised_nash(game, reference, 0.4).unwrap();
        assert!(kl(&nash, &run(solver, 200)) < 1e-15);
        assert!(solver.caution(&problem, &nash).is_none());
        let small = IterativeIpo::new(StepSize::Constant(0.1), Reference::Fixed);
        assert!(small.caution(&problem, &nash).is_some());
        let nash = regularised_nash(game, reference, 0.1).unwrap();
        assert!(kl(&nash, &run(small, 2000)) > 0.01);
    }
}
