//! Rows of a stage that may have been read from a file: whether they are those of their prompts.

use inpo_data::{PreferenceRecord, ResponseRecord};
use inpo_oracle::cycle_report;

use crate::prompts::RunPrompt;

/// Checks that rows, which may have been read, are the responses to the prompts: one row each, in their order, all with
/// `count` responses.
pub(super) fn check_responses(
    prompts: &[RunPrompt],
    count: usize,
    records: &[ResponseRecord],
) -> Result<(), String> {
    let (got, expected) = (records.len(), prompts.len());
    if got != expected {
        return Err(format!("it has {got} rows for {expected} prompts"));
    }
    for (row, (record, prompt)) in records.iter().zip(prompts).enumerate() {
        let row = row + 1;
        let number = prompt.prompt.number;
        if record.prompt_id != number || record.prompt_token_ids != prompt.ids() {
            return Err(format!(
                "row {row} is not of prompt {number}, whose turn it is"
            ));
        }
        let lists = [
            ("responses", record.responses.len()),
            ("response_token_ids", record.response_token_ids.len()),
            ("finish_reason", record.finish_reason.len()),
            ("sampling_logps", record.sampling_logps.len()),
        ];
        if let Some((name, got)) = lists.iter().find(|(_, got)| *got != count) {
            return Err(format!(
                "row {row}: `{name}` has {got} entries, not {count}"
            ));
        }
    }
    Ok(())
}

/// Checks that rows, which may have been read, are the answers about the responses: one row for each of `records`, in their
/// order, each a matrix of complementary probabilities of its responses.
pub(super) fn check_preferences(
    records: &[ResponseRecord],
    rows: &[PreferenceRecord],
) -> Result<(), String> {
    let (got, expected) = (rows.len(), records.len());
    if got != expected {
        return Err(format!("it has {got} rows for {expected} prompts"));
    }
    for (place, (row, record)) in rows.iter().zip(records).enumerate() {
        let (number, place) = (record.prompt_id, place + 1);
        if row.prompt_id != number {
            return Err(format!(
                "row {place} is not of prompt {number}, whose turn it is"
            ));
        }
        let (got, count) = (row.preference.len(), record.responses.len());
        if got != count {
            return Err(format!(
                "row {place}: `preference` has {got} rows for {count} responses"
            ));
        }
        cycle_report(&row.preference)
            .map_err(|error| format!("row {place}: `preference`: {error}"))?;
    }
    Ok(())
}
