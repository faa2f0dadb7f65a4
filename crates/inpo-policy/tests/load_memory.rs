//! What loading a model needs beside the model. A process of its own: other tests would count.

use burn::tensor::Device;
use inpo_policy::hub::{ResolveOptions, resolve};
use inpo_policy::{Policy, PolicyError, Precision};

/// A line of the process's status, in bytes; none where the system does not say.
fn status(key: &str) -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    let kilobytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// At most 1.2 times the model in its run type, at any moment of the load: SmolLM2 has 134,515,008
/// weights.
#[test]
fn loading_needs_little_beside_the_model() {
    let path = match resolve("smollm2-135m-instruct", &ResolveOptions::default()) {
        Ok(path) => path,
        Err(error @ PolicyError::Offline { .. }) => {
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
    // The smaller one first: what the allocator keeps of it is part of the other's peak.
    for (precision, bytes) in [(Precision::Bf16, 2), (Precision::F32, 4)] {
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
}
