//! Models behind an OpenAI-compatible server: vLLM, SGLang, llama.cpp, or a paid service.

use std::path::PathBuf;
use std::sync::Arc;

use inpo_data::http::{Client, ServerConfig};
use inpo_data::{DataError, Prompt};
use serde::{Deserialize, Serialize};

use crate::error::PolicyError;
use crate::logps::Sequence;
use crate::sample::{DrawKey, GenerationConfig, SamplingCost};
use crate::sampler::{Answers, Sampler, Samples};
use crate::tokenizer::TextCodec;

#[cfg(test)]
mod tests;
mod wire;

use wire::{Answer, Ask};

/// Where a server is and how it is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteConfig {
    /// The address up to and including the version, for instance `http://localhost:8000/v1`; without user, password or
    /// query.
    pub base_url: String,
    /// The model's name on the server.
    pub model: String,
    /// What is asked.
    #[serde(default)]
    pub endpoint: Endpoint,
    /// The environment variable that holds the key; absent: no key is sent.
    #[serde(default)]
    pub api_key_env: Option<String>,
    /// A PEM file with the authorities that an `https` server's certificate may come from, and no others; absent: those of
    /// `INPO_CA_FILE`, else Mozilla's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Whether the key may be sent over plain `http` to another machine.
    #[serde(default)]
    pub allow_insecure_http: bool,
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
    /// How often a request is sent again after a reply of 408, 409, 425, 429 or 5xx or a lost connection, but not once it has
    /// taken 10 minutes, or `timeout_seconds` where that is longer.
    #[serde(default = "default_retries")]
    pub max_retries: usize,
    /// The first wait before that, in seconds; it doubles each time, up to 30. `Retry-After` wins, up to 60.
    #[serde(default = "default_wait")]
    pub retry_seconds: f64,
}

fn default_concurrency() -> usize {
    ServerConfig::new("").concurrency
}

fn default_timeout() -> f64 {
    ServerConfig::new("").timeout_seconds
}

fn default_retries() -> usize {
    ServerConfig::new("").max_retries
}

fn default_wait() -> f64 {
    ServerConfig::new("").retry_seconds
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
            ca_file: None,
            allow_insecure_http: false,
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
        if let Some((key, got, allowed)) = self.server().out_of_range() {
            return fail(key, got, allowed);
        }
        if self.samples_per_request == Some(0) {
            return fail("samples_per_request", "0".into(), "at least 1, or absent");
        }
        Ok(())
    }

    fn server(&self) -> ServerConfig {
        ServerConfig {
            base_url: self.base_url.clone(),
            api_key_env: self.api_key_env.clone(),
            ca_file: self.ca_file.clone(),
            allow_insecure_http: self.allow_insecure_http,
            concurrency: self.concurrency,
            timeout_seconds: self.timeout_seconds,
            max_retries: self.max_retries,
            retry_seconds: self.retry_seconds,
        }
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
    /// Invalid settings; an environment variable for the key that is not set; a key that would travel unencrypted to another
    /// machine; a file of authorities that cannot be read.
    pub fn new(config: RemoteConfig) -> Result<Self, PolicyError> {
        config.validate()?;
        let client = Client::new(&config.server())?;
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

    /// The answers, where their ids are those of their texts as far as a tokenizer can tell.
    fn checked(&self, answers: Vec<Answer>) -> Result<Vec<Answer>, String> {
        if let Some(codec) = &self.codec {
            for answer in answers.iter().filter(|answer| answer.has_text) {
                wire::check_ids(codec, &answer.completion)?;
            }
        }
        Ok(answers)
    }

    fn codec(&self) -> Result<&TextCodec, PolicyError> {
        let missing = || {
            DataError::Server {
            url: self.config.base_url.clone(),
            reason: "`endpoint = \"completions\"` takes token ids, and no tokenizer was given to make them \
                     of a conversation; give ids, a tokenizer, or ask `chat`"
                .to_owned(),
        }
        };
        Ok(self.codec.as_deref().ok_or_else(missing)?)
    }
}

impl Sampler for RemoteModel {
    fn name(&self) -> String {
        format!("{} at {}", self.config.model, self.config.base_url)
    }

    /// Makes ids of a conversation for [`Endpoint::Completions`]; [`Endpoint::Chat`] takes conversations, and ids
    /// that stand beside one are left to the server's own template.
    fn prepare(&self, prompt: &mut Prompt, _config: &GenerationConfig) -> Result<(), PolicyError> {
        match self.config.endpoint {
            Endpoint::Completions if prompt.token_ids.is_none() => {
                let codec = self.codec()?;
                let ids = codec.encode_prompt_with(&prompt.messages, &prompt.template)?;
                prompt.token_ids = Some(ids);
            }
            Endpoint::Chat if !prompt.messages.is_empty() => prompt.token_ids = None,
            Endpoint::Completions | Endpoint::Chat => {}
        }
        Ok(())
    }

    /// As it says, with the settings in vLLM's words where OpenAI has none (`top_k`, `min_p`,
    /// `repetition_penalty`, `min_tokens`, `stop_token_ids`), and only where they are not the default. The seed
    /// of a request is made of seed, stream, prompt and first sample; whether equal seeds mean equal texts is
    /// the server's affair. A stop string is not part of a server's text.
    fn sample(
        &self,
        prompts: &[Prompt],
        config: &GenerationConfig,
        draws: DrawKey,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Samples, PolicyError> {
        let mut all: Vec<Answers> = prompts.iter().map(|_| Answers::default()).collect();
        let mut each = |place: usize, answers: Result<Answers, PolicyError>| {
            all[place] = answers?;
            Ok(())
        };
        let cost = self.sample_each(prompts, config, draws, progress, &mut each)?;
        Ok(Samples {
            have_text: all.iter().all(|answers| answers.have_text),
            prompt_ids: all.iter_mut().map(|a| a.prompt_ids.take()).collect(),
            completions: all.into_iter().map(|a| a.completions).collect(),
            cost,
        })
    }

    /// A prompt whose request is refused, or whose reply is not what was asked for, fails alone: content that is filtered,
    /// a tool call, a reply of 400, or of 500 again and again.
    fn sample_each(
        &self,
        prompts: &[Prompt],
        config: &GenerationConfig,
        draws: DrawKey,
        progress: &mut dyn FnMut(usize),
        each: &mut dyn FnMut(usize, Result<Answers, PolicyError>) -> Result<(), PolicyError>,
    ) -> Result<Option<SamplingCost>, PolicyError> {
        config.validate()?;
        let total = config.num_generations;
        let at_once = if config.temperature == 0.0 {
            // Servers refuse several greedy samples.
            1
        } else {
            self.config.samples_per_request.unwrap_or(total).min(total)
        };
        let mut asks = Vec::new();
        for (place, prompt) in prompts.iter().enumerate() {
            for first in (0..total).step_by(at_once) {
                let samples = first..total.min(first + at_once);
                asks.push((place, Ask { prompt, samples }));
            }
        }
        let path = self.config.endpoint.path();
        let ask = |(_, ask): &(usize, Ask<'_>)| {
            let body = ask.body(&self.config, config, draws, || self.codec())?;
            let answers = self.client.post(path, &body).and_then(|reply| {
                let answers = wire::answers(&reply, ask, self.config.endpoint, config);
                let answers = answers.and_then(|answers| self.checked(answers));
                answers.map_err(|reason| self.client.refusal(path, reason))
            });
            match answers {
                Err(error @ DataError::Request { .. }) => Ok(Err(PolicyError::from(error))),
                answers => Ok(Ok(answers?)),
            }
        };
        // The answers to a prompt by their requests; none after a failure, which is told once.
        let requests = total.div_ceil(at_once);
        let mut open: Vec<Option<Parts>> = prompts.iter().map(|_| Some(Parts::new())).collect();
        let mut done = |index: usize, answers: Result<Vec<Answer>, PolicyError>| {
            let (place, Ask { samples, .. }) = &asks[index];
            progress(samples.len());
            let Some(parts) = &mut open[*place] else {
                return Ok(());
            };
            match answers {
                Ok(answers) => parts.push((samples.start, answers)),
                Err(error) => {
                    open[*place] = None;
                    return each(*place, Err(error));
                }
            }
            if parts.len() == requests {
                let parts = open[*place].take().unwrap_or_default();
                return each(*place, Ok(gathered(parts)));
            }
            Ok(())
        };
        self.client.for_each(&asks, ask, &mut done)?;
        Ok(None)
    }

    /// By `/completions` with `echo`, whatever the endpoint of answers is: vLLM and SGLang give the log-probs
    /// of a prompt, most others do not.
    fn logps(&self, sequences: &[Sequence]) -> Result<Vec<Vec<f64>>, PolicyError> {
        let path = Endpoint::Completions.path();
        let score = |sequence: &Sequence| {
            let body = wire::echo(&self.config.model, sequence);
            let reply = self.client.post(path, &body)?;
            let logps = wire::echoed(&reply, sequence);
            logps.map_err(|reason| PolicyError::from(self.client.error(path, reason)))
        };
        let mut all = vec![Vec::new(); sequences.len()];
        let mut done = |index: usize, logps: Vec<f64>| {
            all[index] = logps;
            Ok(())
        };
        self.client.for_each(sequences, score, &mut done)?;
        Ok(all)
    }
}

/// The first sample of each request for a prompt, and its answers.
type Parts = Vec<(usize, Vec<Answer>)>;

/// The answers of several requests in the order of the samples.
fn gathered(mut parts: Parts) -> Answers {
    parts.sort_by_key(|(first, _)| *first);
    let answers: Vec<Answer> = parts.into_iter().flat_map(|(_, part)| part).collect();
    Answers {
        have_text: answers.iter().all(|answer| answer.has_text),
        prompt_ids: answers.first().and_then(|first| first.prompt_ids.clone()),
        completions: answers.into_iter().map(|a| a.completion).collect(),
    }
}
