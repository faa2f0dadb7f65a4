//! What a run says about itself before it computes anything.

use inpo_game::PreferenceOracle;
use inpo_loss::InpoLoss;
use inpo_policy::{GenerationConfig, Policy};
use serde::Serialize;

use crate::config::{RunConfig, SelectionStrategy};
use crate::files::sha256;
use crate::judge::Oracle;

/// The run's settings and identities: `manifest.json`, and the header on the screen.
#[derive(Debug, Clone, Serialize)]
pub struct RunHeader {
    /// Version of this crate.
    pub inpo_version: &'static str,
    /// The seed.
    pub seed: u64,
    /// sha256 of the effective configuration.
    pub config_sha256: String,
    /// The model as it was named.
    pub model: String,
    /// Digests of what the run reads; a run is only gone on with when they are the same.
    pub inputs: Inputs,
    /// The oracle with its parameters.
    pub oracle: String,
    /// Inverse step size.
    pub eta: f64,
    /// KL weight.
    pub tau: f64,
    /// Weight of the reference anchor, `tau / eta`.
    pub weight_reference: f64,
    /// Weight of the previous policy's anchor.
    pub weight_previous: f64,
    /// Target of a hard label, in nats.
    pub target: f64,
    /// The loss before the first step: `target^2` with hard labels, as `h = 0`.
    pub expected_first_loss: f64,
    /// How responses are drawn, and whether that is pi_t.
    pub sampler: String,
    /// How pairs are chosen.
    pub selection: SelectionStrategy,
    /// Reduction of token log-probs, always the sum.
    pub logp_reduction: &'static str,
}

/// Digests (sha256) of what a run reads.
#[derive(Debug, Clone, Serialize)]
pub struct Inputs {
    /// pi_ref.
    pub reference: String,
    /// The tokenizer, when there is one.
    pub tokenizer: Option<String>,
    /// The chat template, when there is one.
    pub chat_template: Option<String>,
    /// The token ids of all prompts, held-out ones included, in the order of the run.
    pub prompts: String,
}

impl RunHeader {
    pub(crate) fn new(
        config: &RunConfig,
        prompts: &str,
        policy: &Policy,
        oracle: &Oracle,
        loss: &InpoLoss,
    ) -> Self {
        let [weight_reference, weight_previous] = loss.weights();
        let text = toml::to_string(config).expect("a configuration is TOML");
        let codec = policy.codec().ok();
        Self {
            inpo_version: env!("CARGO_PKG_VERSION"),
            seed: config.seed,
            config_sha256: sha256(text.as_bytes()),
            model: config.policy.model.clone(),
            inputs: Inputs {
                reference: policy.reference().digest(),
                tokenizer: codec.map(|codec| codec.tokenizer_hash()),
                chat_template: codec.and_then(|codec| codec.template_hash()),
                prompts: prompts.to_owned(),
            },
            oracle: oracle.name(),
            eta: loss.config().eta,
            tau: loss.config().tau,
            weight_reference,
            weight_previous,
            target: loss.target(),
            expected_first_loss: loss.target().powi(2),
            sampler: sampler(&config.generation),
            selection: config.selection.strategy,
            logp_reduction: "sum",
        }
    }
}

/// The theory's pairs come from pi_t itself (Proposition 6); with any other sampler the minimiser answers
/// that sampler instead.
fn sampler(g: &GenerationConfig) -> String {
    let settings = format!(
        "temperature {}, top_p {}, top_k {}, min_p {}",
        g.temperature,
        g.top_p,
        g.top_k.map_or("off".to_owned(), |k| k.to_string()),
        g.min_p
    );
    let exact = g.temperature == 1.0 && g.top_p == 1.0 && g.top_k.is_none() && g.min_p == 0.0;
    match exact {
        true => format!("{settings}: pi_t itself"),
        false => format!("{settings}: NOT pi_t, so the policy plays against this sampler"),
    }
}

impl std::fmt::Display for RunHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "pi_ref     {} ({:.12}), pi_1 = pi_ref",
            self.model, self.inputs.reference
        )?;
        writeln!(f, "sampler    {}", self.sampler)?;
        writeln!(f, "oracle     {}", self.oracle)?;
        writeln!(
            f,
            "anchors    {:.4} pi_ref + {:.4} pi_t (eta = {}, tau = {})",
            self.weight_reference, self.weight_previous, self.eta, self.tau
        )?;
        write!(
            f,
            "target     {} nats with a hard label, so the first loss is {}",
            self.target, self.expected_first_loss
        )
    }
}
