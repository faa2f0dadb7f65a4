//! A model behind a server instead of one that is loaded.

use std::path::PathBuf;

use clap::Args;
use inpo_core::policy::PolicyError;
use inpo_core::policy::remote::{Endpoint, RemoteConfig, RemoteModel};

use crate::error::CliError;

/// `--server` and what belongs to it.
#[derive(Debug, Args)]
#[command(next_help_heading = "A server instead")]
pub(crate) struct ServerArgs {
    /// Address of an OpenAI-compatible server, such as http://localhost:8000/v1; `--model` is the model's name there.
    #[arg(long, value_name = "URL", conflicts_with_all = ["adapter", "device"])]
    server: Option<String>,
    /// Environment variable that holds the server's key.
    #[arg(long, value_name = "VAR", requires = "server")]
    api_key_env: Option<String>,
    /// PEM file with the authorities that the server's certificate may come from; default: the file that INPO_CA_FILE names,
    /// else Mozilla's.
    #[arg(long, value_name = "FILE", requires = "server")]
    ca_file: Option<PathBuf>,
    /// Send the key over plain http to another machine too.
    #[arg(long, requires = "server")]
    allow_insecure_http: bool,
    /// Longest wait for one reply, in seconds. A request is given up after 10 minutes, or after this where it is longer.
    #[arg(
        long,
        value_name = "SECONDS",
        requires = "server",
        default_value_t = 600.0
    )]
    timeout: f64,
    /// Ask for token ids and log-probs, in vLLM's words; without, there are texts only.
    #[arg(long, requires = "server")]
    server_ids: bool,
    /// Ask `/completions` with the prompts' token ids, which all rows must have, instead of `/chat/completions`.
    #[arg(long, requires = "server")]
    completions: bool,
    /// Responses of one request at most: 1 for a server without `n`.
    #[arg(long, value_name = "N", requires = "server")]
    samples_per_request: Option<usize>,
}

impl ServerArgs {
    /// What decides the rows: not where the server is, nor its key.
    pub(crate) fn identity(&self) -> serde_json::Value {
        let asked = self.server.is_some();
        serde_json::json!([asked, self.server_ids, self.completions])
    }

    /// The model of this name on the server, where one is given.
    pub(crate) fn model(&self, name: &str) -> Result<Option<RemoteModel>, CliError> {
        let Some(server) = &self.server else {
            return Ok(None);
        };
        let config = RemoteConfig {
            endpoint: if self.completions {
                Endpoint::Completions
            } else {
                Endpoint::Chat
            },
            api_key_env: self.api_key_env.clone(),
            ca_file: self.ca_file.clone(),
            allow_insecure_http: self.allow_insecure_http,
            timeout_seconds: self.timeout,
            logprobs: self.server_ids,
            token_ids: self.server_ids,
            samples_per_request: self.samples_per_request,
            ..RemoteConfig::new(server, name)
        };
        config.validate().map_err(of_flag)?;
        Ok(Some(RemoteModel::new(config).map_err(of_flag)?))
    }
}

/// A setting that cannot be used, by the name of its flag.
fn of_flag(error: PolicyError) -> CliError {
    let PolicyError::InvalidSetting { key, got, allowed } = error else {
        let words = error.to_string();
        let words = words.replace("`allow_insecure_http = true`", "--allow-insecure-http");
        return CliError::Input(words.replace("`ca_file`", "--ca-file"));
    };
    let flag = match key.as_str() {
        "base_url" => "--server",
        "timeout_seconds" => "--timeout",
        "samples_per_request" => "--samples-per-request",
        other => other,
    };
    CliError::Input(format!("{flag} is {got}; allowed: {allowed}"))
}
