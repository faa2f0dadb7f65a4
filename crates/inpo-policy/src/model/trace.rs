//! The forward pass of a training step, which can go back once.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use inpo_kernels::embedding;

use super::batch::PackedBatch;
use super::decoder::Decoder;
use super::dropout::DropoutKey;
use super::pass::Pass;

/// A forward pass over a packed batch with what its backward pass needs.
pub struct Trace<'a> {
    decoder: &'a Decoder,
    batch: &'a PackedBatch,
    /// Hidden states of the scored positions, `[targets, hidden]`, without autodiff.
    hidden: Tensor<2>,
    kept: Kept,
}

/// How a trace is computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TraceOptions {
    /// Keep only the input of each layer; the backward pass runs the layers once more, one at a time:
    /// memory for the activations of one layer instead of all, for a third more work and the same
    /// gradients.
    pub recompute: bool,
    /// The key of the adapters' dropout masks; `None` is no dropout.
    pub dropout_key: Option<u64>,
}

/// What a trace keeps for its backward pass.
enum Kept {
    /// All activations: the scored hidden states on the graph.
    Activations(Box<Tensor<2>>),
    /// The input of each layer and of the final norm, without autodiff.
    LayerInputs {
        inputs: Vec<Tensor<2>>,
        pass: Box<Pass>,
    },
}

impl<'a> Trace<'a> {
    /// Runs `decoder`, in training (its tensors carry autodiff), over `batch`.
    pub fn run(decoder: &'a Decoder, batch: &'a PackedBatch, options: TraceOptions) -> Self {
        let mut pass = decoder.pass(batch.ids.len(), &batch.layout);
        pass.dropout = options.dropout_key.map(DropoutKey::new);
        if !options.recompute {
            let hidden = decoder.packed(&batch.ids, &pass, |_| ());
            let scored = embedding(hidden, &batch.positions);
            return Self {
                decoder,
                batch,
                hidden: scored.clone().inner(),
                kept: Kept::Activations(Box::new(scored)),
            };
        }
        let mut inputs = Vec::with_capacity(decoder.layers.len() + 1);
        let keep = |x: &Tensor<2>| inputs.push(x.clone());
        let hidden = decoder.valid().packed(&batch.ids, &pass, keep);
        Self {
            decoder,
            batch,
            hidden: embedding(hidden, &batch.positions),
            kept: Kept::LayerInputs {
                inputs,
                pass: Box::new(pass),
            },
        }
    }

    /// Hidden states that predict the batch's targets, `[targets, hidden]`, without autodiff.
    pub fn hidden(&self) -> &Tensor<2> {
        &self.hidden
    }

    /// The gradients of a loss in the decoder's trained parameters, its head aside, from its gradient in
    /// the scored hidden states, `[targets, hidden]`.
    pub fn backward(self, gradient: Tensor<2>) -> GradientsParams {
        let Self { decoder, batch, .. } = self;
        let mut total = GradientsParams::new();
        let (mut inputs, pass) = match self.kept {
            Kept::Activations(scored) => {
                let surrogate = *scored * Tensor::from_inner(gradient);
                let mut grads = surrogate.sum().backward();
                return GradientsParams::from_module(&mut grads, decoder);
            }
            Kept::LayerInputs { inputs, pass } => (inputs, pass),
        };
        let scored = |x| embedding(decoder.finish(x), &batch.positions);
        let input = inputs.pop().expect("the norm has an input");
        let mut gradient = step_back(&decoder.norm, scored, input, gradient, &mut total);
        for (index, layer) in decoder.layers.iter().enumerate().rev() {
            let input = inputs.pop().expect("each layer has an input");
            let forward = |x| layer.forward(x, index, &pass);
            gradient = step_back(layer, forward, input, gradient, &mut total);
            debug_assert_eq!(inputs.len(), index);
        }
        if decoder.embed_tokens.val().is_require_grad() {
            let surrogate = decoder.embed(&batch.ids) * Tensor::from_inner(gradient);
            let mut grads = surrogate.sum().backward();
            if let Some(table) = decoder.embed_tokens.val().grad_remove(&mut grads) {
                total.register(decoder.embed_tokens.id, table);
            }
        }
        total
    }
}

/// Runs `forward` on `input` once more, adds the gradients of `module`'s parameters to `total` and returns
/// the gradient in `input`, where `gradient` is that in its output.
fn step_back<M: Module>(
    module: &M,
    forward: impl Fn(Tensor<2>) -> Tensor<2>,
    input: Tensor<2>,
    gradient: Tensor<2>,
    total: &mut GradientsParams,
) -> Tensor<2> {
    let input = Tensor::from_inner(input).require_grad();
    let surrogate = forward(input.clone()) * Tensor::from_inner(gradient);
    let mut grads = surrogate.sum().backward();
    let back = input
        .grad_remove(&mut grads)
        .expect("the input has a gradient");
    let mut grads = GradientsParams::from_module(&mut grads, module);
    module.visit(&mut Move {
        from: &mut grads,
        to: total,
    });
    back
}

/// Moves the gradients of a module's parameters.
struct Move<'a> {
    from: &'a mut GradientsParams,
    to: &'a mut GradientsParams,
}

impl ModuleVisitor for Move<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.from.remove::<D>(param.id) {
            self.to.register(param.id, gradient);
        }
    }
}
