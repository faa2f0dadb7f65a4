//! `inpo logps`: log-probs of given responses.

use std::path::{Path, PathBuf};

use clap::Args;
use inpo_core::data::files::write_jsonl;
use inpo_core::data::{Row, read_rows};
use inpo_core::policy::tokenizer::Answer;
use inpo_core::policy::{Policy, PolicyError, Sequence};
use serde_json::{Map, Value, json};

use crate::error::CliError;
use crate::model::ModelArgs;
use crate::print::{lines, notes};

/// Scores the response of each row under the model.
#[derive(Debug, Args)]
pub(crate) struct LogpsArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// JSONL rows: `prompt` (text or messages) or `prompt_token_ids`, with `response` or
    /// `response_token_ids`.
    #[arg(long)]
    input: PathBuf,
    /// Also write the log-prob of each token.
    #[arg(long)]
    per_token: bool,
    /// Also write the token ids.
    #[arg(long)]
    ids: bool,
    /// Where the rows go, with `logp` (a sum, in nats) and `num_tokens` added; default: standard
    /// output.
    #[arg(long)]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: &LogpsArgs) -> Result<(), CliError> {
    let rows = read_rows(&args.input)?;
    let policy = args.model.load()?;
    let mut sequences = Vec::with_capacity(rows.len());
    for row in &rows {
        let sequence = sequence(row, &policy, &args.input)?;
        policy
            .check(row.line as u64, &sequence)
            .map_err(|error| row.error(&args.input, error.to_string()))?;
        sequences.push(sequence);
    }
    notes(&policy);
    let logps = policy.logps(&sequences)?;
    for (row, tokens) in rows.iter().zip(&logps) {
        if !tokens.iter().all(|logp| logp.is_finite()) {
            let reason = "a log-prob is not finite; the model's weights are damaged".to_owned();
            return Err(CliError::Other(row.error(&args.input, reason).to_string()));
        }
    }
    let scored: Vec<Map<String, Value>> = rows
        .into_iter()
        .zip(sequences.iter().zip(logps))
        .map(|(row, (sequence, token_logps))| {
            let mut columns = row.columns;
            columns.insert(
                "logp".into(),
                json!(token_logps.iter().fold(0.0, |sum, logp| sum + logp)),
            );
            columns.insert("num_tokens".into(), json!(token_logps.len()));
            if args.per_token {
                columns.insert("token_logps".into(), json!(token_logps));
            }
            if args.ids {
                let (prompt, response) = sequence.ids.split_at(sequence.prompt_len);
                columns.insert("prompt_token_ids".into(), json!(prompt));
                columns.insert("response_token_ids".into(), json!(response));
            }
            columns
        })
        .collect();
    match &args.output {
        Some(path) => write_jsonl(path, &scored)?,
        None => lines(scored.iter().map(|row| json!(row).to_string()))?,
    }
    Ok(())
}

/// The ids of a row's prompt and response.
fn sequence(row: &Row, policy: &Policy, path: &Path) -> Result<Sequence, CliError> {
    let in_row = |error: PolicyError| match error {
        // The model's fault, and not the row's.
        PolicyError::NoTokenizer { .. } => CliError::from(error),
        error => row.error(path, error.to_string()).into(),
    };
    let answer = match (&row.response_token_ids, &row.response) {
        (Some(ids), _) => Answer::Ids(ids),
        (None, Some(text)) => Answer::Text(text),
        (None, None) => {
            let reason = "there is neither `response` nor `response_token_ids`";
            return Err(row.error(path, reason.to_owned()).into());
        }
    };
    let answered = policy
        .answered(&row.to_prompt(0), &[answer])
        .map_err(in_row)?;
    let response = answered.responses.concat();
    Ok(Sequence::new(&answered.prompt, &response))
}
