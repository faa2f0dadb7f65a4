//! Log-probs, continuations and rewards.

use burn::module::Module;
use burn::tensor::{DType, Device};
use inpo_policy::logps::response_logps;
use inpo_policy::{DrawKey, GenerationConfig, Policy, PromptTask, RewardModel, Sequence};

use crate::setup::{ToF64, checkpoints, fixture, largest_gap, load};

/// Per-token log-probs of sequences of 3, 13 and 40 tokens, longer than the windows: f32 with the fused
/// operations and f64 with the plain ones.
#[test]
fn every_checkpoint_gives_transformers_logps() {
    for (name, expected) in checkpoints(false) {
        let policy = load(&name);
        let (sequences, expected) = expected.sequences();
        let gap = largest_gap(&policy.logps(&sequences).unwrap(), &expected);
        println!("{name}: f32 {gap:.1e}");
        assert!(gap < 2e-4, "{name}: {gap}");
        let decoder = policy.decoder().clone().map(&mut ToF64);
        let gap = largest_gap(&response_logps(&decoder, &sequences), &expected);
        println!("{name}: f64 {gap:.1e}");
        assert!(gap < 2e-5, "{name} in f64: {gap}");
    }
}

/// bf16 activations stay near: a coarse check that casts are where they must be.
#[test]
fn half_precision_stays_near() {
    for (name, expected) in checkpoints(false) {
        let policy = load(&name);
        let decoder = policy.decoder().clone().computing_in(DType::BF16);
        let (sequences, expected) = expected.sequences();
        let logps = response_logps(&decoder.cast_once(), &sequences);
        let mean = |rows: &[Vec<f64>]| {
            let all: Vec<f64> = rows.iter().flatten().copied().collect();
            all.iter().sum::<f64>() / all.len() as f64
        };
        let gap = (mean(&logps) - mean(&expected)).abs();
        assert!(gap < 0.1, "{name}: {gap}");
        assert!(largest_gap(&logps, &expected) > 1e-4, "{name} is in bf16");
    }
}

fn greedy(policy: &Policy, prompt: &[u32], tokens: usize) -> Vec<u32> {
    let config = GenerationConfig {
        num_generations: 1,
        max_new_tokens: tokens,
        temperature: 0.0,
        ..GenerationConfig::default()
    };
    let task = PromptTask {
        number: 0,
        ids: prompt.to_vec(),
    };
    let result = policy.generate(&[task], &config, DrawKey::new(0, 0), &mut |_| {});
    result.unwrap().samples.remove(0).remove(0).ids
}

/// The largest logit one after the other, through the cache, is what transformers gives without one.
#[test]
fn greedy_continuations_are_transformers() {
    for (name, expected) in checkpoints(false) {
        let expected = expected.greedy.unwrap();
        let ids = greedy(&load(&name), &expected.prompt, expected.ids.len());
        assert_eq!(ids, expected.ids, "{name}");
    }
}

/// Prompts shorter and longer than the windows side by side, 24 new tokens, rows that leave: what was
/// computed through the cache is what the full pass computes.
#[test]
fn cached_decoding_is_the_full_pass() {
    let config = GenerationConfig {
        num_generations: 3,
        max_new_tokens: 24,
        ..GenerationConfig::default()
    };
    let prompt = |number: u64, ids: Vec<u32>| PromptTask { number, ids };
    let prompts = [
        prompt(0, vec![5, 9, 11]),
        prompt(1, vec![7]),
        prompt(2, (3..30).collect()),
        prompt(3, vec![1, 20, 30, 40, 4, 6, 8]),
    ];
    for name in checkpoints(false).into_keys() {
        let policy = load(&name);
        let result = policy.generate(&prompts, &config, DrawKey::new(3, 1), &mut |_| {});
        let (mut sequences, mut sampled) = (Vec::new(), Vec::new());
        for (prompt, samples) in prompts.iter().zip(result.unwrap().samples) {
            for sample in samples {
                sequences.push(Sequence::new(&prompt.ids, &sample.ids));
                sampled.push(sample.logps);
            }
        }
        let gap = largest_gap(&sampled, &policy.logps(&sequences).unwrap());
        assert!(gap < 1e-4, "{name}: {gap}");
    }
}

#[test]
fn rewards_are_transformers() {
    for (name, expected) in checkpoints(true) {
        let model = RewardModel::load(&fixture(&name), &Device::flex()).unwrap();
        let ids: Vec<_> = expected.rewards.iter().map(|r| r.ids.clone()).collect();
        let rewards = model.rewards(&ids).unwrap();
        let expected: Vec<f64> = expected.rewards.iter().map(|r| r.reward).collect();
        let gap = largest_gap(&[rewards], &[expected]);
        assert!(gap < 2e-4, "{name}: {gap}");
    }
}

#[test]
fn a_classifier_is_no_policy_and_the_reverse() {
    let path = fixture("reward_llama");
    let error = Policy::load(&path, &Device::flex()).unwrap_err();
    let expected = "its `architectures` name a sequence classifier, which has no vocabulary head";
    assert!(error.to_string().contains(expected), "{error}");
    let path = fixture("qwen2");
    let error = RewardModel::load(&path, &Device::flex()).unwrap_err();
    let expected = "its `architectures` name no sequence classifier, so it gives no reward";
    assert!(error.to_string().contains(expected), "{error}");
    let model = RewardModel::load(&fixture("reward_llama"), &Device::flex()).unwrap();
    let error = model.rewards(&[vec![1], vec![]]).unwrap_err().to_string();
    assert_eq!(error, "prompt 1 is empty; give it at least one token");
}
