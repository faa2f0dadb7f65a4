//! Every method of the family on the same games, from the same number of comparisons.
//!
//! A transformer of two layers whose vocabulary is the game's actions is trained by each algorithm of
//! `[objective]` through the phases of `inpo run`: the same start, oracle calls, optimiser steps,
//! learning rate and `eta` for all. Printed is the final exploitability in the plain game,
//! `max_y P(y > pi) - 1/2` in thousandths, with 95 % intervals over the seeds, beside what the exact solver reaches
//! in as many iterations; drawn are the curves, the exact ones thin.
//!
//! ```text
//! cargo run --release --example compare_losses [-- --seeds 5 --iterations 30 --svg FILE ..]
//! ```

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use clap::Parser;
use inpo_core::game::{MatrixGame, exploitability, games};
use inpo_core::train::Algorithm;
use inpo_examples::compare::{
    Contest, Feedback, METHODS, Outcome, Settings, caution, figure, table,
};

/// Eight models of `examples/data/votes.csv`; docs/algorithms.md has the command that made it.
const VOTES: &str = include_str!("../../docs/games/votes.json");

/// All methods at equal oracle calls.
#[derive(Debug, Parser)]
struct Args {
    /// Seeds: of the transformer's weights and of the comparisons.
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// Iterations.
    #[arg(long, default_value_t = 30)]
    iterations: usize,
    /// Oracle calls of an iteration.
    #[arg(long, default_value_t = 600)]
    calls: usize,
    /// Optimiser steps of a phase.
    #[arg(long, default_value_t = 40)]
    steps: usize,
    /// Peak learning rate.
    #[arg(long, default_value_t = 1e-2)]
    learning_rate: f64,
    /// INVERSE step size.
    #[arg(long, default_value_t = 0.5)]
    eta: f64,
    /// KL weight of the methods that have one.
    #[arg(long, default_value_t = 0.1)]
    tau: f64,
    /// Iterations between two moves of COMAL's and MPO's reference.
    #[arg(long, default_value_t = 10)]
    period: usize,
    /// Two seeds of five iterations, to see it run.
    #[arg(long)]
    quick: bool,
    /// The picture.
    #[arg(long, value_name = "FILE", default_value = "compare_losses.svg")]
    svg: PathBuf,
}

fn main() -> ExitCode {
    match compare(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(args: &Args) -> Result<(), Box<dyn Error>> {
    let (seeds, iterations) = if args.quick {
        (2, 5)
    } else {
        (args.seeds, args.iterations)
    };
    if seeds == 0 || iterations == 0 {
        return Err("--seeds and --iterations must be 1 or more".into());
    }
    let settings = Settings {
        eta: args.eta,
        tau: args.tau,
        period: args.period,
        iterations,
        calls: args.calls,
        steps: args.steps,
        learning_rate: args.learning_rate,
        feedback: Feedback::Sampled,
    };
    settings.check()?;
    let contests = [
        Contest {
            name: "3 actions",
            game: games::cyclic_three(),
        },
        Contest {
            name: "8 votes",
            game: MatrixGame::from_json(VOTES, Path::new("votes.json"))?,
        },
        Contest {
            name: "6 random",
            game: games::transitive_plus_cyclic(6, 0.5, 2.0, 1)?,
        },
    ];

    let began = Instant::now();
    let mut results = Vec::with_capacity(METHODS.len());
    for (number, algorithm) in METHODS.into_iter().enumerate() {
        let outcomes = outcomes(&contests, algorithm, &settings, seeds)?;
        let (done, all, seconds) = (number + 1, METHODS.len(), began.elapsed().as_secs());
        eprintln!("{done:>2} of {all}  {:<14} {seconds} s", algorithm.name());
        results.push((algorithm.name().to_owned(), outcomes));
    }

    let start = each(&contests, seeds, |contest, seed| {
        let reference = contest.reference(seed)?;
        Ok::<_, Box<dyn Error>>(exploitability(&contest.game, &reference))
    })?;
    let floor = each(&contests, seeds, |contest, seed| {
        contest.floor(seed, settings.tau)
    })?;
    let rows = [
        ("start, the reference".to_owned(), start),
        (format!("regularised Nash, tau = {}", settings.tau), floor),
    ];
    let total = settings.iterations * settings.calls;
    println!("{total} oracle calls each\n");
    println!("{}", table(&contests, &results, &rows));
    println!("\nthe exact methods with these settings, from the first start:\n");
    for contest in &contests {
        let reference = contest.reference(0)?;
        for algorithm in METHODS {
            if let Some(text) = caution(&contest.game, &reference, algorithm, &settings)? {
                println!("- {}, {}: {text}", contest.name, algorithm.name());
            }
        }
    }
    let title = format!("Exploitability from {total} comparisons; thin: the exact solver");
    fs::write(&args.svg, figure(&contests, &results, &title)?)?;
    println!("\nwrote {}", args.svg.display());
    Ok(())
}

/// A value for each game and seed.
fn each<E>(
    contests: &[Contest],
    seeds: u64,
    value: impl Fn(&Contest, u64) -> Result<f64, E>,
) -> Result<Vec<Vec<f64>>, E> {
    let of = |contest| (0..seeds).map(|seed| value(contest, seed)).collect();
    contests.iter().map(of).collect()
}

/// One method on every game from every seed, on all cores.
fn outcomes(
    contests: &[Contest],
    algorithm: Algorithm,
    settings: &Settings,
    seeds: u64,
) -> Result<Vec<Vec<Outcome>>, Box<dyn Error>> {
    let jobs: Vec<(usize, u64)> = (0..contests.len())
        .flat_map(|game| (0..seeds).map(move |seed| (game, seed)))
        .collect();
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<Result<Outcome, String>>>> = Mutex::new(vec![None; jobs.len()]);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((job, &(game, seed))) = {
                    let job = next.fetch_add(1, Ordering::Relaxed);
                    jobs.get(job).map(|of| (job, of))
                } {
                    let outcome = contests[game].outcome(algorithm, settings, seed);
                    let outcome = outcome.map_err(|error| error.to_string());
                    done.lock().expect("no thread panics")[job] = Some(outcome);
                }
            });
        }
    });
    let done = done.into_inner().expect("no thread panics");
    let mut done = done.into_iter().flatten();
    let mut games = Vec::with_capacity(contests.len());
    for _ in contests {
        let outcomes: Result<Vec<Outcome>, String> = done.by_ref().take(seeds as usize).collect();
        games.push(outcomes.map_err(|error| format!("{}: {error}", algorithm.name()))?);
    }
    Ok(games)
}
