//! `inpo game`: preference matrices, solved exactly.

mod output;

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use inpo_core::game::{
    EquilibriumError, MatrixGame, PreferenceGame, Strategy, analysis, nash_residual,
    regularised_nash_residual,
};
use inpo_core::solver::{
    Executor, Inpo, OmdState, Problem, Record, Run, SolverError, State, StepSize,
};
use serde::Serialize;

use self::output::{heading, label, print, solution_table, strategies};
use crate::error::CliError;

/// Solve a preference game given by its matrix.
#[derive(Debug, Subcommand)]
pub(crate) enum GameCommand {
    /// The exact Nash policy: by linear programming, or with --tau that of the KL-regularised game.
    Nash(NashArgs),
    /// Play an iterative method and report its last and its average policy.
    Solve(SolveArgs),
    /// What kind of game it is: winner, cycles, equilibria, how far a ranking explains it.
    Analyse(AnalyseArgs),
}

#[derive(Debug, Args)]
pub(crate) struct FileArgs {
    /// Game file: JSON {"names", "preferences", "reference"}, or a CSV matrix with or without a
    /// row of names. `preferences[i][j]` is the probability that i beats j.
    game: PathBuf,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Write to this file instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct NashArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Weight of the KL to the reference; without it, or 0, the plain game.
    #[arg(long, allow_negative_numbers = true)]
    tau: Option<f64>,
}

#[derive(Debug, Args)]
pub(crate) struct SolveArgs {
    #[command(flatten)]
    file: FileArgs,
    /// The method.
    #[arg(long, value_enum, default_value_t = Algorithm::Inpo)]
    algorithm: Algorithm,
    /// Weight of the KL to the reference, 0 <= tau <= eta.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    tau: f64,
    /// INVERSE step size, above 0. Required with the constant schedule, not used by the other.
    #[arg(long, allow_negative_numbers = true)]
    eta: Option<f64>,
    /// How eta goes with the iteration t: constant, or the paper's tau (t + 2) / 2.
    #[arg(long, value_enum, default_value_t = Schedule::Constant)]
    schedule: Schedule,
    /// How many updates to make.
    #[arg(long, default_value_t = 100)]
    iterations: u64,
    /// Stop once the last policy's duality gap is at most this.
    #[arg(long, value_name = "GAP", allow_negative_numbers = true)]
    tolerance: Option<f64>,
    /// Record every so many iterations in the history; the first and the last always.
    #[arg(long, default_value_t = 1)]
    stride: u64,
}

#[derive(Debug, Args)]
pub(crate) struct AnalyseArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Weight of the KL for the regularised Nash policy.
    #[arg(long, default_value_t = 0.1, allow_negative_numbers = true)]
    tau: f64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Algorithm {
    /// Online mirror descent of the INPO paper.
    Inpo,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Schedule {
    /// The same eta in every update.
    Constant,
    /// eta_t = tau (t + 2) / 2.
    Theory,
}

/// An equilibrium: what `nash` prints.
#[derive(Serialize)]
struct Equilibrium {
    strategy: Strategy,
    duality_gap: f64,
    exploitability: f64,
    residual: f64,
}

/// An iterate of `solve`.
#[derive(Serialize)]
struct Iterate {
    strategy: Strategy,
    duality_gap: f64,
    exploitability: f64,
}

/// What `solve` prints.
#[derive(Serialize)]
struct Solution {
    algorithm: String,
    iterations: u64,
    oracle_calls: u64,
    last: Iterate,
    average: Iterate,
    history: Vec<Record>,
}

/// What `analyse` prints. Actions are indices into the game file.
#[derive(Serialize)]
struct Analysis {
    condorcet_winner: Option<usize>,
    cyclic_triads: u64,
    triads: u64,
    transitive_share: f64,
    nash: Equilibrium,
    tau: f64,
    regularised_nash: Equilibrium,
}

/// Runs one `inpo game` command.
pub(crate) fn run(cmd: GameCommand) -> Result<(), CliError> {
    match cmd {
        GameCommand::Nash(args) => run_nash(&args),
        GameCommand::Solve(args) => run_solve(&args),
        GameCommand::Analyse(args) => run_analyse(&args),
    }
}

fn run_nash(args: &NashArgs) -> Result<(), CliError> {
    let problem = problem(&args.file, args.tau.unwrap_or(0.0))?;
    let equilibrium = equilibrium(&problem)?;
    let table = || {
        let mut out = heading(&args.file, &problem);
        strategies(&mut out, problem.game(), &[("nash", &equilibrium.strategy)]);
        let _ = writeln!(out, "\nduality gap    {:.3e}", equilibrium.duality_gap);
        let _ = writeln!(out, "exploitability {:.3e}", equilibrium.exploitability);
        let _ = writeln!(out, "residual       {:.3e}", equilibrium.residual);
        out
    };
    print(&args.file, &equilibrium, table)
}

fn run_solve(args: &SolveArgs) -> Result<(), CliError> {
    let step_size = match (args.schedule, args.eta) {
        (Schedule::Constant, Some(eta)) => StepSize::Constant(eta),
        (Schedule::Constant, None) => {
            return Err(CliError::Input(
                "--eta is missing: the constant schedule needs an inverse step size".into(),
            ));
        }
        (Schedule::Theory, eta) => {
            if eta.is_some() {
                eprintln!("note: --eta is not used with --schedule theory");
            }
            StepSize::Theory
        }
    };
    step_size.validate(args.tau).map_err(solver_error)?;
    let problem = problem(&args.file, args.tau)?;
    let solver = match args.algorithm {
        Algorithm::Inpo => Inpo::new(step_size),
    };
    let mut executor = Executor::new(&problem, solver)
        .iterations(args.iterations)
        .stride(args.stride);
    if let Some(tolerance) = args.tolerance {
        executor = executor.tolerance(tolerance);
    }
    match problem.nash() {
        Ok(nash) => {
            if let Some(unstable) = solver.unstable_step(&problem, &nash) {
                eprintln!("warning: {unstable}");
            }
            executor = executor.equilibrium(nash);
        }
        Err(error) => eprintln!("warning: kl_to_nash is missing from the history: {error}"),
    }
    let run = executor.run().map_err(solver_error)?;
    let reason = run.reason;
    let solution = solution(&problem, run);
    print(&args.file, &solution, || {
        solution_table(args, &problem, &solution, reason)
    })
}

fn run_analyse(args: &AnalyseArgs) -> Result<(), CliError> {
    if args.tau == 0.0 {
        return Err(CliError::Input(
            "--tau: tau is 0: the regularised Nash policy needs a positive tau".into(),
        ));
    }
    let regularised = problem(&args.file, args.tau)?;
    let game = regularised.game();
    let plain = Problem::new(game, game.reference(), 0.0).map_err(solver_error)?;
    let triads = analysis::cyclic_triads(game);
    let found = Analysis {
        condorcet_winner: analysis::condorcet_winner(game),
        cyclic_triads: triads.cyclic,
        triads: triads.total,
        transitive_share: analysis::transitive_share(game),
        nash: equilibrium(&plain)?,
        tau: args.tau,
        regularised_nash: equilibrium(&regularised)?,
    };
    let table = || {
        let mut out = heading(&args.file, &regularised);
        let columns = [
            ("nash", &found.nash.strategy),
            ("regularised", &found.regularised_nash.strategy),
        ];
        strategies(&mut out, game, &columns);
        let winner = found
            .condorcet_winner
            .map_or("none".to_owned(), |y| label(game, y));
        let _ = writeln!(out, "\nCondorcet winner {winner}");
        let _ = writeln!(
            out,
            "cyclic triads    {} of {}",
            found.cyclic_triads, found.triads
        );
        let _ = writeln!(out, "transitive share {:.4}", found.transitive_share);
        out
    };
    print(&args.file, &found, table)
}

/// Reads the game and checks tau.
fn problem(file: &FileArgs, tau: f64) -> Result<Problem<MatrixGame>, CliError> {
    let game = MatrixGame::read(&file.game).map_err(|error| CliError::Input(error.to_string()))?;
    let reference = game.reference();
    Problem::new(game, reference, tau).map_err(solver_error)
}

fn equilibrium<G: PreferenceGame>(problem: &Problem<G>) -> Result<Equilibrium, CliError> {
    let strategy = problem.nash().map_err(equilibrium_error)?;
    let residual = if problem.tau() > 0.0 {
        regularised_nash_residual(
            problem.game(),
            &strategy,
            problem.reference(),
            problem.tau(),
        )
    } else {
        nash_residual(problem.game(), &strategy)
    };
    Ok(Equilibrium {
        duality_gap: problem.duality_gap(&strategy),
        exploitability: problem.exploitability(&strategy),
        residual,
        strategy,
    })
}

fn solution(problem: &Problem<MatrixGame>, run: Run<OmdState>) -> Solution {
    let iterate = |strategy: &Strategy| Iterate {
        strategy: strategy.clone(),
        duality_gap: problem.duality_gap(strategy),
        exploitability: problem.exploitability(strategy),
    };
    Solution {
        iterations: run.state.iteration(),
        oracle_calls: run.state.oracle_calls(),
        last: iterate(run.state.strategy()),
        average: iterate(run.state.average()),
        algorithm: run.algorithm,
        history: run.history,
    }
}

/// Bad settings are the caller's to mend: the sentence starts with the flag.
fn solver_error(error: SolverError) -> CliError {
    let flag = match error {
        SolverError::Tau { .. } | SolverError::TauAboveEta { .. } => "--tau",
        SolverError::Eta { .. } | SolverError::NotFinite { .. } => "--eta",
        SolverError::TheoryWithoutTau => "--schedule theory",
        SolverError::Tolerance { .. } => "--tolerance",
        SolverError::Stride => "--stride",
        SolverError::Length { .. } | SolverError::StartSupport { .. } => {
            return CliError::Other(error.to_string());
        }
    };
    CliError::Input(format!("{flag}: {error}"))
}

fn equilibrium_error(error: EquilibriumError) -> CliError {
    match error {
        EquilibriumError::Tau { .. } => CliError::Input(format!("--tau: {error}")),
        _ => CliError::Other(error.to_string()),
    }
}
