//! Attention of one new token a row over a cache of keys and values.

use burn::tensor::{DType, Tensor, activation::softmax};

/// Grouped-query attention (arXiv 2305.13245) of one token a row over the row's cache.
///
/// For query head `h` of a row, with the keys and values of head `h / (heads / kv_heads)`,
///
/// ```text
/// out = sum_j softmax_j(cap(scale * q . k_j) + bias_j) v_j,    cap(s) = softcap * tanh(s / softcap)
/// ```
///
/// over the slots `j` of the cache; without `softcap`, `cap(s) = s`. Queries of heads that share keys go through one product,
/// so that keys and values are never repeated. The softmax of half precision is in f32, as in a packed batch.
///
/// # Shapes
///
/// `query` and the result `[rows, heads * head_dim]`, keys and values `[rows, kv_heads, slots, head_dim]`, `bias`
/// `[rows, slots]` in f32 (f64 for tensors in f64): minus infinity where a row has no token, but not in all its slots.
///
/// # Panics
///
/// If the shapes do not fit each other.
pub fn cached_attention(
    query: Tensor<2>,
    [keys, values]: [Tensor<4>; 2],
    bias: Tensor<2>,
    scale: f64,
    softcap: Option<f64>,
) -> Tensor<2> {
    let ([rows, width], [of_keys, heads, slots, head_dim]) = (query.dims(), keys.dims());
    assert!(
        of_keys == rows
            && values.dims() == keys.dims()
            && bias.dims() == [rows, slots]
            && head_dim > 0
            && heads > 0
            && width.is_multiple_of(heads * head_dim),
        "queries {:?}, keys {:?}, values {:?} and a bias {:?}",
        query.dims(),
        keys.dims(),
        values.dims(),
        bias.dims()
    );
    #[cfg(feature = "flex")]
    {
        use crate::flex::takes_without_autodiff as takes;
        if takes(&query) && takes(&keys) && takes(&values) && takes(&bias) {
            return fused::attend(query, [keys, values], bias, scale, softcap);
        }
    }
    plain(query, [keys, values], bias, scale, softcap)
}

fn plain(
    query: Tensor<2>,
    [keys, values]: [Tensor<4>; 2],
    bias: Tensor<2>,
    scale: f64,
    softcap: Option<f64>,
) -> Tensor<2> {
    let ([rows, width], [_, heads, slots, head_dim]) = (query.dims(), keys.dims());
    let dtype = query.dtype();
    let shape = [rows, heads, width / (heads * head_dim), head_dim];
    let query = query.mul_scalar(scale).reshape(shape);
    let mut scores = query.matmul(keys.swap_dims(2, 3));
    if let Some(cap) = softcap {
        scores = scores.div_scalar(cap).tanh().mul_scalar(cap);
    }
    let wide = match dtype {
        DType::F64 => DType::F64,
        _ => DType::F32,
    };
    let scores = scores.cast(wide) + bias.reshape([rows, 1, 1, slots]);
    let weights = softmax(scores, 3).cast(dtype);
    weights.matmul(values).reshape([rows, width])
}

#[cfg(feature = "flex")]
mod fused {
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Backend, Dispatch, Flex, backend_extension};
    use burn::tensor::Tensor;
    use rayon::prelude::*;

    use pulp::{Arch, Simd, WithSimd};

    use crate::flex::vector::{exponentials, tanh};
    use crate::flex::{FlexFloat, contiguous, dims2, tensor, values};

    /// Numbers of keys from which on the rows are split among threads.
    const PARALLEL_FROM: usize = 1 << 16;
    /// Slots whose values are added together.
    const ABREAST: usize = 4;

    #[backend_extension(Flex)]
    pub(super) trait CachedAttentionOps: Backend {
        fn cached_attention(
            query: FloatTensor<Self>,
            keys: FloatTensor<Self>,
            values: FloatTensor<Self>,
            bias: FloatTensor<Self>,
            scale: f32,
            softcap: Option<f32>,
        ) -> FloatTensor<Self>;
    }

    pub(super) fn attend(
        query: Tensor<2>,
        [keys, values]: [Tensor<4>; 2],
        bias: Tensor<2>,
        scale: f64,
        softcap: Option<f64>,
    ) -> Tensor<2> {
        let [query, bias] = [query, bias].map(Tensor::into_dispatch);
        let [keys, values] = [keys, values].map(Tensor::into_dispatch);
        Tensor::from_dispatch(<Dispatch as CachedAttentionOps>::cached_attention(
            query,
            keys,
            values,
            bias,
            scale as f32,
            softcap.map(|cap| cap as f32),
        ))
    }

    impl CachedAttentionOps for Flex {
        fn cached_attention(
            query: FlexFloat,
            keys: FlexFloat,
            values_: FlexFloat,
            bias: FlexFloat,
            scale: f32,
            softcap: Option<f32>,
        ) -> FlexFloat {
            let [rows, width] = dims2(&query);
            let (query, bias) = (contiguous(&query), contiguous(&bias));
            let [keys, values_] = [keys, values_].map(in_rows);
            let (keys, values_) = (Cache::new(&keys), Cache::new(&values_));
            let [_, heads, slots, _] = keys.shape;
            let of_head = width / heads;
            let mut out = vec![0.0; rows * width];
            let (query, bias) = (values(&query), values(&bias));
            let one = |(place, out): (usize, &mut [f32])| {
                let (row, head) = (place / heads, place % heads);
                let query = &query[place * of_head..][..of_head];
                let bias = &bias[row * slots..][..slots];
                Arch::new().dispatch(HeadOfARow {
                    out,
                    query,
                    keys: keys.of(row, head),
                    values: values_.of(row, head),
                    bias,
                    scale,
                    softcap,
                });
            };
            match rows * heads * slots * keys.shape[3] >= PARALLEL_FROM {
                true => out.par_chunks_mut(of_head).enumerate().for_each(one),
                false => out.chunks_mut(of_head).enumerate().for_each(one),
            }
            tensor(out, [rows, width])
        }
    }

    /// `cache` with the numbers of a slot one after the other, as they lie in all but odd cases.
    fn in_rows(cache: FlexFloat) -> FlexFloat {
        match cache.layout().strides()[3] == 1 {
            true => cache,
            false => contiguous(&cache),
        }
    }

    /// Keys or values, `[rows, heads, slots, width]`.
    #[derive(Clone, Copy)]
    struct Cache<'a> {
        values: &'a [f32],
        shape: [usize; 4],
        strides: [usize; 3],
    }

    impl<'a> Cache<'a> {
        fn new(tensor: &'a FlexFloat) -> Self {
            let layout = tensor.layout();
            let (shape, strides) = (layout.shape(), layout.strides());
            let stride = |axis: usize| usize::try_from(strides[axis]).expect("no axis is reversed");
            Self {
                values: &tensor.storage::<f32>()[layout.start_offset()..],
                shape: [0, 1, 2, 3].map(|axis| shape[axis]),
                strides: [0, 1, 2].map(stride),
            }
        }

        /// The slots of a head.
        fn of(self, row: usize, head: usize) -> Slots<'a> {
            let [of_row, of_head, stride] = self.strides;
            Slots {
                values: &self.values[row * of_row + head * of_head..],
                stride,
                width: self.shape[3],
            }
        }
    }

    #[derive(Clone, Copy)]
    struct Slots<'a> {
        values: &'a [f32],
        stride: usize,
        width: usize,
    }

    impl<'a> Slots<'a> {
        #[inline(always)]
        fn at(self, slot: usize) -> &'a [f32] {
            &self.values[slot * self.stride..][..self.width]
        }
    }

    /// The queries of one row that share a key head, one after the other in `query` and `out`.
    struct HeadOfARow<'a> {
        out: &'a mut [f32],
        query: &'a [f32],
        keys: Slots<'a>,
        values: Slots<'a>,
        bias: &'a [f32],
        scale: f32,
        softcap: Option<f32>,
    }

    impl WithSimd for HeadOfARow<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let (keys, values, bias) = (self.keys, self.values, self.bias);
            let width = keys.width;
            let mut scores = vec![0.0_f32; bias.len()];
            let mut weights = vec![0.0_f32; bias.len()];
            let queries = self.query.chunks_exact(width);
            for (out, query) in self.out.chunks_exact_mut(width).zip(queries) {
                for (slot, score) in scores.iter_mut().enumerate() {
                    *score = self.scale * dot(simd, query, keys.at(slot));
                }
                if let Some(cap) = self.softcap {
                    for score in &mut scores {
                        *score = cap * tanh(*score / cap);
                    }
                }
                for (score, bias) in scores.iter_mut().zip(bias) {
                    *score += bias;
                }
                let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let total = exponentials(&scores, largest, 1.0, &mut weights);
                let inverse = (1.0 / total) as f32;
                for weight in &mut weights {
                    *weight *= inverse;
                }
                let (fours, rest) = weights.as_chunks::<ABREAST>();
                for (four, &weights) in fours.iter().enumerate() {
                    let values = [0, 1, 2, 3].map(
                        #[inline(always)]
                        |i| values.at(four * ABREAST + i),
                    );
                    add(simd, out, weights, values);
                }
                for (slot, &weight) in rest.iter().enumerate() {
                    let value = values.at(fours.len() * ABREAST + slot);
                    add(simd, out, [weight], [value]);
                }
            }
        }
    }

    /// `out += sum_i weight_i value_i`, one term after the other.
    #[inline(always)]
    fn add<S: Simd, const N: usize>(
        simd: S,
        out: &mut [f32],
        weights: [f32; N],
        values: [&[f32]; N],
    ) {
        let (out, out_rest) = S::as_mut_simd_f32s(out);
        for (place, out) in out.iter_mut().enumerate() {
            let mut sum = *out;
            for (&weight, values) in weights.iter().zip(&values) {
                let (values, _) = S::as_simd_f32s(values);
                sum = simd.mul_add_f32s(simd.splat_f32s(weight), values[place], sum);
            }
            *out = sum;
        }
        for (&weight, values) in weights.iter().zip(&values) {
            let (_, values) = S::as_simd_f32s(values);
            for (out, &value) in out_rest.iter_mut().zip(values) {
                *out = weight.mul_add(value, *out);
            }
        }
    }

    /// `sum a_i b_i`, in as many sums as a vector has numbers.
    #[inline(always)]
    fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
        let ((a, a_rest), (b, b_rest)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
        let mut sums = simd.splat_f32s(0.0);
        for (&a, &b) in a.iter().zip(b) {
            sums = simd.mul_add_f32s(a, b, sums);
        }
        let rest = a_rest.iter().zip(b_rest);
        let mut sum = simd.reduce_sum_f32s(sums);
        for (&a, &b) in rest {
            sum = a.mul_add(b, sum);
        }
        sum
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    /// The fused form against the composition in f64: odd widths, groups of one to four, a cap, hidden slots, views of a
    /// larger cache, sizes on both sides of the parallel limit.
    #[test]
    fn fused_attention_over_a_cache_is_the_composition() {
        let device = Device::flex();
        let value =
            |i: usize, salt: usize| ((i * 7919 + salt * 104_729) % 4001) as f64 / 2000.5 - 1.0;
        for (rows, heads, group, slots, width, softcap) in [
            (1, 1, 1, 1, 4, None),
            (3, 2, 3, 7, 20, Some(2.0)),
            (5, 3, 2, 19, 16, None),
            (9, 3, 4, 33, 64, Some(0.5)),
            (40, 2, 1, 21, 48, None),
        ] {
            let numbers = |count: usize, salt: usize| (0..count).map(move |i| value(i, salt));
            let make = |dtype: DType| {
                let tensor = |values: Vec<f64>, shape: Vec<usize>| {
                    let data = TensorData::new(values, shape);
                    data.convert_dtype(dtype)
                };
                let options = (&device, dtype);
                let queries = rows * heads * group * width;
                let query = numbers(queries, 1).map(|v| 3.0 * v).collect();
                let query = tensor(query, vec![rows, heads * group * width]);
                let kept = slots + 3;
                let cache = |salt| {
                    let all = numbers(rows * heads * kept * width, salt).collect();
                    let all = tensor(all, vec![rows, heads, kept, width]);
                    Tensor::<4>::from_data(all, options).narrow(2, 2, slots)
                };
                let hidden = |i: usize| i % slots < (i / slots) % slots;
                let bias = |i: usize| {
                    if hidden(i) {
                        f64::NEG_INFINITY
                    } else {
                        value(i, 4)
                    }
                };
                let bias = tensor((0..rows * slots).map(bias).collect(), vec![rows, slots]);
                let (query, bias) = (
                    Tensor::<2>::from_data(query, options),
                    Tensor::<2>::from_data(bias, options),
                );
                let out = cached_attention(query, [cache(2), cache(3)], bias, 0.4, softcap);
                out.try_into_vec_as::<f64>().unwrap()
            };
            let (got, expected) = (make(DType::F32), make(DType::F64));
            for (place, (got, expected)) in got.iter().zip(&expected).enumerate() {
                let error = (got - expected).abs();
                assert!(
                    error < 2e-6,
                    "{rows} {heads} {group} {slots} {width}, {place}: {error}"
                );
            }
        }
    }
}
