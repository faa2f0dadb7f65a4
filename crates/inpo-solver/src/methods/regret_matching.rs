//! Regret matching and regret matching plus.

use inpo_game::{PreferenceGame, Strategy};
use serde::{Deserialize, Serialize};

use crate::mirror::{ask, check_tally};
use crate::policy::Buffer;
use crate::problem::check_length;
use crate::{
    Algorithm, Choice, Feedback, FromChoice, Plays, Problem, Solver, SolverError, State, Tally,
};

/// Regret matching (Hart and Mas-Colell, 2000), and regret matching plus (Tammelin, arXiv 1407.5042),
/// in self-play:
///
/// ```text
/// r_t(y)   =  P(y > pi_t) - P(pi_t > pi_t)
/// R_t      =  R_{t-1} + r_t                    (plus: the positive part of it)
/// pi_{t+1} is proportional to the positive part of R_t; the reference if nothing is positive
/// ```
///
/// No step size and no exponentials; the probability 0 is reached in one step and left in one.
///
/// **Requires** tau = 0 (the plain game). Any start; the reference matters only where nothing is
/// regretted.
///
/// **Guarantees**: with gains in [0, 1] the positive regrets satisfy |R_T^+|^2 <= sum_t |r_t|^2 <= n T
/// (Blackwell), so the average's exploitability is at most sqrt(n / T) and its duality gap twice
/// that. The last iterate does not converge in general; the plus variant with its
/// [weighted average](State::weighted_average) is the fast one in practice.
///
/// **Costs** one oracle call an iteration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegretMatching {
    /// Whether negative regrets are forgotten.
    pub plus: bool,
}

impl RegretMatching {
    /// Regret matching.
    #[must_use]
    pub fn new() -> Self {
        Self { plus: false }
    }

    /// Regret matching plus.
    #[must_use]
    pub fn plus() -> Self {
        Self { plus: true }
    }
}

/// The state of regret matching.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegretState {
    tally: Tally,
    strategy: Strategy,
    regrets: Vec<f64>,
    #[serde(skip)]
    rates: Buffer,
    #[serde(skip)]
    positive: Buffer,
}

impl RegretState {
    /// R_t of every action, in wins.
    #[must_use]
    pub fn regrets(&self) -> &[f64] {
        &self.regrets
    }
}

impl State for RegretState {
    fn at<G: PreferenceGame>(problem: &Problem<G>, start: &Strategy) -> Result<Self, SolverError> {
        check_length("start", start, problem.game())?;
        Ok(Self {
            tally: Tally::new(start),
            strategy: start.clone(),
            regrets: vec![0.0; start.num_actions()],
            rates: Buffer::default(),
            positive: Buffer::default(),
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
        check_tally(&self.tally, problem)?;
        let (got, expected) = (self.regrets.len(), problem.game().num_actions());
        if got == expected {
            Ok(())
        } else {
            let what = "state's regrets";
            Err(SolverError::Length {
                what,
                got,
                expected,
            })
        }
    }
}

impl Solver for RegretMatching {
    type State = RegretState;

    const ALGORITHMS: &'static [Algorithm] = &[
        Algorithm {
            name: "regret_matching",
            aliases: &["regret-matching"],
            help: "Regret matching; plain game",
            plays: Plays::Plain,
            ..Algorithm::DEFAULT
        },
        Algorithm {
            name: "regret_matching_plus",
            aliases: &["regret-matching-plus"],
            help: "Regret matching plus; plain game",
            plays: Plays::Plain,
            ..Algorithm::DEFAULT
        },
    ];

    fn algorithm(&self) -> &'static Algorithm {
        &Self::ALGORITHMS[usize::from(self.plus)]
    }

    fn leaves_support(&self) -> bool {
        true
    }

    fn step<G: PreferenceGame>(
        &self,
        problem: &Problem<G>,
        feedback: &mut impl Feedback,
        state: &mut RegretState,
    ) -> Result<(), SolverError> {
        let RegretState {
            tally,
            strategy,
            regrets,
            rates,
            positive,
        } = state;
        let advantages = ask(feedback, strategy, rates)?;
        // 0 for exact win rates; an estimate has its own mean.
        let mean: f64 = advantages
            .iter()
            .zip(strategy.iter())
            .map(|(a, p)| a * p)
            .sum();
        let positive = positive.sized(advantages.len());
        for ((regret, advantage), positive) in
            regrets.iter_mut().zip(advantages).zip(positive.iter_mut())
        {
            *regret += advantage - mean;
            *positive = regret.max(0.0);
            if self.plus {
                *regret = *positive;
            }
        }
        tally.leave(strategy, feedback.calls());
        if !strategy.set_weights(positive) {
            strategy.copy_from(problem.reference());
        }
        Ok(())
    }
}

impl FromChoice for RegretMatching {
    fn from_choice(choice: &Choice<'_>) -> Result<Self, SolverError> {
        let plus = choice.algorithm.name == Self::ALGORITHMS[1].name;
        Ok(Self { plus })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Executor, Iterate};
    use inpo_game::games::{cyclic_three, uniform};
    use inpo_game::{duality_gap, regret};

    fn plain() -> Problem<inpo_game::MatrixGame> {
        Problem::new(cyclic_three(), Strategy::uniform(3), 0.0).unwrap()
    }

    fn after(solver: RegretMatching, updates: u64) -> RegretState {
        let problem = plain();
        let run = Executor::new(&problem, solver).iterations(updates);
        run.run().unwrap().state
    }

    #[test]
    fn three_steps_by_hand() {
        // Against uniform the regrets are (-1, 0, 1)/30: all mass on c. Against c: a +0.3, b -0.4,
        // c 0, so R = (8, -12, 1)/30 plain, (9, 0, 1)/30 plus.
        let one = after(RegretMatching::new(), 1);
        assert_eq!(one.strategy().as_slice(), [0.0, 0.0, 1.0]);
        let two = after(RegretMatching::new(), 2);
        let plus = after(RegretMatching::plus(), 2);
        let close = |pi: &Strategy, want: [f64; 3]| {
            for (p, w) in pi.iter().zip(want) {
                assert!((p - w).abs() < 1e-13, "{p} is not {w}");
            }
        };
        close(two.strategy(), [8.0 / 9.0, 0.0, 1.0 / 9.0]);
        close(plus.strategy(), [0.9, 0.0, 0.1]);
        assert!((two.regrets()[1] + 0.4).abs() < 1e-13);
        assert_eq!(plus.regrets()[1], 0.0);
    }

    #[test]
    fn the_average_obeys_blackwells_bound() {
        for seed in 0..20 {
            let n = 3 + seed as usize % 8;
            let problem =
                Problem::new(uniform(n, seed).unwrap(), Strategy::uniform(n), 0.0).unwrap();
            let horizon = 500;
            for solver in [RegretMatching::new(), RegretMatching::plus()] {
                let run = Executor::new(&problem, solver).iterations(horizon);
                let state = run.run().unwrap().state;
                let gap = duality_gap(problem.game(), state.average());
                let bound = 2.0 * (n as f64 / horizon as f64).sqrt();
                assert!(gap <= bound, "seed {seed}: {gap} is above {bound}");
            }
        }
    }

    #[test]
    fn plus_with_linear_weights_is_faster_on_the_whole() {
        let mut log_ratio = 0.0;
        for seed in 0..10 {
            let problem = Problem::new(uniform(10, seed).unwrap(), Strategy::uniform(10), 0.0);
            let problem = problem.unwrap();
            let gap = |solver, watch| {
                let run = Executor::new(&problem, solver)
                    .iterations(2000)
                    .watch(watch);
                run.stride(2000).run().unwrap().history[1].duality_gap
            };
            let plus = gap(RegretMatching::plus(), Iterate::WeightedAverage);
            log_ratio += (plus / gap(RegretMatching::new(), Iterate::Average)).ln() / 10.0;
        }
        assert!(log_ratio < -0.5, "{log_ratio}");
    }

    #[test]
    fn the_regrets_are_those_of_the_sequence_played() {
        let problem = plain();
        let solver = RegretMatching::new();
        let states: Vec<_> = crate::Iterates::new(&problem, &solver, problem.reference())
            .unwrap()
            .take(51)
            .collect::<Result<_, _>>()
            .unwrap();
        let played: Vec<Strategy> = states[..50].iter().map(|s| s.strategy().clone()).collect();
        let largest = states[50]
            .regrets()
            .iter()
            .copied()
            .fold(f64::MIN, f64::max);
        assert!((largest - regret(problem.game(), &played)).abs() < 1e-12);
    }

    #[test]
    fn nothing_regretted_is_the_reference() {
        let flat = inpo_game::MatrixGame::new(vec![vec![0.5; 2]; 2]).unwrap();
        let reference = Strategy::new(vec![0.25, 0.75]).unwrap();
        let problem = Problem::new(flat, reference.clone(), 0.0).unwrap();
        let run = Executor::new(&problem, RegretMatching::new()).start(Strategy::pure(2, 0));
        assert_eq!(
            run.iterations(1).run().unwrap().state.strategy(),
            &reference
        );
    }

    #[test]
    fn a_kl_is_refused() {
        let problem = Problem::new(cyclic_three(), Strategy::uniform(3), 0.1).unwrap();
        for solver in [RegretMatching::new(), RegretMatching::plus()] {
            let error = solver.init(&problem, problem.reference()).unwrap_err();
            let want = format!("{} plays the plain game", solver.name());
            assert!(error.to_string().contains(&want), "{error}");
        }
    }
}
