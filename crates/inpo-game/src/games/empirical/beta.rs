//! Quantiles of the Beta law.
//!
//! By bisection, because statrs's own inverse did not return for shapes such as 0.01 and 1e9. Its
//! incomplete Beta function agrees with scipy's to 3e-11 up to shapes of 1e4, and to 1e-7 with one
//! shape below 2e4 and the other up to 1e8. Beyond, limits of the law take over.

use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::beta::beta_reg;
use statrs::function::gamma::gamma_lr;

/// With both shapes from here on the law is almost normal.
const NORMAL: f64 = 2e4;

/// With one shape from here on, the other being smaller than [`NORMAL`], it is almost a Gamma law.
const GAMMA: f64 = 1e8;

/// The `p`-quantile of Beta(a, b), for positive finite shapes and p in (0, 1).
pub(super) fn beta_quantile(a: f64, b: f64, p: f64) -> f64 {
    match (a.min(b), a.max(b)) {
        (smaller, _) if smaller >= NORMAL => expansion(a, b, p),
        (_, larger) if larger < GAMMA => bisect(1.0, |x| beta_reg(a, b, x) < p),
        _ if a < b => wise(a, b, p),
        _ => 1.0 - wise(b, a, 1.0 - p),
    }
}

/// Where `below` turns from true to false on [0, `high`].
fn bisect(mut high: f64, below: impl Fn(f64) -> bool) -> f64 {
    let mut low = 0.0;
    loop {
        let middle = 0.5 * (low + high);
        // Neighbours in floating point, or as good as 0.
        if middle <= low || middle >= high || high < 1e-300 {
            return middle;
        }
        if below(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
}

/// The approximation of M. E. Wise (Biometrika 37, 1950) for b large beside a:
/// -(b + (a - 1) / 2) log(1 - x) follows the Gamma law of shape a, but for terms of order
/// (a / b)^2.
fn wise(a: f64, b: f64, p: f64) -> f64 {
    // Twenty standard deviations and more above the mean.
    let high = a + 20.0 * a.sqrt() + 800.0;
    let gamma = bisect(high, |x| gamma_lr(a, x) < p);
    -(-gamma / (b + 0.5 * (a - 1.0))).exp_m1()
}

/// The expansion of Cornish and Fisher about the normal law, to the order of the kurtosis.
/// Accurate to 1e-5 of the standard deviation where it is used.
fn expansion(a: f64, b: f64, p: f64) -> f64 {
    let n = a + b;
    let (mean, rest) = (a / n, b / n);
    let spread = mean * rest;
    let skewness = 2.0 * (rest - mean) * (n + 1.0).sqrt() / ((n + 2.0) * spread.sqrt());
    let excess = 6.0 * ((rest - mean).powi(2) * (n + 1.0) - spread * (n + 2.0))
        / (spread * (n + 2.0) * (n + 3.0));
    let z = Normal::standard().inverse_cdf(p);
    let standardised = z + (z * z - 1.0) * skewness / 6.0 + (z.powi(3) - 3.0 * z) * excess / 24.0
        - (2.0 * z.powi(3) - 5.0 * z) * skewness.powi(2) / 36.0;
    (mean + (spread / (n + 1.0)).sqrt() * standardised).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn quantile(a: f64, b: f64, p: f64, want: f64, tolerance: f64) {
        let got = beta_quantile(a, b, p);
        assert!((got - want).abs() <= tolerance, "{got} is not {want}");
        // The law of the complement, 1 - Beta(a, b), is Beta(b, a).
        let mirrored = 1.0 - beta_quantile(b, a, 1.0 - p);
        assert!((mirrored - want).abs() <= tolerance, "{mirrored} {want}");
    }

    #[test]
    fn closed_forms() {
        for p in [0.005, 0.025, 0.3, 0.5, 0.975] {
            quantile(1.0, 1.0, p, p, 1e-14);
            quantile(1.0, 7.0, p, 1.0 - (1.0 - p).powf(1.0 / 7.0), 1e-14);
            quantile(4.0, 1.0, p, p.powf(0.25), 1e-14);
            // The arcsine law.
            let sine = (std::f64::consts::FRAC_PI_2 * p).sin();
            quantile(0.5, 0.5, p, sine * sine, 1e-14);
        }
    }

    #[test]
    fn published_intervals() {
        // Clopper and Pearson's exact 95 % limits are Beta quantiles: for 2 of 10 they are 0.0252
        // and 0.5561, for 0 of 10 the upper one is 0.3085 (their table, Biometrika 26, 1934).
        quantile(2.0, 9.0, 0.025, 0.0252, 5e-5);
        quantile(3.0, 8.0, 0.975, 0.5561, 5e-5);
        quantile(1.0, 10.0, 0.975, 0.3085, 5e-5);
    }

    #[test]
    fn values_of_thirty_digit_arithmetic() {
        // Roots of mpmath 1.4.1's regularised incomplete Beta function at 30 digits.
        quantile(0.5, 20.5, 0.975, 0.116_638_982_904_875_39, 1e-13);
        quantile(3.5, 7.5, 0.025, 0.092_694_593_938_153_16, 1e-13);
        quantile(3.5, 7.5, 0.975, 0.605_818_318_148_671_2, 1e-13);
        quantile(1.5, 0.5, 0.05, 0.228_519_813_806_328_72, 1e-13);
        quantile(54.5, 12.0, 0.005, 0.682_907_178_509_352_1, 1e-13);
        quantile(1000.5, 4000.5, 0.025, 0.189_088_241_813_787_83, 1e-13);
        // The expansion; the standard deviation is 0.00166.
        quantile(50_000.5, 40_000.5, 0.025, 0.552_307_432_564_907, 1e-10);
        quantile(50_000.5, 40_000.5, 0.975, 0.558_800_105_393_322, 1e-10);
    }

    #[test]
    fn limits_take_over_without_a_step() {
        // Just below each border by bisection and just above it by the limit. The
        // tolerance is a hundred-thousandth of the standard deviation.
        for p in [0.005, 0.5, 0.995] {
            let want = beta_quantile(NORMAL * (1.0 - 1e-9), 6e4, p);
            quantile(NORMAL, 6e4, p, want, 1e-5 * 0.0015);
            for a in [0.5, 30.5, 1e4] {
                let want = beta_quantile(a, GAMMA * (1.0 - 1e-9), p);
                quantile(a, GAMMA, p, want, 1e-5 * a.sqrt() / GAMMA);
            }
        }
    }

    #[test]
    fn extreme_shapes_return() {
        for (a, b) in [
            (0.01, 1e9),
            (1e-9, 1e-9),
            (1e15, 1e15),
            (1e15, 3.0),
            (1e-9, 1e15),
        ] {
            for p in [1e-6, 0.5, 1.0 - 1e-6] {
                assert!((0.0..=1.0).contains(&beta_quantile(a, b, p)));
            }
        }
    }
}
