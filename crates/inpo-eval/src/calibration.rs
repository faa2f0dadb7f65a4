//! How good a judge's probabilities are, beside what people said of the same pairs.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::Interval;

/// A judge's answer about a pair beside what people said of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// The judge's P(the first is better).
    pub predicted: f64,
    /// The share of people who said so, ties counted half.
    pub observed: f64,
    /// The number of the pair's prompt: pairs of one prompt are not independent.
    pub prompt: usize,
}

/// Answers of one confidence: `max(p, 1 - p)` in `[low, high)`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// The lower end.
    pub low: f64,
    /// The upper end; that of the last bin, 1, belongs to it.
    pub high: f64,
    /// How many answers there are.
    pub count: usize,
    /// Their mean confidence.
    pub confidence: f64,
    /// The share of people who agree with them.
    pub agreement: f64,
}

/// The figures of a judge beside people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JudgeQuality {
    /// Pairs.
    pub pairs: usize,
    /// Pairs on which a majority of people preferred one response.
    pub decided: usize,
    /// The share of these on which the judge prefers the same one, its ties counted half, with a bootstrap interval over
    /// prompts; [`Interval::UNKNOWN`] without any.
    pub accuracy: Interval,
    /// Mean of `-q ln p - (1 - q) ln(1 - p)`, in nats; ln 2 = 0.693 is that of P = 1/2.
    pub log_loss: f64,
    /// Mean of `(p - q)^2`.
    pub brier: f64,
    /// Expected calibration error: the mean over answers of `|confidence - agreement|` of their bin.
    pub ece: f64,
    /// Ten bins of confidence from 1/2 to 1, empty ones left out.
    pub reliability: Vec<ReliabilityBin>,
}

impl JudgeQuality {
    /// Of these answers; `seed` is that of the bootstrap, which draws prompts.
    #[must_use]
    pub fn new(scored: &[Scored], seed: u64) -> Self {
        let count = scored.len().max(1) as f64;
        let mean = |of: fn(&Scored) -> f64| scored.iter().map(of).sum::<f64>() / count;
        let reliability = reliability(scored, 10);
        Self {
            pairs: scored.len(),
            decided: scored.iter().filter(|s| s.observed != 0.5).count(),
            accuracy: accuracy(scored, 0.95, seed),
            log_loss: mean(|s| {
                let p = s.predicted.clamp(1e-15, 1.0 - 1e-15);
                -s.observed * p.ln() - (1.0 - s.observed) * (1.0 - p).ln()
            }),
            brier: mean(|s| (s.predicted - s.observed).powi(2)),
            ece: reliability
                .iter()
                .map(|bin| bin.count as f64 * (bin.confidence - bin.agreement).abs())
                .sum::<f64>()
                / count,
            reliability,
        }
    }
}

/// The share of decided pairs on which the judge agrees with the majority, its ties counted half. The interval draws
/// prompts 2000 times.
fn accuracy(scored: &[Scored], confidence: f64, seed: u64) -> Interval {
    const RESAMPLES: usize = 2000;
    let prompts = scored.iter().map(|s| s.prompt + 1).max().unwrap_or(0);
    // Right answers and decided pairs of each prompt.
    let mut of_prompt = vec![(0.0, 0.0); prompts];
    for s in scored.iter().filter(|s| s.observed != 0.5) {
        let right = match s.predicted.total_cmp(&0.5) {
            std::cmp::Ordering::Equal => 0.5,
            order => f64::from((order == std::cmp::Ordering::Greater) == (s.observed > 0.5)),
        };
        of_prompt[s.prompt].0 += right;
        of_prompt[s.prompt].1 += 1.0;
    }
    of_prompt.retain(|&(_, decided)| decided > 0.0);
    if of_prompt.is_empty() {
        return Interval::UNKNOWN;
    }
    let share = |sums: (f64, f64)| sums.0 / sums.1;
    let add = |a: (f64, f64), b: &(f64, f64)| (a.0 + b.0, a.1 + b.1);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut shares: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let drawn =
                (0..of_prompt.len()).map(|_| &of_prompt[rng.random_range(0..of_prompt.len())]);
            share(drawn.fold((0.0, 0.0), add))
        })
        .collect();
    shares.sort_unstable_by(f64::total_cmp);
    let at = |part: f64| shares[((part * RESAMPLES as f64) as usize).min(RESAMPLES - 1)];
    let tail = (1.0 - confidence) / 2.0;
    Interval {
        mean: share(of_prompt.iter().fold((0.0, 0.0), add)),
        low: at(tail),
        high: at(1.0 - tail),
    }
}

/// Answers by their confidence `max(p, 1 - p)`, in `bins` equal parts of [1/2, 1].
fn reliability(scored: &[Scored], bins: usize) -> Vec<ReliabilityBin> {
    let width = 0.5 / bins as f64;
    let mut sums = vec![(0, 0.0, 0.0); bins];
    for s in scored {
        let (confidence, agreement) = if s.predicted >= 0.5 {
            (s.predicted, s.observed)
        } else {
            (1.0 - s.predicted, 1.0 - s.observed)
        };
        let bin = (((confidence - 0.5) / width) as usize).min(bins - 1);
        sums[bin].0 += 1;
        sums[bin].1 += confidence;
        sums[bin].2 += agreement;
    }
    let filled = sums.into_iter().enumerate().filter(|(_, (n, _, _))| *n > 0);
    filled
        .map(|(bin, (count, confidence, agreement))| ReliabilityBin {
            low: 0.5 + bin as f64 * width,
            high: 0.5 + (bin + 1) as f64 * width,
            count,
            confidence: confidence / count as f64,
            agreement: agreement / count as f64,
        })
        .collect()
}

/// The temperature `T` that minimises the log-loss of `sigmoid(z / T)` on pairs of a logit `z` and a share `q` of people
/// (arXiv 1706.04599), from 1/100 to 100: above 1 the judge was too sure.
///
/// Shares are drawn towards 1/2 by the factor `n / (n + 2)` for `n` answers, as Platt does with labels, so that a few
/// answers that are all right do not make a judge sure of everything.
///
/// The derivative in `1 / T`, the sum of `(sigmoid(z / T) - q) z`, rises with `1 / T`, so that bisection finds its zero.
#[must_use]
pub fn fit_temperature(answers: &[(f64, f64)]) -> f64 {
    let shrunk = answers.len() as f64 / (answers.len() + 2) as f64;
    let slope = |scale: f64| -> f64 {
        let term = |&(z, q): &(f64, f64)| {
            let q = 0.5 + shrunk * (q - 0.5);
            (1.0 / (1.0 + (-scale * z).exp()) - q) * z
        };
        answers.iter().map(term).sum()
    };
    let (mut low, mut high) = (0.01_f64, 100.0_f64);
    if slope(low) >= 0.0 {
        return 1.0 / low;
    }
    if slope(high) <= 0.0 {
        return 1.0 / high;
    }
    for _ in 0..100 {
        let middle = (low * high).sqrt();
        if slope(middle) < 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    1.0 / (low * high).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(of: &[(f64, f64, usize)]) -> Vec<Scored> {
        let one = |&(predicted, observed, prompt): &(f64, f64, usize)| Scored {
            predicted,
            observed,
            prompt,
        };
        of.iter().map(one).collect()
    }

    /// Right, wrong, a tie of the judge, a tie of the people; by hand.
    #[test]
    fn figures_of_a_worked_example() {
        let answers = [(0.9, 1.0, 0), (0.75, 0.0, 0), (0.5, 1.0, 1), (0.25, 0.5, 1)];
        let quality = JudgeQuality::new(&scored(&answers), 1);
        assert_eq!((quality.pairs, quality.decided), (4, 3));
        assert_eq!(quality.accuracy.mean, 0.5);
        let log_loss = -(0.9_f64.ln() + 0.25_f64.ln() + 0.5_f64.ln())
            - 0.5 * 0.25_f64.ln()
            - 0.5 * 0.75_f64.ln();
        assert!((quality.log_loss - log_loss / 4.0).abs() < 1e-12);
        let brier = (0.01 + 0.5625 + 0.25 + 0.0625) / 4.0;
        assert!((quality.brier - brier).abs() < 1e-12);
        // Confidences 0.9, 0.75, 0.5, 0.75 with agreement 1, 0, 1, 1/2: bins off by 0.1, 0.5 (twice) and 0.5.
        assert!((quality.ece - (0.1 + 2.0 * 0.5 + 0.5) / 4.0).abs() < 1e-12);
        let counts: Vec<usize> = quality.reliability.iter().map(|bin| bin.count).collect();
        assert_eq!(counts, [1, 2, 1]);
    }

    /// 400 pairs of a prompt each, 3 of 4 right: the standard error is sqrt(0.75 * 0.25 / 400) = 0.0217. The same pairs
    /// in 40 prompts of 10 that are right or wrong together: sqrt(10) times that.
    #[test]
    fn the_interval_draws_prompts() {
        let pairs = |group: usize| -> Vec<Scored> {
            let one = |i: usize| {
                let prompt = i / group;
                let right = !prompt.is_multiple_of(4);
                (if right { 0.8 } else { 0.2 }, 1.0, prompt)
            };
            scored(&(0..400).map(one).collect::<Vec<_>>())
        };
        let width = |group| {
            let accuracy = JudgeQuality::new(&pairs(group), 3).accuracy;
            assert_eq!(accuracy.mean, 0.75);
            (accuracy.high - accuracy.low) / (2.0 * 1.96)
        };
        assert!((width(1) - 0.0217).abs() < 0.002, "{}", width(1));
        assert!((width(10) - 0.0685).abs() < 0.008, "{}", width(10));
    }

    /// Where 3 of 4 people agree with each of three answers of logit 4, q = 1/2 + 3/5 x 1/4 = 0.65 and
    /// T = 4 / ln(0.65 / 0.35). One answer that everybody agrees with: q = 2/3, T = 1 / ln 2; that nobody agrees with: none
    /// unsure enough.
    #[test]
    fn temperature_makes_confidence_the_share_that_agrees() {
        let answers = [(4.0, 0.75), (-4.0, 0.25), (4.0, 0.75)];
        let expected = 4.0 / (0.65_f64 / 0.35).ln();
        assert!((fit_temperature(&answers) - expected).abs() < 1e-9);
        assert!((fit_temperature(&[(1.0, 1.0)]) - 1.0 / 2.0_f64.ln()).abs() < 1e-9);
        assert_eq!(fit_temperature(&[(1.0, 0.0)]), 100.0);
    }
}
