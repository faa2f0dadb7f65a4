//! Models in bf16: what trains stays in f32.

#[path = "common/training.rs"]
mod training;

use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Tensor};
use inpo_policy::model::Decoder;
use inpo_policy::{LoraConfig, Policy, Precision, Sequence};
use inpo_train::config::{Schedule, TrainSection};
use inpo_train::{Order, TrainPair, optimise};
use training::{at_anchors, objective};

fn tiny(precision: Precision) -> Policy {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = dir.join("../inpo-policy/tests/fixtures/tiny_llama_tied");
    Policy::load_in(&dir, &Device::flex(), precision).unwrap()
}

fn sequences() -> Vec<Sequence> {
    let ids = |start: usize, count: usize| -> Vec<u32> {
        let id = |k: usize| ((start * 17 + 11 * k) % 61 + 3) as u32;
        (0..count).map(id).collect()
    };
    (0..8)
        .map(|i| Sequence::new(&ids(i / 2, 6), &ids(7 * i + 1, 5 + 2 * i)))
        .collect()
}

fn sums(policy: &Policy) -> Vec<f64> {
    let logps = policy.logps(&sequences()).unwrap();
    logps.iter().map(|row| row.iter().sum()).collect()
}

/// 100 steps at the paper's rate of 5e-7.
fn trained(policy: Policy) -> Policy {
    let sequences = sequences();
    let sides = sequences.chunks(2).map(|s| [s[0].clone(), s[1].clone()]);
    let pairs: Vec<TrainPair> = sides.map(|sides| at_anchors(&policy, sides)).collect();
    let config = TrainSection {
        learning_rate: 5e-7,
        warmup_ratio: Some(0.0),
        lr_scheduler_type: Schedule::Constant,
        max_steps: Some(100),
        per_device_train_batch_size: 4,
        gradient_accumulation_steps: 1,
        ..TrainSection::default()
    };
    let (objective, mut log) = (objective(), |_| Ok(()));
    optimise(
        policy,
        &pairs,
        &objective,
        &config,
        Order::Given(0),
        &mut log,
    )
    .unwrap()
}

/// Values of all parameters of one float type.
fn values(decoder: &Decoder, dtype: DType) -> Vec<f64> {
    struct Read(DType, Vec<f64>);
    impl ModuleVisitor for Read {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.val().dtype() == self.0 {
                self.1.extend(param.val().try_into_vec_as::<f64>().unwrap());
            }
        }
    }
    let mut read = Read(dtype, Vec::new());
    decoder.visit(&mut read);
    read.1
}

/// How far each parameter went.
fn path(policy: Policy) -> Vec<f64> {
    let before = values(policy.decoder(), DType::F32);
    let after = values(trained(policy).decoder(), DType::F32);
    assert_eq!(before.len(), after.len());
    before.iter().zip(&after).map(|(b, a)| a - b).collect()
}

/// Length of `a` over that of `b`, and the cosine between them.
fn compare(a: &[f64], b: &[f64]) -> (f64, f64) {
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let (of_a, of_b) = (dot(a, a).sqrt(), dot(b, b).sqrt());
    (of_a / of_b, dot(a, b) / (of_a * of_b))
}

/// A step of 5e-7 is far below the spacing of bf16 at the weights' size (2^-13 at 1/32), so a model whose
/// weights were in bf16 would not move at all; with weights in f32 it goes where the f32 model goes.
#[test]
fn small_steps_are_not_lost() {
    let expected = path(tiny(Precision::F32));
    let got = path(tiny(Precision::Bf16Mixed));
    let (length, cosine) = compare(&got, &expected);
    assert!((length - 1.0).abs() < 0.1, "{length}");
    assert!(cosine > 0.95, "{cosine}");
}

/// Adapters are f32 on frozen bf16 weights, and go where those on f32 weights go.
#[test]
fn adapters_train_in_f32_on_bf16_weights() {
    let config = LoraConfig {
        rank: 4,
        ..LoraConfig::default()
    };
    let adapted = |precision| tiny(precision).with_adapters(&config, 3).unwrap();
    let frozen = adapted(Precision::Bf16);
    let weights = values(tiny(Precision::F32).decoder(), DType::F32).len();
    assert_eq!(values(frozen.decoder(), DType::BF16).len(), weights);
    let expected = adapter_path(&adapted(Precision::F32));
    assert_eq!(values(frozen.decoder(), DType::F32).len(), expected.len());
    let (length, cosine) = compare(&path(frozen), &expected);
    assert!((length - 1.0).abs() < 0.1, "{length}");
    assert!(cosine > 0.95, "{cosine}");
}

/// How far the adapters of a policy went: the matrices with a side of their rank, 4, which no other has.
fn adapter_path(policy: &Policy) -> Vec<f64> {
    struct Trained(Vec<f64>);
    impl ModuleVisitor for Trained {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.val().dims().contains(&4) {
                self.0.extend(param.val().try_into_vec_as::<f64>().unwrap());
            }
        }
    }
    let read = |decoder: &Decoder| {
        let mut read = Trained(Vec::new());
        decoder.visit(&mut read);
        read.0
    };
    let before = read(policy.decoder());
    let after = read(trained(policy.clone()).decoder());
    before.iter().zip(&after).map(|(b, a)| a - b).collect()
}

/// Weights that are stored in bf16 cannot train.
#[test]
fn bf16_weights_without_adapters_are_refused() {
    let policy = tiny(Precision::Bf16);
    let config = TrainSection::default();
    let (objective, mut log) = (objective(), |_| Ok(()));
    let result = optimise(policy, &[], &objective, &config, Order::Given(0), &mut log);
    let error = result.unwrap_err().to_string();
    assert_eq!(
        error,
        "`precision` is Bf16; allowed: bf16 weights with adapters, or Bf16Mixed, whose weights are f32"
    );
}

/// bf16 has 8 bits of mantissa: log-probs of f32 to a few hundredths of a nat a token.
#[test]
fn log_probs_are_those_of_f32_up_to_rounding() {
    let [exact, frozen, mixed] = [Precision::F32, Precision::Bf16, Precision::Bf16Mixed].map(tiny);
    let tokens = sequences();
    for ((exact, frozen), tokens) in sums(&exact).iter().zip(sums(&frozen)).zip(&tokens) {
        let count = tokens.response().len() as f64;
        assert!((exact - frozen).abs() < 0.02 * count, "{exact} {frozen}");
        assert!(*exact != frozen, "bf16 rounds");
    }
    let digests = [&exact, &frozen, &mixed].map(|policy| policy.digest());
    assert!(digests[0] != digests[1] && digests[1] != digests[2] && digests[0] != digests[2]);
}
