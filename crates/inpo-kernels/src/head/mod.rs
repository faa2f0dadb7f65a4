//! The vocabulary head: log-probs of chosen words and their gradients, without a batch of logits.
//!
//! The logits of a row are `z = sum_j x_j W_j^T` over the [`Factor`]s of a head: a dense one has a single
//! factor, a low-rank side path `s (x A) B` is a second one with input `s x A` and weight `B^T`. With a
//! softcap `c` they become `l = c tanh(z / c)`, else `l = z`. For the chosen word `t` of a row,
//!
//! ```text
//! log p = l_t - logsumexp(l),
//! d log p / dz_v = (1[v = t] - softmax(l)_v) (1 - (l_v / c)^2)   (second factor 1 without a softcap)
//! d log p / dx_j = sum_v (d log p / dz_v) W_j[v]                 (the direction)
//! dL/dW_j[v]     = sum_i (dL/d log p_i) (d log p_i / dz_v) x_j,i
//! ```
//!
//! The directions do not depend on the loss, so that log-probs and directions come from one pass over the
//! vocabulary; only a weight that trains needs a second one.
//!
//! On Flex in f32 each thread takes a tile of rows through the vocabulary a few hundred words at a time
//! with a running maximum and a running sum (arXiv 2205.14135, section 3.1), so that its logits stay in the
//! core's cache. Elsewhere whole rows of logits exist for `chunk` rows at a time.

#[cfg(feature = "flex")]
mod fused;
mod plain;
#[cfg(feature = "flex")]
mod rows;

use burn::tensor::Tensor;

/// One term `input weight^T` of the logits.
#[derive(Debug, Clone)]
pub struct Factor {
    /// `x_j`, `[rows, width]`.
    pub input: Tensor<2>,
    /// `W_j`, `[vocab, width]`; a transposed view is read as it lies.
    pub weight: Tensor<2>,
}

/// The logits of some rows, in the form in which they are never computed all at once. Nothing here is
/// tracked: gradients are given in closed form.
#[derive(Debug, Clone)]
pub struct Logits {
    factors: Vec<Factor>,
    softcap: Option<f64>,
}

/// What one pass gives for each row, in nats.
#[derive(Debug, Clone, PartialEq)]
pub struct RowScores {
    /// Log-prob of the chosen word.
    pub logps: Vec<f64>,
    /// `logsumexp` of the row's logits.
    pub logsumexp: Vec<f64>,
}

impl Logits {
    /// The logits `sum_j input_j weight_j^T`, capped at `softcap` where there is one.
    ///
    /// # Panics
    ///
    /// If there is no factor or the factors' shapes do not fit each other.
    pub fn new(factors: Vec<Factor>, softcap: Option<f64>) -> Self {
        let shape = |factor: &Factor| {
            let ([rows, width], [vocab, columns]) = (factor.input.dims(), factor.weight.dims());
            assert_eq!(width, columns, "an input and its weight have one width");
            [rows, vocab]
        };
        let inner = |factor: Factor| Factor {
            input: factor.input.inner(),
            weight: factor.weight.inner(),
        };
        let shapes: Vec<_> = factors.iter().map(shape).collect();
        assert!(
            !shapes.is_empty() && shapes.windows(2).all(|pair| pair[0] == pair[1]),
            "the factors of a head have the same rows and words, not {shapes:?}"
        );
        Self {
            factors: factors.into_iter().map(inner).collect(),
            softcap,
        }
    }

    /// Log-probs of word `targets[i]` in row `i`; at most `chunk` rows of logits exist at once.
    ///
    /// # Panics
    ///
    /// If there is not one target, below the number of words, for each row.
    pub fn scores(&self, targets: &[u32], chunk: usize) -> RowScores {
        self.check(targets);
        #[cfg(feature = "flex")]
        if let Some(logits) = fused::Logits::new(self) {
            return logits.scores(targets);
        }
        plain::scores(self, targets, chunk, false).0
    }

    /// [`Logits::scores`], and the direction `d log p_i / dx_j,i` of each factor, `[rows, width]`.
    ///
    /// # Panics
    ///
    /// As [`Logits::scores`].
    pub fn scores_with_directions(
        &self,
        targets: &[u32],
        chunk: usize,
    ) -> (RowScores, Vec<Tensor<2>>) {
        self.check(targets);
        #[cfg(feature = "flex")]
        if let Some(logits) = fused::Logits::new(self) {
            return logits.scores_with_directions(targets);
        }
        plain::scores(self, targets, chunk, true)
    }

    /// The gradient in each weight that `wanted[j]` asks for, `[vocab, width]`, given `coefficients[i]`
    /// = dL/d log p_i and the `scores` of the same targets.
    ///
    /// # Panics
    ///
    /// As [`Logits::scores`], and if the lists' lengths do not fit.
    pub fn weight_gradients(
        &self,
        targets: &[u32],
        scores: &RowScores,
        coefficients: &[f64],
        wanted: &[bool],
        chunk: usize,
    ) -> Vec<Option<Tensor<2>>> {
        self.check(targets);
        assert_eq!(wanted.len(), self.factors.len(), "one wish a factor");
        assert_eq!(coefficients.len(), targets.len(), "one coefficient a row");
        assert_eq!(scores.logps.len(), targets.len(), "one score a row");
        if !wanted.contains(&true) {
            return wanted.iter().map(|_| None).collect();
        }
        #[cfg(feature = "flex")]
        if let Some(logits) = fused::Logits::new(self) {
            return logits.weight_gradients(targets, scores, coefficients, wanted);
        }
        plain::weight_gradients(self, targets, coefficients, wanted, chunk)
    }

    fn rows(&self) -> usize {
        self.factors[0].input.dims()[0]
    }

    fn vocab(&self) -> usize {
        self.factors[0].weight.dims()[0]
    }

    fn check(&self, targets: &[u32]) {
        assert_eq!(targets.len(), self.rows(), "one chosen word a row");
        let vocab = self.vocab();
        if let Some(word) = targets.iter().find(|&&word| word as usize >= vocab) {
            panic!("word {word} is not below {vocab}, the number of words of the head");
        }
    }
}
