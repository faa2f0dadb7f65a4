//! From a device's name to a Burn device, and the devices that a machine has.

#[cfg(feature = "cube")]
mod cube;
mod found;

#[cfg(feature = "cube")]
pub use cube::{KernelCount, cube_config};
pub use found::{FoundDevice, found_devices};

use burn::tensor::Device;

/// A device name that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceError {
    /// A name that is not a device.
    #[error(
        "unknown device `{0}`; allowed: flex (the CPU), cuda:N, tch, wgpu, wgpu:discrete:N, wgpu:integrated:N, wgpu:virtual:N, wgpu:cpu, vulkan and metal likewise, cpu (CubeCL's)"
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
    Virtual(usize),
    Cpu,
}

impl Adapter {
    /// From what stands behind `wgpu:`.
    fn parse(name: &str) -> Option<Self> {
        let (kind, index) = match name.split_once(':') {
            Some((kind, index)) => (kind, index.parse().ok()?),
            None if name == "cpu" => return Some(Self::Cpu),
            None => match name.parse() {
                Ok(index) => ("discrete", index),
                Err(_) => (name, 0),
            },
        };
        match kind {
            "discrete" => Some(Self::Discrete(index)),
            "integrated" => Some(Self::Integrated(index)),
            "virtual" => Some(Self::Virtual(index)),
            _ => None,
        }
    }

    #[cfg(feature = "wgpu")]
    fn kind(self) -> burn::tensor::DeviceKind {
        use burn::tensor::DeviceKind;
        match self {
            Self::Best => DeviceKind::DefaultDevice,
            Self::Discrete(index) => DeviceKind::DiscreteGpu(index),
            Self::Integrated(index) => DeviceKind::IntegratedGpu(index),
            Self::Virtual(index) => DeviceKind::VirtualGpu(index),
            Self::Cpu => DeviceKind::Cpu,
        }
    }
}

/// The device called `name`: `flex` (Burn's CPU backend), `cpu` (its CubeCL CPU backend), `cuda:0`,
/// `tch` (LibTorch on the CPU), `wgpu`. `cuda` alone is `cuda:0`; `wgpu` alone is the GPU that wgpu prefers, `wgpu:discrete:N`
/// (or `wgpu:N`) the N-th discrete one, `wgpu:integrated:N` the N-th integrated one, `wgpu:virtual:N` the N-th one of a virtual
/// machine, `wgpu:cpu` a driver on the CPU. `vulkan` and `metal` are wgpu on that interface alone, with the same endings.
///
/// # Errors
///
/// An unknown name; a backend that was not compiled in, with the feature to build with.
pub fn device(name: &str) -> Result<Device, DeviceError> {
    let unknown = || DeviceError::Unknown(name.to_owned());
    let (backend, rest) = match name.split_once(':') {
        Some((backend, rest)) => (backend, Some(rest)),
        None => (name, None),
    };
    let adapter = || rest.map_or(Some(Adapter::Best), Adapter::parse);
    match (backend, rest) {
        ("flex", None) => flex(name),
        ("cpu", None) => cpu(name),
        ("tch", None) => tch(name),
        ("cuda", index) => cuda(name, index.unwrap_or("0").parse().map_err(|_| unknown())?),
        ("wgpu", _) => wgpu(name, adapter().ok_or_else(unknown)?),
        ("vulkan", _) => vulkan(name, adapter().ok_or_else(unknown)?),
        ("metal", _) => metal(name, adapter().ok_or_else(unknown)?),
        _ => Err(unknown()),
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
    cube::configure();
    Ok(Device::cpu())
}

#[cfg(not(feature = "cpu"))]
fn cpu(name: &str) -> Result<Device, DeviceError> {
    not_compiled(name, "cpu")
}

#[cfg(feature = "cuda")]
fn cuda(_name: &str, index: usize) -> Result<Device, DeviceError> {
    cube::configure();
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
    cube::configure();
    Ok(Device::wgpu(adapter.kind()))
}

#[cfg(not(feature = "wgpu"))]
fn wgpu(name: &str, _adapter: Adapter) -> Result<Device, DeviceError> {
    not_compiled(name, "wgpu")
}

#[cfg(feature = "vulkan")]
fn vulkan(_name: &str, adapter: Adapter) -> Result<Device, DeviceError> {
    cube::configure();
    Ok(Device::vulkan(adapter.kind()))
}

#[cfg(not(feature = "vulkan"))]
fn vulkan(name: &str, _adapter: Adapter) -> Result<Device, DeviceError> {
    not_compiled(name, "vulkan")
}

#[cfg(feature = "metal")]
fn metal(_name: &str, adapter: Adapter) -> Result<Device, DeviceError> {
    cube::configure();
    Ok(Device::metal(adapter.kind()))
}

#[cfg(not(feature = "metal"))]
fn metal(name: &str, _adapter: Adapter) -> Result<Device, DeviceError> {
    not_compiled(name, "metal")
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
            "wgpu:discrete:x",
            "vulkan:best",
            "metal:",
        ] {
            let error = device(name).unwrap_err();
            assert_eq!(error, DeviceError::Unknown(name.to_owned()));
        }
    }

    #[test]
    fn adapters_of_wgpu_have_names() {
        for (name, adapter) in [
            ("1", Adapter::Discrete(1)),
            ("discrete", Adapter::Discrete(0)),
            ("discrete:2", Adapter::Discrete(2)),
            ("virtual:1", Adapter::Virtual(1)),
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
