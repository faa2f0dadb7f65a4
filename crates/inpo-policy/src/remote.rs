//! Models behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp, or a paid service.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use serde::{Deserialize, Serialize};

use crate::error::PolicyError;
use crate::generator::{Answer, Generator, Prompt};
use crate::logps::Sequence;
use crate::sample::GenerationConfig;
use crate::tokenizer::TextCodec;

mod http;
#[cfg(test)]
mod tests;
mod wire;

use http::Client;
use wire::Ask;

/// Where a server is and how it is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteConfig {
    /// The address up to and including the version, for instance `http://localhost:8000/v1`.
    pub base_url: String,
    /// The model's name on the server.
    pub model: String,
    /// What is asked.
    #[serde(default)]
    pub endpoint: Endpoint,
    /// The environment variable that holds the key; absent: no key is sent.
    #[serde(default)]
    pub api_key_env: Option<String>,
    /// Whether to ask for the log-prob of each token. vLLM gives those of the untempered, untruncated model;
    /// other servers may not.
    #[serde(default)]
    pub logprobs: bool,
    /// Whether to ask for token ids in vLLM's words (`return_token_ids`, `return_tokens_as_token_ids`). A
    /// server that knows neither gives text, or refuses.
    #[serde(default)]
    pub token_ids: bool,
    /// Responses asked for in one request at most; absent: all of a prompt's. 1 suits servers without `n`, and
    /// gives each sample a seed of its own.
    #[serde(default)]
    pub samples_per_request: Option<usize>,
    /// Requests in flight at a time.
    #[serde(default = "default_concurrency")]
    pub concurrency: usize,
    /// Longest wait for one reply, in seconds.
    #[serde(default = "default_timeout")]
    pub timeout_seconds: f64,
    /// How often a request is sent again after a reply of 408, 429 or 5xx or a lost connection.
    #[serde(default = "default_retries")]
    pub max_retries: usize,
    /// The first wait before that, in seconds; it doubles each time, up to 30. `Retry-After` wins, up to 60.
    #[serde(default = "default_wait")]
    pub retry_seconds: f64,
}

fn default_concurrency() -> usize {
    16
}

fn default_timeout() -> f64 {
    600.0
}

fn default_retries() -> usize {
    5
}

fn default_wait() -> f64 {
    0.5
}

/// What of a server is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// `/chat/completions`: conversations; the server has the chat template.
    #[default]
    Chat,
    /// `/completions`: token ids, and conversations where a codec is there to render them.
    Completions,
}

impl RemoteConfig {
    /// A server with the default settings.
    #[must_use]
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            model: model.into(),
            endpoint: Endpoint::default(),
            api_key_env: None,
            logprobs: false,
            token_ids: false,
            samples_per_request: None,
            concurrency: default_concurrency(),
            timeout_seconds: default_timeout(),
            max_retries: default_retries(),
            retry_seconds: default_wait(),
        }
    }

    /// Checks every setting, in sentences.
    ///
    /// # Errors
    ///
    /// The first setting out of its range.
    pub fn validate(&self) -> Result<(), PolicyError> {
        let fail = |key: &str, got: String, allowed: &str| {
            Err(PolicyError::InvalidSetting {
                key: key.to_owned(),
                got,
                allowed: allowed.to_owned(),
            })
        };
        let web = ["http://", "https://"];
        if !web.iter().any(|start| self.base_url.starts_with(start)) {
            let allowed = "an address such as http://localhost:8000/v1";
            return fail("base_url", format!("{:?}", self.base_url), allowed);
        }
        if self.concurrency == 0 {
            return fail("concurrency", "0".into(), "at least 1");
        }
        if self.samples_per_request == Some(0) {
            return fail("samples_per_request", "0".into(), "at least 1, or absent");
        }
        let year = 366.0 * 86_400.0;
        if !(self.timeout_seconds > 0.0 && self.timeout_seconds <= year) {
            let got = self.timeout_seconds.to_string();
            return fail("timeout_seconds", got, "above 0, at most a year");
        }
        if !(0.0..=60.0).contains(&self.retry_seconds) {
            let got = self.retry_seconds.to_string();
            return fail("retry_seconds", got, "from 0 to 60");
        }
        Ok(())
    }
}

/// A model behind a server.
#[derive(Debug)]
pub struct RemoteModel {
    config: RemoteConfig,
    client: Client,
    codec: Option<Arc<TextCodec>>,
}

impl RemoteModel {
    /// The model that `config` names. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// Invalid settings; an environment variable for the key that is not set.
    pub fn new(config: RemoteConfig) -> Result<Self, PolicyError> {
        config.validate()?;
        let client = Client::new(&config)?;
        Ok(Self {
            config,
            client,
            codec: None,
        })
    }

    /// With the model's own tokenizer and chat template, which turn conversations into ids for
    /// [`Endpoint::Completions`].
    #[must_use]
    pub fn with_codec(self, codec: Arc<TextCodec>) -> Self {
        Self {
            codec: Some(codec),
            ..self
        }
    }

    fn codec(&self) -> Result<&TextCodec, PolicyError> {
        self.codec.as_deref().ok_or_else(|| PolicyError::Remote {
            url: self.config.base_url.clone(),
            reason: "`endpoint = \"completions\"` takes token ids, and no tokenizer was given to make them \
                     of a conversation; give ids, a tokenizer, or ask `chat`"
                .to_owned(),
        })
    }

    /// Runs `work` on each of `items` on `concurrency` threads; `done` is told of each that succeeds.
    fn on_threads<T: Sync, R: Send>(
        &self,
        items: &[T],
        work: impl Fn(&T) -> Result<R, PolicyError> + Sync,
        done: &mut dyn FnMut(&T),
    ) -> Result<Vec<R>, PolicyError> {
        let next = AtomicUsize::new(0);
        let (sender, receiver) = mpsc::channel();
        let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
        std::thread::scope(|scope| {
            for _ in 0..self.config.concurrency.min(items.len()) {
                let (next, work, sender) = (&next, &work, sender.clone());
                scope.spawn(move || {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(item) = items.get(index) else { return };
                        if sender.send((index, work(item))).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            for (index, result) in receiver {
                match result {
                    Ok(result) => {
                        results[index] = Some(result);
                        done(&items[index]);
                    }
                    Err(error) => {
                        // No thread takes another item.
                        next.store(items.len(), Ordering::Relaxed);
                        return Err(error);
                    }
                }
            }
            Ok(())
        })?;
        Ok(results.into_iter().flatten().collect())
    }
}

impl Generator for RemoteModel {
    fn name(&self) -> String {
        format!("{} at {}", self.config.model, self.config.base_url)
    }

    /// As it says, with the settings in vLLM's words where OpenAI has none (`top_k`, `min_p`,
    /// `repetition_penalty`, `min_tokens`, `stop_token_ids`), and only where they are not the default. The seed
    /// of a request is made of seed, iteration, prompt and first sample; whether equal seeds mean equal texts is
    /// the server's affair. A stop string is not part of a server's text.
    fn answer(
        &self,
        prompts: &[Prompt],
        config: &GenerationConfig,
        seed_and_iteration: (u64, u64),
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<Vec<Answer>>, PolicyError> {
        config.validate()?;
        let total = config.num_generations;
        let at_once = match config.temperature == 0.0 {
            // Servers refuse several greedy samples.
            true => 1,
            false => self.config.samples_per_request.unwrap_or(total).min(total),
        };
        let mut asks = Vec::new();
        for prompt in prompts {
            for first in (0..total).step_by(at_once) {
                let samples = first..total.min(first + at_once);
                asks.push(Ask { prompt, samples });
            }
        }
        let ask = |ask: &Ask<'_>| {
            let body = ask.body(&self.config, config, seed_and_iteration, || self.codec())?;
            let reply = self.client.post(self.config.endpoint.path(), &body)?;
            let answers = wire::answers(&reply, ask.samples.len(), self.config.endpoint);
            answers.map_err(|reason| self.client.error(self.config.endpoint.path(), reason))
        };
        let answers = self.on_threads(&asks, ask, &mut |ask| progress(ask.samples.len()))?;
        let mut all = answers.into_iter().flatten();
        let of_prompt = |_| all.by_ref().take(total).collect();
        Ok(prompts.iter().map(of_prompt).collect())
    }

    /// By `/completions` with `echo`, whatever the endpoint of answers is: vLLM and SGLang give the log-probs
    /// of a prompt, most others do not.
    fn score(&self, sequences: &[Sequence]) -> Result<Vec<Vec<f64>>, PolicyError> {
        let path = Endpoint::Completions.path();
        let score = |sequence: &Sequence| {
            let body = wire::echo(&self.config.model, sequence);
            let reply = self.client.post(path, &body)?;
            wire::echoed(&reply, sequence).map_err(|reason| self.client.error(path, reason))
        };
        self.on_threads(sequences, score, &mut |_| {})
    }
}
