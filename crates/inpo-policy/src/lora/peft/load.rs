//! Reading an adapter onto a decoder.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor, TensorData};

use super::CONFIG;
use super::keys::{Biases, Settings, no_projection, refused, trained_bias};
use super::tensors::AdapterTensors;
use crate::error::PolicyError;
use crate::files::HostTensor;
use crate::lora::config::own_names;
use crate::lora::modules::Selection;
use crate::lora::{LoraConfig, for_each, paths, side_path, without_adapters};
use crate::model::{Decoder, transpose, widened};

/// Reads adapters in PEFT's layout from `dir` onto `decoder`.
///
/// # Errors
///
/// Missing or malformed files; settings that change the arithmetic in a way that is not supported; tensors that are
/// missing or misshapen, or that belong nowhere: each named.
pub fn load_adapters(decoder: Decoder, dir: &Path) -> Result<(Decoder, LoraConfig), PolicyError> {
    let path = dir.join(CONFIG);
    let Settings { mut config, biases } = Settings::read(&path)?;
    let paths = paths(&decoder);
    config.target_modules = config.all_linear_of(&own_names(&paths));
    config.check_some(&paths).map_err(|r| refused(&path, r))?;
    let selection = Selection::new(config.rules()).map_err(|r| refused(&path, r))?;
    let takes = |module: &str| selection.takes(module).map_err(|r| refused(&path, r));
    for module in other_modules(&decoder) {
        if takes(&module)? {
            return Err(no_projection(&path, &module));
        }
    }
    let mut decoder = without_adapters(&decoder).no_grad();
    let device = decoder.device();
    // Adapters train, whatever the weights they stand on are stored in.
    let options = (&device, widened(decoder.dtype()));
    let mut tensors = AdapterTensors::read(dir)?;
    let mut absent = Vec::new();
    for_each(&mut decoder, |module, projection| {
        let taken = takes(module)?;
        let replaced = match biases {
            Biases::None => false,
            Biases::Adapted => taken,
            Biases::All => true,
        };
        if replaced && projection.bias.is_some() {
            return Err(trained_bias(&path, module));
        }
        if !taken {
            return Ok(());
        }
        let [input, output] = projection.dims();
        let rank = selection.rank(module).map_err(|r| refused(&path, r))?;
        let scale = selection.scale(module).map_err(|r| refused(&path, r))?;
        let mut matrices = Vec::new();
        for (suffix, expected) in [("lora_A", [rank, input]), ("lora_B", [output, rank])] {
            let name = format!("{module}.{suffix}.weight");
            match tensors.take(&name) {
                None => absent.push(format!("{}{name}", super::PREFIX)),
                Some((name, tensor)) if tensor.shape != expected => {
                    return Err(PolicyError::TensorShape {
                        path: tensors.path.clone(),
                        tensor: name,
                        found: tensor.shape,
                        expected: expected.to_vec(),
                    });
                }
                Some((_, tensor)) => matrices.push(transposed(tensor, expected, options)),
            }
        }
        if let Ok(matrices) = <[Tensor<2>; 2]>::try_from(matrices) {
            projection.lora = Some(side_path(matrices, scale, config.dropout));
        }
        Ok(())
    })?;
    if !absent.is_empty() {
        return Err(PolicyError::MissingTensors {
            path: tensors.path,
            tensors: absent,
        });
    }
    check_rest(&tensors, &decoder)?;
    Ok((decoder, config))
}

/// The paths of the modules that are no projections.
fn other_modules(decoder: &Decoder) -> Vec<String> {
    let outer = [
        "model",
        "model.embed_tokens",
        "model.layers",
        "model.norm",
        "model.rotary_emb",
        "lm_head",
    ];
    let mut modules = outer.map(str::to_owned).to_vec();
    for (layer, block) in decoder.layers.iter().enumerate() {
        let layer = format!("model.layers.{layer}");
        let inner = ["self_attn", "mlp", "mlp.act_fn"].into_iter();
        let norms = block.norms().map(|(name, _)| name);
        modules.extend(inner.chain(norms).map(|part| format!("{layer}.{part}")));
        modules.push(layer);
    }
    modules
}

/// Refuses tensors that no adapter took, but for embedding and head as the model has them: PEFT writes them along where
/// it cannot tell whether they were resized.
fn check_rest(tensors: &AdapterTensors, decoder: &Decoder) -> Result<(), PolicyError> {
    for (plain, name, tensor) in tensors.rest() {
        let own = match plain {
            "model.embed_tokens.weight" => Some(decoder.embed_tokens.val()),
            "lm_head.weight" => Some(
                decoder
                    .lm_head
                    .as_ref()
                    .unwrap_or(&decoder.embed_tokens)
                    .val(),
            ),
            _ => None,
        };
        let reason = match own {
            Some(own) if is_same(&own, tensor) => continue,
            Some(_) => "it is not the model's: tokens were added to the model, or it was trained beside the adapter; add both to the weights with PEFT (`merge_and_unload()`, then `save_pretrained(DIR)`) and give DIR as the model".to_owned(),
            None if plain.contains(".lora_") => format!("its module has no adapter by the {CONFIG} beside it, or is not in this model; the two files must be of one adapter"),
            None => "it belongs to no adapter, and would replace weights of the model; add it to the weights with PEFT (`merge_and_unload()`, then `save_pretrained(DIR)`) and give DIR as the model".to_owned(),
        };
        return Err(tensors.refuse(name, reason));
    }
    Ok(())
}

/// Whether `own` has the values of `tensor` in its own float type.
fn is_same(own: &Tensor<2>, tensor: &HostTensor) -> bool {
    if tensor.shape != own.dims() {
        return false;
    }
    let data = TensorData::new(tensor.data.clone(), own.dims());
    let other = Tensor::from_data(data, (&own.device(), own.dtype()));
    let values = |tensor: Tensor<2>| tensor.inner().try_into_vec_as::<f32>().ok();
    values(own.clone()) == values(other)
}

/// The transpose of a matrix, laid out as such: how a matrix lies in memory decides the rounding of its products, and a
/// resumed run must repeat to the bit.
fn transposed(
    tensor: HostTensor,
    [rows, columns]: [usize; 2],
    options: (&Device, DType),
) -> Tensor<2> {
    let data = TensorData::new(transpose(&tensor.data, columns), [columns, rows]);
    Tensor::from_data(data, options)
}
