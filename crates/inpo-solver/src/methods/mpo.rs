//! MPO: magnetic mirror descent.

use inpo_game::{PreferenceGame, Strategy};
use serde::{Deserialize, Serialize};

use super::comal::{Phase, check_moving};
use crate::caution::circles;
use crate::{
    Algorithm, Caution, Choice, CompanionState, Feedback, FromChoice, Plays, Problem, Reads,
    Solver, SolverError, State, StepSize,
};

/// Magnetic preference optimisation (arXiv 2410.16714): magnetic mirror descent (arXiv 2206.05825)
/// with a magnet that is replaced by the policy after every `period` updates,
///
/// ```text
/// pi_{t+1} = argmax_pi  P(pi > pi_t) - tau KL(pi || magnet) - eta KL(pi || pi_t)
/// pi_{t+1}(y)  is proportional to
///     ( exp(P(y > pi_t)) magnet(y)^tau pi_t(y)^eta )^(1 / (eta + tau))
/// ```
///
/// where eta is the INVERSE step size. The pull to the magnet is implicit, so it is INPO's step with
/// inverse step size eta + tau, and no condition ties tau to eta. Only the abstract of MPO was at
/// hand: the update is that of magnetic mirror descent, the restart as the abstract tells it. The
/// state's companion is the magnet.
///
/// **Requires** a plain problem (tau = 0 there), tau > 0 here, eta > 0, a period of 1 or more; a
/// start with the zeros of the reference.
///
/// **Guarantees**: linear convergence within a phase to the regularised Nash policy around the
/// magnet if 1/eta <= tau / L^2 (arXiv 2206.05825, Theorem 3.4), where L = 1/2 bounds the
/// preferences less 1/2: [`theory`](Self::theory). Over the phases the last iterate converges to the
/// Nash policy of the plain game (abstract), **if the period is long enough**: with a period of 1 it
/// is multiplicative weights, which circles. Locally a phase converges if eta > s^2/(2 tau) - tau/2;
/// [`caution`](Solver::caution) tells whether the phases do.
///
/// **Costs** one oracle call an iteration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mpo {
    /// eta, the INVERSE step size, of every update.
    pub step_size: StepSize,
    /// The weight of the KL to the magnet.
    pub tau: f64,
    /// Updates between two replacements of the magnet.
    pub period: u64,
}

/// L^2: P - 1/2 is at most 1/2 in every entry.
const LIPSCHITZ_SQUARED: f64 = 0.25;

impl Mpo {
    /// MPO with this step size, KL weight and period; [`StepSize::Theory`] is refused, see
    /// [`theory`](Self::theory).
    #[must_use]
    pub fn new(step_size: StepSize, tau: f64, period: u64) -> Self {
        Self {
            step_size,
            tau,
            period,
        }
    }

    /// The largest step with a proof, 1/eta = tau / L^2: eta = 1 / (4 tau).
    #[must_use]
    pub fn theory(tau: f64, period: u64) -> Self {
        Self::new(StepSize::Constant(LIPSCHITZ_SQUARED / tau), tau, period)
    }

    /// A phase of INPO's steps: the implicit pull adds tau to eta.
    fn phase(&self, eta: f64) -> Phase {
        Phase {
            eta: eta + self.tau,
            tau: self.tau,
            period: self.period,
        }
    }
}

impl Solver for Mpo {
    type State = CompanionState;

    const ALGORITHMS: &'static [Algorithm] = &[Algorithm {
        name: "mpo",
        aliases: &["mmd", "magnetic"],
        help: "Magnetic mirror descent; plain game, --tau is the magnet's weight",
        plays: Plays::Plain,
        reads: Reads {
            own_tau: true,
            period: Some(20),
            ..Reads::STEP_SIZE
        },
        ..Algorithm::DEFAULT
    }];

    fn step_size(&self) -> Option<StepSize> {
        Some(self.step_size)
    }

    fn validate<G: PreferenceGame>(&self, problem: &Problem<G>) -> Result<(), SolverError> {
        self.algorithm().check(problem.tau(), None)?;
        check_moving(self.tau, self.period)?;
        self.algorithm().check(problem.tau(), self.step_size())
    }

    fn start<G: PreferenceGame>(
        &self,
        problem: &Problem<G>,
        start: &Strategy,
    ) -> Result<CompanionState, SolverError> {
        let mut state = CompanionState::at(problem, start)?;
        state.companion.set(problem, 0, |_, _| 0.0)?;
        Ok(state)
    }

    fn step<G: PreferenceGame>(
        &self,
        problem: &Problem<G>,
        feedback: &mut impl Feedback,
        state: &mut CompanionState,
    ) -> Result<(), SolverError> {
        let eta = self.step_size.eta(state.iteration() + 1, 0.0);
        self.phase(eta).step(problem, feedback, state)
    }

    fn caution<G: PreferenceGame>(&self, problem: &Problem<G>, nash: &Strategy) -> Option<Caution> {
        circles(self.name(), problem, nash)?;
        let phase = self.phase(self.step_size.constant()?);
        phase.caution(self.name(), problem, nash)
    }
}

impl FromChoice for Mpo {
    fn from_choice(choice: &Choice<'_>) -> Result<Self, SolverError> {
        let (tau, period) = (choice.tau(), choice.period());
        if choice.is_theory() {
            return Ok(Self::theory(tau, period));
        }
        Ok(Self::new(choice.step_size()?, tau, period))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ExactFeedback, Executor};
    use inpo_game::games::{cyclic_three, uniform};
    use inpo_game::kl;

    #[test]
    fn one_step_by_hand() {
        // Win rates 0.44, 0.62, 0.47 against pi_t; the definition with eta = 2 and tau = 0.5.
        let (magnet, pi_t) = ([0.25f64, 0.45, 0.30], [0.5f64, 0.3, 0.2]);
        let reference = Strategy::new(magnet.to_vec()).unwrap();
        let problem = Problem::new(cyclic_three(), reference, 0.0).unwrap();
        let solver = Mpo::new(StepSize::Constant(2.0), 0.5, 10);
        let start = Strategy::new(pi_t.to_vec()).unwrap();
        let mut state = solver.init(&problem, &start).unwrap();
        let mut feedback = ExactFeedback::new(problem.game(), 0);
        solver.step(&problem, &mut feedback, &mut state).unwrap();
        let rates = [0.44f64, 0.62, 0.47];
        let weight =
            |y: usize| (rates[y].exp() * magnet[y].powf(0.5) * pi_t[y].powf(2.0)).powf(1.0 / 2.5);
        let sum: f64 = (0..3).map(weight).sum();
        for y in 0..3 {
            assert!((state.strategy()[y] - weight(y) / sum).abs() < 1e-14);
        }
    }

    #[test]
    fn the_last_iterate_converges_with_the_proven_step() {
        for seed in 0..10 {
            let n = 3 + seed as usize % 5;
            let problem = Problem::new(uniform(n, seed).unwrap(), Strategy::uniform(n), 0.0);
            let problem = problem.unwrap();
            let nash = problem.nash().unwrap();
            let run = Executor::new(&problem, Mpo::theory(0.1, 50)).equilibrium(nash);
            let history = run.iterations(40_000).stride(10_000).run().unwrap().history;
            assert!(history[4].duality_gap < 1e-3, "seed {seed}: {history:?}");
            for pair in history.windows(2) {
                let [before, after] = [pair[0], pair[1]].map(|r| r.kl_to_nash.unwrap());
                assert!(after < before.max(1e-12), "seed {seed}: {history:?}");
            }
        }
    }

    #[test]
    fn a_phase_converges_linearly_to_the_regularised_nash() {
        let (game, uniform) = (cyclic_three(), Strategy::uniform(3));
        let nash = inpo_game::regularised_nash(&game, &uniform, 0.1).unwrap();
        let problem = Problem::new(game, uniform, 0.0).unwrap();
        let distance = |updates| {
            let run = Executor::new(&problem, Mpo::theory(0.1, u64::MAX)).iterations(updates);
            kl(&nash, run.run().unwrap().state.strategy())
        };
        // Theorem 3.4: the Bregman distance falls by 1 / (1 + tau/eta) a step, here 1 / 1.04.
        let start = distance(0);
        for updates in [10, 50, 100, 200] {
            let bound = start * 1.04f64.powi(-(updates as i32));
            assert!(distance(updates) <= bound, "after {updates}");
        }
    }

    #[test]
    fn what_does_not_fit_has_its_sentence() {
        let problem = Problem::new(cyclic_three(), Strategy::uniform(3), 0.0).unwrap();
        let says = |solver: Mpo, want: &str| {
            let error = solver.init(&problem, problem.reference()).unwrap_err();
            assert!(error.to_string().contains(want), "{error}");
        };
        let step = StepSize::Constant(0.5);
        says(Mpo::new(step, -1.0, 20), "tau is -1: it must be a positive");
        says(Mpo::new(step, 0.1, 0), "period is 0: it must be 1 or more");
        says(
            Mpo::new(StepSize::Theory, 0.1, 5),
            "mpo has no theory schedule",
        );
        let nash = problem.nash().unwrap();
        let caution =
            |eta, period| Mpo::new(StepSize::Constant(eta), 0.1, period).caution(&problem, &nash);
        // s^2 = 0.0436 at the Nash policy: a phase needs eta above 0.0436 / 0.2 - 0.05 = 0.168.
        assert!(caution(0.1, 20).is_some());
        assert!(caution(2.5, 1).is_some(), "multiplicative weights");
        assert!(caution(2.5, 50).is_none());
    }
}
