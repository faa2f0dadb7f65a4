//! Writing a whole model as a Hugging Face directory.

use std::path::Path;

use burn::tensor::Tensor;
use safetensors::tensor::{Dtype, TensorView};
use sha2::{Digest, Sha256};

use crate::config::ModelConfig;
use crate::error::PolicyError;
use crate::files::write_whole;
use crate::model::Decoder;
use crate::tokenizer::TextCodec;

/// Visits every weight in Hugging Face's name, shape and layout, as f32 values.
fn for_each_weight(decoder: &Decoder, mut visit: impl FnMut(String, Vec<usize>, Vec<f32>)) {
    let mut matrix = |name: String, weight: Tensor<2>| {
        let shape = weight.dims().to_vec();
        visit(name, shape, to_f32(weight));
    };
    matrix(
        "model.embed_tokens.weight".into(),
        decoder.embed_tokens.val(),
    );
    if let Some(head) = &decoder.lm_head {
        matrix("lm_head.weight".into(), head.val());
    }
    for (layer, block) in decoder.clone().layers.iter_mut().enumerate() {
        for (path, projection) in block.projections() {
            let name = format!("model.layers.{layer}.{path}.weight");
            matrix(name, projection.weight.val().transpose());
        }
    }
    let mut vector = |name: String, gain: Tensor<1>| {
        let shape = gain.dims().to_vec();
        visit(name, shape, to_f32(gain));
    };
    for (layer, block) in decoder.layers.iter().enumerate() {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        vector(name("input_layernorm"), block.input_layernorm.gain.val());
        let norm = block.post_attention_layernorm.gain.val();
        vector(name("post_attention_layernorm"), norm);
    }
    vector("model.norm.weight".into(), decoder.norm.gain.val());
}

fn to_f32<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor
        .inner()
        .try_into_vec_as::<f32>()
        .expect("a float tensor reads as f32")
}

/// sha256 over all weights.
pub(crate) fn weight_digest(decoder: &Decoder) -> String {
    let mut hash = Sha256::new();
    for_each_weight(decoder, |name, _, values| {
        hash.update(name.as_bytes());
        for value in values {
            hash.update(value.to_le_bytes());
        }
    });
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// Writes `config.json`, `model.safetensors` (f32, tied head not repeated) and the tokenizer's files
/// into `dir`, each whole or not at all.
pub(crate) fn save_model(
    decoder: &Decoder,
    config: &ModelConfig,
    codec: Option<&TextCodec>,
    dir: &Path,
) -> Result<(), PolicyError> {
    std::fs::create_dir_all(dir).map_err(PolicyError::write(dir))?;
    let mut weights = Vec::new();
    for_each_weight(decoder, |name, shape, values| {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        weights.push((name, shape, bytes));
    });
    let views = weights.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        (name, view.expect("the bytes of an f32 tensor"))
    });
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    let bytes = safetensors::serialize(views, Some(metadata)).expect("views are valid");
    write_whole(&dir.join("model.safetensors"), &bytes)?;
    if let Some(codec) = codec {
        codec.save(dir)?;
    }
    let json = serde_json::to_vec_pretty(&config.to_hf_json()).expect("plain JSON");
    write_whole(&dir.join("config.json"), &json)
}
