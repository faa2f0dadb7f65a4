//! SPPO: multiplicative weights (Hedge) in self-play.

use inpo_game::{PreferenceGame, Strategy};
use serde::{Deserialize, Serialize};

use crate::caution::circles;
use crate::problem::diameter;
use crate::{
    Algorithm, Caution, Choice, Feedback, FromChoice, OmdState, Plays, Problem, Reads, Solver,
    SolverError, State, StepSize,
};

/// SPPO (arXiv 2405.00675), which is multiplicative weights, or Hedge (Freund and Schapire, 1999),
/// in self-play:
///
/// ```text
/// pi_{t+1}(y)  is proportional to  pi_t(y) exp(gamma P(y > pi_t)),      gamma = 1/eta
/// ```
///
/// SPPO calls the step eta and DNO its inverse; **here eta is the INVERSE step size**, as for INPO,
/// whose step at tau = 0 this is.
///
/// **Requires** tau = 0 (the plain game) and eta > 0; a start with the zeros of the reference.
///
/// **Guarantees**: with [`theory`](Self::theory)'s eta the average of T iterates has regret at most
/// sqrt(T D / 2) (Hedge with gains in [0, 1] and prior weights pi_1, D = log(1 / min pi_1), which is
/// log n for the uniform start), so exploitability at most sqrt(D / (2 T)) and a duality gap of
/// twice that. **The last iterate does not converge** to a mixed Nash policy: it
/// spirals outwards.
///
/// **Costs** one oracle call an iteration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sppo {
    /// eta, the INVERSE step size, of every update.
    pub step_size: StepSize,
}

impl Sppo {
    /// SPPO with this step size; [`StepSize::Theory`] is refused, see [`theory`](Self::theory).
    #[must_use]
    pub fn new(step_size: StepSize) -> Self {
        Self { step_size }
    }

    /// Hedge's step for T updates from `start`: gamma = sqrt(8 D / T) with D = log(1 / min start),
    /// that is eta = sqrt(T / (8 D)). D = log n for the uniform start.
    #[must_use]
    pub fn theory(start: &Strategy, horizon: u64) -> Self {
        // One action has nothing to learn, and any scale will do.
        let diameter = diameter(start).max(f64::EPSILON);
        Self::new(StepSize::Sqrt {
            scale: (8.0 * diameter).sqrt().recip(),
            horizon: Some(horizon.max(1)),
        })
    }
}

impl Solver for Sppo {
    type State = OmdState;

    const ALGORITHMS: &'static [Algorithm] = &[Algorithm {
        name: "sppo",
        aliases: &["hedge", "mwu", "multiplicative_weights"],
        help: "Multiplicative weights (Hedge); plain game",
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
        state: &mut OmdState,
    ) -> Result<(), SolverError> {
        let eta = self.step_size.eta(state.iteration() + 1, 0.0);
        state.descend(problem, feedback, |advantage, ratio| {
            ratio + advantage / eta
        })
    }

    fn caution<G: PreferenceGame>(&self, problem: &Problem<G>, nash: &Strategy) -> Option<Caution> {
        circles(self.name(), problem, nash)
    }
}

impl FromChoice for Sppo {
    fn from_choice(choice: &Choice<'_>) -> Result<Self, SolverError> {
        if choice.is_theory() {
            return Ok(Self::theory(choice.start, choice.iterations));
        }
        Ok(Self::new(choice.step_size()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExactFeedback, Executor, Inpo, Iterate};
    use inpo_game::games::{cyclic_three, uniform};
    use inpo_game::{duality_gap, nash};

    fn plain() -> Problem<inpo_game::MatrixGame> {
        Problem::new(cyclic_three(), Strategy::uniform(3), 0.0).unwrap()
    }

    #[test]
    fn one_step_by_hand() {
        // Win rates against uniform: 14/30, 15/30, 16/30.
        let solver = Sppo::new(StepSize::Constant(0.5));
        let mut state = solver.init(&plain(), &Strategy::uniform(3)).unwrap();
        let problem = plain();
        let mut feedback = ExactFeedback::new(problem.game(), 0);
        solver.step(&problem, &mut feedback, &mut state).unwrap();
        let weights = [14.0, 15.0, 16.0].map(|w: f64| (2.0 * w / 30.0).exp());
        let sum: f64 = weights.iter().sum();
        for (p, w) in state.strategy().iter().zip(weights) {
            assert!((p - w / sum).abs() < 1e-15);
        }
    }

    #[test]
    fn it_is_inpo_without_tau() {
        let problem = plain();
        let step = StepSize::Constant(1.0);
        let run = Executor::new(&problem, Sppo::new(step)).run().unwrap();
        let inpo = Executor::new(&problem, Inpo::new(step)).run().unwrap();
        assert_eq!(run.history, inpo.history);
    }

    #[test]
    fn the_last_iterate_cycles_and_the_average_converges() {
        // docs/theory.md 11.4 gives 0.43 and 0.30 after 99 and 999 updates with eta = 1.
        let problem = plain();
        let run = |watch| {
            let executor = Executor::new(&problem, Sppo::new(StepSize::Constant(1.0)));
            executor.iterations(4000).watch(watch).run().unwrap()
        };
        let (last, average) = (run(Iterate::Last), run(Iterate::Average));
        // Outwards: the uniform start is at 1/15, and no late iterate is ever as good again.
        let best_late = last.history[1000..]
            .iter()
            .map(|r| r.duality_gap)
            .fold(f64::INFINITY, f64::min);
        assert!(best_late > 0.2, "{best_late}");
        assert!(average.history[4000].duality_gap < 0.01);
        // A cycle: every action leads in turn, over and over.
        let mut leaders = Vec::new();
        let solver = Sppo::new(StepSize::Constant(1.0));
        for state in crate::Iterates::new(&problem, &solver, problem.reference())
            .unwrap()
            .take(4001)
        {
            let pi = state.unwrap().strategy().clone();
            let leader = (0..3).max_by(|&i, &j| pi[i].total_cmp(&pi[j])).unwrap();
            if leaders.last() != Some(&leader) {
                leaders.push(leader);
            }
        }
        let late = &leaders[leaders.len() - 6..];
        assert_eq!(late[..3], late[3..], "{late:?}");
    }

    #[test]
    fn the_average_obeys_hedges_bound_on_random_games() {
        for seed in 0..20 {
            let n = 3 + seed as usize % 8;
            let problem =
                Problem::new(uniform(n, seed).unwrap(), Strategy::uniform(n), 0.0).unwrap();
            let horizon = 200;
            let run = Executor::new(&problem, Sppo::theory(problem.reference(), horizon));
            let run = run.iterations(horizon);
            let average = run.run().unwrap().state.average().clone();
            let bound = 2.0 * ((n as f64).ln() / (2.0 * horizon as f64)).sqrt();
            let gap = duality_gap(problem.game(), &average);
            assert!(gap <= bound, "seed {seed}: {gap} is above {bound}");
        }
    }

    #[test]
    fn what_does_not_fit_has_its_sentence() {
        let says = |solver: Sppo, problem: &Problem<_>, want: &str| {
            let error = solver.init(problem, &Strategy::uniform(3)).unwrap_err();
            assert!(error.to_string().contains(want), "{error}");
        };
        let regularised = Problem::new(cyclic_three(), Strategy::uniform(3), 0.1).unwrap();
        says(
            Sppo::new(StepSize::Constant(1.0)),
            &regularised,
            "tau is 0.1: sppo plays the plain game, which has no KL, so tau must be 0",
        );
        says(
            Sppo::new(StepSize::Theory),
            &plain(),
            "sppo has no theory schedule",
        );
        says(Sppo::new(StepSize::Constant(0.0)), &plain(), "eta is 0");
        let nash = nash(&cyclic_three()).unwrap();
        let reason = Sppo::new(StepSize::Constant(9.0)).caution(&plain(), &nash);
        assert!(
            reason
                .unwrap()
                .to_string()
                .contains("the last iterate of sppo circles")
        );
    }
}
