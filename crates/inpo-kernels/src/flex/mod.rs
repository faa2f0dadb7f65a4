//! What the fused operations share: which tensors they take, their data, threads, vector instructions.

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod amx;
#[cfg(target_arch = "x86_64")]
pub(crate) mod block_ops;
#[cfg(target_arch = "x86_64")]
pub(crate) mod blocks;
#[cfg(target_arch = "x86_64")]
mod few;
pub(crate) mod gemm;
pub(crate) mod matrix;
#[cfg(target_arch = "x86_64")]
pub(crate) mod panels;
pub(crate) mod vector;

use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::FloatTensor;
use burn::backend::{DispatchTensorKind, Flex, TensorMetadata};
use burn::tensor::{DType, Tensor, TensorData};
use matrix::Matrix;

/// A float tensor of the CPU backend.
pub(crate) type FlexFloat = FloatTensor<Flex>;

/// The backend of a tensor, as far as the fused operations tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Flex,
    FlexWithAutodiff,
    Elsewhere,
}

impl Place {
    pub(crate) fn of<const D: usize>(tensor: &Tensor<D>) -> Self {
        match tensor.clone().into_dispatch().kind {
            DispatchTensorKind::Flex(_) => Self::Flex,
            DispatchTensorKind::Autodiff(inner)
                if matches!(*inner, DispatchTensorKind::Flex(_)) =>
            {
                Self::FlexWithAutodiff
            }
            #[allow(unreachable_patterns)]
            _ => Self::Elsewhere,
        }
    }
}

/// Checks that the fused operations take `tensor`: f32 on Flex, with or without autodiff.
pub(crate) fn takes<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && Place::of(tensor) != Place::Elsewhere
}

/// Checks that operations that nothing is trained through take `tensor`: f32 on Flex, without autodiff.
pub(crate) fn takes_without_autodiff<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && Place::of(tensor) == Place::Flex
}

/// `tensor` with its values one after the other.
pub(crate) fn contiguous(tensor: &FlexFloat) -> FlexFloat {
    tensor.to_contiguous()
}

/// The values of a contiguous f32 tensor.
///
/// # Panics
///
/// If it is not contiguous or not f32: a fault of the caller.
pub(crate) fn values(tensor: &FlexFloat) -> &[f32] {
    tensor
        .as_slice::<f32>()
        .expect("fused operations read contiguous f32 tensors")
}

/// A tensor that owns `values`.
pub(crate) fn tensor(values: Vec<f32>, shape: impl Into<Vec<usize>>) -> FlexFloat {
    let data = TensorData::new(values, shape.into());
    Flex::float_from_data(data, &Default::default())
}

/// A view of a matrix as it lies, transposed or not.
///
/// # Panics
///
/// If it is not f32: a fault of the caller.
pub(crate) fn strided(tensor: &FlexFloat) -> Matrix<'_> {
    let layout = tensor.layout();
    let strides = layout.strides();
    let stride = |axis: usize| usize::try_from(strides[axis]).expect("no axis is reversed");
    let values = &tensor.storage::<f32>()[layout.start_offset()..];
    Matrix::new(values, dims2(tensor), [stride(0), stride(1)])
}

/// Rows and columns of a matrix.
pub(crate) fn dims2(tensor: &FlexFloat) -> [usize; 2] {
    let shape = tensor.shape();
    [shape[0], shape[1]]
}
