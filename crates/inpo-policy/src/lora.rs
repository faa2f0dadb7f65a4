//! LoRA adapters: settings, initialisation, and PEFT's files.

mod peft;

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

pub(crate) use peft::adapter_digest;
pub use peft::{load_adapters, save_adapters};

use crate::error::PolicyError;
use crate::model::{Decoder, LowRank, Projection, widened};

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
        if self.use_rslora {
            self.alpha / rank.sqrt()
        } else {
            self.alpha / rank
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
        let mut modules: Vec<String> = Vec::new();
        for target in &self.target_modules {
            let whole = FUSED_MODULES.iter().find(|(whole, parts)| {
                own.contains(whole)
                    && parts.contains(&target.as_str())
                    && parts.iter().all(|part| self.targets(part))
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

    /// Whether the projection `name` gets an adapter.
    fn targets(&self, name: &str) -> bool {
        self.target_modules.iter().any(|target| target == name)
    }

    /// The side path of `a`, `[in, rank]`, and `b`, `[rank, out]`.
    fn side_path(&self, a: Tensor<2>, b: Tensor<2>) -> LowRank {
        LowRank {
            a: Param::from_tensor(a),
            b: Param::from_tensor(b),
            scale: self.scale(),
            dropout: self.dropout,
        }
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
        if config.targets(name) {
            let [input, output] = projection.dims();
            let bound = 1.0 / (input as f64).sqrt();
            let a: Vec<f64> = (0..input * config.rank)
                .map(|_| rng.random_range(-bound..bound))
                .collect();
            let a = TensorData::new(a, [input, config.rank]);
            let a = Tensor::from_data(a, (&device, dtype));
            let b = Tensor::zeros([config.rank, output], (&device, dtype));
            projection.lora = Some(config.side_path(a, b));
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
