//! The gate of SwiGLU.

use burn::tensor::{Device, Tensor};
use inpo_kernels::silu_mul;

use crate::check::{Input, compare};

#[test]
fn the_fused_gate_is_the_plain_one() {
    for shape in [[1, 1], [3, 5], [2, 16384], [7, 1537], [130, 257]] {
        for scale in [1.0, 30.0] {
            let inputs = [Input::new(shape, 1, scale), Input::new(shape, 2, 1.0)];
            compare(inputs, 1e-6, |[gate, up]| silu_mul(gate, up));
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
