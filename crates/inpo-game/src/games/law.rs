//! The complement law in floating point.
//!
//! For p >= 1/2 the difference 1 - p is exact (Sterbenz), so that 1 - (1 - p) is p again. A
//! probability below 1/2 has this property only if it is itself such a difference. All games
//! therefore round the smaller of two opposite preferences to 1 minus the larger: an absolute
//! error below 1.2e-16.

use crate::Preference;

/// `p` in [0, 1], rounded so that 1 - (1 - p) is p. Rounding of a sum that went just outside the
/// interval is cut off.
pub(crate) fn settle(p: f64) -> f64 {
    let p = p.clamp(0.0, 1.0);
    if p < 0.5 { 1.0 - (1.0 - p) } else { p }
}

/// The settled sigmoid 1 / (1 + exp(-x)). Infinities give 0 and 1.
pub(super) fn logistic(x: f64) -> f64 {
    let larger = 1.0 / (1.0 + (-x.abs()).exp());
    if x < 0.0 { 1.0 - larger } else { larger }
}

/// P(first > second) of a game given by P(i > j) for i < j, which may be off by rounding.
pub(super) fn complementary(
    num_actions: usize,
    first: usize,
    second: usize,
    preference: impl Fn(usize, usize) -> f64,
) -> Preference {
    check_actions(num_actions, first, second);
    let p = match first.cmp(&second) {
        std::cmp::Ordering::Less => settle(preference(first, second)),
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Greater => 1.0 - settle(preference(second, first)),
    };
    Preference::new(p).expect("settled into [0, 1]")
}

/// P pi for a game given by P(i > j) for i < j, each pair visited once.
///
/// # Panics
/// If a length is not `num_actions`.
pub(super) fn pairwise_win_rates(
    num_actions: usize,
    strategy: &[f64],
    out: &mut [f64],
    preference: impl Fn(usize, usize) -> f64,
) {
    check_lengths(num_actions, strategy, out);
    for (rate, weight) in out.iter_mut().zip(strategy) {
        *rate = 0.5 * weight;
    }
    for i in 0..num_actions {
        let mut rate = 0.0;
        for j in i + 1..num_actions {
            let p = preference(i, j);
            rate += p * strategy[j];
            out[j] += (1.0 - p) * strategy[i];
        }
        out[i] += rate;
    }
}

/// # Panics
/// If a length is not `num_actions`.
pub(super) fn check_lengths(num_actions: usize, strategy: &[f64], out: &[f64]) {
    assert_eq!(strategy.len(), num_actions, "one weight an action");
    assert_eq!(out.len(), num_actions, "one win rate an action");
}

/// # Panics
/// If an action is not below `num_actions`.
pub(super) fn check_actions(num_actions: usize, first: usize, second: usize) {
    assert!(
        first < num_actions && second < num_actions,
        "actions {first} and {second} of a game of {num_actions}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settled_probability_is_the_complement_of_its_complement() {
        for p in [0.0, 1e-300, 1e-17, 0.1, 1.0 / 3.0, 0.5, 2.0 / 3.0, 1.0] {
            let settled = settle(p);
            assert_eq!(1.0 - (1.0 - settled), settled);
            assert!((settled - p).abs() < 1.2e-16);
        }
        // 1 - (1 - 0.1) is 0.09999999999999998 in f64: 0.1 itself is not settled.
        assert_ne!(settle(0.1), 0.1);
        assert_eq!((settle(-1e-17), settle(1.0 + 1e-15)), (0.0, 1.0));
    }

    #[test]
    fn the_sigmoid_at_known_points() {
        assert_eq!(logistic(0.0), 0.5);
        assert!((logistic(3f64.ln()) - 0.75).abs() < 1e-15);
        assert!((logistic(-3f64.ln()) - 0.25).abs() < 1e-15);
        assert_eq!(logistic(f64::INFINITY), 1.0);
        assert_eq!(logistic(f64::NEG_INFINITY), 0.0);
        assert_eq!(logistic(-800.0), 0.0);
    }
}
