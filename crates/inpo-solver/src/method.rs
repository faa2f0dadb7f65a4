//! The macro that makes an enum of all solvers of their table in `methods`.

/// Writes `Method`, `MethodState`, the dispatch and the re-exports from rows `module::Solver`. A row's
/// documentation is a line of `Method`'s table.
macro_rules! methods {
    (
        $(#[$doc:meta])*
        pub enum Method;
        $($(#[$row:meta])* $module:ident::$solver:ident),* $(,)?
    ) => {
        use inpo_game::{PreferenceGame, Strategy};
        use serde::{Deserialize, Serialize};

        use crate::algorithm::joined;
        use crate::{
            Algorithm, Caution, Choice, Feedback, FromChoice, Problem, Solver, SolverError, State,
            StepSize, Tally,
        };

        $(pub use $module::*;)*

        $(#[$doc])*
        $($(#[$row])*)*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "algorithm", rename_all = "snake_case")]
        pub enum Method {
            $(#[doc = concat!("[`", stringify!($solver), "`].")] $solver($solver)),*
        }

        /// The state of a [`Method`].
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum MethodState {
            $(
                #[doc = concat!("That of [`", stringify!($solver), "`].")]
                $solver(<$solver as Solver>::State)
            ),*
        }

        $(impl From<$solver> for Method {
            fn from(solver: $solver) -> Self {
                Self::$solver(solver)
            }
        })*

        impl Method {
            /// The entry of the method with this name or alias, in upper or lower case.
            #[must_use]
            pub fn named(name: &str) -> Option<&'static Algorithm> {
                Self::ALGORITHMS.iter().find(|entry| entry.is_called(name))
            }

            fn other(&self, state: &MethodState) -> SolverError {
                SolverError::OtherMethod {
                    algorithm: self.name(),
                    found: match state {
                        $(MethodState::$solver(_) => stringify!($solver)),*
                    },
                }
            }
        }

        impl FromChoice for Method {
            fn from_choice(choice: &Choice<'_>) -> Result<Self, SolverError> {
                let name = choice.algorithm.name;
                let has = |entries: &[Algorithm]| entries.iter().any(|entry| entry.name == name);
                $(if has($solver::ALGORITHMS) {
                    return $solver::from_choice(choice).map(Self::$solver);
                })*
                Err(SolverError::UnknownMethod { name })
            }
        }

        impl State for MethodState {
            /// An error always: only the [`Method`] knows whose state it is to be.
            fn at<G: PreferenceGame>(_: &Problem<G>, _: &Strategy) -> Result<Self, SolverError> {
                Err(SolverError::NoMethod)
            }

            fn strategy(&self) -> &Strategy {
                match self {
                    $(Self::$solver(state) => state.strategy()),*
                }
            }

            fn tally(&self) -> &Tally {
                match self {
                    $(Self::$solver(state) => state.tally()),*
                }
            }

            fn check<G: PreferenceGame>(&self, problem: &Problem<G>) -> Result<(), SolverError> {
                match self {
                    $(Self::$solver(state) => state.check(problem)),*
                }
            }
        }

        impl Solver for Method {
            type State = MethodState;

            /// The entries of all methods.
            const ALGORITHMS: &'static [Algorithm] = {
                const COUNT: usize = 0 $(+ $solver::ALGORITHMS.len())*;
                &joined::<COUNT>(&[$($solver::ALGORITHMS),*])
            };

            fn algorithm(&self) -> &'static Algorithm {
                match self {
                    $(Self::$solver(solver) => solver.algorithm()),*
                }
            }

            fn step_size(&self) -> Option<StepSize> {
                match self {
                    $(Self::$solver(solver) => solver.step_size()),*
                }
            }

            fn validate<G: PreferenceGame>(&self, problem: &Problem<G>) -> Result<(), SolverError> {
                match self {
                    $(Self::$solver(solver) => solver.validate(problem)),*
                }
            }

            fn start<G: PreferenceGame>(
                &self,
                problem: &Problem<G>,
                start: &Strategy,
            ) -> Result<MethodState, SolverError> {
                match self {
                    $(Self::$solver(solver) => {
                        solver.start(problem, start).map(MethodState::$solver)
                    }),*
                }
            }

            fn resume<G: PreferenceGame>(
                &self,
                problem: &Problem<G>,
                state: &MethodState,
            ) -> Result<(), SolverError> {
                match (self, state) {
                    $((Self::$solver(solver), MethodState::$solver(state)) => {
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
                    $((Self::$solver(solver), MethodState::$solver(state)) => {
                        solver.step(problem, feedback, state)
                    })*
                    _ => Err(self.other(state)),
                }
            }

            fn leaves_support(&self) -> bool {
                match self {
                    $(Self::$solver(solver) => solver.leaves_support()),*
                }
            }

            fn exact_only(&self) -> bool {
                match self {
                    $(Self::$solver(solver) => solver.exact_only()),*
                }
            }

            fn caution<G: PreferenceGame>(
                &self,
                problem: &Problem<G>,
                nash: &Strategy,
            ) -> Option<Caution> {
                match self {
                    $(Self::$solver(solver) => solver.caution(problem, nash)),*
                }
            }
        }
    };
}

pub(crate) use methods;
