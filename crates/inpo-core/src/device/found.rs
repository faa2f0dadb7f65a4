//! The devices that this build and this machine have.

#[cfg(feature = "cube")]
use burn::tensor::DeviceType;
use burn::tensor::{DType, Device};

/// A device that was found, by the name that [`device`](super::device) takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundDevice {
    /// Its name: `flex`, `cuda:0`, `wgpu:integrated:0`.
    pub name: String,
    /// What its driver calls it, where it has one.
    pub model: Option<String>,
    /// The float types that it computes in: `f32`, `bf16`, `f16`, `f64`.
    pub floats: Vec<&'static str>,
    /// Its memory in bytes, where it can be known: the machine's for what computes on the processor.
    pub memory: Option<u64>,
}

/// Every device of the backends that were compiled in, each of which is opened.
// One push or many, as features have it.
#[allow(unused_mut, clippy::vec_init_then_push)]
pub fn found_devices() -> Vec<FoundDevice> {
    #[cfg(feature = "cube")]
    super::cube::configure();
    let mut found = Vec::new();
    #[cfg(feature = "flex")]
    found.push(FoundDevice::new("flex", &Device::flex(), None, true));
    #[cfg(feature = "tch")]
    #[allow(deprecated)]
    found.push(FoundDevice::new("tch", &Device::libtorch(), None, true));
    #[cfg(feature = "cuda")]
    for index in 0..Device::enumerate(DeviceType::Cuda).len() {
        found.push(of_driver(&format!("cuda:{index}"), &Device::cuda(index)));
    }
    #[cfg(feature = "wgpu")]
    {
        use super::Adapter;
        let there = Device::enumerate(DeviceType::Wgpu).into_vec();
        let of_kind = |kind: &str, adapter: fn(usize) -> Adapter| -> Vec<FoundDevice> {
            (0..)
                .map(|index| (index, Device::wgpu(adapter(index).kind())))
                .take_while(|(_, device)| there.contains(device))
                .map(|(index, device)| of_driver(&format!("wgpu:{kind}:{index}"), &device))
                .collect()
        };
        found.extend(of_kind("discrete", Adapter::Discrete));
        found.extend(of_kind("integrated", Adapter::Integrated));
        found.extend(of_kind("virtual", Adapter::Virtual));
        let cpu = Device::wgpu(Adapter::Cpu.kind());
        if there.contains(&cpu) {
            found.push(of_driver("wgpu:cpu", &cpu));
        }
    }
    #[cfg(feature = "cpu")]
    for device in Device::enumerate(DeviceType::Cpu).into_vec() {
        found.push(of_driver("cpu", &device));
    }
    found
}

impl FoundDevice {
    fn new(name: &str, device: &Device, model: Option<String>, on_processor: bool) -> Self {
        let floats = [
            ("f32", DType::F32),
            ("bf16", DType::BF16),
            ("f16", DType::F16),
            ("f64", DType::F64),
        ];
        Self {
            name: name.to_owned(),
            model,
            floats: floats
                .into_iter()
                .filter(|(_, dtype)| device.supports_dtype(*dtype))
                .map(|(name, _)| name)
                .collect(),
            memory: if on_processor { machine_memory() } else { None },
        }
    }
}

/// A device with a driver, which knows its name and, for a card, its address.
#[cfg(feature = "cube")]
fn of_driver(name: &str, device: &Device) -> FoundDevice {
    let identity = device.identity();
    let card = identity.as_ref().and_then(|it| it.physical.as_ref());
    let address = card
        .and_then(|card| card.pci_address)
        .map(|it| it.to_string());
    let on_processor = card.is_none() || name.starts_with("wgpu:integrated");
    let mut found = FoundDevice::new(name, device, identity.map(|it| it.name), on_processor);
    if let Some(memory) = address.as_deref().and_then(card_memory) {
        found.memory = Some(memory);
    }
    found
}

/// The memory of a card in bytes by its address on the bus: from the kernel (AMD), else from NVIDIA's own tool.
#[cfg(feature = "cube")]
fn card_memory(address: &str) -> Option<u64> {
    let kernel = format!("/sys/bus/pci/devices/{address}/mem_info_vram_total");
    if let Ok(text) = std::fs::read_to_string(kernel) {
        return text.trim().parse().ok();
    }
    let told = std::process::Command::new("nvidia-smi")
        .args(["--query-gpu=memory.total", "--format=csv,noheader,nounits"])
        .arg(format!("--id={address}"))
        .output()
        .ok()?;
    let mebibytes: u64 = String::from_utf8(told.stdout).ok()?.trim().parse().ok()?;
    Some(mebibytes << 20)
}

/// The machine's memory in bytes, where Linux tells it.
fn machine_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_found_device_opens_by_its_name() {
        let found = found_devices();
        #[cfg(feature = "flex")]
        assert!(found.iter().any(|device| device.name == "flex"));
        for device in found {
            assert!(super::super::device(&device.name).is_ok(), "{device:?}");
            assert!(device.floats.contains(&"f32"), "{device:?}");
        }
    }
}
