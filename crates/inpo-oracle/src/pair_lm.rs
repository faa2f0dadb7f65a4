//! A language model that reads a conversation with two answers and names the better one by a label.

use std::path::Path;
use std::time::Instant;

use burn::tensor::{Int, Tensor};
use inpo_data::Prompt;
use inpo_game::OracleError;
use inpo_policy::model::Decoder;
use inpo_policy::template::ChatOptions;
use inpo_policy::{FloatType, Policy, Precision, PrefixBatch, TextCodec};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::kind::OracleConfigError;
use crate::model_judge::{
    Limit, TooLong, device, find_model, hear, of_key, require_template, share,
};
use crate::surroundings::Surroundings;
use crate::verdict::{Heard, Judge, Question, Usage, Verdict};

mod template;

pub use template::PairPrompt;

/// Configuration of [`PairLm`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PairLmConfig {
    /// The model: a directory, a `.gguf` file, a hub id.
    pub model: String,
    /// The directory of a PEFT adapter on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<String>,
    /// How the question is written: `rlhflow`, a shipped template (`labels`, `mt_bench`, `arena_hard`), or the path of a
    /// template file.
    #[serde(default = "rlhflow")]
    pub template: String,
    /// What the model answers: the first response, the second one and, where there is a third label, a tie, which counts
    /// half. Each is one token. Absent: those of the template, else `A`, `B`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// What the labels' logits are divided by, above 0.
    #[serde(default = "one")]
    pub temperature: f64,
    /// The most tokens of a question. Absent: the model's context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// What happens to a longer question.
    #[serde(default, skip_serializing_if = "TooLong::is_default")]
    #[schemars(!skip_serializing_if)]
    pub too_long: TooLong,
    /// The float type of weights and activations, `f32` or `bf16`.
    #[serde(default)]
    pub dtype: FloatType,
}

fn rlhflow() -> String {
    "rlhflow".to_owned()
}

fn one() -> f64 {
    1.0
}

/// The labels where nothing says otherwise.
#[must_use]
pub fn a_and_b() -> Vec<String> {
    ["A", "B"].map(str::to_owned).to_vec()
}

impl PairLmConfig {
    /// The defaults with this model.
    #[must_use]
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            adapter: None,
            template: rlhflow(),
            labels: None,
            temperature: one(),
            max_length: None,
            too_long: TooLong::default(),
            dtype: FloatType::F32,
        }
    }

    /// Loads the model and checks that it can answer.
    ///
    /// # Errors
    ///
    /// A setting out of its range, a model or adapter that cannot be used, a label that is not one token.
    pub fn init(self, around: &Surroundings<'_>) -> Result<PairLm, OracleConfigError> {
        let device = device(around, "pair_lm")?;
        let template = PairPrompt::find(&self.template).map_err(OracleConfigError::new)?;
        let precision = match self.dtype {
            FloatType::F32 => Precision::F32,
            FloatType::Bf16 => Precision::Bf16,
            FloatType::F16 => {
                let sentence = "oracle.dtype is f16: a judge computes in f32 or bf16";
                return Err(OracleConfigError::new(sentence));
            }
        };
        let labels = match (&self.labels, &template) {
            (Some(labels), _) => labels.clone(),
            (None, PairPrompt::Template(template)) => {
                template.labels().map_or_else(a_and_b, <[String]>::to_vec)
            }
            (None, PairPrompt::Rlhflow) => a_and_b(),
        };
        let temperature = self.temperature;
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(OracleConfigError::new(format!(
                "oracle.temperature is {temperature}: logits are divided by it, so it must be positive"
            )));
        }
        if !(2..=3).contains(&labels.len()) {
            return Err(OracleConfigError::new(format!(
                "oracle.labels has {} entries: give the first response's, the second one's and perhaps a tie's",
                labels.len()
            )));
        }
        let path = find_model(around, &self.model)?;
        let mut policy = Policy::load_in(&path, device, precision).map_err(of_key("model"))?;
        if let Some(adapter) = &self.adapter {
            policy = policy
                .with_saved_adapters(Path::new(adapter))
                .map_err(of_key("adapter"))?;
        }
        let codec = policy.codec().map_err(of_key("model"))?;
        require_template(codec)?;
        let ids = label_ids(codec, &labels)?;
        let limit = Limit::new(self.max_length, policy.config(), self.too_long)?;
        if let Some(id) = ids.iter().find(|&&id| id as usize >= limit.vocab_size) {
            return Err(OracleConfigError::new(format!(
                "oracle.labels: the tokenizer gives id {id}, and the model has {} ids",
                limit.vocab_size
            )));
        }
        let head = policy.decoder().vocabulary_head();
        let index: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
        let index = Tensor::<1, Int>::from_data(&index[..], &head.weight.device());
        Ok(PairLm {
            decoder: policy.decoder().cast_once(),
            columns: head.weight.select(0, index).transpose(),
            softcap: head.softcap,
            template,
            labels,
            limit,
            digest: policy.digest(),
            config: self,
            policy,
        })
    }
}

/// The text that a pairwise language model with this tokenizer reads, in the order shown.
fn pair_text(
    codec: &TextCodec,
    prompt: &PairPrompt,
    labels: &[String],
    question: &Question<'_>,
) -> Result<String, String> {
    let (messages, opens) = prompt.messages(question, labels)?;
    let options = ChatOptions {
        add_generation_prompt: opens,
        ..ChatOptions::default()
    };
    let text = codec.render_chat(&messages, &options);
    let text = text.map_err(|e| e.to_string())?;
    // As published: wherever the token's text stands, which for some models opens every turn.
    Ok(match (prompt, codec.special_token("bos_token")) {
        (PairPrompt::Rlhflow, Some(bos)) if !bos.is_empty() => text.replace(bos, ""),
        _ => text,
    })
}

/// The ids that a pairwise language model with this tokenizer reads, in the order shown.
///
/// # Errors
///
/// Why the question cannot be asked.
pub fn pair_ids(
    codec: &TextCodec,
    prompt: &PairPrompt,
    labels: &[String],
    question: &Question<'_>,
) -> Result<Vec<u32>, String> {
    let text = pair_text(codec, prompt, labels, question)?;
    let ids = codec.encode(&text).map_err(|e| e.to_string())?;
    if ids.is_empty() {
        return Err("the chat template writes nothing".to_owned());
    }
    Ok(ids)
}

/// The ids of the labels.
///
/// # Errors
///
/// A label that is not one token, or the same one as another.
pub fn label_ids(codec: &TextCodec, labels: &[String]) -> Result<Vec<u32>, OracleConfigError> {
    let mut ids = Vec::new();
    for label in labels {
        let found = codec.encode(label).map_err(of_key("labels"))?;
        let &[id] = &found[..] else {
            return Err(OracleConfigError::new(format!(
                "oracle.labels: {label:?} is {} tokens for this model, and a label must be one",
                found.len()
            )));
        };
        if ids.contains(&id) {
            return Err(OracleConfigError::new(format!(
                "oracle.labels: {label:?} is the same token as another label"
            )));
        }
        ids.push(id);
    }
    Ok(ids)
}

/// A language model that reads two answers in one message and says which is better by the next token.
///
/// ```text
/// P(first > second | x) = p_A + p_tie / 2,   p = softmax((l_A, l_B, l_tie) / temperature)
/// ```
///
/// with `l` the logits of the labels behind the question, which is written by [`PairPrompt`] and the model's own chat
/// template without the opening of an answer. With `rlhflow` that is the pair preference model of RLHFlow, the judge of
/// INPO's paper, and a LoRA adapter trained to answer with a label is one too. It prefers a place: ask in both orders.
///
/// Questions of one call that begin alike share what they begin with; only the logits of the labels are computed.
#[derive(Debug)]
pub struct PairLm {
    config: PairLmConfig,
    policy: Policy,
    /// The policy's decoder in the float type of its activations.
    decoder: Decoder,
    template: PairPrompt,
    labels: Vec<String>,
    limit: Limit,
    /// The head's columns of the labels, `[hidden, labels]`.
    columns: Tensor<2>,
    softcap: Option<f64>,
    digest: String,
}

impl PairLm {
    /// The text that the model reads, in the order shown.
    ///
    /// # Errors
    ///
    /// Why the question cannot be asked.
    pub fn text(&self, question: &Question<'_>) -> Result<String, String> {
        let codec = self.policy.codec().map_err(|e| e.to_string())?;
        pair_text(codec, &self.template, &self.labels, question)
    }

    /// The ids of [`PairLm::text`].
    ///
    /// # Errors
    ///
    /// Why the question cannot be asked.
    pub fn ids(&self, question: &Question<'_>) -> Result<Vec<u32>, String> {
        let codec = self.policy.codec().map_err(|e| e.to_string())?;
        pair_ids(codec, &self.template, &self.labels, question)
    }

    /// [`PairLm::ids`], or why they have no answer where they are too long and that is no error.
    fn read(&self, question: &Question<'_>) -> Result<Result<Vec<u32>, String>, String> {
        let ids = self.ids(question)?;
        Ok(match self.limit.check(question.prompt, &ids)? {
            Some(reason) => Err(reason),
            None => Ok(ids),
        })
    }

    /// P(first > second) from the hidden states of questions, `[questions, hidden]`.
    fn probabilities(&self, hidden: Tensor<2>) -> Vec<f64> {
        let logits = hidden.matmul(self.columns.clone());
        let logits = match self.softcap {
            Some(cap) => logits.div_scalar(cap).tanh().mul_scalar(cap),
            None => logits,
        };
        let logits = logits
            .try_into_vec_as::<f64>()
            .expect("a float tensor reads as f64");
        let of_question = |logits: &[f64]| {
            let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weight = |logit: &f64| ((logit - largest) / self.config.temperature).exp();
            let weights: Vec<f64> = logits.iter().map(weight).collect();
            let tie = weights.get(2).copied().unwrap_or(0.0);
            (weights[0] + tie / 2.0) / weights.iter().sum::<f64>()
        };
        logits.chunks(self.labels.len()).map(of_question).collect()
    }
}

impl Judge for PairLm {
    fn judge(&self, questions: &[Question<'_>], heard: &mut Heard<'_>) -> Result<(), OracleError> {
        let (mut places, mut texts) = (Vec::new(), Vec::new());
        for (place, question) in questions.iter().enumerate() {
            let invalid = |reason| OracleError::Invalid {
                index: place,
                reason,
            };
            match self.read(question).map_err(invalid)? {
                Err(reason) => heard(place, Verdict::invalid(reason, Usage::default()))?,
                Ok(ids) => {
                    places.push(place);
                    texts.push(ids);
                }
            }
        }
        let sequences: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
        for batch in PrefixBatch::split(&self.decoder, &sequences) {
            let start = Instant::now();
            let answers = self.probabilities(batch.hidden(&self.decoder));
            let latency = share(start.elapsed(), answers.len());
            for (&member, answer) in batch.members.iter().zip(answers) {
                let usage = Usage {
                    calls: 1,
                    prompt_tokens: texts[member].len() as u64,
                    latency,
                    ..Usage::default()
                };
                hear(heard, places[member], answer, usage)?;
            }
        }
        Ok(())
    }

    fn name(&self) -> String {
        let PairLmConfig {
            model,
            adapter,
            template,
            ..
        } = &self.config;
        let adapter = adapter.as_ref().map(|a| format!(", adapter={a}"));
        format!(
            "pair_lm(model={model}{}, template={template})",
            adapter.unwrap_or_default()
        )
    }

    fn specification(&self) -> Value {
        let codec = self.policy.codec().ok();
        json!({
            "judge": "pair_lm",
            "weights": self.digest,
            "tokenizer": codec.map(TextCodec::tokenizer_hash),
            "chat_template": codec.and_then(TextCodec::template_hash),
            "template": self.template.identity(),
            "labels": self.labels,
            "temperature": self.config.temperature,
            "max_length": self.limit.tokens,
            "too_long": self.limit.too_long,
        })
    }

    fn prompt_key(&self, prompt: &Prompt) -> Value {
        match &self.template {
            PairPrompt::Rlhflow => json!({ "messages": prompt.messages }),
            PairPrompt::Template(template) => template.prompt_key(prompt),
        }
    }

    fn estimate(&self, questions: &[Question<'_>]) -> Result<Usage, OracleError> {
        let mut usage = Usage::default();
        for (index, question) in questions.iter().enumerate() {
            let ids = self.read(question);
            let ids = ids.map_err(|reason| OracleError::Invalid { index, reason })?;
            // One that is too long takes nothing.
            if let Ok(ids) = ids {
                usage.calls += 1;
                usage.prompt_tokens += ids.len() as u64;
            }
        }
        Ok(usage)
    }
}
