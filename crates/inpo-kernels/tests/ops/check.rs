//! What the tests of all operations share: the fused operation, in f32, beside the plain one, which is what
//! runs in f64.

use burn::tensor::{DType, Device, Tensor, TensorData};

/// A matrix of test values.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub(crate) values: Vec<f64>,
    pub(crate) shape: [usize; 2],
}

impl Input {
    /// Repeatable values that look random, in `[-scale, scale)`, rounded to f32.
    pub(crate) fn new(shape: [usize; 2], salt: u64, scale: f64) -> Self {
        let mut state = salt.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x1234_5678;
        let next = || {
            // Steele, Lea and Flood's SplitMix64.
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            let unit = ((z ^ (z >> 31)) >> 40) as f64 / (1_u64 << 24) as f64;
            f64::from(((2.0 * unit - 1.0) * scale) as f32)
        };
        let values = std::iter::repeat_with(next)
            .take(shape[0] * shape[1])
            .collect();
        Self { values, shape }
    }

    /// The tensor, laid out row by row, or as a view of its transpose.
    fn tensor(&self, device: &Device, dtype: DType, transposed: bool) -> Tensor<2> {
        let [rows, columns] = self.shape;
        if !transposed {
            let data = TensorData::new(self.values.clone(), self.shape);
            return Tensor::from_data(data, (device, dtype));
        }
        let mut values = Vec::with_capacity(self.values.len());
        for column in 0..columns {
            values.extend((0..rows).map(|row| self.values[row * columns + column]));
        }
        let data = TensorData::new(values, [columns, rows]);
        Tensor::from_data(data, (device, dtype)).transpose()
    }
}

/// A tensor's values.
pub(crate) fn to_f64<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.try_into_vec_as::<f64>().expect("a float tensor")
}

/// Output and gradients of `operation`, the gradients those of a sum with fixed weights.
pub(crate) fn run<const N: usize>(
    inputs: &[Input; N],
    dtype: DType,
    transposed: bool,
    operation: &dyn Fn([Tensor<2>; N]) -> Tensor<2>,
) -> Vec<Vec<f64>> {
    let device = Device::flex().autodiff();
    let tensors = inputs
        .each_ref()
        .map(|input| input.tensor(&device, dtype, transposed).require_grad());
    let out = operation(tensors.clone());
    let weights = Input::new(out.dims(), 77, 1.0);
    let weighted = out.clone() * weights.tensor(&device, dtype, false);
    let grads = weighted.sum().backward();
    let mut results = vec![to_f64(out)];
    for tensor in &tensors {
        results.push(to_f64(
            tensor.grad(&grads).expect("every input has a gradient"),
        ));
    }
    results
}

/// Checks that `operation` gives in f32, where it is fused, what it gives in f64, where it is the plain
/// composition: output and gradients, up to `tolerance` times the largest expected value of each (at least
/// 1); on contiguous inputs and on transposed views.
pub(crate) fn compare<const N: usize>(
    inputs: [Input; N],
    tolerance: f64,
    operation: impl Fn([Tensor<2>; N]) -> Tensor<2>,
) {
    let expected = run(&inputs, DType::F64, false, &operation);
    for transposed in [false, true] {
        let got = run(&inputs, DType::F32, transposed, &operation);
        assert_eq!(got.len(), expected.len());
        for (number, (got, expected)) in got.iter().zip(&expected).enumerate() {
            assert_eq!(got.len(), expected.len());
            let scale = expected.iter().fold(1.0_f64, |max, e| max.max(e.abs()));
            for (g, e) in got.iter().zip(expected) {
                assert!(
                    (g - e).abs() <= tolerance * scale,
                    "result {number} (0 is the output, then the gradients): {g}, expected {e}"
                );
            }
        }
    }
}
