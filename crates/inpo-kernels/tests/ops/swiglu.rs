//! The gates of gated linear units.

use burn::tensor::{DType, Device, Tensor, TensorData};
use inpo_kernels::{gelu_mul, silu_mul};

use crate::check::{Input, compare};

#[test]
fn the_fused_gates_are_the_plain_ones() {
    for shape in [[1, 1], [3, 5], [2, 16384], [7, 1537], [130, 257]] {
        for scale in [1.0, 30.0] {
            let inputs = [Input::new(shape, 1, scale), Input::new(shape, 2, 1.0)];
            compare(inputs.clone(), 1e-6, |[gate, up]| silu_mul(gate, up));
            compare(inputs, 1e-6, |[gate, up]| gelu_mul(gate, up));
        }
    }
}

/// silu(+-1000) is 1000 and 0, without overflow.
#[test]
fn extreme_gates_stay_finite() {
    let device = Device::flex();
    let gate = Tensor::<2>::from_floats([[1000.0, -1000.0, 0.0]], &device);
    let out = silu_mul(gate.clone(), gate.ones_like());
    let out = out.try_into_vec_as::<f32>().unwrap();
    assert_eq!(out[0], 1000.0);
    assert!(out[1].abs() < 1e-30);
    assert_eq!(out[2], 0.0);
}

#[test]
#[should_panic(expected = "a gate [2, 3] for values [3, 2]")]
fn values_of_another_shape_are_refused() {
    let device = Device::flex();
    let _ = silu_mul(
        Tensor::<2>::ones([2, 3], &device),
        Tensor::<2>::ones([3, 2], &device),
    );
}

/// Against PyTorch 2.15.0's `gelu(x, approximate="tanh")` in f64, fused and plain.
#[test]
fn gelu_is_torchs() {
    let x = [-3.0, -1.0, -0.25, 0.5, 1.0, 4.0];
    let expected = [
        -0.0036373920817729943,
        -0.15880800939172324,
        -0.100324649298315,
        0.34571400982514394,
        0.8411919906082768,
        3.9999297540518075,
    ];
    for (dtype, tolerance) in [(DType::F32, 1e-6), (DType::F64, 1e-14)] {
        let data = TensorData::new(x.to_vec(), [1, x.len()]);
        let gate = Tensor::<2>::from_data(data, (&Device::flex(), dtype));
        let out = gelu_mul(gate.clone(), gate.ones_like());
        let out = out.try_into_vec_as::<f64>().unwrap();
        for (out, expected) in out.iter().zip(expected) {
            assert!((out - expected).abs() < tolerance, "{out} {expected}");
        }
    }
}
