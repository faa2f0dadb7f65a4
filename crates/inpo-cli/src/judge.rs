//! `inpo judge`: what an oracle says of the responses to each prompt.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use inpo_console::{Meter, find_model};
use inpo_core::data::rows::Answers as RowAnswers;
use inpo_core::data::{Completion, Prompt, Row, read_rows};
use inpo_core::game::{OracleError, PreferenceOracle};
use inpo_core::oracle::{
    Answers, Candidates, JudgeReport, MissingVote, Oracle, OracleConfig, OracleKind, PairStrategy,
    Progress, Question, RecordedOracleConfig, SelectionConfig, Surroundings, judge,
};
use serde_json::{Map, Value, json};

use crate::config::has_section;
use crate::error::CliError;
use crate::output::{Inputs, check_folder, write_rows};
use crate::print::{lines, tell};
use crate::progress::ProgressArgs;
use crate::selection::{STRATEGIES, SelectionArgs};

/// Compares the responses to each prompt of a file with an oracle.
#[derive(Debug, Args)]
pub(crate) struct JudgeArgs {
    /// TOML file with the keys of `[oracle]` at its top level: `kind`, and those of the kind.
    #[arg(long)]
    oracle: PathBuf,
    /// Rows with `prompt` (text or messages), `responses` (2 or more texts) and whatever the oracle reads, as `inpo generate`
    /// writes them: JSON lines, a JSON array, either of them gzipped, or Parquet.
    #[arg(long)]
    input: PathBuf,
    /// Which responses to a prompt meet: every two, or those that a strategy of `inpo select` needs.
    #[arg(long, default_value = "all", value_parser = matches())]
    matches: Matches,
    #[command(flatten)]
    selection: SelectionArgs,
    /// Where the rows go, with `preference` (K x K, P(i beats j), null where nothing was asked) and `judge` added; default:
    /// standard output.
    #[arg(long)]
    output: Option<PathBuf>,
    /// Where the report on the judge goes, as JSON. A table of it is shown on standard error in any case.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Another oracle's TOML file, or a file of votes of people or models: the report says how often it agrees.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Says how many comparisons, tokens and how much money it would take, and asks nothing.
    #[arg(long)]
    dry_run: bool,
    /// Goes on where an earlier call was cut off. So does every call that finds the journal: this flag asks for it to be there.
    #[arg(long)]
    resume: bool,
    /// Asks again what the journal has no usable verdict on: after a server's fault, or with a longer context.
    #[arg(long)]
    retry_invalid: bool,
    /// Folder in which every verdict that costs something is kept as it comes, so that none is paid for twice; default:
    /// `journal` beside `--output`.
    #[arg(long)]
    journal: Option<PathBuf>,
    /// The device of judges that are models: flex (the CPU), cuda:N, tch, wgpu, cpu; `inpo devices` lists them.
    #[arg(long, default_value = "flex")]
    device: String,
    #[command(flatten)]
    progress: ProgressArgs,
}

/// Which responses to a prompt meet.
#[derive(Clone, Copy, Debug)]
enum Matches {
    /// Every two.
    All,
    /// Those that a strategy needs.
    Of(PairStrategy),
}

fn matches() -> impl TypedValueParser<Value = Matches> {
    let names = ["all"].into_iter().chain(STRATEGIES);
    PossibleValuesParser::new(names).try_map(|name| match name.as_str() {
        "all" => Ok(Matches::All),
        _ => serde_json::from_value(Value::String(name)).map(Matches::Of),
    })
}

/// The matches among one prompt's responses.
enum Plan<'r> {
    /// Every two of so many.
    All(usize),
    /// Those that a selection needs.
    Needed(Candidates<'r>),
}

impl Plan<'_> {
    fn next(&self, answers: &Answers) -> Vec<(usize, usize)> {
        match self {
            Self::All(_) => answers.missing(),
            Self::Needed(candidates) => candidates.matches(answers),
        }
    }

    /// The most comparisons.
    fn at_most(&self) -> u64 {
        match self {
            Self::All(count) => (count * (count - 1) / 2) as u64,
            Self::Needed(candidates) => candidates.comparisons() as u64,
        }
    }
}

/// The matches of each row.
fn plans<'r>(args: &JudgeArgs, rows: &[Row], items: &'r [Item]) -> Result<Vec<Plan<'r>>, CliError> {
    let Matches::Of(strategy) = args.matches else {
        args.selection.check_unread()?;
        let all = items
            .iter()
            .map(|(_, responses)| Plan::All(responses.len()));
        return Ok(all.collect());
    };
    let config = args.selection.config(strategy, None)?;
    let rows = rows.iter().zip(items).enumerate();
    let plan = rows.map(|(place, (row, (_, responses)))| {
        let (number, draws) = args.selection.draws(row, place);
        Plan::Needed(config.among(responses, draws.seed(number)))
    });
    Ok(plan.collect())
}

pub(crate) type Item = (Prompt, Vec<Completion>);

pub(crate) fn run(args: &JudgeArgs) -> Result<(), CliError> {
    args.progress.choose();
    let inputs = [&args.oracle]
        .into_iter()
        .chain(&args.against)
        .fold(Inputs::files([&args.input]), |inputs, path| {
            inputs.settings(path)
        });
    let [output, report_to] = inputs.outputs([
        ("--output", args.output.as_ref()),
        ("--report", args.report.as_ref()),
    ])?;
    let config = read_oracle(&args.oracle)?;
    let rows = read_rows(&args.input).map_err(|e| e.named_by("--input"))?;
    let items = rows.iter().enumerate().map(|(place, row)| {
        let item = item(row, place as u64);
        item.map_err(|reason| row.error(&args.input, reason))
    });
    let items: Vec<Item> = items.collect::<Result<_, _>>()?;
    let plans = plans(args, &rows, &items)?;
    let at_most: u64 = plans.iter().map(Plan::at_most).sum();
    if let Some(max) = config.shared.max_comparisons.filter(|&max| at_most > max) {
        return Err(CliError::Input(format!(
            "{}: max_comparisons is {max}, and {} takes up to {at_most} comparisons: raise it, or give fewer rows",
            args.oracle.display(),
            args.input.display(),
        )));
    }
    let journal = args.journal.clone().or_else(|| {
        // What is written through has no place beside it.
        output.as_ref()?.file()?;
        let output = args.output.as_ref()?;
        Some(output.parent().unwrap_or(Path::new("")).join("journal"))
    });
    if let Some(journal) = &journal {
        check_folder("--journal", journal)?;
    }
    if args.resume && !journal.as_ref().is_some_and(|journal| journal.is_dir()) {
        let folder = journal.map_or("no folder is named".to_owned(), |journal| {
            format!("{} is not there", journal.display())
        });
        return Err(CliError::Input(format!(
            "--resume: there is no journal to go on with: {folder}"
        )));
    }
    let meter = Meter::new("judge", "verdicts", 0);
    let progress: Progress = {
        let meter = meter.clone();
        Arc::new(move || meter.add(1))
    };
    let device = inpo_core::device(&args.device)?;
    let find = |name: &str| find_model(name).map_err(|error| error.to_string());
    let around = Surroundings {
        find_model: &find,
        device: Some(&device),
        journal: journal.as_deref(),
        retry_invalid: args.retry_invalid,
        dry_run: args.dry_run,
        progress: Some(&progress),
        ..Surroundings::default()
    };
    let other = args.against.as_deref().map(|path| second(path, &around));
    let other = other.transpose()?;
    let oracle = config
        .init(&around)
        .map_err(|error| CliError::Input(format!("{}: {error}", args.oracle.display())))?;
    let in_row = |error: OracleError| -> CliError { unanswered(error, &rows, &args.input) };
    if args.dry_run {
        let told = dry_run(&oracle, &items, at_most).map_err(in_row)?;
        return lines(told);
    }
    let votes = oracle.judged().votes();
    meter.set_total(at_most * u64::from(votes));
    let before = oracle.counts();
    let answers = judge(&oracle, &items, |item, answers| plans[item].next(answers));
    meter.finish();
    let answers = answers.map_err(in_row)?;
    let responses: Vec<&[Completion]> = items.iter().map(|(_, r)| r.as_slice()).collect();
    let counts = oracle.counts() - before;
    let name = oracle.name();
    let mut report = JudgeReport::new(name.clone(), &responses, &answers, &counts, votes);
    if let Some(other) = &other {
        // The comparisons that were asked, and no others.
        let others = judge(other, &items, |item, others| {
            let missing = others.missing().into_iter();
            missing
                .filter(|&pair| answers[item].get(pair).is_some())
                .collect()
        });
        let agreed = report.with_agreement(&answers, &others.map_err(in_row)?, other.name());
        report = agreed.map_err(|error| CliError::Other(error.to_string()))?;
    }
    let rows = rows.into_iter().zip(&answers);
    let rows = rows.map(|(row, answers)| judged(row, answers, &name));
    write_rows(output.as_ref(), rows.collect())?;
    if let Some(report_to) = &report_to {
        report_to.write_json(&report)?;
    }
    if let Some((path, _, damaged @ 1..)) = oracle.judged().journal() {
        tell(&format!(
            "note: {damaged} damaged lines of {} were left out; what they held was asked again",
            path.display()
        ));
    }
    tell(report.to_string().trim_end());
    let reason = oracle.judged().first_invalid();
    match reason.filter(|_| report.invalid == report.verdicts) {
        Some(reason) => Err(CliError::Other(format!(
            "no verdict of the judge could be used; the first one because {reason}"
        ))),
        None => Ok(()),
    }
}

/// The oracle of `--oracle`. A configuration of a whole run is a common mistake.
fn read_oracle(path: &Path) -> Result<OracleConfig, CliError> {
    OracleConfig::read(path).map_err(|error| {
        let error = CliError::Input(error.to_string());
        if !path.is_file() {
            return error.about("--oracle");
        }
        match has_section(path, &["oracle", "policy", "data"]) {
            Some(_) => error.with_hint(
                "`inpo judge` reads the keys of [oracle] at the top level: give a file with these alone",
            ),
            None => error,
        }
    })
}

/// The oracle that another one is compared with: a file of votes, or the keys of an oracle.
fn second(path: &Path, around: &Surroundings<'_>) -> Result<Oracle, CliError> {
    let config = if path
        .extension()
        .is_some_and(|extension| extension == "toml")
    {
        OracleConfig::read(path)
    } else {
        Ok(OracleConfig::from(OracleKind::Recorded(
            RecordedOracleConfig {
                votes: path.to_owned(),
                missing: MissingVote::Error,
            },
        )))
    };
    let oracle = config.and_then(|config| config.init(around));
    oracle.map_err(|error| CliError::Input(format!("--against: {error}")))
}

/// A row's prompt and responses.
pub(crate) fn item(row: &Row, number: u64) -> Result<Item, String> {
    let answers = match row.answers()? {
        RowAnswers::Many(answers) => answers,
        RowAnswers::One(_) => return Err("there are no `responses`".to_owned()),
    };
    if answers.len() < 2 {
        let count = answers.len();
        return Err(format!("`responses` has {count}, and a comparison needs 2"));
    }
    let most = SelectionConfig::MOST_RESPONSES;
    if answers.len() > most {
        let count = answers.len();
        return Err(format!(
            "`responses` has {count}, and at most {most} are compared"
        ));
    }
    let completion = |answer: inpo_core::data::Answer| Completion {
        text: answer.message.map(|m| m.content).unwrap_or_default(),
        token_ids: answer.token_ids,
        token_logps: None,
        finish_reason: answer.finish_reason,
    };
    let mut prompt = row.to_prompt(number);
    for own in ["responses", "response_token_ids", "finish_reason"] {
        prompt.metadata.shift_remove(own);
    }
    Ok((prompt, answers.into_iter().map(completion).collect()))
}

/// The row with what was answered about it.
fn judged(row: Row, answers: &Answers, judge: &str) -> Map<String, Value> {
    let mut columns = row.columns.into_map();
    columns.insert("preference".to_owned(), json!(answers.matrix()));
    columns.insert("judge".to_owned(), json!(judge));
    columns
}

/// An oracle's error; one about a row of the file names it.
fn unanswered(error: OracleError, rows: &[Row], path: &Path) -> CliError {
    match error {
        OracleError::Invalid { reason, .. } => {
            // `judge` names the prompt by its number, which is its place.
            let number = reason.strip_prefix("prompt ").and_then(|rest| {
                let (number, rest) = rest.split_once(", ")?;
                Some((number.parse::<usize>().ok()?, rest.to_owned()))
            });
            match number.and_then(|(place, rest)| Some((rows.get(place)?, rest))) {
                Some((row, rest)) => row.error(path, rest).into(),
                None => CliError::Input(reason),
            }
        }
        other => CliError::Other(other.to_string()),
    }
}

/// Says what judging would take.
fn dry_run(oracle: &Oracle, items: &[Item], at_most: u64) -> Result<Vec<String>, OracleError> {
    let mut pairs: Vec<Question<'_>> = Vec::new();
    for (prompt, responses) in items {
        for (i, first) in responses.iter().enumerate() {
            pairs.extend(responses[i + 1..].iter().map(|second| Question {
                prompt,
                first,
                second,
            }));
        }
    }
    let (asked, usage) = oracle.estimate(&pairs)?;
    // A strategy asks a part of all pairs, which costs that part of the whole on average.
    let part = at_most as f64 / pairs.len().max(1) as f64;
    let scaled = |value: u64| (value as f64 * part).round() as u64;
    let mut told = vec![
        format!("judge              {}", oracle.name()),
        format!("comparisons        at most {at_most}"),
        format!("verdicts to ask    about {}", scaled(asked)),
        format!("calls              about {}", scaled(usage.calls)),
    ];
    if usage.prompt_tokens > 0 {
        let (read, written) = (scaled(usage.prompt_tokens), scaled(usage.completion_tokens));
        told.push(format!(
            "tokens             about {read} read, at most {written} written"
        ));
    }
    if let Some(cost) = oracle.judged().judge().cost(&usage) {
        told.push(format!("cost               about {:.4}", cost * part));
    }
    Ok(told)
}
