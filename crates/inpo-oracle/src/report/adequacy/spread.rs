//! How far apart scores are, over all prompts: the law from which data sets without cycles are simulated.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use rayon::prelude::*;

use super::cholesky;
use super::fit::{Duel, Votes, sigmoid};

/// The standard deviations that are searched: below the first, scores are as good as equal; above the last, votes are
/// as good as certain.
const RANGE: (f64, f64) = (0.02, 10.0);

const GRID: usize = 12;

const GOLDEN_STEPS: usize = 10;

/// Keeps the draws of scores apart from those of votes, which have the same seed.
const POSTERIOR: u64 = 0x5bd1_e995_9e37_79b9;

/// Draws of scores that an integral over them is made of, half of them the mirror image of the others.
const DRAWS: usize = 64;

/// The draws are this much wider than the normal approximation of the posterior, whose tails are too light.
const WIDER: f64 = 1.2;

/// The spread of scores over all prompts, and their posterior in each, as weighted draws.
pub(super) struct Scores {
    /// The standard deviation of the normal law of scores.
    pub(super) spread: f64,
    posteriors: Vec<Posterior>,
}

/// Scores of one prompt, drawn from nearly their posterior.
struct Posterior {
    draws: Vec<Vec<f64>>,
    /// Sums of the weights of the draws up to each.
    sums: Vec<f64>,
    /// log of the integral of likelihood and law.
    evidence: f64,
}

impl Scores {
    /// The standard deviation of scores drawn from a normal law that makes the votes of all prompts likeliest,
    ///
    /// ```text
    /// maximise sum_p log int exp(l_p(s)) N(s; 0, sigma^2) ds
    /// ```
    ///
    /// The integral is taken by importance sampling from the normal approximation around the integrand's maximum.
    /// Laplace's approximation alone is far too low where votes are few: with one vote on each pair of three
    /// responses it says 0.5 for 1. The draws are the same for every sigma, so that the sum is smooth in it.
    pub(super) fn estimate(prompts: &[Votes], seed: u64) -> Self {
        let posteriors = |log_sigma: f64| -> Vec<Posterior> {
            let of = |(place, votes)| Posterior::new(votes, log_sigma, place, seed);
            prompts.par_iter().enumerate().map(of).collect()
        };
        let evidence =
            |log_sigma: f64| -> f64 { posteriors(log_sigma).iter().map(|p| p.evidence).sum() };
        let (low, high) = (RANGE.0.ln(), RANGE.1.ln());
        let width = (high - low) / (GRID - 1) as f64;
        let place = |k: usize| low + width * k as f64;
        let best = (0..GRID)
            .map(|k| (evidence(place(k)), k))
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map_or(0, |(_, k)| k);
        let (mut a, mut b) = (
            place(best.saturating_sub(1)),
            place((best + 1).min(GRID - 1)),
        );
        let ratio = 0.5 * (5f64.sqrt() - 1.0);
        let (mut x, mut y) = (b - ratio * (b - a), a + ratio * (b - a));
        let (mut at_x, mut at_y) = (evidence(x), evidence(y));
        for _ in 0..GOLDEN_STEPS {
            if at_x >= at_y {
                (b, y, at_y) = (y, x, at_x);
                x = b - ratio * (b - a);
                at_x = evidence(x);
            } else {
                (a, x, at_x) = (x, y, at_y);
                y = a + ratio * (b - a);
                at_y = evidence(y);
            }
        }
        let log_sigma = 0.5 * (a + b);
        Self {
            spread: log_sigma.exp(),
            posteriors: posteriors(log_sigma),
        }
    }

    /// Scores of each prompt, given its votes.
    pub(super) fn draw<'a>(&'a self, rng: &mut ChaCha8Rng) -> Vec<&'a [f64]> {
        self.posteriors.iter().map(|p| p.draw(rng)).collect()
    }
}

impl Posterior {
    fn new(votes: &Votes, log_sigma: f64, place: usize, seed: u64) -> Self {
        let precision = (-2.0 * log_sigma).exp();
        let fit = votes.fit_scores(precision);
        let items = votes.items as f64;
        let constant = items * (WIDER.ln() - log_sigma)
            - 0.5 * cholesky::log_determinant(&fit.factor, votes.items);
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ POSTERIOR);
        rng.set_stream(place as u64);
        let mut draws = Vec::with_capacity(DRAWS);
        let mut logs = Vec::with_capacity(DRAWS);
        for _ in 0..DRAWS / 2 {
            let mut noise: Vec<f64> = fit.scores.iter().map(|_| normal(&mut rng)).collect();
            let half_square = 0.5 * noise.iter().map(|z| z * z).sum::<f64>();
            cholesky::solve_upper(&fit.factor, &mut noise);
            for side in [WIDER, -WIDER] {
                let pairs = fit.scores.iter().zip(&noise);
                let scores: Vec<f64> = pairs.map(|(s, z)| s + side * z).collect();
                // Likelihood and law over the density of the draw; 2 pi cancels.
                logs.push(votes.value(&scores, precision) + constant + half_square);
                draws.push(scores);
            }
        }
        let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut sum = 0.0;
        let add = |log: &f64| {
            sum += (log - largest).exp();
            sum
        };
        let sums: Vec<f64> = logs.iter().map(add).collect();
        Self {
            draws,
            evidence: largest + (sum / DRAWS as f64).ln(),
            sums,
        }
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> &[f64] {
        let total = self.sums[self.sums.len() - 1];
        let place = rng.random::<f64>() * total;
        let drawn = self.sums.partition_point(|&sum| sum <= place);
        &self.draws[drawn.min(self.draws.len() - 1)]
    }
}

/// A standard normal number, by Box and Muller.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.random::<f64>()).cos()
}

/// As many votes for each pair as there are, from Bradley-Terry with these scores.
pub(super) fn draw_votes(votes: &Votes, scores: &[f64], rng: &mut ChaCha8Rng) -> Votes {
    let draw = |&Duel { i, j, count, .. }: &Duel| {
        let p = sigmoid(scores[i] - scores[j]);
        let won = (0..count).filter(|_| rng.random::<f64>() < p).count();
        Duel {
            i,
            j,
            wins: won as f64,
            count,
        }
    };
    Votes {
        items: votes.items,
        duels: votes.duels.iter().map(draw).collect(),
    }
}
