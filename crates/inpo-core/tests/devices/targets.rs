//! The devices that are compiled in and there, and how exact each has to be.

use std::io::Write;
use std::sync::OnceLock;

use burn::tensor::{DType, Device};
use inpo_core::DeviceError;

/// A device and a type to compute in.
#[derive(Debug)]
pub(crate) struct Target {
    /// As `inpo_core::device` and `--device` have it.
    pub(crate) name: String,
    pub(crate) device: Device,
    pub(crate) dtype: DType,
    tolerance: f64,
}

/// The largest relative error allowed of each kind of device in each type that it is tried in. Flex and LibTorch are
/// measured (docs/backends.md); the others are proposals until a machine has run them: f32 products on
/// CUDA may round their factors to TF32's 10 bits, and bf16 has 8.
const TOLERANCES: [(&str, DType, f64); 10] = [
    ("flex", DType::F64, 1e-10),
    ("flex", DType::F32, 1e-5),
    ("flex", DType::BF16, 2e-2),
    ("tch", DType::F64, 1e-10),
    ("tch", DType::F32, 1e-5),
    ("tch", DType::BF16, 2e-2),
    // An H200 was off by up to 5.2e-3: products round their factors to TF32.
    ("cuda", DType::F32, 1e-2),
    ("cuda", DType::BF16, 2e-2),
    ("wgpu", DType::F32, 1e-3),
    ("cpu", DType::F32, 1e-4),
];

/// What bf16 is allowed in gradients that went through a whole model, in the norm. PyTorch's gradients of the checkpoints
/// and sequences of `shared_prompt.rs` are off by up to 4.4e-2 with weights in bf16 and 2.9e-2 under autocast.
const BF16_GRADIENTS: f64 = 1e-1;

/// Devices that are tried where they are compiled in.
const NAMES: [&str; 5] = ["flex", "tch", "cuda:0", "wgpu", "cpu"];

/// The variable that names devices, separated by commas, which must be compiled in and there.
const REQUIRED: &str = "INPO_REQUIRE_DEVICE";

impl Target {
    /// The largest error allowed of a check that goes back through a whole model, or that does not.
    pub(crate) fn allowed(&self, whole_gradients: bool) -> f64 {
        match self.dtype {
            DType::BF16 if whole_gradients => BF16_GRADIENTS,
            _ => self.tolerance,
        }
    }
}

/// Every target of this machine. What is compiled in and missing is told once on stderr.
pub(crate) fn targets() -> &'static [Target] {
    static TARGETS: OnceLock<Vec<Target>> = OnceLock::new();
    TARGETS.get_or_init(|| {
        let required = std::env::var(REQUIRED).unwrap_or_default();
        let required: Vec<&str> = required
            .split(',')
            .filter(|name| !name.is_empty())
            .collect();
        let further = required.iter().filter(|name| !NAMES.contains(name));
        let names = NAMES.iter().chain(further);
        names
            .flat_map(|name| of_device(name, required.contains(name)))
            .collect()
    })
}

/// The targets of one device: none where it is not there, unless it is required.
fn of_device(name: &str, required: bool) -> Vec<Target> {
    let device = match inpo_core::device(name) {
        Ok(device) => device,
        Err(DeviceError::NotCompiled { .. }) if !required => return Vec::new(),
        Err(error) => panic!("{REQUIRED} asks for `{name}`: {error}"),
    };
    let kind = match name.split(':').next().unwrap_or(name) {
        "vulkan" | "metal" => "wgpu",
        kind => kind,
    };
    if !is_there(name, &device) {
        let absent = format!("device `{name}` is compiled in, but this machine has none");
        assert!(!required, "{REQUIRED} asks for `{name}`: {absent}");
        // Past the test harness, which swallows the output of tests that pass.
        writeln!(std::io::stderr(), "SKIPPED: {absent}").expect("stderr is open");
        return Vec::new();
    }
    let rows = TOLERANCES.iter().filter(|(of, ..)| *of == kind);
    rows.map(|&(_, dtype, tolerance)| Target {
        name: name.to_owned(),
        device: device.clone(),
        dtype,
        tolerance,
    })
    .collect()
}

/// Whether the machine has the hardware. Flex, LibTorch and `cpu` compute on the processor.
fn is_there(name: &str, device: &Device) -> bool {
    match name.split(':').next() {
        #[cfg(feature = "cuda")]
        Some("cuda") => Device::enumerate(burn::tensor::DeviceType::Cuda).contains(device),
        // The best adapter is not listed by that name, nor is any on one interface alone.
        #[cfg(feature = "wgpu")]
        Some("wgpu" | "vulkan" | "metal") => {
            let found = Device::enumerate(burn::tensor::DeviceType::Wgpu);
            !found.is_empty() && (!name.starts_with("wgpu:") || found.contains(device))
        }
        _ => {
            let _ = device;
            true
        }
    }
}
