//! `inpo select`: a pair of each prompt's judged responses.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use inpo_core::data::{Completion, FinishReason, Row, read_rows};
use inpo_core::oracle::{
    Answers, PairStrategy, Selected, SelectionConfig, SelectionCounts, Step, TiePolicy,
    cycle_report,
};
use serde_json::{Map, Value, json};

use crate::error::CliError;
use crate::judge::item;
use crate::output::{Inputs, write_rows};
use crate::print::tell;
use crate::selection::{STRATEGIES, SelectionArgs, named};

/// Columns of the responses that a pair is made of, and of an earlier pair, which would be another one's.
const STALE: [&str; 20] = [
    "responses",
    "response_token_ids",
    "finish_reason",
    "sampling_logps",
    "preference",
    "response",
    "logp",
    "num_tokens",
    "token_logps",
    "logp_reduction",
    "chosen",
    "chosen_token_ids",
    "rejected",
    "rejected_token_ids",
    "probability",
    "chosen_probs",
    "score_chosen",
    "score_rejected",
    "explored_token_ids",
    "error",
];

/// Keeps at most one pair of responses a prompt, from the file that `inpo judge` writes.
#[derive(Debug, Args)]
pub(crate) struct SelectArgs {
    /// Rows as `inpo judge` writes them: `responses`, perhaps `response_token_ids` and `finish_reason`, and `preference`
    /// (K x K, P(i beats j), null where nothing was asked).
    #[arg(long)]
    input: PathBuf,
    /// Where the pairs go, as rows that `inpo train` reads: `chosen`, `rejected`, their ids where these are known,
    /// `probability`, and the other columns of the row; default: standard output.
    #[arg(long)]
    output: Option<PathBuf>,
    /// How the pair is chosen among a prompt's responses.
    #[arg(long, default_value = "tournament", value_parser = named::<PairStrategy, 6>(STRATEGIES))]
    strategy: PairStrategy,
    /// What becomes of a tie; default: `drop`, but `half` with `iid` and `random`.
    #[arg(long, value_parser = named::<TiePolicy, 4>(["drop", "half", "first", "random"]))]
    tie_policy: Option<TiePolicy>,
    /// The labels of the loss to come: with `hard` ones the winner of an `iid` or `random` pair is drawn with the judge's
    /// probability, else the likelier one is chosen.
    #[arg(long, value_enum, default_value_t = LossLabels::Hard)]
    loss_labels: LossLabels,
    #[command(flatten)]
    selection: SelectionArgs,
}

/// What a loss makes of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LossLabels {
    /// A win.
    Hard,
    /// A probability, or a score of each response.
    Soft,
}

pub(crate) fn run(args: &SelectArgs) -> Result<(), CliError> {
    let config = args.selection.config(args.strategy, args.tie_policy)?;
    let hard = args.loss_labels == LossLabels::Hard;
    if hard && config.tie_policy() == TiePolicy::Half && !args.strategy.is_blind() {
        return Err(CliError::Input(
            "--tie-policy half: hard labels would count every such tie as a win of the response that the strategy puts \
             first; with --loss-labels soft it stays 1/2"
                .to_owned(),
        ));
    }
    let inputs = Inputs::files([&args.input]);
    let [output] = inputs.outputs([("--output", args.output.as_ref())])?;
    let rows = read_rows(&args.input).map_err(|e| e.named_by("--input"))?;
    let total = rows.len();
    let mut counts = SelectionCounts::default();
    let mut pairs = Vec::with_capacity(total);
    let mut cut_texts = 0;
    for (place, row) in rows.into_iter().enumerate() {
        let selected = select(args, &config, &row, place, &mut counts);
        let Some(pair) = selected.map_err(|reason| row.error(&args.input, reason))? else {
            continue;
        };
        cut_texts += usize::from(pair.has_cut_text());
        pairs.push(written(row, pair));
    }
    tell(&summary(&counts, &config, total));
    if cut_texts > 0 {
        tell(&format!(
            "note: {cut_texts} pairs have a response that was cut off and whose ids are not known; `inpo train` ends its \
             text as if it were complete: --drop-truncated leaves such responses out"
        ));
    }
    if pairs.is_empty() {
        return Err(CliError::Input(format!(
            "{}: none of {total} rows gave a pair",
            args.input.display()
        )));
    }
    write_rows(output.as_ref(), pairs)
}

/// The pair of a row.
struct Pair {
    probability: f64,
    chosen: Completion,
    rejected: Completion,
    scores: [Option<f64>; 2],
}

impl Pair {
    /// Whether one of the two is a text that was cut off, which is told from a whole one by ids alone.
    fn has_cut_text(&self) -> bool {
        let cut = |response: &Completion| {
            response.token_ids.is_none() && response.finish_reason == FinishReason::Length
        };
        cut(&self.chosen) || cut(&self.rejected)
    }
}

/// The pair of a row, if it gives one.
fn select(
    args: &SelectArgs,
    config: &SelectionConfig,
    row: &Row,
    place: usize,
    counts: &mut SelectionCounts,
) -> Result<Option<Pair>, String> {
    let (_, responses) = item(row, place as u64)?;
    let answers = answers(row, responses.len())?;
    let (number, draws) = args.selection.draws(row, place);
    let candidates = config.among(&responses, draws.seed(number));
    let hard = args.loss_labels == LossLabels::Hard;
    let outcome = match candidates.step(&answers, hard.then(|| draws.winner(number))) {
        Step::Done(outcome) => outcome,
        Step::Ask(matches) => {
            let (i, j) = matches[0];
            return Err(format!(
                "the selection needs the comparison of responses {i} and {j}, which was not asked; ask with \
                 `inpo judge {}`, or with `--matches all`",
                args.selection.flags(args.strategy)
            ));
        }
    };
    counts.count(&candidates, &outcome);
    let Ok(Selected {
        chosen,
        rejected,
        probability,
    }) = outcome
    else {
        return Ok(None);
    };
    Ok(Some(Pair {
        probability,
        chosen: responses[chosen].clone(),
        rejected: responses[rejected].clone(),
        scores: [
            answers.score(chosen, rejected),
            answers.score(rejected, chosen),
        ],
    }))
}

/// What was answered about a row's `count` responses.
fn answers(row: &Row, count: usize) -> Result<Answers, String> {
    let what = "a matrix of numbers, null where nothing was asked";
    let matrix: Option<Vec<Vec<Option<f64>>>> = row.columns.read("preference", what)?;
    let Some(matrix) = matrix else {
        return Err(
            "there is no `preference`: judge the responses first, with `inpo judge`".into(),
        );
    };
    if matrix.len() != count {
        let rows = matrix.len();
        return Err(format!(
            "`preference` has {rows} rows, and there are {count} responses"
        ));
    }
    cycle_report(&matrix).map_err(|error| format!("`preference`: {error}"))?;
    let mut pairs = (0..count).flat_map(|i| (0..i).map(move |j| (j, i)));
    let half = pairs.find(|&(j, i)| matrix[i][j].is_some() != matrix[j][i].is_some());
    if let Some((j, i)) = half {
        return Err(format!(
            "`preference`: of the comparison of responses {j} and {i} one order is null and the other is not"
        ));
    }
    Ok(Answers::from_matrix(matrix))
}

/// The row with its pair in the place of its responses.
fn written(row: Row, pair: Pair) -> Map<String, Value> {
    let mut columns = row.columns.into_map();
    let of_another_pair = |name: &str| {
        let logps = name.ends_with("_logps") || name.ends_with("_logp");
        logps || name.ends_with("logprob") || name.starts_with("logp_")
    };
    columns.retain(|name, _| !STALE.contains(&name.as_str()) && !of_another_pair(name));
    let mut insert = |name: &str, value: Value| columns.insert(name.to_owned(), value);
    for (side, response) in [("chosen", pair.chosen), ("rejected", pair.rejected)] {
        let ids = response.token_ids;
        // A sampler that gives ids alone has no texts.
        if ids.is_none() || !response.text.is_empty() {
            insert(side, json!(response.text));
        }
        if let Some(ids) = ids {
            insert(&format!("{side}_token_ids"), json!(ids));
        }
    }
    insert("probability", json!(pair.probability));
    for (name, score) in ["score_chosen", "score_rejected"]
        .into_iter()
        .zip(pair.scores)
    {
        if let Some(score) = score {
            insert(name, json!(score));
        }
    }
    columns
}

fn summary(counts: &SelectionCounts, config: &SelectionConfig, rows: usize) -> String {
    let mut told = format!("pairs      {} of {rows} rows", counts.pairs);
    let mut line = |name: &str, reasons: &[(usize, &str)]| {
        let named = reasons.iter().filter(|(count, _)| *count > 0);
        let named: Vec<String> = named.map(|(n, reason)| format!("{n} {reason}")).collect();
        let none = || "none".to_owned();
        let named = Some(named.join(", ")).filter(|text| !text.is_empty());
        told += &format!("\n{name:<11}{}", named.unwrap_or_else(none));
    };
    line(
        "dropped",
        &[
            (counts.tie, "ties"),
            (counts.lost_final, "finals lost by the best"),
            (counts.duplicate, "pairs of equal responses"),
            (counts.empty, "pairs with an empty response"),
            (counts.few, "rows with fewer than 2 usable responses"),
        ],
    );
    if config.leaves_out() {
        let left = counts.left_out;
        line(
            "left out",
            &[
                (left.empty, "empty responses"),
                (left.truncated, "responses cut off"),
                (left.duplicate, "responses equal to an earlier one"),
            ],
        );
    }
    told
}
