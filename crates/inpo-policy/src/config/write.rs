//! From a [`ModelConfig`] to `config.json`.

use serde_json::{Map, Value, json};

use super::{Activation, Family, ModelConfig, RopeParameters};

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
        let mut json = Map::new();
        let mut set = |key: &str, value: Value| {
            json.insert(key.to_owned(), value);
        };
        set(
            "architectures",
            json!([self.family.architecture(self.classifier)]),
        );
        match self.family {
            Family::Qwen2 | Family::Mistral | Family::Phi3 => {}
            _ => set("attention_bias", json!(self.attention_bias)),
        }
        set("attention_dropout", json!(0.0));
        set("bos_token_id", json!(self.bos_token_id));
        set("eos_token_id", eos);
        set("head_dim", json!(self.head_dim));
        let key = match self.family.is_gemma() {
            true => "hidden_activation",
            false => "hidden_act",
        };
        set(key, json!(activation));
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
        if matches!(self.family, Family::Llama | Family::SmolLm3) {
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
        self.family_keys(&mut set);
        Value::Object(json)
    }

    /// The keys that only some families have.
    fn family_keys(&self, set: &mut impl FnMut(&str, Value)) {
        let window = json!(self.sliding_window);
        let types = || {
            let kind = |layer| match self.window(layer) {
                Some(_) => "sliding_attention",
                None => "full_attention",
            };
            json!((0..self.num_hidden_layers).map(kind).collect::<Vec<_>>())
        };
        match self.family {
            Family::Llama => {}
            Family::Mistral | Family::Phi3 => set("sliding_window", window),
            Family::Qwen2 | Family::Qwen3 => {
                set("layer_types", types());
                set("max_window_layers", json!(self.num_hidden_layers));
                set("sliding_window", window);
                set("use_sliding_window", json!(self.sliding_window.is_some()));
            }
            Family::SmolLm3 => {
                set("layer_types", types());
                let rotates = |layer| u8::from(self.rotates(layer));
                let list: Vec<_> = (0..self.num_hidden_layers).map(rotates).collect();
                set("no_rope_layers", json!(list));
                set("sliding_window", window);
                set("use_sliding_window", json!(self.sliding_window.is_some()));
            }
            Family::Gemma2 | Family::Gemma3 => {
                let scalar = self.query_pre_attn_scalar.unwrap_or(self.head_dim as f64);
                let whole = scalar.fract() == 0.0 && scalar.abs() < 1e15;
                let scalar = match whole {
                    true => json!(scalar as u64),
                    false => json!(scalar),
                };
                if self.family == Family::Gemma2 {
                    set("attn_logit_softcapping", json!(self.attn_logit_softcapping));
                } else if let Some(local) = &self.local_rope {
                    set("rope_local_base_freq", json!(local.theta));
                }
                set(
                    "final_logit_softcapping",
                    json!(self.final_logit_softcapping),
                );
                set("layer_types", types());
                set("query_pre_attn_scalar", scalar);
                // Transformers takes the number for every layer that `layer_types` names, and needs one.
                set("sliding_window", json!(self.sliding_window.unwrap_or(4096)));
            }
        }
    }
}
