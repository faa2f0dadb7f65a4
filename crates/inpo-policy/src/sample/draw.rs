//! Drawing one token from one row of logits, on the host.

use std::borrow::Cow;
use std::collections::HashSet;

use inpo_kernels::logits::{RUN, exponentials, largest};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use crate::sample::GenerationConfig;

/// What the random draws of one sampling depend on, beside each prompt's number and each sample's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct DrawKey {
    /// The run's seed.
    pub seed: u64,
    /// Tells samplings of one seed apart: the iteration of a loop, 0 outside a loop.
    pub stream: u64,
}

impl DrawKey {
    /// The key of a seed and a stream.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        Self { seed, stream }
    }

    /// The key of one sample.
    #[must_use]
    pub fn sample(self, prompt: u64, sample: u64) -> SampleKey {
        SampleKey {
            seed: self.seed,
            stream: self.stream,
            prompt,
            sample,
        }
    }
}

/// What a sample's random draws depend on, and nothing else: neither the batch nor its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SampleKey {
    /// The run's seed.
    pub seed: u64,
    /// The stream of its sampling.
    pub stream: u64,
    /// The prompt's number.
    pub prompt: u64,
    /// The sample's number among the prompt's K.
    pub sample: u64,
}

impl SampleKey {
    /// The generator of this key.
    pub fn rng(&self) -> ChaCha8Rng {
        let mut key = [0_u8; 32];
        let words = [self.seed, self.stream, self.prompt, self.sample];
        for (bytes, word) in key.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        ChaCha8Rng::from_seed(key)
    }
}

/// A drawn token with its log-prob under the untempered, untruncated distribution, in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// Token id.
    pub id: u32,
    /// `log softmax(logits)[id]`: what the trainer will compute for this token.
    pub logp: f64,
}

/// One row's sampler: its settings, its stream of uniforms and the ids it has seen.
#[derive(Debug)]
pub struct TokenSampler {
    temperature: f64,
    top_k: Option<usize>,
    top_p: f64,
    min_p: f64,
    penalty: f64,
    /// Ids of the prompt and of the draws so far, where there is a penalty on them.
    seen: HashSet<u32>,
    rng: ChaCha8Rng,
}

impl TokenSampler {
    /// A sampler for `key` with the settings of `config`, after a prompt.
    pub fn new(config: &GenerationConfig, key: SampleKey, prompt: &[u32]) -> Self {
        let mut sampler = Self {
            temperature: config.temperature,
            top_k: config.top_k,
            top_p: config.top_p,
            min_p: config.min_p,
            penalty: config.repetition_penalty,
            seen: HashSet::new(),
            rng: key.rng(),
        };
        if sampler.penalty != 1.0 {
            sampler.seen.extend(prompt);
        }
        sampler
    }

    /// Draws from `logits`, skipping the `banned` ids. `None` when a logit is NaN or
    /// plus infinity, or nothing has a finite logit.
    ///
    /// Temperature 0 takes the largest logit (the first of equals) and draws nothing. Otherwise one
    /// uniform is inverted through the cumulative distribution of `softmax(logits / temperature)`,
    /// truncated in the order of `transformers`: top-k, top-p of what that keeps, min-p (relative to the
    /// largest). The repetition penalty comes before all of them.
    pub fn draw(&mut self, logits: &[f32], banned: &[u32]) -> Option<Draw> {
        let max = largest(logits)?;
        let mut weights = Vec::new();
        let mut sums = exponentials(logits, max, 1.0, &mut weights);
        let logsumexp = f64::from(max) + sums.iter().sum::<f64>().ln();
        let scores = self.scores(logits, banned);
        let highest = largest(&scores)?;
        let best = scores.iter().position(|&score| score == highest)?;
        let id = if self.temperature == 0.0 {
            best
        } else {
            let changed = matches!(scores, Cow::Owned(_));
            if changed || self.temperature != 1.0 {
                let scale = 1.0 / self.temperature as f32;
                sums = exponentials(&scores, highest, scale, &mut weights);
            }
            self.invert(&weights, &sums, best)
        };
        let logp = f64::from(logits[id]) - logsumexp;
        if self.penalty != 1.0 {
            self.seen.insert(id as u32);
        }
        Some(Draw {
            id: id as u32,
            logp,
        })
    }

    /// The logits with the penalty, minus infinity where an id is banned.
    fn scores<'a>(&self, logits: &'a [f32], banned: &[u32]) -> Cow<'a, [f32]> {
        let mut scores = Cow::Borrowed(logits);
        if !self.seen.is_empty() {
            let penalty = self.penalty as f32;
            let scores = scores.to_mut();
            for &id in &self.seen {
                if let Some(score) = scores.get_mut(id as usize) {
                    *score = if *score < 0.0 {
                        *score * penalty
                    } else {
                        *score / penalty
                    };
                }
            }
        }
        for &id in banned {
            if (id as usize) < logits.len() {
                scores.to_mut()[id as usize] = f32::NEG_INFINITY;
            }
        }
        scores
    }

    /// Inverts one uniform through the cumulative distribution of the kept `weights`, by id: a last bit of a
    /// logit moves the borders between ids a little, and exchanges none. `sums` are those of each [`RUN`] weights.
    fn invert(&mut self, weights: &[f32], sums: &[f64], best: usize) -> usize {
        let uniform: f64 = self.rng.random();
        let kept = self.truncate(weights);
        let total: f64 = match &kept {
            None => sums.iter().sum(),
            Some(ids) => ids.iter().map(|&id| f64::from(weights[id])).sum(),
        };
        let mut left = uniform * total;
        let mut run = 0;
        if kept.is_none() {
            while run + 1 < sums.len() && left >= sums[run] {
                left -= sums[run];
                run += 1;
            }
        }
        let mut pick = |id: usize| {
            left -= f64::from(weights[id]);
            left < 0.0 && weights[id] > 0.0
        };
        let picked = match kept {
            Some(ids) => ids.into_iter().find(|&id| pick(id)),
            None => (run * RUN..weights.len()).find(|&id| pick(id)),
        };
        picked.unwrap_or(best)
    }

    /// Ids that survive top-k, top-p and min-p, in their order; `None` when nothing truncates.
    fn truncate(&self, weights: &[f32]) -> Option<Vec<usize>> {
        let top_k = self.top_k.unwrap_or(weights.len()).min(weights.len());
        if top_k == weights.len() && self.top_p >= 1.0 && self.min_p <= 0.0 {
            return None;
        }
        let descending = |a: &usize, b: &usize| weights[*b].total_cmp(&weights[*a]).then(a.cmp(b));
        let mut ids: Vec<usize> = (0..weights.len()).collect();
        if top_k < ids.len() {
            ids.select_nth_unstable_by(top_k - 1, descending);
            ids.truncate(top_k);
        }
        if self.top_p < 1.0 {
            let total: f64 = ids.iter().map(|&id| f64::from(weights[id])).sum();
            // Ids below this weight sum to less than what may be left out, so that all of them are, and
            // need not be sorted.
            let least = (1.0 - self.top_p) * total / ids.len() as f64;
            ids.retain(|&id| f64::from(weights[id]) >= least);
            ids.sort_unstable_by(descending);
            let mut sum = 0.0;
            let enough = ids.iter().position(|&id| {
                sum += f64::from(weights[id]);
                sum >= self.top_p * total
            });
            ids.truncate(enough.map_or(ids.len(), |last| last + 1));
        }
        if self.min_p > 0.0 {
            let largest = weights.iter().copied().fold(0.0, f32::max);
            let least = self.min_p * f64::from(largest);
            ids.retain(|&id| f64::from(weights[id]) >= least);
        }
        ids.sort_unstable();
        Some(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(sample: u64) -> SampleKey {
        SampleKey {
            seed: 7,
            stream: 0,
            prompt: 3,
            sample,
        }
    }

    fn sampler(change: impl FnOnce(&mut GenerationConfig)) -> TokenSampler {
        let mut config = GenerationConfig::default();
        change(&mut config);
        TokenSampler::new(&config, key(0), &[])
    }

    /// Chi-square of 20000 draws against exact probabilities; 3 degrees of freedom, 0.1 % point
    /// 16.27. The seed is fixed, so the test cannot flicker.
    #[test]
    fn draws_follow_the_softmax() {
        let logits = [0.5_f32, -1.0, 2.0, 0.0];
        let weights: Vec<f64> = logits.iter().map(|&l| f64::from(l).exp()).collect();
        let total: f64 = weights.iter().sum();
        let mut sampler = sampler(|_| {});
        let mut counts = [0.0; 4];
        let draws = 20_000;
        for _ in 0..draws {
            let draw = sampler.draw(&logits, &[]).unwrap();
            counts[draw.id as usize] += 1.0;
            let expected = (weights[draw.id as usize] / total).ln();
            assert!((draw.logp - expected).abs() < 1e-6);
        }
        let chi: f64 = counts
            .iter()
            .zip(&weights)
            .map(|(n, w)| (n - draws as f64 * w / total).powi(2) / (draws as f64 * w / total))
            .sum();
        assert!(chi < 16.27, "chi-square {chi}");
    }

    #[test]
    fn temperature_zero_takes_the_first_of_the_largest() {
        let mut sampler = sampler(|c| c.temperature = 0.0);
        let draw = sampler.draw(&[1.0, 3.0, 3.0], &[]).unwrap();
        assert_eq!(draw.id, 1);
        assert_eq!(sampler.draw(&[1.0, 3.0, 2.0], &[1]).unwrap().id, 2);
    }

    /// Probabilities 0.5, 0.3, 0.15, 0.05: top-p 0.7 keeps the first two, top-k 1 the first,
    /// min-p 0.25 (of the largest, 0.125) the first three.
    #[test]
    fn truncation_keeps_what_it_should() {
        let logits = [0.5_f32, 0.3, 0.15, 0.05].map(f32::ln);
        let seen = |change: fn(&mut GenerationConfig)| {
            let mut sampler = sampler(change);
            let mut seen = [false; 4];
            for _ in 0..2000 {
                seen[sampler.draw(&logits, &[]).unwrap().id as usize] = true;
            }
            seen
        };
        assert_eq!(seen(|c| c.top_p = 0.7), [true, true, false, false]);
        assert_eq!(seen(|c| c.top_k = Some(1)), [true, false, false, false]);
        assert_eq!(seen(|c| c.min_p = 0.25), [true, true, true, false]);
        assert_eq!(seen(|_| {}), [true; 4]);
    }

    #[test]
    fn streams_depend_on_the_key_alone() {
        let first: Vec<u64> = (0..4).map(|k| key(k).rng().random()).collect();
        let again: Vec<u64> = (0..4).map(|k| key(k).rng().random()).collect();
        assert_eq!(first, again);
        assert_ne!(first[0], first[1]);
    }

    #[test]
    fn non_finite_logits_draw_nothing() {
        assert_eq!(sampler(|_| {}).draw(&[0.0, f32::NAN], &[]), None);
        assert_eq!(sampler(|_| {}).draw(&[f32::NEG_INFINITY; 2], &[]), None);
        assert_eq!(sampler(|_| {}).draw(&[0.0, f32::INFINITY], &[]), None);
    }
}
