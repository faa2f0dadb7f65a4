//! The decoder against independent numbers: tiny random Llama checkpoints (f64 reference, generator
//! beside the fixtures) and SmolLM2 (reference numbers of `fixtures/SOURCES.md`).

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use inpo_data::FinishReason;
use inpo_hub::{HubError, find};
use inpo_policy::head::Head;
use inpo_policy::logps::{PackedBatch, scored_hidden};
use inpo_policy::{DrawKey, GenerationConfig, Policy, Precision, PromptTask, Sequence};
use serde::Deserialize;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn tiny(name: &str) -> Policy {
    Policy::load(&fixture(name), &Device::flex()).unwrap()
}

#[derive(Deserialize)]
struct Expected {
    sequences: Vec<ExpectedSequence>,
}

#[derive(Deserialize)]
struct ExpectedSequence {
    ids: Vec<u32>,
    token_logps: Vec<f64>,
}

fn tiny_sequences(name: &str) -> (Vec<Sequence>, Vec<Vec<f64>>) {
    let expected: Expected = read(&fixture(name).join("expected.json"));
    let sequences = expected.sequences.into_iter();
    sequences
        .map(|s| (Sequence::new(&s.ids[..1], &s.ids[1..]), s.token_logps))
        .unzip()
}

fn largest_gap(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    let gap = |(x, y): (&Vec<f64>, &Vec<f64>)| {
        assert_eq!(x.len(), y.len());
        x.iter()
            .zip(y)
            .map(|(x, y)| (x - y).abs())
            .fold(0.0, f64::max)
    };
    a.iter().zip(b).map(gap).fold(0.0, f64::max)
}

/// Tied head and untied head with Llama 3's RoPE scaling, against numpy in f64.
#[test]
fn tiny_checkpoints_give_the_reference_logps() {
    for name in ["tiny_llama_tied", "tiny_llama_untied"] {
        let (sequences, expected) = tiny_sequences(name);
        let logps = tiny(name).logps(&sequences).unwrap();
        let gap = largest_gap(&logps, &expected);
        assert!(gap < 1e-4, "{name}: {gap}");
    }
}

/// A row's log-probs depend on neither its neighbours nor its padding.
#[test]
fn batch_and_padding_change_nothing() {
    let policy = tiny("tiny_llama_untied");
    let (sequences, _) = tiny_sequences("tiny_llama_untied");
    let together = policy.logps(&sequences).unwrap();
    for (sequence, row) in sequences.iter().zip(&together) {
        let alone = policy.logps(std::slice::from_ref(sequence)).unwrap();
        assert!(largest_gap(&alone, std::slice::from_ref(row)) < 1e-5);
        let padded = PackedBatch::new(&[sequence], 64);
        let hidden = scored_hidden(policy.decoder(), &padded);
        let head = Head::new(policy.decoder().head());
        let logps = head.token_logps(&hidden, &padded.targets, 5);
        assert!(largest_gap(&padded.split(&logps), std::slice::from_ref(row)) < 1e-5);
    }
}

fn prompts() -> Vec<PromptTask> {
    let prompt = |number: u64, ids: &[u32]| PromptTask {
        number,
        ids: ids.to_vec(),
    };
    vec![
        prompt(0, &[5, 9, 11]),
        prompt(1, &[7]),
        prompt(2, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    ]
}

/// What the sampler computed token by token through its cache, with prompts of different lengths side
/// by side and rows leaving the batch, is what the full forward pass computes.
#[test]
fn cached_decoding_is_the_full_forward_pass() {
    let policy = tiny("tiny_llama_untied");
    let config = GenerationConfig {
        num_generations: 5,
        max_new_tokens: 24,
        ..GenerationConfig::default()
    };
    let prompts = prompts();
    let mut finished = 0;
    let result = policy
        .generate(&prompts, &config, DrawKey::new(3, 1), &mut |n| {
            finished += n
        })
        .unwrap();
    assert_eq!(finished, 15);
    let mut sequences = Vec::new();
    let mut sampled = Vec::new();
    for (prompt, samples) in prompts.iter().zip(&result.samples) {
        assert_eq!(samples.len(), 5);
        for sample in samples {
            let ended = policy
                .config()
                .eos_token_ids
                .contains(sample.ids.last().unwrap());
            assert_eq!(ended, sample.finish_reason == FinishReason::Stop);
            assert!(ended || sample.ids.len() == 24);
            sequences.push(Sequence::new(&prompt.ids, &sample.ids));
            sampled.push(sample.logps.clone());
        }
    }
    let full = policy.logps(&sequences).unwrap();
    let gap = largest_gap(&sampled, &full);
    assert!(gap < 1e-5, "{gap}");
    let tokens: usize = sampled.iter().map(Vec::len).sum();
    assert_eq!(result.cost.decode_tokens, tokens);
    assert_eq!(
        result.cost.prefill_tokens, 15,
        "each prompt is computed once"
    );
}

/// In bf16 the log-probs of what was sampled are those of the full pass in bf16 and, up to bf16's rounding, those of f32.
#[test]
fn decoding_in_bf16_is_f32_up_to_rounding() {
    let path = fixture("tiny_llama_untied");
    let load = |precision| Policy::load_in(&path, &Device::flex(), precision).unwrap();
    let exact = load(Precision::F32);
    let config = GenerationConfig {
        num_generations: 5,
        max_new_tokens: 24,
        min_new_tokens: 24,
        ..GenerationConfig::default()
    };
    for precision in [Precision::Bf16, Precision::Bf16Mixed] {
        let policy = load(precision);
        let result = policy.generate(&prompts(), &config, DrawKey::new(3, 1), &mut |_| {});
        let (mut sequences, mut sampled) = (Vec::new(), Vec::new());
        for (prompt, samples) in prompts().iter().zip(result.unwrap().samples) {
            for sample in samples {
                sequences.push(Sequence::new(&prompt.ids, &sample.ids));
                sampled.push(sample.logps);
            }
        }
        let gap = |policy: &Policy| largest_gap(&sampled, &policy.logps(&sequences).unwrap());
        let gaps = [gap(&policy), gap(&exact)];
        assert!(gaps[0] < 0.03 && gaps[1] < 0.1, "{gaps:?}");
    }
}

/// The draws belong to (seed, stream, prompt, sample): the batch's company changes nothing.
#[test]
fn samples_do_not_depend_on_the_batch() {
    let policy = tiny("tiny_llama_tied");
    let config = GenerationConfig {
        num_generations: 3,
        max_new_tokens: 12,
        temperature: 0.8,
        top_p: 0.9,
        ..GenerationConfig::default()
    };
    let ids = |prompts: &[PromptTask], key| -> Vec<Vec<Vec<u32>>> {
        let result = policy.generate(prompts, &config, key, &mut |_| {}).unwrap();
        let ids = |samples: Vec<inpo_policy::Sample>| samples.into_iter().map(|s| s.ids).collect();
        result.samples.into_iter().map(ids).collect()
    };
    let together = ids(&prompts(), DrawKey::new(3, 1));
    for (prompt, expected) in prompts().iter().zip(&together) {
        assert_eq!(
            &ids(std::slice::from_ref(prompt), DrawKey::new(3, 1))[0],
            expected
        );
    }
    assert_ne!(
        ids(&prompts(), DrawKey::new(3, 2)),
        together,
        "another stream, other draws"
    );
    assert_ne!(together[0][0], together[0][1], "samples differ");
}

#[test]
fn min_new_tokens_holds_the_end_token_back() {
    let policy = tiny("tiny_llama_tied");
    let config = GenerationConfig {
        num_generations: 16,
        max_new_tokens: 40,
        min_new_tokens: 40,
        ..GenerationConfig::default()
    };
    let result = policy
        .generate(&prompts(), &config, DrawKey::new(0, 0), &mut |_| {})
        .unwrap();
    assert!(result.samples.iter().flatten().all(|s| s.ids.len() == 40));
}

#[test]
fn bad_prompts_are_refused_in_sentences() {
    let policy = tiny("tiny_llama_tied");
    let config = GenerationConfig {
        max_new_tokens: 8,
        ..GenerationConfig::default()
    };
    let error = |ids: Vec<u32>| {
        let prompt = PromptTask { number: 4, ids };
        let result = policy.generate(&[prompt], &config, DrawKey::new(0, 0), &mut |_| {});
        result.unwrap_err().to_string()
    };
    let context = policy.config().max_position_embeddings;
    assert_eq!(
        error(vec![]),
        "prompt 4 is empty; give it at least one token"
    );
    assert_eq!(
        error(vec![1; context]),
        format!(
            "prompt 4 has {context} tokens, but at most {} fit; shorten it, or ask for fewer new tokens",
            context - 8
        )
    );
    assert_eq!(
        error(vec![64]),
        "token id 64 is beyond the model's vocabulary of 64; the ids are another tokenizer's"
    );
    let setting = GenerationConfig {
        top_p: 0.0,
        ..config.clone()
    };
    let result = policy.generate(&prompts(), &setting, DrawKey::new(0, 0), &mut |_| {});
    assert_eq!(
        result.unwrap_err().to_string(),
        "`generation.top_p` is 0; allowed: above 0 and at most 1"
    );
}

/// The real model; `None`, reported, where `INPO_OFFLINE=1` forbids fetching it.
fn smollm2() -> Option<Policy> {
    match find("smollm2-135m-instruct") {
        Ok(path) => Some(Policy::load(&path, &Device::flex()).unwrap()),
        Err(error @ HubError::Offline { .. }) => {
            eprintln!("SKIPPED: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[derive(Deserialize)]
struct Reference {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    response: String,
    prompt_ids: Vec<u32>,
    response_ids: Vec<u32>,
    logp_numpy_f64: Vec<f64>,
}

/// Per-token log-probs of six responses within 1e-3 of numpy in f64, and greedy decoding of "What is
/// the capital of France?" equal to the reference text.
#[test]
fn smollm2_gives_the_reference_logps_and_text() {
    let Some(policy) = smollm2() else { return };
    let reference: Reference = read(&fixture("smollm2_logprobs.json"));
    let (sequences, expected): (Vec<_>, Vec<_>) = reference
        .cases
        .iter()
        .map(|c| {
            (
                Sequence::new(&c.prompt_ids, &c.response_ids),
                c.logp_numpy_f64.clone(),
            )
        })
        .unzip();
    let gap = largest_gap(&policy.logps(&sequences).unwrap(), &expected);
    assert!(gap < 1e-3, "{gap}");

    let first = &reference.cases[0];
    let prompt = PromptTask {
        number: 0,
        ids: first.prompt_ids.clone(),
    };
    let greedy = GenerationConfig {
        num_generations: 1,
        max_new_tokens: 64,
        temperature: 0.0,
        ..GenerationConfig::default()
    };
    let result = policy
        .generate(&[prompt], &greedy, DrawKey::new(0, 0), &mut |_| {})
        .unwrap();
    let sample = &result.samples[0][0];
    assert_eq!(sample.ids, first.response_ids);
    assert_eq!(sample.finish_reason, FinishReason::Stop);
    assert_eq!(
        policy.codec().unwrap().decode(&sample.ids).unwrap(),
        first.response
    );
}
