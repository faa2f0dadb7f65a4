//! The relatives of INPO on the cyclic game, uniform reference and start (docs/theory.md 11.4). Expected
//! values were made in f64 with plain Python and are given to 7 to 11 digits.

use inpo_game::{MatrixGame, Strategy, duality_gap, games};
use inpo_solver::{
    Comal, Egpo, Executor, Iterate, Iterates, Onpo, Problem, Record, Solver, State, StepSize,
};

/// Values below 1e-6 carry rounding of about this.
const ABSOLUTE: f64 = 2e-15;

fn problem(tau: f64) -> Problem<MatrixGame> {
    Problem::new(games::cyclic_three(), Strategy::uniform(3), tau).unwrap()
}

/// Compares to the given number of significant digits.
#[track_caller]
fn digits(got: f64, want: f64, digits: i32) {
    let allowed = 0.6 * 10f64.powi(want.abs().log10().floor() as i32 + 1 - digits) + ABSOLUTE;
    assert!((got - want).abs() <= allowed, "{got:e} is not {want:e}");
}

fn history(
    solver: impl Solver,
    problem: &Problem<MatrixGame>,
    updates: u64,
    watch: Iterate,
) -> Vec<Record> {
    let executor = Executor::new(problem, solver)
        .equilibrium(problem.nash().unwrap())
        .iterations(updates)
        .watch(watch);
    executor.run().unwrap().history
}

#[test]
fn comal_reaches_the_plain_nash() {
    let solver = Comal::new(StepSize::Constant(0.5), 0.1, 20);
    let history = history(solver, &problem(0.0), 400, Iterate::Last);
    for (n, gap, shown) in [
        (20, 1.8023359236e-2, 11),
        (100, 9.7136048e-4, 8),
        (200, 8.51114e-6, 6),
        (400, 2.5524e-9, 5),
    ] {
        digits(history[n].duality_gap, gap, shown);
    }
}

#[test]
fn onpo_converges_in_the_last_iterate() {
    let solver = Onpo::new(StepSize::Constant(2.0)); // gamma = 0.5
    let last = history(solver, &problem(0.0), 2000, Iterate::Last);
    for (n, gap, shown) in [
        (1, 0.0731963343, 9),
        (10, 0.0520956862, 9),
        (100, 0.0484929071, 9),
        (1000, 3.5693892e-4, 8),
        (2000, 9.99078e-7, 6),
    ] {
        digits(last[n].duality_gap, gap, shown);
    }
    assert_eq!(last[2000].oracle_calls, 2000);
}

/// The average of pi_1 .. pi_n is the state's after n updates.
#[test]
fn onpos_average_converges_too() {
    let (problem, solver) = (problem(0.0), Onpo::new(StepSize::Constant(2.0)));
    let states: Vec<_> = Iterates::new(&problem, &solver, problem.reference())
        .unwrap()
        .take(2001)
        .collect::<Result<_, _>>()
        .unwrap();
    for (n, gap, shown) in [
        (10, 0.0681350537, 9),
        (100, 7.1536668e-3, 8),
        (1000, 3.1637061e-4, 8),
        (2000, 1.5692046e-4, 8),
    ] {
        digits(duality_gap(problem.game(), states[n].average()), gap, shown);
    }
}

#[test]
fn egpo_converges_linearly_in_the_regularised_game() {
    let solver = Egpo::new(StepSize::Constant(2.0)); // gamma = 0.5, beta = tau = 0.1
    let history = history(solver, &problem(0.1), 100, Iterate::Last);
    for (n, kl, gap, shown) in [
        (1, 6.2365002692e-3, 6.6727396510e-3, 11),
        (3, 4.9474111298e-3, 5.4760532558e-3, 11),
        (10, 2.2033124085e-3, 2.3989494319e-3, 11),
        (30, 2.2331715e-4, 2.4090937e-4, 8),
        (100, 7.31459e-8, 7.88075e-8, 6),
    ] {
        digits(history[n].kl_to_nash.unwrap(), kl, shown);
        digits(history[n].duality_gap, gap, shown);
    }
    assert_eq!(history[100].oracle_calls, 200);
}

/// The claims of docs/theory.md 7.3 on random games: a unique Nash policy almost surely.
#[test]
fn last_iterates_converge_on_random_games() {
    for seed in 0..10 {
        let n = 3 + seed as usize % 4;
        let game = games::uniform(n, seed).unwrap();
        let plain = Problem::new(&game, Strategy::uniform(n), 0.0).unwrap();
        let regularised = Problem::new(&game, Strategy::uniform(n), 0.05).unwrap();
        let end = |run: inpo_solver::Run<inpo_solver::CompanionState>| {
            let [first, .., last] = run.history.as_slice() else {
                panic!("two records")
            };
            (first.duality_gap, last.duality_gap)
        };
        // gamma = 1/8 is the paper's bound for the linear rate of ONPO.
        let onpo = Executor::new(&plain, Onpo::new(StepSize::Constant(8.0)));
        let onpo = onpo.iterations(200_000).stride(100_000).tolerance(1e-6);
        let (_, gap) = end(onpo.run().unwrap());
        assert!(gap < 1e-3, "onpo, seed {seed}: {gap}");
        let egpo = Executor::new(&regularised, Egpo::new(StepSize::Constant(1.0)));
        let (_, gap) = end(egpo.iterations(2000).stride(2000).run().unwrap());
        assert!(gap < 1e-12, "egpo, seed {seed}: {gap}");
        let comal = Executor::new(&plain, Comal::new(StepSize::Theory, 0.1, 100));
        let (first, gap) = end(comal.iterations(20_000).stride(20_000).run().unwrap());
        assert!(gap < 1e-3 && gap < first, "comal, seed {seed}: {gap}");
    }
}
