//! How much the longer response wins.

use serde::{Deserialize, Serialize};

use super::{Interval, asked};
use crate::Answers;

/// The quantile 0.975 of the standard normal law.
const NORMAL_975: f64 = 1.959_963_984_540_054;

/// Halvings of the slope's bracket and Newton steps together; some eight are needed.
const MAX_STEPS: usize = 200;

/// What length does to preference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LengthPreference {
    /// Decided comparisons (P other than 1/2) of responses of different lengths.
    pub decided: usize,
    /// Those that the longer response won.
    pub longer_won: usize,
    /// The share of them (`length_preference`), in [0, 1]; 1/2 says that length decides nothing; none without any.
    pub share: Option<f64>,
    /// The root mean square of the differences in length of all asked pairs of different lengths, in characters: the
    /// unit of the slope's length.
    pub unit: f64,
    /// How fast the log-odds of winning grow with length.
    pub slope: LengthSlope,
}

/// The slope of the log-odds of winning over the difference in length.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum LengthSlope {
    /// A finite slope, in log-odds per unit of length difference.
    Estimate {
        /// The slope; above 0 where the longer wins.
        slope: f64,
        /// Its standard error, from the spread between prompts; with fewer than two prompts, from the curvature.
        std_error: f64,
        /// Its interval of 95 %, slope -+ 1.96 standard errors.
        interval: Interval,
    },
    /// The longer response wins every comparison for certain: no finite slope fits.
    LongerAlways,
    /// The shorter response wins every comparison for certain.
    ShorterAlways,
    /// No comparison of responses of different lengths was asked.
    NoComparisons,
}

/// Answers and lengths that do not belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "prompt {prompt} has {lengths} lengths, but its answers are about {responses} responses: give one length for each"
)]
pub struct LengthError {
    /// The prompt's place in the list, counted from 0.
    pub prompt: usize,
    /// The lengths given.
    pub lengths: usize,
    /// The responses of its answers.
    pub responses: usize,
}

/// How much the longer of two responses is preferred: `prompts` holds the answers about each prompt's responses and
/// the responses' lengths in characters.
///
/// Besides the share of decided comparisons won by the longer, it fits a logistic regression without an intercept, which
/// does not depend on which response is called the first:
///
/// ```text
/// P(i beats j) = sigmoid(b (length_i - length_j) / unit),   unit^2 = mean (length_i - length_j)^2
/// ```
///
/// over all asked comparisons of different lengths. Probabilities p enter as they are, a tie as half a win
/// (a quasi-likelihood). b = 0 where length says nothing; at b = 1 a response one unit longer has odds of e to 1.
///
/// The interval is 1.96 standard errors of the sandwich estimator with prompts as clusters, as the comparisons of one
/// prompt share responses: with the scores u_g = sum_{i in g} x_i (p_i - sigmoid(b x_i)) of G prompts and H the
/// curvature, variance = H^-2 G / (G - 1) sum_g u_g^2 (K.-Y. Liang and S. Zeger, Biometrika 73, 1986).
/// It is known to be short where the prompts are few, ten or so.
///
/// # Errors
///
/// A prompt with another number of lengths than responses.
pub fn length_preference(
    prompts: &[(&Answers, &[usize])],
) -> Result<LengthPreference, LengthError> {
    // (difference in length, P) of each comparison, by prompt.
    let mut clusters: Vec<Vec<(f64, f64)>> = Vec::new();
    let (mut decided, mut longer_won) = (0, 0);
    for (prompt, (answers, lengths)) in prompts.iter().enumerate() {
        if lengths.len() != answers.count() {
            return Err(LengthError {
                prompt,
                lengths: lengths.len(),
                responses: answers.count(),
            });
        }
        let mut cluster = Vec::new();
        for (i, j, p) in asked(answers).filter(|&(i, j, _)| lengths[i] != lengths[j]) {
            cluster.push((lengths[i] as f64 - lengths[j] as f64, p));
            decided += usize::from(p != 0.5);
            longer_won += usize::from(p != 0.5 && (p > 0.5) == (lengths[i] > lengths[j]));
        }
        if !cluster.is_empty() {
            clusters.push(cluster);
        }
    }
    let total: usize = clusters.iter().map(Vec::len).sum();
    let squares: f64 = clusters.iter().flatten().map(|(x, _)| x * x).sum();
    let unit = (squares / total.max(1) as f64).sqrt();
    clusters.iter_mut().flatten().for_each(|(x, _)| *x /= unit);
    Ok(LengthPreference {
        decided,
        longer_won,
        share: (decided > 0).then(|| longer_won as f64 / decided as f64),
        unit,
        slope: slope(&clusters),
    })
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

fn slope(clusters: &[Vec<(f64, f64)>]) -> LengthSlope {
    let all = || clusters.iter().flatten();
    if all().next().is_none() {
        return LengthSlope::NoComparisons;
    }
    // The derivative falls from sum x (p - 1[x < 0]) at b = -infinity to sum x (p - 1[x > 0]): a root exists unless one is 0.
    if all().all(|&(x, p)| p == f64::from(u8::from(x > 0.0))) {
        return LengthSlope::LongerAlways;
    }
    if all().all(|&(x, p)| p == f64::from(u8::from(x < 0.0))) {
        return LengthSlope::ShorterAlways;
    }
    let score = |b: f64| all().map(|&(x, p)| x * (p - sigmoid(b * x))).sum::<f64>();
    let curvature = |b: f64| {
        let weight = |&(x, _): &(f64, f64)| x * x * sigmoid(b * x) * sigmoid(-b * x);
        all().map(weight).sum::<f64>()
    };
    let mut bracket = (-1.0, 1.0);
    while score(bracket.0) < 0.0 && bracket.0 > -1e6 {
        bracket.0 *= 2.0;
    }
    while score(bracket.1) > 0.0 && bracket.1 < 1e6 {
        bracket.1 *= 2.0;
    }
    // Newton's method, and a halving wherever it would leave the bracket.
    let mut b: f64 = 0.0;
    for _ in 0..MAX_STEPS {
        let rest = score(b);
        if rest > 0.0 {
            bracket.0 = b;
        } else {
            bracket.1 = b;
        }
        let step = rest / curvature(b);
        let newton = b + step;
        let next = if newton > bracket.0 && newton < bracket.1 {
            newton
        } else {
            0.5 * (bracket.0 + bracket.1)
        };
        let moved = (next - b).abs();
        b = next;
        if moved <= 1e-12 * (1.0 + b.abs()) {
            break;
        }
    }
    let bend = curvature(b);
    let groups = clusters.len() as f64;
    let std_error = if clusters.len() > 1 {
        let of = |cluster: &Vec<(f64, f64)>| {
            let scores = cluster.iter().map(|&(x, p)| x * (p - sigmoid(b * x)));
            scores.sum::<f64>().powi(2)
        };
        let spread: f64 = clusters.iter().map(of).sum();
        (groups / (groups - 1.0) * spread).sqrt() / bend
    } else {
        bend.sqrt().recip()
    };
    LengthSlope::Estimate {
        slope: b,
        std_error,
        interval: Interval {
            low: b - NORMAL_975 * std_error,
            high: b + NORMAL_975 * std_error,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two responses, P(the first beats the second) = p.
    fn pair(p: f64) -> Answers {
        Answers::from_matrix(vec![
            vec![Some(0.5), Some(p)],
            vec![Some(1.0 - p), Some(0.5)],
        ])
    }

    fn measure(rows: &[(f64, [usize; 2])]) -> LengthPreference {
        let answers: Vec<Answers> = rows.iter().map(|&(p, _)| pair(p)).collect();
        let prompts: Vec<(&Answers, &[usize])> = answers
            .iter()
            .zip(rows)
            .map(|(answers, (_, lengths))| (answers, lengths.as_slice()))
            .collect();
        length_preference(&prompts).unwrap()
    }

    /// Four prompts of a pair 10 characters apart, the longer won 3: b = log 3 as sigmoid(b) = 3/4 and the unit is 10.
    /// H = 4 * 3/16 = 3/4, the scores are 1/4 three times and -3/4: sum of squares 3/4, variance 16/9 * 4/3 * 3/4 = 16/9.
    #[test]
    fn the_slope_of_equal_differences_is_the_log_of_the_odds() {
        let rows = [
            (1.0, [20, 10]),
            (0.9, [5, 5]),
            (0.0, [30, 40]),
            (1.0, [11, 1]),
            (0.0, [12, 2]),
        ];
        let found = measure(&rows);
        assert_eq!((found.decided, found.longer_won), (4, 3));
        assert_eq!((found.share, found.unit), (Some(0.75), 10.0));
        let LengthSlope::Estimate {
            slope,
            std_error,
            interval,
        } = found.slope
        else {
            panic!("{found:?}");
        };
        assert!((slope - 3f64.ln()).abs() < 1e-10, "{slope}");
        assert!((std_error - 4.0 / 3.0).abs() < 1e-10, "{std_error}");
        assert!((interval.high - slope - 1.959_963_985 * 4.0 / 3.0).abs() < 1e-8);
        // Naming the other response first changes nothing.
        let turned = rows.map(|(p, [a, b])| (1.0 - p, [b, a]));
        assert_eq!(measure(&turned).share, found.share);
        let LengthSlope::Estimate { slope: other, .. } = measure(&turned).slope else {
            panic!();
        };
        assert!((other - slope).abs() < 1e-12);
    }

    /// Soft answers that are sigmoid(2 x) exactly are fitted exactly, and leave no residual; ties are half a win.
    #[test]
    fn soft_answers_are_wins_in_part() {
        let unit = ((100.0 + 400.0) / 2.0_f64).sqrt();
        let rows = [
            (sigmoid(2.0 * 10.0 / unit), [10, 0]),
            (sigmoid(-2.0 * 20.0 / unit), [0, 20]),
        ];
        let LengthSlope::Estimate {
            slope, std_error, ..
        } = measure(&rows).slope
        else {
            panic!();
        };
        assert!((slope - 2.0).abs() < 1e-9 && std_error < 1e-9, "{slope}");
        let tied = measure(&[(0.5, [3, 1]), (0.5, [1, 2])]);
        assert_eq!((tied.decided, tied.share), (0, None));
        assert!(matches!(tied.slope, LengthSlope::Estimate { slope, .. } if slope.abs() < 1e-12));
    }

    /// One prompt has no spread between prompts: the error is the curvature's, H = 1/4 at b = 0.
    #[test]
    fn one_prompt_gets_the_error_of_its_curvature() {
        let found = measure(&[(0.5, [3, 1])]);
        let LengthSlope::Estimate { std_error, .. } = found.slope else {
            panic!();
        };
        assert!((std_error - 2.0).abs() < 1e-12);
    }

    #[test]
    fn certain_answers_have_no_finite_slope() {
        let longer = [(1.0, [2, 1]), (0.0, [1, 9])];
        assert_eq!(measure(&longer).slope, LengthSlope::LongerAlways);
        let shorter = longer.map(|(p, lengths)| (1.0 - p, lengths));
        assert_eq!(measure(&shorter).slope, LengthSlope::ShorterAlways);
        assert_eq!(measure(&[(1.0, [4, 4])]).slope, LengthSlope::NoComparisons);
        // All but certain is not certain: sigmoid(b) = 0.999.
        let LengthSlope::Estimate { slope, .. } = measure(&[(0.999, [2, 1])]).slope else {
            panic!();
        };
        assert!((slope - 999f64.ln()).abs() < 1e-9, "{slope}");
    }

    #[test]
    fn lengths_must_be_of_the_responses() {
        let error = length_preference(&[(&pair(1.0), &[1, 2, 3])]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "prompt 0 has 3 lengths, but its answers are about 2 responses: give one length for each"
        );
    }
}
