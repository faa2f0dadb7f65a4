//! The measures, as free functions over records.

use inpo_data::{Completion, FinishReason, Prompt, ResponseRecord};
use inpo_game::{Comparison, OracleError};
use inpo_oracle::{CycleReport, TextOracle, cycle_report, judge};
#[cfg(feature = "models")]
use inpo_policy::{PolicyError, Sampler, Sequence};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::Interval;

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
    let prompts: Vec<Prompt> = policy.iter().map(ResponseRecord::to_prompt).collect();
    let of = |records: &[ResponseRecord]| -> Vec<Vec<Completion>> {
        records.iter().map(ResponseRecord::completions).collect()
    };
    let (ours, theirs) = (of(policy), of(opponent));
    let sides = ours.iter().zip(&theirs);
    let comparisons: Vec<Comparison<'_, Prompt, Completion>> = prompts
        .iter()
        .zip(sides)
        .flat_map(|(prompt, (ours, theirs))| {
            let pairs = ours
                .iter()
                .flat_map(move |a| theirs.iter().map(move |b| (a, b)));
            pairs.map(move |(first, second)| Comparison {
                prompt,
                first,
                second,
            })
        })
        .collect();
    let verdicts = oracle.compare(&comparisons)?;
    if verdicts.len() != comparisons.len() {
        return Err(OracleError::WrongCount {
            oracle: oracle.name(),
            expected: comparisons.len(),
            got: verdicts.len(),
        });
    }
    let mut rest = verdicts.as_slice();
    let rate = |(ours, theirs): (&Vec<Completion>, &Vec<Completion>)| {
        let (of_prompt, others) = rest.split_at(ours.len() * theirs.len());
        rest = others;
        match of_prompt.len() {
            0 => 0.5,
            count => of_prompt.iter().map(|p| p.get()).sum::<f64>() / count as f64,
        }
    };
    Ok(ours.iter().zip(&theirs).map(rate).collect())
}

/// Cyclic triples of the judge among each prompt's responses, every two of which are compared.
///
/// # Errors
///
/// Those of the oracle.
pub fn cycles(
    oracle: &TextOracle<'_>,
    records: &[ResponseRecord],
) -> Result<CycleReport, OracleError> {
    let item = |record: &ResponseRecord| (record.to_prompt(), record.completions());
    let items: Vec<_> = records.iter().map(item).collect();
    let answers = judge(oracle, &items, |_, answers| answers.missing())?;
    let reports = answers.iter().map(|answers| cycle_report(answers.matrix()));
    Ok(reports
        .map(|report| report.expect("answers are complementary"))
        .sum())
}

/// The mean of `values`, shares in [0, 1], with a percentile bootstrap interval over them (2000 resamples from `seed`).
/// Without values it is [`Interval::UNKNOWN`].
pub fn bootstrap(values: &[f64], confidence: f64, seed: u64) -> Interval {
    const RESAMPLES: usize = 2000;
    if values.is_empty() {
        return Interval::UNKNOWN;
    }
    let count = values.len();
    let mean = values.iter().sum::<f64>() / count as f64;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            (0..count)
                .map(|_| values[rng.random_range(0..count)])
                .sum::<f64>()
                / count as f64
        })
        .collect();
    means.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| means[((share * RESAMPLES as f64) as usize).min(RESAMPLES - 1)];
    let tail = (1.0 - confidence) / 2.0;
    Interval {
        mean,
        low: at(tail),
        high: at(1.0 - tail),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// For values 0 and 1 in equal parts the mean's standard error is 0.5/sqrt(400) = 0.025, so the
    /// 95 % interval is 0.5 -+ 0.049; the bootstrap agrees to a few thousandths.
    #[test]
    fn bootstrap_matches_the_normal_interval() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 2)).collect();
        let interval = bootstrap(&values, 0.95, 1);
        assert_eq!(interval.mean, 0.5);
        assert!((interval.low - 0.451).abs() < 0.006, "{interval:?}");
        assert!((interval.high - 0.549).abs() < 0.006, "{interval:?}");
    }

    /// Nothing is known of nothing, and JSON can say so: it has no NaN.
    #[test]
    fn the_share_of_nothing_is_read_again() {
        let interval = bootstrap(&[], 0.95, 1);
        let text = serde_json::to_string(&interval).unwrap();
        assert_eq!(text, r#"{"mean":0.5,"low":0.0,"high":1.0}"#);
        assert_eq!(serde_json::from_str::<Interval>(&text).unwrap(), interval);
    }
}
