//! The states of the mirror-descent family: one policy in log space, or one with a companion.

use inpo_game::{PreferenceGame, Strategy};
use serde::{Deserialize, Serialize};

use crate::policy::Buffer;
use crate::problem::check_length;
use crate::{Feedback, LogPolicy, Problem, SolverError, State, Tally};

/// Fills `rates` with the advantages P(y > opponent) - 1/2. The 1/2 is common to all actions;
/// without it the exponents stay small.
pub(crate) fn ask<'b>(
    feedback: &mut impl Feedback,
    opponent: &Strategy,
    rates: &'b mut Buffer,
) -> Result<&'b [f64], SolverError> {
    let rates = rates.sized(opponent.num_actions());
    feedback.win_rates_into(opponent, rates)?;
    rates.iter_mut().for_each(|rate| *rate -= 0.5);
    Ok(rates)
}

pub(crate) fn check_tally<G: PreferenceGame>(
    tally: &Tally,
    problem: &Problem<G>,
) -> Result<(), SolverError> {
    check_length("state's average", tally.average(), problem.game())?;
    check_length(
        "state's weighted average",
        tally.weighted_average(),
        problem.game(),
    )
}

/// The state of a mirror descent: where it is and what it has visited.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OmdState {
    tally: Tally,
    policy: LogPolicy,
    #[serde(skip)]
    rates: Buffer,
}

impl OmdState {
    /// Asks about pi_t and moves to the ratio next(advantage, ratio) of every action.
    pub(crate) fn descend<G>(
        &mut self,
        problem: &Problem<G>,
        feedback: &mut impl Feedback,
        next: impl Fn(f64, f64) -> f64,
    ) -> Result<(), SolverError> {
        let update = self.tally.iteration() + 1;
        let rates = ask(feedback, self.policy.strategy(), &mut self.rates)?;
        self.policy
            .propose(problem, update, |y, ratio| next(rates[y], ratio))?;
        self.tally.leave(self.policy.strategy(), feedback.calls());
        self.policy.accept(problem);
        Ok(())
    }

    /// log(pi(y) / ref(y)) of the last iterate, in nats: the quantity whose largest modulus is the
    /// paper's B. 0 where the reference is 0.
    #[must_use]
    pub fn log_ratio(&self) -> &[f64] {
        self.policy.log_ratio()
    }
}

impl State for OmdState {
    fn at<G: PreferenceGame>(problem: &Problem<G>, start: &Strategy) -> Result<Self, SolverError> {
        Ok(Self {
            policy: LogPolicy::new(problem, start)?,
            tally: Tally::new(start),
            rates: Buffer::default(),
        })
    }

    fn strategy(&self) -> &Strategy {
        self.policy.strategy()
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }

    fn check<G: PreferenceGame>(&self, problem: &Problem<G>) -> Result<(), SolverError> {
        self.policy.check(problem)?;
        check_tally(&self.tally, problem)
    }
}

/// The state of a method that keeps a second policy: the mixture or average it plays against, the
/// auxiliary iterate, the half step, or the reference that moves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompanionState {
    pub(crate) tally: Tally,
    pub(crate) policy: LogPolicy,
    pub(crate) companion: LogPolicy,
    #[serde(skip)]
    pub(crate) rates: Buffer,
    /// For methods that add up answers.
    #[serde(skip)]
    pub(crate) room: Buffer,
}

impl CompanionState {
    /// Counts the update and moves the policy to its proposal.
    pub(crate) fn accept<G>(&mut self, problem: &Problem<G>, feedback: &impl Feedback) {
        self.tally.leave(self.policy.strategy(), feedback.calls());
        self.policy.accept(problem);
    }

    /// log(pi(y) / ref(y)) of the last iterate, in nats.
    #[must_use]
    pub fn log_ratio(&self) -> &[f64] {
        self.policy.log_ratio()
    }

    /// The second policy; the method's page says what it is.
    #[must_use]
    pub fn companion(&self) -> &Strategy {
        self.companion.strategy()
    }
}

impl State for CompanionState {
    /// Both policies at `start`.
    fn at<G: PreferenceGame>(problem: &Problem<G>, start: &Strategy) -> Result<Self, SolverError> {
        let policy = LogPolicy::new(problem, start)?;
        Ok(Self {
            companion: policy.clone(),
            policy,
            tally: Tally::new(start),
            rates: Buffer::default(),
            room: Buffer::default(),
        })
    }

    fn strategy(&self) -> &Strategy {
        self.policy.strategy()
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }

    fn check<G: PreferenceGame>(&self, problem: &Problem<G>) -> Result<(), SolverError> {
        self.policy.check(problem)?;
        self.companion.check(problem)?;
        check_tally(&self.tally, problem)
    }
}
