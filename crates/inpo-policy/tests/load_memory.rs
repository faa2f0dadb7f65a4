//! What loading a model needs beside the model.

use std::process::Command;

use burn::tensor::Device;
use inpo_hub::{HubError, find};
use inpo_policy::{Policy, Precision};

/// A line of the process's status, in bytes; none where the system does not say.
fn status(key: &str) -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kilobytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// At most 1.2 times the model in its run type, at any moment of the load. A process for each type: a process keeps
/// what the first load freed, and that would be part of the second's peak.
#[test]
fn loading_needs_little_beside_the_model() {
    for name in ["loading_in_bf16", "loading_in_f32"] {
        let program = std::env::current_exe().unwrap();
        let mut command = Command::new(program);
        let output = command.args(["--ignored", "--exact", name, "--nocapture"]);
        let output = output.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        println!("{said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{name}");
        assert!(said.contains("1 passed"), "{name} did not run");
    }
}

#[test]
#[ignore = "needs a process of its own: loading_needs_little_beside_the_model starts one"]
fn loading_in_bf16() {
    load(Precision::Bf16, 2);
}

#[test]
#[ignore = "needs a process of its own: loading_needs_little_beside_the_model starts one"]
fn loading_in_f32() {
    load(Precision::F32, 4);
}

/// Loads SmolLM2, which has 134,515,008 weights.
fn load(precision: Precision, bytes: usize) {
    let path = match find("smollm2-135m-instruct") {
        Ok(path) => path,
        Err(error @ HubError::Offline { .. }) => {
            eprintln!("SKIPPED: {error}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    const WEIGHTS: usize = 134_515_008;
    // Linux forgets the peak when asked to.
    if std::fs::write("/proc/self/clear_refs", "5").is_err() {
        eprintln!("SKIPPED: this system does not tell a process its peak of memory");
        return;
    }
    let before = status("VmRSS:").unwrap();
    let policy = Policy::load_in(&path, &Device::flex(), precision).unwrap();
    let peak = status("VmHWM:").unwrap() - before;
    let ratio = peak as f64 / (WEIGHTS * bytes) as f64;
    println!(
        "{precision:?}: {} MiB at the peak, {ratio:.3} of the model",
        peak >> 20
    );
    assert!(ratio < 1.2, "{precision:?}: {ratio}");
    drop(policy);
}
