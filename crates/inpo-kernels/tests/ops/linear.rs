//! The linear map with its side path.

use inpo_kernels::{SidePath, linear};

use crate::check::{Input, compare};

const SHAPES: [[usize; 4]; 6] = [
    [1, 1, 1, 1],
    [3, 5, 2, 7],
    [70, 33, 4, 129],
    [300, 64, 16, 200],
    [257, 130, 1, 31],
    [600, 40, 140, 150],
];

#[test]
fn the_fused_map_is_the_plain_one() {
    for [rows, input, _, output] in SHAPES {
        let inputs = [
            Input::new([rows, input], 1, 1.0),
            Input::new([input, output], 2, 1.0),
        ];
        compare(inputs, 3e-6, |[x, weight]| linear(x, weight, None));
    }
}

#[test]
fn the_fused_side_path_is_the_plain_one() {
    for [rows, input, rank, output] in SHAPES {
        let inputs = [
            Input::new([rows, input], 1, 1.0),
            Input::new([input, output], 2, 1.0),
            Input::new([input, rank], 3, 1.0),
            Input::new([rank, output], 4, 1.0),
        ];
        compare(inputs, 3e-6, |[x, weight, a, b]| {
            linear(x, weight, Some(SidePath { a, b, scale: 0.75 }))
        });
    }
}

/// What is frozen gets no gradient, and what is trained the same one as when all is.
#[test]
fn only_trained_parts_get_a_gradient() {
    use burn::tensor::{Device, Tensor, TensorData};
    let device = Device::flex().autodiff();
    let matrix = |shape: [usize; 2], salt| {
        let values = Input::new(shape, salt, 1.0).values;
        Tensor::<2>::from_data(TensorData::new(values, shape), &device)
    };
    let [x, weight] = [matrix([5, 4], 1), matrix([4, 6], 2)];
    let [a, b] = [matrix([4, 2], 3), matrix([2, 6], 4)];
    let all = || [x.clone(), weight.clone(), a.clone(), b.clone()];
    let gradients = |trained: [bool; 4]| {
        let mut parts = all();
        for (part, trained) in parts.iter_mut().zip(trained) {
            if trained {
                *part = part.clone().require_grad();
            }
        }
        let [x, weight, a, b] = parts.clone();
        let out = linear(x, weight, Some(SidePath { a, b, scale: 2.0 }));
        let grads = (out.clone() * out).sum().backward();
        parts.map(|part| part.grad(&grads).map(|grad| grad.into_data()))
    };
    let full = gradients([true; 4]);
    for pattern in 1..16_u32 {
        let trained = [0, 1, 2, 3].map(|i| pattern >> i & 1 == 1);
        let got = gradients(trained);
        for i in 0..4 {
            match &got[i] {
                None => assert!(!trained[i]),
                Some(grad) => {
                    assert!(trained[i]);
                    assert_eq!(Some(grad), full[i].as_ref());
                }
            }
        }
    }
}
