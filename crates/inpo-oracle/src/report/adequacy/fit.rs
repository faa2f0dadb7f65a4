//! Both models fitted to one prompt's votes.

use super::cholesky;

/// A step that gains less than this, in log-likelihood, is the last.
const SMALL_GAIN: f64 = 1e-5;

const MAX_STEPS: usize = 60;

/// Damping beyond which no step gains anything.
const MAX_DAMPING: f64 = 1e8;

/// Lengths of u and v that the climb may start with.
const SCALES: [f64; 4] = [0.25, 0.5, 1.0, 2.0];

/// Rounds of the power iteration. The start need not be exact.
const POWER_ROUNDS: usize = 24;

/// The votes of one pair of a prompt's responses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Duel {
    pub(crate) i: usize,
    pub(crate) j: usize,
    /// Votes for i; a share of one where the judge is not sure.
    pub(crate) wins: f64,
    pub(crate) count: u32,
}

/// The votes of one prompt, each pair of its `items` at most once.
#[derive(Clone, Debug)]
pub(crate) struct Votes {
    pub(crate) items: usize,
    pub(crate) duels: Vec<Duel>,
}

/// log(1 + e^x) and 1 / (1 + e^-x), with one exponential.
fn softplus_and_sigmoid(x: f64) -> (f64, f64) {
    let small = (-x.abs()).exp();
    let sigmoid = if x >= 0.0 { 1.0 } else { small } / (1.0 + small);
    (x.max(0.0) + small.ln_1p(), sigmoid)
}

pub(crate) fn sigmoid(x: f64) -> f64 {
    softplus_and_sigmoid(x).1
}

/// Scores that maximise the penalised likelihood, that maximum, and the curvature there.
pub(crate) struct ScoreFit {
    pub(crate) scores: Vec<f64>,
    pub(super) value: f64,
    /// The lower triangle of the Cholesky factor of curvature + ridge.
    pub(super) factor: Vec<f64>,
}

impl ScoreFit {
    /// The variance of each score, by the normal approximation of the posterior under a prior of variance 1 / ridge.
    pub(crate) fn variances(&self) -> Vec<f64> {
        let n = self.scores.len();
        let of = |k: usize| {
            let mut unit = vec![0.0; n];
            unit[k] = 1.0;
            cholesky::solve_lower(&self.factor, &mut unit);
            unit.iter().map(|x| x * x).sum()
        };
        (0..n).map(of).collect()
    }
}

impl Votes {
    /// log-likelihood - ridge / 2 |theta|^2 of theta = (s, u_1, v_1, u_2, v_2, ..) with
    /// logit_ij = s_i - s_j + sum_k (u_ik v_jk - v_ik u_jk).
    pub(super) fn value(&self, theta: &[f64], ridge: f64) -> f64 {
        let likelihood: f64 = self
            .duels
            .iter()
            .map(|duel| {
                let logit = self.logit(theta, duel);
                duel.wins * logit - f64::from(duel.count) * softplus_and_sigmoid(logit).0
            })
            .sum();
        likelihood - 0.5 * ridge * theta.iter().map(|x| x * x).sum::<f64>()
    }

    fn logit(&self, theta: &[f64], &Duel { i, j, .. }: &Duel) -> f64 {
        let mut logit = theta[i] - theta[j];
        for block in theta[self.items..].chunks_exact(2 * self.items) {
            let (u, v) = block.split_at(self.items);
            logit += u[i] * v[j] - v[i] * u[j];
        }
        logit
    }

    /// The gradient of [`value`](Self::value), and the expected curvature J' W J + ridge into the lower triangle.
    fn derivatives(&self, theta: &[f64], ridge: f64, gradient: &mut [f64], curvature: &mut [f64]) {
        let (n, size) = (self.items, theta.len());
        curvature.fill(0.0);
        for (k, (g, x)) in gradient.iter_mut().zip(theta).enumerate() {
            *g = -ridge * x;
            curvature[k * size + k] = ridge;
        }
        // The parameters that a logit depends on, in ascending order of blocks, and its derivatives by them.
        let mut slopes: Vec<(usize, f64)> = Vec::with_capacity(2 + 4 * (size / n));
        for duel in &self.duels {
            let &Duel { i, j, wins, count } = duel;
            let p = sigmoid(self.logit(theta, duel));
            let rest = wins - f64::from(count) * p;
            let weight = f64::from(count) * p * (1.0 - p);
            slopes.clear();
            slopes.extend([(i, 1.0), (j, -1.0)]);
            for (block, at) in theta[n..].chunks_exact(2 * n).zip((n..).step_by(2 * n)) {
                let (u, v) = block.split_at(n);
                slopes.extend([
                    (at + i, v[j]),
                    (at + j, -v[i]),
                    (at + n + i, -u[j]),
                    (at + n + j, u[i]),
                ]);
            }
            for &(a, slope) in &slopes {
                gradient[a] += rest * slope;
                let row = &mut curvature[a * size..(a + 1) * size];
                for &(b, other) in &slopes {
                    row[b] += weight * slope * other;
                }
            }
        }
    }

    /// Climbs from `theta` by damped Gauss-Newton steps (Levenberg and Marquardt); never goes down. Returns the value.
    fn climb(&self, theta: &mut Vec<f64>, ridge: f64) -> f64 {
        let size = theta.len();
        let mut value = self.value(theta, ridge);
        let mut gradient = vec![0.0; size];
        let mut curvature = vec![0.0; size * size];
        let mut damped = vec![0.0; size * size];
        let mut trial = vec![0.0; size];
        let mut damping = 0.0;
        for _ in 0..MAX_STEPS {
            self.derivatives(theta, ridge, &mut gradient, &mut curvature);
            let gain = loop {
                damped.copy_from_slice(&curvature);
                damped
                    .iter_mut()
                    .step_by(size + 1)
                    .for_each(|d| *d += damping);
                trial.copy_from_slice(&gradient);
                if cholesky::factor(&mut damped, size) {
                    cholesky::solve_lower(&damped, &mut trial);
                    cholesky::solve_upper(&damped, &mut trial);
                    trial
                        .iter_mut()
                        .zip(theta.iter())
                        .for_each(|(t, x)| *t += x);
                    let higher = self.value(&trial, ridge);
                    if higher >= value {
                        break higher - value;
                    }
                }
                damping = if damping == 0.0 { 0.1 } else { damping * 4.0 };
                if damping > MAX_DAMPING {
                    return value;
                }
            };
            std::mem::swap(theta, &mut trial);
            value += gain;
            damping = if damping < 0.05 { 0.0 } else { damping * 0.25 };
            if gain < SMALL_GAIN {
                break;
            }
        }
        value
    }

    /// The Bradley-Terry scores under a ridge.
    pub(crate) fn fit_scores(&self, ridge: f64) -> ScoreFit {
        let mut scores = vec![0.0; self.items];
        let value = self.climb(&mut scores, ridge);
        let mut gradient = vec![0.0; self.items];
        let mut factor = vec![0.0; self.items * self.items];
        self.derivatives(&scores, ridge, &mut gradient, &mut factor);
        // Positive definite, as the ridge is.
        cholesky::factor(&mut factor, self.items);
        ScoreFit {
            scores,
            value,
            factor,
        }
    }

    /// 2 (l1 - l0) >= 0: twice what `rank` skew blocks add to the penalised likelihood of scores alone.
    ///
    /// The larger model climbs from the scores and the planes that gain most there. A second start, from the next
    /// planes, doubled the time and did not change how often circles were found.
    pub(super) fn statistic(&self, rank: usize, ridge: f64) -> f64 {
        let small = self.fit_scores(ridge);
        let mut planes = self.planes(&small.scores, rank);
        // Where a plane gains less than the ridge takes, scores alone are the maximum.
        planes.retain(|(gain, ..)| *gain > ridge);
        if planes.is_empty() {
            return 0.0;
        }
        let at = |scale: f64| {
            let mut theta = small.scores.clone();
            for (_, u, v) in &planes {
                theta.extend(u.iter().chain(v).map(|x| scale * x));
            }
            theta
        };
        let value = |theta: &Vec<f64>| self.value(theta, ridge);
        let trials = SCALES.map(at);
        let highest = trials
            .into_iter()
            .max_by(|a, b| value(a).total_cmp(&value(b)));
        let large = highest.map_or(small.value, |mut theta| self.climb(&mut theta, ridge));
        2.0 * (large - small.value).max(0.0)
    }

    /// The planes (u, v) along which a skew part u v' - v u' gains most at the given scores, with what it gains per
    /// squared length: the leading pairs of singular vectors of the residuals wins_ij - n_ij sigmoid(s_i - s_j).
    fn planes(&self, scores: &[f64], count: usize) -> Vec<(f64, Vec<f64>, Vec<f64>)> {
        let n = self.items;
        let mut residuals = vec![0.0; n * n];
        for &Duel { i, j, wins, count } in &self.duels {
            let rest = wins - f64::from(count) * sigmoid(scores[i] - scores[j]);
            residuals[i * n + j] = rest;
            residuals[j * n + i] = -rest;
        }
        let mut planes = Vec::with_capacity(count);
        for _ in 0..count.min(n / 2) {
            let product = |x: &[f64]| -> Vec<f64> {
                let row = |row: &[f64]| row.iter().zip(x).map(|(a, b)| a * b).sum();
                residuals.chunks_exact(n).map(row).collect()
            };
            // The largest row is no stranger to the leading plane.
            let Some(mut v) = residuals
                .chunks_exact(n)
                .max_by(|a, b| norm(a).total_cmp(&norm(b)))
                .map(<[f64]>::to_vec)
            else {
                break;
            };
            if norm(&v) < 1e-12 {
                break;
            }
            // A skew matrix turns within its planes, so that its square scales each.
            for _ in 0..POWER_ROUNDS {
                scale_to_unit(&mut v);
                v = product(&product(&v));
                if norm(&v) < 1e-12 {
                    break;
                }
            }
            scale_to_unit(&mut v);
            let mut u = product(&v);
            let gain = norm(&u);
            if gain < 1e-12 {
                break;
            }
            scale_to_unit(&mut u);
            for i in 0..n {
                for j in 0..n {
                    residuals[i * n + j] -= gain * (u[i] * v[j] - v[i] * u[j]);
                }
            }
            planes.push((gain, u, v));
        }
        planes
    }
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn scale_to_unit(x: &mut [f64]) {
    let size = norm(x);
    if size > 0.0 {
        x.iter_mut().for_each(|x| *x /= size);
    }
}
