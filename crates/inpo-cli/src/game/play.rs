//! How a method is run: what `solve` and `compare` share.

use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressFinish};
use inpo_core::game::{MatrixGame, PreferenceGame, Strategy};
use inpo_core::solver::{
    Asking, Executor, Iterate, Method, MethodState, Problem, Record, Run, Settings, Solver,
};

use super::error::solver_error;
use super::method::Watch;
use super::output::label;
use crate::error::CliError;

/// How long a method runs, on what answers, and what is recorded.
#[derive(Clone, Debug, Args)]
pub(super) struct RunningArgs {
    /// How many updates to make [default: 100, for compare 1000].
    #[arg(long)]
    iterations: Option<u64>,
    /// Stop once the watched policy's duality gap is at most this.
    #[arg(long, value_name = "GAP", allow_negative_numbers = true)]
    tolerance: Option<f64>,
    /// Stop after the update that ends later than this. Reading and --exact are not counted.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    time_limit: Option<f64>,
    /// Record every so many iterations in the history; the first and the last always. Beyond 100,000 records every
    /// second one is dropped.
    #[arg(long, default_value_t = 1)]
    stride: u64,
    /// The policy that the history and --tolerance look at.
    #[arg(long, value_enum, default_value_t = Watch::Last)]
    pub(super) watch: Watch,
    /// Ask by so many comparisons a query, with Bernoulli labels, instead of exactly. Oracle calls
    /// then count comparisons.
    #[arg(long, value_name = "M")]
    comparisons: Option<u64>,
    /// Seed of the comparisons.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Whether to solve for the exact Nash policy, for kl_to_nash and warnings: its time grows with
    /// the cube of the actions, and auto does it up to 2000.
    #[arg(long, value_enum, default_value_t = Exact::Auto)]
    pub(super) exact: Exact,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Exact {
    /// Up to 2000 actions.
    Auto,
    /// In any case.
    Always,
    /// Not at all.
    Never,
}

/// The largest game whose exact Nash policy is found unasked: some ten seconds.
const EXACT_UP_TO: usize = 2000;

/// More comparisons than this in one query would run for minutes without a look at the clock.
const MOST_COMPARISONS: u64 = 1_000_000_000;

impl RunningArgs {
    /// Whether comparisons are asked for.
    pub(super) fn is_sampled(&self) -> bool {
        self.comparisons.is_some()
    }

    /// The settings; `iterations` is the default of the flag.
    pub(super) fn settings(&self, iterations: u64) -> Result<Settings, CliError> {
        let limit = |seconds: f64| {
            Duration::try_from_secs_f64(seconds).map_err(|_| {
                CliError::Input(format!(
                    "--time-limit is {seconds}: it must be a number of seconds between 0 and 1.8e19"
                ))
            })
        };
        if let Some(comparisons) = self.comparisons.filter(|&m| m > MOST_COMPARISONS) {
            return Err(CliError::Input(format!(
                "--comparisons is {comparisons}: it must be at most {MOST_COMPARISONS} a query"
            )));
        }
        Ok(Settings {
            iterations: self.iterations.unwrap_or(iterations),
            tolerance: self.tolerance,
            time_limit: self.time_limit.map(limit).transpose()?,
            stride: self.stride,
            watch: self.watch.into(),
            asking: match self.comparisons {
                None => Asking::Exact,
                Some(comparisons) => Asking::Sampled {
                    comparisons,
                    seed: self.seed,
                },
            },
            ..Settings::default()
        })
    }
}

/// The exact Nash policy, or a sentence why it is not there; `None` if it was not asked for.
pub(super) type ExactNash = Option<Result<Strategy, String>>;

pub(super) fn exact_nash(problem: &Problem<MatrixGame>, exact: Exact) -> ExactNash {
    let n = problem.game().num_actions();
    match exact {
        Exact::Never => None,
        Exact::Auto if n > EXACT_UP_TO => Some(Err(format!(
            "the game has {n} actions, and the exact Nash policy of more than {EXACT_UP_TO} is found \
             only with --exact always"
        ))),
        _ => Some(problem.nash().map_err(|error| error.to_string())),
    }
}

/// Runs a method, with the distance to the equilibrium if that is known, and warns in sentences of
/// what keeps it from the equilibrium.
pub(super) fn play(
    problem: &Problem<MatrixGame>,
    method: Method,
    mut settings: Settings,
    nash: &ExactNash,
) -> Result<(Run<MethodState>, Vec<String>), CliError> {
    let mut warnings = Vec::new();
    match nash {
        Some(Ok(nash)) => {
            let never = never_played(problem, &method, nash);
            // Averages may converge all the same.
            let last = settings.watch == Iterate::Last;
            if let Some(action) = never {
                warnings.push(format!(
                    "{} is in the Nash policy, but the reference never plays it and {} cannot \
                     leave the reference's support",
                    label(problem.game(), action),
                    method.name()
                ));
            } else if let Some(caution) = method.caution(problem, nash).filter(|_| last) {
                warnings.push(caution.to_string());
            }
            settings.equilibrium = Some(nash.clone());
        }
        Some(Err(reason)) => {
            warnings.push(format!("kl_to_nash is missing from the history: {reason}"));
        }
        None => {}
    }
    let progress = progress(settings.iterations);
    let executor = Executor::with_settings(problem, method, settings);
    Ok((executor.run_with(progress).map_err(solver_error)?, warnings))
}

/// A bar on standard error, for runs of more than two seconds; it goes with its observer.
fn progress(iterations: u64) -> impl FnMut(&MethodState, &Record) {
    let began = Instant::now();
    let mut bar: Option<ProgressBar> = None;
    move |_, record| {
        if bar.is_none() && began.elapsed() > Duration::from_secs(2) {
            let new = ProgressBar::new(iterations);
            bar = Some(new.with_finish(ProgressFinish::AndClear));
        }
        if let Some(bar) = &bar {
            bar.set_position(record.iteration);
        }
    }
}

/// An action of the Nash policy that the method cannot reach.
fn never_played(problem: &Problem<MatrixGame>, method: &Method, nash: &Strategy) -> Option<usize> {
    if method.leaves_support() {
        return None;
    }
    let reference = problem.reference();
    (0..nash.num_actions()).find(|&y| nash[y] > 0.0 && reference[y] == 0.0)
}
