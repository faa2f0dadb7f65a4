//! Logistic regression with an L1 penalty, on a few features.

/// A row: its features, the share of ones, and its weight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) features: [f64; 3],
    pub(crate) share: f64,
    pub(crate) weight: f64,
}

/// Sweeps after which a fit ends in any case.
const SWEEPS: usize = 2000;

/// Steps shorter than this are none.
const STEP: f64 = 1e-9;

/// Minimises `sum_j |w_j| + c sum_i weight_i (share_i ln(1 + e^-m_i) + (1 - share_i) ln(1 + e^m_i))` with `m = w x`, from
/// `start`: the objective of liblinear's `L1R_LR`, where a row of each label has the weight of its share.
///
/// Coordinate descent with Newton directions and a line search (Yuan, Chang, Hsieh and Lin, Journal of Machine Learning
/// Research 11, 2010, section 4.1.2).
pub(crate) fn fit(samples: &[Sample], c: f64, start: [f64; 3]) -> [f64; 3] {
    let mut weights = start;
    let mut margins: Vec<f64> = samples.iter().map(|s| margin(s, &weights)).collect();
    for _ in 0..SWEEPS {
        let mut longest = 0.0_f64;
        for (j, weight) in weights.iter_mut().enumerate() {
            let (mut slope, mut curvature) = (0.0, 0.0);
            for (sample, &m) in samples.iter().zip(&margins) {
                let (x, p) = (sample.features[j], sigmoid(m));
                slope += sample.weight * (p - sample.share) * x;
                curvature += sample.weight * p * (1.0 - p) * x * x;
            }
            let (slope, curvature) = (c * slope, (c * curvature).max(1e-12));
            let old = *weight;
            // The minimum of slope d + curvature d^2 / 2 + |old + d|.
            let free = old - slope / curvature;
            let target = free.signum() * (free.abs() - 1.0 / curvature).max(0.0);
            let mut step = (target - old).clamp(-10.0, 10.0);
            if step.abs() < STEP {
                continue;
            }
            let expected = slope * step + (old + step).abs() - old.abs();
            let mut shrink = 1.0;
            loop {
                let change = c * loss_change(samples, &margins, j, shrink * step)
                    + (old + shrink * step).abs()
                    - old.abs();
                if change <= 0.01 * shrink * expected || shrink < 1e-10 {
                    break;
                }
                shrink *= 0.5;
            }
            step *= shrink;
            *weight = old + step;
            for (sample, m) in samples.iter().zip(&mut margins) {
                *m += step * sample.features[j];
            }
            longest = longest.max(step.abs());
        }
        if longest < STEP {
            break;
        }
    }
    weights
}

/// `w x`.
pub(crate) fn margin(sample: &Sample, weights: &[f64; 3]) -> f64 {
    let products = sample.features.iter().zip(weights);
    products.map(|(x, w)| x * w).sum()
}

/// `1 / (1 + e^-m)`.
pub(crate) fn sigmoid(m: f64) -> f64 {
    1.0 / (1.0 + (-m).exp())
}

/// The log-loss of a row at margin `m`, in nats.
pub(crate) fn log_loss(sample: &Sample, m: f64) -> f64 {
    // ln(1 + e^m) - share m, without overflow.
    m.max(0.0) + (-m.abs()).exp().ln_1p() - sample.share * m
}

fn loss_change(samples: &[Sample], margins: &[f64], j: usize, step: f64) -> f64 {
    let change = |(sample, &m): (&Sample, &f64)| {
        let moved = m + step * sample.features[j];
        sample.weight * (log_loss(sample, moved) - log_loss(sample, m))
    };
    samples.iter().zip(margins).map(change).sum()
}
