//! The training path: packed rows, recomputation and fused operations change no gradient.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Tensor, TensorData};
use inpo_policy::Sequence;
use inpo_policy::logps::PackedBatch;
use inpo_policy::model::{Decoder, Trace, TraceOptions};

use crate::setup::{ToF64, checkpoints, load};

/// Five sequences of three prompts; two are longer than every window.
fn sequences() -> Vec<Sequence> {
    let long: Vec<u32> = (3..20).collect();
    let prompts: [&[u32]; 3] = [&[5, 9, 11, 40, 12], &[7], &long];
    let responses: [(usize, &[u32]); 5] = [
        (0, &[7, 8, 9, 1]),
        (2, &[44, 30, 8, 17]),
        (1, &[3, 3, 41, 12, 13, 14, 15, 21, 22, 23]),
        (0, &[31, 32, 33, 34, 35, 36, 37]),
        (2, &[8]),
    ];
    let sequence = |&(prompt, response): &(usize, &[u32])| Sequence::new(prompts[prompt], response);
    responses.iter().map(sequence).collect()
}

/// A repeatable value in [-1, 1).
fn value(i: usize, salt: usize) -> f64 {
    ((i * 7919 + salt * 104_729 + 5) % 2001) as f64 / 1000.0 - 1.0
}

type Gradients = Vec<Option<Vec<f64>>>;

/// `sum(slope * hidden)` over the scored hidden states of `members`, and its gradients.
fn run(decoder: &Decoder, members: &[usize], recompute: bool) -> (f64, Gradients) {
    let all = sequences();
    let rows: Vec<&Sequence> = members.iter().map(|&i| &all[i]).collect();
    let batch = PackedBatch::new(&rows, 1);
    let options = TraceOptions {
        recompute,
        dropout_key: None,
    };
    let trace = Trace::run(decoder, &batch, options);
    let hidden = trace.hidden().clone();
    let [targets, width] = hidden.dims();
    let of_row =
        |(&member, &rows): (&usize, &usize)| (0..rows * width).map(move |i| value(i, member));
    let slopes: Vec<f64> = members
        .iter()
        .zip(&batch.lengths)
        .flat_map(of_row)
        .collect();
    let slopes = TensorData::new(slopes, [targets, width]);
    let slopes = Tensor::<2>::from_data(slopes, (&hidden.device(), hidden.dtype()));
    let sum = (hidden * slopes.clone()).sum().into_scalar::<f64>();
    (sum, flat(decoder, &trace.backward(slopes)))
}

fn flat(decoder: &Decoder, grads: &GradientsParams) -> Gradients {
    struct Read<'a>(&'a GradientsParams, Gradients);
    impl ModuleVisitor for Read<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let grad = self.0.get::<D>(param.id);
            let read = |grad: Tensor<D>| grad.try_into_vec_as::<f64>().unwrap();
            self.1.push(grad.map(read));
        }
    }
    let mut read = Read(grads, Vec::new());
    decoder.visit(&mut read);
    read.1
}

fn assert_close(what: &str, got: &Gradients, expected: &Gradients, tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    for (number, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert_eq!(got.is_some(), expected.is_some(), "{what}: {number}");
        let (Some(got), Some(expected)) = (got, expected) else {
            continue;
        };
        let scale = expected.iter().fold(1.0_f64, |max, e| max.max(e.abs()));
        for (g, e) in got.iter().zip(expected) {
            let near = (g - e).abs() <= tolerance * scale;
            assert!(near, "{what}, parameter {number}: {g}, expected {e}");
        }
    }
}

/// Every parameter moved by `step` along a fixed direction.
struct Move {
    number: usize,
    step: f64,
}

impl ModuleMapper for Move {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.number += 1;
        let (number, step) = (self.number, self.step);
        param.map(|tensor| {
            let shape = tensor.dims();
            let count = shape.iter().product::<usize>();
            let values: Vec<f64> = (0..count).map(|i| step * value(i, number)).collect();
            let device = tensor.device();
            tensor + Tensor::from_data(TensorData::new(values, shape), (&device, DType::F64))
        })
    }
}

/// In f64: packed is alone, recomputed is kept, and the gradients' product with a direction is the central
/// difference along it. In f32 the fused operations give what the plain ones give in f64.
#[test]
fn gradients_are_right_on_every_architecture() {
    let all: Vec<usize> = (0..5).collect();
    for name in checkpoints(false).into_keys() {
        let decoder = load(&name).decoder().clone();
        let exact = decoder.clone().map(&mut ToF64);
        let training = exact.clone().train();
        let (sum, packed) = run(&training, &all, false);
        let (again, recomputed) = run(&training, &all, true);
        assert!((sum - again).abs() < 1e-10 && sum.is_finite(), "{name}");
        assert_close(&format!("{name} recomputed"), &recomputed, &packed, 1e-11);

        let mut alone: Gradients = Vec::new();
        let mut total = 0.0;
        for &i in &all {
            let (sum, grads) = run(&training, &[i], false);
            total += sum;
            if alone.is_empty() {
                alone = grads;
                continue;
            }
            for (sum, part) in alone.iter_mut().flatten().zip(grads.iter().flatten()) {
                sum.iter_mut().zip(part).for_each(|(s, p)| *s += p);
            }
        }
        assert!((sum - total).abs() < 1e-10, "{name}: {sum} {total}");
        assert_close(&format!("{name} alone"), &alone, &packed, 1e-11);

        // Not the untied head: it is no part of the hidden states.
        let step = 1e-6;
        let moved = |step: f64| {
            let moved = exact.clone().map(&mut Move { number: 0, step });
            run(&moved.train(), &all, false).0
        };
        let numeric = (moved(step) - moved(-step)) / (2.0 * step);
        let along: f64 = packed
            .iter()
            .enumerate()
            .filter_map(|(number, grads)| Some((number + 1, grads.as_ref()?)))
            .flat_map(|(number, grads)| {
                grads
                    .iter()
                    .enumerate()
                    .map(move |(i, g)| g * value(i, number))
            })
            .sum();
        let error = (numeric - along).abs() / along.abs().max(1.0);
        assert!(error < 1e-6, "{name}: {numeric}, from gradients {along}");

        for recompute in [false, true] {
            let (_, fused) = run(&decoder.clone().train(), &all, recompute);
            assert_close(&format!("{name} fused"), &fused, &packed, 5e-5);
        }
    }
}
