//! Settings of the test, and what is wrong with settings and votes.

use serde::{Deserialize, Serialize};

/// Settings of the test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdequacyConfig {
    /// Blocks u v' - v u' of the larger model; one suffices for any three responses.
    pub rank: usize,
    /// Simulated data sets.
    pub simulations: usize,
    /// The share of false alarms that is allowed, in (0, 1).
    pub level: f64,
    /// The penalty on squared scores and skew parts, in both models; above 0. From 0.87 on, the circle of three single
    /// votes is no longer seen.
    pub ridge: f64,
    /// Seed of the simulations.
    pub seed: u64,
}

impl Default for AdequacyConfig {
    fn default() -> Self {
        Self {
            rank: 1,
            simulations: 199,
            level: 0.05,
            ridge: 0.5,
            seed: 0,
        }
    }
}

/// Votes or settings that are none.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AdequacyError {
    /// A response against itself.
    #[error("prompt {prompt}: response {response} is compared with itself")]
    Itself {
        /// The prompt's place in the list, counted from 0.
        prompt: usize,
        /// The response.
        response: usize,
    },
    /// More wins than votes, or less than none.
    #[error(
        "prompt {prompt}: response {first} has {wins} of {count} votes against {second}: wins must lie between 0 and the votes"
    )]
    Wins {
        /// The prompt's place in the list, counted from 0.
        prompt: usize,
        /// The first response.
        first: usize,
        /// The second response.
        second: usize,
        /// Its wins.
        wins: f64,
        /// The votes.
        count: u32,
    },
    /// No skew part.
    #[error("rank is 0: the larger model needs at least one skew block")]
    Rank,
    /// Too few simulations for the level.
    #[error(
        "simulations is {simulations}: the smallest p-value would be 1/{}, which is not below the level {level}; at least {least} are needed", simulations + 1
    )]
    Simulations {
        /// The simulations.
        simulations: usize,
        /// The level.
        level: f64,
        /// How many are needed.
        least: usize,
    },
    /// A level that is none.
    #[error("level is {0}: it must lie between 0 and 1, such as 0.05")]
    Level(f64),
    /// A ridge that is none.
    #[error("ridge is {0}: it must be above 0, or separable votes have no fit")]
    Ridge(f64),
}

impl AdequacyConfig {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// The first setting out of its range.
    pub fn validate(&self) -> Result<(), AdequacyError> {
        if self.rank == 0 {
            return Err(AdequacyError::Rank);
        }
        if !(self.level > 0.0 && self.level < 1.0) {
            return Err(AdequacyError::Level(self.level));
        }
        if !(self.ridge > 0.0 && self.ridge.is_finite()) {
            return Err(AdequacyError::Ridge(self.ridge));
        }
        let least = (1.0 / self.level - 1.0 - 1e-9).ceil() as usize;
        if self.simulations < least.max(1) {
            return Err(AdequacyError::Simulations {
                simulations: self.simulations,
                level: self.level,
                least: least.max(1),
            });
        }
        Ok(())
    }
}
