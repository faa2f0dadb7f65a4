//! Adapters in PEFT's files.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::Deserialize;

use super::{LoraConfig, for_each, without_adapters};
use crate::error::PolicyError;
use crate::files::dequant::ElementType;
use crate::model::{Decoder, transpose, widened};
use inpo_data::files::write_whole;
use inpo_data::sha256;

/// Adapter tensors in PEFT's names and layout: `lora_A.weight` `[rank, in]`, `lora_B.weight`
/// `[out, rank]`, f32.
fn adapter_tensors(decoder: &Decoder) -> Vec<(String, [usize; 2], Vec<u8>)> {
    let mut decoder = decoder.clone();
    let mut tensors = Vec::new();
    let done = for_each(&mut decoder, |path, _, projection| {
        if let Some(lora) = &projection.lora {
            for (suffix, matrix) in [("lora_A", lora.a.val()), ("lora_B", lora.b.val())] {
                let matrix = matrix.inner().transpose();
                let shape = matrix.dims();
                let values = matrix
                    .try_into_vec_as::<f32>()
                    .expect("a float tensor reads as f32");
                let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                tensors.push((
                    format!("base_model.model.{path}.{suffix}.weight"),
                    shape,
                    bytes,
                ));
            }
        }
        Ok(())
    });
    done.expect("nothing here fails");
    tensors
}

/// sha256 over the adapters' scale, names and values.
pub(crate) fn adapter_digest(decoder: &Decoder, config: &LoraConfig) -> String {
    let tensors = adapter_tensors(decoder);
    let scale = config.scale().to_le_bytes();
    let parts = tensors
        .iter()
        .flat_map(|(name, _, bytes)| [name.as_bytes(), bytes.as_slice()]);
    let parts = std::iter::once(scale.as_slice()).chain(parts);
    sha256(&parts.collect::<Vec<_>>().concat())
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
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.to_vec(), bytes);
        (name, view.expect("the bytes of an f32 matrix"))
    });
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    let bytes = safetensors::serialize(views, Some(metadata)).expect("views are valid");
    let settings = serde_json::json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": config.dropout,
        "target_modules": config.target_modules,
        "bias": "none",
        "fan_in_fan_out": false,
        "modules_to_save": null,
        "use_rslora": config.use_rslora,
        "use_dora": false,
        "init_lora_weights": true,
        "inference_mode": true,
    });
    let settings = serde_json::to_vec_pretty(&settings).expect("plain JSON");
    std::fs::create_dir_all(dir).map_err(PolicyError::write(dir))?;
    write_whole(&dir.join("adapter_model.safetensors"), &bytes)?;
    Ok(write_whole(&dir.join("adapter_config.json"), &settings)?)
}

/// Reads adapters in PEFT's layout from `dir` onto `decoder`.
///
/// # Errors
///
/// Missing or malformed files, settings that change the arithmetic in a way that is not supported,
/// missing or misshapen tensors, tensors that belong nowhere: each named.
pub fn load_adapters(decoder: Decoder, dir: &Path) -> Result<(Decoder, LoraConfig), PolicyError> {
    let path = dir.join("adapter_config.json");
    let config = read_adapter_config(&path)?.resolved(&decoder);
    let config = config.map_err(|error| PolicyError::Adapter {
        path: path.clone(),
        reason: error.to_string(),
    })?;
    let mut decoder = without_adapters(&decoder).no_grad();
    let device = decoder.device();
    // Adapters train, whatever the weights they stand on are stored in.
    let dtype = widened(decoder.dtype());
    let path = dir.join("adapter_model.safetensors");
    let bytes = std::fs::read(&path).map_err(PolicyError::read(&path))?;
    let malformed = |reason: String| PolicyError::Adapter {
        path: path.clone(),
        reason,
    };
    let file = SafeTensors::deserialize(&bytes).map_err(|e| malformed(e.to_string()))?;
    let mut used = 0;
    for_each(&mut decoder, |module, name, projection| {
        if !config.targets(name) {
            return Ok(());
        }
        let [input, output] = projection.dims();
        let mut read = |suffix: &str, shape: [usize; 2]| {
            let name = format!("base_model.model.{module}.{suffix}.weight");
            let view = file
                .tensor(&name)
                .map_err(|_| malformed(format!("tensor `{name}` is missing")))?;
            let element = match view.dtype() {
                Dtype::F32 => Some(ElementType::F32),
                Dtype::F16 => Some(ElementType::F16),
                Dtype::BF16 => Some(ElementType::BF16),
                _ => None,
            };
            let Some(element) = element.filter(|_| view.shape() == shape) else {
                return Err(malformed(format!(
                    "tensor `{name}` is {:?} {:?}, expected f32, f16 or bf16 {shape:?}",
                    view.dtype(),
                    view.shape()
                )));
            };
            let values = element.dequantise(view.data());
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return Err(malformed(format!("tensor `{name}` holds {value}")));
            }
            used += 1;
            Ok(transposed(&values, shape, (&device, dtype)))
        };
        let a = read("lora_A", [config.rank, input])?;
        let b = read("lora_B", [output, config.rank])?;
        projection.lora = Some(config.side_path(a, b));
        Ok(())
    })?;
    if used != file.len() {
        let extra = file.len() - used;
        return Err(malformed(format!("{extra} tensors belong to no adapter")));
    }
    Ok((decoder, config))
}

/// The transpose of the matrix of `shape` with `values`, laid out as such: how a matrix
/// lies in memory decides the rounding of its products, and a resumed run must repeat to the bit.
fn transposed(values: &[f32], shape: [usize; 2], options: (&Device, DType)) -> Tensor<2> {
    let [rows, columns] = shape;
    let data = TensorData::new(transpose(values, columns), [columns, rows]);
    Tensor::from_data(data, options)
}

fn read_adapter_config(path: &Path) -> Result<LoraConfig, PolicyError> {
    let text = std::fs::read(path).map_err(PolicyError::read(path))?;
    let malformed = |reason: String| PolicyError::Adapter {
        path: path.to_owned(),
        reason,
    };
    #[derive(Deserialize)]
    struct PeftConfig {
        peft_type: String,
        r: usize,
        lora_alpha: f64,
        #[serde(default)]
        lora_dropout: f64,
        target_modules: Vec<String>,
        #[serde(default)]
        use_rslora: bool,
        #[serde(default)]
        use_dora: bool,
        #[serde(default)]
        fan_in_fan_out: bool,
        #[serde(default)]
        alpha_pattern: serde_json::Map<String, serde_json::Value>,
        #[serde(default)]
        rank_pattern: serde_json::Map<String, serde_json::Value>,
        #[serde(default)]
        bias: Option<String>,
        #[serde(flatten)]
        rest: serde_json::Map<String, serde_json::Value>,
    }
    let peft: PeftConfig = serde_json::from_slice(&text).map_err(|e| malformed(e.to_string()))?;
    let refused = [
        ("peft_type other than LORA", peft.peft_type != "LORA"),
        ("use_dora", peft.use_dora),
        ("fan_in_fan_out", peft.fan_in_fan_out),
        ("alpha_pattern", !peft.alpha_pattern.is_empty()),
        ("rank_pattern", !peft.rank_pattern.is_empty()),
        (
            "bias other than none",
            peft.bias.is_some_and(|bias| bias != "none"),
        ),
    ];
    if let Some((what, _)) = refused.iter().find(|(_, set)| *set) {
        return Err(malformed(format!("{what} is not supported")));
    }
    // What else changes a model in PEFT; off are null, false and empty.
    const REFUSED: &[&str] = &[
        "alora_invocation_tokens",
        "layer_replication",
        "layers_to_transform",
        "lora_bias",
        "modules_to_save",
        "target_parameters",
        "trainable_token_indices",
        "use_qalora",
    ];
    let off = |value: &serde_json::Value| match value {
        serde_json::Value::Null | serde_json::Value::Bool(false) => true,
        serde_json::Value::Array(list) => list.is_empty(),
        _ => false,
    };
    let set = |key: &&&str| peft.rest.get(**key).is_some_and(|value| !off(value));
    if let Some(key) = REFUSED.iter().find(set) {
        return Err(malformed(format!("{key} is not supported")));
    }
    Ok(LoraConfig {
        rank: peft.r,
        alpha: peft.lora_alpha,
        use_rslora: peft.use_rslora,
        dropout: peft.lora_dropout,
        target_modules: peft.target_modules,
    })
}
