//! From pairwise votes to the Nash mixture, beside Elo and Borda.
//!
//! A leaderboard is a ranking, and a ranking assumes that preferences have no cycles. This reads a
//! file of votes (who was shown, who won), prints for every model its share in the Nash mixture
//! (the maximal lottery: nobody beats it more than half of the time), its Elo rating and its Borda
//! score, each with a bootstrap interval over the votes, says how cyclic the votes are, and draws
//! it all.
//!
//! ```text
//! cargo run --release --example rank_models [-- --votes FILE --svg FILE ..]
//! ```
//!
//! Without arguments it uses 672 votes of our own making among eight models, three of which beat
//! each other in a circle (`examples/data`): alder, birch and cedar share the mixture although Elo
//! puts one of them first. With real votes the columns can be named and rare models left out:
//!
//! ```text
//! cargo run --release --example rank_models -- --votes crowd-comparisons.csv --min-votes 300
//! ```
//!
//! A share of 0 in every replicate says that some mixture of others is safer, not that the model is
//! bad; few votes make wide intervals, and a cycle may be noise.

use std::convert::Infallible;
use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use inpo_core::game::{
    Bootstrap, EmpiricalGame, MatrixGame, RecordColumns, RecordOptions, Records, analysis,
    bradley_terry, nash, nash_report, read_records, read_records_csv,
};
use inpo_core::plot::{Estimate, IntervalChart, Panel};

/// Votes of our own making; `examples/data/make_votes.py` made them.
const VOTES: &str = include_str!("../data/votes.csv");

/// Votes to the Nash mixture, Elo and Borda, with intervals.
#[derive(Debug, Parser)]
struct Args {
    /// Votes as CSV with a header or JSON lines; without it, votes of our own making.
    #[arg(long, value_name = "FILE")]
    votes: Option<PathBuf>,
    /// The column that names one side.
    #[arg(long, default_value = "model_x")]
    first: String,
    /// The column that names the other side.
    #[arg(long, default_value = "model_y")]
    second: String,
    /// The column that says who won: a name, left or right, or tie.
    #[arg(long, default_value = "winner")]
    winner: String,
    /// Leave out models with fewer votes.
    #[arg(long, default_value_t = 0)]
    min_votes: u64,
    /// Votes added to both sides of every pair (the Beta prior).
    #[arg(long, default_value_t = 0.5)]
    prior: f64,
    /// Bootstrap replicates.
    #[arg(long, default_value_t = 1000)]
    replicates: usize,
    /// Confidence of the intervals.
    #[arg(long, default_value_t = 0.95)]
    confidence: f64,
    /// Seed of the bootstrap.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The picture.
    #[arg(long, default_value = "rank_models.svg", value_name = "FILE")]
    svg: PathBuf,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    if !(args.confidence > 0.0 && args.confidence < 1.0) {
        let confidence = args.confidence;
        return Err(format!("--confidence is {confidence}: it must lie between 0 and 1").into());
    }
    let mut out = String::new();
    let Records {
        game,
        rows,
        left_out,
        ties,
        ..
    } = read(args)?;
    let matrix = game.to_matrix();
    writeln!(
        out,
        "{} votes among {} models ({rows} rows, {ties} of them ties, {left_out} left out)\n",
        game.total_votes(),
        game.names().len()
    )?;

    // The statistics of the votes, and of a thousand sets of votes like them.
    let mixture = game.bootstrap(args.replicates, args.seed, |game| {
        nash(game).map(Vec::<f64>::from)
    })?;
    let elo = game.bootstrap(args.replicates, args.seed, |game| {
        bradley_terry::scores(game).map(|scores| bradley_terry::elo(&scores))
    })?;
    let borda = game.bootstrap(args.replicates, args.seed, |game| {
        Ok::<_, Infallible>(analysis::borda(game))
    })?;

    let order = analysis::ranking(elo.estimate());
    write_table(&mut out, args, &game, &order, [&mixture, &elo, &borda])?;
    write_shape(&mut out, &matrix)?;
    draw(args, &game, &order, [&mixture, &elo, &borda])?;
    writeln!(out, "\nwrote {}", args.svg.display())?;
    match io::stdout().write_all(out.as_bytes()) {
        // The reader of a pipe has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

fn read(args: &Args) -> Result<Records, Box<dyn Error>> {
    let options = RecordOptions {
        columns: RecordColumns::new(&args.first, &args.second, &args.winner),
        names: None,
        min_votes: args.min_votes,
        prior: args.prior,
    };
    Ok(match &args.votes {
        Some(path) => read_records(path, &options)?,
        None => read_records_csv(VOTES.as_bytes(), "votes.csv".as_ref(), &options)?,
    })
}

fn write_table(
    out: &mut String,
    args: &Args,
    game: &EmpiricalGame,
    order: &[usize],
    [mixture, elo, borda]: [&Bootstrap; 3],
) -> Result<(), Box<dyn Error>> {
    let width = game.names().iter().map(|n| n.chars().count()).max();
    let width = width.unwrap_or(0).max(5);
    let confidence = args.confidence;
    writeln!(
        out,
        "{:width$}  votes  {:>24}  in support  {:>22}  {:>20}",
        "model", "Nash mixture", "Elo", "Borda"
    )?;
    let votes = game.votes();
    for &model in order {
        let interval = |of: &Bootstrap| of.interval(model, confidence);
        let (m, e, b) = (interval(mixture)?, interval(elo)?, interval(borda)?);
        writeln!(
            out,
            "{:width$}  {:>5}   {:>6.3} [{:>6.3}, {:>6.3}]  {:>8.0} %   {:>6.0} [{:>5.0}, {:>5.0}]  {:>.3} [{:.3}, {:.3}]",
            game.names()[model],
            votes[model],
            mixture.estimate()[model],
            m.low,
            m.high,
            100.0 * mixture.positive_share(model),
            elo.estimate()[model],
            e.low,
            e.high,
            borda.estimate()[model],
            b.low,
            b.high,
        )?;
    }
    Ok(())
}

fn write_shape(out: &mut String, matrix: &MatrixGame) -> Result<(), Box<dyn Error>> {
    let name = |y: usize| {
        matrix
            .names()
            .map_or(y.to_string(), |names| names[y].clone())
    };
    let triads = analysis::cyclic_triads(matrix);
    writeln!(
        out,
        "\ncyclic triads     {} of {}",
        triads.cyclic, triads.total
    )?;
    let share = analysis::transitive_share(matrix);
    writeln!(
        out,
        "transitive share  {share:.3}: what a ranking could explain, noise of the votes included"
    )?;
    match analysis::condorcet_winner(matrix) {
        Some(winner) => writeln!(out, "Condorcet winner  {}", name(winner))?,
        None => writeln!(out, "Condorcet winner  none: nobody beats everyone else")?,
    }
    let smith: Vec<String> = analysis::smith_set(matrix).into_iter().map(name).collect();
    writeln!(out, "Smith set         {}", smith.join(", "))?;
    let unique = nash_report(matrix)?.unique;
    writeln!(
        out,
        "Nash mixture      {}",
        if unique { "unique" } else { "one of several" }
    )?;
    Ok(())
}

fn draw(
    args: &Args,
    game: &EmpiricalGame,
    order: &[usize],
    statistics: [&Bootstrap; 3],
) -> Result<(), Box<dyn Error>> {
    let rows: Vec<String> = order.iter().map(|&y| game.names()[y].clone()).collect();
    let mut panels = Vec::new();
    for (name, of) in ["Nash mixture", "Elo", "Borda"].into_iter().zip(statistics) {
        let mut estimates = Vec::new();
        for &model in order {
            let interval = of.interval(model, args.confidence)?;
            estimates.push(Estimate {
                value: of.estimate()[model],
                low: interval.low,
                high: interval.high,
            });
        }
        panels.push(Panel { name, estimates });
    }
    let title = format!(
        "{} votes, {:.0} % bootstrap intervals",
        game.total_votes(),
        100.0 * args.confidence
    );
    let chart = IntervalChart {
        title: &title,
        rows: &rows,
    };
    chart.write_svg(&args.svg, &panels)
}
