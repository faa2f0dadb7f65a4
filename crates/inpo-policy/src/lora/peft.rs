//! Adapters in PEFT's files.

mod base;
mod keys;
mod load;
mod tensors;

use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Map, Value, json};

use super::{LoraConfig, Modules, for_each};
use crate::error::PolicyError;
use crate::model::Decoder;
use inpo_data::files::write_whole;
use inpo_data::sha256;

pub(crate) use base::other_base;
pub use load::load_adapters;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// What PEFT puts before the path of a module.
const PREFIX: &str = "base_model.model.";

/// An adapter's matrix in PEFT's layout.
struct AdapterTensor {
    name: String,
    shape: [usize; 2],
    /// f32, little endian.
    bytes: Vec<u8>,
    /// The scale of its module.
    scale: f64,
}

/// Adapter tensors in PEFT's names and layout: `lora_A.weight` `[rank, in]`, `lora_B.weight`
/// `[out, rank]`, f32.
fn adapter_tensors(decoder: &Decoder) -> Vec<AdapterTensor> {
    let mut decoder = decoder.clone();
    let mut tensors = Vec::new();
    let done = for_each(&mut decoder, |path, projection| {
        if let Some(lora) = &projection.lora {
            for (suffix, matrix) in [("lora_A", lora.a.val()), ("lora_B", lora.b.val())] {
                let matrix = matrix.inner().transpose();
                let shape = matrix.dims();
                let values = matrix
                    .try_into_vec_as::<f32>()
                    .expect("a float tensor reads as f32");
                tensors.push(AdapterTensor {
                    name: format!("{PREFIX}{path}.{suffix}.weight"),
                    shape,
                    bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
                    scale: lora.scale,
                });
            }
        }
        Ok(())
    });
    done.expect("nothing here fails");
    tensors
}

/// sha256 over the adapters' scales, names and values.
pub(crate) fn adapter_digest(decoder: &Decoder, config: &LoraConfig) -> String {
    let scale = config.scale();
    let mut bytes = scale.to_le_bytes().to_vec();
    for tensor in adapter_tensors(decoder) {
        bytes.extend(tensor.name.as_bytes());
        bytes.extend(&tensor.bytes);
        if tensor.scale != scale {
            bytes.extend(tensor.scale.to_le_bytes());
        }
    }
    sha256(&bytes)
}

/// Writes `adapter_config.json` and `adapter_model.safetensors` in PEFT's layout into `dir`, each
/// whole or not at all.
///
/// # Errors
///
/// Files that cannot be written.
pub fn save_adapters(
    decoder: &Decoder,
    config: &LoraConfig,
    base_model: &str,
    dir: &Path,
) -> Result<(), PolicyError> {
    let tensors = adapter_tensors(decoder);
    let views = tensors.iter().map(|tensor| {
        let view = TensorView::new(Dtype::F32, tensor.shape.to_vec(), &tensor.bytes);
        (&tensor.name, view.expect("the bytes of an f32 matrix"))
    });
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    let bytes = safetensors::serialize(views, Some(metadata)).expect("views are valid");
    let settings = serde_json::to_vec_pretty(&settings(config, base_model)).expect("plain JSON");
    write_whole(&dir.join(WEIGHTS), &bytes)?;
    Ok(write_whole(&dir.join(CONFIG), &settings)?)
}

/// The `adapter_config.json` of `config`.
fn settings(config: &LoraConfig, base_model: &str) -> Value {
    let listed = |list: &[Value]| match list {
        [] => Value::Null,
        list => json!(list),
    };
    let modules = |modules: &Modules| match modules {
        modules if modules.is_empty() => Value::Null,
        modules => json!(modules),
    };
    let patterns = |entries: Vec<(String, Value)>| Value::Object(Map::from_iter(entries));
    let ranks = config.rank_pattern.0.iter();
    let alphas = config.alpha_pattern.0.iter();
    let layers: Vec<Value> = config
        .layers_to_transform
        .iter()
        .map(|n| json!(n))
        .collect();
    let lists: Vec<Value> = config.layers_pattern.iter().map(|n| json!(n)).collect();
    json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": config.dropout,
        "target_modules": config.target_modules,
        "exclude_modules": modules(&config.exclude_modules),
        "layers_to_transform": listed(&layers),
        "layers_pattern": listed(&lists),
        "rank_pattern": patterns(ranks.map(|(text, rank)| (text.clone(), json!(rank))).collect()),
        "alpha_pattern": patterns(alphas.map(|(text, alpha)| (text.clone(), json!(alpha))).collect()),
        "bias": "none",
        "fan_in_fan_out": false,
        "modules_to_save": null,
        "use_rslora": config.use_rslora,
        "use_dora": false,
        "init_lora_weights": true,
        "inference_mode": true,
    })
}
