//! Scores of multiple choice.

use super::python::argmax;
use super::task::Metric;

/// A score of multiple choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accuracy {
    /// By the log-likelihood.
    Plain,
    /// By the log-likelihood a character.
    Characters,
    /// By the log-likelihood a byte of UTF-8.
    Bytes,
}

impl Accuracy {
    pub(super) const ALL: [Self; 3] = [Self::Plain, Self::Characters, Self::Bytes];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "acc",
            Self::Characters => "acc_norm",
            Self::Bytes => "acc_bytes",
        }
    }

    pub(super) fn metric(self) -> Metric {
        Metric::mean(self.name())
    }

    /// 1 when the best choice, the first of equal ones, is among `gold`, and else 0. `choices` are without delimiters.
    pub(super) fn of(self, logps: &[f64], choices: &[String], gold: &[usize]) -> f64 {
        let length = |choice: &String| match self {
            Self::Plain => 1,
            Self::Characters => choice.chars().count(),
            Self::Bytes => choice.len(),
        };
        let per_length = |(logp, choice): (&f64, &String)| match self {
            Self::Plain => *logp,
            _ => logp / length(choice) as f64,
        };
        let values: Vec<f64> = logps.iter().zip(choices).map(per_length).collect();
        f64::from(u8::from(gold.contains(&argmax(&values))))
    }
}

/// Checks that a label is one of `count` choices.
pub(super) fn checked_label(column: &str, label: i64, count: usize) -> Result<usize, String> {
    let place = usize::try_from(label).ok().filter(|label| *label < count);
    place.ok_or_else(|| {
        format!(
            "`{column}` is {label}, which is none of the {count} choices (0 to {})",
            count as i64 - 1
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// -6 over 2 characters of 4 bytes, -8 over 4 of 4, -5 over 1 of 1: the best is the third by itself, the second by
    /// character (-3, -2, -5), and the first by byte (-1.5, -2, -5).
    #[test]
    fn lengths_are_characters_or_bytes() {
        let choices = ["éé", "four", "x"].map(str::to_owned);
        let of = |accuracy: Accuracy| {
            [0, 1, 2].map(|gold| accuracy.of(&[-6.0, -8.0, -5.0], &choices, &[gold]))
        };
        assert_eq!(of(Accuracy::Plain), [0.0, 0.0, 1.0]);
        assert_eq!(of(Accuracy::Characters), [0.0, 1.0, 0.0]);
        assert_eq!(of(Accuracy::Bytes), [1.0, 0.0, 0.0]);
        // Of equal ones the first counts.
        assert_eq!(Accuracy::Plain.of(&[-5.0, -5.0], &choices[..2], &[1]), 0.0);
    }
}
