//! CPython's `random.Random`, as far as few-shot examples are drawn with it.

use std::collections::HashSet;

use rand_mt::Mt;

/// The generator that `random.Random(seed)` is, with its `sample`.
#[derive(Debug, Clone)]
pub(super) struct Random(Mt);

impl Random {
    /// `random.Random(seed)`: the seed's 32-bit digits are the key of the generator.
    pub(super) fn new(seed: u32) -> Self {
        Self(Mt::new_with_key([seed]))
    }

    /// The places that `sample(population, count)` takes from a population of `size`, at least `count`.
    pub(super) fn sample(&mut self, size: usize, count: usize) -> Vec<usize> {
        // A set of places is smaller than a copy of the population from this size on.
        let mut least = 21_usize;
        if count > 5 {
            let power = (count as f64 * 3.0).ln() / 4.0_f64.ln();
            least += 4_usize.saturating_pow(power.ceil() as u32);
        }
        if size <= least {
            let mut pool: Vec<usize> = (0..size).collect();
            let draw = |taken: usize| {
                let last = size - taken - 1;
                let place = self.below(last + 1);
                let drawn = pool[place];
                pool[place] = pool[last];
                drawn
            };
            return (0..count).map(draw).collect();
        }
        let mut taken = HashSet::new();
        let draw = |_| loop {
            let place = self.below(size);
            if taken.insert(place) {
                break place;
            }
        };
        (0..count).map(draw).collect()
    }

    /// A number below `limit`, which is at least 1: as many bits as `limit` has, drawn until they are below it.
    fn below(&mut self, limit: usize) -> usize {
        let bits = usize::BITS - limit.leading_zeros();
        loop {
            let number = (self.0.next_u32() >> (32 - bits)) as usize;
            if number < limit {
                return number;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Case {
        seed: u32,
        size: usize,
        count: usize,
        draws: Vec<Vec<usize>>,
    }

    /// Draws recorded by `fixtures/benchmarks/make_random.py` on both sides of the size at which the way of drawing changes.
    #[test]
    fn samples_are_those_of_cpython() {
        let cases = include_str!("../../tests/fixtures/benchmarks/random.json");
        let cases: Vec<Case> = serde_json::from_str(cases).unwrap();
        assert_eq!(cases.len(), 16);
        for case in cases {
            let mut random = Random::new(case.seed);
            for draw in case.draws {
                assert_eq!(random.sample(case.size, case.count), draw);
            }
        }
    }
}
