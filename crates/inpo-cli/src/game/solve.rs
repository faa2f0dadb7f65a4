//! `inpo game solve`: one iterative method on one game.

use std::time::Duration;

use clap::Args;
use inpo_core::game::{MatrixGame, Strategy};
use inpo_core::solver::{
    Asking, Executor, Iterate, Method, MethodState, Problem, Reason, Record, Run, Settings, Solver,
    State,
};
use serde::Serialize;

use super::method::{Algorithm, MethodArgs, Schedule, Watch};
use super::output::{print, solution_table};
use super::{FileArgs, problem, read, solver_error};
use crate::error::CliError;

#[derive(Debug, Args)]
pub(crate) struct SolveArgs {
    #[command(flatten)]
    pub(super) file: FileArgs,
    /// The method.
    #[arg(long, value_enum, default_value_t = Algorithm::Inpo)]
    algorithm: Algorithm,
    #[command(flatten)]
    method: MethodArgs,
    #[command(flatten)]
    running: RunningArgs,
}

/// How long a method runs, on what answers, and what is recorded.
#[derive(Clone, Debug, Args)]
pub(super) struct RunningArgs {
    /// How many updates to make [default: 100, for compare 1000].
    #[arg(long)]
    iterations: Option<u64>,
    /// Stop once the watched policy's duality gap is at most this.
    #[arg(long, value_name = "GAP", allow_negative_numbers = true)]
    tolerance: Option<f64>,
    /// Stop after the update that ends later than this.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    time_limit: Option<f64>,
    /// Record every so many iterations in the history; the first and the last always.
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
}

impl RunningArgs {
    /// The settings, with so many iterations unless told otherwise.
    pub(super) fn settings(&self, iterations: u64) -> Result<Settings, CliError> {
        let limit = |seconds: f64| {
            Duration::try_from_secs_f64(seconds).map_err(|_| {
                CliError::Input(format!(
                    "--time-limit is {seconds}: it must be a number of seconds, 0 or more"
                ))
            })
        };
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

/// An iterate of `solve`.
#[derive(Serialize)]
pub(super) struct Quality {
    pub(super) strategy: Strategy,
    pub(super) duality_gap: f64,
    pub(super) exploitability: f64,
}

/// What `solve` prints.
#[derive(Serialize)]
pub(super) struct Solution {
    pub(super) algorithm: String,
    pub(super) iterations: u64,
    pub(super) oracle_calls: u64,
    pub(super) reason: Reason,
    pub(super) last: Quality,
    pub(super) average: Quality,
    pub(super) weighted_average: Quality,
    pub(super) history: Vec<Record>,
}

pub(super) fn run(args: &SolveArgs) -> Result<(), CliError> {
    let settings = args.running.settings(100)?;
    let game = read(&args.file.game)?;
    let (method, tau) = args
        .method
        .build(args.algorithm, &game, settings.iterations)?;
    if args.method.schedule == Schedule::Theory && args.method.eta.is_some() {
        eprintln!("note: --eta is not used with --schedule theory");
    }
    let problem = problem(game, tau)?;
    let (run, warnings) = play(&problem, method, settings)?;
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    let solution = solution(&problem, run);
    print(&args.file.out, &solution, || {
        let unit = match args.running.comparisons {
            None => "win-rate vectors",
            Some(_) => "comparisons",
        };
        solution_table(args, &problem, &solution, unit)
    })
}

/// Runs a method, with the distance to the equilibrium if that can be found, and says in sentences
/// what should be known about it.
pub(super) fn play(
    problem: &Problem<MatrixGame>,
    method: Method,
    mut settings: Settings,
) -> Result<(Run<MethodState>, Vec<String>), CliError> {
    let mut warnings = Vec::new();
    match problem.nash() {
        Ok(nash) => {
            // Averages may converge all the same.
            if settings.watch == Iterate::Last {
                let reason = method.caution(problem, &nash);
                warnings.extend(reason.map(|reason| reason.to_string()));
            }
            settings.equilibrium = Some(nash);
        }
        Err(error) => warnings.push(format!("kl_to_nash is missing from the history: {error}")),
    }
    let executor = Executor::with_settings(problem, method, settings);
    Ok((executor.run().map_err(solver_error)?, warnings))
}

fn solution(problem: &Problem<MatrixGame>, run: Run<MethodState>) -> Solution {
    let quality = |strategy: &Strategy| Quality {
        strategy: strategy.clone(),
        duality_gap: problem.duality_gap(strategy),
        exploitability: problem.exploitability(strategy),
    };
    Solution {
        iterations: run.state.iteration(),
        oracle_calls: run.state.oracle_calls(),
        reason: run.reason,
        last: quality(run.state.strategy()),
        average: quality(run.state.average()),
        weighted_average: quality(run.state.weighted_average()),
        algorithm: run.algorithm,
        history: run.history,
    }
}
