//! How a GGUF file names the tensors that Hugging Face's files have, and what the conversion from those did to the values.

use crate::config::Family;

/// Whether the rows of a tensor are permuted for a rotation of neighbouring pairs: the query and
/// key projections of some families. All others rotate as Hugging Face does.
pub(super) fn interleaves(family: Family, hf_name: &str) -> bool {
    let permuted = family
        .spec()
        .gguf
        .as_ref()
        .is_some_and(|gguf| gguf.interleaves);
    permuted && (hf_name.contains("self_attn.q_proj.") || hf_name.contains("self_attn.k_proj."))
}

/// Whether a gain is stored with 1 added: all norms of families whose files store gains without it.
pub(super) fn adds_one(family: Family, hf_name: &str) -> bool {
    family.unit_offset_norms() && hf_name.ends_with("norm.weight")
}

/// The name in a GGUF file of a tensor that Hugging Face calls `hf_name`. A name that has no
/// counterpart stays as it is, and is then reported as missing.
pub(super) fn gguf_name(family: Family, hf_name: &str) -> String {
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
        Some((layer, (module, kind))) => match gguf_module(family, module) {
            Some(module) => format!("blk.{layer}.{module}.{kind}"),
            None => hf_name.to_owned(),
        },
        None => hf_name.to_owned(),
    }
}

fn gguf_module(family: Family, hf_module: &str) -> Option<&'static str> {
    Some(match hf_module {
        "input_layernorm" => "attn_norm",
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attn.o_proj" => "attn_output",
        "self_attn.q_norm" => "attn_q_norm",
        "self_attn.k_norm" => "attn_k_norm",
        // With further norms this one follows the attention; without, it precedes the feed-forward layer.
        "post_attention_layernorm" if family.sandwich_norms() => "post_attention_norm",
        "post_attention_layernorm" | "pre_feedforward_layernorm" => "ffn_norm",
        "post_feedforward_layernorm" => "post_ffw_norm",
        "mlp.gate_proj" => "ffn_gate",
        "mlp.up_proj" => "ffn_up",
        "mlp.down_proj" => "ffn_down",
        _ => return None,
    })
}
