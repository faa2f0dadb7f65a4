//! The training loss lands on the exact mirror-descent iterate.
//!
//! On the cyclic game of three answers, three consecutive iterations of INPO are played four ways and
//! compared with the exact solver: free logits with soft labels, free logits with hard labels, a small
//! transformer through the trainer's own optimiser, and free logits on sampled pairs, whose error must
//! shrink as one over the square root of the sample. The last one is drawn.
//!
//! ```text
//! cargo run --release --example neural_vs_exact [FILE.svg]
//! ```

use std::error::Error;

use inpo_core::game::{Strategy, games};
use inpo_core::loss::InpoLossConfig;
use inpo_core::plot::{Chart, Scale, Series};
use inpo_examples::proof::{
    Labels, as_strategy, exact_iterates, free_logit_iterates, largest_error, mean_sampling_error,
    tiny_transformer, transformer_iterates,
};

/// Inside the region where exact INPO converges on this game.
const SETTINGS: [InpoLossConfig; 3] = [
    InpoLossConfig { tau: 0.1, eta: 0.3 },
    InpoLossConfig { tau: 0.1, eta: 1.0 },
    InpoLossConfig { tau: 0.5, eta: 1.0 },
];
const ITERATIONS: usize = 3;
const SAMPLES: [usize; 6] = [100, 316, 1000, 3162, 10_000, 31_623];
const SEEDS: u64 = 40;

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "neural_vs_exact.svg".into());
    let game = games::cyclic_three();
    let reference = Strategy::new(vec![0.25, 0.45, 0.30])?;

    println!("largest error of any probability against the exact iterate, iterations 1, 2, 3\n");
    println!("tau   eta   policy                       errors");
    for settings in SETTINGS {
        let exact = exact_iterates(&game, &reference, settings, ITERATIONS)?;
        for (name, labels) in [("soft", Labels::Soft), ("hard", Labels::Hard)] {
            let neural = free_logit_iterates(&game, &reference, settings, labels, ITERATIONS)?;
            print_errors(
                settings,
                &format!("free logits, {name} labels"),
                &exact,
                &neural,
            );
        }
        let start = tiny_transformer(3, 1)?;
        let exact = exact_iterates(&game, &as_strategy(&start)?, settings, ITERATIONS)?;
        let neural = transformer_iterates(&game, &start, settings, ITERATIONS)?;
        print_errors(settings, "transformer, soft labels", &exact, &neural);
    }

    println!("\none iteration from N sampled pairs (tau = 0.1, eta = 1, mean of {SEEDS} seeds)\n");
    println!("      N      error   error * sqrt(N)");
    let config = InpoLossConfig { eta: 1.0, tau: 0.1 };
    let mut points = Vec::new();
    for count in SAMPLES {
        let error = mean_sampling_error(&game, &reference, config, count, SEEDS)?;
        println!(
            "{count:>7}  {error:.3e}  {:.3}",
            error * (count as f64).sqrt()
        );
        points.push((count as f64, error));
    }
    let first = points[0].1 * points[0].0.sqrt();
    let law = points.iter().map(|&(n, _)| (n, first / n.sqrt())).collect();
    let chart = Chart {
        title: "Error of one INPO iteration from sampled pairs",
        x_label: "sampled pairs",
        y_label: "largest error of a probability",
        x_scale: Scale::Log,
        y_scale: Scale::Log,
    };
    let measured = Series {
        name: "free logits",
        points,
    };
    let law = Series {
        name: "1 / sqrt(N)",
        points: law,
    };
    chart.write_svg(&file, &[measured, law])?;
    println!("\nwrote {file}");
    Ok(())
}

fn print_errors(settings: InpoLossConfig, name: &str, exact: &[Strategy], neural: &[Strategy]) {
    let InpoLossConfig { eta, tau } = settings;
    let errors = exact.iter().zip(neural).map(|(a, b)| largest_error(a, b));
    let errors: Vec<String> = errors.map(|e| format!("{e:.1e}")).collect();
    println!("{tau:<5} {eta:<5} {name:<28} {}", errors.join("  "));
}
