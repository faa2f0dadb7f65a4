//! Looking up rows of a table.

use burn::tensor::{Device, Tensor};
use inpo_kernels::embedding;

use crate::check::{Input, compare, to_f64};

/// Ids in any order with repeats, rows of the table in several threads' ranges.
#[test]
fn the_fused_look_up_is_the_plain_one() {
    for (vocab, width, count) in [(1, 1, 3), (7, 5, 1), (1500, 33, 700), (2000, 576, 300)] {
        let ids: Vec<u32> = (0..count).map(|i| (i * i * 31 + 7) % vocab).collect();
        let table = Input::new([vocab as usize, width], 1, 1.0);
        compare([table], 1e-6, |[table]| embedding(table, &ids));
    }
}

#[test]
fn rows_and_their_sums_by_hand() {
    let device = Device::flex().autodiff();
    let table = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], &device);
    let table = table.require_grad();
    let out = embedding(table.clone(), &[2, 0, 2]);
    assert_eq!(to_f64(out.clone()), [5.0, 6.0, 1.0, 2.0, 5.0, 6.0]);
    let weights = Tensor::<2>::from_floats([[1.0, 2.0], [4.0, 8.0], [16.0, 32.0]], &device);
    let grads = (out * weights).sum().backward();
    let gradient = to_f64(table.grad(&grads).unwrap());
    assert_eq!(gradient, [4.0, 8.0, 0.0, 0.0, 17.0, 34.0]);
}

#[test]
fn a_frozen_table_is_read_without_a_graph() {
    let device = Device::flex().autodiff();
    let table = Tensor::<2>::ones([3, 2], &device);
    assert!(!embedding(table.clone(), &[1]).is_require_grad());
    assert_eq!(embedding(table, &[]).dims(), [0, 2]);
}

#[test]
#[should_panic(expected = "id 3 is not below 3, the number of rows of the embedding")]
fn an_id_beyond_the_table_is_refused() {
    let table = Tensor::<2>::ones([3, 2], &Device::flex());
    let _ = embedding(table, &[0, 3]);
}
