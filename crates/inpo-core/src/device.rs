//! From a device's name to a Burn device.

use burn::tensor::Device;

/// A device name that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceError {
    /// A name that is not a device.
    #[error("unknown device `{0}`; allowed: flex, cpu, cuda:N, tch, wgpu:N")]
    Unknown(String),
    /// A device whose backend was not compiled in.
    #[error("device `{device}` is not compiled in; build with `--features {feature}`")]
    NotCompiled {
        /// The device asked for.
        device: String,
        /// The cargo feature it needs.
        feature: &'static str,
    },
}

/// The device called `name`: `flex` (Burn's CPU backend), `cpu` (its CubeCL CPU backend), `cuda:0`,
/// `tch` (LibTorch on the CPU), `wgpu:0`. The index may be left out.
///
/// # Errors
///
/// An unknown name; a backend that was not compiled in, with the feature to build with.
pub fn device(name: &str) -> Result<Device, DeviceError> {
    let (kind, index) = match name.split_once(':') {
        None => (name, Some(0)),
        Some((kind @ ("cuda" | "wgpu"), index)) => (kind, index.parse::<usize>().ok()),
        Some(_) => ("", None),
    };
    match (kind, index) {
        ("flex", _) => flex(name),
        ("cpu", _) => cpu(name),
        ("cuda", Some(index)) => cuda(name, index),
        ("tch", _) => tch(name),
        ("wgpu", Some(index)) => wgpu(name, index),
        _ => Err(DeviceError::Unknown(name.to_owned())),
    }
}

/// Refuses a backend that is not there.
#[allow(dead_code)]
fn not_compiled(device: &str, feature: &'static str) -> Result<Device, DeviceError> {
    Err(DeviceError::NotCompiled {
        device: device.to_owned(),
        feature,
    })
}

#[cfg(feature = "flex")]
fn flex(_name: &str) -> Result<Device, DeviceError> {
    Ok(Device::flex())
}

#[cfg(not(feature = "flex"))]
fn flex(name: &str) -> Result<Device, DeviceError> {
    not_compiled(name, "flex")
}

#[cfg(feature = "cpu")]
fn cpu(_name: &str) -> Result<Device, DeviceError> {
    Ok(Device::cpu())
}

#[cfg(not(feature = "cpu"))]
fn cpu(name: &str) -> Result<Device, DeviceError> {
    not_compiled(name, "cpu")
}

#[cfg(feature = "cuda")]
fn cuda(_name: &str, index: usize) -> Result<Device, DeviceError> {
    Ok(Device::cuda(index))
}

#[cfg(not(feature = "cuda"))]
fn cuda(name: &str, _index: usize) -> Result<Device, DeviceError> {
    not_compiled(name, "cuda")
}

#[cfg(feature = "tch")]
#[allow(deprecated)]
fn tch(_name: &str) -> Result<Device, DeviceError> {
    Ok(Device::libtorch())
}

#[cfg(not(feature = "tch"))]
fn tch(name: &str) -> Result<Device, DeviceError> {
    not_compiled(name, "tch")
}

#[cfg(feature = "wgpu")]
fn wgpu(_name: &str, index: usize) -> Result<Device, DeviceError> {
    Ok(Device::wgpu(burn::tensor::DeviceKind::DiscreteGpu(index)))
}

#[cfg(not(feature = "wgpu"))]
fn wgpu(name: &str, _index: usize) -> Result<Device, DeviceError> {
    not_compiled(name, "wgpu")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_are_refused() {
        for name in ["gpu", "cuda:x", "flex:0", "", "cuda:"] {
            let error = device(name).unwrap_err();
            assert_eq!(error, DeviceError::Unknown(name.to_owned()));
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_missing_backend_names_its_feature() {
        assert_eq!(
            device("cuda:0").unwrap_err().to_string(),
            "device `cuda:0` is not compiled in; build with `--features cuda`"
        );
    }
}
