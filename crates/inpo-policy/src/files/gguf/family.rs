//! The families of models in GGUF files: how their tensors are named and what the conversion from
//! Hugging Face's files did to the values.

use super::Metadata;
use crate::error::{PolicyError, excerpt};

/// A family, by `general.architecture`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Llama,
    Qwen2,
    Qwen3,
    Gemma2,
    Gemma3,
}

impl Family {
    /// The family of a file.
    pub(super) fn of(metadata: &Metadata) -> Result<Self, PolicyError> {
        let key = "general.architecture";
        match metadata.text(key)? {
            Some("llama") => Ok(Self::Llama),
            Some("qwen2") => Ok(Self::Qwen2),
            Some("qwen3") => Ok(Self::Qwen3),
            Some("gemma2") => Ok(Self::Gemma2),
            Some("gemma3") => Ok(Self::Gemma3),
            Some(other) => Err(metadata.refuse(
                key,
                excerpt(other),
                "only \"llama\", \"qwen2\", \"qwen3\", \"gemma2\" and \"gemma3\" are implemented in GGUF files; use one of those, or the Hugging Face directory of this model",
            )),
            None => Err(metadata.missing(key)),
        }
    }

    /// The prefix of its metadata keys.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
            Self::Qwen3 => "qwen3",
            Self::Gemma2 => "gemma2",
            Self::Gemma3 => "gemma3",
        }
    }

    /// Hugging Face's `model_type` and class.
    pub(super) fn hf_names(self) -> (&'static str, &'static str) {
        match self {
            Self::Llama => ("llama", "LlamaForCausalLM"),
            Self::Qwen2 => ("qwen2", "Qwen2ForCausalLM"),
            Self::Qwen3 => ("qwen3", "Qwen3ForCausalLM"),
            Self::Gemma2 => ("gemma2", "Gemma2ForCausalLM"),
            Self::Gemma3 => ("gemma3_text", "Gemma3ForCausalLM"),
        }
    }

    pub(super) fn is_gemma(self) -> bool {
        matches!(self, Self::Gemma2 | Self::Gemma3)
    }

    /// Whether the rows of a tensor are permuted for a rotation of neighbouring pairs: the query and
    /// key projections of Llama. All other families rotate as Hugging Face does.
    pub(super) fn interleaves(self, hf_name: &str) -> bool {
        self == Self::Llama
            && (hf_name.contains("self_attn.q_proj.") || hf_name.contains("self_attn.k_proj."))
    }

    /// Whether a gain is stored with 1 added: all norms of Gemma, which Hugging Face stores without.
    pub(super) fn adds_one(self, hf_name: &str) -> bool {
        self.is_gemma() && hf_name.ends_with("norm.weight")
    }

    /// The name in a GGUF file of a tensor that Hugging Face calls `hf_name`. A name that has no
    /// counterpart stays as it is, and is then reported as missing.
    pub(super) fn gguf_name(self, hf_name: &str) -> String {
        match hf_name {
            "model.embed_tokens.weight" => return "token_embd.weight".to_owned(),
            "model.norm.weight" => return "output_norm.weight".to_owned(),
            "lm_head.weight" => return "output.weight".to_owned(),
            _ => {}
        }
        let inner = hf_name
            .strip_prefix("model.layers.")
            .and_then(|rest| rest.split_once('.'))
            .and_then(|(layer, part)| Some((layer, part.rsplit_once('.')?)));
        match inner {
            Some((layer, (module, kind))) => match self.gguf_module(module) {
                Some(module) => format!("blk.{layer}.{module}.{kind}"),
                None => hf_name.to_owned(),
            },
            None => hf_name.to_owned(),
        }
    }

    fn gguf_module(self, hf_module: &str) -> Option<&'static str> {
        Some(match hf_module {
            "input_layernorm" => "attn_norm",
            "self_attn.q_proj" => "attn_q",
            "self_attn.k_proj" => "attn_k",
            "self_attn.v_proj" => "attn_v",
            "self_attn.o_proj" => "attn_output",
            "self_attn.q_norm" => "attn_q_norm",
            "self_attn.k_norm" => "attn_k_norm",
            // In Gemma this norm follows the attention; elsewhere it precedes the feed-forward layer.
            "post_attention_layernorm" if self.is_gemma() => "post_attention_norm",
            "post_attention_layernorm" | "pre_feedforward_layernorm" => "ffn_norm",
            "post_feedforward_layernorm" => "post_ffw_norm",
            "mlp.gate_proj" => "ffn_gate",
            "mlp.up_proj" => "ffn_up",
            "mlp.down_proj" => "ffn_down",
            _ => return None,
        })
    }
}
