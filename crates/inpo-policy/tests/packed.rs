//! Packed batches: the shared prompt, recomputation and company change nothing, gradients included.

use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor, TensorData};
use inpo_policy::logps::{PackedBatch, scored_hidden};
use inpo_policy::model::{Decoder, Trace, TraceOptions};
use inpo_policy::{LoraConfig, Policy, Sequence};

fn tiny() -> Policy {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny_llama_untied");
    Policy::load(&path, &Device::flex()).unwrap()
}

struct ToF64;

impl ModuleMapper for ToF64 {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| tensor.cast(DType::F64))
    }
}

/// Adapters whose `B` is not zero, so that all of them have gradients.
fn adapted() -> Decoder {
    struct Fill(usize);
    impl ModuleMapper for Fill {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            self.0 += 1;
            // A side of the rank, which no other matrix has.
            if !param.val().dims().contains(&3) {
                return param;
            }
            let salt = self.0;
            param.map(|tensor| {
                let shape = tensor.dims();
                let value = |i: usize| ((i * 7919 + salt * 104_729) % 2001) as f32 / 5000.0 - 0.2;
                let values = (0..shape.iter().product()).map(value).collect::<Vec<f32>>();
                Tensor::from_data(TensorData::new(values, shape.to_vec()), &tensor.device())
            })
        }
    }
    let config = LoraConfig {
        rank: 3,
        ..LoraConfig::default()
    };
    let policy = tiny().with_adapters(&config, 1).unwrap();
    policy.decoder().clone().map(&mut Fill(0))
}

/// Seven sequences of three prompts, in no order; one response has one token.
fn sequences() -> Vec<Sequence> {
    let prompts: [&[u32]; 3] = [
        &[5, 9, 11, 40, 12],
        &[7],
        &[1, 20, 3, 4, 5, 6, 33, 8, 17, 30, 2],
    ];
    let responses: [(usize, &[u32]); 7] = [
        (0, &[7, 8, 9, 1]),
        (2, &[44]),
        (1, &[3, 3, 60, 12, 13, 14, 15, 21, 22, 23]),
        (0, &[1, 50]),
        (2, &[8, 7, 6, 5, 4, 3, 20, 1, 63]),
        (0, &[31, 32, 33, 34, 35, 36, 37]),
        (1, &[61, 30, 31]),
    ];
    responses
        .iter()
        .map(|&(prompt, response)| Sequence::new(prompts[prompt], response))
        .collect()
}

/// All gradients of a module, parameter by parameter.
fn flat(decoder: &Decoder, grads: &GradientsParams) -> Vec<Option<Vec<f64>>> {
    struct Read<'a>(&'a GradientsParams, Vec<Option<Vec<f64>>>);
    impl ModuleVisitor for Read<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let grad = self.0.get::<D>(param.id);
            self.1
                .push(grad.map(|grad| grad.try_into_vec_as::<f64>().unwrap()));
        }
    }
    let mut read = Read(grads, Vec::new());
    decoder.visit(&mut read);
    read.1
}

/// A fixed gradient for row `row` of sequence number `number`.
fn slopes(width: usize, number: usize, rows: usize) -> Vec<f64> {
    let value = |i: usize| ((i * 7919 + number * 104_729 + 5) % 2001) as f64 / 1000.0 - 1.0;
    (0..rows * width).map(value).collect()
}

/// Hidden states of the scored positions and the parameters' gradients for fixed slopes, for those of
/// `sequences()` that `members` names, in one batch.
fn run(
    decoder: &Decoder,
    members: &[usize],
    multiple: usize,
    recompute: bool,
) -> (Vec<Vec<f64>>, Vec<Option<Vec<f64>>>) {
    let all = sequences();
    let rows: Vec<&Sequence> = members.iter().map(|&i| &all[i]).collect();
    let batch = PackedBatch::new(&rows, multiple);
    let trace = Trace::run(
        decoder,
        &batch,
        TraceOptions {
            recompute,
            dropout_key: None,
        },
    );
    let hidden = trace.hidden().clone();
    let [targets, width] = hidden.dims();
    let slopes = members
        .iter()
        .zip(&batch.lengths)
        .flat_map(|(&i, &length)| slopes(width, i, length));
    let mut slopes: Vec<f64> = slopes.collect();
    // Padding has no slope.
    slopes.resize(targets * width, 0.0);
    let slopes = TensorData::new(slopes, [targets, width]);
    let slopes = Tensor::from_data(slopes, (&hidden.device(), hidden.dtype()));
    let grads = trace.backward(slopes);
    let values = hidden.try_into_vec_as::<f64>().unwrap();
    let rows: Vec<Vec<f64>> = values.chunks(width).map(<[f64]>::to_vec).collect();
    let rows = batch.split(&rows.iter().collect::<Vec<_>>());
    let rows = rows
        .into_iter()
        .map(|rows| rows.into_iter().flatten().copied().collect());
    (rows.collect(), flat(decoder, &grads))
}

fn assert_close(what: &str, got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    let scale = expected.iter().fold(1.0_f64, |max, e| max.max(e.abs()));
    for (g, e) in got.iter().zip(expected) {
        assert!(
            (g - e).abs() <= tolerance * scale,
            "{what}: {g}, expected {e}"
        );
    }
}

fn check(decoder: &Decoder, tolerance: f64) {
    let all: Vec<usize> = (0..7).collect();
    // Each sequence alone, its prompt computed for it only.
    let alone: Vec<_> = all.iter().map(|&i| run(decoder, &[i], 1, false)).collect();
    let sum = |members: &[usize]| {
        let mut total: Vec<Option<Vec<f64>>> = alone[members[0]].1.clone();
        for &i in &members[1..] {
            for (total, part) in total.iter_mut().zip(&alone[i].1) {
                if let (Some(total), Some(part)) = (total.as_mut(), part) {
                    total.iter_mut().zip(part).for_each(|(t, p)| *t += p);
                }
            }
        }
        total
    };
    let orders: [&[usize]; 4] = [&all, &[6, 5, 4, 3, 2, 1, 0], &[0, 3], &[2, 5, 6]];
    for members in orders {
        let expected = sum(members);
        for (multiple, recompute) in [(1, false), (1, true), (64, false), (64, true)] {
            let (hidden, grads) = run(decoder, members, multiple, recompute);
            for (&i, hidden) in members.iter().zip(&hidden) {
                assert_close("hidden states", hidden, &alone[i].0[0], tolerance);
            }
            assert_eq!(grads.len(), expected.len());
            for (number, (got, expected)) in grads.iter().zip(&expected).enumerate() {
                assert_eq!(got.is_some(), expected.is_some(), "parameter {number}");
                if let (Some(got), Some(expected)) = (got, expected) {
                    assert_close(&format!("parameter {number}"), got, expected, tolerance);
                }
            }
        }
    }
}

/// Hidden states and gradients of sequences in company, of one prompt or several, in any order, padded or
/// not, recomputed or kept, are those of each sequence alone: f64 to 1e-12, f32 to 1e-5.
#[test]
fn company_changes_nothing() {
    for decoder in [tiny().decoder().clone(), adapted()] {
        check(&decoder.clone().train(), 1e-5);
        check(&decoder.map(&mut ToF64).train(), 1e-12);
    }
}

/// The fused operations of f32 against the plain ones of f64, from the embedding to the last gradient.
#[test]
fn fused_is_plain() {
    let all: Vec<usize> = (0..7).collect();
    for decoder in [tiny().decoder().clone(), adapted()] {
        for recompute in [false, true] {
            let [fused, plain] = [decoder.clone(), decoder.clone().map(&mut ToF64)]
                .map(|decoder| run(&decoder.train(), &all, 1, recompute));
            for (fused, plain) in fused.0.iter().zip(&plain.0) {
                assert_close("hidden states", fused, plain, 1e-5);
            }
            for (number, (fused, plain)) in fused.1.iter().zip(&plain.1).enumerate() {
                assert_eq!(fused.is_some(), plain.is_some(), "parameter {number}");
                if let (Some(fused), Some(plain)) = (fused, plain) {
                    assert_close(&format!("parameter {number}"), fused, plain, 1e-5);
                }
            }
        }
    }
}

/// Five, one and eleven prompt tokens are there once; the last token of a response is no input:
/// 5 + (3 + 1 + 6) + 1 + (9 + 2) + 11 + (0 + 8) = 46.
#[test]
fn a_prompt_is_there_once() {
    let all = sequences();
    let batch = PackedBatch::new(&all.iter().collect::<Vec<_>>(), 1);
    assert_eq!(batch.ids.len(), 46);
    assert_eq!(batch.targets.len(), 4 + 1 + 10 + 2 + 9 + 7 + 3);
    assert_eq!(batch.lengths, [4, 1, 10, 2, 9, 7, 3]);
    // The first token of every response of a prompt is predicted by that prompt's last.
    assert_eq!(batch.positions[0], 4);
    assert_eq!(batch.ids[4], 12);
    let padded = PackedBatch::new(&all.iter().collect::<Vec<_>>(), 64);
    assert_eq!(padded.ids.len(), 64);
    // So are the 36 scored places.
    assert_eq!(padded.targets[..36], batch.targets);
    assert_eq!(padded.targets[36..], [0; 28]);
    let hidden = scored_hidden(tiny().decoder(), &padded);
    assert_eq!(hidden.dims()[0], 64);
}
