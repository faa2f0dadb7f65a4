//! `inpo game compare`: several methods on one or many games, as a picture and a table.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use inpo_core::data::files::Output;
use inpo_core::game::MatrixGame;
use inpo_core::plot::{Chart, Scale, Series};
use inpo_core::solver::Record;
use serde::Serialize;

use super::input::read;
use super::method::{MethodArgs, build};
use super::output::{OutputArgs, print};
use super::play::{ExactNash, RunningArgs, exact_nash, play};
use super::spec::{Contender, parse};
use crate::error::CliError;
use crate::output::Inputs;

/// Points of a curve in the picture and rows of a run in the table for each factor e of the
/// iteration, at most: the same grid for every run, so that runs of different lengths share it.
const POINTS: f64 = 20.0;

/// Gaps below this are rounding; the logarithmic axis ends there.
const FLOOR: f64 = 1e-16;

/// What is run without `--algorithm`: each with a step that suits every preference game at tau = 0.1.
const DEFAULTS: [&str; 8] = [
    "inpo:tau=0.1,schedule=theory",
    "egpo:tau=0.1,eta=2",
    "sppo:eta=2",
    "sppo:eta=2,watch=average",
    "onpo:eta=2",
    "comal:tau=0.1,eta=2,period=50",
    "mpo:tau=0.1,eta=2,period=50",
    "regret_matching_plus:watch=weighted_average",
];

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Game files. Over several games the picture shows the geometric mean of the gaps.
    #[arg(required = true)]
    games: Vec<PathBuf>,
    /// A method, with settings of its own behind a colon: NAME[:KEY=VALUE,..], where KEY is tau, eta,
    /// schedule, period, decay, base, step, history_weights (separated by +) or watch. May be given
    /// many times; without it a standard set runs.
    #[arg(long = "algorithm", value_name = "SPEC")]
    algorithms: Vec<String>,
    #[command(flatten)]
    method: MethodArgs,
    #[command(flatten)]
    running: RunningArgs,
    /// Write the picture: duality gap against oracle calls, both logarithmic.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write the curves as a table.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    #[command(flatten)]
    out: OutputArgs,
}

/// One method on one game: what the summary prints.
#[derive(Serialize)]
struct Outcome {
    game: PathBuf,
    algorithm: String,
    iterate: String,
    iterations: u64,
    oracle_calls: u64,
    duality_gap: f64,
    exploitability: f64,
    kl_to_nash: Option<f64>,
    #[serde(skip)]
    curve: Vec<Record>,
}

pub(super) fn run(args: &CompareArgs) -> Result<(), CliError> {
    let specs: Vec<&str> = if args.algorithms.is_empty() {
        DEFAULTS.to_vec()
    } else {
        args.algorithms.iter().map(String::as_str).collect()
    };
    let contenders: Vec<Contender> = specs
        .into_iter()
        .map(|spec| parse(spec, args.method.settings(), args.running.watch))
        .collect::<Result<_, _>>()?;
    let [csv, svg, output] = Inputs::files(&args.games).outputs([
        ("--csv", args.csv.as_ref()),
        ("--svg", args.svg.as_ref()),
        ("--output", args.out.path()),
    ])?;
    let games: Vec<(&PathBuf, MatrixGame)> = args
        .games
        .iter()
        .map(|path| Ok((path, read(path)?)))
        .collect::<Result<_, CliError>>()?;

    let mut results: Vec<Vec<Outcome>> = contenders.iter().map(|_| Vec::new()).collect();
    for (path, game) in &games {
        // Of a game and a tau there is one Nash policy, however many methods look for it.
        let mut known: Vec<(f64, ExactNash)> = Vec::new();
        for (contender, results) in contenders.iter().zip(&mut results) {
            results.push(play_one(contender, args, path, game, &mut known)?);
        }
    }

    if let Some(csv) = &csv {
        csv.write(table_of_curves(&results)?.as_bytes())?;
    }
    if let Some(svg) = &svg {
        draw(svg, args, &contenders, &results)?;
    }
    let flat: Vec<&Outcome> = results.iter().flatten().collect();
    print(&args.out.printer_to(output), &flat, || summary(&flat))
}

fn play_one(
    contender: &Contender,
    args: &CompareArgs,
    path: &Path,
    game: &MatrixGame,
    known: &mut Vec<(f64, ExactNash)>,
) -> Result<Outcome, CliError> {
    let mut running = args.running.settings(1000)?;
    let Contender {
        spec,
        algorithm,
        settings,
        watch,
    } = contender;
    let about = |error: CliError| error.about(&format!("{spec} on {}", path.display()));
    let (method, problem) =
        build(algorithm, settings, game.clone(), running.iterations).map_err(about)?;
    running.watch = (*watch).into();
    let tau = problem.tau();
    let place = known.iter().position(|(of, _)| *of == tau);
    let place = place.unwrap_or_else(|| {
        known.push((tau, exact_nash(&problem, args.running.exact)));
        known.len() - 1
    });
    let (run, warnings) = play(&problem, method, running, &known[place].1).map_err(about)?;
    for warning in warnings {
        eprintln!("warning: {spec} on {}: {warning}", path.display());
    }
    let last = run.history.last().expect("the last iteration is recorded");
    Ok(Outcome {
        game: path.to_owned(),
        algorithm: spec.clone(),
        iterate: name(*watch),
        iterations: last.iteration,
        oracle_calls: last.oracle_calls,
        duality_gap: last.duality_gap,
        exploitability: last.exploitability,
        kl_to_nash: last.kl_to_nash,
        curve: thinned(&run.history),
    })
}

fn name(value: impl ValueEnum) -> String {
    let name = value.to_possible_value();
    name.map_or(String::new(), |v| v.get_name().to_owned())
}

/// The first record of every cell of the grid, and the last of all.
fn thinned(history: &[Record]) -> Vec<Record> {
    let last = history.last().map_or(0, |r| r.iteration);
    let cell = |iteration: u64| ((1.0 + iteration as f64).ln() * POINTS) as u64;
    let mut seen = None;
    history
        .iter()
        .filter(|r| {
            let new = Some(cell(r.iteration)) != seen || r.iteration == last;
            seen = Some(cell(r.iteration));
            new
        })
        .copied()
        .collect()
}

fn table_of_curves(results: &[Vec<Outcome>]) -> Result<String, CliError> {
    let failed = |error: csv::Error| CliError::Other(error.to_string());
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = [
        "game",
        "algorithm",
        "iterate",
        "iteration",
        "oracle_calls",
        "duality_gap",
        "exploitability",
        "kl_to_nash",
    ];
    writer.write_record(header).map_err(failed)?;
    for result in results.iter().flatten() {
        for r in &result.curve {
            let kl = r.kl_to_nash.map_or(String::new(), |kl| kl.to_string());
            writer
                .write_record([
                    &result.game.display().to_string(),
                    &result.algorithm,
                    &result.iterate,
                    &r.iteration.to_string(),
                    &r.oracle_calls.to_string(),
                    &r.duality_gap.to_string(),
                    &r.exploitability.to_string(),
                    &kl,
                ])
                .map_err(failed)?;
        }
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| CliError::Other(error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn draw(
    to: &Output,
    args: &CompareArgs,
    contenders: &[Contender],
    results: &[Vec<Outcome>],
) -> Result<(), CliError> {
    let series: Vec<Series<'_>> = contenders
        .iter()
        .zip(results)
        .map(|(contender, runs)| Series {
            name: &contender.spec,
            points: mean_curve(runs),
        })
        .collect();
    let title = match args.games.as_slice() {
        [game] => format!("Duality gap on {}", game.display()),
        games => format!(
            "Geometric mean of the duality gap over {} games",
            games.len()
        ),
    };
    let chart = Chart {
        title: &title,
        x_label: "oracle calls",
        y_label: "duality gap of the game that the method solves",
        x_scale: Scale::Log,
        y_scale: Scale::Log,
    };
    let drawn = chart.svg(&series);
    let path = to.path().display();
    let svg = drawn.map_err(|error| CliError::Other(format!("{path}: cannot draw: {error}")))?;
    Ok(to.write(svg.as_bytes())?)
}

/// The geometric mean over the games, at the iterations that all of them have. Only a tolerance or
/// a time limit makes runs of different lengths: then the curve ends with the shortest.
fn mean_curve(runs: &[Outcome]) -> Vec<(f64, f64)> {
    let Some((first, others)) = runs.split_first() else {
        return Vec::new();
    };
    let mut points = Vec::new();
    for record in first.curve.iter().filter(|r| r.oracle_calls > 0) {
        let same = |run: &Outcome| {
            let mut curve = run.curve.iter();
            curve.find(|r| r.iteration == record.iteration).copied()
        };
        let Some(all) = others.iter().map(same).collect::<Option<Vec<Record>>>() else {
            continue;
        };
        let log = |gap: f64| gap.max(FLOOR).ln();
        let sum: f64 = all.iter().map(|r| log(r.duality_gap)).sum();
        let mean = (sum + log(record.duality_gap)) / runs.len() as f64;
        points.push((record.oracle_calls as f64, mean.exp()));
    }
    points
}

fn summary(results: &[&Outcome]) -> String {
    let width = |text: fn(&Outcome) -> String, least: usize| {
        let widths = results.iter().map(|r| text(r).chars().count());
        widths.fold(least, usize::max)
    };
    let game = |r: &Outcome| r.game.display().to_string();
    let (games, specs) = (width(game, 4), width(|r| r.algorithm.clone(), 9));
    let mut out = format!(
        "{:games$}  {:specs$}  {:16}  iterations  oracle calls  duality gap  exploitability   KL to Nash\n",
        "game", "algorithm", "iterate"
    );
    for r in results {
        let kl = r
            .kl_to_nash
            .map_or("-".to_owned(), |kl| format!("{kl:.4e}"));
        let _ = writeln!(
            out,
            "{:games$}  {:specs$}  {:16}  {:>10}  {:>12}  {:>11.4e}  {:>14.4e}  {kl:>11}",
            game(r),
            r.algorithm,
            r.iterate,
            r.iterations,
            r.oracle_calls,
            r.duality_gap,
            r.exploitability,
        );
    }
    out
}
