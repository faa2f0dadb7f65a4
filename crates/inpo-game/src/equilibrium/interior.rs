//! The central path: an interior-point method for symmetric zero-sum games.

use crate::linalg::{Lu, dot};

/// Two points of the central path of a skew-symmetric game.
pub(super) struct CentralPath {
    /// The policy of the path where sum_y x_y s_y is 1e-7: positive, adds to 1. It depends on the
    /// game alone, not on the way here nor on the order of the actions.
    pub(super) centre: Vec<f64>,
    /// The policy at the end: positive, adds to 1.
    pub(super) policy: Vec<f64>,
    /// The slack s = v 1 - A x at the end, positive: by how much an action misses the value v,
    /// which tends to 0. In units of the largest |A_ij|.
    pub(super) slack: Vec<f64>,
}

/// Far more than are ever needed: some 15 for hundreds of actions.
const MAX_STEPS: usize = 100;

/// The duality measure sum_y x_y s_y at which the path is kept as its centre. Smaller is nearer to
/// the centre of the Nash policies, larger is less disturbed by rounding (1e-16 / measure).
const CENTRE: f64 = 1e-7;

/// The products x_y s_y of the centre are equal to this relative accuracy.
const CENTRED: f64 = 1e-10;

/// The duality measure at which the path has ended. x and s are about 1, so a product of 1e-14
/// still tells which of the two tends to 0.
const ENDED: f64 = 1e-14;

/// Steps go this far towards the boundary.
const TOWARDS_BOUNDARY: f64 = 0.99;

/// Follows the central path of the game with payoffs A = -A^T, n x n in row-major order:
///
/// ```text
/// x_y s_y = mu for all y,   s = v 1 - A x,   sum x = 1,   mu -> 0
/// ```
///
/// The linear program of a symmetric zero-sum game, minimise v subject to A x <= v 1 on the
/// simplex, is its own dual, and x^T A x = 0 makes the duality gap v itself: v = sum_y x_y s_y.
/// So the primal and the dual iterate of an interior-point method are one and the same vector, and
/// a step solves one system of n + 1 equations,
///
/// ```text
/// [ diag(s / x) - A   1 ] [ dx ]   [ c / x - (v 1 - A x - s) ]
/// [        1^T        0 ] [ dv ] = [ 1 - sum x               ]     c = target - x s - second order
/// ```
///
/// whose symmetric part is positive: it is never singular on the way. Mehrotra's predictor and
/// corrector (SIAM J. Optimization 2, 1992) choose the target: one factorisation, two solutions.
///
/// The path ends in the relative interior of the set of Nash policies, near its analytic centre.
/// There, x_y > 0 exactly for the actions that some Nash policy plays and s_y > 0 exactly for the
/// actions that win less than 1/2 against some Nash policy, and each action is one or the other
/// (Goldman and Tucker's strict complementarity, 1956). A simplex method ends in a vertex, which
/// tells neither.
pub(super) fn follow_central_path(skew: &[f64], n: usize) -> CentralPath {
    let largest = skew.iter().fold(0.0_f64, |most, a| most.max(a.abs()));
    let uniform = vec![1.0 / n as f64; n];
    if largest == 0.0 {
        // All ties, or one action: every policy is a Nash policy, and this is their centre.
        return CentralPath {
            centre: uniform.clone(),
            policy: uniform,
            slack: vec![0.0; n],
        };
    }
    let skew: Vec<f64> = skew.iter().map(|a| a / largest).collect();
    let rates = product(&skew, &uniform);
    // A slack between the smallest and three times the smallest: a well centred start.
    let spread = rates
        .iter()
        .fold(0.0_f64, |most, rate| most.max(rate.abs()));
    let value = 2.0 * spread + 1.0 / n as f64;
    let mut path = Path {
        slack: rates.iter().map(|rate| value - rate).collect(),
        policy: uniform,
        value,
        skew,
    };
    path.reduce_to(CENTRE);
    path.centre(CENTRE / n as f64);
    let centre = normalised(&path.policy);
    path.reduce_to(ENDED);
    CentralPath {
        centre,
        policy: normalised(&path.policy),
        slack: path.slack,
    }
}

fn normalised(policy: &[f64]) -> Vec<f64> {
    let sum: f64 = policy.iter().sum();
    policy.iter().map(|x| x / sum).collect()
}

fn product(matrix: &[f64], x: &[f64]) -> Vec<f64> {
    let rows = matrix.chunks_exact(x.len());
    rows.map(|row| dot(row, x)).collect()
}

struct Path {
    skew: Vec<f64>,
    policy: Vec<f64>,
    slack: Vec<f64>,
    value: f64,
}

impl Path {
    /// Steps until x . s is at most `measure`, or rounding allows none.
    fn reduce_to(&mut self, measure: f64) {
        let mut steps = 0;
        while dot(&self.policy, &self.slack) > measure && steps < MAX_STEPS && self.step(None) {
            steps += 1;
        }
    }

    /// Newton's method for x_y s_y = `target`, the same for all actions.
    fn centre(&mut self, target: f64) {
        for _ in 0..MAX_STEPS {
            let products = self.policy.iter().zip(&self.slack).map(|(x, s)| x * s);
            let miss = products.map(|p| (p / target - 1.0).abs());
            if miss.fold(0.0, f64::max) <= CENTRED || !self.step(Some(target)) {
                return;
            }
        }
    }

    /// One step towards the products `target`, by default as near to 0 as seems good. False if
    /// rounding allows none.
    fn step(&mut self, target: Option<f64>) -> bool {
        let n = self.policy.len();
        let (x, s) = (&self.policy, &self.slack);
        let mut matrix = vec![1.0; (n + 1) * (n + 1)];
        for (i, row) in matrix.chunks_exact_mut(n + 1).take(n).enumerate() {
            let payoffs = &self.skew[i * n..(i + 1) * n];
            row.iter_mut().zip(payoffs).for_each(|(m, a)| *m = -a);
            row[i] = s[i] / x[i];
        }
        matrix[n * (n + 1) + n] = 0.0;
        let Some(system) = Lu::new(matrix, n + 1) else {
            return false;
        };
        // What rounding has left of s = v 1 - A x and sum x = 1.
        let rates = product(&self.skew, x);
        let rest: Vec<f64> = rates
            .iter()
            .zip(s)
            .map(|(rate, s)| self.value - rate - s)
            .collect();
        let missing = 1.0 - x.iter().sum::<f64>();

        // dx, ds and dv that bring x s to x s + c, to first order.
        let solve = |c: &[f64]| {
            let mut rhs: Vec<f64> = (0..n).map(|i| c[i] / x[i] - rest[i]).collect();
            rhs.push(missing);
            system.solve(&mut rhs);
            let dv = rhs.pop().expect("the last unknown");
            let ds = (0..n).map(|i| (c[i] - s[i] * rhs[i]) / x[i]).collect();
            (rhs, ds, dv)
        };
        let products: Vec<f64> = x.iter().zip(s).map(|(x, s)| x * s).collect();
        let change: Vec<f64> = if let Some(target) = target {
            products.iter().map(|p| target - p).collect()
        } else {
            let to_zero: Vec<f64> = products.iter().map(|p| -p).collect();
            let (dx, ds, _): (Vec<f64>, Vec<f64>, f64) = solve(&to_zero);
            let length = to_boundary(x, &dx).min(to_boundary(s, &ds)).min(1.0);
            let reached: f64 = (0..n)
                .map(|i| (x[i] + length * dx[i]) * (s[i] + length * ds[i]))
                .sum();
            let measure: f64 = products.iter().sum();
            let target = measure / n as f64 * (reached / measure).powi(3);
            (0..n)
                .map(|i| target - products[i] - dx[i] * ds[i])
                .collect()
        };
        let (dx, ds, dv) = solve(&change);
        let boundary = to_boundary(x, &dx).min(to_boundary(s, &ds));
        let length = (TOWARDS_BOUNDARY * boundary).min(1.0);
        if !(length > 1e-10 && dx.iter().chain(&ds).all(|d| d.is_finite())) {
            return false;
        }
        let walk = |at: &mut [f64], by: &[f64]| {
            at.iter_mut().zip(by).for_each(|(a, b)| *a += length * b);
        };
        walk(&mut self.policy, &dx);
        walk(&mut self.slack, &ds);
        self.value += length * dv;
        true
    }
}

/// The largest length for which `at + length * by` is not negative.
fn to_boundary(at: &[f64], by: &[f64]) -> f64 {
    let falls = at.iter().zip(by).filter(|&(_, &b)| b < 0.0);
    falls.map(|(a, b)| -a / b).fold(f64::INFINITY, f64::min)
}
