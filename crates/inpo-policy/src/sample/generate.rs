//! Batched decoding with one prefill for the K samples of a prompt.

use std::time::{Duration, Instant};

use burn::tensor::Tensor;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::sampler::{SampleKey, Sampler};
use crate::config::ModelConfig;
use crate::error::PolicyError;
use crate::model::{Decoder, KvCache, PromptFill, index_tensor};

/// Settings of sampling, with Hugging Face's names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GenerationConfig {
    /// Samples per prompt, K.
    pub num_generations: usize,
    /// Largest number of tokens of a response, its end token included.
    pub max_new_tokens: usize,
    /// No end token among the first this many tokens (as in `transformers`).
    pub min_new_tokens: usize,
    /// Divides the logits; 0 is greedy.
    pub temperature: f64,
    /// Keeps the most likely tokens up to this probability; 1 keeps all.
    pub top_p: f64,
    /// Keeps this many most likely tokens.
    pub top_k: Option<usize>,
    /// Keeps tokens at least this likely relative to the most likely one; 0 keeps all.
    pub min_p: f64,
}

impl Default for GenerationConfig {
    /// K = 8 at temperature 1, nothing truncated: the policy itself, as the theory asks.
    fn default() -> Self {
        Self {
            num_generations: 8,
            max_new_tokens: 256,
            min_new_tokens: 0,
            temperature: 1.0,
            top_p: 1.0,
            top_k: None,
            min_p: 0.0,
        }
    }
}

impl GenerationConfig {
    /// Checks every setting, in sentences.
    pub fn validate(&self) -> Result<(), PolicyError> {
        let fail = |key: &str, got: String, allowed: &str| {
            Err(PolicyError::InvalidSetting {
                key: format!("generation.{key}"),
                got,
                allowed: allowed.to_owned(),
            })
        };
        if self.num_generations == 0 {
            return fail("num_generations", "0".into(), "at least 1");
        }
        if self.max_new_tokens == 0 {
            return fail("max_new_tokens", "0".into(), "at least 1");
        }
        if self.min_new_tokens > self.max_new_tokens {
            let got = self.min_new_tokens.to_string();
            return fail("min_new_tokens", got, "at most max_new_tokens");
        }
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            let got = self.temperature.to_string();
            return fail("temperature", got, "0 (greedy) or a positive number");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return fail("top_p", self.top_p.to_string(), "above 0 and at most 1");
        }
        if self.top_k == Some(0) {
            return fail("top_k", "0".into(), "at least 1, or absent");
        }
        if !(0.0..=1.0).contains(&self.min_p) {
            return fail("min_p", self.min_p.to_string(), "from 0 to 1");
        }
        Ok(())
    }
}

/// Why a response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model emitted an end token, which is the response's last id.
    Stop,
    /// The token limit cut it off; there is no end token.
    Length,
}

/// One sampled response.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Token ids, the end token included when the model emitted it.
    pub ids: Vec<u32>,
    /// Log-prob of each id at temperature 1 without truncation, in nats.
    pub logps: Vec<f64>,
    /// Why it ended.
    pub finish_reason: FinishReason,
}

/// A prompt to answer: its ids and the number its random draws are keyed by.
#[derive(Debug, Clone)]
pub struct PromptTask {
    /// Token ids of the prompt.
    pub ids: Vec<u32>,
    /// The prompt's number.
    pub number: u64,
}

/// The samples of every prompt, with what it took.
#[derive(Debug, Clone, Default)]
pub struct Generations {
    /// `samples[p][k]`: K samples of each prompt, in the order asked.
    pub samples: Vec<Vec<Sample>>,
    /// Prompt tokens computed (each prompt once).
    pub prefill_tokens: usize,
    /// Time of the prefill.
    pub prefill_time: Duration,
    /// Response tokens drawn.
    pub decode_tokens: usize,
    /// Time of decoding.
    pub decode_time: Duration,
}

/// Rows decoded together at most, and the cache's size limit in tokens: 16 384 slots of SmolLM2 are
/// 750 MB. The K samples of one prompt always stay together, whatever their number. A wide batch reads and packs the weights less often.
const MAX_ROWS: usize = 128;
const MAX_CACHE_TOKENS: usize = 16_384;

/// Samples `config.num_generations` responses for each prompt.
///
/// Draws are keyed by (seed, iteration, prompt number, sample), so a sample does not depend on which
/// prompts share its batch. `progress` is told the number of finished samples as they finish.
///
/// # Errors
///
/// Invalid settings, an empty prompt, a prompt that leaves no room for `max_new_tokens` in the
/// model's context, an id beyond the vocabulary, non-finite logits.
pub fn generate(
    decoder: &Decoder,
    model: &ModelConfig,
    prompts: &[PromptTask],
    config: &GenerationConfig,
    (seed, iteration): (u64, u64),
    progress: &mut dyn FnMut(usize),
) -> Result<Generations, PolicyError> {
    config.validate()?;
    for prompt in prompts {
        check_prompt(prompt, model, config)?;
    }
    let mut result = Generations {
        samples: vec![Vec::new(); prompts.len()],
        ..Generations::default()
    };
    let mut order: Vec<usize> = (0..prompts.len()).collect();
    order.sort_by_key(|&p| std::cmp::Reverse(prompts[p].ids.len()));
    let mut rest = order.as_slice();
    while let Some(&longest) = rest.first() {
        let slots = prompts[longest].ids.len() + config.max_new_tokens;
        let rows = MAX_ROWS.min(MAX_CACHE_TOKENS / slots);
        let count = (rows / config.num_generations).clamp(1, rest.len());
        let (members, tail) = rest.split_at(count);
        rest = tail;
        let tasks: Vec<&PromptTask> = members.iter().map(|&p| &prompts[p]).collect();
        let mut batch = Batch::new(decoder, model, &tasks, config, (seed, iteration));
        batch.run(&mut result, progress)?;
        let mut samples = batch.finished.into_iter();
        for &p in members {
            result.samples[p] = samples.by_ref().take(config.num_generations).collect();
        }
    }
    Ok(result)
}

pub(crate) fn check_prompt(
    prompt: &PromptTask,
    model: &ModelConfig,
    config: &GenerationConfig,
) -> Result<(), PolicyError> {
    let number = prompt.number;
    if prompt.ids.is_empty() {
        return Err(PolicyError::EmptyPrompt { number });
    }
    let limit = model
        .max_position_embeddings
        .saturating_sub(config.max_new_tokens);
    if prompt.ids.len() > limit {
        let tokens = prompt.ids.len();
        return Err(PolicyError::PromptTooLong {
            number,
            tokens,
            limit,
        });
    }
    match prompt
        .ids
        .iter()
        .find(|&&id| id as usize >= model.vocab_size)
    {
        Some(&id) => Err(PolicyError::TokenOutOfVocabulary {
            id,
            vocab_size: model.vocab_size,
        }),
        None => Ok(()),
    }
}

/// Rows that are decoded together: K rows for each of some prompts.
struct Batch<'a> {
    decoder: &'a Decoder,
    model: &'a ModelConfig,
    config: &'a GenerationConfig,
    tasks: &'a [&'a PromptTask],
    rows: Vec<Row>,
    finished: Vec<Sample>,
}

/// One sample of the batch. A finished row stays, computing nothing of use, until enough rows are
/// finished to be worth copying the cache without them.
struct Row {
    live: bool,
    /// Index of its place in `finished`.
    place: usize,
    prompt_len: usize,
    sampler: Sampler,
}

impl<'a> Batch<'a> {
    fn new(
        decoder: &'a Decoder,
        model: &'a ModelConfig,
        tasks: &'a [&'a PromptTask],
        config: &'a GenerationConfig,
        (seed, iteration): (u64, u64),
    ) -> Self {
        let copies = config.num_generations;
        let empty = Sample {
            ids: Vec::new(),
            logps: Vec::new(),
            finish_reason: FinishReason::Length,
        };
        let row = |place: usize| {
            let task = tasks[place / copies];
            let key = SampleKey {
                seed,
                iteration,
                prompt: task.number,
                sample: (place % copies) as u64,
            };
            Row {
                live: true,
                place,
                prompt_len: task.ids.len(),
                sampler: Sampler::new(config, key),
            }
        };
        Self {
            decoder,
            model,
            config,
            tasks,
            rows: (0..tasks.len() * copies).map(row).collect(),
            finished: vec![empty; tasks.len() * copies],
        }
    }

    fn run(
        &mut self,
        result: &mut Generations,
        progress: &mut dyn FnMut(usize),
    ) -> Result<(), PolicyError> {
        let started = Instant::now();
        let lengths: Vec<usize> = self.tasks.iter().map(|t| t.ids.len()).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let slots = longest + self.config.max_new_tokens;
        let device = self.decoder.device();
        let mut cache = KvCache::new(
            self.model,
            self.rows.len(),
            slots,
            (&device, self.decoder.dtype()),
        );
        let hidden = self.prefill(&lengths, longest, &mut cache);
        let mut logits = self.logits(hidden);
        result.prefill_tokens += lengths.iter().sum::<usize>();
        result.prefill_time += started.elapsed();

        let started = Instant::now();
        for step in 0..self.config.max_new_tokens {
            let ids = self.draw(logits, step, result, progress)?;
            let live = self.rows.iter().filter(|row| row.live).count();
            if live == 0 {
                break;
            }
            let ids = self.drop_finished(ids, live, &mut cache);
            let positions: Vec<usize> = self.rows.iter().map(|r| r.prompt_len + step).collect();
            let hidden: Vec<usize> = self.rows.iter().map(|r| longest - r.prompt_len).collect();
            let slot = longest + step;
            let x = self
                .decoder
                .decode(&ids, &positions, &hidden, slot, &mut cache);
            logits = self.logits(x);
        }
        result.decode_time += started.elapsed();
        Ok(())
    }

    /// Computes each prompt once; returns the last hidden state of each row.
    fn prefill(&self, lengths: &[usize], longest: usize, cache: &mut KvCache) -> Tensor<2> {
        let mut ids = vec![0; self.tasks.len() * longest];
        for (row, task) in ids.chunks_exact_mut(longest).zip(self.tasks) {
            row[..task.ids.len()].copy_from_slice(&task.ids);
        }
        let fill = PromptFill {
            lengths,
            copies: self.config.num_generations,
            slots: longest,
        };
        let hidden = self.decoder.prefill(&ids, fill, cache);
        let copies = self.config.num_generations;
        let last = (0..self.rows.len()).map(|row| {
            let prompt = row / copies;
            prompt * longest + lengths[prompt] - 1
        });
        let last = index_tensor(last, &hidden.device());
        hidden.select(0, last)
    }

    fn logits(&self, hidden: Tensor<2>) -> Vec<f32> {
        hidden
            .matmul(self.decoder.head().transpose())
            .try_into_vec_as::<f32>()
            .expect("a float tensor reads as f32")
    }

    /// Draws the next token of each live row and records it; a finished row repeats id 0.
    fn draw(
        &mut self,
        logits: Vec<f32>,
        step: usize,
        result: &mut Generations,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<u32>, PolicyError> {
        let stops = &self.model.eos_token_ids;
        let early = step < self.config.min_new_tokens;
        let banned: &[u32] = if early { stops } else { &[] };
        let draws: Vec<_> = self
            .rows
            .par_iter_mut()
            .zip(logits.par_chunks_exact(self.model.vocab_size))
            .map(|(row, logits)| row.live.then(|| row.sampler.draw(logits, banned)))
            .collect();
        let mut ids = Vec::with_capacity(self.rows.len());
        for (row, draw) in self.rows.iter_mut().zip(draws) {
            let Some(draw) = draw else {
                ids.push(0);
                continue;
            };
            let draw = draw.ok_or(PolicyError::NonFiniteLogits { step })?;
            result.decode_tokens += 1;
            ids.push(draw.id);
            let sample = &mut self.finished[row.place];
            sample.ids.push(draw.id);
            sample.logps.push(draw.logp);
            if stops.contains(&draw.id) {
                sample.finish_reason = FinishReason::Stop;
                row.live = false;
            } else if sample.ids.len() == self.config.max_new_tokens {
                row.live = false;
            }
            if !row.live {
                progress(1);
            }
        }
        Ok(ids)
    }

    /// Lets finished rows leave the batch once they are a quarter of it; returns the ids of the rows
    /// that stay.
    fn drop_finished(&mut self, ids: Vec<u32>, live: usize, cache: &mut KvCache) -> Vec<u32> {
        if live * 4 > self.rows.len() * 3 {
            return ids;
        }
        let kept: Vec<usize> = (0..self.rows.len())
            .filter(|&r| self.rows[r].live)
            .collect();
        cache.keep_rows(&index_tensor(kept.iter().copied(), &self.decoder.device()));
        self.rows.retain(|row| row.live);
        kept.into_iter().map(|row| ids[row]).collect()
    }
}
