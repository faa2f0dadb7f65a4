//! What a run says about itself before it computes anything.

use inpo_game::PreferenceOracle;
use inpo_loss::{Kernel, LabelKind};
use inpo_policy::{GenerationConfig, Policy};
use serde::Serialize;

use crate::config::{ObjectiveSection, RunConfig, SelectionStrategy};
use crate::error::TrainError;
use crate::files::sha256;
use crate::judge::Oracle;
use crate::objective::Objective;
use crate::phases::{Phase, PolicyId, Sampler, phases};
use crate::policies::Policies;

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
    /// The reference as it was named, when it is not the model.
    pub reference: Option<String>,
    /// Digests of what the run reads; a run is only gone on with when they are the same.
    pub inputs: Inputs,
    /// The oracle with its parameters.
    pub oracle: String,
    /// The objective.
    pub objective: ObjectiveHeader,
    /// After how many iterations the reference becomes pi_t; 0: never.
    pub ref_update_every: usize,
    /// How often that happens in this run.
    pub ref_updates: usize,
    /// Whom each phase of an iteration samples its pairs from.
    pub samplers: Vec<String>,
    /// How responses are drawn, and whether that is the sampler itself.
    pub draws: String,
    /// How pairs are chosen.
    pub selection: SelectionStrategy,
    /// Whether labels are scores of the responses that a tournament chose by them: too far apart.
    pub selection_biases_scores: bool,
}

/// What is minimised, in words and numbers.
#[derive(Debug, Clone, Serialize)]
pub struct ObjectiveHeader {
    /// The algorithm.
    pub algorithm: &'static str,
    /// INVERSE step size, whatever the algorithm calls it.
    pub inverse_step: f64,
    /// What the algorithm calls it, `eta` or `beta`.
    pub inverse_step_name: &'static str,
    /// KL weight, where the algorithm has one.
    pub tau: Option<f64>,
    /// The anchors with their weights.
    pub anchors: String,
    /// The kind of label.
    pub label: LabelKind,
    /// What the labels ask, in nats: a number for hard ones, else a formula; none for the logistic and the
    /// hinge loss.
    pub target: String,
    /// The loss before the first step of a policy that is each of its anchors, with hard labels (with others
    /// it depends on the pairs).
    pub expected_first_loss: Option<f64>,
    /// Weight of the SFT term.
    pub sft_loss_coef: f64,
    /// Weight of the exploration term.
    pub alpha: f64,
    /// Reduction of token log-probs: the sum, but for the length-normalised variant.
    pub logp_reduction: &'static str,
}

impl ObjectiveHeader {
    /// The header of `objective`, which `section` describes.
    ///
    /// # Errors
    ///
    /// Those of the section.
    pub fn new(objective: &Objective, section: &ObjectiveSection) -> Result<Self, TrainError> {
        let loss = objective.pair_loss();
        let constant = matches!(loss.kernel(), Kernel::Logistic { .. });
        let hard = objective.label == LabelKind::Hard || constant;
        let known = hard && objective.sft.is_none() && objective.exploration.is_none();
        Ok(Self {
            algorithm: loss.name(),
            inverse_step: section.inverse_step()?,
            inverse_step_name: section.inverse_step_name(),
            tau: section.tau()?,
            anchors: loss.to_string(),
            label: objective.label,
            target: target(objective),
            expected_first_loss: known.then(|| objective.loss_at_zero()),
            sft_loss_coef: objective.sft.map_or(0.0, |term| term.coefficient()),
            alpha: objective.exploration.map_or(0.0, |term| term.alpha()),
            logp_reduction: objective.reduction(),
        })
    }
}

impl std::fmt::Display for ObjectiveHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "objective  {}: {} (inverse step) {}",
            self.algorithm, self.inverse_step_name, self.inverse_step
        )?;
        if let Some(tau) = self.tau {
            write!(f, ", tau {tau}")?;
        }
        for (name, weight) in [("sft_loss_coef", self.sft_loss_coef), ("alpha", self.alpha)] {
            if weight != 0.0 {
                write!(f, ", {name} {weight}")?;
            }
        }
        let per_token = match self.logp_reduction {
            "mean" => ", log-probs per token",
            _ => "",
        };
        writeln!(f, "\nanchors    {}{per_token}", self.anchors)?;
        write!(f, "target     {}; labels are {}", self.target, self.label)?;
        if let Some(loss) = self.expected_first_loss {
            write!(
                f,
                "; first loss {loss} where the anchors are the policy itself"
            )?;
        }
        Ok(())
    }
}

/// What an objective's labels ask of h, or of each response.
fn target(objective: &Objective) -> String {
    let step = objective.pair_loss().kernel().inverse_step();
    match (objective.pair_loss().kernel(), objective.label) {
        (Kernel::Logistic { .. }, LabelKind::Scores) => {
            format!("h = (s_w - s_l)/{step}, s the scores")
        }
        (Kernel::Logistic { .. }, LabelKind::Soft) => {
            format!(
                "h = logit(p)/{step} nats, p = P(chosen beats rejected), flipped labels included"
            )
        }
        (
            Kernel::Logistic {
                label_smoothing: e, ..
            },
            LabelKind::Hard,
        ) if *e > 0.0 => {
            format!(
                "h = {} nats, with label_smoothing {e}",
                ((1.0 - e) / e).ln() / step
            )
        }
        (Kernel::Logistic { .. }, LabelKind::Hard) => "none: the loss has no end".into(),
        (Kernel::Hinge { .. }, LabelKind::Hard) => format!("h = {} nats or more", 1.0 / step),
        (Kernel::Hinge { .. }, _) => {
            format!(
                "h = {} nats where chosen is the likelier winner, else its negative",
                1.0 / step
            )
        }
        (Kernel::Squared { .. }, LabelKind::Hard) => format!("h = {} nats", 0.5 / step),
        (Kernel::Squared { .. }, LabelKind::Soft) => {
            format!("h = (p - 1/2)/{step} nats, p = P(chosen beats rejected)")
        }
        (Kernel::Squared { .. }, LabelKind::Scores) => {
            format!("h = (s_w - s_l)/{step} nats, s the scores")
        }
        (Kernel::SquaredEach { .. }, LabelKind::Hard) => {
            format!("r = {0} and -{0} nats", 0.5 / step)
        }
        (Kernel::SquaredEach { .. }, LabelKind::Soft) => {
            format!("r = (p - 1/2)/{step} and its negative, p = P(chosen beats rejected)")
        }
        (Kernel::SquaredEach { .. }, LabelKind::Scores) => {
            format!("r = (s - 1/2)/{step} nats for each response, s its score")
        }
    }
}

/// Digests (sha256) of what a run reads.
#[derive(Debug, Clone, Serialize)]
pub struct Inputs {
    /// The starting policy.
    pub policy: String,
    /// pi_ref.
    pub reference: String,
    /// The tokenizer, when there is one.
    pub tokenizer: Option<String>,
    /// The chat template, when there is one.
    pub chat_template: Option<String>,
    /// The token ids of all prompts, held-out ones included, in the order of the run.
    pub prompts: String,
}

impl Inputs {
    pub(crate) fn new(policy: &Policy, reference: &str, prompts: &str) -> Self {
        let codec = policy.codec().ok();
        Self {
            policy: policy.digest(),
            reference: reference.to_owned(),
            tokenizer: codec.map(|codec| codec.tokenizer_hash()),
            chat_template: codec.and_then(|codec| codec.template_hash()),
            prompts: prompts.to_owned(),
        }
    }
}

impl RunHeader {
    pub(crate) fn new(
        config: &RunConfig,
        prompts: &str,
        policies: &Policies,
        oracle: &Oracle,
    ) -> Result<Self, TrainError> {
        let text = toml::to_string(config).expect("a configuration is TOML");
        // MNPO has all its anchors only once enough policies exist.
        let objective = config.objective.online(config.iteration.num_iterations)?;
        let every = config.ref_update_every();
        let weight = objective.reference_weight();
        // Iteration 2 shows what iteration 1 hides: that pi_t is not pi_ref.
        let samplers = phases(config.objective.algorithm, 2, 0, weight);
        let selection = config.selection(&objective, &samplers[0]);
        Ok(Self {
            inpo_version: env!("CARGO_PKG_VERSION"),
            seed: config.seed,
            config_sha256: sha256(text.as_bytes()),
            model: config.policy.model.clone(),
            reference: config.reference.as_ref().map(|r| r.model.clone()),
            inputs: Inputs::new(&policies.start()?, policies.reference().digest(), prompts),
            oracle: oracle.name(),
            objective: ObjectiveHeader::new(&objective, &config.objective)?,
            ref_update_every: every,
            ref_updates: (config.iteration.num_iterations - 1)
                .checked_div(every)
                .unwrap_or(0),
            samplers: samplers
                .iter()
                .filter(|p| p.samples())
                .map(sampler)
                .collect(),
            draws: draws(&config.generation),
            selection: selection.strategy,
            selection_biases_scores: selection.strategy == SelectionStrategy::Tournament
                && objective.label == LabelKind::Scores,
        })
    }
}

/// A phase's sampler in the paper's words.
fn sampler(phase: &Phase) -> String {
    let name = |id: PolicyId| match id {
        PolicyId::Reference => "pi_ref",
        PolicyId::After(_) => "pi_t",
        PolicyId::Side(_) => "half_t",
    };
    match phase.sampler {
        Sampler::Policy(id) => name(id).to_owned(),
        Sampler::Mixture {
            reference,
            previous,
            weight,
        } => format!(
            "the mixture {}^{weight:.4} {}^{:.4}, token by token",
            name(reference),
            name(previous),
            1.0 - weight
        ),
    }
}

/// The theory's pairs are drawn from the sampler itself (Proposition 6); with any other draw the minimiser
/// answers that one instead.
fn draws(g: &GenerationConfig) -> String {
    let mut settings = format!(
        "temperature {}, top_p {}, top_k {}, min_p {}",
        g.temperature,
        g.top_p,
        g.top_k.map_or("off".to_owned(), |k| k.to_string()),
        g.min_p
    );
    if g.repetition_penalty != 1.0 {
        settings += &format!(", repetition_penalty {}", g.repetition_penalty);
    }
    match g.draws_the_policy() {
        true => settings,
        false => format!("{settings}: NOT the policy itself, so it plays against this sampler"),
    }
}

impl std::fmt::Display for RunHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digest = |digest: &String| digest.chars().take(12).collect::<String>();
        let start = digest(&self.inputs.policy);
        let reference = match &self.reference {
            None => format!(
                "pi_1 (the same weights), {}",
                digest(&self.inputs.reference)
            ),
            Some(model) => format!("{model}, {}", digest(&self.inputs.reference)),
        };
        writeln!(f, "pi_1       {}, {start}", self.model)?;
        write!(f, "pi_ref     {reference}")?;
        match self.ref_update_every {
            0 => writeln!(f, ", fixed")?,
            1 => writeln!(f, "; becomes pi_t after every iteration")?,
            every => {
                let times = match self.ref_updates {
                    0 => "NEVER in this run".to_owned(),
                    count => format!("{count} x in this run"),
                };
                writeln!(f, "; becomes pi_t after every {every} iterations, {times}")?;
            }
        }
        let samplers = self.samplers.join(", then ");
        writeln!(f, "pairs      from {samplers} ({})", self.draws)?;
        let selection = match self.selection {
            SelectionStrategy::Tournament => "best against worst of a tournament",
            SelectionStrategy::Iid => "the first two samples",
        };
        let biased = match self.selection_biases_scores {
            true => "; the scores of its winners and losers are too far apart",
            false => "",
        };
        writeln!(f, "selection  {selection}{biased}")?;
        writeln!(f, "oracle     {}", self.oracle)?;
        write!(f, "{}", self.objective)
    }
}
