//! `inpo game convert`: one format of a game into another.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use inpo_core::data::rows::as_json_lines;
use inpo_core::game::{MatrixGame, RecordColumns, RecordOptions, read_records, read_records_json};

use super::input::read;
use super::output::print_to;
use crate::error::CliError;
use crate::output::Inputs;

#[derive(Debug, Args)]
pub(crate) struct ConvertArgs {
    /// A game file, or with --records a file of pairwise votes: CSV with a header, or JSON lines.
    input: PathBuf,
    /// Where to write; .json or .csv says the format. Without it, to standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The format, if the name of the output does not say it.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The input holds votes, one comparison a row.
    #[arg(long)]
    records: bool,
    /// --records: the column that names one side.
    #[arg(long, default_value = "model_x", requires = "records")]
    first: String,
    /// --records: the column that names the other side.
    #[arg(long, default_value = "model_y", requires = "records")]
    second: String,
    /// --records: the column that says who won: a name, left or right, or tie.
    #[arg(long, default_value = "winner", requires = "records")]
    winner: String,
    /// --records: only these names, in this order.
    #[arg(long, value_delimiter = ',', requires = "records")]
    names: Option<Vec<String>>,
    /// --records: only names with at least so many votes.
    #[arg(long, default_value_t = 0, requires = "records")]
    min_votes: u64,
    /// --records: votes added to both sides of every pair (the Beta prior); an unseen pair is 1/2.
    #[arg(
        long,
        default_value_t = 0.0,
        requires = "records",
        allow_negative_numbers = true
    )]
    prior: f64,
}

/// The largest matrix that is made of votes: 1 GiB.
const MOST_NAMES: usize = 1 << 14;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Json,
    Csv,
}

pub(super) fn run(args: &ConvertArgs) -> Result<(), CliError> {
    let format = format(args)?;
    let inputs = Inputs::files([&args.input]);
    let [output] = inputs.outputs([("--output", args.output.as_ref())])?;
    let game = if args.records {
        from_records(args)?
    } else {
        read(&args.input)?
    };
    let write = |out: &mut dyn std::io::Write| match format {
        Format::Json => game.write_json(out),
        Format::Csv => game.write_csv(out),
    };
    print_to(output.as_ref(), write)
}

fn format(args: &ConvertArgs) -> Result<Format, CliError> {
    let extension = |path: &Path| {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        Format::from_str(&extension, true).ok()
    };
    match (args.format, &args.output) {
        (Some(format), _) => Ok(format),
        (None, None) => Ok(Format::Json),
        (None, Some(path)) => extension(path).ok_or_else(|| {
            CliError::Input(format!(
                "--output {}: the name ends neither in .json nor in .csv: say --format json or csv",
                path.display()
            ))
        }),
    }
}

fn from_records(args: &ConvertArgs) -> Result<MatrixGame, CliError> {
    let options = RecordOptions {
        columns: RecordColumns::new(&args.first, &args.second, &args.winner),
        names: args.names.clone(),
        min_votes: args.min_votes,
        prior: args.prior,
    };
    let records = match as_json_lines(&args.input)? {
        Some(lines) => read_records_json(lines.as_slice(), &args.input, &options),
        None => read_records(&args.input, &options),
    };
    let records = records.map_err(|error| CliError::Input(error.to_string()))?;
    let names = records.game.names().len();
    let unseen = names * names.saturating_sub(1) / 2 - records.game.pairs().len();
    eprintln!(
        "{} votes of {} rows, {names} names, {unseen} pairs without a vote; of all rows {} are ties, \
         {} of them without a winner's name",
        records.game.total_votes(),
        records.rows,
        records.ties,
        records.blank,
    );
    check_size(&args.input, names)?;
    Ok(records.game.to_matrix())
}

/// Refuses votes over so many names that their matrix would not fit.
fn check_size(input: &Path, names: usize) -> Result<(), CliError> {
    if names <= MOST_NAMES {
        return Ok(());
    }
    let gib = (names as f64).powi(2) * 4.0 / f64::from(1 << 30);
    Err(CliError::Input(format!(
        "{}: there are {names} names, and a matrix of them takes {gib:.1} GiB; choose at most {MOST_NAMES} of them by --names, \
         or those with more votes by --min-votes",
        input.display()
    )))
}
