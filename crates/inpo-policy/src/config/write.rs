//! From a [`ModelConfig`] to `config.json`.

use serde_json::{Map, Value, json};

use super::families::Bias;
use super::{Activation, ModelConfig, RopeParameters};

impl ModelConfig {
    /// The `config.json` of this model, which transformers loads.
    ///
    /// Written is the older spelling (`rope_theta`, `rope_scaling`), which transformers 4 and 5 read.
    #[must_use]
    pub fn to_hf_json(&self) -> Value {
        let eos = match self.eos_token_ids.as_slice() {
            [] => Value::Null,
            [one] => json!(one),
            many => json!(many),
        };
        let activation = match self.activation {
            Activation::Silu => "silu",
            Activation::GeluTanh => "gelu_pytorch_tanh",
        };
        let spec = self.family.spec();
        let mut json = Map::new();
        let mut set = |key: &str, value: Value| {
            json.insert(key.to_owned(), value);
        };
        set(
            "architectures",
            json!([self.family.architecture(self.classifier)]),
        );
        if spec.attention_bias == Bias::Key {
            set("attention_bias", json!(self.attention_bias));
        }
        set("attention_dropout", json!(0.0));
        set("bos_token_id", json!(self.bos_token_id));
        set("eos_token_id", eos);
        set("head_dim", json!(self.head_dim));
        set(spec.activation_key, json!(activation));
        set("hidden_size", json!(self.hidden_size));
        if self.classifier {
            set("id2label", json!({"0": "LABEL_0"}));
            set("label2id", json!({"LABEL_0": 0}));
        }
        set("intermediate_size", json!(self.intermediate_size));
        set(
            "max_position_embeddings",
            json!(self.max_position_embeddings),
        );
        if spec.mlp_bias == Bias::Key {
            set("mlp_bias", json!(self.mlp_bias));
        }
        set("model_type", json!(self.family.model_type()));
        set("num_attention_heads", json!(self.num_attention_heads));
        set("num_hidden_layers", json!(self.num_hidden_layers));
        set("num_key_value_heads", json!(self.num_key_value_heads));
        set("pad_token_id", json!(self.pad_token_id));
        set("rms_norm_eps", json!(self.rms_norm_eps));
        set(
            "rope_scaling",
            RopeParameters::scaling_json(&self.rope_scaling),
        );
        set("rope_theta", json!(self.rope_theta));
        set("tie_word_embeddings", json!(self.tie_word_embeddings));
        set("torch_dtype", json!("float32"));
        set("use_cache", json!(true));
        set("vocab_size", json!(self.vocab_size));
        (spec.write)(self, &mut set);
        Value::Object(json)
    }

    /// `layer_types`: "sliding_attention" for each layer with a window, "full_attention" for the others.
    pub(super) fn layer_types(&self) -> Value {
        let kind = |layer| match self.window(layer) {
            Some(_) => "sliding_attention",
            None => "full_attention",
        };
        json!((0..self.num_hidden_layers).map(kind).collect::<Vec<_>>())
    }
}
