//! The rotation of rotary position embedding.

use burn::tensor::{Device, Tensor, TensorData};
use inpo_kernels::rotate;

use crate::check::{Input, compare, to_f64};

/// A table like `x` in device and type, of any values: the rotation takes its tables as they are.
fn table(x: &Tensor<2>, shape: [usize; 2], salt: u64) -> Tensor<2> {
    let data = TensorData::new(Input::new(shape, salt, 1.0).values, shape);
    Tensor::from_data(data, (&x.device(), x.dtype()))
}

#[test]
fn the_fused_rotation_is_the_plain_one() {
    for (rows, heads, head_dim) in [
        (1, 1, 2),
        (3, 2, 6),
        (7, 3, 64),
        (130, 9, 64),
        (5, 1, 40000),
    ] {
        let tables = [rows, head_dim];
        compare(
            [Input::new([rows, heads * head_dim], 1, 3.0)],
            1e-6,
            |[x]| {
                let (cos, sin) = (table(&x, tables, 2), table(&x, tables, 3));
                rotate(x, cos, sin)
            },
        );
    }
}

/// A quarter turn of (1, 2) is (-2, 1); of two heads, each turns by itself: (1, 3), (2, 4) as pairs of
/// a head of width 4 become (-3, 1), (-4, 2).
#[test]
fn a_quarter_turn_by_hand() {
    let device = Device::flex();
    let x = Tensor::<2>::from_floats([[1.0, 2.0, 3.0, 5.0]], &device);
    let cos = Tensor::<2>::from_floats([[0.0, 0.0]], &device);
    let sin = Tensor::<2>::from_floats([[-1.0, 1.0]], &device);
    assert_eq!(to_f64(rotate(x, cos, sin)), [-2.0, 1.0, -5.0, 3.0]);

    let x = Tensor::<2>::from_floats([[1.0, 2.0, 3.0, 4.0]], &device);
    let cos = Tensor::<2>::zeros([1, 4], &device);
    let sin = Tensor::<2>::from_floats([[-1.0, -1.0, 1.0, 1.0]], &device);
    assert_eq!(to_f64(rotate(x, cos, sin)), [-3.0, -4.0, 1.0, 2.0]);
}

/// The input is turned in place only when nobody else holds it.
#[test]
fn the_input_is_kept_where_it_is_shared() {
    let device = Device::flex();
    let x = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0]], &device);
    let cos = Tensor::<2>::zeros([2, 2], &device);
    let sin = Tensor::<2>::from_floats([[-1.0, 1.0], [-1.0, 1.0]], &device);
    let turned = rotate(x.clone(), cos.clone(), sin.clone());
    assert_eq!(to_f64(turned), [-2.0, 1.0, -4.0, 3.0]);
    assert_eq!(to_f64(x.clone()), [1.0, 2.0, 3.0, 4.0]);
    // A view of the second row alone.
    let (x, cos, sin) = (x.narrow(0, 1, 1), cos.narrow(0, 1, 1), sin.narrow(0, 1, 1));
    assert_eq!(to_f64(rotate(x, cos, sin)), [-4.0, 3.0]);
}

/// Tables of a tracked graph are still constants.
#[test]
fn tables_get_no_gradient() {
    let device = Device::flex().autodiff();
    let x = Tensor::<2>::ones([1, 2], &device).require_grad();
    let cos = Tensor::<2>::ones([1, 2], &device).require_grad();
    let sin = Tensor::<2>::zeros([1, 2], &device).require_grad();
    let grads = rotate(x.clone(), cos.clone(), sin.clone()).sum().backward();
    assert_eq!(to_f64(x.grad(&grads).unwrap()), [1.0, 1.0]);
    assert!(cos.grad(&grads).is_none() && sin.grad(&grads).is_none());
}

/// `rotate` of ones of these shapes, values and both tables.
fn rotate_ones(shapes: [[usize; 2]; 3]) {
    let [x, cos, sin] = shapes.map(|shape| Tensor::<2>::ones(shape, &Device::flex()));
    let _ = rotate(x, cos, sin);
}

#[test]
#[should_panic(expected = "tables [2, 4] and [2, 4] for rows [3, 8]")]
fn too_few_positions_are_refused() {
    rotate_ones([[3, 8], [2, 4], [2, 4]]);
}

#[test]
#[should_panic(expected = "tables [3, 4] and [3, 2] for rows [3, 8]")]
fn tables_of_different_widths_are_refused() {
    rotate_ones([[3, 8], [3, 4], [3, 2]]);
}

#[test]
#[should_panic(expected = "tables [3, 6] and [3, 6] for rows [3, 8]")]
fn heads_that_do_not_fit_are_refused() {
    rotate_ones([[3, 8], [3, 6], [3, 6]]);
}

/// Nothing turns the middle of a head of width 3.
#[test]
#[should_panic(expected = "tables [3, 3] and [3, 3] for rows [3, 9]")]
fn odd_heads_are_refused() {
    rotate_ones([[3, 9], [3, 3], [3, 3]]);
}
