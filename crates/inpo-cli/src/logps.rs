//! `inpo logps`: log-probs of given responses.

use std::path::{Path, PathBuf};

use clap::Args;
use inpo_core::data::rows::Answers;
use inpo_core::data::{Answer, FinishReason, Row, read_rows};
use inpo_core::policy::{Policy, PolicyError, Sequence, tokenizer};
use serde_json::{Value, json};

use crate::error::CliError;
use crate::model::ModelArgs;
use crate::output::{Inputs, write_rows};
use crate::print::notes;
use crate::template::TemplateArgs;

/// Scores the response, or the K responses, of each row under the model.
#[derive(Debug, Args)]
pub(crate) struct LogpsArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// JSON lines, a JSON array, either of them gzipped, or Parquet: `prompt` (text or messages) or
    /// `prompt_token_ids`, with `response` or `response_token_ids`, or with the K `responses` of `inpo generate`.
    #[arg(long)]
    input: PathBuf,
    #[command(flatten)]
    template: TemplateArgs,
    /// Also write the log-prob of each token.
    #[arg(long)]
    per_token: bool,
    /// Also write the token ids.
    #[arg(long)]
    ids: bool,
    /// Where the rows go, with `logp` (a sum, in nats) and `num_tokens` added, lists of K where there are K
    /// responses; default: standard output.
    #[arg(long)]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: &LogpsArgs) -> Result<(), CliError> {
    let inputs = args.model.inputs(Inputs::files([&args.input]));
    let [to] = inputs.outputs([("--output", args.output.as_ref())])?;
    let template = args.template.read()?;
    let mut rows = read_rows(&args.input).map_err(|e| e.named_by("--input"))?;
    let policy = args.model.load(to.as_ref())?;
    let mut sequences = Vec::with_capacity(rows.len());
    // How many responses each row has; none where there is one that is not in a list.
    let mut counts = Vec::with_capacity(rows.len());
    for row in &mut rows {
        row.template = std::mem::take(&mut row.template).over(&template);
        let in_row = |reason: String| row.error(&args.input, reason);
        let answers = match row.answers().map_err(in_row)? {
            Answers::One(answer) => {
                counts.push(None);
                vec![answer]
            }
            Answers::Many(answers) => {
                counts.push(Some(answers.len()));
                answers
            }
        };
        for answer in &answers {
            let sequence = sequence(row, answer, &policy, &args.input)?;
            policy
                .check(row.place.number() as u64, &sequence)
                .map_err(|error| in_row(error.to_string()))?;
            sequences.push(sequence);
        }
    }
    notes(&policy);
    let logps = policy.logps(&sequences)?;
    let mut scored = sequences.iter().zip(&logps);
    let mut output = Vec::with_capacity(rows.len());
    for (row, count) in rows.into_iter().zip(counts) {
        let scored: Vec<(&Sequence, &Vec<f64>)> =
            scored.by_ref().take(count.unwrap_or(1)).collect();
        let mut all = scored.iter().flat_map(|(_, logps)| *logps);
        if !all.all(|logp| logp.is_finite()) {
            let reason = "a log-prob is not finite; the model's weights are damaged".to_owned();
            return Err(CliError::Other(row.error(&args.input, reason).to_string()));
        }
        let column = |of: &dyn Fn(&Sequence, &[f64]) -> Value| {
            let mut values = scored.iter().map(|(sequence, logps)| of(sequence, logps));
            match count {
                Some(_) => Value::Array(values.collect()),
                None => values.next().unwrap_or_default(),
            }
        };
        let mut columns = row.columns.into_map();
        let mut add = |name: &str, value: Value| columns.insert(name.to_owned(), value);
        add(
            "logp",
            column(&|_, logps| json!(logps.iter().fold(0.0, |sum, logp| sum + logp))),
        );
        add("num_tokens", column(&|_, logps| json!(logps.len())));
        if args.per_token {
            add("token_logps", column(&|_, logps| json!(logps)));
        }
        if args.ids {
            if let Some((first, _)) = scored.first() {
                add("prompt_token_ids", json!(first.ids[..first.prompt_len]));
            }
            add(
                "response_token_ids",
                column(&|sequence, _| json!(sequence.ids[sequence.prompt_len..])),
            );
        }
        output.push(columns);
    }
    write_rows(to.as_ref(), output)
}

/// The ids of a row's prompt and of an answer to it. One that was cut off ends without the token that ends a turn.
fn sequence(
    row: &Row,
    answer: &Answer,
    policy: &Policy,
    path: &Path,
) -> Result<Sequence, CliError> {
    let in_row = |error: PolicyError| match error {
        // The model's fault, and not the row's.
        PolicyError::NoTokenizer { .. } => CliError::from(error),
        error => row.error(path, error.to_string()).into(),
    };
    let given = match (&answer.token_ids, &answer.message) {
        (Some(ids), _) => tokenizer::Answer::Ids(ids),
        (None, Some(message)) => tokenizer::Answer::Message(message),
        (None, None) => unreachable!("an answer has its text or its ids"),
    };
    let answered = policy
        .answered(&row.to_prompt(0), &[given])
        .map_err(in_row)?;
    let mut response = answered.responses.concat();
    if answer.token_ids.is_none() && answer.finish_reason == FinishReason::Length {
        let ends = policy.end_ids();
        response.pop_if(|last| ends.contains(last));
    }
    Ok(Sequence::new(&answered.prompt, &response))
}
