//! What is compiled while a model trains and samples on wgpu: everything in the first step, nothing behind it.
//!
//! A software Vulkan driver will do (`scripts/setup-vulkan.sh`); without any driver the test says so and passes.

use std::path::Path;

use inpo_core::KernelCount;
use inpo_core::burn::tensor::{Device, DeviceType};
use inpo_core::loss::InpoLossConfig;
use inpo_core::policy::{DrawKey, GenerationConfig, LoraConfig, Policy, PromptTask, Sequence};
use inpo_core::train::config::TrainSection;
use inpo_core::train::{Objective, Order, TrainPair, optimise};

/// Ids of a repeatable text.
fn ids(count: usize, salt: usize) -> Vec<u32> {
    (0..count)
        .map(|i| ((i * 31 + salt * 17 + 5) % 60) as u32)
        .collect()
}

/// Four pairs with lengths of their own: together 109 to 125 tokens, 80 to 96 of them scored, the longest group of 25 to
/// 32, so that all are padded alike.
fn pairs(policy: &Policy, step: usize) -> Vec<TrainPair> {
    let pair = |i: usize| {
        let (prompt, salt) = (ids(7 + (step + i) % 3, 10 * step + i), 100 * step + i);
        let lengths = [10 + (step + 2 * i) % 3, 10 + (step + i) % 3];
        let [chosen, rejected] =
            [0, 1].map(|side| Sequence::new(&prompt, &ids(lengths[side], salt + 50 * side)));
        let logps = policy
            .logps(&[chosen.clone(), rejected.clone()])
            .expect("the model can read them");
        let start = [0, 1].map(|side| logps[side].iter().sum());
        TrainPair::new(chosen, rejected, start, vec![start; 2])
    };
    (0..4).map(pair).collect()
}

#[test]
fn only_the_first_step_compiles() {
    if Device::enumerate(DeviceType::Wgpu).is_empty() {
        eprintln!(
            "SKIPPED: this machine has no driver for wgpu; scripts/setup-vulkan.sh installs one"
        );
        return;
    }
    let device = inpo_core::device("wgpu").expect("the test needs this feature");
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../inpo-policy/tests/fixtures/tiny_llama_tied");
    let policy = Policy::load(&path, &device).expect("the fixture is a model");
    let policy = policy
        .with_adapters(&LoraConfig::default(), 0)
        .expect("it has projections");
    let pairs: Vec<TrainPair> = (0..4).flat_map(|step| pairs(&policy, step)).collect();
    let objective = InpoLossConfig {
        eta: 0.05,
        tau: 0.01,
    }
    .init()
    .expect("eta and tau fit");
    let config = TrainSection {
        learning_rate: 1e-3,
        per_device_train_batch_size: 4,
        gradient_accumulation_steps: 1,
        ..TrainSection::default()
    };
    // It counts those of all threads: one test has them all.
    let mut kernels = KernelCount::new();
    let mut compiled = Vec::new();
    let mut log = |_| {
        compiled.push(kernels.since().1);
        Ok(())
    };
    let trained = optimise(
        policy,
        &pairs,
        &Objective::from(objective),
        &config,
        Order::Given(0),
        &mut log,
    );
    let policy = trained.expect("the losses are finite");
    eprintln!("kernels compiled in each step: {compiled:?}");
    assert!(
        compiled[0] > 0,
        "the first step launched nothing: {compiled:?}"
    );
    assert_eq!(
        compiled[1..],
        [0, 0, 0],
        "kernels compiled in each step: {compiled:?}"
    );

    // 24 tokens behind a prompt of 13: each step reads all slots that there will be.
    let config = GenerationConfig {
        num_generations: 1,
        max_new_tokens: 24,
        min_new_tokens: 24,
        ..GenerationConfig::default()
    };
    let task = PromptTask {
        number: 0,
        ids: ids(13, 3),
    };
    let mut at = Vec::new();
    let drawn = policy.stream(&task, &config, DrawKey::new(1, 1), &mut |_| {
        at.push(kernels.since().1);
        std::ops::ControlFlow::Continue(())
    });
    drawn.expect("the logits are finite");
    eprintln!("kernels compiled for each token: {at:?}");
    // The prompts, then one step.
    assert!(
        at[2..].iter().all(|&new| new == 0),
        "kernels compiled for each token: {at:?}"
    );
}
