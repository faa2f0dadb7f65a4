//! Helpers on tensors and their values.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

/// Splits the columns of `x` into parts of `widths`, which sum to its width.
pub(super) fn split_columns<const N: usize>(x: Tensor<2>, widths: [usize; N]) -> [Tensor<2>; N] {
    let mut start = 0;
    widths.map(|width| {
        start += width;
        x.clone().narrow(1, start - width, width)
    })
}

/// Rounds `value` to what a tensor of `dtype` holds.
pub(super) fn rounded(value: f64, dtype: DType) -> f64 {
    match dtype {
        DType::BF16 => half::bf16::from_f64(value).to_f64(),
        DType::F16 => half::f16::from_f64(value).to_f64(),
        DType::F32 => f64::from(value as f32),
        _ => value,
    }
}

/// Casts `tensor` to `dtype`; a tensor of that type is returned as it is.
pub(super) fn cast<const D: usize>(tensor: Tensor<D>, dtype: DType) -> Tensor<D> {
    if tensor.dtype() == dtype {
        tensor
    } else {
        tensor.cast(dtype)
    }
}

/// The float type that sums and logits of activations in `dtype` are computed in: at least f32.
pub(crate) fn widened(dtype: DType) -> DType {
    match dtype {
        DType::F64 => DType::F64,
        _ => DType::F32,
    }
}

/// A one-dimensional index tensor.
pub(crate) fn index_tensor(
    indices: impl ExactSizeIterator<Item = usize>,
    device: &Device,
) -> Tensor<1, Int> {
    let length = indices.len();
    let indices: Vec<i32> = indices.map(|i| i as i32).collect();
    Tensor::from_data(TensorData::new(indices, [length]), device)
}

/// The row-major transpose of a row-major matrix with `columns` columns.
pub(crate) fn transpose(values: &[f32], columns: usize) -> Vec<f32> {
    let rows = values.len() / columns.max(1);
    let mut transposed = vec![0.0_f32; values.len()];
    for (row, values) in values.chunks_exact(columns.max(1)).enumerate() {
        for (column, &value) in values.iter().enumerate() {
            transposed[column * rows + row] = value;
        }
    }
    transposed
}
