//! What is in memory while training.

use std::fmt::Display;
#[cfg(target_os = "linux")]
use std::process::Command;

use inpo_train::{Models, Observer, StepMetrics};

use crate::setup::{config, rows, tiny, train};
#[cfg(target_os = "linux")]
use crate::training::resident;

/// Memory before anything is computed and in the first step.
#[cfg(target_os = "linux")]
#[derive(Default)]
struct Memory {
    before: f64,
    training: f64,
}

#[cfg(target_os = "linux")]
impl Observer for Memory {
    fn header(&mut self, _header: &dyn Display) {
        self.before = resident();
    }

    fn step(&mut self, _iteration: usize, _metrics: &StepMetrics) {
        self.training = resident();
    }
}

/// Training reads cached log-probs only: the 256 MiB of the reference and of the previous policy are gone by
/// the first step (the policy has 1 MiB).
///
/// Measures in a process of its own, which hands freed memory back: other tests have memory of their own, and loading
/// a model keeps it.
#[cfg(target_os = "linux")]
#[test]
fn only_the_policy_is_in_memory_while_training() {
    if std::env::var_os("INPO_KEEP_MEMORY").is_none_or(|keep| keep != "0") {
        let name = "memory::only_the_policy_is_in_memory_while_training";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env("INPO_KEEP_MEMORY", "0")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("1 passed"), "{said}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path(), "out", &rows(2), "eta = 0.1");
    let large = || Some(tiny(16_384, 2048).into());
    let models = Models {
        policy: tiny(16_384, 16),
        reference: large(),
        previous: large(),
        opponents: Vec::new(),
    };
    let mut memory = Memory::default();
    train(&config, models, false, &mut memory).unwrap();
    let Memory { before, training } = memory;
    assert!(before > 256.0, "both models are there: {before} MiB");
    assert!(
        before - training > 200.0,
        "{before} MiB before, {training} MiB in the first step"
    );
}
