//! A long training does not grow. Alone in its process: other tests have memory of their own.

#![cfg(target_os = "linux")]

#[path = "common/training.rs"]
mod training;

use std::path::Path;

use burn::tensor::Device;
use inpo_policy::{LoraConfig, Policy, Sequence};
use inpo_train::config::TrainSection;
use inpo_train::{Order, StepMetrics, TrainPair, optimise};

use training::{at_anchors, objective, resident};

const STEPS: usize = 200;
/// A leak of the gradients alone would be 150 steps of 60 KiB (LoRA) or 90 KiB (full): 8 MiB or more.
const BOUND: f64 = 4.0;

/// Resident memory after each step.
fn train(lora: bool) -> Vec<f64> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = dir.join("../inpo-policy/tests/fixtures/tiny_llama_untied");
    let mut policy = Policy::load(&dir, &Device::flex()).unwrap();
    if lora {
        policy = policy.with_adapters(&LoraConfig::default(), 1).unwrap();
    }
    let ids = |start: usize, count: usize| -> Vec<u32> {
        (0..count)
            .map(|k| ((start + 11 * k) % 61 + 3) as u32)
            .collect()
    };
    let pairs: Vec<TrainPair> = (0..5)
        .map(|i| {
            let sequence = |k| Sequence::new(&ids(i, 8), &ids(7 * i + k, 10 + 3 * i + k));
            at_anchors(&policy, [1, 2].map(sequence))
        })
        .collect();
    let config = TrainSection {
        learning_rate: 1e-4,
        max_steps: Some(STEPS),
        per_device_train_batch_size: 2,
        gradient_accumulation_steps: 2,
        ..TrainSection::default()
    };
    let mut memory = Vec::new();
    let mut log = |_: StepMetrics| {
        memory.push(resident());
        Ok(())
    };
    optimise(
        policy,
        &pairs,
        &objective(),
        &config,
        Order::Shuffled(0),
        &mut log,
    )
    .unwrap();
    memory
}

#[test]
fn two_hundred_steps_do_not_grow() {
    for lora in [true, false] {
        let memory = train(lora);
        assert_eq!(memory.len(), STEPS);
        // The lowest of some steps: peaks come and go.
        let lowest = |steps: &[f64]| steps.iter().copied().fold(f64::INFINITY, f64::min);
        let (warm, end) = (lowest(&memory[30..60]), lowest(&memory[170..]));
        assert!(
            end - warm < BOUND,
            "LoRA {lora}: {warm:.1} MiB after 60 steps, {end:.1} MiB after {STEPS}"
        );
    }
}
