//! Evaluation on held-out prompts: win rates with intervals, KL, length, cycles.

use inpo_game::PreferenceOracle;
use inpo_oracle::{CycleReport, Message, Response, cycle_report, preference_matrix};
use inpo_policy::{FinishReason, Policy, Sequence};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::judge::{Oracle, messages, responses};
use crate::records::ResponseRecord;

/// A mean with a bootstrap interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The mean over prompts.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// `eval.json`: one policy on the held-out prompts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The iteration whose result was evaluated; 0 is the reference.
    pub iteration: usize,
    /// Held-out prompts.
    pub prompts: usize,
    /// Samples per prompt.
    pub samples: usize,
    /// P(policy beats reference), over prompts and all sample pairs of a prompt.
    pub win_rate_vs_ref: Interval,
    /// P(policy beats the previous policy).
    pub win_rate_vs_prev: Interval,
    /// Monte-Carlo estimate of KL(policy || reference) per response, in nats.
    pub kl_ref: f64,
    /// Mean response length in tokens, end token included.
    pub mean_length: f64,
    /// Share of responses cut off at the limit.
    pub clipped_ratio: f64,
    /// Cyclic triples of the judge among the policy's samples.
    pub cycles: CycleReport,
}

impl std::fmt::Display for Evaluation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rate = |i: &Interval| {
            let [mean, low, high] = [i.mean, i.low, i.high].map(|v| 100.0 * v);
            format!("{mean:5.1} % [{low:.1}, {high:.1}]")
        };
        write!(
            f,
            "iteration {}: win rate vs reference {}, vs previous {}, KL {:.2} nats, length {:.1} tokens \
             ({:.0} % cut off), judge cycle rate {:.2} %",
            self.iteration,
            rate(&self.win_rate_vs_ref),
            rate(&self.win_rate_vs_prev),
            self.kl_ref,
            self.mean_length,
            100.0 * self.clipped_ratio,
            100.0 * self.cycles.rate(),
        )
    }
}

/// Win rate of `policy` over `opponent` per prompt: the mean preference over all pairs of samples.
///
/// # Errors
///
/// Those of the oracle.
pub fn win_rates(
    oracle: &Oracle,
    policy: &[ResponseRecord],
    opponent: &[ResponseRecord],
) -> Result<Vec<f64>, TrainError> {
    let mut rates = Vec::with_capacity(policy.len());
    for (ours, theirs) in policy.iter().zip(opponent) {
        let prompt = messages(ours);
        let (ours, theirs) = (responses(ours), responses(theirs));
        let comparisons: Vec<inpo_game::Comparison<'_, [Message], Response>> = ours
            .iter()
            .flat_map(|first| theirs.iter().map(move |second| (first, second)))
            .map(|(first, second)| inpo_game::Comparison {
                prompt: prompt.as_slice(),
                first,
                second,
            })
            .collect();
        let verdicts = oracle.compare(&comparisons)?;
        rates.push(verdicts.iter().map(|p| p.get()).sum::<f64>() / verdicts.len() as f64);
    }
    Ok(rates)
}

/// Cyclic triples of the judge among each prompt's responses.
///
/// # Errors
///
/// Those of the oracle.
pub fn cycles(oracle: &Oracle, records: &[ResponseRecord]) -> Result<CycleReport, TrainError> {
    let mut total = CycleReport::default();
    for record in records {
        let matrix = preference_matrix(oracle, messages(record).as_slice(), &responses(record))?;
        total += cycle_report(&matrix).expect("the oracle's matrix is a preference");
    }
    Ok(total)
}

/// The mean of `values` with a percentile bootstrap interval over them (2000 resamples from `seed`).
pub fn bootstrap(values: &[f64], confidence: f64, seed: u64) -> Interval {
    const RESAMPLES: usize = 2000;
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
pub fn kl_to_reference(
    reference: &Policy,
    records: &[ResponseRecord],
    samples: usize,
) -> Result<f64, TrainError> {
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
}
