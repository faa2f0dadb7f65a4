//! A prompt computed once for its responses, against each response with a prompt of its own.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor};
use inpo_core::policy::head::Head;
use inpo_core::policy::logps::PackedBatch;
use inpo_core::policy::model::{Trace, TraceOptions};
use inpo_core::policy::{Policy, Sequence};

use crate::errors::Errors;
use crate::reference::{host, tiny, values};

/// Log-probs and the gradient of their weighted sum in every block: three and two responses of two prompts and
/// one of a third in one batch on the device, against passes over one sequence each on Flex in f64.
pub(crate) fn check(device: &Device, dtype: DType, errors: &mut Errors) {
    let flex = inpo_core::device("flex").expect("this target needs it");
    let ids = |count: usize, salt: usize| -> Vec<u32> {
        let id = |i: usize| (3 + (i * i * 7 + i * 5 + salt * 11) % 61) as u32;
        (0..count).map(id).collect()
    };
    let prompts = [ids(13, 1), ids(1, 2), ids(5, 3)];
    let of = [(0, 7), (1, 3), (0, 1), (2, 9), (0, 19), (1, 11)];
    let sequences: Vec<Sequence> = (4..)
        .zip(of)
        .map(|(salt, (prompt, length))| Sequence::new(&prompts[prompt], &ids(length, salt)))
        .collect();
    let weights = values(sequences.len(), 50);
    for name in ["tiny_llama_tied", "tiny_llama_untied"] {
        let reference = tiny(name, &flex, DType::F64);
        let each = sequences.iter().zip(&weights);
        let each: Vec<Sums> = each
            .map(|(sequence, &weight)| Sums::of(&reference, &[sequence], &[weight], false))
            .collect();
        let expected = Sums::added(&each);
        let policy = tiny(name, device, dtype);
        let members: Vec<&Sequence> = sequences.iter().collect();
        for (way, recompute) in [("", false), (" recomputed", true)] {
            let got = Sums::of(&policy, &members, &weights, recompute);
            let what = format!("{name}{way}");
            errors.compare(&format!("{what}, log-probs"), &got.logps, &expected.logps);
            assert_eq!(got.gradients.len(), expected.gradients.len());
            for (got, expected) in got.gradients.iter().zip(&expected.gradients) {
                errors.compare_gradient(&format!("{what}, gradient"), got, expected, dtype);
            }
        }
    }
}

/// Log-probs of every token, sequence by sequence, and the gradient of `sum weight log pi` in each parameter that
/// hidden states depend on.
struct Sums {
    logps: Vec<f64>,
    gradients: Vec<Vec<f64>>,
}

impl Sums {
    fn of(policy: &Policy, sequences: &[&Sequence], weights: &[f64], recompute: bool) -> Self {
        let module = policy.decoder().clone().train();
        let batch = PackedBatch::new(sequences, module.token_multiple());
        let options = TraceOptions {
            recompute,
            ..TraceOptions::default()
        };
        let trace = Trace::run(&module, &batch, options);
        let head = Head::new(module.head());
        let scores = head.scores(trace.hidden(), &batch.targets, 7);
        let mut logps = scores.logps().to_vec();
        let per_token = batch.lengths.iter().zip(weights);
        let mut per_token: Vec<f64> = per_token
            .flat_map(|(&length, &weight)| std::iter::repeat_n(weight, length))
            .collect();
        logps.truncate(per_token.len());
        per_token.resize(batch.targets.len(), 0.0);
        let grads = trace.backward(scores.hidden_gradient(&per_token));
        let mut collect = Collect {
            grads: &grads,
            found: Vec::new(),
        };
        module.visit(&mut collect);
        let gradients = collect.found;
        assert!(!gradients.is_empty(), "something trains");
        Self { logps, gradients }
    }

    fn added(each: &[Self]) -> Self {
        let logps = each.iter().flat_map(|one| one.logps.clone()).collect();
        let mut gradients = each[0].gradients.clone();
        for one in &each[1..] {
            for (sum, one) in gradients.iter_mut().zip(&one.gradients) {
                sum.iter_mut().zip(one).for_each(|(sum, one)| *sum += one);
            }
        }
        Self { logps, gradients }
    }
}

struct Collect<'a> {
    grads: &'a GradientsParams,
    found: Vec<Vec<f64>>,
}

impl ModuleVisitor for Collect<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.grads.get::<D>(param.id) {
            self.found.push(host(grad));
        }
    }
}
