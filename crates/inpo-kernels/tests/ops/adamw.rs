//! AdamW's step, the sum of squares, scaling: fused (f32 on Flex) against plain (f64).

use burn::tensor::{DType, Device, Tensor, TensorData};
use inpo_kernels::{AdamWStep, adamw, scale, sum_of_squares};

use crate::check::{Input, to_f64};

fn tensor(input: &Input, dtype: DType) -> Tensor<2> {
    let data = TensorData::new(input.values.clone(), input.shape);
    Tensor::from_data(data, (&Device::flex(), dtype))
}

/// Weights and moments after three steps.
fn steps(shape: [usize; 2], dtype: DType, transposed: bool) -> Vec<Vec<f64>> {
    let input = |salt, scale| {
        // A view whose values do not lie one after the other.
        let [rows, columns] = shape;
        if transposed {
            tensor(&Input::new([columns, rows], salt, scale), dtype).transpose()
        } else {
            tensor(&Input::new(shape, salt, scale), dtype)
        }
    };
    let (mut weight, mut past) = (input(1, 1.0), None);
    for time in 1..=3 {
        let step = AdamWStep {
            rate: 0.02,
            beta1: 0.8,
            beta2: 0.95,
            epsilon: 1e-6,
            decay: 0.1,
            time,
        };
        let grad = input(1 + time as u64, 0.1);
        let (moved, moments) = adamw(weight, grad, past, &step);
        (weight, past) = (moved, Some(moments));
    }
    let moments = past.unwrap().map(to_f64);
    [vec![to_f64(weight)], moments.to_vec()].concat()
}

#[test]
fn the_fused_step_is_the_plain_one() {
    for shape in [[1, 1], [3, 5], [2, 16_384], [130, 257]] {
        for transposed in [false, true] {
            let expected = steps(shape, DType::F64, transposed);
            let got = steps(shape, DType::F32, transposed);
            for (got, expected) in got.iter().zip(&expected) {
                assert_eq!(got.len(), expected.len());
                for (g, e) in got.iter().zip(expected) {
                    assert!((g - e).abs() < 1e-6, "{g}, expected {e}");
                }
            }
        }
    }
}

/// By hand: beta1 = beta2 = 1/2, epsilon = 0, rate 1/4, decay 0. The first step moves by the rate against the
/// gradient's sign: m = g/2 over 1 - 1/2, root of v = g^2/2 over 1 - 1/2.
#[test]
fn the_first_step_has_the_length_of_the_rate() {
    let device = Device::flex();
    let weight = Tensor::<1>::from_floats([1.0, 1.0, 1.0], &device);
    let grad = Tensor::<1>::from_floats([4.0, -0.5, 1e-3], &device);
    let step = AdamWStep {
        rate: 0.25,
        beta1: 0.5,
        beta2: 0.5,
        epsilon: 0.0,
        decay: 0.0,
        time: 1,
    };
    let (weight, [m, v]) = adamw(weight, grad, None, &step);
    let close = |got: Tensor<1>, expected: [f64; 3]| {
        for (g, e) in to_f64(got).iter().zip(expected) {
            assert!((g - e).abs() <= 1e-6 * e.abs(), "{g}, expected {e}");
        }
    };
    close(weight, [0.75, 1.25, 0.75]);
    close(m, [2.0, -0.25, 5e-4]);
    close(v, [8.0, 0.125, 5e-7]);
}

/// 1 and 2^20 values of 2^-12: in f32 the small squares, 2^-24, would each be lost beside the 1; together they
/// are 1/16. 40 000 values of 1e30 have squares beyond f32's range and a sum of 4e64 in f64.
#[test]
fn squares_are_added_in_f64() {
    let device = Device::flex();
    let count = 1 << 20;
    let mut values = vec![0.5_f32.powi(12); count + 1];
    values[0] = 1.0;
    let tensor = Tensor::<1>::from_data(TensorData::new(values, [count + 1]), &device);
    assert_eq!(sum_of_squares(tensor).into_scalar::<f64>(), 1.0625);
    let large = Tensor::<2>::full([200, 200], 1e30, &device);
    let sum = sum_of_squares(large.transpose()).into_scalar::<f64>();
    assert!((sum / 4e64 - 1.0).abs() < 1e-6, "{sum}");
    let nan = Tensor::<1>::from_floats([1.0, f32::NAN], &device);
    assert!(sum_of_squares(nan).into_scalar::<f64>().is_nan());
}

/// A handle that somebody else keeps does not change.
#[test]
fn scaling_is_a_product() {
    let device = Device::flex();
    let tensor = Tensor::<2>::from_floats([[1.0, -2.0, 4.0], [0.0, 8.0, 0.5]], &device);
    let scaled = scale(tensor.clone().transpose(), 0.25);
    assert_eq!(to_f64(scaled), [0.25, 0.0, -0.5, 2.0, 1.0, 0.125]);
    let kept = tensor.clone();
    assert_eq!(to_f64(scale(tensor, 2.0)), [2.0, -4.0, 8.0, 0.0, 16.0, 1.0]);
    assert_eq!(to_f64(kept), [1.0, -2.0, 4.0, 0.0, 8.0, 0.5]);
}

/// A step of ones of these shapes: weights, gradient, moments.
fn step_of_ones(weight: [usize; 2], grad: [usize; 2], moments: [[usize; 2]; 2]) {
    let ones = |shape| Tensor::<2>::ones(shape, &Device::flex());
    let step = AdamWStep {
        rate: 0.1,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        decay: 0.0,
        time: 2,
    };
    let _ = adamw(ones(weight), ones(grad), Some(moments.map(ones)), &step);
}

#[test]
#[should_panic(expected = "a gradient [3, 2] of weights [2, 3]")]
fn a_gradient_of_another_shape_is_refused() {
    step_of_ones([2, 3], [3, 2], [[2, 3]; 2]);
}

#[test]
#[should_panic(expected = "a moment [1, 6] of weights [2, 3]")]
fn a_moment_of_another_shape_is_refused() {
    step_of_ones([2, 3], [2, 3], [[2, 3], [1, 6]]);
}
