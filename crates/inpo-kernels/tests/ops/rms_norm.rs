//! Root-mean-square normalisation.

use burn::tensor::{Device, Tensor};
use inpo_kernels::rms_norm;

use crate::check::{Input, compare, to_f64};

#[test]
fn the_fused_norm_is_the_plain_one() {
    for shape in [[1, 1], [3, 5], [7, 33], [40, 576], [130, 1537], [2, 20000]] {
        for scale in [1e-3, 1.0, 1e4] {
            let inputs = [
                Input::new(shape, 1, scale),
                Input::new([1, shape[1]], 2, 2.0),
            ];
            compare(inputs, 1e-6, |[x, gain]| {
                rms_norm(x, gain.squeeze_dim::<1>(0), 1e-5)
            });
        }
    }
}

/// mean(3^2, 4^2) = 12.5 and 3 / sqrt(12.5) = 0.848528137423857; a row of zeros stays one.
#[test]
fn a_norm_by_hand() {
    let device = Device::flex();
    let x = Tensor::<2>::from_floats([[3.0, 4.0], [0.0, 0.0]], &device);
    let gain = Tensor::<1>::from_floats([1.0, 2.0], &device);
    let got = to_f64(rms_norm(x, gain, 1e-30));
    let expected = [0.848_528_137_423_857, 2.262_741_699_796_952, 0.0, 0.0];
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() < 1e-6, "{got}, {expected}");
    }
}

/// At a row of zeros the norm is linear: dy/dx = gain / sqrt(epsilon).
#[test]
fn the_gradient_at_zero_is_that_of_epsilon() {
    let device = Device::flex().autodiff();
    let x = Tensor::<2>::zeros([1, 3], &device).require_grad();
    let gain = Tensor::<1>::from_floats([1.0, -2.0, 0.5], &device);
    let grads = rms_norm(x.clone(), gain, 1e-4).sum().backward();
    let got = to_f64(x.grad(&grads).unwrap());
    for (got, expected) in got.iter().zip([100.0, -200.0, 50.0]) {
        assert!((got - expected).abs() < 1e-3, "{got}, {expected}");
    }
}

#[test]
fn a_frozen_gain_gets_no_gradient_and_changes_none() {
    let device = Device::flex().autodiff();
    let values = [[1.0, -2.0, 3.0], [0.5, 0.25, -4.0]];
    let gradient = |tracked: bool| {
        let x = Tensor::<2>::from_floats(values, &device).require_grad();
        let gain = Tensor::<1>::from_floats([1.0, 2.0, 3.0], &device).set_require_grad(tracked);
        let out = rms_norm(x.clone(), gain.clone(), 1e-5);
        let grads = out.powi_scalar(2).sum().backward();
        assert_eq!(gain.grad(&grads).is_some(), tracked);
        to_f64(x.grad(&grads).unwrap())
    };
    assert_eq!(gradient(false), gradient(true));
}

#[test]
fn a_tracked_gain_under_a_constant_input_gets_its_gradient() {
    let device = Device::flex().autodiff();
    let x = Tensor::<2>::from_floats([[3.0, 4.0], [3.0, -4.0]], &device);
    let gain = Tensor::<1>::ones([2], &device).require_grad();
    let grads = rms_norm(x, gain.clone(), 1e-12).sum().backward();
    let got = to_f64(gain.grad(&grads).unwrap());
    // 2 * 3 / sqrt(12.5), and the fours cancel.
    assert!((got[0] - 1.697_056_274_847_714).abs() < 1e-6);
    assert!(got[1].abs() < 1e-6);
}

#[test]
#[should_panic(expected = "gains [3] for rows [3, 2]")]
fn gains_of_another_width_are_refused() {
    let device = Device::flex();
    let _ = rms_norm(
        Tensor::<2>::ones([3, 2], &device),
        Tensor::<1>::ones([3], &device),
        1e-5,
    );
}
