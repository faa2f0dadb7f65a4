//! Sampled play against oracles: the game, a judge in the form of a closure, one that fails.

use std::cell::Cell;

use inpo_game::{
    Comparison, FnOracle, MatrixGame, MatrixOracle, OracleError, Preference, PreferenceGame,
    PreferenceOracle, Strategy, games, kl,
};
use inpo_solver::{
    Executor, Feedback, Inpo, Problem, RegretMatching, SampledFeedback, Solver, SolverError, Sppo,
    State, StepSize,
};

mod common;

fn problem(tau: f64) -> Problem<MatrixGame> {
    Problem::new(games::cyclic_three(), Strategy::uniform(3), tau).unwrap()
}

/// The regrets after sampled play as they were before oracles could be exchanged: the order of the
/// draws and the labels is pinned. Regrets are sums and quotients only, the same on every machine.
#[test]
fn a_matrix_game_answers_as_it_always_did() {
    for (comparisons, iterations, want) in [
        (
            6,
            60,
            [2.2771848067110345, 3.0271848067110345, 1.0271848067110336],
        ),
        (
            70_000,
            5,
            [
                0.10497860149090404,
                0.42030003006340033,
                -0.43169996993798826,
            ],
        ),
    ] {
        let problem = problem(0.0);
        let executor = || Executor::new(&problem, RegretMatching::new()).iterations(iterations);
        let own = executor().sampled(comparisons, 11).run().unwrap();
        assert_eq!(own.state.regrets(), want);
        let oracle = MatrixOracle::new(problem.game());
        let given = executor().sampled_from(&oracle, comparisons, 11);
        assert_eq!(given.run().unwrap(), own);
    }
}

/// A judge who reads nothing in a tenth of the comparisons: P' - 1/2 = 0.9 (P - 1/2).
#[test]
fn a_judge_with_noise_leads_to_the_nash_policy_of_what_it_says() {
    let judge = |first: usize, second: usize| {
        let game = games::cyclic_three();
        0.1 * 0.5 + 0.9 * game.preference(first, second).get()
    };
    let row = |first| (0..3).map(|second| judge(first, second)).collect();
    let said = MatrixGame::new((0..3).map(row).collect()).unwrap();
    let nash = Problem::new(said, Strategy::uniform(3), 0.5)
        .unwrap()
        .nash()
        .unwrap();

    let oracle = FnOracle::new("noisy", move |_: &(), first: &usize, second: &usize| {
        judge(*first, *second)
    });
    // The problem's own game is another one, all ties: the solver learns from the judge alone.
    let flat = MatrixGame::new(vec![vec![0.5; 3]; 3]).unwrap();
    let problem = Problem::new(flat, Strategy::uniform(3), 0.5).unwrap();
    let run = Executor::new(&problem, Inpo::new(StepSize::Theory))
        .sampled_from(&oracle, 64, 5)
        .iterations(2000)
        .stride(2000)
        .run()
        .unwrap();
    assert_eq!(run.state.oracle_calls(), 128_000);
    let distance = kl(&nash, run.state.strategy());
    assert!(distance < 1e-4, "{distance}");
    assert!(kl(&nash, &Strategy::uniform(3)) > 2e-4);
}

#[test]
fn the_average_of_multiplicative_weights_finds_the_plain_nash_policy_of_a_closure() {
    // Rock, paper, scissors by remainders: the Nash policy is uniform, the start is not.
    let cycle = FnOracle::new("cycle", |_: &(), first: &usize, second: &usize| {
        [0.5, 1.0, 0.0][(3 + first - second) % 3]
    });
    let game = MatrixGame::new(vec![
        vec![0.5, 0.0, 1.0],
        vec![1.0, 0.5, 0.0],
        vec![0.0, 1.0, 0.5],
    ]);
    let start = Strategy::new(vec![0.6, 0.3, 0.1]).unwrap();
    let problem = Problem::new(game.unwrap(), Strategy::uniform(3), 0.0).unwrap();
    let run = Executor::new(&problem, Sppo::theory(&start, 4000))
        .start(start)
        .sampled_from(&cycle, 16, 2)
        .iterations(4000)
        .stride(4000)
        .run()
        .unwrap();
    let gap = problem.duality_gap(run.state.average());
    assert!(gap < 0.05, "{gap}");
}

/// Fails once, in the batch of this number, from 0.
struct Unreliable {
    batches: Cell<u64>,
    fails: u64,
}

impl PreferenceOracle<(), usize> for Unreliable {
    fn compare(
        &self,
        comparisons: &[Comparison<'_, (), usize>],
    ) -> Result<Vec<Preference>, OracleError> {
        let batch = self.batches.replace(self.batches.get() + 1);
        if batch == self.fails {
            return Err(OracleError::Unavailable {
                oracle: self.name(),
                reason: "it rains".into(),
            });
        }
        MatrixOracle::new(games::cyclic_three()).compare(comparisons)
    }

    fn name(&self) -> String {
        "unreliable".into()
    }
}

fn unreliable(fails: u64) -> Unreliable {
    Unreliable {
        batches: Cell::new(0),
        fails,
    }
}

#[test]
fn a_failing_oracle_ends_the_run_with_its_sentence() {
    let (problem, oracle) = (problem(0.0), unreliable(3));
    let run = Executor::new(&problem, RegretMatching::new()).sampled_from(&oracle, 4, 0);
    assert_eq!(
        run.run().unwrap_err().to_string(),
        "sampled play stopped: the oracle \"unreliable\" is not available: it rains"
    );
    assert_eq!(oracle.batches.get(), 4, "one batch a query");

    let short = FnOracle::new(
        "short",
        |_: &(), _: &usize, second: &usize| {
            if *second == 2 { f64::NAN } else { 0.5 }
        },
    );
    let run = Executor::new(&problem, RegretMatching::new()).sampled_from(&short, 100, 0);
    let error = run.run().unwrap_err();
    assert!(matches!(
        error,
        SolverError::Oracle(OracleError::Invalid { .. })
    ));
    assert!(error.to_string().contains("short: a preference is NaN"));
}

#[test]
fn an_answer_too_few_is_an_error() {
    struct Mute;
    impl PreferenceOracle<(), usize> for Mute {
        fn compare(&self, _: &[Comparison<'_, (), usize>]) -> Result<Vec<Preference>, OracleError> {
            Ok(vec![Preference::HALF])
        }
        fn name(&self) -> String {
            "mute".into()
        }
    }
    let problem = problem(0.0);
    let run = Executor::new(&problem, RegretMatching::new()).sampled_from(&Mute, 2, 0);
    assert_eq!(
        run.run().unwrap_err().to_string(),
        "sampled play stopped: the oracle \"mute\" gave 1 answers to 2 comparisons"
    );
}

/// Whichever of a step's queries fails, the state stays, and the step can be made again.
#[test]
fn after_a_failure_every_method_is_where_it_was() {
    for (method, tau) in common::methods() {
        if method.exact_only() {
            continue;
        }
        let problem = problem(tau);
        for fails in 8..16 {
            let mut feedback = SampledFeedback::new(unreliable(fails), 5, 3, 0);
            let mut state = method.init(&problem, problem.reference()).unwrap();
            let mut failures = 0;
            while feedback.calls() < 100 {
                let before = state.clone();
                if method.step(&problem, &mut feedback, &mut state).is_err() {
                    failures += 1;
                    assert_eq!(state.strategy(), before.strategy(), "{}", method.name());
                    assert_eq!(state.tally(), before.tally(), "{}", method.name());
                }
            }
            assert_eq!(failures, 1, "{}", method.name());
            // A method of one query a step repeats its draws and ends where it would have ended.
            if feedback.calls() == 5 * state.iteration() {
                let executor = Executor::new(&problem, method.clone()).sampled(5, 3);
                let whole = executor.iterations(state.iteration()).run().unwrap();
                assert_eq!(state, whole.state, "{}", method.name());
            }
        }
    }
}
