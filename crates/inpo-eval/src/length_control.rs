//! The length-controlled win rate of AlpacaEval 2.

use serde::{Deserialize, Serialize};

use crate::interval::{Interval, Resamples, standard_deviation};
use crate::logistic::{Sample, fit, log_loss, margin, sigmoid};

/// A comparison of a policy's response with an opponent's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LengthPair {
    /// The place of its prompt.
    pub prompt: usize,
    /// The length of the policy's response, in characters.
    pub length: usize,
    /// The length of the opponent's response, in characters.
    pub opponent_length: usize,
    /// P(the policy's response is preferred).
    pub preference: f64,
}

/// A win rate with the effect of length taken out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LengthControlled {
    /// The mean prediction for responses of equal length.
    pub win_rate: Interval,
    /// Standard error of the predictions' mean, as AlpacaEval reports it; 0 where all are the same.
    pub standard_error: f64,
    /// The weight of the length term: below 0 where the judge prefers the policy's longer responses.
    pub length: f64,
    /// The weight of the prompts' `instruction_difficulty`, where every prompt has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difficulty: Option<f64>,
    /// The weight of the policy.
    pub constant: f64,
    /// The inverse strength of the penalty, chosen by cross-validation.
    pub c: f64,
}

/// Parts of the cross-validation, and the fewest prompts that there must be.
const FOLDS: usize = 5;

/// Draws of which the model is fitted again.
const REFITS: usize = 400;

/// The length-controlled win rate of AlpacaEval 2 (arXiv 2404.04475; `length_controlled_noreg` of its package, and
/// `length_controlled_minimal` without `difficulty`). None of fewer than five prompts.
///
/// The preference is fitted by
///
/// ```text
/// logit P = a tanh((opponent's length - length) / sd) + b difficulty + c
/// ```
///
/// with the standard deviation over all pairs (n - 1), by logistic regression with an L1 penalty: each pair is a row of each
/// label with the weight of its probability; the strength is one of ten from 1e-4 to 1e4, the one with the least log-loss
/// in five folds of whole prompts. The win rate is the mean prediction without the length term. The interval
/// fits the model again, at the same strength, to each of the first 400 draws of the prompts. `difficulty` has one number a
/// prompt.
///
/// AlpacaEval's leaderboard adds rows of two gamed baselines of its own data (`length_controlled_v1`), which no other
/// data has.
#[must_use]
pub fn length_controlled(
    pairs: &[LengthPair],
    difficulty: Option<&[f64]>,
    resamples: &Resamples,
) -> Option<LengthControlled> {
    if resamples.prompts() < FOLDS || pairs.is_empty() {
        return None;
    }
    let delta = |pair: &LengthPair| pair.opponent_length as f64 - pair.length as f64;
    let deviation = standard_deviation(&pairs.iter().map(delta).collect::<Vec<_>>());
    let sample = |pair: &LengthPair| {
        // Where all differ by the same, length tells nothing.
        let length = if deviation > 0.0 {
            (delta(pair) / deviation).tanh()
        } else {
            0.0
        };
        Sample {
            features: [length, difficulty.map_or(0.0, |of| of[pair.prompt]), 1.0],
            share: pair.preference,
            weight: 1.0,
        }
    };
    let samples: Vec<Sample> = pairs.iter().map(sample).collect();
    let c = strength(pairs, &samples);
    let weights = fit(&samples, c, [0.0; 3]);
    let predictions: Vec<f64> = samples
        .iter()
        .map(|s| without_length(s, &weights))
        .collect();
    let count = predictions.len() as f64;
    let draws = resamples.first(REFITS, |places| {
        let mut times = vec![0.0; resamples.prompts()];
        places.iter().for_each(|&place| times[place] += 1.0);
        let drawn = pairs.iter().zip(&samples).map(|(pair, sample)| Sample {
            weight: times[pair.prompt],
            ..*sample
        });
        let drawn: Vec<Sample> = drawn.filter(|sample| sample.weight > 0.0).collect();
        let weights = fit(&drawn, c, weights);
        let total: f64 = drawn.iter().map(|s| s.weight).sum();
        let predicted = drawn.iter().map(|s| s.weight * without_length(s, &weights));
        predicted.sum::<f64>() / total
    });
    Some(LengthControlled {
        win_rate: resamples.interval(predictions.iter().sum::<f64>() / count, draws),
        standard_error: standard_deviation(&predictions) / count.sqrt(),
        length: weights[0],
        difficulty: difficulty.map(|_| weights[1]),
        constant: weights[2],
        c,
    })
}

/// The prediction for responses of equal length.
fn without_length(sample: &Sample, weights: &[f64; 3]) -> f64 {
    let [_, difficulty, constant] = sample.features;
    let features = [0.0, difficulty, constant];
    sigmoid(margin(
        &Sample {
            features,
            ..*sample
        },
        weights,
    ))
}

/// The strength with the least log-loss, the mean over folds; the smallest of several.
fn strength(pairs: &[LengthPair], samples: &[Sample]) -> f64 {
    let strengths: Vec<f64> = (0..10)
        .map(|k| 10_f64.powf(-4.0 + 8.0 * f64::from(k) / 9.0))
        .collect();
    let mut losses = vec![0.0; strengths.len()];
    for fold in 0..FOLDS {
        let rows = pairs.iter().zip(samples);
        let (held, train): (Vec<_>, Vec<_>) =
            rows.partition(|(pair, _)| pair.prompt % FOLDS == fold);
        let [held, train] =
            [held, train].map(|rows| rows.into_iter().map(|(_, s)| *s).collect::<Vec<_>>());
        let mut weights = [0.0; 3];
        for (&c, loss) in strengths.iter().zip(&mut losses) {
            weights = fit(&train, c, weights);
            let of_fold: f64 = held.iter().map(|s| log_loss(s, margin(s, &weights))).sum();
            *loss += of_fold / held.len().max(1) as f64;
        }
    }
    let mut best = 0;
    for (k, loss) in losses.iter().enumerate() {
        if *loss < losses[best] {
            best = k;
        }
    }
    strengths[best]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn numbers(value: &Value) -> Vec<f64> {
        let values = value.as_array().unwrap().iter();
        values.map(|value| value.as_f64().unwrap()).collect()
    }

    /// tests/fixtures/make_length_control.py: scikit-learn's fit, to liblinear's default tolerance and to the optimum.
    #[test]
    fn agrees_with_scikit_learn() {
        let text = include_str!("../tests/fixtures/length_control.json");
        let cases: Vec<Value> = serde_json::from_str(text).unwrap();
        for case in &cases {
            let [prompt, policy, reference, share, difficulty] =
                ["prompt", "policy", "reference", "share", "difficulty"].map(|k| numbers(&case[k]));
            let pair = |i: usize| LengthPair {
                prompt: prompt[i] as usize,
                length: policy[i] as usize,
                opponent_length: reference[i] as usize,
                preference: share[i],
            };
            let pairs: Vec<LengthPair> = (0..share.len()).map(pair).collect();
            let prompts = pairs.last().unwrap().prompt + 1;
            let per_prompt = difficulty.iter().step_by(pairs.len() / prompts);
            let per_prompt: Vec<f64> = per_prompt.copied().collect();
            for (key, given) in [
                ("with_difficulty", Some(per_prompt.as_slice())),
                ("without_difficulty", None),
            ] {
                let resamples = Resamples::new(prompts, 0.95, 1);
                let got = length_controlled(&pairs, given, &resamples).unwrap();
                let weights = match got.difficulty {
                    Some(difficulty) => vec![got.length, difficulty, got.constant],
                    None => vec![got.length, got.constant],
                };
                for (version, tolerance) in [("default", 1e-3), ("optimum", 1e-5)] {
                    let expected = &case[key][version];
                    let close = |got: f64, expected: &Value| {
                        let expected = expected.as_f64().unwrap();
                        assert!(
                            (got - expected).abs() < tolerance,
                            "{key}: {got}, {expected}"
                        );
                    };
                    assert!((got.c / expected["c"].as_f64().unwrap() - 1.0).abs() < 1e-12);
                    for (got, expected) in weights
                        .iter()
                        .zip(expected["coefficients"].as_array().unwrap())
                    {
                        close(*got, expected);
                    }
                    close(got.win_rate.mean, &expected["win_rate"]);
                    close(got.standard_error, &expected["standard_error"]);
                }
                assert!(got.win_rate.holds(got.win_rate.mean));
                assert_eq!(got.win_rate.high > got.win_rate.low, got.c > 1e-3);
            }
        }
        assert_eq!(
            length_controlled(&[], None, &Resamples::new(4, 0.95, 1)),
            None
        );
    }

    /// A judge that likes length alone: of responses of equal length it prefers none.
    #[test]
    fn what_length_wins_is_taken_out() {
        let pair = |prompt: usize| {
            let length = 20 + 37 * prompt % 100;
            let opponent_length = 10 + 53 * prompt % 60;
            let difference = (length as f64 - opponent_length as f64) / 30.0;
            LengthPair {
                prompt,
                length,
                opponent_length,
                preference: sigmoid(6.0 * difference.tanh()),
            }
        };
        let pairs: Vec<LengthPair> = (0..60).map(pair).collect();
        let raw = pairs.iter().map(|pair| pair.preference).sum::<f64>() / 60.0;
        let got = length_controlled(&pairs, None, &Resamples::new(60, 0.95, 1)).unwrap();
        assert!(raw > 0.68, "{raw}");
        assert!((got.win_rate.mean - 0.5).abs() < 0.03, "{got:?}");
        assert!(got.length < -1.0);
    }
}
