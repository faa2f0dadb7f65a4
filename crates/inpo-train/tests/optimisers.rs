//! Optimisers and learning rates against torch and transformers (fixtures/make_optimisers.py).

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor, TensorData};
use inpo_train::config::{Optim, TrainSection};
use inpo_train::{Optimiser, learning_rate};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    parameters: Values,
    gradients: Vec<Values>,
    learning_rates: Vec<f64>,
    cases: Vec<Case>,
    schedules: Vec<Rates>,
}

#[derive(Deserialize)]
struct Values {
    weight: Vec<Vec<f64>>,
    bias: Vec<f64>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    optimiser: String,
    settings: BTreeMap<String, serde_json::Value>,
    weight_decay: f64,
    steps: Vec<Values>,
}

#[derive(Deserialize)]
struct Rates {
    name: String,
    total: usize,
    warmup_ratio: f64,
    warmup_steps: usize,
    rates: Vec<f64>,
}

fn fixture() -> Fixture {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/optimisers.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// `[train]` of a case; every setting of torch's is carried over or is fixed to the same value.
fn config(case: &Case) -> TrainSection {
    let text = format!("optim = '{}'", case.optimiser);
    let mut config: TrainSection = toml::from_str(&text).unwrap();
    config.weight_decay = case.weight_decay;
    for (key, value) in &case.settings {
        match (key.as_str(), config.optim) {
            ("betas", Optim::AdamW) => {
                config.adam_beta1 = value[0].as_f64().unwrap();
                config.adam_beta2 = value[1].as_f64().unwrap();
            }
            ("eps", Optim::AdamW) => config.adam_epsilon = value.as_f64().unwrap(),
            ("eps", _) => assert_eq!(value.as_f64(), Some(1e-8)),
            ("momentum", _) => config.momentum = value.as_f64().unwrap(),
            ("alpha", _) => config.rmsprop_alpha = value.as_f64().unwrap(),
            _ => panic!("{}: {key}", case.name),
        }
    }
    config.validate().unwrap();
    config
}

#[derive(Module, Debug)]
struct Linear {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

fn tensors(values: &Values, dtype: DType, device: &Device) -> (Tensor<2>, Tensor<1>) {
    let flat = TensorData::new(values.weight.concat(), [3, 4]);
    let bias = TensorData::new(values.bias.clone(), [4]);
    (
        Tensor::from_data(flat, (device, dtype)),
        Tensor::from_data(bias, (device, dtype)),
    )
}

/// Largest difference to torch over the whole trajectory, relative to the value, or to 0.1 where that is
/// smaller: a small value is the difference of larger ones.
fn drift(fixture: &Fixture, case: &Case, dtype: DType) -> f64 {
    // As in training: parameters carry autodiff, gradients do not.
    let plain = Device::flex();
    let (weight, bias) = tensors(&fixture.parameters, dtype, &plain.clone().autodiff());
    let mut module = Linear {
        weight: Param::from_tensor(weight),
        bias: Param::from_tensor(bias),
    };
    let mut optimiser = Optimiser::new(&config(case));
    let steps = fixture.gradients.iter().zip(&fixture.learning_rates);
    assert_eq!(steps.len(), case.steps.len());
    let mut worst = 0.0_f64;
    for ((gradient, rate), expected) in steps.zip(&case.steps) {
        let (weight, bias) = tensors(gradient, dtype, &plain);
        let mut grads = GradientsParams::new();
        grads.register(module.weight.id, weight);
        grads.register(module.bias.id, bias);
        module = optimiser.step(*rate, module, grads);
        assert!(module.weight.is_require_grad() && module.bias.is_require_grad());
        assert_eq!(module.weight.val().dtype(), dtype);
        let mut values: Vec<f64> = module.weight.val().try_into_vec_as().unwrap();
        values.extend(module.bias.val().try_into_vec_as::<f64>().unwrap());
        let expected = [expected.weight.concat(), expected.bias.clone()].concat();
        assert_eq!(values.len(), expected.len());
        for (value, expected) in values.iter().zip(&expected) {
            worst = worst.max((value - expected).abs() / expected.abs().max(0.1));
        }
    }
    worst
}

/// In f64 all but the last bits are torch's; in f32 what rounding leaves after six steps.
#[test]
fn trajectories_are_torchs() {
    let fixture = fixture();
    assert_eq!(fixture.cases.len(), 7);
    for case in &fixture.cases {
        let exact = drift(&fixture, case, DType::F64);
        assert!(exact < 1e-14, "{}: {exact} in f64", case.name);
        let single = drift(&fixture, case, DType::F32);
        assert!(single < 1e-6, "{}: {single} in f32", case.name);
    }
}

/// transformers' schedules of peak 1; `constant` there knows no warm-up, and ours of that name is
/// `constant_with_warmup`, the same where there is none.
#[test]
fn schedules_are_those_of_transformers() {
    let fixture = fixture();
    let mut seen = 0;
    for rates in &fixture.schedules {
        let warmup_ratio = match rates.name.as_str() {
            "constant" => 0.0,
            _ => rates.warmup_ratio,
        };
        let text = format!("lr_scheduler_type = '{}'\nlearning_rate = 1", rates.name);
        let base: TrainSection = toml::from_str(&text).unwrap();
        let with_ratio = TrainSection {
            warmup_ratio: Some(warmup_ratio),
            ..base.clone()
        };
        if rates.name != "constant" {
            assert_eq!(with_ratio.warmup(rates.total), rates.warmup_steps);
        }
        let steps = with_ratio.warmup(rates.total) as f64;
        let by_steps = [steps, warmup_ratio].map(|warmup_steps| TrainSection {
            warmup_steps: Some(warmup_steps),
            ..base.clone()
        });
        for config in [with_ratio].iter().chain(&by_steps) {
            config.validate().unwrap();
            for (step, expected) in rates.rates.iter().enumerate() {
                let rate = learning_rate(config, step, rates.total);
                let name = &rates.name;
                assert!((rate - expected).abs() < 1e-12, "{name} {step}: {rate}");
                seen += 1;
            }
        }
        assert_eq!(rates.rates.len(), rates.total);
    }
    // Four schedules, three ways to say the warm-up, 20 + 10 + 7 + 12 + 100 steps.
    assert_eq!(seen, 4 * 3 * 149);
}
