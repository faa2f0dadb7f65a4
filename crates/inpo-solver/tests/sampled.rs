//! Sampled feedback: how the error falls with iterations and with comparisons, over 200 seeds.

use inpo_game::{MatrixGame, Strategy, duality_gap, games, kl};
use inpo_solver::{Executor, Inpo, Problem, Solver, Sppo, State, StepSize};

const SEEDS: u64 = 200;

fn problem(tau: f64) -> Problem<MatrixGame> {
    Problem::new(games::cyclic_three(), Strategy::uniform(3), tau).unwrap()
}

/// The length of a run and the comparisons of a query.
#[derive(Clone, Copy)]
struct Budget {
    updates: u64,
    comparisons: u64,
}

/// The mean error over the seeds.
fn mean_error<S: Solver + Clone>(
    problem: &Problem<MatrixGame>,
    solver: S,
    budget: Budget,
    error: impl Fn(&S::State) -> f64,
) -> f64 {
    let Budget {
        updates,
        comparisons,
    } = budget;
    let one = |seed| {
        let executor = Executor::new(problem, solver.clone())
            .iterations(updates)
            .stride(updates)
            .sampled(comparisons, seed);
        let state = executor.run().unwrap().state;
        assert_eq!(state.oracle_calls(), updates * comparisons);
        error(&state)
    };
    (0..SEEDS).map(one).sum::<f64>() / SEEDS as f64
}

/// The least-squares slope of log y over log x.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let mean_x = logs.iter().map(|p| p.0).sum::<f64>() / n;
    let mean_y = logs.iter().map(|p| p.1).sum::<f64>() / n;
    let cross: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let square: f64 = logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    cross / square
}

#[test]
fn the_last_iterate_of_the_theory_schedule_falls_as_1_over_t() {
    // KL_{t+1} <= (1 - tau/eta_t) KL_t + c / eta_t^2 with eta_t ~ tau t / 2 gives c' / t; noise adds
    // to c. Slope -1.
    let problem = problem(0.5);
    let nash = problem.nash().unwrap();
    let points: Vec<(f64, f64)> = [100, 200, 400, 800, 1600]
        .into_iter()
        .map(|updates| {
            let solver = Inpo::new(StepSize::Theory);
            let error = |s: &inpo_solver::OmdState| kl(&nash, s.strategy());
            let budget = Budget {
                updates,
                comparisons: 4,
            };
            let mean = mean_error(&problem, solver, budget, error);
            (updates as f64, mean)
        })
        .collect();
    let slope = slope(&points);
    assert!((-1.25..=-0.75).contains(&slope), "{slope}: {points:?}");
}

#[test]
fn the_error_falls_as_1_over_the_comparisons_of_an_iteration() {
    // KL is quadratic near the equilibrium and the variance of an estimate goes as 1/m. Slope -1.
    let problem = problem(0.5);
    let nash = problem.nash().unwrap();
    let points: Vec<(f64, f64)> = [4, 8, 16, 32, 64]
        .into_iter()
        .map(|comparisons| {
            let solver = Inpo::new(StepSize::Theory);
            let error = |s: &inpo_solver::OmdState| kl(&nash, s.strategy());
            let budget = Budget {
                updates: 400,
                comparisons,
            };
            let mean = mean_error(&problem, solver, budget, error);
            (comparisons as f64, mean)
        })
        .collect();
    let slope = slope(&points);
    assert!((-1.25..=-0.75).contains(&slope), "{slope}: {points:?}");
}

#[test]
fn the_average_of_multiplicative_weights_falls_as_1_over_the_square_root() {
    // eta = scale sqrt(T): the regret of the estimates and their martingale noise are both
    // O(sqrt(T)). Slope -1/2.
    let problem = problem(0.0);
    let points: Vec<(f64, f64)> = [50, 200, 800, 3200]
        .into_iter()
        .map(|updates| {
            let error = |s: &inpo_solver::OmdState| duality_gap(problem.game(), s.average());
            let solver = Sppo::theory(problem.reference(), updates);
            let budget = Budget {
                updates,
                comparisons: 6,
            };
            let mean = mean_error(&problem, solver, budget, error);
            (updates as f64, mean)
        })
        .collect();
    let slope = slope(&points);
    assert!((-0.65..=-0.35).contains(&slope), "{slope}: {points:?}");
}
