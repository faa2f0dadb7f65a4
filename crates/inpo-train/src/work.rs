//! How much a step computes, and how fast the device could: the parts of `perf/mfu_step`.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::tensor::{DType, Device, Tensor, TensorData};
use inpo_kernels::linear;
use inpo_policy::Policy;
use inpo_policy::model::Decoder;

use crate::pair::TrainPair;

/// Tokens that a step computes: those that go through the blocks, and those whose next token is scored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StepTokens {
    pub(crate) blocks: usize,
    pub(crate) scored: usize,
}

impl StepTokens {
    /// Adds those of a group of pairs: a prompt goes through once, each of its responses without its last
    /// token, which predicts nothing that is scored. Padding does not count.
    pub(crate) fn add(&mut self, group: &[&TrainPair]) {
        let mut prompts = HashSet::new();
        for pair in group {
            let both = [&pair.chosen, &pair.rejected].into_iter();
            for sequence in both.chain(&pair.explored) {
                let (prompt, response) = (sequence.prompt(), sequence.response().len());
                if prompts.insert(prompt) {
                    self.blocks += prompt.len();
                }
                self.blocks += response.saturating_sub(1);
                self.scored += response;
            }
        }
    }
}

/// Floating-point operations of a step, as the model needs them and not as they are carried out: for each
/// token and each parameter of a matrix 2 (a product and a sum) forward, 2 backward to the activations and,
/// where the parameter is trained, 2 backward to itself, so 6 in full fine-tuning and 4 for a weight that
/// LoRA leaves alone. The head counts at the scored tokens only. Attention scores, norms, the loss, the
/// optimiser and anything computed twice do not count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ModelFlops {
    block_token: f64,
    scored_token: f64,
}

impl ModelFlops {
    /// Those of a model in training.
    pub(crate) fn of(decoder: &Decoder) -> Self {
        let head = decoder.lm_head.as_ref().unwrap_or(&decoder.embed_tokens);
        let mut count = Count {
            // A lookup is no product.
            outside: [decoder.embed_tokens.id, head.id],
            flops: 0.0,
        };
        decoder.visit(&mut count);
        Self {
            block_token: count.flops,
            scored_token: of_parameter(head),
        }
    }

    /// Of a step.
    pub(crate) fn step(&self, tokens: StepTokens) -> f64 {
        self.block_token * tokens.blocks as f64 + self.scored_token * tokens.scored as f64
    }
}

struct Count {
    outside: [ParamId; 2],
    flops: f64,
}

impl ModuleVisitor for Count {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if D >= 2 && !self.outside.contains(&param.id) {
            self.flops += of_parameter(param);
        }
    }
}

fn of_parameter<const D: usize>(param: &Param<Tensor<D>>) -> f64 {
    let weight = param.val();
    let each = if weight.is_require_grad() { 6.0 } else { 4.0 };
    each * weight.shape().num_elements() as f64
}

/// The fastest matrix product that a device was seen to do, computed as a step's products are
/// ([`inpo_kernels::linear`]): what `perf/mfu_step` divides by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    /// Floating-point operations a second.
    pub flops: f64,
    /// Rows and columns of the matrices.
    pub side: usize,
    /// Their type.
    pub dtype: DType,
}

impl Peak {
    /// That of the device that `policy` is on, in its type; measured once in a process.
    pub(crate) fn of(policy: &Policy) -> Self {
        static MEASURED: Mutex<Vec<(Device, Peak)>> = Mutex::new(Vec::new());
        let (device, dtype) = (policy.decoder().device(), policy.decoder().dtype());
        let mut measured = MEASURED.lock().unwrap_or_else(PoisonError::into_inner);
        let known = measured
            .iter()
            .find(|(of, peak)| *of == device && peak.dtype == dtype);
        if let Some((_, peak)) = known {
            return *peak;
        }
        let peak = Self::measure(&device, dtype);
        measured.push((device, peak));
        peak
    }

    /// Multiplies square matrices of 1024 rows, and of 2048 where that is fast, in `dtype` on `device`, some
    /// three tenths of a second in all, and keeps the best.
    fn measure(device: &Device, dtype: DType) -> Self {
        let device = device.clone().without_autodiff();
        let small = Self::of_side(1024, Duration::from_millis(100), (&device, dtype));
        // 2^31 FLOPs in 20 ms.
        if small.flops < 1e11 {
            return small;
        }
        let large = Self::of_side(2048, Duration::from_millis(200), (&device, dtype));
        if large.flops > small.flops {
            large
        } else {
            small
        }
    }

    fn of_side(side: usize, budget: Duration, (device, dtype): (&Device, DType)) -> Self {
        let [a, b] = [1, 2].map(|salt| matrix(side, salt, (device, dtype)));
        let product = || {
            let before = Instant::now();
            let product = linear(a.clone(), b.clone(), None);
            // A device that fails here fails in the first step, where it can be said.
            let _ = device.sync();
            let elapsed = before.elapsed();
            drop(product);
            elapsed
        };
        // The first one may compile a kernel or choose among several.
        product();
        let started = Instant::now();
        let mut best = product();
        while started.elapsed() < budget {
            best = best.min(product());
        }
        Self {
            flops: 2.0 * (side as f64).powi(3) / best.as_secs_f64().max(1e-9),
            side,
            dtype,
        }
    }
}

fn matrix(side: usize, salt: usize, options: (&Device, DType)) -> Tensor<2> {
    let value = |i: usize| ((i * 7919 + salt * 104_729) % 4001) as f32 / 2000.5 - 1.0;
    let values: Vec<f32> = (0..side * side).map(value).collect();
    Tensor::from_data(TensorData::new(values, [side, side]), options)
}

impl std::fmt::Display for Peak {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let giga = self.flops / 1e9;
        write!(
            f,
            "peak       {giga:.0} GFLOP/s in a product of {0} x {0} matrices in {1:?}: perf/mfu_step is the share of it",
            self.side, self.dtype
        )
    }
}
