//! The keys of PEFT's `adapter_config.json`: each is read, known to say nothing about the model, or refused by name
//! with what to do.
//!
//! The table has every key that PEFT 0.21's `LoraConfig` writes (`tests/fixtures/peft/make_adapters.py` lists them), and
//! those of older releases.

use std::path::Path;

use inpo_data::in_words;
use serde_json::{Map, Value, json};

use crate::config::{Keys, read_object, shown};
use crate::error::{PolicyError, excerpt};
use crate::lora::LoraConfig;
use crate::lora::refusal::Refusal;

/// What is done with a key.
enum Key {
    /// It is a field of [`LoraConfig`].
    Read,
    /// It is looked at here.
    Checked,
    /// It says nothing about what an adapter that is trained does to a model.
    Neutral,
    /// It must be off: absent, null, false or an empty list. The text is what PEFT does where it is on.
    Off(&'static str),
}

/// What to do with an adapter that is more than a low-rank product.
const MERGE: &str = "add the adapter to the weights with PEFT (`merge_and_unload()`, then `save_pretrained(DIR)`) and \
     give DIR as the model, without an adapter";

const KEYS: &[(&str, Key)] = &[
    ("r", Key::Read),
    ("lora_alpha", Key::Read),
    ("lora_dropout", Key::Read),
    ("use_rslora", Key::Read),
    ("target_modules", Key::Read),
    ("exclude_modules", Key::Read),
    ("layers_to_transform", Key::Read),
    ("layers_pattern", Key::Read),
    ("rank_pattern", Key::Read),
    ("alpha_pattern", Key::Read),
    ("peft_type", Key::Checked),
    ("task_type", Key::Checked),
    ("bias", Key::Checked),
    ("init_lora_weights", Key::Checked),
    // Where it comes from, and what trained it.
    ("auto_mapping", Key::Neutral),
    ("base_model_name_or_path", Key::Neutral),
    ("inference_mode", Key::Neutral),
    ("peft_version", Key::Neutral),
    ("revision", Key::Neutral),
    ("runtime_config", Key::Neutral),
    // Of layers that store `[in, out]`; PEFT turns it off for linear ones.
    ("fan_in_fan_out", Key::Neutral),
    // Settings of an initialisation, of which `init_lora_weights` says whether it counts.
    ("corda_config", Key::Neutral),
    ("eva_config", Key::Neutral),
    ("loftq_config", Key::Neutral),
    ("lora_ga_config", Key::Neutral),
    // Another gradient of A; what a trained adapter computes is the same.
    ("velora_config", Key::Neutral),
    // Of adapters on embedding and head, which are refused where they are targeted.
    ("ensure_weight_tying", Key::Neutral),
    // Of other keys that are off.
    ("megatron_core", Key::Neutral),
    ("qalora_group_size", Key::Neutral),
    // Of releases before 0.3.
    (
        "enable_lora",
        Key::Off("adapts some of a fused projection's parts"),
    ),
    ("merge_weights", Key::Neutral),
    (
        "alora_invocation_tokens",
        Key::Off("adapts only what follows certain tokens"),
    ),
    (
        "arrow_config",
        Key::Off("routes tokens between several adapters"),
    ),
    (
        "kasa_config",
        Key::Off("truncates the model's weights and scales ranks"),
    ),
    ("layer_replication", Key::Off("repeats layers of the model")),
    ("lora_bias", Key::Off("gives the product a bias")),
    (
        "megatron_config",
        Key::Off("adapts Megatron's parallel layers"),
    ),
    ("modules_to_save", Key::Off("replaces whole modules")),
    (
        "monteclora_config",
        Key::Off("samples the adapter's weights"),
    ),
    (
        "target_parameters",
        Key::Off("adapts parameters that are no modules"),
    ),
    (
        "trainable_token_indices",
        Key::Off("replaces rows of the embedding"),
    ),
    (
        "use_bdlora",
        Key::Off("makes one of the matrices block-diagonal"),
    ),
    (
        "use_dora",
        Key::Off("scales the columns of the sum to trained lengths (DoRA)"),
    ),
    ("use_qalora", Key::Off("pools the inputs")),
];

/// Initialisations by which PEFT changes the model's own weights whenever the adapter is loaded.
const MOVING: [&str; 4] = ["pissa", "olora", "corda", "loftq"];

/// Those that only say where A and B started, or nothing.
const STARTING: [&str; 5] = ["gaussian", "eva", "orthogonal", "mica", "lora_ga"];

/// Which biases of the model are in an adapter's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Biases {
    None,
    /// Those of modules with an adapter.
    Adapted,
    All,
}

/// An `adapter_config.json`.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) config: LoraConfig,
    pub(super) biases: Biases,
}

impl Settings {
    /// Reads `path`.
    ///
    /// # Errors
    ///
    /// A file that cannot be read; a key that is unknown, that has no code or that has a value outside its range, by
    /// name.
    pub(super) fn read(path: &Path) -> Result<Self, PolicyError> {
        let mut object = read_object(path)?;
        // As in PEFT, null is absent. Empty objects are those of PEFT's defaults.
        object.retain(|_, value| !value.is_null());
        let keys = Keys::new(&object, path, "");
        check_type(&keys)?;
        check_task(&keys)?;
        check_initialisation(&keys)?;
        check_off(&keys, &object)?;
        let biases = biases(&keys)?;
        // A key of a later release that is off.
        object.retain(|key, value| KEYS.iter().any(|(known, _)| known == key) || !is_off(value));
        let keys = Keys::new(&object, path, "");
        keys.nothing_else(|key| KEYS.iter().any(|(known, _)| *known == key))?;
        Ok(Self {
            config: lora_config(&object, path)?,
            biases,
        })
    }
}

/// The error for a bias that is trained, which a model has.
pub(super) fn trained_bias(path: &Path, module: &str) -> PolicyError {
    PolicyError::ConfigValue {
        path: path.to_owned(),
        key: "bias".to_owned(),
        found: "not \"none\"".to_owned(),
        allowed: format!("the model has a bias (of {module}), and PEFT replaces it; {MERGE}"),
    }
}

/// The error for `target_modules` that reach a module which is no projection of a block.
pub(super) fn no_projection(path: &Path, module: &str) -> PolicyError {
    let allowed = if ["lm_head", "model.embed_tokens"].contains(&module) {
        format!("adapters of {module} are not implemented; {MERGE}")
    } else {
        format!("{module} has no weight matrix of its own; name projections")
    };
    PolicyError::ConfigValue {
        path: path.to_owned(),
        key: "target_modules".to_owned(),
        found: format!("a list or expression that reaches {module}"),
        allowed,
    }
}

fn check_type(keys: &Keys<'_>) -> Result<(), PolicyError> {
    match keys.text("peft_type")? {
        None => Err(keys.missing("peft_type")),
        Some("LORA") => Ok(()),
        Some(other) => {
            let allowed = format!("only \"LORA\" is implemented; {MERGE}");
            Err(keys.refuse("peft_type", excerpt(other), &allowed))
        }
    }
}

fn check_task(keys: &Keys<'_>) -> Result<(), PolicyError> {
    match keys.text("task_type")? {
        None | Some("CAUSAL_LM" | "FEATURE_EXTRACTION") => Ok(()),
        Some(other) => {
            let allowed = "adapters are read for language models (\"CAUSAL_LM\"), and PEFT trains a new head beside this one; use an adapter of a language model";
            Err(keys.refuse("task_type", excerpt(other), allowed))
        }
    }
}

fn check_initialisation(keys: &Keys<'_>) -> Result<(), PolicyError> {
    const KEY: &str = "init_lora_weights";
    let Some(Value::String(name)) = keys.get(KEY) else {
        return keys.flag(KEY).map(|_| ());
    };
    let lower = name.to_lowercase();
    if MOVING.iter().any(|moving| lower.starts_with(moving)) {
        let allowed = format!(
            "PEFT changes the model's own weights by it when it loads the adapter, which is not implemented; save the adapter again with PEFT as a plain one (`save_pretrained(DIR, path_initial_model_for_weight_conversion=START)`), or {MERGE}"
        );
        return Err(keys.refuse(KEY, excerpt(name), &allowed));
    }
    if STARTING.contains(&lower.as_str()) {
        return Ok(());
    }
    let allowed = format!(
        "that initialisation is not known, and it may change the model's own weights; {MERGE}"
    );
    Err(keys.refuse(KEY, excerpt(name), &allowed))
}

fn check_off(keys: &Keys<'_>, object: &Map<String, Value>) -> Result<(), PolicyError> {
    for (key, what) in KEYS {
        let (Key::Off(does), Some(value)) = (what, object.get(*key)) else {
            continue;
        };
        if !is_off(value) {
            let allowed = format!("it {does}, which is not implemented; {MERGE}");
            return Err(keys.refuse(key, shown(value), &allowed));
        }
    }
    Ok(())
}

fn is_off(value: &Value) -> bool {
    match value {
        Value::Bool(on) => !on,
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

fn biases(keys: &Keys<'_>) -> Result<Biases, PolicyError> {
    match keys.text("bias")? {
        None | Some("none") => Ok(Biases::None),
        Some("lora_only") => Ok(Biases::Adapted),
        Some("all") => Ok(Biases::All),
        Some(other) => {
            let allowed = "PEFT has \"none\", \"lora_only\" and \"all\"";
            Err(keys.refuse("bias", excerpt(other), allowed))
        }
    }
}

/// The keys that are read, with PEFT's defaults where they are absent.
fn lora_config(object: &Map<String, Value>, path: &Path) -> Result<LoraConfig, PolicyError> {
    // PEFT's default modules of the families that it has defaults for.
    let mut read = json!({"r": 8, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]});
    for (key, what) in KEYS {
        if let (Key::Read, Some(value)) = (what, object.get(*key)) {
            read[*key] = value.clone();
        }
    }
    let malformed = |reason: String| PolicyError::Adapter {
        path: path.to_owned(),
        reason,
    };
    let config: LoraConfig = serde_path_to_error::deserialize(read).map_err(|error| {
        malformed({
            let words = in_words(&error.inner().to_string());
            format!("`{}`: {words}", error.path())
        })
    })?;
    config.check_values().map_err(|r| refused(path, r))?;
    Ok(config)
}

/// The error for a setting of `path` that cannot be used.
pub(super) fn refused(path: &Path, refusal: Refusal) -> PolicyError {
    let key = match refusal.key {
        "rank" => "r",
        "alpha" => "lora_alpha",
        "dropout" => "lora_dropout",
        key => key,
    };
    PolicyError::Adapter {
        path: path.to_owned(),
        reason: format!("`{key}` is {}; allowed: {}", refusal.got, refusal.allowed),
    }
}
