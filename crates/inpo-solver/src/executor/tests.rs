use super::*;
use crate::{Inpo, StepSize};
use inpo_game::games::cyclic_three;

fn problem() -> Problem<inpo_game::MatrixGame> {
    Problem::new(cyclic_three(), Strategy::uniform(3), 0.1).unwrap()
}

fn inpo() -> Inpo {
    Inpo::new(StepSize::Constant(1.0))
}

#[test]
fn the_history_has_the_first_the_last_and_every_stride() {
    let problem = problem();
    let run = Executor::new(&problem, inpo())
        .iterations(10)
        .stride(4)
        .run()
        .unwrap();
    let recorded: Vec<u64> = run.history.iter().map(|r| r.iteration).collect();
    assert_eq!(recorded, [0, 4, 8, 10]);
    assert_eq!(run.reason, Reason::Iterations);
    assert_eq!(run.algorithm, "inpo");
    assert_eq!(run.state.oracle_calls(), 10);
    assert_eq!(run.history[0].kl_to_nash, None);
}

/// Room for five: before 15 come 0, 3, 6, 9 and 12, of which 0, 6 and 12 stay; before 24 come 15 and 18, and 0 and 12
/// stay.
#[test]
fn a_full_history_drops_every_second_record() {
    let problem = problem();
    let settings = Settings {
        iterations: 40,
        stride: 3,
        max_records: 5,
        ..Settings::default()
    };
    let run = Executor::with_settings(&problem, inpo(), settings.clone());
    let mut seen = Vec::new();
    let run = run.run_with(|_: &_, record: &Record| seen.push(record.iteration));
    let recorded: Vec<u64> = run.unwrap().history.iter().map(|r| r.iteration).collect();
    assert_eq!(recorded, [0, 12, 24, 36, 40]);
    assert_eq!(seen, [0, 3, 6, 9, 12, 15, 18, 24, 36, 40]);
    let too_few = Settings {
        max_records: 2,
        ..settings
    };
    let error = Executor::with_settings(&problem, inpo(), too_few).run();
    assert!(matches!(error, Err(SolverError::MaxRecords)));
}

#[test]
fn no_iterations_is_the_start() {
    let problem = problem();
    let run = Executor::new(&problem, inpo()).iterations(0).run().unwrap();
    assert_eq!(run.state.strategy(), problem.reference());
    assert_eq!(run.state.average(), problem.reference());
    assert_eq!((run.history.len(), run.state.oracle_calls()), (1, 0));
}

#[test]
fn a_tolerance_stops_at_the_first_iterate_that_meets_it() {
    let problem = problem();
    let run = Executor::new(&problem, inpo())
        .tolerance(2e-3)
        .run()
        .unwrap();
    assert_eq!(run.reason, Reason::Tolerance);
    let n = run.history.len();
    assert!(run.history[n - 1].duality_gap <= 2e-3);
    assert!(run.history[n - 2].duality_gap > 2e-3);
}

#[test]
fn a_resumed_run_is_the_uninterrupted_one_to_the_bit() {
    let problem = problem();
    let whole = Executor::new(&problem, inpo())
        .iterations(50)
        .run()
        .unwrap();
    let half = Executor::new(&problem, inpo())
        .iterations(21)
        .run()
        .unwrap();
    let text = serde_json::to_string(&half.state).unwrap();
    let state = serde_json::from_str(&text).unwrap();
    let rest = Executor::new(&problem, inpo())
        .resume(state)
        .iterations(50)
        .run()
        .unwrap();
    assert_eq!(rest.state, whole.state);
    assert_eq!(rest.history, whole.history[21..]);
}

#[test]
fn bad_settings_have_sentences() {
    let problem = problem();
    let executor = || Executor::new(&problem, inpo());
    let says = |run: Executor<'_, _, Inpo>, want: &str| {
        let text = run.run().unwrap_err().to_string();
        assert!(text.contains(want), "{text}");
    };
    says(executor().tolerance(-1.0), "the tolerance is -1");
    says(executor().tolerance(f64::NAN), "the tolerance is NaN");
    says(executor().stride(0), "the history stride is 0");
    says(
        executor().equilibrium(Strategy::uniform(2)),
        "the equilibrium has 2 entries",
    );
    says(
        Executor::new(&problem, Inpo::new(StepSize::Constant(0.05))),
        "tau must not exceed eta",
    );
}
