//! The gated feed-forward layer.

use burn::module::Module;
use burn::tensor::Tensor;
use inpo_kernels::silu_mul;

use super::noise::Noise;
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
    pub(crate) fn forward(&self, x: Tensor<2>, noise: Option<Noise>) -> Tensor<2> {
        let noise = |part| noise.map(|noise| noise.part(part));
        let gate = self.gate_proj.forward(x.clone(), noise(4));
        let up = self.up_proj.forward(x, noise(5));
        self.down_proj.forward(silu_mul(gate, up), noise(6))
    }
}
