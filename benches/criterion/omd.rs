//! One exact INPO step on a dense game: a matrix-vector product and a softmax.

use std::cmp::Ordering;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use inpo_core::game::{MatrixGame, Strategy};
use inpo_core::solver::{ExactFeedback, Inpo, Problem, Solver, StepSize};

/// A game with repeatable entries.
fn game(n: usize) -> MatrixGame {
    let below = |i: usize, j: usize| ((i * 7919 + j * 104_729) % 1000) as f64 / 1000.0;
    let entry = |i: usize, j: usize| match i.cmp(&j) {
        Ordering::Greater => below(i, j),
        Ordering::Equal => 0.5,
        Ordering::Less => 1.0 - below(j, i),
    };
    let row = |i| (0..n).map(|j| entry(i, j)).collect();
    let rows = (0..n).map(row).collect();
    MatrixGame::new(rows).expect("the complement law holds")
}

fn step(c: &mut Criterion) {
    let mut group = c.benchmark_group("inpo_step");
    for n in [10, 100, 1000] {
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

criterion_group!(benches, step);
criterion_main!(benches);
