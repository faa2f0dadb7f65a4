//! The gated feed-forward layer.

use burn::module::Module;
use burn::tensor::{Tensor, activation::sigmoid};

use super::projection::Projection;

/// SwiGLU: `down(silu(gate(x)) * up(x))` (arXiv 2002.05202).
#[derive(Module, Debug)]
pub struct Mlp {
    /// `[hidden, intermediate]`, through the activation.
    pub gate_proj: Projection,
    /// `[hidden, intermediate]`.
    pub up_proj: Projection,
    /// `[intermediate, hidden]`.
    pub down_proj: Projection,
}

impl Mlp {
    /// Maps `x`, `[rows, hidden]`, to `[rows, hidden]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let gate = self.gate_proj.forward(x.clone());
        let gate = gate.clone() * sigmoid(gate);
        self.down_proj.forward(gate * self.up_proj.forward(x))
    }
}
