//! Any method, chosen at run time.

use inpo_game::{PreferenceGame, Strategy};
use serde::{Deserialize, Serialize};

use crate::{
    Caution, Comal, Egpo, Feedback, FictitiousPlay, Inpo, IterativeDpo, IterativeIpo, Mnpo, Mpo,
    NashEma, NashMd, Onpo, Problem, RegretMatching, Replicator, Solver, SolverError, Sppo, State,
    Tally,
};

/// Writes [`Method`], [`MethodState`] and the dispatch from one list.
macro_rules! methods {
    ($($(#[$doc:meta])* $variant:ident($solver:ty)),* $(,)?) => {
        /// One of the methods of this crate, for callers that choose by name or compare several. As
        /// serde it is the settings with the method's name for a tag:
        ///
        /// ```
        /// use inpo_solver::{Inpo, Method, StepSize};
        ///
        /// let method = Method::from(Inpo::new(StepSize::Constant(0.3)));
        /// let text = r#"{"algorithm":"inpo","step_size":{"constant":0.3}}"#;
        /// assert_eq!(serde_json::to_string(&method)?, text);
        /// assert_eq!(serde_json::from_str::<Method>(text)?, method);
        /// # Ok::<(), serde_json::Error>(())
        /// ```
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "algorithm", rename_all = "snake_case")]
        pub enum Method {
            $($(#[$doc])* $variant($solver)),*
        }

        /// The state of a [`Method`].
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum MethodState {
            $($(#[$doc])* $variant(<$solver as Solver>::State)),*
        }

        $(impl From<$solver> for Method {
            fn from(solver: $solver) -> Self {
                Self::$variant(solver)
            }
        })*

        impl MethodState {
            fn method(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => stringify!($variant)),*
                }
            }
        }

        impl State for MethodState {
            fn strategy(&self) -> &Strategy {
                match self {
                    $(Self::$variant(state) => state.strategy()),*
                }
            }

            fn tally(&self) -> &Tally {
                match self {
                    $(Self::$variant(state) => state.tally()),*
                }
            }

            fn check<G: PreferenceGame>(&self, problem: &Problem<G>) -> Result<(), SolverError> {
                match self {
                    $(Self::$variant(state) => state.check(problem)),*
                }
            }
        }

        impl Solver for Method {
            type State = MethodState;

            fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(solver) => solver.name()),*
                }
            }

            fn validate<G: PreferenceGame>(&self, problem: &Problem<G>) -> Result<(), SolverError> {
                match self {
                    $(Self::$variant(solver) => solver.validate(problem)),*
                }
            }

            fn start<G: PreferenceGame>(
                &self,
                problem: &Problem<G>,
                start: &Strategy,
            ) -> Result<MethodState, SolverError> {
                match self {
                    $(Self::$variant(solver) => {
                        solver.start(problem, start).map(MethodState::$variant)
                    }),*
                }
            }

            fn resume<G: PreferenceGame>(
                &self,
                problem: &Problem<G>,
                state: &MethodState,
            ) -> Result<(), SolverError> {
                match (self, state) {
                    $((Self::$variant(solver), MethodState::$variant(state)) => {
                        solver.resume(problem, state)
                    })*
                    _ => Err(self.other(state)),
                }
            }

            fn step<G: PreferenceGame>(
                &self,
                problem: &Problem<G>,
                feedback: &mut impl Feedback,
                state: &mut MethodState,
            ) -> Result<(), SolverError> {
                match (self, &mut *state) {
                    $((Self::$variant(solver), MethodState::$variant(state)) => {
                        solver.step(problem, feedback, state)
                    })*
                    _ => Err(self.other(state)),
                }
            }

            fn exact_only(&self) -> bool {
                match self {
                    $(Self::$variant(solver) => solver.exact_only()),*
                }
            }

            fn caution<G: PreferenceGame>(
                &self,
                problem: &Problem<G>,
                nash: &Strategy,
            ) -> Option<Caution> {
                match self {
                    $(Self::$variant(solver) => solver.caution(problem, nash)),*
                }
            }
        }
    };
}

methods! {
    /// INPO.
    Inpo(Inpo),
    /// Nash-MD.
    NashMd(NashMd),
    /// Nash-EMA.
    NashEma(NashEma),
    /// SPPO, which is multiplicative weights (Hedge).
    Sppo(Sppo),
    /// Iterative IPO.
    IterativeIpo(IterativeIpo),
    /// Iterative DPO.
    IterativeDpo(IterativeDpo),
    /// ONPO, which is optimistic multiplicative weights.
    Onpo(Onpo),
    /// EGPO.
    Egpo(Egpo),
    /// Magnetic mirror descent.
    Mpo(Mpo),
    /// COMAL.
    Comal(Comal),
    /// MNPO.
    Mnpo(Mnpo),
    /// Regret matching, plain or plus.
    RegretMatching(RegretMatching),
    /// Fictitious play, plain or smooth.
    FictitiousPlay(FictitiousPlay),
    /// The replicator dynamics.
    Replicator(Replicator),
}

impl Method {
    fn other(&self, state: &MethodState) -> SolverError {
        SolverError::OtherMethod {
            algorithm: self.name(),
            found: state.method(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Checkpoint, Executor, Reference, StepSize};
    use inpo_game::games::cyclic_three;

    /// Every method, and the tau of a problem that fits it.
    fn all() -> Vec<(Method, f64)> {
        let step = StepSize::Constant(2.0);
        vec![
            (Inpo::new(step).into(), 0.1),
            (NashMd::new(step).into(), 0.1),
            (NashEma::new(step, 0.5).into(), 0.1),
            (Sppo::new(step).into(), 0.0),
            (IterativeIpo::new(step, Reference::Fixed).into(), 0.0),
            (IterativeDpo::new(step, Reference::Fixed).into(), 0.0),
            (Onpo::new(step).into(), 0.0),
            (Egpo::new(step).into(), 0.1),
            (Mpo::new(step, 0.1, 7).into(), 0.0),
            (Comal::new(step, 0.1, 7).into(), 0.0),
            (Mnpo::new(step, vec![0.5, 0.3, 0.2]).into(), 0.0),
            (RegretMatching::new().into(), 0.0),
            (RegretMatching::plus().into(), 0.0),
            (FictitiousPlay::new().into(), 0.0),
            (FictitiousPlay::new().into(), 0.1),
            (Replicator::new(0.5).into(), 0.1),
        ]
    }

    fn problem(tau: f64) -> Problem<inpo_game::MatrixGame> {
        let reference = Strategy::new(vec![0.25, 0.45, 0.30]).unwrap();
        Problem::new(cyclic_three(), reference, tau).unwrap()
    }

    #[test]
    fn every_method_resumes_to_the_bit_from_its_text_exact_and_sampled() {
        for (method, tau) in all() {
            let problem = problem(tau);
            for comparisons in [0, 6] {
                if comparisons > 0 && method.exact_only() {
                    continue;
                }
                let executor = |iterations| {
                    let e = Executor::new(&problem, method.clone()).iterations(iterations);
                    match comparisons {
                        0 => e,
                        m => e.sampled(m, 11),
                    }
                };
                let whole = executor(25).run().unwrap();
                let checkpoint = Checkpoint {
                    solver: method.clone(),
                    state: executor(11).run().unwrap().state,
                };
                let text = serde_json::to_string(&checkpoint).unwrap();
                let read: Checkpoint<Method> = serde_json::from_str(&text).unwrap();
                assert_eq!(read.solver, method);
                let rest = executor(25).resume(read.state).run().unwrap();
                assert_eq!(rest.state, whole.state, "{}", method.name());
                assert_eq!(rest.history, whole.history[11..], "{}", method.name());
            }
        }
    }

    #[test]
    fn a_state_of_another_method_or_game_is_refused() {
        let problem = problem(0.0);
        let run = |method: Method| Executor::new(&problem, method).run().unwrap().state;
        let state = run(Sppo::new(StepSize::Constant(1.0)).into());
        let onpo = Method::from(Onpo::new(StepSize::Constant(1.0)));
        let error = onpo.resume(&problem, &state).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the state is one of Sppo, but the solver is onpo"
        );
        let flat = inpo_game::MatrixGame::new(vec![vec![0.5; 2]; 2]).unwrap();
        for (method, tau) in all() {
            let state = Executor::new(&self::problem(tau), method.clone()).run();
            let small = Problem::new(&flat, Strategy::uniform(2), tau).unwrap();
            let error = method.resume(&small, &state.unwrap().state).unwrap_err();
            assert!(
                error.to_string().contains("the game has 2 actions"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_state_made_with_another_reference_is_refused() {
        let one = problem(0.1);
        let other = Problem::new(cyclic_three(), Strategy::uniform(3), 0.1).unwrap();
        let method = Method::from(Inpo::new(StepSize::Constant(1.0)));
        let state = Executor::new(&one, method.clone()).run().unwrap().state;
        let error = method.resume(&other, &state).unwrap_err();
        assert!(
            error.to_string().contains("it was made with another one"),
            "{error}"
        );
    }

    #[test]
    fn estimates_that_send_every_action_to_nothing_are_an_error() {
        // One action and one lost comparison: an advantage of -1/2 over an eta of 1e-320.
        let single = inpo_game::MatrixGame::new(vec![vec![0.5]]).unwrap();
        let problem = Problem::new(single, Strategy::uniform(1), 0.0).unwrap();
        let solver = Sppo::new(StepSize::Constant(1e-320));
        let run = Executor::new(&problem, solver).sampled(1, 0).iterations(5);
        let error = run.run().unwrap_err();
        assert!(matches!(error, SolverError::NotFinite { .. }), "{error}");
    }

    #[test]
    fn the_tag_is_the_name() {
        for (method, _) in all() {
            let value = serde_json::to_value(&method).unwrap();
            let tag = value["algorithm"].as_str().unwrap();
            assert!(method.name().starts_with(tag), "{tag}");
        }
    }
}
