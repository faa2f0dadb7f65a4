//! Sampling through the cache: log-probs and greedy choices.

use burn::tensor::{DType, Device};
use inpo_core::policy::logps::{PackedBatch, scored_hidden};
use inpo_core::policy::{DrawKey, GenerationConfig, Policy, PromptTask, Sequence};

use crate::errors::Errors;
use crate::reference::{host, log_softmax, product, tiny, transpose};

/// What the sampler computed token by token, prompts of different lengths side by side and rows
/// leaving the batch, against the whole forward pass of Flex in f64 on what was drawn: the log-prob of
/// every token, and, for greedy decoding, how far the choice is from the most likely token.
pub(crate) fn check(device: &Device, dtype: DType, errors: &mut Errors) {
    let flex = inpo_core::device("flex").expect("this target needs it");
    for name in ["tiny_llama_tied", "tiny_llama_untied"] {
        let policy = tiny(name, device, dtype);
        let reference = tiny(name, &flex, DType::F64);
        for (way, temperature) in [("sampled", 1.0), ("greedy", 0.0)] {
            let what = format!("{name}, {way}");
            compare(&what, temperature, &policy, &reference, errors);
        }
    }
}

fn compare(what: &str, temperature: f64, policy: &Policy, reference: &Policy, errors: &mut Errors) {
    let prompts: [&[u32]; 3] = [&[5, 9, 11], &[7], &[1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]];
    let tasks = prompts.iter().enumerate().map(|(i, ids)| PromptTask {
        number: i as u64,
        ids: ids.to_vec(),
    });
    let config = GenerationConfig {
        num_generations: 3,
        max_new_tokens: 29,
        temperature,
        ..GenerationConfig::default()
    };
    let tasks: Vec<PromptTask> = tasks.collect();
    let drawn = policy.generate(&tasks, &config, DrawKey::new(3, 1), &mut |_| {});
    let drawn = drawn.expect("the logits are finite");
    for (prompt, samples) in prompts.iter().zip(&drawn.samples) {
        for sample in samples {
            let all = every_logp(reference, prompt, &sample.ids);
            let places = all.iter().zip(&sample.ids);
            let expected: Vec<f64> = places.map(|(row, &id)| row[id as usize]).collect();
            errors.compare(what, &sample.logps, &expected);
            if temperature == 0.0 {
                let gaps = all.iter().zip(&expected).map(|(row, chosen)| {
                    row.iter().copied().fold(f64::NEG_INFINITY, f64::max) - chosen
                });
                errors.met(&format!("{what}, choice"), gaps.fold(0.0, f64::max));
            }
        }
    }
}

/// Log-probs of every token of the vocabulary at each place of `response`.
fn every_logp(policy: &Policy, prompt: &[u32], response: &[u32]) -> Vec<Vec<f64>> {
    let batch = PackedBatch::new(&[&Sequence::new(prompt, response)], 1);
    let head = policy.decoder().head();
    let [vocabulary, width] = head.dims();
    let hidden = host(scored_hidden(policy.decoder(), &batch));
    let shape = [response.len(), width, vocabulary];
    let logits = product(&hidden, &transpose(&host(head), width), shape);
    let all = log_softmax(&logits, vocabulary);
    all.chunks_exact(vocabulary).map(<[f64]>::to_vec).collect()
}
