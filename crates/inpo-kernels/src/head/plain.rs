//! The head by Burn's own operations, whole rows of logits for a chunk of rows at a time.

use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData, activation::softmax};

use super::{Logits, RowScores};

/// Logits of some rows as they enter the softmax.
struct Chunk {
    logits: Tensor<2>,
    probabilities: Tensor<2>,
    /// The chosen words, `[rows, 1]`.
    chosen: Tensor<2, Int>,
}

impl Chunk {
    fn new(all: &Logits, first: usize, targets: &[u32]) -> Self {
        let products = all.factors.iter().map(|factor| {
            let rows = factor.input.clone().narrow(0, first, targets.len());
            rows.matmul(factor.weight.clone().transpose())
        });
        let logits = products.reduce(|sum, product| sum + product);
        let mut logits = logits.expect("a head has a factor");
        if let Some(cap) = all.softcap {
            logits = logits.div_scalar(cap).tanh().mul_scalar(cap);
        }
        let words: Vec<i32> = targets.iter().map(|&word| word as i32).collect();
        let words = TensorData::new(words, [targets.len(), 1]);
        Self {
            probabilities: softmax(logits.clone(), 1),
            chosen: Tensor::from_data(words, &logits.device()),
            logits,
        }
    }

    /// Log-prob of the chosen word and logsumexp, each `[rows, 1]`. With `m` the largest logit and `p_m`
    /// its probability, which is at least `1 / vocab`, logsumexp is `m - ln p_m`.
    fn scores(&self) -> [Tensor<2>; 2] {
        let largest = self.logits.clone().max_dim(1);
        let logsumexp = largest - self.probabilities.clone().max_dim(1).log();
        let chosen = self.logits.clone().gather(1, self.chosen.clone());
        [chosen - logsumexp.clone(), logsumexp]
    }

    /// `d log p / dz`, `[rows, vocab]`.
    fn slopes(self, softcap: Option<f64>) -> Tensor<2> {
        let ones = Tensor::ones(
            self.chosen.dims(),
            (&self.logits.device(), self.logits.dtype()),
        );
        let slopes = -self.probabilities;
        let slopes = slopes.scatter(1, self.chosen, ones, IndexingUpdateOp::Add);
        match softcap {
            None => slopes,
            Some(cap) => slopes * (1.0 - self.logits.div_scalar(cap).square()),
        }
    }
}

pub(super) fn scores(
    logits: &Logits,
    targets: &[u32],
    chunk: usize,
    directions: bool,
) -> (RowScores, Vec<Tensor<2>>) {
    let mut columns = Vec::new();
    let mut parts = vec![Vec::new(); logits.factors.len()];
    for (first, targets) in chunks(targets, chunk) {
        let rows = Chunk::new(logits, first, targets);
        columns.push(Tensor::cat(rows.scores().to_vec(), 1));
        if directions {
            let slopes = rows.slopes(logits.softcap);
            for (part, factor) in parts.iter_mut().zip(&logits.factors) {
                part.push(slopes.clone().matmul(factor.weight.clone()));
            }
        }
    }
    let directions = match (directions, targets.is_empty()) {
        (false, _) => Vec::new(),
        // No row: each input is its own direction.
        (true, true) => logits.factors.iter().map(|f| f.input.clone()).collect(),
        (true, false) => parts.into_iter().map(|p| Tensor::cat(p, 0)).collect(),
    };
    // One read for all chunks: each is a wait for the device.
    let values = if columns.is_empty() {
        Vec::new()
    } else {
        to_f64(Tensor::cat(columns, 0))
    };
    let column = |which| values.iter().skip(which).step_by(2).copied().collect();
    let scores = RowScores {
        logps: column(0),
        logsumexp: column(1),
    };
    (scores, directions)
}

pub(super) fn weight_gradients(
    logits: &Logits,
    targets: &[u32],
    coefficients: &[f64],
    wanted: &[bool],
    chunk: usize,
) -> Vec<Option<Tensor<2>>> {
    let factors = logits.factors.iter().zip(wanted);
    let mut sums: Vec<Option<Tensor<2>>> = factors
        .map(|(factor, &wanted)| wanted.then(|| factor.weight.zeros_like()))
        .collect();
    for (first, targets) in chunks(targets, chunk) {
        let rows = targets.len();
        let c = TensorData::new(coefficients[first..first + rows].to_vec(), [rows, 1]);
        let chunk = Chunk::new(logits, first, targets);
        let options = (&chunk.logits.device(), chunk.logits.dtype());
        let c = Tensor::<2>::from_data(c, options);
        let slopes = (chunk.slopes(logits.softcap) * c).transpose();
        for (sum, factor) in sums.iter_mut().zip(&logits.factors) {
            let input = factor.input.clone().narrow(0, first, rows);
            *sum = sum.take().map(|sum| sum + slopes.clone().matmul(input));
        }
    }
    sums
}

fn chunks(targets: &[u32], chunk: usize) -> impl Iterator<Item = (usize, &[u32])> {
    let chunk = chunk.max(1);
    let parts = targets.chunks(chunk).enumerate();
    parts.map(move |(part, targets)| (part * chunk, targets))
}

fn to_f64(tensor: Tensor<2>) -> Vec<f64> {
    let values = tensor.try_into_vec_as::<f64>();
    values.expect("a float tensor reads as f64")
}
