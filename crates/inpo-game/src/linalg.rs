//! The little dense algebra this crate needs. A linear algebra crate would be its largest
//! dependency by far for one factorisation.

mod lu;

pub(crate) use lu::Lu;

/// Sum of products in four lanes, so that the compiler can use vector registers.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 4];
    let (heads_a, tail_a) = a.as_chunks::<4>();
    let (heads_b, tail_b) = b.as_chunks::<4>();
    for (x, y) in heads_a.iter().zip(heads_b) {
        for k in 0..4 {
            lanes[k] += x[k] * y[k];
        }
    }
    let tail: f64 = tail_a.iter().zip(tail_b).map(|(x, y)| x * y).sum();
    (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]) + tail
}

/// log sum exp, shifted by the largest entry. Minus infinity for no mass at all.
pub(crate) fn log_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let max = values.clone().fold(f64::NEG_INFINITY, f64::max);
    if max == f64::NEG_INFINITY {
        return max;
    }
    max + values.map(|v| (v - max).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_covers_the_tail() {
        let a: Vec<f64> = (1..=7).map(f64::from).collect();
        assert_eq!(dot(&a, &a), 140.0); // 7 * 8 * 15 / 6
    }

    #[test]
    fn log_sum_exp_of_huge_and_of_nothing() {
        let big = log_sum_exp([1e5, 1e5].into_iter());
        assert!((big - (1e5 + 2f64.ln())).abs() < 1e-10);
        assert_eq!(
            log_sum_exp([f64::NEG_INFINITY].into_iter()),
            f64::NEG_INFINITY
        );
    }
}
