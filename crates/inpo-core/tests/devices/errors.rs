//! How far off a device is.

use std::fmt;

use burn::tensor::DType;

/// The largest error that a check has met, and where.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    largest: f64,
    at: String,
    compared: usize,
}

impl Errors {
    /// Compares a list with its expected values: the error is the largest difference, in units of the
    /// largest expected magnitude, or as it is where everything expected is 0.
    pub(crate) fn compare(&mut self, what: &str, got: &[f64], expected: &[f64]) {
        assert_eq!(got.len(), expected.len(), "{what}: number of values");
        let magnitude = expected.iter().fold(0.0_f64, |most, e| most.max(e.abs()));
        let unit = if magnitude > 0.0 { magnitude } else { 1.0 };
        let differences = got.iter().zip(expected).map(|(got, expected)| {
            let error = (got - expected).abs() / unit;
            // NaN is as wrong as can be, and would be lost in a maximum.
            if error.is_nan() { f64::INFINITY } else { error }
        });
        self.met(what, differences.fold(0.0, f64::max));
    }

    /// Compares a gradient that went through a whole model: as [`Errors::compare`], but in half precision, whose
    /// roundings along the way make single entries uncertain, the norm of the differences in units of the
    /// expected norm.
    pub(crate) fn compare_gradient(
        &mut self,
        what: &str,
        got: &[f64],
        expected: &[f64],
        dtype: DType,
    ) {
        if dtype != DType::BF16 {
            return self.compare(what, got, expected);
        }
        assert_eq!(got.len(), expected.len(), "{what}: number of values");
        let norm = |of: &mut dyn Iterator<Item = f64>| of.map(|x| x * x).sum::<f64>().sqrt();
        let differences = norm(&mut got.iter().zip(expected).map(|(got, e)| got - e));
        let error = differences / norm(&mut expected.iter().copied());
        self.met(what, if error.is_nan() { f64::INFINITY } else { error });
    }

    /// An error measured otherwise.
    pub(crate) fn met(&mut self, what: &str, error: f64) {
        self.compared += 1;
        if error > self.largest {
            (self.largest, self.at) = (error, what.to_owned());
        }
    }

    /// Whether something was compared and nothing is off by more than `tolerance`.
    pub(crate) fn within(&self, tolerance: f64) -> bool {
        self.compared > 0 && self.largest <= tolerance
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1e} ({})", self.largest, self.at)
    }
}
