//! The keys of `config.json` that are known, and what is done with each.

use super::Family;

/// Keys that say nothing about the arithmetic of a forward pass.
pub(super) const IGNORED: &[&str] = &[
    "_attn_implementation_autoset",
    "_name_or_path",
    "architectures",
    "auto_map",
    "bad_words_ids",
    "begin_suppress_tokens",
    "cache_implementation",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "id2label",
    "initializer_range",
    "is_llama_config",
    "label2id",
    "length_penalty",
    "max_length",
    "min_length",
    "model_type",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_labels",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
];

/// Keys that say nothing about the arithmetic of one family, and could of others.
pub(super) const IGNORED_OF: &[(Family, &[&str])] = &[
    // The context before the long rotary positions, which are refused.
    (Family::Phi3, &["original_max_position_embeddings"]),
    (
        Family::SmolLm3,
        &["max_window_layers", "no_rope_layer_interval"],
    ),
];

/// Switches that this crate has no code for: they must have the value given.
pub(super) const SWITCHED_OFF: &[(&str, bool)] = &[
    ("rope_interleaved", false),
    ("is_decoder", false),
    ("is_encoder_decoder", false),
    ("add_cross_attention", false),
    ("tie_encoder_decoder", false),
    ("use_bidirectional_attention", false),
    ("use_mrope", false),
];

/// Numbers that must have the value given.
pub(super) const FIXED: &[(&str, f64)] = &[
    ("attention_dropout", 0.0),
    ("resid_pdrop", 0.0),
    ("embd_pdrop", 0.0),
    ("partial_rotary_factor", 1.0),
    ("chunk_size_feed_forward", 0.0),
];

/// Keys that are read into a field, for every family.
pub(super) const KNOWN: &[&str] = &[
    "attention_bias",
    "bos_token_id",
    "eos_token_id",
    "head_dim",
    "hidden_act",
    "hidden_size",
    "intermediate_size",
    "max_position_embeddings",
    "mlp_bias",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "pad_token_id",
    "rms_norm_eps",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "tie_word_embeddings",
    "vocab_size",
];

/// Keys that are read into a field, for one family.
pub(super) fn known_of(family: Family) -> &'static [&'static str] {
    match family {
        Family::Llama => &[],
        Family::Mistral | Family::Phi3 => &["sliding_window"],
        Family::Qwen2 | Family::Qwen3 => &[
            "layer_types",
            "max_window_layers",
            "sliding_window",
            "use_sliding_window",
        ],
        Family::SmolLm3 => &[
            "layer_types",
            "no_rope_layers",
            "sliding_window",
            "use_sliding_window",
        ],
        Family::Gemma2 => &[
            "attn_logit_softcapping",
            "final_logit_softcapping",
            "hidden_activation",
            "layer_types",
            "query_pre_attn_scalar",
            "sliding_window",
        ],
        Family::Gemma3 => &[
            "_sliding_window_pattern",
            "final_logit_softcapping",
            "hidden_activation",
            "layer_types",
            "query_pre_attn_scalar",
            "rope_local_base_freq",
            "sliding_window",
            "sliding_window_pattern",
        ],
    }
}
