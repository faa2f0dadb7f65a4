//! `inpo devices`: what `--device` may be on this machine.

use clap::Args;
use inpo_core::{FoundDevice, found_devices};
use serde_json::json;

use crate::error::CliError;
use crate::print::lines;

/// Lists the devices that this build and this machine have, with their memory and float types.
#[derive(Debug, Args)]
pub(crate) struct DevicesArgs {
    /// Print the list as JSON; memory is in bytes.
    #[arg(long)]
    json: bool,
}

/// The backends that a build can have, with the feature of each.
const BACKENDS: [(&str, bool); 7] = [
    ("flex", cfg!(feature = "flex")),
    ("tch", cfg!(feature = "tch")),
    ("cuda", cfg!(feature = "cuda")),
    ("wgpu", cfg!(feature = "wgpu")),
    ("vulkan", cfg!(feature = "vulkan")),
    ("metal", cfg!(feature = "metal")),
    ("cpu", cfg!(feature = "cpu")),
];

pub(crate) fn run(args: &DevicesArgs) -> Result<(), CliError> {
    let found = found_devices();
    if args.json {
        let devices: Vec<_> = found.iter().map(|device| {
            json!({ "name": device.name, "model": device.model, "floats": device.floats, "memory": device.memory })
        }).collect();
        return lines([json!({ "devices": devices }).to_string()]);
    }
    let named = |there: bool| -> Vec<&str> {
        BACKENDS
            .into_iter()
            .filter(|(_, built)| *built == there)
            .map(|(name, _)| name)
            .collect()
    };
    let mut text = vec![row("device", "memory", "float types", "model")];
    text.extend(found.iter().map(of_device));
    text.push(String::new());
    text.push(format!("compiled in: {}", named(true).join(", ")));
    text.push(format!(
        "not compiled in: {} (build with `--features NAME`)",
        named(false).join(", ")
    ));
    lines(text)
}

fn of_device(device: &FoundDevice) -> String {
    let memory = device.memory.map_or_else(
        || "not told".to_owned(),
        |bytes| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    );
    let model = device.model.as_deref().unwrap_or("the processor");
    row(&device.name, &memory, &device.floats.join(", "), model)
}

fn row(name: &str, memory: &str, floats: &str, model: &str) -> String {
    format!("{name:<20}  {memory:>10}  {floats:<20}  {model}")
        .trim_end()
        .to_owned()
}
