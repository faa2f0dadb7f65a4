//! Whether an adapter was trained on the model that it is put on, by the names of both.

use std::path::Path;

use serde_json::{Map, Value};

use super::CONFIG;
use crate::config::read_object;

const KEY: &str = "base_model_name_or_path";

/// What a user should know of the adapter in `dir` where it was trained on another model than the one read from
/// `source`, whose `config.json` is `config`: nothing where the names are the same, or one is not known.
pub(crate) fn other_base(
    dir: &Path,
    source: &Path,
    config: Option<&Map<String, Value>>,
) -> Option<String> {
    let settings = read_object(&dir.join(CONFIG)).ok()?;
    let base = settings.get(KEY)?.as_str()?;
    let wanted = model_name(base).filter(|name| !name.is_empty())?;
    let source = source.to_string_lossy();
    let named = config.and_then(|config| config.get("_name_or_path")?.as_str());
    let mut own = [Some(&*source), named].into_iter().flatten();
    if own.any(|name| model_name(name).is_some_and(|name| name == wanted)) {
        return None;
    }
    Some(format!(
        "the adapter in {} was trained on {base} by its {CONFIG}, and the model here is {source}: on other weights an \
         adapter gives other answers",
        dir.display()
    ))
}

/// The words of a model's name in a path or a hub id, without what says how its weights are stored: a directory of the
/// hub's cache, the end of a path, `SmolLM2-135M-Instruct.Q4_1.gguf`.
fn model_name(text: &str) -> Option<String> {
    let parts = || text.split(['/', '\\']).filter(|part| !part.is_empty());
    let cached = parts().find_map(|part| part.strip_prefix("models--")?.rsplit("--").next());
    let name = cached.or_else(|| parts().next_back())?.to_lowercase();
    let words = name.split(|c: char| !c.is_alphanumeric());
    let words: Vec<&str> = words.take_while(|word| !is_storage(word)).collect();
    Some(words.join("-"))
}

/// Whether a word is a float type or a quantisation, or the ending of a file.
fn is_storage(word: &str) -> bool {
    let quantised = word.trim_start_matches('i').strip_prefix('q');
    let quantised = quantised.is_some_and(|bits| bits.starts_with(|c: char| c.is_ascii_digit()));
    quantised || ["f32", "f16", "bf16", "fp32", "fp16", "gguf"].contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_model_are_the_same() {
        for text in [
            "HuggingFaceTB/SmolLM2-135M-Instruct",
            "smollm2-135m-instruct",
            "/models/SmolLM2_135M-Instruct/",
            "/cache/SmolLM2-135M-Instruct.Q4_1.gguf",
            "C:\\models\\smollm2-135m-instruct-IQ4_NL.gguf",
            "/h/models--HuggingFaceTB--SmolLM2-135M-Instruct/snapshots/0a1b2c",
        ] {
            let name = model_name(text);
            assert_eq!(name.as_deref(), Some("smollm2-135m-instruct"), "{text}");
        }
        for text in [
            "HuggingFaceTB/SmolLM2-135M",
            "SmolLM2-360M-Instruct",
            "model",
        ] {
            assert_ne!(model_name(text).as_deref(), Some("smollm2-135m-instruct"));
        }
    }

    #[test]
    fn an_adapter_of_another_base_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let told = |base: &str, config: &str| {
            let settings = format!("{{\"{KEY}\": {base}}}");
            std::fs::write(dir.path().join(CONFIG), settings).unwrap();
            let config: Map<String, Value> = serde_json::from_str(config).unwrap();
            other_base(dir.path(), Path::new("/models/tiny"), Some(&config))
        };
        let sentence = told("\"some/other\"", "{}").unwrap();
        assert!(
            sentence.contains("was trained on some/other by its adapter_config.json"),
            "{sentence}"
        );
        assert!(
            sentence.contains("the model here is /models/tiny"),
            "{sentence}"
        );
        for (base, config) in [
            ("\"org/Tiny\"", "{}"),
            ("\"some/other\"", "{\"_name_or_path\": \"some/other\"}"),
            ("null", "{}"),
            ("\"\"", "{}"),
        ] {
            assert_eq!(told(base, config), None, "{base}");
        }
    }
}
