//! A general preference model: a representation of each response, and P from how one turns against the other.

use burn::tensor::DType;
use inpo_data::{Completion, Message, Prompt};
use inpo_game::OracleError;
use inpo_policy::preference::Pair;
use inpo_policy::{
    FloatType, PolicyError, PreferenceHeadConfig, PreferenceModel, PromptScale, TextCodec,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::kind::OracleConfigError;
use crate::model_judge::{
    Limit, TooLong, answered, conversation, device, find_model, of_key, require_codec,
};
use crate::read_apart::{self, ReadsApart};
use crate::surroundings::Surroundings;
use crate::verdict::{Heard, Judge, Question, Usage};

/// Which tokens open a text.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Bos {
    /// What the chat template writes.
    #[default]
    Template,
    /// One more than it writes: the released training code and example tokenize a rendered text as if it were a plain one.
    Doubled,
    /// None: the text of the token is removed wherever it stands, as the released alignment scripts do.
    None,
}

/// Configuration of [`GeneralPreference`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GeneralPreferenceConfig {
    /// The model: a directory, a hub id.
    pub model: String,
    /// Whether a representation is divided by its length, as in the released example; the released training code has it
    /// commented out.
    #[serde(default = "yes")]
    pub normalise: bool,
    /// What scores are divided by, above 0; 0.1 in the released code.
    #[serde(default = "a_tenth")]
    pub temperature: f64,
    /// How a prompt head weighs the blocks: `softmax`, as in the released example, or `scaled_softmax`, as in the released
    /// training code.
    #[serde(default)]
    pub prompt_head_scale: PromptScale,
    /// Whether `R` is transposed in `P = sigmoid(v_a R v_b' / temperature)`. The paper and the released code have it
    /// transposed: models that were trained with that code need `true`.
    #[serde(default)]
    pub transposed: bool,
    /// What opens a text: `template`, `doubled` or `none`.
    #[serde(default)]
    pub bos: Bos,
    /// The most tokens of a conversation with its answer. Absent: the model's context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// What happens to a longer one.
    #[serde(default, skip_serializing_if = "TooLong::is_default")]
    #[schemars(!skip_serializing_if)]
    pub too_long: TooLong,
    /// The float type of the decoder, `f32` or `bf16`.
    #[serde(default)]
    pub dtype: FloatType,
}

fn yes() -> bool {
    true
}

fn a_tenth() -> f64 {
    0.1
}

impl GeneralPreferenceConfig {
    /// The defaults with this model.
    #[must_use]
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            normalise: yes(),
            temperature: a_tenth(),
            prompt_head_scale: PromptScale::default(),
            transposed: false,
            bos: Bos::default(),
            max_length: None,
            too_long: TooLong::default(),
            dtype: FloatType::F32,
        }
    }

    /// Loads the model.
    ///
    /// # Errors
    ///
    /// A setting out of its range, a model that cannot be used or that cannot read conversations.
    pub fn init(self, around: &Surroundings<'_>) -> Result<GeneralPreference, OracleConfigError> {
        let device = device(around, "general_preference")?;
        let temperature = self.temperature;
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(OracleConfigError::new(format!(
                "oracle.temperature is {temperature}: scores are divided by it, so it must be positive"
            )));
        }
        let dtype = match self.dtype {
            FloatType::F32 => DType::F32,
            FloatType::Bf16 => DType::BF16,
            FloatType::F16 => {
                let sentence = "oracle.dtype is f16: a judge computes in f32 or bf16";
                return Err(OracleConfigError::new(sentence));
            }
        };
        let path = find_model(around, &self.model)?;
        let head = PreferenceHeadConfig {
            normalise: self.normalise,
            temperature,
            prompt_scale: self.prompt_head_scale,
            transposed: self.transposed,
        };
        let model = PreferenceModel::load(&path, (device, dtype), head).map_err(of_key("model"))?;
        let codec = require_codec(model.codec())?;
        let reading = Reading::new(codec, self.bos)?;
        let limit = Limit::new(self.max_length, model.config(), self.too_long)?;
        Ok(GeneralPreference {
            config: self,
            reading,
            model,
            limit,
        })
    }
}

/// How a preference model is shown a conversation, answered or not.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    opening: Bos,
    bos: Option<u32>,
    end: u32,
}

impl Reading {
    /// That of a model with this tokenizer.
    ///
    /// # Errors
    ///
    /// A tokenizer without an end token, or without the token that should open a text twice.
    pub fn new(codec: &TextCodec, opening: Bos) -> Result<Self, OracleConfigError> {
        let token = |name: &str| codec.token_to_id(codec.special_token(name)?);
        let Some(end) = token("eos_token").or_else(|| codec.end_of_turn()) else {
            let sentence =
                "oracle.model: its tokenizer has no end token, at which responses are read";
            return Err(OracleConfigError::new(sentence));
        };
        let bos = token("bos_token");
        if opening == Bos::Doubled && bos.is_none() {
            let sentence = "oracle.bos is \"doubled\", and the model's tokenizer has no token that opens a text";
            return Err(OracleConfigError::new(sentence));
        }
        Ok(Self { opening, bos, end })
    }

    /// The ids of a conversation as the chat template writes it, without the opening of an answer. Behind an answered one
    /// line feeds are left out, and the end token is added where it is not there.
    ///
    /// # Errors
    ///
    /// Why the conversation cannot be written.
    pub fn ids(
        &self,
        codec: &TextCodec,
        messages: &[Message],
        answered: bool,
    ) -> Result<Vec<u32>, String> {
        let text = codec.render_conversation(messages);
        let mut text = text.map_err(|e| e.to_string())?;
        if self.opening == Bos::None
            && let Some(bos) = codec
                .special_token("bos_token")
                .filter(|bos| !bos.is_empty())
        {
            text = text.replace(bos, "");
        }
        if answered {
            text.truncate(text.trim_end_matches('\n').len());
        }
        let mut ids = codec.encode(&text).map_err(|e| e.to_string())?;
        if self.opening == Bos::Doubled {
            ids.splice(..0, self.bos);
        }
        if answered && ids.last() != Some(&self.end) {
            ids.push(self.end);
        }
        Ok(ids)
    }
}

/// The general preference model (arXiv 2410.02197) as a judge, also in its hybrid form with a reward (arXiv 2605.17342) and
/// as a Bradley-Terry model with a value head.
///
/// ```text
/// P(a > b | x) = sigmoid(s(a, b) / temperature),   s(a, b) = v_a R v_b'  [+ r_a - r_b]
/// ```
///
/// [`PreferenceHead`](inpo_policy::PreferenceHead) has the heads, [`PreferenceModel`] the files. A response is read at the
/// end token: the conversation with its answer as the chat template writes it, without line feeds at its end, and the
/// tokenizer's end token behind it where the template writes none. Responses may cycle. `s(b, a) = -s(a, b)`: one order
/// tells both.
#[derive(Debug)]
pub struct GeneralPreference {
    config: GeneralPreferenceConfig,
    model: PreferenceModel,
    limit: Limit,
    reading: Reading,
}

impl GeneralPreference {
    fn ids(&self, messages: &[Message], answered: bool) -> Result<Vec<u32>, String> {
        let codec = self.model.codec().ok_or("the model has no tokenizer")?;
        self.reading.ids(codec, messages, answered)
    }
}

impl ReadsApart for GeneralPreference {
    fn limit(&self) -> &Limit {
        &self.limit
    }

    fn answered_ids(&self, prompt: &Prompt, answer: &Completion) -> Result<Vec<u32>, String> {
        self.ids(&answered(prompt, answer)?, true)
    }

    fn prompt_ids(&self, prompt: &Prompt) -> Result<Option<Vec<u32>>, String> {
        if self.model.head().prompt.is_none() {
            return Ok(None);
        }
        self.ids(conversation(prompt)?, false).map(Some)
    }

    fn logits(&self, sequences: &[Vec<u32>], pairs: &[Pair]) -> Result<Vec<f64>, PolicyError> {
        self.model.logits(sequences, pairs)
    }

    fn name(&self) -> String {
        let head = self.model.head();
        let form = match (head.is_bradley_terry(), &head.reward) {
            (true, _) => "Bradley-Terry: it cannot cycle".to_owned(),
            (false, None) => format!("{} values", head.values()),
            (false, Some(_)) => format!("{} values and a reward", head.values()),
        };
        format!("general_preference(model={}, {form})", self.config.model)
    }
}

impl Judge for GeneralPreference {
    fn judge(&self, questions: &[Question<'_>], heard: &mut Heard<'_>) -> Result<(), OracleError> {
        read_apart::judge(self, questions, heard)
    }

    fn name(&self) -> String {
        ReadsApart::name(self)
    }

    fn specification(&self) -> Value {
        let codec = self.model.codec();
        let config = &self.config;
        json!({
            "judge": "general_preference",
            "weights": self.model.identity(),
            "tokenizer": codec.map(TextCodec::tokenizer_hash),
            "chat_template": codec.and_then(TextCodec::template_hash),
            "bos": [json!(config.bos), json!(self.reading.bos)],
            "end": self.reading.end,
            "normalise": config.normalise,
            "temperature": config.temperature,
            "prompt_head_scale": config.prompt_head_scale,
            "transposed": config.transposed,
            "dtype": config.dtype,
            "max_length": self.limit.tokens,
            "too_long": self.limit.too_long,
        })
    }

    fn is_symmetric(&self) -> bool {
        true
    }

    fn estimate(&self, questions: &[Question<'_>]) -> Result<Usage, OracleError> {
        read_apart::estimate(self, questions)
    }
}
