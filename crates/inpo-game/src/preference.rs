//! A checked probability that the first of two things beats the second.

use serde::{Deserialize, Serialize};

/// The probability, in [0, 1], that the first of two things beats the second: P(y > y' | x).
///
/// The law of the opposite question, P(y' > y) = 1 - P(y > y'), is [`complement`](Self::complement).
///
/// ```
/// use inpo_game::Preference;
///
/// let p = Preference::new(0.75)?;
/// assert_eq!(p.complement().get(), 0.25);
/// assert_eq!(Preference::HALF.complement(), Preference::HALF);
/// assert!(Preference::new(1.5).is_err());
/// # Ok::<(), inpo_game::PreferenceError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Preference(f64);

/// A number that is not a probability.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("a preference is {value}: it must be a probability in [0, 1]")]
pub struct PreferenceError {
    /// What was given.
    pub value: f64,
}

impl Preference {
    /// The first wins for certain.
    pub const WIN: Self = Self(1.0);
    /// A tie: neither is preferred. Also what everything has against itself.
    pub const HALF: Self = Self(0.5);
    /// The second wins for certain.
    pub const LOSS: Self = Self(0.0);

    /// Checks that `value` is in [0, 1].
    ///
    /// # Errors
    /// [`PreferenceError`] if it is outside or NaN.
    pub fn new(value: f64) -> Result<Self, PreferenceError> {
        if (0.0..=1.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(PreferenceError { value })
        }
    }

    /// The probability, in [0, 1].
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }

    /// P(second beats first) = 1 - P(first beats second).
    #[must_use]
    pub fn complement(self) -> Self {
        Self(1.0 - self.0)
    }
}

impl TryFrom<f64> for Preference {
    type Error = PreferenceError;

    fn try_from(value: f64) -> Result<Self, Self::Error> {
        Self::new(value)
    }
}

impl From<Preference> for f64 {
    fn from(preference: Preference) -> Self {
        preference.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_closed_interval_only() {
        for ok in [0.0, 0.25, 1.0] {
            assert_eq!(Preference::new(ok).unwrap().get(), ok);
        }
        for bad in [-1e-9, 1.000_001, f64::NAN, f64::INFINITY] {
            let message = Preference::new(bad).unwrap_err().to_string();
            assert!(message.contains("must be a probability in [0, 1]"));
        }
    }

    #[test]
    fn serde_checks_too() {
        assert_eq!(
            serde_json::from_str::<Preference>("0.25").unwrap().get(),
            0.25
        );
        assert!(serde_json::from_str::<Preference>("1.25").is_err());
        assert_eq!(serde_json::to_string(&Preference::HALF).unwrap(), "0.5");
    }
}
