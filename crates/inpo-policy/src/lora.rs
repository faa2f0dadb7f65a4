//! LoRA adapters: settings, initialisation, and PEFT's files.

use std::path::Path;

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::error::PolicyError;
use crate::files::dequant::ElementType;
use crate::files::{sha256_bytes, write_whole};
use crate::model::{Decoder, LowRank, Projection, transpose, widened};

/// Names of the projections of a block that can carry an adapter, as in Hugging Face's modules.
pub const TARGET_MODULES: [&str; 7] = [
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
];

/// Projections that some models have in one, and the names of their parts: naming all parts names the whole.
pub const FUSED_MODULES: [(&str, &[&str]); 2] = [
    ("qkv_proj", &["q_proj", "k_proj", "v_proj"]),
    ("gate_up_proj", &["gate_proj", "up_proj"]),
];

/// Settings of low-rank adaptation (arXiv 2106.09685): `W + s A B` as a side path, `s = alpha / rank`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoraConfig {
    /// Rank of `A B`.
    pub rank: usize,
    /// Numerator of the scale `s`.
    pub alpha: f64,
    /// rsLoRA (arXiv 2312.03732): `s = alpha / sqrt(rank)`, which keeps the size of the side path's output
    /// where the rank grows.
    pub use_rslora: bool,
    /// Share of the side path's input that is dropped while training, the rest being scaled up (PEFT's
    /// `lora_dropout`); scoring and sampling drop nothing.
    pub dropout: f64,
    /// Projections that get an adapter, of [`TARGET_MODULES`] and [`FUSED_MODULES`].
    pub target_modules: Vec<String>,
}

impl Default for LoraConfig {
    /// Rank 16, alpha 32 over the rank, all seven projections of a block.
    fn default() -> Self {
        Self {
            rank: 16,
            alpha: 32.0,
            use_rslora: false,
            dropout: 0.0,
            target_modules: TARGET_MODULES.map(str::to_owned).to_vec(),
        }
    }
}

impl LoraConfig {
    /// The scale `s` of the side path: `alpha / rank`, or `alpha / sqrt(rank)` for rsLoRA.
    pub fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        match self.use_rslora {
            true => self.alpha / rank.sqrt(),
            false => self.alpha / rank,
        }
    }

    /// Checks rank, alpha, dropout and the names.
    pub fn validate(&self) -> Result<(), PolicyError> {
        let fail = |key: &str, got: String, allowed: String| {
            Err(PolicyError::InvalidSetting {
                key: format!("policy.lora.{key}"),
                got,
                allowed,
            })
        };
        if self.rank == 0 {
            return fail("rank", "0".into(), "at least 1".into());
        }
        if !(self.alpha > 0.0 && self.alpha.is_finite()) {
            return fail("alpha", self.alpha.to_string(), "a positive number".into());
        }
        if !(0.0..1.0).contains(&self.dropout) {
            let allowed = "from 0 to below 1".into();
            return fail("dropout", self.dropout.to_string(), allowed);
        }
        let fused = FUSED_MODULES.map(|(name, _)| name);
        let known = [TARGET_MODULES.as_slice(), &fused].concat();
        let unknown = |name: &&String| !known.contains(&name.as_str());
        if let Some(name) = self.target_modules.iter().find(unknown) {
            let allowed = format!("some of {}", known.join(", "));
            return fail("target_modules", name.clone(), allowed);
        }
        if self.target_modules.is_empty() {
            return fail("target_modules", "none".into(), "at least one".into());
        }
        Ok(())
    }

    /// These settings with the names of `decoder`'s own projections: a model that has queries, keys and
    /// values in one matrix gets one adapter for the three.
    ///
    /// # Errors
    ///
    /// Settings outside their range, or a name that the decoder does not have.
    pub fn resolved(&self, decoder: &Decoder) -> Result<Self, PolicyError> {
        self.validate()?;
        let Some(mut block) = decoder.layers.first().cloned() else {
            return Ok(self.clone());
        };
        let own: Vec<&str> = block.projections().map(|(_, name, _)| name).collect();
        let named = |name: &str| self.target_modules.iter().any(|target| target == name);
        let mut modules: Vec<String> = Vec::new();
        for target in &self.target_modules {
            let whole = FUSED_MODULES.iter().find(|(whole, parts)| {
                own.contains(whole)
                    && parts.contains(&target.as_str())
                    && parts.iter().all(|part| named(part))
            });
            let name = whole.map_or(target.as_str(), |(whole, _)| whole);
            if !own.contains(&name) {
                return Err(PolicyError::InvalidSetting {
                    key: "policy.lora.target_modules".to_owned(),
                    got: target.clone(),
                    allowed: format!("the projections of this model: {}", own.join(", ")),
                });
            }
            if !modules.iter().any(|known| known == name) {
                modules.push(name.to_owned());
            }
        }
        Ok(Self {
            target_modules: modules,
            ..self.clone()
        })
    }
}

/// Visits each projection with its Hugging Face path, `model.layers.0.self_attn.q_proj`.
fn for_each(
    decoder: &mut Decoder,
    mut visit: impl FnMut(&str, &str, &mut Projection) -> Result<(), PolicyError>,
) -> Result<(), PolicyError> {
    for (index, block) in decoder.layers.iter_mut().enumerate() {
        for (part, name, projection) in block.projections() {
            visit(
                &format!("model.layers.{index}.{part}.{name}"),
                name,
                projection,
            )?;
        }
    }
    Ok(())
}

/// Freezes every weight of `decoder` and adds trainable adapters: `A` uniform in
/// `[-1/sqrt(in), 1/sqrt(in)]` from `seed` (PEFT's initialisation), `B` zero.
///
/// # Errors
///
/// Settings outside their range, or names of projections that the decoder does not have.
pub fn add_adapters(
    decoder: Decoder,
    config: &LoraConfig,
    seed: u64,
) -> Result<Decoder, PolicyError> {
    let config = config.resolved(&decoder)?;
    let mut decoder = without_adapters(&decoder).no_grad();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let device = decoder.device();
    // Adapters train, whatever the weights they stand on are stored in.
    let dtype = widened(decoder.dtype());
    for_each(&mut decoder, |_, name, projection| {
        if config.target_modules.iter().any(|target| target == name) {
            let [input, output] = projection.dims();
            let bound = 1.0 / (input as f64).sqrt();
            let a: Vec<f64> = (0..input * config.rank)
                .map(|_| rng.random_range(-bound..bound))
                .collect();
            let a = TensorData::new(a, [input, config.rank]);
            projection.lora = Some(LowRank {
                a: Param::from_tensor(Tensor::from_data(a, (&device, dtype))),
                b: Param::from_tensor(Tensor::zeros([config.rank, output], (&device, dtype))),
                scale: config.scale(),
                dropout: config.dropout,
            });
        }
        Ok(())
    })?;
    Ok(decoder)
}

/// The decoder with its adapters switched off: the reference policy of LoRA training. Weights are
/// shared, not copied.
pub fn without_adapters(decoder: &Decoder) -> Decoder {
    let mut decoder = decoder.clone();
    let none = for_each(&mut decoder, |_, _, projection| {
        projection.lora = None;
        Ok(())
    });
    none.expect("nothing here fails");
    decoder
}

/// The decoder with its adapters added to its weights, `W + s A B`, summed in f32 or better and stored in
/// the weights' own float type.
pub fn merged(decoder: &Decoder) -> Decoder {
    let mut decoder = decoder.clone();
    let done = for_each(&mut decoder, |_, _, projection| {
        if let Some(path) = projection.lora.take() {
            let weight = projection.weight.val().inner();
            let dtype = weight.dtype();
            let wide = widened(dtype);
            let [a, b] = [path.a, path.b].map(|matrix| matrix.val().inner().cast(wide));
            let weight = weight.cast(wide) + a.matmul(b).mul_scalar(path.scale);
            projection.weight = Param::from_tensor(weight.cast(dtype));
        }
        Ok(())
    });
    done.expect("nothing here fails");
    decoder
}

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
    sha256_bytes(&parts.collect::<Vec<_>>().concat())
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
    write_whole(&dir.join("adapter_config.json"), &settings)
}

/// Reads adapters in PEFT's layout from `dir` onto `decoder`.
///
/// # Errors
///
/// Missing or malformed files, settings that change the arithmetic in a way that is not supported,
/// missing or misshapen tensors, tensors that belong nowhere: each named.
pub fn load_adapters(decoder: Decoder, dir: &Path) -> Result<(Decoder, LoraConfig), PolicyError> {
    let path = dir.join("adapter_config.json");
    let config = read_adapter_config(&path)?;
    let mut decoder = add_adapters(decoder, &config, 0)?;
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
    for_each(&mut decoder, |module, _, projection| {
        let [input, output] = projection.dims();
        let Some(lora) = &mut projection.lora else {
            return Ok(());
        };
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
        lora.a = Param::from_tensor(a);
        lora.b = Param::from_tensor(b);
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
