//! The tensors of an adapter's file, by the paths of the modules that they belong to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use inpo_data::input::is_there;
use pytorch_reader::{DType, PytorchReader};
use safetensors::tensor::{Dtype, SafeTensors};

use super::{PREFIX, WEIGHTS};
use crate::error::PolicyError;
use crate::files::HostTensor;
use crate::files::dequant::ElementType;

/// A file of torch's own, which older releases of PEFT wrote.
const PICKLE: &str = "adapter_model.bin";

/// The largest file of torch's that is read.
const LARGEST: u64 = 1 << 32;

/// The tensors of an adapter's file.
pub(super) struct AdapterTensors {
    pub(super) path: PathBuf,
    /// By [`plain_name`], with the name in the file.
    tensors: BTreeMap<String, (String, HostTensor)>,
}

impl AdapterTensors {
    /// Reads `adapter_model.safetensors` of `dir`, or `adapter_model.bin` where there is no other.
    ///
    /// # Errors
    ///
    /// A file that is missing or malformed; numbers that are not f32, f16 or bf16 or not finite; two tensors for one
    /// matrix.
    pub(super) fn read(dir: &Path) -> Result<Self, PolicyError> {
        let (safe, pickle) = (dir.join(WEIGHTS), dir.join(PICKLE));
        let there = |path: &Path| is_there(path).map_err(PolicyError::read(path));
        let (path, named) = if !there(&safe)? && there(&pickle)? {
            let named = of_pickle(&pickle)?;
            (pickle, named)
        } else {
            let named = of_safetensors(&safe)?;
            (safe, named)
        };
        let mut tensors: BTreeMap<String, (String, HostTensor)> = BTreeMap::new();
        for (name, tensor) in named {
            if let Some(value) = tensor.data.iter().find(|value| !value.is_finite()) {
                return Err(refuse(
                    &path,
                    name,
                    format!("it holds {value}, and weights must be finite"),
                ));
            }
            let other = tensors.insert(plain_name(&name), (name.clone(), tensor));
            if let Some((other, _)) = other {
                let reason = format!(
                    "it belongs to the same matrix as `{other}`; save each adapter to a file of its own"
                );
                return Err(refuse(&path, name, reason));
            }
        }
        Ok(Self { path, tensors })
    }

    /// Takes the tensor of a plain name.
    pub(super) fn take(&mut self, plain: &str) -> Option<(String, HostTensor)> {
        self.tensors.remove(plain)
    }

    /// The plain name, the name in the file and the tensor of each that has not been taken.
    pub(super) fn rest(&self) -> impl Iterator<Item = (&str, &str, &HostTensor)> {
        let rest = self.tensors.iter();
        rest.map(|(plain, (name, tensor))| (plain.as_str(), name.as_str(), tensor))
    }

    /// The error for a tensor.
    pub(super) fn refuse(&self, name: &str, reason: String) -> PolicyError {
        refuse(&self.path, name.to_owned(), reason)
    }
}

/// The name of a tensor behind the path of its module: without PEFT's prefix, torch.compile's, and the name of the
/// adapter (`lora_A.default.weight`).
fn plain_name(name: &str) -> String {
    let name = name.replace("_orig_mod.", "");
    let name = name.strip_prefix(PREFIX).unwrap_or(&name);
    for matrix in [".lora_A.", ".lora_B."] {
        if let Some((module, rest)) = name.split_once(matrix)
            && let Some(adapter) = rest.strip_suffix("weight")
            && (adapter.is_empty() || adapter.ends_with('.'))
        {
            return format!("{module}{matrix}weight");
        }
    }
    name.to_owned()
}

fn refuse(path: &Path, tensor: String, reason: String) -> PolicyError {
    PolicyError::Tensor {
        path: path.to_owned(),
        tensor,
        reason,
    }
}

fn malformed(path: &Path, reason: String) -> PolicyError {
    PolicyError::Adapter {
        path: path.to_owned(),
        reason,
    }
}

fn unknown_type(path: &Path, name: &str, found: &dyn std::fmt::Debug) -> PolicyError {
    let reason = format!("its type is {found:?}, and f32, f16 and bf16 are read");
    refuse(path, name.to_owned(), reason)
}

fn of_safetensors(path: &Path) -> Result<Vec<(String, HostTensor)>, PolicyError> {
    let bytes = inpo_data::input::read(path).map_err(PolicyError::read(path))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| malformed(path, e.to_string()))?;
    let read = file.tensors().into_iter().map(|(name, view)| {
        let element = match view.dtype() {
            Dtype::F32 => ElementType::F32,
            Dtype::F16 => ElementType::F16,
            Dtype::BF16 => ElementType::BF16,
            other => return Err(unknown_type(path, &name, &other)),
        };
        let tensor = HostTensor {
            shape: view.shape().to_vec(),
            data: element.dequantise(view.data()),
        };
        Ok((name, tensor))
    });
    read.collect()
}

/// Reads a file of torch's without running what it pickles.
fn of_pickle(path: &Path) -> Result<Vec<(String, HostTensor)>, PolicyError> {
    let size = std::fs::metadata(path)
        .map_err(PolicyError::read(path))?
        .len();
    let convert = "convert it with PEFT: `PeftModel.from_pretrained(model, DIR).save_pretrained(NEW)` writes adapter_model.safetensors";
    if size > LARGEST {
        let reason = format!("it has {size} bytes, and at most {LARGEST} are read; {convert}");
        return Err(malformed(path, reason));
    }
    let broken = |error: String| malformed(path, format!("it cannot be read: {error}; {convert}"));
    let file = PytorchReader::new(path).map_err(|e| broken(e.to_string()))?;
    let mut tensors: Vec<_> = file.into_tensors().into_iter().collect();
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    let read = tensors.into_iter().map(|(name, tensor)| {
        let element = match tensor.dtype() {
            DType::F32 => ElementType::F32,
            DType::F16 => ElementType::F16,
            DType::BF16 => ElementType::BF16,
            other => return Err(unknown_type(path, &name, &other)),
        };
        let bytes = tensor.read().map_err(|e| broken(e.to_string()))?;
        let host = HostTensor {
            shape: tensor.shape().to_vec(),
            data: element.dequantise(&bytes),
        };
        Ok((name, host))
    });
    read.collect()
}
