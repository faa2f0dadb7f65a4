//! How far a statistic of a game of votes would move with other votes.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use rayon::prelude::*;

use super::error::check_confidence;
use super::{EmpiricalError, EmpiricalGame, Interval, PairCounts};
use crate::MatrixGame;

/// The bootstrap distribution of a statistic: B. Efron (The Annals of Statistics 7, 1979). Made by
/// [`EmpiricalGame::bootstrap`].
#[derive(Clone, Debug, PartialEq)]
pub struct Bootstrap {
    estimate: Vec<f64>,
    /// For each entry of the statistic, its values in all replicates, in ascending order.
    sorted: Vec<Vec<f64>>,
    replicates: usize,
}

/// Why there is no bootstrap distribution. `E` is what the statistic can say.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BootstrapError<E> {
    /// No replicates.
    #[error(
        "the number of replicates is 0: a bootstrap needs at least one, and some hundreds for an interval"
    )]
    NoReplicates,
    /// The statistic failed on the votes as they are.
    #[error("the statistic failed on the recorded votes: {source}")]
    Estimate {
        /// What it said.
        source: E,
    },
    /// The statistic failed on resampled votes.
    #[error("the statistic failed in replicate {replicate}: {source}")]
    Statistic {
        /// The replicate, from 0; the first that failed.
        replicate: usize,
        /// What it said.
        source: E,
    },
    /// The statistic changed its length.
    #[error(
        "the statistic has {got} entries in replicate {replicate}, but {expected} on the recorded votes: the length must not depend on the votes"
    )]
    Length {
        /// The replicate, from 0.
        replicate: usize,
        /// Its number of entries.
        got: usize,
        /// That on the recorded votes.
        expected: usize,
    },
    /// The statistic is NaN.
    #[error("entry {entry} of the statistic is NaN in replicate {replicate}: it must be a number")]
    NotANumber {
        /// The replicate, from 0.
        replicate: usize,
        /// The entry.
        entry: usize,
    },
}

impl EmpiricalGame {
    /// Draws the votes again `replicates` times, each pair's own number of votes from its own
    /// wins, losses and ties with replacement, and evaluates `statistic` on the matrix of each: the
    /// Nash policy, Borda scores, Elo ratings, whatever has one length.
    ///
    /// Replicates are computed in parallel. Each has a stream of its own, keyed by (`seed`,
    /// replicate), so the result does not depend on the number of threads. A replicate costs one
    /// random number a vote.
    ///
    /// A pair whose votes all agree, one single vote included, is the same in every replicate: the
    /// bootstrap sees no doubt there. [`interval`](Self::interval) does.
    ///
    /// ```
    /// use inpo_game::{EmpiricalGame, PairCounts, nash};
    ///
    /// let mut game = EmpiricalGame::new(vec!["a".into(), "b".into()])?;
    /// game.add(0, 1, PairCounts { wins: 7, losses: 3, ties: 0 })?;
    /// let support = game.bootstrap(1000, 0, |game| nash(game).map(Vec::from))?;
    /// // a is the Nash policy, and stays it in 9 of 10 replicates: P(Binomial(10, 0.7) > 5) is
    /// // 0.85, and 0.10 more are ties.
    /// assert_eq!(support.estimate()[0], 1.0);
    /// assert!((support.positive_share(0) - 0.9).abs() < 0.06);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A [`BootstrapError`] that names the replicate.
    pub fn bootstrap<E: Send>(
        &self,
        replicates: usize,
        seed: u64,
        statistic: impl Fn(&MatrixGame) -> Result<Vec<f64>, E> + Sync,
    ) -> Result<Bootstrap, BootstrapError<E>> {
        if replicates == 0 {
            return Err(BootstrapError::NoReplicates);
        }
        let estimate =
            statistic(&self.to_matrix()).map_err(|source| BootstrapError::Estimate { source })?;
        // All are computed before one may fail: the first error by number, not by time, is told.
        let results: Vec<Result<Vec<f64>, E>> = (0..replicates)
            .into_par_iter()
            .map(|replicate| {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                rng.set_stream(replicate as u64);
                statistic(&self.resampled(&mut rng).to_matrix())
            })
            .collect();
        let mut sorted = vec![Vec::with_capacity(replicates); estimate.len()];
        for (replicate, result) in results.into_iter().enumerate() {
            let values =
                result.map_err(|source| BootstrapError::Statistic { replicate, source })?;
            if values.len() != estimate.len() {
                return Err(BootstrapError::Length {
                    replicate,
                    got: values.len(),
                    expected: estimate.len(),
                });
            }
            for (entry, (column, value)) in sorted.iter_mut().zip(values).enumerate() {
                if value.is_nan() {
                    return Err(BootstrapError::NotANumber { replicate, entry });
                }
                column.push(value);
            }
        }
        for column in &mut sorted {
            column.sort_unstable_by(f64::total_cmp);
        }
        Ok(Bootstrap {
            estimate,
            sorted,
            replicates,
        })
    }

    /// The game of as many votes, drawn with replacement pair by pair.
    fn resampled(&self, rng: &mut ChaCha8Rng) -> Self {
        let mut game = self.clone();
        for counts in game.pairs.values_mut() {
            let old = *counts;
            *counts = PairCounts::default();
            for _ in 0..old.total() {
                match rng.random_range(0..old.total()) {
                    vote if vote < old.wins => counts.wins += 1,
                    vote if vote < old.wins + old.losses => counts.losses += 1,
                    _ => counts.ties += 1,
                }
            }
        }
        game
    }
}

impl Bootstrap {
    /// The statistic on the recorded votes.
    #[must_use]
    pub fn estimate(&self) -> &[f64] {
        &self.estimate
    }

    /// The number of replicates.
    #[must_use]
    pub fn replicates(&self) -> usize {
        self.replicates
    }

    /// All values of an entry, in ascending order.
    ///
    /// # Panics
    /// If there is no such entry. So do the other methods.
    #[must_use]
    pub fn values(&self, entry: usize) -> &[f64] {
        &self.sorted[entry]
    }

    /// The mean of an entry over the replicates.
    #[must_use]
    pub fn mean(&self, entry: usize) -> f64 {
        self.values(entry).iter().sum::<f64>() / self.replicates as f64
    }

    /// The standard deviation of an entry over the replicates: the bootstrap's standard error.
    #[must_use]
    pub fn standard_error(&self, entry: usize) -> f64 {
        let mean = self.mean(entry);
        let squares = self.values(entry).iter().map(|v| (v - mean).powi(2));
        (squares.sum::<f64>() / self.replicates as f64).sqrt()
    }

    /// The percentile interval of an entry: the quantiles (1 - `confidence`) / 2 and
    /// (1 + `confidence`) / 2 of its values, interpolated between neighbours.
    ///
    /// # Errors
    /// [`EmpiricalError::Confidence`].
    pub fn interval(&self, entry: usize, confidence: f64) -> Result<Interval, EmpiricalError> {
        check_confidence(confidence)?;
        let tail = 0.5 * (1.0 - confidence);
        let values = self.values(entry);
        Ok(Interval {
            low: quantile(values, tail),
            high: quantile(values, 1.0 - tail),
        })
    }

    /// The share of replicates in which an entry is above 0. For a Nash policy: how often the
    /// action is in the support.
    #[must_use]
    pub fn positive_share(&self, entry: usize) -> f64 {
        let values = self.values(entry);
        let positive = values.len() - values.partition_point(|&v| v <= 0.0);
        positive as f64 / self.replicates as f64
    }
}

/// The quantile of values in ascending order: the smallest at 0, the largest at 1, linear between.
fn quantile(values: &[f64], share: f64) -> f64 {
    let place = share * (values.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(values.len() - 1);
    let (low, high) = (values[below], values[above]);
    // Equal infinities stay what they are.
    if low == high {
        low
    } else {
        low + (place - below as f64) * (high - low)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::PreferenceGame;

    fn duel(wins: u64, losses: u64, ties: u64) -> EmpiricalGame {
        let mut game = EmpiricalGame::new(vec!["a".into(), "b".into()]).unwrap();
        game.add(0, 1, PairCounts { wins, losses, ties }).unwrap();
        game
    }

    fn first(game: &MatrixGame) -> Result<Vec<f64>, Infallible> {
        Ok(vec![game.preference(0, 1).get()])
    }

    #[test]
    fn the_spread_is_the_binomial_one() {
        // sqrt(p (1 - p) / n) = sqrt(0.3 * 0.7 / 50) = 0.0648. A standard deviation of 4,000
        // replicates is known to 1 / sqrt(8000) = 1.1 %, the mean to 0.0648 / sqrt(4000) = 0.00102.
        // Bands of five of these.
        let bootstrap = duel(15, 35, 0).bootstrap(4000, 1, first).unwrap();
        let sd = (0.3_f64 * 0.7 / 50.0).sqrt();
        assert!((bootstrap.standard_error(0) / sd - 1.0).abs() < 0.056);
        assert!((bootstrap.mean(0) - 0.3).abs() < 0.0052);
        assert!((bootstrap.estimate()[0] - 0.3).abs() < 1e-15);
        assert_eq!(bootstrap.replicates(), 4000);
        // The 2.5 % and 97.5 % points of Binomial(50, 0.3) are 9 and 21 of 50; lattice step 1 / 50.
        let interval = bootstrap.interval(0, 0.95).unwrap();
        assert!((interval.low - 0.18).abs() < 0.021, "{interval:?}");
        assert!((interval.high - 0.42).abs() < 0.021, "{interval:?}");
    }

    #[test]
    fn ties_are_drawn_as_ties() {
        // A vote is 1, 0 or 1/2 with 0.2, 0.3, 0.5: variance 0.2 + 0.125 - 0.45^2 = 0.1225.
        let bootstrap = duel(8, 12, 20).bootstrap(4000, 2, first).unwrap();
        let sd = (0.1225_f64 / 40.0).sqrt();
        assert!((bootstrap.standard_error(0) / sd - 1.0).abs() < 0.056);
        // Without doubt among the votes there is none in the bootstrap.
        let sure = duel(0, 0, 9).bootstrap(50, 2, first).unwrap();
        assert_eq!((sure.mean(0), sure.standard_error(0)), (0.5, 0.0));
    }

    #[test]
    fn the_result_depends_on_the_seed_and_not_on_the_threads() {
        let game = duel(15, 35, 7);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let pool = pool.build().unwrap();
            pool.install(|| game.bootstrap(200, 9, first).unwrap())
        };
        assert_eq!(with(1), with(3));
        assert_ne!(with(1), game.bootstrap(200, 10, first).unwrap());
        // The first replicates of a longer run are those of a shorter one.
        let shorter = game.bootstrap(3, 9, first).unwrap();
        let longer = with(2);
        assert!(
            shorter
                .values(0)
                .iter()
                .all(|v| longer.values(0).contains(v))
        );
    }

    #[test]
    fn how_often_an_entry_is_positive() {
        // Is a preferred by more than half? P(Binomial(10, 0.7) > 5) = 0.84973 (tables); the
        // standard error of a share of 4,000 is 0.0057. A band of five.
        let sign = |game: &MatrixGame| {
            let p = game.preference(0, 1).get();
            Ok::<_, Infallible>(vec![p - 0.5, 0.5 - p])
        };
        let bootstrap = duel(7, 3, 0).bootstrap(4000, 4, sign).unwrap();
        assert!((bootstrap.positive_share(0) - 0.849_73).abs() < 0.029);
        // P(Binomial(10, 0.7) < 5) = 0.04735, standard error 0.0034.
        assert!((bootstrap.positive_share(1) - 0.047_35).abs() < 0.017);
    }

    #[test]
    fn quantiles_between_neighbours() {
        let values = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(quantile(&values, 0.0), 1.0);
        assert_eq!(quantile(&values, 0.5), 3.0);
        assert_eq!(quantile(&values, 0.75), 5.0); // place 2.25
        assert_eq!(quantile(&values, 1.0), 8.0);
        assert_eq!(quantile(&[7.0], 0.3), 7.0);
    }

    #[test]
    fn each_failure_has_its_sentence() {
        let game = duel(7, 3, 0);
        let text = game.bootstrap(0, 0, first).unwrap_err().to_string();
        assert!(text.contains("the number of replicates is 0"), "{text}");

        // Fails on the recorded votes (p = 0.7), or everywhere else.
        let fails = |at: bool| {
            move |game: &MatrixGame| {
                if (game.preference(0, 1).get() == 0.7) == at {
                    Err(std::fmt::Error)
                } else {
                    Ok(vec![])
                }
            }
        };
        let text = game.bootstrap(9, 0, fails(true)).unwrap_err().to_string();
        assert!(
            text.starts_with("the statistic failed on the recorded votes: "),
            "{text}"
        );
        let text = game.bootstrap(99, 0, fails(false)).unwrap_err().to_string();
        assert!(
            text.starts_with("the statistic failed in replicate "),
            "{text}"
        );

        let length = |game: &MatrixGame| {
            let recorded = game.preference(0, 1).get() == 0.7;
            Ok::<_, Infallible>(vec![0.0; if recorded { 2 } else { 1 }])
        };
        let text = game.bootstrap(99, 0, length).unwrap_err().to_string();
        assert!(text.contains("has 1 entries in replicate"), "{text}");
        let nan = |_: &MatrixGame| Ok::<_, Infallible>(vec![0.0, f64::NAN]);
        let text = game.bootstrap(9, 0, nan).unwrap_err().to_string();
        assert!(
            text.contains("entry 1 of the statistic is NaN in replicate 0"),
            "{text}"
        );
        let bootstrap = game.bootstrap(9, 0, first).unwrap();
        let text = bootstrap.interval(0, 0.0).unwrap_err().to_string();
        assert!(text.contains("the confidence is 0:"), "{text}");
    }
}
