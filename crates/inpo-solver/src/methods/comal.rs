//! COMAL: INPO towards a reference that moves.

use inpo_game::{PreferenceGame, Strategy};
use num_complex::Complex64;
use serde::{Deserialize, Serialize};

use crate::caution::{circles, grows, rotation};
use crate::mirror::ask;
use crate::{
    Algorithm, Caution, Choice, CompanionState, Feedback, FromChoice, Plays, Problem, Reads,
    Solver, SolverError, State, StepSize,
};

/// COMAL (arXiv 2410.23223): INPO's step towards a reference that is replaced by the policy after
/// every `period` updates,
///
/// ```text
/// pi_{t+1}(y)  is proportional to  exp(P(y > pi_t) / eta) ref_t(y)^(tau/eta) pi_t(y)^(1 - tau/eta)
/// ref_{t+1}    =  pi_{t+1} if t is a multiple of the period, else ref_t
/// ```
///
/// where eta is the INVERSE step size. Each phase solves a KL-regularised game (approximately) and
/// the next is regularised towards its solution: a proximal-point method, which reaches the Nash
/// policy of the PLAIN game. tau is a setting of the method, not of the problem. The state's
/// companion is ref_t. With an infinite period it is INPO.
///
/// **Requires** a plain problem (tau = 0 there), tau > 0 and tau <= eta here, a period of 1 or more;
/// a start with the zeros of the reference. [`StepSize::Theory`] starts again in every phase.
///
/// **Guarantees**: KL(pi* || ref) never rises from phase to phase if each is solved
/// exactly, and the last iterate converges to a Nash policy (as COMAL states it; not checked by us). A
/// constant eta must be above the phase's stability threshold tau/2 + s^2/(2 tau), which near the
/// solution is that at the Nash policy, **and the period long enough**: with a period of 1 it is
/// multiplicative weights, which circles whatever eta is. [`caution`](Solver::caution) knows both.
///
/// **Costs** one oracle call an iteration.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comal {
    /// eta, the INVERSE step size, of every update.
    pub step_size: StepSize,
    /// The weight of the KL to the moving reference.
    pub tau: f64,
    /// Updates between two replacements of the reference.
    pub period: u64,
}

impl Comal {
    /// COMAL with this step size, KL weight and period.
    #[must_use]
    pub fn new(step_size: StepSize, tau: f64, period: u64) -> Self {
        Self {
            step_size,
            tau,
            period,
        }
    }

    fn phase(&self, eta: f64) -> Phase {
        Phase {
            eta,
            tau: self.tau,
            period: self.period,
        }
    }
}

/// Checks the settings that COMAL and MPO share: tau is above 0 and the period 1 or more.
pub(super) fn check_moving(tau: f64, period: u64) -> Result<(), SolverError> {
    if !(tau > 0.0 && tau.is_finite()) {
        return Err(SolverError::Setting {
            setting: "tau",
            value: tau,
            allowed: "a positive finite number, the weight of the KL to the moving reference",
        });
    }
    if period == 0 {
        return Err(SolverError::Setting {
            setting: "period",
            value: 0.0,
            allowed: "1 or more updates between two moves of the reference",
        });
    }
    Ok(())
}

/// A phase of COMAL or MPO: `period` updates towards a reference that stays.
pub(super) struct Phase {
    /// The INVERSE step size.
    pub(super) eta: f64,
    /// The weight of the KL to that reference.
    pub(super) tau: f64,
    /// Updates until the reference moves.
    pub(super) period: u64,
}

impl Phase {
    /// INPO's step towards the companion, which becomes the policy after every `period` updates.
    pub(super) fn step<G: PreferenceGame>(
        &self,
        problem: &Problem<G>,
        feedback: &mut impl Feedback,
        state: &mut CompanionState,
    ) -> Result<(), SolverError> {
        let update = state.iteration() + 1;
        let (eta, pull) = (self.eta, self.tau / self.eta);
        let advantages = ask(feedback, state.policy.strategy(), &mut state.rates)?;
        let magnet = state.companion.log_ratio();
        state.policy.propose(problem, update, |y, ratio| {
            advantages[y] / eta + pull * magnet[y] + (1.0 - pull) * ratio
        })?;
        state.accept(problem, feedback);
        if update.is_multiple_of(self.period) {
            state.companion.copy_from(&state.policy);
        }
        Ok(())
    }

    /// How a phase acts on a deviation d of policy and reference from the plain Nash policy: with
    /// k = 1 - tau/eta and a = k + i s/eta an update takes the policy's deviation to
    /// a d + (1 - k) d_ref, so m updates multiply by a^m + (1 - k) (1 - a^m) / (1 - a).
    pub(super) fn caution<G: PreferenceGame>(
        &self,
        algorithm: &'static str,
        problem: &Problem<G>,
        nash: &Strategy,
    ) -> Option<Caution> {
        let keep = 1.0 - self.tau / self.eta;
        let update = Complex64::new(keep, rotation(problem, nash) / self.eta);
        let phase = update.powf(self.period as f64);
        if !phase.is_finite() {
            return grows(algorithm, f64::INFINITY);
        }
        let one = Complex64::new(1.0, 0.0);
        let factor = phase + (1.0 - keep) * (one - phase) / (one - update);
        grows(algorithm, factor.norm())
    }
}

impl Solver for Comal {
    type State = CompanionState;

    const ALGORITHMS: &'static [Algorithm] = &[Algorithm {
        name: "comal",
        help: "INPO towards a moving reference; plain game, --tau is that reference's weight",
        plays: Plays::Plain,
        theory: true,
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
        self.step_size.validate(self.tau)
    }

    fn start<G: PreferenceGame>(
        &self,
        problem: &Problem<G>,
        start: &Strategy,
    ) -> Result<CompanionState, SolverError> {
        let mut state = CompanionState::at(problem, start)?;
        // The first phase is regularised towards the problem's reference, as INPO is.
        state.companion.set(problem, 0, |_, _| 0.0)?;
        Ok(state)
    }

    fn step<G: PreferenceGame>(
        &self,
        problem: &Problem<G>,
        feedback: &mut impl Feedback,
        state: &mut CompanionState,
    ) -> Result<(), SolverError> {
        let in_phase = state.iteration() % self.period + 1;
        let eta = self.step_size.eta(in_phase, self.tau);
        self.phase(eta).step(problem, feedback, state)
    }

    fn caution<G: PreferenceGame>(&self, problem: &Problem<G>, nash: &Strategy) -> Option<Caution> {
        circles(self.name(), problem, nash)?;
        let phase = self.phase(self.step_size.constant()?);
        phase.caution(self.name(), problem, nash)
    }
}

impl FromChoice for Comal {
    fn from_choice(choice: &Choice<'_>) -> Result<Self, SolverError> {
        Ok(Self::new(
            choice.step_size()?,
            choice.tau(),
            choice.period(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Executor, Inpo};
    use inpo_game::games::cyclic_three;
    use inpo_game::{kl, nash};

    fn plain() -> Problem<inpo_game::MatrixGame> {
        let reference = Strategy::new(vec![0.25, 0.45, 0.30]).unwrap();
        Problem::new(cyclic_three(), reference, 0.0).unwrap()
    }

    #[test]
    fn with_an_endless_phase_it_is_inpo() {
        let (problem, step) = (plain(), StepSize::Constant(0.5));
        let regularised = Problem::new(cyclic_three(), problem.reference().clone(), 0.2).unwrap();
        let start = Strategy::new(vec![0.5, 0.3, 0.2]).unwrap();
        let comal = Executor::new(&problem, Comal::new(step, 0.2, u64::MAX)).start(start.clone());
        let inpo = Executor::new(&regularised, Inpo::new(step)).start(start);
        let (comal, inpo) = (comal.run().unwrap(), inpo.run().unwrap());
        for (a, b) in comal
            .state
            .strategy()
            .iter()
            .zip(inpo.state.strategy().iter())
        {
            assert!((a - b).abs() < 1e-15);
        }
    }

    #[test]
    fn the_reference_nears_the_plain_nash_from_phase_to_phase() {
        let problem = plain();
        let nash = nash(problem.game()).unwrap();
        let solver = Comal::new(StepSize::Constant(1.0), 0.2, 60);
        let mut previous = f64::INFINITY;
        for phases in 1..=10 {
            let run = Executor::new(&problem, solver).iterations(60 * phases);
            let state = run.run().unwrap().state;
            assert_eq!(state.companion(), state.strategy(), "the phase has ended");
            let distance = kl(&nash, state.companion());
            assert!(distance < previous, "phase {phases}: {distance}");
            previous = distance;
        }
        assert!(previous < 1e-4, "{previous}");
    }

    #[test]
    fn the_theory_schedule_starts_again_in_every_phase() {
        let problem = plain();
        let solver = Comal::new(StepSize::Theory, 0.1, 200);
        let run = Executor::new(&problem, solver)
            .iterations(8000)
            .stride(8000);
        assert!(run.run().unwrap().history[1].duality_gap < 1e-9);
    }

    #[test]
    fn what_does_not_fit_has_its_sentence() {
        let says = |solver: Comal, want: &str| {
            let error = solver.init(&plain(), plain().reference()).unwrap_err();
            assert!(error.to_string().contains(want), "{error}");
        };
        let step = StepSize::Constant(0.5);
        says(Comal::new(step, 0.0, 20), "tau is 0: it must be a positive");
        says(Comal::new(step, 0.6, 20), "tau must not exceed eta");
        says(
            Comal::new(step, 0.1, 0),
            "period is 0: it must be 1 or more",
        );
        let nash = nash(&cyclic_three()).unwrap();
        let reason = Comal::new(StepSize::Constant(0.1), 0.1, 20).caution(&plain(), &nash);
        assert!(
            reason
                .unwrap()
                .to_string()
                .contains("comal multiplies a deviation")
        );
    }

    #[test]
    fn too_short_a_phase_circles_and_the_caution_knows() {
        // At eta = 2, far above the threshold of 0.27, phases of 1 and 5 updates multiply a deviation by
        // 1.005 and 1.013, and phases of 20 by 0.76.
        let problem = plain();
        let nash = nash(problem.game()).unwrap();
        for (period, converges) in [(1, false), (5, false), (20, true)] {
            let solver = Comal::new(StepSize::Constant(2.0), 0.1, period);
            assert_eq!(
                solver.caution(&problem, &nash).is_none(),
                converges,
                "{period}"
            );
            let run = Executor::new(&problem, solver)
                .iterations(10_000)
                .stride(10_000);
            let gap = run.run().unwrap().history[1].duality_gap;
            assert_eq!(gap < 1e-9, converges, "{period}: {gap}");
        }
    }
}
