//! A mean with its interval, and the bootstrap over prompts that makes it.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

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

impl Interval {
    /// What nothing says of a share: 1/2, anywhere from 0 to 1. Unlike NaN it can be written as JSON and read again.
    pub const UNKNOWN: Self = Self {
        mean: 0.5,
        low: 0.0,
        high: 1.0,
    };

    /// Says whether a value lies in the interval, its ends included.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

impl std::fmt::Display for Interval {
    /// Per cent; a width is that of the mean, and `+` gives a difference its sign.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [mean, low, high] = [self.mean, self.low, self.high].map(|share| 100.0 * share);
        if f.sign_plus() {
            return write!(f, "{mean:+.1} points [{low:+.1}, {high:+.1}]");
        }
        let width = f.width().unwrap_or(0);
        write!(f, "{mean:width$.1} % [{low:.1}, {high:.1}]")
    }
}

/// The prompts of an evaluation, drawn again and again with replacement. All measures of the evaluation read the same draws,
/// so that a difference of two has the interval of a difference.
///
/// An interval is the percentile interval, widened for few prompts as T. Hesterberg does ("What Teachers Should Know About
/// the Bootstrap", The American Statistician 69, 2015, section 3.3): each tail is `Phi(-sqrt(n / (n - 1)) t)`, with `t` the
/// quantile of Student's law of n - 1 degrees of freedom. It is as wide as Student's interval where the plain one is too
/// narrow, keeps the skew of the draws, and never leaves the range of the values. A single prompt says nothing of
/// others: its interval is the value itself.
#[derive(Debug, Clone, Copy)]
pub struct Resamples {
    prompts: usize,
    tail: f64,
    seed: u64,
}

impl Resamples {
    /// How often the prompts are drawn.
    pub const COUNT: usize = 2000;

    /// Draws of so many prompts from `seed`, for intervals that hold the value with probability `confidence`, from 0 to below
    /// 1.
    #[must_use]
    pub fn new(prompts: usize, confidence: f64, seed: u64) -> Self {
        Self {
            prompts,
            tail: tail(prompts, confidence),
            seed,
        }
    }

    /// How many prompts there are.
    #[must_use]
    pub fn prompts(&self) -> usize {
        self.prompts
    }

    /// What `statistic` is for the first `count` draws; it is given the places of the prompts drawn.
    pub fn first<T>(&self, count: usize, mut statistic: impl FnMut(&[usize]) -> T) -> Vec<T> {
        let mut places = vec![0; self.prompts];
        let draw = |resample| {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(resample as u64);
            places.fill_with(|| rng.random_range(0..self.prompts));
            statistic(&places)
        };
        (0..count).map(draw).collect()
    }

    /// What `statistic` is for each draw; it is given the places of the prompts drawn.
    pub fn each<T>(&self, statistic: impl FnMut(&[usize]) -> T) -> Vec<T> {
        self.first(Self::COUNT, statistic)
    }

    /// The interval of a statistic whose value is `mean` and which has these values for draws; the point without any.
    #[must_use]
    pub fn interval(&self, mean: f64, mut draws: Vec<f64>) -> Interval {
        if draws.is_empty() {
            return Interval {
                mean,
                low: mean,
                high: mean,
            };
        }
        draws.sort_unstable_by(f64::total_cmp);
        Interval {
            mean,
            low: quantile(&draws, self.tail),
            high: quantile(&draws, 1.0 - self.tail),
        }
    }

    /// The mean of a value for each prompt; [`Interval::UNKNOWN`] without prompts.
    ///
    /// # Panics
    ///
    /// If there is not one value a prompt: a fault of the caller.
    #[must_use]
    pub fn mean(&self, values: &[f64]) -> Interval {
        assert_eq!(values.len(), self.prompts, "a value a prompt");
        if values.is_empty() {
            return Interval::UNKNOWN;
        }
        let count = values.len() as f64;
        let draws = self.each(|places| places.iter().map(|&x| values[x]).sum::<f64>() / count);
        self.interval(values.iter().sum::<f64>() / count, draws)
    }

    /// The mean of the difference of two values for each prompt.
    ///
    /// # Panics
    ///
    /// As [`Resamples::mean`].
    #[must_use]
    pub fn difference(&self, values: &[f64], others: &[f64]) -> Interval {
        let pairs = values.iter().zip(others);
        let differences: Vec<f64> = pairs.map(|(value, other)| value - other).collect();
        self.mean(&differences)
    }
}

/// The share of draws below an interval of `confidence` over `units`, which is widened as [`Resamples`] says.
fn tail(units: usize, confidence: f64) -> f64 {
    let plain = 0.5 * (1.0 - confidence);
    let n = units as f64;
    let Ok(student) = StudentsT::new(0.0, 1.0, n - 1.0) else {
        return plain;
    };
    let normal = Normal::standard();
    normal.cdf((n / (n - 1.0)).sqrt() * student.inverse_cdf(plain))
}

/// The mean of some units with Student's interval; the point for one unit.
pub(crate) fn student(values: &[f64], confidence: f64) -> Interval {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let half = match StudentsT::new(0.0, 1.0, count - 1.0) {
        Ok(law) => {
            law.inverse_cdf(0.5 * (1.0 + confidence)) * standard_deviation(values) / count.sqrt()
        }
        Err(_) => 0.0,
    };
    Interval {
        mean,
        low: mean - half,
        high: mean + half,
    }
}

/// The standard deviation with n - 1 in the denominator; 0 of fewer than two.
pub(crate) fn standard_deviation(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|value| (value - mean).powi(2));
    if values.len() < 2 {
        return 0.0;
    }
    (squares.sum::<f64>() / (count - 1.0)).sqrt()
}

/// The value below which a share of ascending values lies, interpolated.
fn quantile(values: &[f64], share: f64) -> f64 {
    let place = share * (values.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(values.len() - 1);
    values[below] + (place - below as f64) * (values[above] - values[below])
}

/// The mean of `values`, shares in [0, 1], with the interval of [`Resamples`] from `seed`; [`Interval::UNKNOWN`] without any.
#[must_use]
pub fn bootstrap(values: &[f64], confidence: f64, seed: u64) -> Interval {
    Resamples::new(values.len(), confidence, seed).mean(values)
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

    /// Ten values 0 .. 9: standard deviation 3.0277, t of 9 degrees of freedom 2.2622 (tables), Student's interval
    /// 4.5 -+ 2.166; the plain percentile interval is 4.5 -+ 1.96 x 2.8723 / sqrt(10) = 1.780.
    #[test]
    fn few_prompts_have_students_width() {
        let values: Vec<f64> = (0..10).map(f64::from).collect();
        let exact = student(&values, 0.95);
        assert!((exact.high - 4.5 - 2.1659).abs() < 1e-3, "{exact:?}");
        let interval = bootstrap(&values, 0.95, 1);
        let half = (interval.high - interval.low) / 2.0;
        assert!((half - 2.166).abs() < 0.12, "{interval:?}");
        assert_eq!(
            bootstrap(&[0.3], 0.95, 1),
            Resamples::new(1, 0.95, 1).interval(0.3, vec![])
        );
    }

    /// Two win rates that move together differ for sure, though each by itself is in doubt.
    #[test]
    fn a_difference_is_paired() {
        let first: Vec<f64> = (0..50).map(|i| f64::from(i % 5) / 4.0).collect();
        let second: Vec<f64> = first.iter().map(|p| 0.9 * p).collect();
        let resamples = Resamples::new(50, 0.95, 1);
        let [a, b] = [&first, &second].map(|values| resamples.mean(values));
        assert!(a.low < b.high);
        let difference = resamples.difference(&first, &second);
        assert!((difference.mean - 0.05).abs() < 1e-12 && difference.low > 0.03);
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
