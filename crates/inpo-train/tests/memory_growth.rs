//! A long training does not grow. Alone in its process: other tests have memory of their own.

#![cfg(target_os = "linux")]

use std::path::Path;

use burn::tensor::Device;
use inpo_loss::InpoLossConfig;
use inpo_policy::{LoraConfig, Policy, Sequence};
use inpo_train::config::TrainSection;
use inpo_train::{Objective, Order, StepMetrics, TrainPair, optimise};

const STEPS: usize = 200;
/// A leak of the gradients alone would be 150 steps of 60 KiB (LoRA) or 90 KiB (full): 8 MiB or more.
const BOUND: f64 = 4.0;

/// Resident memory of this process, in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024.0
}

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
            let (chosen, rejected) = (sequence(1), sequence(2));
            let sums = policy.logps(&[chosen.clone(), rejected.clone()]).unwrap();
            let start = [0, 1].map(|k| sums[k].iter().sum());
            TrainPair::new(chosen, rejected, start, vec![start; 2])
        })
        .collect();
    let loss = InpoLossConfig {
        eta: 0.1,
        tau: 0.03,
    };
    let objective = Objective::from(loss.init().unwrap());
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
        &objective,
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
