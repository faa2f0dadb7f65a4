//! Fictitious play, plain and smooth.

use inpo_game::{PreferenceGame, Strategy};
use serde::{Deserialize, Serialize};

use crate::mirror::check_tally;
use crate::policy::Buffer;
use crate::problem::check_length;
use crate::{Algorithm, Choice, Feedback, FromChoice, Problem, Solver, SolverError, State, Tally};

/// Fictitious play (Brown, 1951): every time the best response to the average of all that was
/// played,
///
/// ```text
/// tau = 0:  pi_{t+1} = a best action against the mean of pi_1 .. pi_t (the first of several)
/// tau > 0:  pi_{t+1}(y)  is proportional to  ref(y) exp(P(y > mean) / tau)
/// ```
///
/// the second being smooth, or stochastic, fictitious play in the regularised game. No step size.
///
/// **Requires** nothing of tau; a start of the game's length.
///
/// **Guarantees**: in the plain game the average converges to a Nash policy (Robinson, 1951), in
/// the worst case slowly; near 1/sqrt(T) in practice. The last iterate is a pure action and never converges to a mixed
/// policy. With tau > 0 both the average and the last iterate converge to the regularised Nash
/// policy (Hofbauer and Sandholm, 2002, for zero-sum games).
///
/// **Costs** one oracle call an iteration, against the average.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FictitiousPlay {}

impl FictitiousPlay {
    /// Fictitious play.
    #[must_use]
    pub fn new() -> Self {
        Self {}
    }
}

/// The state of fictitious play: the last best response and the average.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FictitiousPlayState {
    tally: Tally,
    strategy: Strategy,
    #[serde(skip)]
    rates: Buffer,
    #[serde(skip)]
    room: Buffer<Option<Strategy>>,
}

impl State for FictitiousPlayState {
    fn at<G: PreferenceGame>(problem: &Problem<G>, start: &Strategy) -> Result<Self, SolverError> {
        check_length("start", start, problem.game())?;
        Ok(Self {
            tally: Tally::new(start),
            strategy: start.clone(),
            rates: Buffer::default(),
            room: Buffer::default(),
        })
    }

    fn strategy(&self) -> &Strategy {
        &self.strategy
    }

    fn tally(&self) -> &Tally {
        &self.tally
    }

    fn check<G: PreferenceGame>(&self, problem: &Problem<G>) -> Result<(), SolverError> {
        check_length("state", &self.strategy, problem.game())?;
        check_tally(&self.tally, problem)
    }
}

impl Solver for FictitiousPlay {
    type State = FictitiousPlayState;

    const ALGORITHMS: &'static [Algorithm] = &[Algorithm {
        name: "fictitious_play",
        aliases: &["fictitious-play"],
        help: "Fictitious play; smooth with --tau",
        ..Algorithm::DEFAULT
    }];

    fn leaves_support(&self) -> bool {
        true
    }

    fn step<G: PreferenceGame>(
        &self,
        problem: &Problem<G>,
        feedback: &mut impl Feedback,
        state: &mut FictitiousPlayState,
    ) -> Result<(), SolverError> {
        let FictitiousPlayState {
            tally,
            strategy,
            rates,
            room,
        } = state;
        let update = tally.iteration() + 1;
        let average = room.copy_of(tally.average());
        average.mix_in(strategy, 1.0 / update as f64);
        let rates = rates.sized(strategy.num_actions());
        feedback.win_rates_into(average, rates)?;
        let played = room.copy_of(strategy);
        if problem.tau() > 0.0 {
            for (rate, log_reference) in rates.iter_mut().zip(problem.log_reference()) {
                *rate = log_reference + (*rate - 0.5) / problem.tau();
            }
            strategy
                .set_logits(rates)
                .map_err(|_| SolverError::Overflow {
                    iteration: update,
                    tau: problem.tau(),
                })?;
        } else {
            // `rev`, because `max_by` keeps the last of equals.
            let best = (0..rates.len())
                .rev()
                .max_by(|&i, &j| rates[i].total_cmp(&rates[j]));
            let best = best.expect("a game has at least one action");
            rates.fill(0.0);
            rates[best] = 1.0;
            strategy.set_weights(rates);
        }
        tally.leave(played, feedback.calls());
        Ok(())
    }
}

impl FromChoice for FictitiousPlay {
    fn from_choice(_: &Choice<'_>) -> Result<Self, SolverError> {
        Ok(Self::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Executor, Iterate};
    use inpo_game::games::{cyclic_three, uniform};
    use inpo_game::kl;

    #[test]
    fn four_steps_by_hand() {
        // From a: b beats a; against (a, b)/2 c has 0.55, b 0.7, so b; against (a, b, b)/3 a has
        // 0.7/3, b 1.9/3, c 2/3, so c; against (a, b, b, c)/4: a 1.5/4, b 2/4, c 2.5/4, so c.
        let problem = Problem::new(cyclic_three(), Strategy::uniform(3), 0.0).unwrap();
        for (updates, action) in [(1, 1), (2, 1), (3, 2), (4, 2)] {
            let run = Executor::new(&problem, FictitiousPlay::new()).start(Strategy::pure(3, 0));
            let state = run.iterations(updates).run().unwrap().state;
            assert_eq!(state.strategy(), &Strategy::pure(3, action), "{updates}");
            assert_eq!(state.oracle_calls(), updates);
        }
    }

    #[test]
    fn the_average_converges_in_the_plain_game() {
        for seed in 0..10 {
            let problem =
                Problem::new(uniform(6, seed).unwrap(), Strategy::uniform(6), 0.0).unwrap();
            let run = Executor::new(&problem, FictitiousPlay::new()).iterations(20_000);
            let run = run.watch(Iterate::Average).stride(20_000).run().unwrap();
            let gap = run.history[1].duality_gap;
            assert!(gap < 0.03, "seed {seed}: {gap}");
        }
    }

    #[test]
    fn smooth_play_converges_to_the_regularised_nash() {
        let reference = Strategy::new(vec![0.25, 0.45, 0.30]).unwrap();
        let problem = Problem::new(cyclic_three(), reference, 0.1).unwrap();
        let nash = problem.nash().unwrap();
        let run = Executor::new(&problem, FictitiousPlay::new()).iterations(5000);
        let state = run.stride(5000).run().unwrap().state;
        assert!(kl(&nash, state.average()) < 1e-6);
        assert!(kl(&nash, state.strategy()) < 1e-4);
    }
}
