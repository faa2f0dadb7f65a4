//! Whether scores explain the answers, or the preference is cyclic beyond noise.
//!
//! A circle among three responses may be noise: fair coins make one of every four triples cyclic. The test asks whether the
//! votes have more circular structure than Bradley-Terry with the same votes a pair would show by chance. For the
//! responses to each prompt it compares
//!
//! ```text
//! small:  logit P(i beats j) = s_i - s_j
//! large:  logit P(i beats j) = s_i - s_j + sum_{k <= rank} (u_ik v_jk - v_ik u_jk)
//! ```
//!
//! both at the maximum of log-likelihood - ridge / 2 |parameters|^2, which is finite for separable votes too. The
//! statistic is the likelihood ratio T = sum_p 2 (l1_p - l0_p) >= 0 over prompts.
//!
//! # The reference
//!
//! T has no textbook law: u and v are not identified where there is no skew part, and a prompt has as many scores as
//! responses, however few its votes. So the p-value is that of a bootstrap: votes are simulated from Bradley-Terry in
//! the same design (the same pairs, the same number of votes each) and both models are fitted again,
//! p = (1 + #{T* >= T}) / (1 + simulations).
//!
//! Simulating from the fitted scores would not be honest. With one vote a pair, the scores of a prompt whose
//! three answers happen to be transitive are fitted as far apart as the ridge lets them, so that circles hardly come back,
//! and pooled over prompts a judge of fair coins would be called cyclic: the problem of incidental parameters (J. Neyman and
//! E. Scott, Econometrica 16, 1948). So scores are taken as draws of a normal law whose spread is estimated from all prompts, and
//! each simulation draws the scores of a prompt from their posterior before it draws votes.
//! With many votes the posterior is the fit; with few it is the law of all prompts.
//!
//! False alarms at the level 5 %, in 200 simulated data sets for each of 36 designs (normal, uniform and mixed laws of
//! scores, standard deviations 0.5 and 2): 0 to 8.5 %, 5.0 % on average, with three votes a pair or more; 0 to 1.5 % with
//! single votes, where the spread takes up most of what noise could have explained.
//!
//! # What it can see
//!
//! - One vote on each of three responses says nothing by itself; pooled over prompts it does, but only where circles
//!   are more frequent than the 1/4 of fair coins: below, noise of scores close together explains them.
//! - Where even fair coins reach the largest statistic more often than the level, no answer could have been significant:
//!   [`AdequacyVerdict::TooFewData`].
//! - Probabilities enter as votes in part, but simulated votes are whole, hence noisier: for a judge that answers in
//!   probabilities the test errs to the side of Bradley-Terry.

mod cholesky;
mod config;
pub(crate) mod fit;
mod spread;
mod votes;

pub use config::{AdequacyConfig, AdequacyError};
pub use votes::{PairVotes, votes};

use std::fmt;

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use fit::Votes;
use spread::{Scores, draw_votes};
use votes::gather;

/// Up to this many votes it is checked whether any answer could be significant.
const FEW_VOTES: u32 = 60;

/// Statistics this close are the same: a fit ends at a gain of 1e-5.
const SAME: f64 = 1e-3;

/// What the test says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdequacyVerdict {
    /// Scores and noise explain the votes.
    BradleyTerryAdequate,
    /// The votes have more circular structure than scores and noise explain.
    Cyclic,
    /// No answer could have been significant.
    TooFewData,
}

impl fmt::Display for AdequacyVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BradleyTerryAdequate => {
                "Scores (Bradley-Terry) explain the votes up to noise; no circular preference is shown."
            }
            Self::Cyclic => {
                "The preference is circular beyond noise: no scores (Bradley-Terry) explain the votes."
            }
            Self::TooFewData => {
                "There are too few votes to tell a circular preference from noise: vote more than once on a pair, or on more prompts."
            }
        })
    }
}

/// Whether Bradley-Terry is adequate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adequacy {
    /// What the test says.
    pub verdict: AdequacyVerdict,
    /// T = sum over prompts of 2 (l1 - l0), in nats.
    pub statistic: f64,
    /// The mean statistic of the simulated data sets.
    pub expected: f64,
    /// The share of data sets, this one included, with a statistic as large; none without a prompt that can show a
    /// circle.
    pub p_value: Option<f64>,
    /// Simulated data sets.
    pub simulations: usize,
    /// Skew blocks of the larger model.
    pub rank: usize,
    /// Prompts whose compared pairs close a circle; others say nothing.
    pub prompts: usize,
    /// The standard deviation of scores over responses, in log-odds, estimated from all prompts.
    pub score_spread: f64,
}

impl fmt::Display for Adequacy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.verdict)?;
        match self.p_value {
            Some(p) => write!(
                f,
                " Likelihood ratio {:.2} against {:.2} expected of noise, p = {p:.3} ({} simulations, rank {}, prompts: {}).",
                self.statistic, self.expected, self.simulations, self.rank, self.prompts
            ),
            None => write!(f, " No prompt has three responses compared in a circle."),
        }
    }
}

/// Tests whether Bradley-Terry explains the votes on each prompt's responses, all prompts together; see the module.
///
/// Votes on the same pair are added up. A simulation draws one random number a vote. Simulations run in parallel, each with a random stream of its own, keyed by
/// (seed, simulation): the result does not depend on the number of threads.
///
/// ```
/// use inpo_oracle::report::adequacy::{
///     AdequacyConfig, AdequacyVerdict, PairVotes, bradley_terry_adequacy,
/// };
///
/// // Rock, paper, scissors: each beats the next in 18 of 20 votes.
/// let pair = |first, second| PairVotes { first, second, wins: 18.0, count: 20 };
/// let circle = vec![pair(0, 1), pair(1, 2), pair(2, 0)];
/// let found = bradley_terry_adequacy(&[circle], &AdequacyConfig::default())?;
/// assert_eq!(found.verdict, AdequacyVerdict::Cyclic);
/// # Ok::<(), inpo_oracle::report::adequacy::AdequacyError>(())
/// ```
///
/// # Errors
///
/// Settings out of range; votes that are none.
pub fn bradley_terry_adequacy(
    prompts: &[Vec<PairVotes>],
    config: &AdequacyConfig,
) -> Result<Adequacy, AdequacyError> {
    config.validate()?;
    let mut used = Vec::with_capacity(prompts.len());
    for (prompt, pairs) in prompts.iter().enumerate() {
        used.extend(gather(prompt, pairs)?);
    }
    let statistic = |prompts: &[Votes]| -> f64 {
        let of = |votes: &Votes| votes.statistic(config.rank, config.ridge);
        prompts.iter().map(of).sum()
    };
    let observed = statistic(&used);
    let mut found = Adequacy {
        verdict: AdequacyVerdict::TooFewData,
        statistic: observed,
        expected: 0.0,
        p_value: None,
        simulations: config.simulations,
        rank: config.rank,
        prompts: used.len(),
        score_spread: 0.0,
    };
    if used.is_empty() {
        return Ok(found);
    }
    let scores = Scores::estimate(&used, config.seed);
    let simulate = |stream: usize, coins: bool| -> f64 {
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        rng.set_stream(stream as u64);
        let zeros = vec![0.0; used.iter().map(|votes| votes.items).max().unwrap_or(0)];
        let scores = if coins {
            vec![zeros.as_slice(); used.len()]
        } else {
            scores.draw(&mut rng)
        };
        let pairs = used.iter().zip(scores);
        let drawn = pairs.map(|(votes, scores)| draw_votes(votes, scores, &mut rng));
        statistic(&drawn.collect::<Vec<_>>())
    };
    let run = |coins: bool| -> Vec<f64> {
        let first = if coins { config.simulations } else { 0 };
        let streams = (first..first + config.simulations).into_par_iter();
        streams.map(|stream| simulate(stream, coins)).collect()
    };
    let simulated = run(false);
    let total = (config.simulations + 1) as f64;
    let as_large = simulated.iter().filter(|&&t| t >= observed - SAME).count();
    let p_value = (as_large + 1) as f64 / total;
    let votes: u32 = used.iter().flat_map(|v| &v.duels).map(|d| d.count).sum();
    let too_few = votes <= FEW_VOTES && {
        let coins = run(true);
        let largest = coins.iter().copied().fold(observed, f64::max);
        let as_large = coins.iter().filter(|&&t| t >= largest - SAME).count();
        as_large as f64 / total > config.level
    };
    found.expected = simulated.iter().sum::<f64>() / config.simulations as f64;
    found.p_value = Some(p_value);
    found.score_spread = scores.spread;
    found.verdict = if too_few {
        AdequacyVerdict::TooFewData
    } else if p_value <= config.level {
        AdequacyVerdict::Cyclic
    } else {
        AdequacyVerdict::BradleyTerryAdequate
    };
    Ok(found)
}

#[cfg(test)]
mod tests;
