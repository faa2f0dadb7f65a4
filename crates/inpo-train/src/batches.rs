//! The batches of an optimisation: which pairs go through in which step, and in which order.

use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::config::TrainSection;
use crate::pair::TrainPair;

/// In which order the pairs come, with the seed of all that is drawn: that order, and the masks of the adapters'
/// dropout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As they stand, every epoch.
    Given(u64),
    /// Shuffled again each epoch.
    Shuffled(u64),
}

impl Order {
    fn seed(self) -> u64 {
        match self {
            Self::Given(seed) | Self::Shuffled(seed) => seed,
        }
    }

    /// The key of the dropout masks of a group of a step.
    pub(crate) fn dropout_key(self, step: usize, group: usize) -> u64 {
        let [step, group] = [step, group].map(|number| number as u64);
        let key = self.seed() ^ step.rotate_left(40) ^ group.rotate_left(20);
        ChaCha8Rng::seed_from_u64(key).random()
    }
}

/// Places of `pairs`, longest first by all tokens of a pair: memory peaks in a step's first group, and the pairs
/// of a group are of much the same length.
pub(crate) fn longest_first(pairs: &[&TrainPair]) -> Vec<usize> {
    let length = |pair: &TrainPair| {
        let explored = pair.explored.as_ref().map_or(0, |s| s.ids.len());
        pair.chosen.ids.len() + pair.rejected.ids.len() + explored
    };
    let mut places: Vec<usize> = (0..pairs.len()).collect();
    places.sort_by_key(|&i| std::cmp::Reverse(length(pairs[i])));
    places
}

/// Index batches of all steps, one epoch of them in memory.
#[derive(Debug)]
pub(crate) struct Batches {
    pairs: usize,
    size: usize,
    left: usize,
    rng: Option<ChaCha8Rng>,
    epoch: std::vec::IntoIter<usize>,
}

impl Batches {
    /// The batches of `config.steps(pairs)` steps; none where there is no pair.
    pub(crate) fn new(pairs: usize, config: &TrainSection, order: Order) -> Self {
        let rng = match order {
            Order::Given(_) => None,
            Order::Shuffled(seed) => Some(ChaCha8Rng::seed_from_u64(seed)),
        };
        Self {
            pairs,
            size: config.pairs_per_step(),
            left: if pairs == 0 { 0 } else { config.steps(pairs) },
            rng,
            epoch: Vec::new().into_iter(),
        }
    }
}

impl Iterator for Batches {
    type Item = Vec<usize>;

    fn next(&mut self) -> Option<Vec<usize>> {
        self.left = self.left.checked_sub(1)?;
        if self.epoch.len() == 0 {
            let mut order: Vec<usize> = (0..self.pairs).collect();
            if let Some(rng) = &mut self.rng {
                order.shuffle(rng);
            }
            self.epoch = order.into_iter();
        }
        Some(self.epoch.by_ref().take(self.size).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_is_seen_once_an_epoch() {
        let config = TrainSection {
            per_device_train_batch_size: 2,
            gradient_accumulation_steps: 2,
            num_train_epochs: 3.0,
            ..TrainSection::default()
        };
        let batches: Vec<Vec<usize>> = Batches::new(10, &config, Order::Shuffled(5)).collect();
        let sizes: Vec<usize> = batches.iter().map(Vec::len).collect();
        assert_eq!(sizes, [4, 4, 2, 4, 4, 2, 4, 4, 2]);
        for epoch in batches.chunks(3) {
            let mut seen: Vec<usize> = epoch.concat();
            seen.sort_unstable();
            assert_eq!(seen, (0..10).collect::<Vec<_>>());
        }
        let limited = TrainSection {
            max_steps: Some(4),
            ..config
        };
        let given = Batches::new(3, &limited, Order::Given(5));
        assert_eq!(given.collect::<Vec<_>>(), vec![vec![0, 1, 2]; 4]);
        assert_eq!(Batches::new(10, &limited, Order::Shuffled(5)).count(), 4);
        assert_eq!(Batches::new(0, &limited, Order::Given(5)).count(), 0);
    }

    /// As many steps as a number holds: they are not built before the first.
    #[test]
    fn steps_without_end_take_no_memory() {
        let endless = TrainSection {
            max_steps: Some(usize::MAX),
            per_device_train_batch_size: usize::MAX,
            gradient_accumulation_steps: usize::MAX,
            ..TrainSection::default()
        };
        let mut batches = Batches::new(2, &endless, Order::Given(0));
        assert_eq!(batches.nth(3), Some(vec![0, 1]));
        let long = TrainSection {
            num_train_epochs: f64::MAX,
            ..TrainSection::default()
        };
        assert_eq!(long.steps(10), usize::MAX);
    }

    /// 7, 9, 9 and 6 tokens, prompts included: the two of 9 stay in their order. With a third response of 10
    /// tokens the last has 16.
    #[test]
    fn the_longest_pairs_come_first() {
        let sequence = |count| inpo_policy::Sequence::new(&[1], &vec![3; count]);
        let pair = |chosen, rejected| {
            TrainPair::new(sequence(chosen), sequence(rejected), [0.0; 2], vec![])
        };
        let pairs = [pair(1, 4), pair(3, 4), pair(6, 1), pair(3, 1)];
        let mut members: Vec<&TrainPair> = pairs.iter().collect();
        assert_eq!(longest_first(&members), [1, 2, 0, 3]);
        let mut with_third = pairs[3].clone();
        with_third.explored = Some(sequence(9));
        members[3] = &with_third;
        assert_eq!(longest_first(&members), [3, 1, 2, 0]);
    }
}
