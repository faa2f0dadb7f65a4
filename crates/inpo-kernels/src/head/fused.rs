//! The head on Flex in f32: tiles of rows and blocks of words that stay in a core's cache.

use burn::backend::DispatchTensorKind;
use burn::tensor::{DType, Device, Tensor, TensorData};
use rayon::prelude::*;

use super::RowScores;
use super::rows::{Running, slopes};
use crate::flex::gemm::multiply;
use crate::flex::matrix::{Matrix, MatrixMut, Threads, Write};
use crate::flex::vector::vectorised;
use crate::flex::{FlexFloat, contiguous, dims2, takes};

/// Words of one block.
const WORDS: usize = 512;
/// Most rows of one tile: `ROWS x WORDS` logits are 0.5 MB.
const ROWS: usize = 256;
/// Fewest rows of one tile: a thread reads the whole weight for each.
const FEWEST_ROWS: usize = 16;

struct Factor {
    input: FlexFloat,
    weight: FlexFloat,
    width: usize,
}

/// The logits of a head whose tensors all are f32 on Flex.
pub(super) struct Logits {
    factors: Vec<Factor>,
    softcap: Option<f32>,
    device: Device,
    vocab: usize,
}

impl Logits {
    /// `None` for logits that are not f32 on Flex.
    pub(super) fn new(logits: &super::Logits) -> Option<Self> {
        let read = |tensor: &Tensor<2>| match tensor.clone().into_dispatch().kind {
            DispatchTensorKind::Flex(tensor) if takes_strides(tensor.as_float()) => {
                Some(tensor.float())
            }
            DispatchTensorKind::Flex(tensor) => Some(contiguous(tensor.as_float())),
            #[allow(unreachable_patterns)]
            _ => None,
        };
        let factor = |factor: &super::Factor| {
            if !(takes(&factor.input) && takes(&factor.weight)) {
                return None;
            }
            Some(Factor {
                input: read(&factor.input)?,
                weight: read(&factor.weight)?,
                width: factor.input.dims()[1],
            })
        };
        Some(Self {
            factors: logits.factors.iter().map(factor).collect::<Option<_>>()?,
            softcap: logits.softcap.map(|cap| cap as f32),
            device: logits.factors[0].input.device(),
            vocab: logits.vocab(),
        })
    }

    pub(super) fn scores(&self, targets: &[u32]) -> RowScores {
        let rows = tile_rows(targets.len());
        let tiles = targets.par_chunks(rows).enumerate();
        let tiles = tiles.map(|(tile, targets)| self.tile(tile * rows, targets, &mut []));
        collect(tiles.collect())
    }

    pub(super) fn scores_with_directions(&self, targets: &[u32]) -> (RowScores, Vec<Tensor<2>>) {
        let rows = tile_rows(targets.len());
        let widths: Vec<usize> = self.factors.iter().map(|factor| factor.width).collect();
        let mut directions: Vec<Vec<f32>> = widths
            .iter()
            .map(|width| vec![0.0; targets.len() * width])
            .collect();
        let parts = parts(&mut directions, &widths, rows, targets.len());
        let tiles = targets.par_chunks(rows).zip(parts).enumerate();
        let tiles = tiles.map(|(tile, (targets, mut directions))| {
            self.tile(tile * rows, targets, &mut directions)
        });
        let scores = collect(tiles.collect());
        let directions = directions.into_iter().zip(widths);
        let directions = directions.map(|(values, width)| self.tensor(values, width));
        (scores, directions.collect())
    }

    /// Log-prob and logsumexp of each row from `first` on, and the directions of all factors, which are 0
    /// before, unless there are none.
    fn tile(
        &self,
        first: usize,
        targets: &[u32],
        directions: &mut [&mut [f32]],
    ) -> Vec<(f64, f64)> {
        let rows = targets.len();
        let mut running = vec![Running::new(); rows];
        let mut block = vec![0.0; rows * WORDS.min(self.vocab)];
        for word in (0..self.vocab).step_by(WORDS) {
            let words = WORDS.min(self.vocab - word);
            let block = &mut block[..rows * words];
            self.logits(block, [first, rows], [word, words]);
            vectorised(
                #[inline(always)]
                || {
                    let each = block.chunks_exact_mut(words).zip(targets).zip(&mut running);
                    for (i, ((row, &target), running)) in each.enumerate() {
                        let target = (target as usize).checked_sub(word).filter(|&t| t < words);
                        let scale = running.advance(row, target, self.softcap);
                        if scale == 1.0 {
                            continue;
                        }
                        for (sum, factor) in directions.iter_mut().zip(&self.factors) {
                            let sum = &mut sum[i * factor.width..][..factor.width];
                            sum.iter_mut().for_each(|value| *value *= scale);
                        }
                    }
                },
            );
            for (sum, factor) in directions.iter_mut().zip(&self.factors) {
                multiply(
                    MatrixMut::rows(sum, [rows, factor.width]),
                    Write::Add,
                    1.0,
                    Matrix::rows(block, [rows, words]),
                    matrix(&factor.weight).slice_rows(word, words),
                    Threads::One,
                );
            }
        }
        for (sum, factor) in directions.iter_mut().zip(&self.factors) {
            let each = sum.chunks_exact_mut(factor.width).zip(targets);
            for ((sum, &target), running) in each.zip(&running) {
                let (others, chosen) = running.coefficients(self.softcap);
                for (column, value) in sum.iter_mut().enumerate() {
                    let weight = at(&factor.weight, target as usize, column);
                    *value = chosen * weight - others * *value;
                }
            }
        }
        running.iter().map(Running::finish).collect()
    }

    pub(super) fn weight_gradients(
        &self,
        targets: &[u32],
        scores: &RowScores,
        coefficients: &[f64],
        wanted: &[bool],
    ) -> Vec<Option<Tensor<2>>> {
        let factors = self.factors.iter().zip(wanted);
        let trained: Vec<&Factor> = factors.filter_map(|(f, &w)| w.then_some(f)).collect();
        let widths: Vec<usize> = trained.iter().map(|factor| factor.width).collect();
        let mut gradients: Vec<Vec<f32>> = widths
            .iter()
            .map(|width| vec![0.0; self.vocab * width])
            .collect();
        parts(&mut gradients, &widths, WORDS, self.vocab)
            .into_par_iter()
            .enumerate()
            .for_each_init(
                || vec![0.0; ROWS.min(targets.len()) * WORDS],
                |buffer, (part, mut gradients)| {
                    let word = part * WORDS;
                    let words = WORDS.min(self.vocab - word);
                    for (tile, targets) in targets.chunks(ROWS).enumerate() {
                        let (first, rows) = (tile * ROWS, targets.len());
                        let block = &mut buffer[..rows * words];
                        self.logits(block, [first, rows], [word, words]);
                        vectorised(
                            #[inline(always)]
                            || {
                                let each = block.chunks_exact_mut(words).zip(targets);
                                for (i, (row, &target)) in each.enumerate() {
                                    let target = (target as usize).checked_sub(word);
                                    let target = target.filter(|&t| t < words);
                                    let i = first + i;
                                    let score = (scores.logps[i], scores.logsumexp[i]);
                                    slopes(row, target, self.softcap, score, coefficients[i]);
                                }
                            },
                        );
                        for (sum, factor) in gradients.iter_mut().zip(&trained) {
                            multiply(
                                MatrixMut::rows(sum, [words, factor.width]),
                                Write::Add,
                                1.0,
                                Matrix::rows(block, [rows, words]).transposed(),
                                matrix(&factor.input).slice_rows(first, rows),
                                Threads::One,
                            );
                        }
                    }
                },
            );
        let mut gradients = gradients.into_iter().zip(widths);
        let gradient = |&wanted: &bool| {
            let (values, width) = wanted.then(|| gradients.next()).flatten()?;
            Some(self.tensor(values, width))
        };
        wanted.iter().map(gradient).collect()
    }

    /// Uncapped logits of `rows` rows from `first` on and `words` words from `word` on.
    fn logits(&self, out: &mut [f32], [first, rows]: [usize; 2], [word, words]: [usize; 2]) {
        for (number, factor) in self.factors.iter().enumerate() {
            let write = if number == 0 {
                Write::Replace
            } else {
                Write::Add
            };
            multiply(
                MatrixMut::rows(out, [rows, words]),
                write,
                1.0,
                matrix(&factor.input).slice_rows(first, rows),
                matrix(&factor.weight).slice_rows(word, words).transposed(),
                Threads::One,
            );
        }
    }

    fn tensor(&self, values: Vec<f32>, width: usize) -> Tensor<2> {
        let rows = values.len() / width.max(1);
        let data = TensorData::new(values, [rows, width]);
        Tensor::from_data(data, (&self.device, DType::F32))
    }
}

/// Rows of one tile: at least four tiles where there are rows enough, and the same ones for any number of
/// threads, since the bits of a row's sums depend on its tile.
fn tile_rows(rows: usize) -> usize {
    let some = (rows / FEWEST_ROWS).clamp(1, 4);
    let tiles = rows.div_ceil(ROWS).max(some);
    rows.div_ceil(tiles).max(1)
}

/// Splits matrices of `count` rows into parts of `rows` rows: for each part, its rows of every matrix.
fn parts<'a>(
    matrices: &'a mut [Vec<f32>],
    widths: &[usize],
    rows: usize,
    count: usize,
) -> Vec<Vec<&'a mut [f32]>> {
    let mut parts: Vec<Vec<&mut [f32]>> = Vec::new();
    parts.resize_with(count.div_ceil(rows), Vec::new);
    for (matrix, width) in matrices.iter_mut().zip(widths) {
        let chunks = matrix.chunks_mut((rows * width).max(1));
        for (part, chunk) in parts.iter_mut().zip(chunks) {
            part.push(chunk);
        }
    }
    parts
}

fn collect(tiles: Vec<Vec<(f64, f64)>>) -> RowScores {
    let (logps, logsumexp) = tiles.into_iter().flatten().unzip();
    RowScores { logps, logsumexp }
}

/// Whether [`matrix`] can read the tensor where it lies.
fn takes_strides(tensor: &FlexFloat) -> bool {
    tensor.layout().strides().iter().all(|&stride| stride >= 0)
}

fn strides(tensor: &FlexFloat) -> [usize; 2] {
    let strides = tensor.layout().strides();
    [strides[0].unsigned_abs(), strides[1].unsigned_abs()]
}

fn matrix(tensor: &FlexFloat) -> Matrix<'_> {
    let values = &tensor.storage::<f32>()[tensor.layout().start_offset()..];
    Matrix::new(values, dims2(tensor), strides(tensor))
}

fn at(tensor: &FlexFloat, row: usize, column: usize) -> f32 {
    let [down, across] = strides(tensor);
    let first = tensor.layout().start_offset();
    tensor.storage::<f32>()[first + row * down + column * across]
}
