//! From a device's name to a Burn device.

use burn::tensor::Device;

/// A device name that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceError {
    /// A name that is not a device.
    #[error(
        "unknown device `{0}`; allowed: flex (the CPU), cuda:N, tch, wgpu, wgpu:N, wgpu:integrated:N, wgpu:cpu, cpu (CubeCL's)"
    )]
    Unknown(String),
    /// A device whose backend was not compiled in.
    #[error(
        "device `{device}` is not compiled in; build with `--features {feature}`{}",
        hint(feature)
    )]
    NotCompiled {
        /// The device asked for.
        device: String,
        /// The cargo feature it needs.
        feature: &'static str,
    },
}

fn hint(feature: &str) -> &'static str {
    if feature == "cpu" {
        ", or say `flex`, the backend for the CPU"
    } else {
        ""
    }
}

/// An adapter of wgpu.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "wgpu"), allow(dead_code))]
enum Adapter {
    /// The one that wgpu prefers: the fastest GPU.
    Best,
    Discrete(usize),
    Integrated(usize),
    Cpu,
}

impl Adapter {
    /// From what stands behind `wgpu:`.
    fn parse(name: &str) -> Option<Self> {
        match name.split_once(':') {
            None if name == "cpu" => Some(Self::Cpu),
            None if name == "integrated" => Some(Self::Integrated(0)),
            None => name.parse().ok().map(Self::Discrete),
            Some(("integrated", index)) => index.parse().ok().map(Self::Integrated),
            Some(_) => None,
        }
    }
}

/// The device called `name`: `flex` (Burn's CPU backend), `cpu` (its CubeCL CPU backend), `cuda:0`,
/// `tch` (LibTorch on the CPU), `wgpu`. `cuda` alone is `cuda:0`; `wgpu` alone is the GPU that wgpu prefers, `wgpu:N` the N-th
/// discrete one, `wgpu:integrated:N` the N-th integrated one, `wgpu:cpu` a driver on the CPU.
///
/// # Errors
///
/// An unknown name; a backend that was not compiled in, with the feature to build with.
pub fn device(name: &str) -> Result<Device, DeviceError> {
    let unknown = || DeviceError::Unknown(name.to_owned());
    match name.split_once(':') {
        None => match name {
            "flex" => flex(name),
            "cpu" => cpu(name),
            "cuda" => cuda(name, 0),
            "tch" => tch(name),
            "wgpu" => wgpu(name, Adapter::Best),
            _ => Err(unknown()),
        },
        Some(("cuda", index)) => cuda(name, index.parse().map_err(|_| unknown())?),
        Some(("wgpu", adapter)) => wgpu(name, Adapter::parse(adapter).ok_or_else(unknown)?),
        Some(_) => Err(unknown()),
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
fn wgpu(_name: &str, adapter: Adapter) -> Result<Device, DeviceError> {
    use burn::tensor::DeviceKind;
    Ok(Device::wgpu(match adapter {
        Adapter::Best => DeviceKind::DefaultDevice,
        Adapter::Discrete(index) => DeviceKind::DiscreteGpu(index),
        Adapter::Integrated(index) => DeviceKind::IntegratedGpu(index),
        Adapter::Cpu => DeviceKind::Cpu,
    }))
}

#[cfg(not(feature = "wgpu"))]
fn wgpu(name: &str, _adapter: Adapter) -> Result<Device, DeviceError> {
    not_compiled(name, "wgpu")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_are_refused() {
        for name in [
            "gpu",
            "cuda:x",
            "flex:0",
            "",
            "cuda:",
            "wgpu:",
            "wgpu:best",
            "wgpu:integrated:",
            "wgpu:cpu:0",
        ] {
            let error = device(name).unwrap_err();
            assert_eq!(error, DeviceError::Unknown(name.to_owned()));
        }
    }

    #[test]
    fn adapters_of_wgpu_have_names() {
        for (name, adapter) in [
            ("1", Adapter::Discrete(1)),
            ("integrated", Adapter::Integrated(0)),
            ("integrated:2", Adapter::Integrated(2)),
            ("cpu", Adapter::Cpu),
        ] {
            assert_eq!(Adapter::parse(name), Some(adapter));
        }
    }

    #[cfg(not(feature = "cpu"))]
    #[test]
    fn the_cpu_is_called_flex() {
        let error = device("cpu").unwrap_err().to_string();
        assert!(
            error.ends_with("or say `flex`, the backend for the CPU"),
            "{error}"
        );
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
