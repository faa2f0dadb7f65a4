//! P pi of a stored game, and how fast this machine reads as many numbers when it only adds them.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use inpo_benches::{Reading, game, pairs, strategy};
use inpo_core::game::PreferenceGame;

const SIZES: [usize; 4] = [10, 100, 1000, 4096];

fn win_rates(c: &mut Criterion) {
    let mut group = c.benchmark_group("win_rates");
    for n in SIZES {
        let (game, pi) = (game(n), strategy(n));
        let mut out = vec![0.0; n];
        group.throughput(Throughput::Bytes(8 * pairs(n) as u64));
        group.bench_function(BenchmarkId::from_parameter(n), |b| {
            b.iter(|| game.win_rates_into(black_box(&pi), &mut out));
        });
    }
    group.finish();
}

fn reading(c: &mut Criterion) {
    let mut group = c.benchmark_group("reading");
    for n in SIZES {
        let reading = Reading::new(pairs(n));
        group.throughput(Throughput::Bytes(8 * pairs(n) as u64));
        group.bench_function(BenchmarkId::from_parameter(n), |b| b.iter(|| reading.sum()));
    }
    group.finish();
}

criterion_group!(benches, win_rates, reading);
criterion_main!(benches);
