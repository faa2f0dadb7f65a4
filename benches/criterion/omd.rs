//! One INPO step on a dense game, exact (a win-rate product and a softmax) and sampled by comparisons, and
//! the exact equilibria.
//!
//! ```text
//! cargo bench -p inpo-benches --no-default-features --bench omd
//! ```

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use inpo_core::game::{MatrixGame, MatrixOracle, Strategy, games, nash, regularised_nash};
use inpo_core::solver::{ExactFeedback, Inpo, Problem, SampledFeedback, Solver, StepSize};

fn game(n: usize) -> MatrixGame {
    games::uniform(n, 1).expect("actions")
}

fn step(c: &mut Criterion) {
    let mut group = c.benchmark_group("inpo_step");
    for n in [10, 100, 1000, 4096] {
        let problem = Problem::new(game(n), Strategy::uniform(n), 0.1).expect("a valid problem");
        let solver = Inpo::new(StepSize::Constant(1.0));
        group.bench_function(BenchmarkId::from_parameter(n), |b| {
            let mut feedback = ExactFeedback::new(problem.game(), 0);
            let start = problem.reference().clone();
            let mut state = solver.init(&problem, &start).expect("a valid start");
            b.iter(|| solver.step(&problem, &mut feedback, black_box(&mut state)));
        });
    }
    group.finish();
}

fn sampled_step(c: &mut Criterion) {
    let mut group = c.benchmark_group("sampled_inpo_step");
    for (n, comparisons) in [(3, 4), (3, 30), (100, 100), (1000, 1000), (100, 100_000)] {
        let problem = Problem::new(game(n), Strategy::uniform(n), 0.1).expect("a valid problem");
        let solver = Inpo::new(StepSize::Theory);
        let id = BenchmarkId::new(format!("{n}_actions"), comparisons);
        group.bench_function(id, |b| {
            let mut feedback =
                SampledFeedback::new(MatrixOracle::new(problem.game()), comparisons, 1, 0);
            let start = problem.reference().clone();
            let mut state = solver.init(&problem, &start).expect("a valid start");
            b.iter(|| solver.step(&problem, &mut feedback, black_box(&mut state)));
        });
    }
    group.finish();
}

fn exact(c: &mut Criterion) {
    let mut group = c.benchmark_group("exact");
    group.sample_size(10);
    for n in [10, 100, 500] {
        let (game, uniform) = (game(n), Strategy::uniform(n));
        group.bench_function(BenchmarkId::new("nash", n), |b| {
            b.iter(|| nash(black_box(&game)));
        });
        for tau in [0.1, 0.01] {
            group.bench_function(
                BenchmarkId::new(format!("regularised_nash_{tau}"), n),
                |b| {
                    b.iter(|| regularised_nash(black_box(&game), &uniform, tau));
                },
            );
        }
    }
    group.finish();
}

criterion_group!(benches, step, sampled_step, exact);
criterion_main!(benches);
