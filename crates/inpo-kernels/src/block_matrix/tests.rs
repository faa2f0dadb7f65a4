use super::*;
use burn::tensor::{Device, TensorData};

const KINDS: [BlockKind; 4] = [
    BlockKind::Nibbles,
    BlockKind::Bytes,
    BlockKind::OffsetBytes,
    BlockKind::Bf16,
];

/// Blocks of every scale, sign and number.
fn quantised(kind: BlockKind, [input, output]: [usize; 2]) -> Vec<QuantisedBlock> {
    let block = |place: usize| QuantisedBlock {
        scale: ((place * 37) % 101) as f32 / 4096.0 - 0.01,
        minimum: match kind {
            BlockKind::Nibbles | BlockKind::OffsetBytes => {
                ((place * 53) % 89) as f32 / 512.0 - 0.08
            }
            _ => 0.0,
        },
        numbers: std::array::from_fn(|i| {
            let number = (place * 7919 + i * 104_729) % 256;
            match kind {
                BlockKind::Nibbles => (number % 16) as u8,
                _ => number as u8,
            }
        }),
    };
    (0..input / BLOCK * output).map(block).collect()
}

/// A matrix and its values, `[in, out]`.
fn matrix(kind: BlockKind, shape: [usize; 2]) -> (BlockMatrix, Vec<f32>) {
    let [input, output] = shape;
    let mut dense = vec![0.0_f32; input * output];
    if kind == BlockKind::Bf16 {
        let bits = |place: usize| {
            0x3C00 + ((place * 7919) % 0x280) as u16 + ((place % 3 / 2) << 15) as u16
        };
        for (place, value) in (0..input * output).map(|place| (place, bits(place))) {
            let value = f32::from_bits(u32::from(value) << 16);
            dense[place % input * output + place / input] = value;
        }
        let numbers = (0..input * output).map(bits);
        return (BlockMatrix::from_bf16(shape, numbers), dense);
    }
    let blocks = quantised(kind, shape);
    for (place, block) in blocks.iter().enumerate() {
        let (column, first) = (place / (input / BLOCK), place % (input / BLOCK) * BLOCK);
        for (i, &number) in block.numbers.iter().enumerate() {
            let value = match kind {
                BlockKind::Nibbles => block.scale * f32::from(number) + block.minimum,
                _ => block.scale * f32::from(number.cast_signed()) + block.minimum,
            };
            dense[(first + i) * output + column] = value;
        }
    }
    let matrix = BlockMatrix::new(kind, shape, blocks.into_iter());
    (matrix, dense)
}

fn inputs(rows: usize, width: usize) -> Vec<f32> {
    let x = |i: usize| ((i * 7919) % 4001) as f32 / 2000.5 - 1.0;
    (0..rows * width).map(x).collect()
}

fn tensor(values: Vec<f32>, shape: [usize; 2]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

fn product(matrix: &BlockMatrix, x: &[f32], rows: usize) -> Vec<f32> {
    let x = tensor(x.to_vec(), [rows, matrix.shape()[0]]);
    matrix.product(x).try_into_vec_as::<f32>().unwrap()
}

fn ready() -> bool {
    let ready = BlockMatrix::takes(&tensor(vec![0.0], [1, 1]));
    if !ready {
        eprintln!("no AVX-512 here: blocks are not multiplied");
    }
    ready
}

/// Columns that fill no panel, depths of less and more than a pass.
const SHAPES: [[usize; 2]; 3] = [[576, 192], [96, 1000], [224, 301]];

/// As good as sums in f32 can be, for numbers of rows on both sides of every border. The tile unit applies scales to sums of 32;
/// without it each value is rounded and each term added on its own, half as well.
#[test]
fn a_product_is_that_of_the_values() {
    if !ready() {
        return;
    }
    let bound = f64::from(if blocks::on_tiles() { 1 << 21 } else { 1 << 20 });
    for kind in KINDS {
        for shape in SHAPES {
            let [input, output] = shape;
            let (matrix, dense) = matrix(kind, shape);
            for rows in [1, 2, 8, 15, 16, 17, 70, 129, 300] {
                let x = inputs(rows, input);
                let got = product(&matrix, &x, rows);
                for (place, got) in got.into_iter().enumerate() {
                    let (row, column) = (place / output, place % output);
                    let term = |i: usize| {
                        f64::from(x[row * input + i]) * f64::from(dense[i * output + column])
                    };
                    let sum: f64 = (0..input).map(term).sum();
                    let size: f64 = (0..input).map(|i| term(i).abs()).sum();
                    let error = (f64::from(got) - sum).abs();
                    assert!(
                        error <= size / bound,
                        "{kind:?} {shape:?}, {rows} rows, {row} {column}: {error} of {size}"
                    );
                }
            }
        }
    }
}

/// Without a tile unit: the bits of the product with the f32 matrix.
#[test]
fn the_kernels_for_few_rows_have_the_bits_of_the_f32_product() {
    if !ready() {
        return;
    }
    for kind in KINDS {
        for shape in SHAPES {
            let (matrix, dense) = matrix(kind, shape);
            let dense = tensor(dense, shape);
            for rows in [1, 2, 3, 8, 9, 70] {
                let x = inputs(rows, shape[0]);
                let got = blocks::few_rows(&x, rows, &matrix.panels);
                let x = tensor(x, [rows, shape[0]]);
                let expected = crate::linear(x, dense.clone(), None);
                let expected = expected.try_into_vec_as::<f32>().unwrap();
                assert_eq!(got, expected, "{kind:?} {shape:?}, {rows} rows");
            }
        }
    }
}

/// To the bit: rows alone, a few and many, on one thread and on three.
#[test]
fn a_row_depends_on_no_other() {
    if !ready() {
        return;
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(3)
        .build()
        .unwrap();
    for kind in KINDS {
        let shape = [576, 301];
        let [input, output] = shape;
        let (matrix, _) = matrix(kind, shape);
        let x = inputs(150, input);
        let all = product(&matrix, &x, 150);
        for (first, count) in [(0, 1), (3, 2), (10, 20), (130, 8), (0, 100)] {
            let x = &x[first * input..][..count * input];
            let expected = &all[first * output..][..count * output];
            assert_eq!(
                product(&matrix, x, count),
                expected,
                "{kind:?} {first} {count}"
            );
        }
        assert_eq!(pool.install(|| product(&matrix, &x, 150)), all);
    }
}
