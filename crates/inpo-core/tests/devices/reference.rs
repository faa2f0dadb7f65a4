//! The expected values: plain f64 on the host. And how values get to a device and back.

use std::path::PathBuf;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use inpo_core::policy::Policy;

/// `count` repeatable numbers, multiples of 1/64 in [-2, 2): exact in every type down to bf16.
pub(crate) fn values(count: usize, salt: u64) -> Vec<f64> {
    let value = |i: usize| {
        // The finaliser of splitmix64.
        let mut x = (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (salt << 32);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((x >> 56) as f64 - 128.0) / 64.0
    };
    (0..count).map(value).collect()
}

/// Row-major `values` as a tensor of `shape`.
pub(crate) fn tensor<const D: usize>(
    values: &[f64],
    shape: [usize; D],
    (device, dtype): (&Device, DType),
) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), (device, dtype))
}

/// A tensor's values, row by row.
pub(crate) fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    let values = tensor.inner().try_into_vec_as::<f64>();
    values.expect("a float tensor reads as f64")
}

/// `a b`, `[m, n]`, of `a`, `[m, k]`, and `b`, `[k, n]`.
pub(crate) fn product(a: &[f64], b: &[f64], [m, k, n]: [usize; 3]) -> Vec<f64> {
    let mut c = vec![0.0; m * n];
    for (row, sums) in a.chunks_exact(k).zip(c.chunks_exact_mut(n)) {
        for (factor, b) in row.iter().zip(b.chunks_exact(n)) {
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum += factor * b;
            }
        }
    }
    c
}

/// The transpose, `[columns, rows]`, of a row-major matrix.
pub(crate) fn transpose(a: &[f64], columns: usize) -> Vec<f64> {
    let rows = a.len() / columns;
    let entry = |i: usize| a[i % rows * columns + i / rows];
    (0..a.len()).map(entry).collect()
}

/// `log softmax` of each row.
pub(crate) fn log_softmax(logits: &[f64], columns: usize) -> Vec<f64> {
    let rows = logits.chunks_exact(columns);
    rows.flat_map(|row| {
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|x| (x - largest).exp()).sum();
        let logsumexp = largest + sum.ln();
        row.iter().map(move |x| x - logsumexp)
    })
    .collect()
}

/// A file among the fixtures of another crate of the workspace, beside this package where cargo says that it is:
/// a binary that was carried to another machine is told by `scripts/gpu-check.sh`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR");
    let here = here.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.join("..").join(name)
}

/// The tiny checkpoint `name` of `inpo-policy`, computing in `dtype`.
pub(crate) fn tiny(name: &str, device: &Device, dtype: DType) -> Policy {
    let path = fixture("inpo-policy/tests/fixtures").join(name);
    let policy = Policy::load(&path, device).expect("the fixture is a model");
    in_dtype(&policy, dtype)
}

/// A policy that computes in `dtype`: with weights of that type, or in half precision with f32 weights that
/// are cast where they are used, as in training.
pub(crate) fn in_dtype(policy: &Policy, dtype: DType) -> Policy {
    let decoder = match dtype {
        DType::BF16 => policy.decoder().clone().computing_in(dtype),
        _ => policy.decoder().clone().map(&mut Cast(dtype)),
    };
    policy.with_decoder(&decoder)
}

struct Cast(DType);

impl ModuleMapper for Cast {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| tensor.cast(self.0))
    }
}
