//! The share of cyclic triples, and how sure it is.

use serde::{Deserialize, Serialize};

use super::{BootstrapConfig, BootstrapConfigError, Interval};
use crate::{Answers, CycleError, CycleReport, cycle_report};

/// The share of cyclic triples over prompts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CycleRate {
    /// Triples and cyclic triples of all prompts.
    pub report: CycleReport,
    /// The share of triples that are cyclic, in [0, 1]; none without triples.
    pub rate: Option<f64>,
    /// Its interval; none with fewer than two prompts that have triples.
    pub interval: Option<Interval>,
}

/// Why there is no share of cyclic triples.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CycleRateError {
    /// The preferences of a prompt are none.
    #[error("prompt {prompt}: {source}")]
    Preferences {
        /// The prompt's place in the list, counted from 0.
        prompt: usize,
        /// What is wrong with them.
        source: CycleError,
    },
    /// A setting of the bootstrap.
    #[error(transparent)]
    Config(#[from] BootstrapConfigError),
}

/// The share of cyclic triples among the responses to many prompts (see [`cycle_report`]),
///
/// ```text
/// rate = sum_p cyclic_p / sum_p triples_p
/// ```
///
/// with the percentile bootstrap interval over prompts: triples of one prompt share responses and comparisons, so the
/// prompts are what is drawn again (B. Efron, The Annals of Statistics 7, 1979). Prompts without a triple whose three
/// comparisons were asked are left out.
///
/// Where all prompts have the same share, such as none of some hundred with a cycle, the bootstrap sees no doubt and
/// the interval is a point.
///
/// # Errors
///
/// Preferences that are none ([`CycleError`]), settings out of range.
pub fn cycle_rate(
    answers: &[Answers],
    config: &BootstrapConfig,
) -> Result<CycleRate, CycleRateError> {
    config.validate()?;
    let mut reports = Vec::with_capacity(answers.len());
    for (prompt, answers) in answers.iter().enumerate() {
        let report = cycle_report(answers.matrix())
            .map_err(|source| CycleRateError::Preferences { prompt, source })?;
        if report.triples > 0 {
            reports.push(report);
        }
    }
    let report: CycleReport = reports.iter().copied().sum();
    let of = |places: &[usize]| {
        let drawn: CycleReport = places.iter().map(|&place| reports[place]).sum();
        drawn.rate()
    };
    let interval = if reports.len() > 1 {
        Some(config.interval(reports.len(), of)?)
    } else {
        None
    };
    Ok(CycleRate {
        report,
        rate: (report.triples > 0).then(|| report.rate()),
        interval,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three(wins: [f64; 3]) -> Answers {
        let [a, b, c] = wins;
        let some = |row: [f64; 3]| row.map(Some).to_vec();
        Answers::from_matrix(vec![
            some([0.5, a, 1.0 - c]),
            some([1.0 - a, 0.5, b]),
            some([c, 1.0 - b, 0.5]),
        ])
    }

    /// 100 prompts of one triple each, 20 of them cyclic: a binomial share of 0.2 with standard error 0.04, so
    /// 0.2 -+ 0.078. A prompt whose triple was not asked in full is left out.
    #[test]
    fn the_rate_has_the_interval_of_a_binomial_share() {
        let mut answers: Vec<Answers> = (0..100)
            .map(|k| three([1.0, 1.0, f64::from(u8::from(k < 20))]))
            .collect();
        answers.push(Answers::new(3));
        let rate = cycle_rate(&answers, &BootstrapConfig::default()).unwrap();
        assert_eq!((rate.report.triples, rate.report.cyclic), (100, 20));
        assert_eq!(rate.rate, Some(0.2));
        let interval = rate.interval.unwrap();
        assert!((interval.low - 0.122).abs() < 0.02, "{interval:?}");
        assert!((interval.high - 0.278).abs() < 0.02, "{interval:?}");
    }

    #[test]
    fn no_triple_no_rate_and_one_prompt_no_interval() {
        let none = cycle_rate(&[Answers::new(4)], &BootstrapConfig::default()).unwrap();
        assert_eq!((none.rate, none.interval), (None, None));
        let one = cycle_rate(&[three([1.0; 3])], &BootstrapConfig::default()).unwrap();
        assert_eq!((one.rate, one.interval), (Some(1.0), None));
    }

    #[test]
    fn a_bad_matrix_names_its_prompt() {
        let half = Some(0.5);
        let bad = Answers::from_matrix(vec![vec![half, Some(0.7)], vec![Some(0.7), half]]);
        let error = cycle_rate(&[Answers::new(2), bad], &BootstrapConfig::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "prompt 1: P(0 > 1) = 0.7 and P(1 > 0) = 0.7: both must lie in [0, 1] and add up to 1"
        );
    }
}
