//! Random games, and the exact play of them.

use inpo_game::{MatrixGame, Strategy};
use inpo_solver::{Iterates, Problem, Solver};
use proptest::prelude::{Just, ProptestConfig, prop, prop_compose, prop_oneof};
use proptest::test_runner::RngSeed;

/// The same cases in every run.
pub(crate) fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 48,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A random game with its policies and step.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) game: MatrixGame,
    pub(crate) reference: Strategy,
    /// pi_1.
    pub(crate) start: Strategy,
    /// INVERSE step size.
    pub(crate) eta: f64,
    /// A direction in the logits, no constant.
    pub(crate) aside: Vec<f64>,
}

impl Case {
    /// The problem with this tau; 0 is the plain game.
    pub(crate) fn problem(&self, tau: f64) -> Problem<MatrixGame> {
        Problem::new(self.game.clone(), self.reference.clone(), tau).unwrap()
    }

    /// The start and the states after each of a few exact steps.
    pub(crate) fn play<S: Solver>(
        &self,
        problem: &Problem<MatrixGame>,
        solver: &S,
    ) -> Vec<S::State> {
        const STEPS: usize = 4;
        let iterates = Iterates::new(problem, solver, &self.start).unwrap();
        let states: Result<Vec<_>, _> = iterates.take(1 + STEPS).collect();
        states.unwrap()
    }
}

fn normalised(weights: &[f64]) -> Strategy {
    let sum: f64 = weights.iter().sum();
    Strategy::new(weights.iter().map(|w| w / sum).collect()).unwrap()
}

prop_compose! {
    /// 3 to 6 actions, preferences in [0.02, 0.98].
    pub(crate) fn cases()(n in 3usize..=6)(
        upper in prop::collection::vec(0.02..=0.98f64, n * n),
        reference in prop::collection::vec(0.1..1.0f64, n),
        start in prop::collection::vec(0.1..1.0f64, n),
        eta in 0.4..4.0f64,
        aside in prop::collection::vec(-1.0..1.0f64, n - 1),
    ) -> Case {
        let n = reference.len();
        Case {
            // Asked for each i < j.
            game: MatrixGame::from_fn(n, |i, j| upper[i * n + j]).unwrap(),
            reference: normalised(&reference),
            start: normalised(&start),
            eta,
            // The last entry leaves the range of the others, so that not all are alike.
            aside: aside.into_iter().chain([1.5]).collect(),
        }
    }
}

/// tau/eta: both ends, and between.
pub(crate) fn shares() -> impl prop::strategy::Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(1.0), 0.05..0.95f64]
}
