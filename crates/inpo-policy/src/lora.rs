//! LoRA adapters: settings, initialisation, and PEFT's files.

mod config;
mod modules;
mod peft;
mod refusal;

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

pub use config::LoraConfig;
use modules::Selection;
pub use modules::{Modules, Patterns};
pub(crate) use peft::{adapter_digest, other_base};
pub use peft::{load_adapters, save_adapters};
use refusal::Refusal;

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

/// Visits each projection with its Hugging Face path, `model.layers.0.self_attn.q_proj`.
fn for_each(
    decoder: &mut Decoder,
    mut visit: impl FnMut(&str, &mut Projection) -> Result<(), PolicyError>,
) -> Result<(), PolicyError> {
    for (index, block) in decoder.layers.iter_mut().enumerate() {
        for (part, name, projection) in block.projections() {
            visit(&format!("model.layers.{index}.{part}.{name}"), projection)?;
        }
    }
    Ok(())
}

/// The Hugging Face paths of all projections.
fn paths(decoder: &Decoder) -> Vec<String> {
    let mut paths = Vec::new();
    let done = for_each(&mut decoder.clone(), |path, _| {
        paths.push(path.to_owned());
        Ok(())
    });
    done.expect("nothing here fails");
    paths
}

/// The side path of `a`, `[in, rank]`, and `b`, `[rank, out]`.
fn side_path([a, b]: [Tensor<2>; 2], scale: f64, dropout: f64) -> LowRank {
    LowRank {
        a: Param::from_tensor(a),
        b: Param::from_tensor(b),
        scale,
        dropout,
    }
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
    let selection = Selection::new(config.rules())?;
    for_each(&mut decoder, |path, projection| {
        if selection.takes(path)? {
            let [input, output] = projection.dims();
            let rank = selection.rank(path)?;
            let most = input.max(output);
            if rank > most {
                let (got, allowed) = (
                    rank.to_string(),
                    format!("at most {most}, the larger side of {path}"),
                );
                return Err(Refusal {
                    key: "rank",
                    got,
                    allowed,
                }
                .into());
            }
            let bound = 1.0 / (input as f64).sqrt();
            let a: Vec<f64> = (0..input * rank)
                .map(|_| rng.random_range(-bound..bound))
                .collect();
            let a = TensorData::new(a, [input, rank]);
            let a = Tensor::from_data(a, (&device, dtype));
            let b = Tensor::zeros([rank, output], (&device, dtype));
            let path = side_path([a, b], selection.scale(path)?, config.dropout);
            projection.lora = Some(path);
        }
        Ok(())
    })?;
    Ok(decoder)
}

/// The decoder with its adapters switched off: the reference policy of LoRA training. Weights are
/// shared, not copied.
pub fn without_adapters(decoder: &Decoder) -> Decoder {
    let mut decoder = decoder.clone();
    let none = for_each(&mut decoder, |_, projection| {
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
    let done = for_each(&mut decoder, |_, projection| {
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
