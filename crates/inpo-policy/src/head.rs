//! The vocabulary head in chunks: log-probs and their gradient without a batch of logits.
//!
//! For hidden state `x` and head `W`, the log-prob of token `v` is
//! `l = (x W^T)_v - logsumexp(x W^T)`, and for a given `c = dL/dl`
//!
//! ```text
//! dL/dlogits = c (onehot(v) - softmax(logits)),   dL/dx = dL/dlogits W,   dL/dW = dL/dlogits^T x.
//! ```
//!
//! Both are evaluated `chunk` rows at a time, so that memory is `chunk x vocab` whatever the batch.

use burn::tensor::{IndexingUpdateOp, Tensor, TensorData, activation::softmax};

use crate::model::{index_tensor, to_f64};

/// Rows of logits that exist at once by default: 128 rows of a 49152-word vocabulary are 25 MB.
pub const DEFAULT_CHUNK: usize = 128;

/// Log-probs, in nats, of `targets[i]` given row `i` of `hidden`, `[rows, width]`, under `head`,
/// `[vocab, width]`. Neither tensor is differentiated; logits are f32 (or the tensors' own f64).
pub fn token_logps(
    hidden: &Tensor<2>,
    head: &Tensor<2>,
    targets: &[u32],
    chunk: usize,
) -> Vec<f64> {
    let (hidden, head) = (hidden.clone().inner(), head.clone().inner());
    let weight = head.transpose();
    let mut logps = Vec::with_capacity(targets.len());
    for (start, targets) in chunks(targets, chunk) {
        let rows = hidden.clone().narrow(0, start, targets.len());
        let logits = rows.matmul(weight.clone());
        let chosen = gather_columns(logits.clone(), targets);
        let logsumexp = logsumexp(logits);
        logps.extend(to_f64(chosen - logsumexp));
    }
    logps
}

/// The gradient of a loss in the hidden states and the head, given its gradient in the log-probs.
#[derive(Debug)]
pub struct HeadGradient {
    /// `dL/dhidden`, `[rows, width]`.
    pub hidden: Tensor<2>,
    /// `dL/dhead`, `[vocab, width]`, when asked for.
    pub head: Option<Tensor<2>>,
}

/// Closed-form gradient of a loss through the head: `coefficients[i] = dL/dlogp_i`.
///
/// `with_head` also accumulates the head's own gradient (for a head that trains; a tied head adds it
/// to the embedding's).
pub fn head_gradient(
    hidden: &Tensor<2>,
    head: &Tensor<2>,
    targets: &[u32],
    coefficients: &[f64],
    chunk: usize,
    with_head: bool,
) -> HeadGradient {
    let (hidden, head) = (hidden.clone().inner(), head.clone().inner());
    let (device, dtype) = (hidden.device(), hidden.dtype());
    let mut parts = Vec::new();
    let mut head_gradient: Option<Tensor<2>> = None;
    for (start, targets) in chunks(targets, chunk) {
        let count = targets.len();
        let rows = hidden.clone().narrow(0, start, count);
        let probabilities = softmax(rows.clone().matmul(head.clone().transpose()), 1);
        let c = TensorData::new(coefficients[start..start + count].to_vec(), [count, 1]);
        let c = Tensor::<2>::from_data(c, (&device, dtype));
        let columns = index_tensor(targets.iter().map(|&v| v as usize), &device);
        let expected = probabilities.clone().matmul(head.clone());
        parts.push((head.clone().select(0, columns.clone()) - expected) * c.clone());
        if with_head {
            let zero = Tensor::zeros(head.shape(), (&device, dtype));
            let sum = head_gradient.take().unwrap_or(zero);
            let spread = (probabilities * c.clone()).transpose().matmul(rows.clone());
            let chosen = IndexingUpdateOp::Add;
            head_gradient = Some((sum - spread).select_assign(0, columns, rows * c, chosen));
        }
    }
    HeadGradient {
        hidden: Tensor::cat(parts, 0),
        head: head_gradient,
    }
}

/// `logsumexp` of each row of `[rows, vocab]`, `[rows, 1]`, from the fused softmax: with `m` the
/// largest logit and `p_m` its probability, it is `m - ln p_m`, and `p_m >= 1/vocab`.
fn logsumexp(logits: Tensor<2>) -> Tensor<2> {
    let largest = logits.clone().max_dim(1);
    let probability = softmax(logits, 1).max_dim(1);
    largest - probability.log()
}

fn gather_columns(values: Tensor<2>, columns: &[u32]) -> Tensor<2> {
    let columns = index_tensor(columns.iter().map(|&v| v as usize), &values.device());
    values.gather(1, columns.unsqueeze_dim(1))
}

fn chunks(targets: &[u32], chunk: usize) -> impl Iterator<Item = (usize, &[u32])> {
    let chunk = chunk.max(1);
    targets
        .chunks(chunk)
        .enumerate()
        .map(move |(i, targets)| (i * chunk, targets))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::to_f64;
    use burn::tensor::activation::log_softmax;
    use burn::tensor::{DType, Device};

    /// A matrix of repeatable values in [-2, 2).
    fn matrix(rows: usize, columns: usize, salt: usize, device: &Device) -> Tensor<2> {
        let value = |i: usize| ((i * 7919 + salt * 104_729) % 4001) as f64 / 1000.0 - 2.0;
        let data: Vec<f64> = (0..rows * columns).map(value).collect();
        Tensor::from_data(TensorData::new(data, [rows, columns]), (device, DType::F64))
    }

    /// Values and both gradients against `log_softmax` and autodiff, for chunks that divide the rows
    /// and chunks that do not.
    #[test]
    fn the_chunked_head_is_the_dense_one() {
        let device = Device::flex().autodiff();
        let (rows, width, vocab) = (7, 5, 11);
        let targets = [3_u32, 10, 0, 3, 7, 1, 9];
        let coefficients = [0.5, -1.0, 2.0, 0.25, -3.0, 1.5, 0.0];
        let hidden = matrix(rows, width, 1, &device).require_grad();
        let head = matrix(vocab, width, 2, &device).require_grad();

        let logits = hidden.clone().matmul(head.clone().transpose());
        let index = index_tensor(targets.iter().map(|&t| t as usize), &device);
        let dense = log_softmax(logits, 1).gather(1, index.unsqueeze_dim(1));
        let expected = to_f64(dense.clone().inner());
        let c = TensorData::new(coefficients.to_vec(), [rows, 1]);
        let c = Tensor::<2>::from_data(c, (&device, DType::F64));
        let grads = (dense * c).sum().backward();
        let expected_hidden = to_f64(hidden.grad(&grads).unwrap());
        let expected_head = to_f64(head.grad(&grads).unwrap());

        let close = |got: &[f64], expected: &[f64]| {
            assert_eq!(got.len(), expected.len());
            for (g, e) in got.iter().zip(expected) {
                assert!((g - e).abs() < 1e-12, "{g} {e}");
            }
        };
        for chunk in [1, 3, 7, 100] {
            close(&token_logps(&hidden, &head, &targets, chunk), &expected);
            let gradient = head_gradient(&hidden, &head, &targets, &coefficients, chunk, true);
            close(&to_f64(gradient.hidden), &expected_hidden);
            close(&to_f64(gradient.head.unwrap()), &expected_head);
            let frozen = head_gradient(&hidden, &head, &targets, &coefficients, chunk, false);
            close(&to_f64(frozen.hidden), &expected_hidden);
            assert!(frozen.head.is_none());
        }
    }

    /// Logits of +-200 neither overflow nor lose the chosen token's log-prob.
    #[test]
    fn extreme_logits_stay_finite() {
        let device = Device::flex();
        let hidden = Tensor::<2>::from_floats([[1.0]], &device);
        let head = Tensor::<2>::from_floats([[200.0], [-200.0], [199.0]], &device);
        let at = |target| token_logps(&hidden, &head, &[target], 8)[0];
        // ln(1 + e^-1) = 0.31326168751822286
        assert!((at(0) + 0.313_261_687_518_222_86).abs() < 1e-4);
        assert!((at(1) + 400.313_261_687_518_2).abs() < 1e-3);
    }
}
