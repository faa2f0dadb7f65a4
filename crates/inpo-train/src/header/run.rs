//! What a run says about itself before it computes anything.

use inpo_data::sha256;
use inpo_oracle::PairStrategy;
use inpo_policy::GenerationConfig;
use serde::Serialize;

use super::ObjectiveHeader;
use crate::config::RunConfig;
use crate::error::TrainError;
use crate::inputs::Inputs;
use crate::phases::{PairsFrom, Phase, PolicyId, Round};
use crate::policies::Policies;
use crate::prompts::Prompts;
use crate::selection::Selection;

/// The run's settings and identities: `manifest.json`, and the header on the screen.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct RunHeader {
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
    /// Digests of what the run reads; a run is resumed only where they are the same.
    pub inputs: Inputs,
    /// What a user should know of the policy's files, tokenizer and template.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The objective.
    pub objective: ObjectiveHeader,
    /// After how many iterations the reference becomes pi_t; 0: never.
    pub ref_update_every: usize,
    /// How often that happens in this run.
    pub ref_updates: usize,
    /// How the pairs are made, where the policy plays against itself.
    #[serde(flatten)]
    pub self_play: Option<SelfPlayHeader>,
}

/// How a run makes its pairs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SelfPlayHeader {
    /// The oracle with its parameters.
    pub oracle: String,
    /// Whom each phase of an iteration samples its pairs from.
    pub samplers: Vec<String>,
    /// How responses are drawn, and whether that is the sampler itself.
    pub draws: String,
    /// How pairs are chosen.
    pub selection: PairStrategy,
    /// Whether labels are scores of the responses that were chosen by them: too far apart.
    pub selection_biases_scores: bool,
    /// The most comparisons that the oracle is asked.
    pub comparisons: ComparisonBudget,
}

/// The most comparisons that a run asks its oracle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct ComparisonBudget {
    /// Among one prompt's responses, in one phase.
    pub per_prompt: usize,
    /// For all pairs of the run.
    pub training: usize,
    /// For all evaluations.
    pub evaluation: usize,
}

impl ComparisonBudget {
    fn new(config: &RunConfig, prompts: &Prompts, selection: &Selection, phases: usize) -> Self {
        let iterations = config.iteration.num_iterations;
        let per_prompt = selection.comparisons(config.generation.num_generations);
        let asked: usize = prompts.slices.iter().map(Vec::len).sum();
        let samples = config.eval.num_generations;
        let lineup = config.eval.lineup(config.common.reference.is_some());
        let held_out = lineup.comparisons(iterations, samples);
        Self {
            per_prompt,
            training: asked.saturating_mul(phases * per_prompt),
            evaluation: prompts.held_out.len().saturating_mul(held_out),
        }
    }

    /// Refuses a run that might ask for more than `max` comparisons, before it asks for one.
    pub(crate) fn check(&self, max: Option<u64>) -> Result<(), TrainError> {
        let most = self.training.saturating_add(self.evaluation) as u64;
        match max {
            Some(max) if most > max => {
                let Self {
                    training,
                    evaluation,
                    ..
                } = self;
                let allowed = format!(
                    "at least {most}: the run asks at most {training} comparisons for its pairs and {evaluation} for its evaluations"
                );
                Err(TrainError::setting("oracle.max_comparisons", max, &allowed))
            }
            _ => Ok(()),
        }
    }
}

impl SelfPlayHeader {
    pub(crate) fn new(
        config: &RunConfig,
        prompts: &Prompts,
        oracle: String,
    ) -> Result<Self, TrainError> {
        let section = &config.common.objective;
        let objective = section.online(config.iteration.num_iterations)?;
        // Iteration 2 shows what iteration 1 hides: that pi_t is not pi_ref.
        let round = Round {
            reference_weight: objective.reference_weight(),
            ..Round::new(2)
        };
        let mut phases = section.algorithm.phases(&round);
        phases.retain(Phase::samples);
        let selection = Selection::new(config, &objective);
        Ok(Self {
            oracle,
            samplers: phases.iter().map(sampler).collect(),
            draws: draws(&config.generation),
            selection: selection.config.strategy(),
            selection_biases_scores: selection.biases_scores(),
            comparisons: ComparisonBudget::new(config, prompts, &selection, phases.len()),
        })
    }
}

impl RunHeader {
    pub(crate) fn new(
        config: &RunConfig,
        policies: &Policies,
        prompts: &str,
        self_play: Option<SelfPlayHeader>,
    ) -> Result<Self, TrainError> {
        let text = toml::to_string(config).expect("a configuration is TOML");
        let (common, iterations) = (&config.common, config.iteration.num_iterations);
        // MNPO has all its anchors only once enough policies exist.
        let objective = common.objective.online(iterations)?;
        let every = config.ref_update_every();
        let start = policies.start()?;
        Ok(Self {
            inpo_version: env!("CARGO_PKG_VERSION"),
            seed: common.seed,
            config_sha256: sha256(text.as_bytes()),
            model: common.policy.model.clone(),
            reference: common.reference.as_ref().map(|r| r.model.clone()),
            inputs: Inputs::new(&start, policies.reference().digest(), prompts),
            notes: policies.notes(),
            objective: ObjectiveHeader::new(&objective, &common.objective)?,
            ref_update_every: every,
            ref_updates: (iterations - 1).checked_div(every).unwrap_or(0),
            self_play,
        })
    }
}

/// A phase's sampler in the paper's words.
fn sampler(phase: &Phase) -> String {
    let name = |id: PolicyId| match id {
        PolicyId::Reference => "pi_ref",
        PolicyId::Previous | PolicyId::After(_) => "pi_t",
        PolicyId::Intermediate(_) => "half_t",
        PolicyId::Opponent(_) => "an opponent",
    };
    match phase.pairs_from {
        PairsFrom::Policy(id) => name(id).to_owned(),
        PairsFrom::Mixture {
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
    if !g.draws_the_policy() {
        settings += ": NOT the policy itself, so it plays against this sampler";
    }
    settings
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
        for note in &self.notes {
            writeln!(f, "note       {note}")?;
        }
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
        if let Some(self_play) = &self.self_play {
            writeln!(f, "{self_play}")?;
        }
        write!(f, "{}", self.objective)
    }
}

impl std::fmt::Display for SelfPlayHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let samplers = self.samplers.join(", then ");
        writeln!(f, "pairs      from {samplers} ({})", self.draws)?;
        let selection = match self.selection {
            PairStrategy::Tournament => "best against worst of a tournament",
            PairStrategy::Iid => "the first two samples",
            PairStrategy::RoundRobin => {
                "best against worst of a round robin, if it wins their match"
            }
            PairStrategy::BestWorst => "best against worst of a round robin",
            PairStrategy::Random => "two samples at random",
            PairStrategy::Adaptive => "best against worst, asked where they are in doubt",
        };
        let biased = if self.selection_biases_scores {
            "; the scores of its winners and losers are too far apart"
        } else {
            ""
        };
        writeln!(f, "selection  {selection}{biased}")?;
        writeln!(f, "oracle     {}", self.oracle)?;
        let ComparisonBudget {
            per_prompt,
            training,
            evaluation,
        } = self.comparisons;
        write!(
            f,
            "asked      at most {} comparisons: {training} for pairs ({per_prompt} a prompt), {evaluation} to evaluate",
            training + evaluation
        )
    }
}
