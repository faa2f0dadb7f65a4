//! The percentile bootstrap over prompts.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use super::Interval;

/// How an interval is bootstrapped.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BootstrapConfig {
    /// How often the prompts are drawn again.
    pub resamples: usize,
    /// The probability that the interval is to hold the value, in (0, 1).
    pub confidence: f64,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for BootstrapConfig {
    fn default() -> Self {
        Self {
            resamples: 1000,
            confidence: 0.95,
            seed: 0,
        }
    }
}

/// What is wrong with a [`BootstrapConfig`].
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum BootstrapConfigError {
    /// No resamples.
    #[error("resamples is 0: an interval needs some hundreds, at least 1")]
    Resamples,
    /// A confidence that is none.
    #[error("confidence is {0}: it must lie between 0 and 1, such as 0.95")]
    Confidence(f64),
}

impl BootstrapConfig {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// The first setting out of its range.
    pub fn validate(&self) -> Result<(), BootstrapConfigError> {
        if self.resamples == 0 {
            return Err(BootstrapConfigError::Resamples);
        }
        if !(self.confidence > 0.0 && self.confidence < 1.0) {
            return Err(BootstrapConfigError::Confidence(self.confidence));
        }
        Ok(())
    }

    /// The percentile interval of `statistic`, which is given the places of `units` units drawn with replacement: the
    /// quantiles (1 -+ confidence) / 2 of its values, interpolated between neighbours (type 7 of Hyndman and Fan).
    ///
    /// Each resample has a random stream of its own, keyed by (seed, resample).
    pub(crate) fn interval(
        &self,
        units: usize,
        statistic: impl Fn(&[usize]) -> f64,
    ) -> Result<Interval, BootstrapConfigError> {
        self.validate()?;
        let mut places = vec![0; units];
        let mut values: Vec<f64> = (0..self.resamples)
            .map(|resample| {
                let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
                rng.set_stream(resample as u64);
                places.fill_with(|| rng.random_range(0..units));
                statistic(&places)
            })
            .collect();
        values.sort_unstable_by(f64::total_cmp);
        let tail = 0.5 * (1.0 - self.confidence);
        Ok(Interval {
            low: quantile(&values, tail),
            high: quantile(&values, 1.0 - tail),
        })
    }
}

/// The value below which a share of ascending values lies, interpolated.
fn quantile(values: &[f64], share: f64) -> f64 {
    let place = share * (values.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(values.len() - 1);
    values[below] + (place - below as f64) * (values[above] - values[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_neighbours() {
        let values = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(quantile(&values, 0.0), 1.0);
        assert_eq!(quantile(&values, 0.5), 3.0);
        assert_eq!(quantile(&values, 0.75), 5.0); // place 2.25
        assert_eq!(quantile(&values, 1.0), 8.0);
    }

    /// The mean of 100 units, half 0 and half 1, has the standard error sqrt(1/4 / 100) = 0.05: the interval of 95 % is
    /// 0.5 -+ 0.098. Its ends, over 2000 resamples, are off by some 0.004.
    #[test]
    fn the_interval_of_a_mean_is_that_of_the_normal_law() {
        let config = BootstrapConfig {
            resamples: 2000,
            ..BootstrapConfig::default()
        };
        let mean = |places: &[usize]| {
            let ones = places.iter().filter(|&&place| place < 50).count();
            ones as f64 / places.len() as f64
        };
        let interval = config.interval(100, mean).unwrap();
        assert!((interval.low - 0.402).abs() < 0.015, "{interval:?}");
        assert!((interval.high - 0.598).abs() < 0.015, "{interval:?}");
        assert_eq!(interval, config.interval(100, mean).unwrap());
    }

    #[test]
    fn bad_settings_are_named() {
        let config = BootstrapConfig {
            resamples: 0,
            ..BootstrapConfig::default()
        };
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "resamples is 0: an interval needs some hundreds, at least 1"
        );
        let config = BootstrapConfig {
            confidence: 95.0,
            ..BootstrapConfig::default()
        };
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "confidence is 95: it must lie between 0 and 1, such as 0.95"
        );
        assert!(toml::from_str::<BootstrapConfig>("resample = 3").is_err());
    }
}
