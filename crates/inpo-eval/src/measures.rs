//! The measures, as free functions over records.

use inpo_data::{Completion, FinishReason, Prompt, ResponseRecord};
use inpo_game::{Comparison, OracleError};
use inpo_oracle::{Answers, CycleReport, TextOracle, cycle_report, judge};
#[cfg(feature = "models")]
use inpo_policy::{PolicyError, Sampler, Sequence};

use crate::table::{Table, mean};

/// Win rate of `policy` over `opponent` per prompt: the mean preference over all pairs of samples, asked in one batch; 1/2
/// without a sample of each. Both have the same prompts in the same order.
///
/// # Errors
///
/// Those of the oracle.
pub fn win_rates(
    oracle: &TextOracle<'_>,
    policy: &[ResponseRecord],
    opponent: &[ResponseRecord],
) -> Result<Vec<f64>, OracleError> {
    Ok(cross(oracle, policy, opponent)?.iter().map(mean).collect())
}

/// A prompt with its responses, for an oracle.
pub(crate) fn item(record: &ResponseRecord) -> (Prompt, Vec<Completion>) {
    (record.to_prompt(), record.completions())
}

/// P(a response of `policy` beats one of `opponent`) for every pair of samples of a prompt, asked in one batch. Both have
/// the same prompts in the same order. Each pair is one comparison; an oracle whose order matters asks both.
///
/// # Errors
///
/// Those of the oracle.
pub fn cross(
    oracle: &TextOracle<'_>,
    policy: &[ResponseRecord],
    opponent: &[ResponseRecord],
) -> Result<Vec<Table>, OracleError> {
    let ours: Vec<_> = policy.iter().map(item).collect();
    let theirs: Vec<_> = opponent.iter().map(ResponseRecord::completions).collect();
    let mut comparisons: Vec<Comparison<'_, Prompt, Completion>> = Vec::new();
    for ((prompt, ours), theirs) in ours.iter().zip(&theirs) {
        for first in ours {
            let pair = |second| Comparison {
                prompt,
                first,
                second,
            };
            comparisons.extend(theirs.iter().map(pair));
        }
    }
    let verdicts = oracle.compare(&comparisons)?;
    if verdicts.len() != comparisons.len() {
        return Err(OracleError::WrongCount {
            oracle: oracle.name(),
            expected: comparisons.len(),
            got: verdicts.len(),
        });
    }
    let mut verdicts = verdicts.into_iter().map(inpo_game::Preference::get);
    let mut row = |columns: usize| verdicts.by_ref().take(columns).collect::<Vec<f64>>();
    let mut tables = Vec::with_capacity(ours.len());
    for ((_, ours), theirs) in ours.iter().zip(&theirs) {
        tables.push(ours.iter().map(|_| row(theirs.len())).collect());
    }
    Ok(tables)
}

/// P(response i beats response j) among each prompt's responses, every two of which are compared; 1/2 on the diagonal.
///
/// # Errors
///
/// Those of the oracle.
pub fn among(
    oracle: &TextOracle<'_>,
    records: &[ResponseRecord],
) -> Result<Vec<Table>, OracleError> {
    let items: Vec<_> = records.iter().map(item).collect();
    let answers = judge(oracle, &items, |_, answers| answers.missing())?;
    let row = |row: &Vec<Option<f64>>| row.iter().map(|p| p.expect("all were asked")).collect();
    let table = |answers: &Answers| answers.matrix().iter().map(row).collect();
    Ok(answers.iter().map(table).collect())
}

/// Cyclic triples of the judge among each prompt's responses, from the tables of [`among`].
///
/// # Panics
///
/// If a table is no square of complementary probabilities.
#[must_use]
pub fn cycles(tables: &[Table]) -> CycleReport {
    let report = |table: &Table| cycle_report(table).expect("answers are complementary");
    tables.iter().map(report).sum()
}

/// Monte-Carlo KL(policy || reference) in nats per response: the mean of log pi(y) - log pi_ref(y) over
/// the policy's own samples, the first `samples` of each prompt.
///
/// # Errors
///
/// Sequences the model cannot score.
#[cfg(feature = "models")]
pub fn kl_to_reference(
    reference: &dyn Sampler,
    records: &[ResponseRecord],
    samples: usize,
) -> Result<f64, PolicyError> {
    let mut sequences = Vec::new();
    let mut sampled = Vec::new();
    for record in records {
        let responses = record.response_token_ids.iter().zip(&record.sampling_logps);
        for (ids, &logp) in responses.take(samples) {
            sequences.push(Sequence::new(&record.prompt_token_ids, ids));
            sampled.push(logp);
        }
    }
    if sequences.is_empty() {
        return Ok(0.0);
    }
    let reference = reference.logps(&sequences)?;
    let differences = sampled.iter().zip(&reference);
    let total: f64 = differences
        .map(|(logp, row)| logp - row.iter().sum::<f64>())
        .sum();
    Ok(total / sampled.len() as f64)
}

/// Mean length in tokens and the share of cut-off responses.
pub fn lengths(records: &[ResponseRecord]) -> (f64, f64) {
    let all = || records.iter().flat_map(|r| &r.response_token_ids);
    let cut = records
        .iter()
        .flat_map(|r| &r.finish_reason)
        .filter(|&&reason| reason == FinishReason::Length)
        .count();
    let count = all().count().max(1) as f64;
    (
        all().map(Vec::len).sum::<usize>() as f64 / count,
        cut as f64 / count,
    )
}
