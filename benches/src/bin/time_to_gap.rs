//! How long each method takes to a duality gap of 1e-6, by games of 10 to 4096 actions.
//!
//! ```text
//! cargo run --release -p inpo-benches --no-default-features --bin time_to_gap [-- --seconds 10]
//! ```
//!
//! The games are uniform random (`games::uniform`, seed 1), the start uniform. Methods of the regularised
//! game solve it at tau = 0.1 and are measured by its gap; the others by the plain gap. Each is
//! watched in the iterate that its theory speaks of, iterative DPO and MNPO in the average. A measure after every update is part of the time; for
//! last iterates it shares the win rates with the next step.

use std::time::{Duration, Instant};

use clap::Parser;
use inpo_core::game::{PreferenceGame, Strategy, games};
use inpo_core::solver::{
    Comal, Egpo, ExactFeedback, Executor, FictitiousPlay, Inpo, Iterate, IterativeDpo,
    IterativeIpo, Method, Mnpo, Mpo, NashEma, NashMd, Onpo, Problem, Reason, Reference,
    RegretMatching, Replicator, Solver, Sppo, StepSize,
};

const TAU: f64 = 0.1;
const GAP: f64 = 1e-6;

/// Time to a duality gap of 1e-6.
#[derive(Parser)]
struct Args {
    /// Give a method up after so many seconds.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Only methods whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Numbers of actions.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 1000, 4096])]
    sizes: Vec<usize>,
}

fn methods() -> Vec<(&'static str, Method, f64, Iterate)> {
    let step = StepSize::Constant;
    let last = Iterate::Last;
    vec![
        (
            "INPO, theory",
            Inpo::new(StepSize::Theory).into(),
            TAU,
            last,
        ),
        ("INPO, eta 0.5", Inpo::new(step(0.5)).into(), TAU, last),
        (
            "Nash-MD, theory",
            NashMd::new(StepSize::Theory).into(),
            TAU,
            last,
        ),
        (
            "Nash-EMA, eta 0.5",
            NashEma::new(step(0.5), 0.5).into(),
            TAU,
            last,
        ),
        ("EGPO, eta 0.5", Egpo::new(step(0.5)).into(), TAU, last),
        ("replicator, h 1", Replicator::new(1.0).into(), TAU, last),
        (
            "smooth fictitious play",
            FictitiousPlay::new().into(),
            TAU,
            Iterate::Average,
        ),
        ("ONPO, eta 0.5", Onpo::new(step(0.5)).into(), 0.0, last),
        (
            "COMAL, eta 0.5, 50",
            Comal::new(step(0.5), TAU, 50).into(),
            0.0,
            last,
        ),
        ("MPO, theory, 50", Mpo::theory(TAU, 50).into(), 0.0, last),
        (
            "regret matching",
            RegretMatching::new().into(),
            0.0,
            Iterate::Average,
        ),
        (
            "regret matching plus",
            RegretMatching::plus().into(),
            0.0,
            Iterate::WeightedAverage,
        ),
        (
            "SPPO, eta 2",
            Sppo::new(step(2.0)).into(),
            0.0,
            Iterate::Average,
        ),
        (
            "iterative IPO, eta 2",
            IterativeIpo::new(step(2.0), Reference::Previous).into(),
            0.0,
            Iterate::Average,
        ),
        (
            "iterative DPO, beta 8",
            IterativeDpo::new(step(8.0), Reference::Previous).into(),
            0.0,
            Iterate::Average,
        ),
        (
            "MNPO, eta 2",
            Mnpo::new(step(2.0), vec![0.5, 0.3, 0.2]).into(),
            0.0,
            Iterate::Average,
        ),
        (
            "fictitious play",
            FictitiousPlay::new().into(),
            0.0,
            Iterate::Average,
        ),
    ]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let limit = Duration::try_from_secs_f64(args.seconds)?;
    if args.sizes.contains(&0) {
        return Err("--sizes: a game needs at least one action".into());
    }
    println!(
        "| method | actions | updates | oracle calls | seconds | gap | us per update without measures |"
    );
    println!("|---|---|---|---|---|---|---|");
    for &n in &args.sizes {
        let game = games::uniform(n, 1)?;
        for (name, method, tau, watch) in methods() {
            if !name.contains(&args.only) {
                continue;
            }
            let problem = Problem::new(&game, Strategy::uniform(n), tau)?;
            let began = Instant::now();
            let run = Executor::new(&problem, method.clone())
                .iterations(u64::MAX)
                .stride(u64::MAX)
                .tolerance(GAP)
                .time_limit(limit)
                .watch(watch)
                .run()?;
            let seconds = began.elapsed().as_secs_f64();
            let last = run.history.last().ok_or("a run has records")?;
            let time = match run.reason {
                Reason::Tolerance => format!("{seconds:.3}"),
                _ => format!("not in {:.0}", args.seconds),
            };
            println!(
                "| {name} | {n} | {} | {} | {time} | {:.1e} | {:.1} |",
                last.iteration,
                last.oracle_calls,
                last.duality_gap,
                per_update(&problem, &method)? * 1e6,
            );
        }
    }
    Ok(())
}

/// Seconds an update, in the median of five blocks.
fn per_update<G: PreferenceGame>(
    problem: &Problem<G>,
    method: &Method,
) -> Result<f64, Box<dyn std::error::Error>> {
    let updates = (20_000_000 / problem.game().num_actions().pow(2)).clamp(3, 2000);
    let mut feedback = ExactFeedback::new(problem.game(), 0);
    let mut state = method.init(problem, problem.reference())?;
    let mut block = || -> Result<f64, Box<dyn std::error::Error>> {
        let began = Instant::now();
        for _ in 0..updates {
            method.step(problem, &mut feedback, &mut state)?;
        }
        Ok(began.elapsed().as_secs_f64() / updates as f64)
    };
    // The first makes room.
    block()?;
    let mut blocks = (0..5).map(|_| block()).collect::<Result<Vec<f64>, _>>()?;
    blocks.sort_by(f64::total_cmp);
    Ok(blocks[2])
}
