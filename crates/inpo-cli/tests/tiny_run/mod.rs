//! A run that takes a second.

use std::path::Path;

use serde_json::{Map, Value, json};

const WORDS: &str = "</s> <s> <end> the of and to in is it that was for on are as with his they at be this from have or \
    by one had not but what all were when we there can an your which their said if do will each about how up out \
    them river stone light music garden winter bread paper silver mountain letter summer window";

/// The tiny checkpoint with a word-level tokenizer and the plainest of templates, prompts, and a configuration.
pub(crate) fn prepare(dir: &Path) {
    let model = dir.join("model");
    std::fs::create_dir_all(&model).unwrap();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../inpo-policy/tests/fixtures");
    for file in ["config.json", "model.safetensors"] {
        let from = fixtures.join("tiny_llama_tied").join(file);
        std::fs::copy(from, model.join(file)).unwrap();
    }
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let ids = words.iter().enumerate();
    let vocabulary: Map<String, Value> = ids
        .map(|(id, word)| ((*word).to_owned(), id.into()))
        .collect();
    let special = |id: usize| {
        json!({"id": id, "content": words[id], "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "added_tokens": [special(0), special(1), special(2)], "pre_tokenizer": {"type": "WhitespaceSplit"},
        "decoder": null, "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "</s>"},
    });
    std::fs::write(model.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    let template = "{% for m in messages %}<s> {{ m.content }} {% endfor %}{% if add_generation_prompt %}<s> {% endif %}";
    std::fs::write(model.join("chat_template.jinja"), template).unwrap();
    let prompt = |i: usize| {
        let words: Vec<&str> = (0..4).map(|k| words[3 + (i * 7 + k * 5) % 48]).collect();
        json!({"prompt": words.join(" ")})
    };
    let prompts: String = (0..16).map(|i| format!("{}\n", prompt(i))).collect();
    std::fs::write(dir.join("prompts.jsonl"), prompts).unwrap();
    std::fs::write(
        dir.join("oracle.toml"),
        "kind = 'rules'\ntarget_words = 8\n",
    )
    .unwrap();
    let config = "output_dir = 'none'\nseed = 3\n[policy]\nmodel = 'model'\nlora = { rank = 2, alpha = 4.0 }\n\
        [data]\nprompts = 'prompts.jsonl'\n[generation]\nnum_generations = 6\nmax_new_tokens = 12\n\
        [oracle]\nkind = 'rules'\ntarget_words = 8\n[objective]\neta = 0.1\n\
        [iteration]\nnum_iterations = 2\nprompts_per_iteration = 8\n\
        [train]\nlearning_rate = 0.01\nper_device_train_batch_size = 4\ngradient_accumulation_steps = 1\n";
    std::fs::write(dir.join("run.toml"), config).unwrap();
}
