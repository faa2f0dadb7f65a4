//! Sampling from a geometric mixture of two policies, against probabilities computed in f64 from what
//! each policy gives to every next token.

use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor};
use inpo_data::Prompt;
use inpo_policy::logps::{PackedBatch, scored_hidden};
use inpo_policy::lora::LoraConfig;
use inpo_policy::{
    BehaviourPolicy, DrawKey, Engine, GenerationConfig, LocalEngine, Policy, PolicyMixture,
    PromptTask, Sample, Sequence,
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

fn tiny(name: &str) -> Policy {
    Policy::load(&fixture(name), &Device::flex()).unwrap()
}

/// Two unrelated models with 64 ids each: the policy and the reference.
fn pair() -> (Policy, Policy) {
    (tiny("tiny_llama_untied"), tiny("tiny_llama_tied"))
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

/// Log-probs of all 64 next ids after `context`.
fn next_logps(policy: &Policy, context: &[u32]) -> Vec<f64> {
    let continued = (0..64).map(|id| Sequence::new(context, &[id]));
    let logps = policy.logps(&continued.collect::<Vec<_>>()).unwrap();
    logps.into_iter().map(|row| row[0]).collect()
}

/// Log-probs of all 64 ids at each place of the response, from one forward pass without a cache.
fn all_logps(policy: &Policy, sequence: &Sequence) -> Vec<Vec<f64>> {
    let batch = PackedBatch::new(&[sequence], 1);
    let hidden = scored_hidden(policy.decoder(), &batch);
    let logits = hidden.matmul(policy.decoder().head().transpose());
    let logits: Vec<f64> = logits.try_into_vec_as().unwrap();
    logits.chunks(64).map(|row| mix(row, row, 0.0)).collect()
}

/// `log_softmax(weight * reference + (1 - weight) * policy)`.
fn mix(policy: &[f64], reference: &[f64], weight: f64) -> Vec<f64> {
    let scores: Vec<f64> = policy
        .iter()
        .zip(reference)
        .map(|(p, r)| weight * r + (1.0 - weight) * p)
        .collect();
    let logsumexp = scores.iter().map(|s| s.exp()).sum::<f64>().ln();
    scores.iter().map(|s| s - logsumexp).collect()
}

/// Chi-square of `counts` against `expected`, at least 5 in each cell.
fn chi_square(counts: &[f64], expected: &[f64]) -> f64 {
    let cell = |(n, e): (&f64, &f64)| {
        assert!(*e >= 5.0, "a cell expects {e}");
        (n - e).powi(2) / e
    };
    counts.iter().zip(expected).map(cell).sum()
}

/// 20 000 one-token responses at weight 0.3 against the exact mixture, and, so that the test could
/// tell, against what it must not be. 63 degrees of freedom: the 0.1 % point is 103.4. The seed is
/// fixed, so the test cannot flicker.
#[test]
fn one_token_responses_follow_the_mixture() {
    let (policy, reference) = pair();
    let context = [5, 9, 11];
    let draws = 20_000;
    let config = GenerationConfig {
        num_generations: draws,
        max_new_tokens: 1,
        ..GenerationConfig::default()
    };
    let result = policy
        .generate_mixture(
            &reference,
            0.3,
            &prompts()[..1],
            &config,
            DrawKey::new(11, 0),
            &mut |_| {},
        )
        .unwrap();
    let (p, r) = (
        next_logps(&policy, &context),
        next_logps(&reference, &context),
    );
    let exact = mix(&p, &r, 0.3);
    let mut counts = vec![0.0; 64];
    for sample in &result.samples[0] {
        let id = sample.ids[0] as usize;
        counts[id] += 1.0;
        assert!((sample.logps[0] - exact[id]).abs() < 1e-5);
    }
    let expected =
        |logps: &[f64]| -> Vec<f64> { logps.iter().map(|l| l.exp() * draws as f64).collect() };
    let chi = chi_square(&counts, &expected(&exact));
    assert!(chi < 103.4, "chi-square {chi}");
    for (name, weight) in [("weights exchanged", 0.7), ("a little off", 0.4)] {
        let chi = chi_square(&counts, &expected(&mix(&p, &r, weight)));
        assert!(chi > 103.4, "{name}: chi-square {chi}");
    }
    // The arithmetic mixture 0.3 ref + 0.7 pi is another distribution.
    let arithmetic: Vec<f64> = p
        .iter()
        .zip(&r)
        .map(|(p, r)| (0.3 * r.exp() + 0.7 * p.exp()).ln())
        .collect();
    let chi = chi_square(&counts, &expected(&arithmetic));
    assert!(chi > 103.4, "arithmetic: chi-square {chi}");
}

/// The log-probs recorded along a response are the mixture's, position by position, with prompts of
/// different lengths side by side and rows that leave both caches.
#[test]
fn recorded_logps_are_those_of_the_mixture() {
    let (policy, reference) = pair();
    let config = GenerationConfig {
        num_generations: 6,
        max_new_tokens: 48,
        ..GenerationConfig::default()
    };
    let prompts = prompts();
    let mut finished = 0;
    let result = policy
        .generate_mixture(
            &reference,
            0.4,
            &prompts,
            &config,
            DrawKey::new(5, 2),
            &mut |n| finished += n,
        )
        .unwrap();
    assert_eq!(finished, 18);
    assert_eq!(result.cost.prefill_tokens, 15);
    let samples = result.samples.iter().flatten();
    let tokens: Vec<usize> = samples.map(|s| s.ids.len()).collect();
    assert_eq!(result.cost.decode_tokens, tokens.iter().sum::<usize>());
    // Finished rows leave once they are a quarter of the 18.
    let early = tokens.iter().filter(|&&n| n < 40).count();
    assert!(early >= 5, "{early} rows end early: too few to leave");
    for (prompt, samples) in prompts.iter().zip(&result.samples) {
        for sample in samples {
            let sequence = Sequence::new(&prompt.ids, &sample.ids);
            let policy = all_logps(&policy, &sequence);
            let reference = all_logps(&reference, &sequence);
            assert_eq!(policy.len(), sample.logps.len());
            let distributions = policy.iter().zip(&reference);
            for ((&id, &logp), (p, r)) in sample.ids.iter().zip(&sample.logps).zip(distributions) {
                let expected = mix(p, r, 0.4)[id as usize];
                assert!((logp - expected).abs() < 1e-4, "{logp} is not {expected}");
            }
        }
    }
}

fn config() -> GenerationConfig {
    GenerationConfig {
        num_generations: 3,
        max_new_tokens: 12,
        temperature: 0.8,
        top_p: 0.9,
        ..GenerationConfig::default()
    }
}

fn sample(policy: &Policy, reference: &Policy, weight: f64) -> Vec<Vec<Sample>> {
    policy
        .generate_mixture(
            reference,
            weight,
            &prompts(),
            &config(),
            DrawKey::new(3, 1),
            &mut |_| {},
        )
        .unwrap()
        .samples
}

/// To the bit, log-probs included; and between the ends it is neither.
#[test]
fn the_ends_are_the_policy_and_the_reference() {
    let (policy, reference) = pair();
    let alone = |policy: &Policy| {
        let result = policy.generate(&prompts(), &config(), DrawKey::new(3, 1), &mut |_| {});
        result.unwrap().samples
    };
    let (of_policy, of_reference) = (alone(&policy), alone(&reference));
    assert_ne!(of_policy, of_reference);
    assert_eq!(sample(&policy, &reference, 0.0), of_policy);
    assert_eq!(sample(&policy, &reference, 1.0), of_reference);
    let between = sample(&policy, &reference, 0.5);
    assert!(between != of_policy && between != of_reference);
}

/// A reference whose context is too short for the prompts is refused when it runs, so weight 0, which
/// goes through, does not run it.
#[test]
fn weight_0_does_not_run_the_reference() {
    let (policy, reference) = pair();
    let mut short = reference.config().clone();
    short.max_position_embeddings = 16;
    let short = Policy::init(short, 0, &Device::flex()).unwrap();
    assert_eq!(
        sample(&policy, &short, 0.0),
        sample(&policy, &reference, 0.0)
    );
    let result = policy.generate_mixture(
        &short,
        0.1,
        &prompts(),
        &config(),
        DrawKey::new(3, 1),
        &mut |_| {},
    );
    assert_eq!(
        result.unwrap_err().to_string(),
        "prompt 2 has 11 tokens, but at most 4 fit; shorten it, or ask for fewer new tokens"
    );
}

/// The draws belong to (seed, stream, prompt, sample): the batch's company changes nothing.
#[test]
fn samples_do_not_depend_on_the_batch() {
    let (policy, reference) = pair();
    let ids = |prompts: &[PromptTask], key| -> Vec<Vec<Vec<u32>>> {
        let result = policy.generate_mixture(&reference, 0.6, prompts, &config(), key, &mut |_| {});
        let ids = |samples: Vec<Sample>| samples.into_iter().map(|s| s.ids).collect();
        result.unwrap().samples.into_iter().map(ids).collect()
    };
    let together = ids(&prompts(), DrawKey::new(3, 1));
    for (prompt, expected) in prompts().iter().zip(&together) {
        assert_eq!(
            &ids(std::slice::from_ref(prompt), DrawKey::new(3, 1))[0],
            expected
        );
    }
    let other = ids(&prompts(), DrawKey::new(3, 2));
    assert_ne!(other, together, "another stream, other draws");
    assert_ne!(together[0][0], together[0][1], "samples differ");
}

/// Adds 0.1 to every trainable parameter: the adapters.
struct Nudge;

impl ModuleMapper for Nudge {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if param.val().is_require_grad() {
            param.map(|tensor| Tensor::from_inner(tensor.inner().add_scalar(0.1)).require_grad())
        } else {
            param
        }
    }
}

/// The usual mixture of training: adapters on and off over shared weights. Greedy decoding takes the
/// most likely token of the mixture.
#[test]
fn adapters_mix_with_their_reference() {
    let lora = LoraConfig {
        rank: 4,
        alpha: 8.0,
        target_modules: ["q_proj", "down_proj"].into(),
        ..LoraConfig::default()
    };
    let adapted = tiny("tiny_llama_tied").with_adapters(&lora, 1).unwrap();
    let trained = adapted.decoder().clone().train().map(&mut Nudge);
    let policy = adapted.with_decoder(&trained);
    let reference = policy.reference();
    let config = GenerationConfig {
        num_generations: 1,
        max_new_tokens: 6,
        temperature: 0.0,
        ..GenerationConfig::default()
    };
    let result = policy
        .generate_mixture(
            &reference,
            0.5,
            &prompts(),
            &config,
            DrawKey::new(0, 0),
            &mut |_| {},
        )
        .unwrap();
    let mut moved = 0.0_f64;
    for (prompt, samples) in prompts().iter().zip(&result.samples) {
        let mut context = prompt.ids.clone();
        for (&id, &logp) in samples[0].ids.iter().zip(&samples[0].logps) {
            let (p, r) = (
                next_logps(&policy, &context),
                next_logps(&reference, &context),
            );
            let exact = mix(&p, &r, 0.5);
            let largest = exact.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            assert!((logp - exact[id as usize]).abs() < 1e-4);
            assert!((logp - largest).abs() < 1e-4);
            moved = moved.max((p[id as usize] - r[id as usize]).abs());
            context.push(id);
        }
    }
    assert!(
        moved > 1e-2,
        "the adapters moved the policy by {moved} only"
    );
}

/// Scoring a whole response gives what sampling gave token by token, and at weights 0 and 1 it is one model's.
#[test]
fn a_mixture_scores_what_it_samples() {
    let (policy, reference) = pair();
    let prompts: Vec<Prompt> = prompts()
        .into_iter()
        .map(|task| Prompt::from_ids(task.ids).numbered(task.number))
        .collect();
    let one_model = |weight: f64| match weight {
        0.0 => Some(&policy),
        1.0 => Some(&reference),
        _ => None,
    };
    for weight in [0.0, 0.3, 1.0] {
        let mixture = PolicyMixture {
            policy: policy.clone(),
            reference: reference.clone(),
            weight,
        };
        let sampler = LocalEngine
            .sampler(BehaviourPolicy::Mixture(Box::new(mixture)))
            .unwrap();
        let drawn = sampler.sample(&prompts, &config(), DrawKey::new(3, 1), &mut |_| {});
        let drawn = drawn.unwrap();
        assert!(!drawn.have_text, "the fixtures have no tokenizer");
        let mut sequences = Vec::new();
        let mut expected = Vec::new();
        for (ids, completions) in drawn.prompt_ids.iter().zip(&drawn.completions) {
            for completion in completions {
                let response = completion.token_ids.as_ref().unwrap();
                sequences.push(Sequence::new(ids.as_ref().unwrap(), response));
                expected.push(completion.token_logps.clone().unwrap());
            }
        }
        let scored = sampler.logps(&sequences).unwrap();
        let close = |scored: &[Vec<f64>], expected: &[Vec<f64>]| {
            assert_eq!(scored.len(), expected.len());
            for (a, b) in scored.concat().iter().zip(expected.concat()) {
                assert!((a - b).abs() < 1e-4, "weight {weight}: {a} {b}");
            }
        };
        close(&scored, &expected);
        if let Some(alone) = one_model(weight) {
            close(&scored, &alone.logps(&sequences).unwrap());
        }
    }
}

#[test]
fn bad_mixtures_are_refused_in_sentences() {
    let (policy, reference) = pair();
    let error = |reference: &Policy, weight: f64| {
        let result = policy.generate_mixture(
            reference,
            weight,
            &prompts(),
            &config(),
            DrawKey::new(0, 0),
            &mut |_| {},
        );
        result.unwrap_err().to_string()
    };
    let allowed = "allowed: from 0 (the policy) to 1 (the reference)";
    for (weight, got) in [(-0.1, "-0.1"), (1.5, "1.5"), (f64::NAN, "NaN")] {
        assert_eq!(
            error(&reference, weight),
            format!("`weight` is {got}; {allowed}")
        );
    }
    let mut larger = reference.config().clone();
    larger.vocab_size = 65;
    let larger = Policy::init(larger, 0, &Device::flex()).unwrap();
    for weight in [0.0, 0.5] {
        assert_eq!(
            error(&larger, weight),
            "the policy has a vocabulary of 64 tokens and the reference one of 65; a mixture is \
             taken token by token, so both must have the same vocabulary"
        );
    }
}
