//! The training step: gradients of every parameter, and a run of steps.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor};
use inpo_core::loss::InpoLossConfig;
use inpo_core::policy::config::RopeScaling;
use inpo_core::policy::model::TraceOptions;
use inpo_core::policy::{LoraConfig, ModelConfig, Policy, Sequence};
use inpo_core::train::config::{Optim, Schedule, TrainSection};
use inpo_core::train::{Objective, Order, StepMetrics, TrainPair, optimise, pair_gradient};

use crate::errors::Errors;
use crate::reference::{host, in_dtype, tensor, tiny, values};

/// How a device comes to a policy in f32, with the same weights on each.
type Make = fn(&Device) -> Policy;

/// Log-prob sums and gradients of full fine-tuning and of adapters on the tiny checkpoints, against Flex
/// in f64, whose gradients `inpo-train/tests/gradient.rs` checks by finite differences.
pub(crate) fn check(device: &Device, dtype: DType, errors: &mut Errors) {
    let lengths = [(3, 4, 2), (1, 7, 3), (6, 1, 9), (11, 13, 21)];
    let tied: Make = |device| tiny("tiny_llama_tied", device, DType::F32);
    let adapted: Make = |device| adapted(tiny("tiny_llama_untied", device, DType::F32));
    for (name, make) in [("full", tied), ("LoRA", adapted)] {
        compare(name, make, &lengths, (device, dtype), errors);
    }
}

/// The same at SmolLM2's widths (two layers, a smaller vocabulary) and lengths that are no multiples of 8.
pub(crate) fn check_real_size(device: &Device, dtype: DType, errors: &mut Errors) {
    let lengths = [(61, 45, 37), (33, 29, 67)];
    let full: Make = |device| wide(device);
    let adapted: Make = |device| adapted(wide(device));
    for (name, make) in [("full", full), ("LoRA", adapted)] {
        compare(name, make, &lengths, (device, dtype), errors);
    }
}

fn compare(
    name: &str,
    make: Make,
    lengths: &[(usize, usize, usize)],
    (device, dtype): (&Device, DType),
    errors: &mut Errors,
) {
    let flex = inpo_core::device("flex").expect("this target needs it");
    let expected = Gradients::of(&in_dtype(&make(&flex), DType::F64), lengths, false);
    let policy = in_dtype(&make(device), dtype);
    for (way, recompute) in [("", false), (" recomputed", true)] {
        let got = Gradients::of(&policy, lengths, recompute);
        let what = format!("{name}{way}");
        errors.compare(&format!("{what}, log-probs"), &got.logps, &expected.logps);
        assert_eq!(got.paths, expected.paths);
        for ((got, path), expected) in got.each.iter().zip(&got.paths).zip(&expected.each) {
            errors.compare_gradient(&format!("{what}, d {path}"), got, expected, dtype);
        }
    }
}

/// What a group of pairs gives, on the host.
#[derive(Default)]
struct Gradients {
    logps: Vec<f64>,
    each: Vec<Vec<f64>>,
    paths: Vec<String>,
}

impl Gradients {
    fn of(policy: &Policy, lengths: &[(usize, usize, usize)], recompute: bool) -> Self {
        let options = TraceOptions {
            recompute,
            ..TraceOptions::default()
        };
        let vocabulary = policy.config().vocab_size;
        let pairs: Vec<TrainPair> = (0..)
            .zip(lengths)
            .map(|(salt, &lengths)| {
                let [chosen, rejected] = sequences(lengths, salt, vocabulary);
                TrainPair::new(
                    chosen,
                    rejected,
                    [0.0; 2],
                    vec![[-9.0, -11.5], [-10.0, -10.5]],
                )
            })
            .collect();
        let members: Vec<&TrainPair> = pairs.iter().collect();
        let module = policy.decoder().clone().train();
        let scale = 1.0 / members.len() as f64;
        let (grads, figures) = pair_gradient(&module, &members, &objective(), scale, options)
            .expect("log-probs are finite");
        let logps = figures.iter().flat_map(|figures| figures.logps).collect();
        let mut visitor = Visitor {
            grads: &grads,
            path: Vec::new(),
            found: Self {
                logps,
                ..Self::default()
            },
        };
        module.visit(&mut visitor);
        assert!(!visitor.found.each.is_empty(), "something trains");
        visitor.found
    }
}

struct Visitor<'a> {
    grads: &'a GradientsParams,
    path: Vec<String>,
    found: Gradients,
}

impl ModuleVisitor for Visitor<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.grads.get::<D>(param.id) {
            self.found.each.push(host(grad));
            self.found.paths.push(self.path.join("."));
        }
    }
}

fn objective() -> Objective {
    let loss = InpoLossConfig {
        eta: 0.1,
        tau: 0.03,
    };
    Objective::from(loss.init().expect("valid settings"))
}

/// A prompt with two responses of the lengths given. Id 2 pads in the fixtures and ends responses.
fn sequences(
    (prompt, chosen, rejected): (usize, usize, usize),
    salt: usize,
    vocabulary: usize,
) -> [Sequence; 2] {
    let ids = |count: usize, salt: usize| -> Vec<u32> {
        let id = |i: usize| (3 + (i * i * 31 + i * 17 + salt * 101) % (vocabulary - 3)) as u32;
        (0..count).map(id).collect()
    };
    let prompt = ids(prompt, salt);
    [(chosen, 7), (rejected, 8)].map(|(count, side)| {
        let mut response = ids(count, 10 * salt + side);
        *response.last_mut().expect("a response has an end") = 2;
        Sequence::new(&prompt, &response)
    })
}

/// The policy with adapters whose weights have moved, so that every matrix of theirs has a gradient.
fn adapted(policy: Policy) -> Policy {
    let config = LoraConfig {
        rank: 3,
        alpha: 6.0,
        ..LoraConfig::default()
    };
    let policy = policy.with_adapters(&config, 5).expect("valid settings");
    let decoder = policy.decoder().clone().map(&mut Nudge(0));
    policy.with_decoder(&decoder)
}

/// Adds multiples of 2^-12, up to 1/32, to every parameter.
struct Nudge(u64);

impl ModuleMapper for Nudge {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.0 += 1;
        param.map(|weights| {
            let count = weights.shape().num_elements();
            let by: Vec<f64> = values(count, self.0).iter().map(|v| v / 64.0).collect();
            let (device, dtype) = (weights.device(), weights.dtype());
            weights.clone() + tensor(&by, weights.dims(), (&device, dtype))
        })
    }
}

/// A fresh model as wide as SmolLM2-135M.
fn wide(device: &Device) -> Policy {
    let config = ModelConfig {
        vocab_size: 4099,
        hidden_size: 576,
        intermediate_size: 1536,
        num_hidden_layers: 2,
        num_attention_heads: 9,
        num_key_value_heads: 3,
        head_dim: 64,
        max_position_embeddings: 256,
        rms_norm_eps: 1e-5,
        rope_theta: 100_000.0,
        rope_scaling: RopeScaling::None,
        tie_word_embeddings: true,
        bos_token_id: Some(1),
        eos_token_ids: vec![2],
        pad_token_id: Some(2),
        ..ModelConfig::default()
    };
    Policy::init(config, 7, device).expect("the configuration is sound")
}

/// Six steps of gradient descent with momentum on adapters: losses, gradient norms and the log-probs that come out,
/// against Flex in f64. The first loss is (1/(2 eta))^2 = 25, since the policy is its own anchors.
pub(crate) fn check_trajectory(device: &Device, dtype: DType, errors: &mut Errors) {
    let flex = inpo_core::device("flex").expect("this target needs it");
    let expected = trajectory(&flex, DType::F64);
    let got = trajectory(device, dtype);
    errors.compare("first loss", &got.losses[..1], &[25.0]);
    errors.compare("losses", &got.losses, &expected.losses);
    errors.compare("gradient norms", &got.norms, &expected.norms);
    errors.compare("log-probs after", &got.logps, &expected.logps);
    // A run that stays where it is would say nothing.
    let (first, last) = (expected.losses[0], expected.losses[5]);
    assert!(last < 0.5 * first, "the loss went from {first} to {last}");
}

struct Trajectory {
    losses: Vec<f64>,
    norms: Vec<f64>,
    logps: Vec<f64>,
}

fn trajectory(device: &Device, dtype: DType) -> Trajectory {
    let policy = in_dtype(
        &adapted(tiny("tiny_llama_untied", device, DType::F32)),
        dtype,
    );
    let sums = |policy: &Policy, both: &[Sequence; 2]| -> [f64; 2] {
        let logps = policy.logps(both).expect("the ids are in range");
        [0, 1].map(|side| logps[side].iter().sum())
    };
    let lengths = [(3, 4, 2), (1, 7, 3), (6, 1, 9), (11, 13, 21)];
    let all: Vec<[Sequence; 2]> = (0..)
        .zip(lengths)
        .map(|(salt, l)| sequences(l, salt, 64))
        .collect();
    let pairs: Vec<TrainPair> = all
        .iter()
        .map(|both| {
            let start = sums(&policy, both);
            let [chosen, rejected] = both.clone();
            TrainPair::new(chosen, rejected, start, vec![start, start])
        })
        .collect();
    let config = TrainSection {
        learning_rate: 1e-3,
        lr_scheduler_type: Schedule::Constant,
        warmup_ratio: Some(0.0),
        max_steps: Some(6),
        per_device_train_batch_size: 2,
        gradient_accumulation_steps: 2,
        max_grad_norm: 0.0,
        optim: Optim::Sgd,
        momentum: 0.5,
        ..TrainSection::default()
    };
    let (mut losses, mut norms) = (Vec::new(), Vec::new());
    let mut log = |metrics: StepMetrics| {
        losses.push(metrics.batch.loss);
        norms.push(metrics.progress.grad_norm);
        Ok(())
    };
    let trained = optimise(
        policy,
        &pairs,
        &objective(),
        &config,
        Order::Given(0),
        &mut log,
    );
    let trained = trained.expect("the steps are finite");
    let logps = all.iter().flat_map(|both| sums(&trained, both)).collect();
    Trajectory {
        losses,
        norms,
        logps,
    }
}
