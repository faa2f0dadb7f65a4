//! The gated feed-forward layer.

use burn::module::Module;
use burn::tensor::Tensor;
use inpo_kernels::{gelu_mul, silu_mul};

use super::dropout::DropoutKey;
use super::projection::Projection;
use super::tensors::split_columns;
use crate::config::Activation;

/// A gated linear unit: `down(act(gate(x)) * up(x))` (arXiv 2002.05202).
#[derive(Module, Debug)]
pub struct Mlp {
    /// Gate and up, `[hidden, intermediate]` each, or both in one, `[hidden, 2 * intermediate]`.
    pub inputs: Vec<Projection>,
    /// `[intermediate, hidden]`.
    pub down_proj: Projection,
    #[module(skip)]
    activation: Activation,
}

impl Mlp {
    /// The layer over gate and up, or over one projection that holds both.
    pub(super) fn new(
        inputs: Vec<Projection>,
        down_proj: Projection,
        activation: Activation,
    ) -> Self {
        Self {
            inputs,
            down_proj,
            activation,
        }
    }

    /// Hugging Face's names of `inputs`.
    pub(crate) fn input_names(&self) -> &'static [&'static str] {
        match self.inputs.len() {
            1 => &["gate_up_proj"],
            _ => &["gate_proj", "up_proj"],
        }
    }

    /// Maps `x`, `[rows, hidden]`, to `[rows, hidden]`.
    pub(super) fn forward(&self, x: Tensor<2>, dropout: Option<DropoutKey>) -> Tensor<2> {
        let dropout = |part| dropout.map(|key| key.part(part));
        let [gate, up] = match self.inputs.as_slice() {
            [gate, up] => Projection::forward_all([gate, up], &x, |part| dropout(4 + part)),
            both => {
                let both = both[0].forward(x, dropout(4));
                let width = both.dims()[1] / 2;
                split_columns(both, [width, width])
            }
        };
        let gated = match self.activation {
            Activation::Silu => silu_mul(gate, up),
            Activation::GeluTanh => gelu_mul(gate, up),
        };
        self.down_proj.forward(gated, dropout(6))
    }
}
