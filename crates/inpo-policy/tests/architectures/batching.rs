//! What is decoded together changes nothing.

use burn::module::Module;
use inpo_policy::{DrawKey, GenerationConfig, Policy, PromptTask, Sample, Sequence};

use crate::setup::{ToF64, checkpoints, largest_gap, load};

/// 12 prompts of 1 to 29 tokens, shorter and longer than the windows.
fn prompts() -> Vec<PromptTask> {
    (0..12_u32)
        .map(|number| PromptTask {
            number: u64::from(number),
            ids: (0..1 + (number * 17) % 29)
                .map(|i| 3 + (i * 7 + number) % 40)
                .collect(),
        })
        .collect()
}

/// Responses of 1 to 20 tokens: any of five ids ends one.
fn config(max_num_seqs: usize, max_cache_tokens: usize) -> GenerationConfig {
    GenerationConfig {
        num_generations: 3,
        max_new_tokens: 20,
        temperature: 0.9,
        top_p: 0.95,
        repetition_penalty: 1.1,
        stop_token_ids: (10..15).collect(),
        max_num_seqs,
        max_cache_tokens,
        ..GenerationConfig::default()
    }
}

fn samples(policy: &Policy, prompts: &[PromptTask], config: &GenerationConfig) -> Vec<Vec<Sample>> {
    let mut finished = 0;
    let result = policy.generate(prompts, config, DrawKey::new(3, 1), &mut |n| finished += n);
    let result = result.unwrap();
    assert_eq!(finished, prompts.len() * config.num_generations);
    let all = result.samples.iter().flatten();
    assert_eq!(
        result.cost.decode_tokens,
        all.map(|s| s.ids.len()).sum::<usize>()
    );
    result.samples
}

fn ids(samples: &[Vec<Sample>]) -> Vec<Vec<&Vec<u32>>> {
    let of_prompt = samples.iter();
    of_prompt
        .map(|samples| samples.iter().map(|s| &s.ids).collect())
        .collect()
}

/// In f64, where the last bits of a logit are far below what draws can tell, the ids are the same one by one,
/// three and 64 at a time, with little memory, and with the prompts in another order.
#[test]
fn ids_do_not_depend_on_the_batch() {
    for name in checkpoints(false).into_keys() {
        let policy = load(&name);
        let decoder = policy.decoder().clone().map(&mut ToF64);
        let policy = policy.with_decoder(&decoder);
        let prompts = prompts();
        let expected = samples(&policy, &prompts, &config(64, 16_384));
        let lengths: Vec<usize> = expected.iter().flatten().map(|s| s.ids.len()).collect();
        let early = lengths.iter().filter(|&&n| n < 20).count();
        assert!(
            early >= 6,
            "{name}: rows end at different times, {lengths:?}"
        );
        for (rows, tokens) in [(1, 16_384), (3, 16_384), (7, 16_384), (64, 450)] {
            let found = samples(&policy, &prompts, &config(rows, tokens));
            assert_eq!(
                ids(&found),
                ids(&expected),
                "{name}: {rows} rows, {tokens} tokens"
            );
        }
        let shuffled: Vec<PromptTask> = (0..12).map(|i| prompts[i * 5 % 12].clone()).collect();
        let found = samples(&policy, &shuffled, &config(7, 16_384));
        for (prompt, samples) in shuffled.iter().zip(&found) {
            let expected = &expected[prompt.number as usize];
            assert_eq!(
                ids(std::slice::from_ref(samples)),
                ids(std::slice::from_ref(expected)),
                "{name}: prompt {}",
                prompt.number
            );
        }
    }
}

/// In f32: prompts that come in while others are decoded have the log-probs of the full pass.
#[test]
fn logps_of_rows_that_come_in_later_are_the_full_pass() {
    for name in checkpoints(false).into_keys() {
        let policy = load(&name);
        let prompts = prompts();
        let (mut sequences, mut sampled) = (Vec::new(), Vec::new());
        for (prompt, samples) in prompts
            .iter()
            .zip(samples(&policy, &prompts, &config(7, 16_384)))
        {
            for sample in samples {
                sequences.push(Sequence::new(&prompt.ids, &sample.ids));
                sampled.push(sample.logps);
            }
        }
        let gap = largest_gap(&sampled, &policy.logps(&sequences).unwrap());
        assert!(gap < 1e-4, "{name}: {gap}");
    }
}
