//! The side of `benches/win_rates.sh` that is ours. Results are JSON lines on stdout.
//!
//! ```text
//! game_bench rates N      the win rates of the shared game against the shared strategy
//! game_bench time N..     us a product (median), GB/s of the triangle, GB/s of plain reading
//! game_bench memory N     peak memory of building that game and of one product
//! game_bench memory FILE  peak memory of reading a game file
//! game_bench csv N FILE   writes the shared game, as input for the line above
//! ```

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::time::Instant;

use inpo_benches::{Reading, game, pairs, strategy};
use inpo_core::game::{MatrixGame, PreferenceGame, Strategy};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["rates", n] => {
            let n = n.parse()?;
            println!("{:?}", game(n).win_rates(&strategy(n)));
        }
        ["time", ref sizes @ ..] => {
            for n in sizes {
                time(n.parse()?);
            }
        }
        ["memory", what] => {
            let game = match what.parse() {
                Ok(n) => game(n),
                Err(_) => MatrixGame::read(what)?,
            };
            let n = game.num_actions();
            let rates = game.win_rates(&Strategy::uniform(n));
            let peak = peak_mb()?;
            println!(
                r#"{{"n": {n}, "peak_mb": {peak}, "first_rate": {}}}"#,
                rates[0]
            );
        }
        ["csv", n, path] => game(n.parse()?).write_csv(fs::File::create(path)?)?,
        _ => {
            return Err(
                "game_bench rates N | time N.. | memory N | memory FILE | csv N FILE".into(),
            );
        }
    }
    Ok(())
}

fn time(n: usize) {
    let (game, pi) = (game(n), strategy(n));
    let reading = Reading::new(pairs(n));
    let mut out = vec![0.0; n];
    let product = median_us(|| game.win_rates_into(black_box(&pi), &mut out));
    let sum = median_us(|| {
        black_box(reading.sum());
    });
    let gb_s = |us: f64| 8e-3 * pairs(n) as f64 / us;
    println!(
        r#"{{"n": {n}, "threads": {}, "us": {product}, "gb_s": {}, "reading_gb_s": {}}}"#,
        rayon::current_num_threads(),
        gb_s(product),
        gb_s(sum)
    );
}

/// The median over half a second of samples of 50 us or one call, after one sample to warm up.
fn median_us(mut call: impl FnMut()) -> f64 {
    let mut sample = |calls: u32| {
        let start = Instant::now();
        (0..calls).for_each(|_| call());
        1e6 * start.elapsed().as_secs_f64() / f64::from(calls)
    };
    sample(3);
    let calls = (50.0 / sample(20)).ceil().clamp(1.0, 1e6) as u32;
    let start = Instant::now();
    let mut samples = Vec::new();
    while start.elapsed().as_secs_f64() < 0.5 {
        samples.push(sample(calls));
    }
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// The peak of this process's resident memory, in MB of 10^6 bytes (Linux).
fn peak_mb() -> Result<f64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: f64 = line
        .and_then(|line| line.split_whitespace().next())
        .ok_or("no VmHWM")?
        .parse()?;
    Ok(kib * 1.024e-3)
}
