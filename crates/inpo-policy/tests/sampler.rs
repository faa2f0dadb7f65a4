//! The sampler's settings, against exact probabilities from transformers
//! (`fixtures/sampler_cases.py`), and what ends a response.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use inpo_data::{FinishReason, Prompt};
use inpo_policy::sample::{SampleKey, TokenSampler};
use inpo_policy::{DrawKey, GenerationConfig, Policy, PromptTask, Sample, Sampler, Sequence};
use serde::Deserialize;
use statrs::distribution::{ChiSquared, ContinuousCDF};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

#[derive(Deserialize)]
struct Cases {
    draws: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    logits: Vec<f32>,
    prompt: Vec<u32>,
    response: Vec<u32>,
    settings: serde_json::Value,
    probabilities: Vec<f64>,
}

impl Case {
    /// How often each id is drawn as the response's next, of `draws` samples.
    fn counts(&self, draws: u64) -> Vec<f64> {
        let config: GenerationConfig = serde_json::from_value(self.settings.clone()).unwrap();
        config.validate().unwrap();
        let early = self.response.len() < config.min_new_tokens;
        let banned: &[u32] = if early { &[0] } else { &[] };
        let logsumexp = f64::from(self.logits.iter().map(|l| l.exp()).sum::<f32>()).ln();
        let mut counts = vec![0.0; self.logits.len()];
        for sample in 0..draws {
            let key = SampleKey {
                seed: 5,
                stream: 0,
                prompt: 0,
                sample,
            };
            let mut sampler = TokenSampler::new(&config, key, &self.prompt);
            for &id in &self.response {
                // The one id that these logits can give.
                let mut logits = vec![f32::NEG_INFINITY; self.logits.len()];
                logits[id as usize] = 0.0;
                assert_eq!(sampler.draw(&logits, &[]).unwrap().id, id);
            }
            let draw = sampler.draw(&self.logits, banned).unwrap();
            counts[draw.id as usize] += 1.0;
            let logp = f64::from(self.logits[draw.id as usize]) - logsumexp;
            assert!((draw.logp - logp).abs() < 1e-5, "the policy's own log-prob");
        }
        counts
    }
}

/// Chi-square of `counts` against `probabilities`, over the cells that expect 5 or more and one of all
/// others, with its 0.1 % point; infinite where something impossible was drawn.
fn chi_square(counts: &[f64], probabilities: &[f64]) -> (f64, f64) {
    let draws: f64 = counts.iter().sum();
    let (mut cells, mut rest) = (Vec::new(), (0.0, 0.0));
    for (&count, p) in counts.iter().zip(probabilities) {
        match p * draws {
            0.0 if count > 0.0 => return (f64::INFINITY, 0.0),
            expected if expected >= 5.0 => cells.push((count, expected)),
            expected => rest = (rest.0 + count, rest.1 + expected),
        }
    }
    if rest.1 >= 5.0 {
        cells.push(rest);
    }
    let chi = cells.iter().map(|(n, e)| (n - e) * (n - e) / e).sum();
    let freedom = (cells.len() as f64 - 1.0).max(1.0);
    (chi, ChiSquared::new(freedom).unwrap().inverse_cdf(0.999))
}

/// 20 000 draws for each of 47 settings, alone and combined. The seed is fixed, so the test cannot flicker.
#[test]
fn draws_follow_the_exact_probabilities() {
    let text = std::fs::read(fixture("sampler_cases.json")).unwrap();
    let cases: Cases = serde_json::from_slice(&text).unwrap();
    assert_eq!(cases.draws.len(), 47);
    let mut told_apart = 0;
    for case in &cases.draws {
        let counts = case.counts(20_000);
        let (chi, limit) = chi_square(&counts, &case.probabilities);
        assert!(chi < limit, "{}: {chi} is above {limit}", case.settings);
        // The same draws are not those of the bare softmax, so that the test could tell.
        let total: f64 = case.logits.iter().map(|&l| f64::from(l).exp()).sum();
        let bare: Vec<f64> = case
            .logits
            .iter()
            .map(|&l| f64::from(l).exp() / total)
            .collect();
        let (chi, limit) = chi_square(&counts, &bare);
        told_apart += usize::from(chi > limit);
    }
    assert_eq!(told_apart, 46, "all but the case without a setting");
}

fn prompt() -> PromptTask {
    PromptTask {
        number: 0,
        ids: vec![5, 9, 11],
    }
}

fn samples(policy: &Policy, config: &GenerationConfig) -> Vec<Sample> {
    let result = policy.generate(&[prompt()], config, DrawKey::new(3, 1), &mut |_| {});
    result.unwrap().samples.remove(0)
}

/// Without the log-probs, whose last bits depend on what is computed together.
fn drawn(sample: &Sample) -> (&[u32], FinishReason) {
    (&sample.ids, sample.finish_reason)
}

fn config() -> GenerationConfig {
    GenerationConfig {
        num_generations: 12,
        max_new_tokens: 24,
        ..GenerationConfig::default()
    }
}

fn tiny() -> Policy {
    Policy::load(&fixture("tiny_llama_tied"), &Device::flex()).unwrap()
}

/// The draws are the same as without; each response ends with the first of the ids.
#[test]
fn stop_ids_end_a_response() {
    let policy = tiny();
    let without = samples(&policy, &config());
    let stops = [20, 21, 22, 40, 41];
    let with = samples(
        &policy,
        &GenerationConfig {
            stop_token_ids: stops.to_vec(),
            ..config()
        },
    );
    let mut stopped = 0;
    for (long, short) in without.iter().zip(&with) {
        match long.ids.iter().position(|id| stops.contains(id)) {
            Some(end) => {
                assert_eq!(short.ids, long.ids[..=end]);
                assert_eq!(short.finish_reason, FinishReason::Stop);
                stopped += 1;
            }
            None => assert_eq!(drawn(short), drawn(long)),
        }
    }
    assert!((3..12).contains(&stopped), "{stopped}");
}

/// The model with a tokenizer whose token `i` is the character `i + 48`.
fn with_characters(dir: &Path) -> Policy {
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(fixture("tiny_llama_tied").join(file), dir.join(file)).unwrap();
    }
    let vocab: serde_json::Map<_, _> = (0..64_u8)
        .map(|id| (char::from(id + 48).to_string(), id.into()))
        .collect();
    let tokenizer = serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "0"},
    });
    std::fs::write(dir.join("tokenizer.json"), tokenizer.to_string()).unwrap();
    Policy::load(dir, &Device::flex()).unwrap()
}

/// `config.json` ends responses at 2; the tokenizer's end token is 24 and the template closes turns with 40.
#[test]
fn a_response_ends_at_every_token_that_ends_a_turn() {
    let dir = tempfile::tempdir().unwrap();
    let without = samples(&with_characters(dir.path()), &config());
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let token = |id: u8| char::from(id + 48).to_string();
    let eos = serde_json::json!({"eos_token": token(24), "turn_token": token(40)});
    write("tokenizer_config.json", &eos.to_string());
    let template = "{% for m in messages %}{{ m.content }}{{ turn_token }}{% endfor %}";
    write("chat_template.jinja", template);
    let policy = Policy::load(dir.path(), &Device::flex()).unwrap();
    assert_eq!(policy.end_ids(), [2, 40, 24]);
    assert_eq!(policy.notes(), [""; 0]);
    let mut stopped = 0;
    for (long, short) in without.iter().zip(&samples(&policy, &config())) {
        let end = long.ids.iter().position(|id| [2, 24, 40].contains(id));
        assert_eq!(
            short.ids,
            long.ids[..end.map_or(long.ids.len(), |end| end + 1)]
        );
        stopped += usize::from(short.ids.ends_with(&[24]) || short.ids.ends_with(&[40]));
    }
    assert!(stopped > 1, "{stopped}");
}

#[test]
fn stop_strings_end_a_response() {
    let dir = tempfile::tempdir().unwrap();
    let policy = with_characters(dir.path());
    let without = samples(&policy, &config());
    let text = |sample: &Sample| policy.codec().unwrap().decode(&sample.ids).unwrap();
    // Parts of responses that there are, and one that there is not.
    let long = without.iter().find(|s| s.ids.len() > 8).unwrap();
    let stops = [&text(long)[5..8], &text(&without[3])[2..3], "never"].map(str::to_owned);
    let with = samples(
        &policy,
        &GenerationConfig {
            stop_strings: stops.to_vec(),
            ..config()
        },
    );
    let (mut stopped, mut by_three) = (0, 0);
    for (long, short) in without.iter().zip(&with) {
        let long_text = text(long);
        let end = stops
            .iter()
            .filter_map(|stop| Some(long_text.find(stop)? + stop.len()))
            .min();
        match end {
            Some(end) => {
                assert_eq!(text(short), long_text[..end]);
                by_three += usize::from(text(short).ends_with(&stops[0]));
                for (a, b) in short.logps.iter().zip(&long.logps) {
                    assert!((a - b).abs() < 1e-5, "{a} {b}");
                }
                assert_eq!(short.logps.len(), end);
                assert_eq!(short.finish_reason, FinishReason::Stop);
                stopped += 1;
            }
            None => assert_eq!(drawn(short), drawn(long)),
        }
    }
    assert!(stopped >= 2 && by_three >= 1, "{stopped} {by_three}");
}

#[test]
fn stop_strings_need_a_tokenizer() {
    let config = GenerationConfig {
        stop_strings: vec!["x".to_owned()],
        ..config()
    };
    let result = tiny().generate(&[prompt()], &config, DrawKey::new(3, 1), &mut |_| {});
    let error = result.unwrap_err().to_string();
    assert!(
        error.starts_with("`generation.stop_strings` need a tokenizer, and ")
            && error.contains("tiny_llama_tied has none that can be used: ")
            && error.ends_with("; give the ids that end a response (`generation.stop_token_ids`)"),
        "{error}"
    );
}

/// A greedy response repeats itself; with a penalty it cannot. The log-probs stay the policy's.
#[test]
fn a_penalty_changes_the_draws_and_not_the_logps() {
    let policy = tiny();
    let greedy = |repetition_penalty| GenerationConfig {
        num_generations: 1,
        temperature: 0.0,
        min_new_tokens: 24,
        repetition_penalty,
        ..config()
    };
    let distinct = |sample: &Sample| {
        let ids = [sample.ids.clone(), prompt().ids].concat();
        HashSet::<u32>::from_iter(ids).len()
    };
    let plain = samples(&policy, &greedy(1.0)).remove(0);
    let penalised = samples(&policy, &greedy(1e6)).remove(0);
    assert!(distinct(&plain) < 24, "{plain:?}");
    assert_eq!(distinct(&penalised), 27, "{penalised:?}");
    let sequence = Sequence::new(&prompt().ids, &penalised.ids);
    let logps = policy.logps(&[sequence]).unwrap().remove(0);
    for (sampled, scored) in penalised.logps.iter().zip(&logps) {
        assert!((sampled - scored).abs() < 1e-4, "{sampled} {scored}");
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    let error = |change: fn(&mut GenerationConfig)| {
        let mut config = config();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    assert_eq!(
        error(|c| c.repetition_penalty = 0.0),
        "`generation.repetition_penalty` is 0; allowed: a positive number; 1 is none"
    );
    assert_eq!(
        error(|c| c.stop_strings = vec![String::new()]),
        "`generation.stop_strings` is an empty text; allowed: texts of a character or more"
    );
}

/// One row of the same loop: the first sample, token by token, for as long as it is wanted.
#[test]
fn a_stream_is_the_first_sample() {
    let policy = tiny();
    let expected = samples(&policy, &config()).remove(0);
    let mut streamed = Vec::new();
    let sample = policy.stream(&prompt(), &config(), DrawKey::new(3, 1), &mut |id| {
        streamed.push(id);
        ControlFlow::Continue(())
    });
    assert_eq!(drawn(&sample.unwrap()), drawn(&expected));
    assert_eq!(streamed, expected.ids);
    let mut left = 3;
    let sample = policy.stream(&prompt(), &config(), DrawKey::new(3, 1), &mut |_| {
        left -= 1;
        match left {
            0 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    });
    assert_eq!(sample.unwrap().ids, expected.ids[..3]);
}

/// A policy is a sampler: text, ids and log-probs of what it samples, and log-probs of given responses.
#[test]
fn a_policy_is_a_sampler() {
    let dir = tempfile::tempdir().unwrap();
    let policy = with_characters(dir.path());
    let sampler: &dyn Sampler = &policy;
    let prompts = [Prompt::from_ids(prompt().ids)];
    let drawn = sampler.sample(&prompts, &config(), DrawKey::new(3, 1), &mut |_| {});
    let mut drawn = drawn.unwrap();
    assert_eq!(drawn.prompt_ids, [Some(prompt().ids)]);
    assert!(drawn.have_text);
    let answers = drawn.completions.remove(0);
    let sequences: Vec<Sequence> = answers
        .iter()
        .map(|answer| Sequence::new(&prompt().ids, answer.token_ids.as_ref().unwrap()))
        .collect();
    let scores = sampler.logps(&sequences).unwrap();
    let expected = samples(&policy, &config());
    assert_eq!(answers.len(), expected.len());
    for ((answer, sample), scores) in answers.iter().zip(&expected).zip(scores) {
        // Without the end token, which is not special in this tokenizer.
        let ids = sample.ids.strip_suffix(&[2]).unwrap_or(&sample.ids);
        assert_eq!(answer.text, policy.codec().unwrap().decode(ids).unwrap());
        assert_eq!(answer.token_ids.as_ref(), Some(&sample.ids));
        assert_eq!(answer.finish_reason, sample.finish_reason);
        for (logp, score) in answer.token_logps.as_ref().unwrap().iter().zip(scores) {
            assert!((logp - score).abs() < 1e-4, "{logp} {score}");
        }
    }
}
