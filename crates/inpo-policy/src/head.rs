//! The vocabulary head: log-probs and their gradient without a batch of logits.
//!
//! For hidden state `x`, the log-prob of token `v` is `l_v - logsumexp(l)` with the logits
//!
//! ```text
//! z = x W^T + s (x A) B,   l = cap tanh(z / cap)   (l = z without a softcap)
//! ```
//!
//! How the log-prob of the chosen token changes with `x` does not depend on the loss. One pass over the
//! vocabulary therefore gives log-probs and these directions ([`Head::scores`]); with `c = dL/dlogp` a
//! row's `dL/dx` is `c` times its direction ([`HeadScores::hidden_gradient`]). Only a head that trains takes
//! a second pass ([`Head::parameter_gradient`]). [`inpo_kernels::head`] has the equations.

use burn::tensor::{Tensor, TensorData};
use inpo_kernels::head::{Factor, Logits, RowScores};

/// Rows of logits that exist at once by default, where they exist at all: 128 rows of a 49152-word
/// vocabulary are 25 MB. In f32 on Flex there are less than 1 MB a thread, whatever the vocabulary.
pub const DEFAULT_CHUNK: usize = 128;

/// A vocabulary head. A parameter trains when it requires a gradient.
#[derive(Debug, Clone)]
pub struct Head {
    /// `W`, `[vocab, width]`.
    pub weight: Tensor<2>,
    /// A LoRA adapter of the head.
    pub low_rank: Option<HeadAdapter>,
    /// `cap` of Gemma's final logits, positive.
    pub softcap: Option<f64>,
}

/// The low-rank side path `s (x A) B` of a head (arXiv 2106.09685).
#[derive(Debug, Clone)]
pub struct HeadAdapter {
    /// `A`, `[width, rank]`.
    pub a: Tensor<2>,
    /// `B`, `[rank, vocab]`.
    pub b: Tensor<2>,
    /// `s`.
    pub scale: f64,
}

/// Log-probs of chosen tokens with what the gradient needs.
#[derive(Debug, Clone)]
pub struct HeadScores {
    rows: RowScores,
    directions: Tensor<2>,
    /// Directions in `s x A`.
    side: Option<Tensor<2>>,
}

/// Gradient of a loss in the parameters of a head, `None` for those that do not train.
#[derive(Debug, Clone)]
pub struct HeadParameterGradient {
    /// `dL/dW`, `[vocab, width]`; a tied head adds it to the embedding's.
    pub weight: Option<Tensor<2>>,
    /// `dL/dA`, `[width, rank]`.
    pub a: Option<Tensor<2>>,
    /// `dL/dB`, `[rank, vocab]`.
    pub b: Option<Tensor<2>>,
}

impl Head {
    /// The head `l = x W^T`, with `W` `[vocab, width]`.
    pub fn new(weight: Tensor<2>) -> Self {
        Self {
            weight,
            low_rank: None,
            softcap: None,
        }
    }

    /// Log-probs, in nats, of `targets[i]` given row `i` of `hidden`, `[rows, width]`; logits are f32 (or
    /// the tensors' own f64), for at most `chunk` rows at once. Nothing is differentiated.
    pub fn token_logps(&self, hidden: &Tensor<2>, targets: &[u32], chunk: usize) -> Vec<f64> {
        self.logits(hidden).scores(targets, chunk).logps
    }

    /// [`Head::token_logps`] with the directions `dlogp_i/dhidden_i`.
    pub fn scores(&self, hidden: &Tensor<2>, targets: &[u32], chunk: usize) -> HeadScores {
        let logits = self.logits(hidden);
        let (rows, directions) = logits.scores_with_directions(targets, chunk);
        let mut directions = directions.into_iter();
        let dense = directions.next().expect("a head has a dense factor");
        let side = directions.next();
        let directions = match (&self.low_rank, &side) {
            (Some(path), Some(side)) => {
                let back = path.a.clone().inner().transpose();
                dense + side.clone().matmul(back).mul_scalar(path.scale)
            }
            _ => dense,
        };
        HeadScores {
            rows,
            directions,
            side,
        }
    }

    /// The gradient in the parameters that train, given `coefficients[i] = dL/dlogp_i` and the `scores` of
    /// the same hidden states and targets: a second pass, and none when nothing trains.
    pub fn parameter_gradient(
        &self,
        hidden: &Tensor<2>,
        targets: &[u32],
        scores: &HeadScores,
        coefficients: &[f64],
        chunk: usize,
    ) -> HeadParameterGradient {
        let mut wanted = vec![self.weight.is_require_grad()];
        wanted.extend(self.low_rank.as_ref().map(|path| path.b.is_require_grad()));
        let logits = self.logits(hidden);
        let gradients =
            logits.weight_gradients(targets, &scores.rows, coefficients, &wanted, chunk);
        let mut gradients = gradients.into_iter();
        let weight = gradients.next().flatten();
        let b = gradients.next().flatten().map(Tensor::transpose);
        let paths = self.low_rank.as_ref().zip(scores.side.as_ref());
        let a = paths.filter(|(path, _)| path.a.is_require_grad());
        let a = a.map(|(path, side)| {
            let side = scale_rows(side.clone(), coefficients).mul_scalar(path.scale);
            hidden.clone().inner().transpose().matmul(side)
        });
        HeadParameterGradient { weight, a, b }
    }

    fn logits(&self, hidden: &Tensor<2>) -> Logits {
        let hidden = hidden.clone().inner();
        let mut factors = Vec::with_capacity(2);
        factors.push(Factor {
            input: hidden.clone(),
            weight: self.weight.clone().inner(),
        });
        factors.extend(self.low_rank.as_ref().map(|path| Factor {
            input: hidden.matmul(path.a.clone().inner()).mul_scalar(path.scale),
            weight: path.b.clone().inner().transpose(),
        }));
        Logits::new(factors, self.softcap)
    }
}

impl HeadScores {
    /// Log-prob of each chosen token, in nats.
    pub fn logps(&self) -> &[f64] {
        &self.rows.logps
    }

    /// `dL/dhidden`, `[rows, width]`, given `coefficients[i] = dL/dlogp_i`.
    pub fn hidden_gradient(&self, coefficients: &[f64]) -> Tensor<2> {
        scale_rows(self.directions.clone(), coefficients)
    }
}

fn scale_rows(rows: Tensor<2>, factors: &[f64]) -> Tensor<2> {
    let data = TensorData::new(factors.to_vec(), [factors.len(), 1]);
    let factors = Tensor::<2>::from_data(data, (&rows.device(), rows.dtype()));
    rows * factors
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::activation::log_softmax;
    use burn::tensor::{DType, Device, Int};

    fn to_f64<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
        tensor.try_into_vec_as().expect("a float tensor")
    }

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
        let index = Tensor::<1, Int>::from_ints(targets.map(|t| t as i32), &device);
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
            for (weight, trains) in [
                (head.clone(), true),
                (Tensor::from_inner(head.clone().inner()), false),
            ] {
                let head = Head::new(weight);
                close(&head.token_logps(&hidden, &targets, chunk), &expected);
                let scores = head.scores(&hidden, &targets, chunk);
                close(scores.logps(), &expected);
                let of_hidden = scores.hidden_gradient(&coefficients);
                close(&to_f64(of_hidden), &expected_hidden);
                let of_head =
                    head.parameter_gradient(&hidden, &targets, &scores, &coefficients, chunk);
                assert_eq!(of_head.weight.is_some(), trains);
                if let Some(weight) = of_head.weight {
                    close(&to_f64(weight), &expected_head);
                }
            }
        }
    }

    /// Logits of +-200 neither overflow nor lose the chosen token's log-prob.
    #[test]
    fn extreme_logits_stay_finite() {
        let device = Device::flex();
        let hidden = Tensor::<2>::from_floats([[1.0]], &device);
        let head = Tensor::<2>::from_floats([[200.0], [-200.0], [199.0]], &device);
        let head = Head::new(head);
        let at = |target| head.token_logps(&hidden, &[target], 8)[0];
        // ln(1 + e^-1) = 0.31326168751822286
        assert!((at(0) + 0.313_261_687_518_222_86).abs() < 1e-4);
        assert!((at(1) + 400.313_261_687_518_2).abs() < 1e-3);
    }

    /// The softcapped head with an adapter, every part trained, against autodiff of the dense composition;
    /// in f64 and, fused, in f32.
    #[test]
    fn an_adapted_and_capped_head_is_the_dense_one() {
        let device = Device::flex().autodiff();
        let (rows, width, vocab, rank) = (7, 5, 11, 2);
        let targets = [3_u32, 10, 0, 3, 7, 1, 9];
        let coefficients = [0.5, -1.0, 2.0, 0.25, -3.0, 1.5, 0.0];
        let hidden = matrix(rows, width, 1, &device).require_grad();
        let [weight, a, b] = [(vocab, width, 2), (width, rank, 3), (rank, vocab, 4)]
            .map(|(rows, columns, salt)| matrix(rows, columns, salt, &device).require_grad());
        // The cap is a power of two: Burn's gradient of a division takes the reciprocal in f32.
        let (scale, cap) = (0.75, 4.0);

        let side = hidden.clone().matmul(a.clone()).matmul(b.clone()) * scale;
        let logits = hidden.clone().matmul(weight.clone().transpose()) + side;
        let logits = (logits / cap).tanh() * cap;
        let index = Tensor::<1, Int>::from_ints(targets.map(|t| t as i32), &device);
        let dense = log_softmax(logits, 1).gather(1, index.unsqueeze_dim(1));
        let expected = to_f64(dense.clone().inner());
        let grads = scale_rows(dense, &coefficients).sum().backward();
        let expected_of = |tensor: &Tensor<2>| to_f64(tensor.grad(&grads).unwrap());

        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 2e-6)] {
            let cast = |tensor: &Tensor<2>| {
                Tensor::<2>::from_inner(tensor.clone().inner().cast(dtype)).require_grad()
            };
            let rows = cast(&hidden);
            let head = Head {
                weight: cast(&weight),
                low_rank: Some(HeadAdapter {
                    a: cast(&a),
                    b: cast(&b),
                    scale,
                }),
                softcap: Some(cap),
            };
            let close = |got: Vec<f64>, expected: Vec<f64>| {
                assert_eq!(got.len(), expected.len());
                let largest = expected.iter().fold(1.0_f64, |max, e| max.max(e.abs()));
                for (g, e) in got.iter().zip(&expected) {
                    assert!((g - e).abs() < tolerance * largest, "{dtype:?}: {g} {e}");
                }
            };
            for chunk in [1, 3, 7, 100] {
                close(head.token_logps(&rows, &targets, chunk), expected.clone());
                let scores = head.scores(&rows, &targets, chunk);
                close(scores.logps().to_vec(), expected.clone());
                close(
                    to_f64(scores.hidden_gradient(&coefficients)),
                    expected_of(&hidden),
                );
                let gradient =
                    head.parameter_gradient(&rows, &targets, &scores, &coefficients, chunk);
                close(to_f64(gradient.weight.unwrap()), expected_of(&weight));
                close(to_f64(gradient.a.unwrap()), expected_of(&a));
                close(to_f64(gradient.b.unwrap()), expected_of(&b));
            }
        }
    }

    /// LoRA trains the adapter and freezes the weight.
    #[test]
    fn a_frozen_weight_gets_no_gradient() {
        let device = Device::flex().autodiff();
        let hidden = matrix(2, 3, 1, &device);
        let head = Head {
            low_rank: Some(HeadAdapter {
                a: matrix(3, 1, 2, &device).require_grad(),
                b: matrix(1, 4, 3, &device).require_grad(),
                scale: 1.0,
            }),
            ..Head::new(matrix(4, 3, 4, &device))
        };
        let scores = head.scores(&hidden, &[0, 3], 8);
        let gradient = head.parameter_gradient(&hidden, &[0, 3], &scores, &[1.0, 1.0], 8);
        assert!(gradient.weight.is_none());
        assert_eq!(gradient.a.unwrap().dims(), [3, 1]);
        assert_eq!(gradient.b.unwrap().dims(), [1, 4]);
    }
}
