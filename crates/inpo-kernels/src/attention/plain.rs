//! Attention as products, an additive mask and a softmax, of groups padded to the longest.

use burn::tensor::{DType, Device, Int, Tensor, TensorData, activation::softmax};

use super::AttentionShape;
use crate::compiled::padded;
use crate::packed::PackedLayout;

/// What all layers share.
#[derive(Debug, Clone)]
pub(super) struct Tables {
    groups: usize,
    /// Rows of the longest group, or somewhat more where kernels are tuned for each length.
    longest: usize,
    /// `[groups * longest]`: the row of each place, any for padding.
    rows: Tensor<1, Int>,
    /// `[tokens]`: the place of each row.
    places: Tensor<1, Int>,
    /// `[groups, 1, longest, longest]`: 0 where a query may look, minus infinity elsewhere.
    bias: Tensor<4>,
}

impl Tables {
    pub(super) fn new(
        layout: &PackedLayout,
        shape: &AttentionShape,
        (device, dtype): (&Device, DType),
    ) -> Self {
        let groups = layout.groups().len();
        let longest = layout.groups().iter().map(|group| group.tokens()).max();
        let longest = padded(longest.unwrap_or(0), device, dtype);
        let window = shape.window.unwrap_or(usize::MAX);
        let square = longest * longest;
        let mut rows = vec![0; groups * longest];
        let mut places = vec![0; layout.tokens()];
        let mut bias = vec![f32::NEG_INFINITY; groups * square];
        // A place of padding sees the group's first one: a softmax of nothing would be NaN.
        for values in bias.chunks_exact_mut(longest.max(1)) {
            values[0] = 0.0;
        }
        let mut first = 0;
        for segment in layout.segments() {
            if segment.response.is_none() {
                first = segment.start;
            }
            let group = segment.group * longest;
            let own = segment.start - first;
            for token in 0..segment.tokens {
                let (row, place) = (segment.start + token, own + token);
                rows[group + place] = row;
                places[row] = group + place;
                let values = &mut bias[(group + place) * longest..][..longest];
                values[0] = f32::NEG_INFINITY;
                let position = segment.position + token;
                let from = (position + 1).saturating_sub(window);
                for seen in from..=position {
                    let place = if seen < segment.position {
                        seen
                    } else {
                        own + seen - segment.position
                    };
                    values[place] = 0.0;
                }
            }
        }
        let bias = TensorData::new(bias, [groups, 1, longest, longest]);
        Self {
            groups,
            longest,
            rows: index(rows, device),
            places: index(places, device),
            bias: Tensor::from_data(bias, (device, wide(dtype))),
        }
    }
}

/// The float type of the softmax: at least f32.
fn wide(dtype: DType) -> DType {
    match dtype {
        DType::F64 => DType::F64,
        _ => DType::F32,
    }
}

fn cast(tensor: Tensor<4>, dtype: DType) -> Tensor<4> {
    if tensor.dtype() == dtype {
        tensor
    } else {
        tensor.cast(dtype)
    }
}

fn index(values: Vec<usize>, device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.into_iter().map(|value| value as i32).collect();
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

pub(super) fn forward(
    shape: &AttentionShape,
    tables: &Tables,
    q: Tensor<2>,
    k: Tensor<2>,
    v: Tensor<2>,
) -> Tensor<2> {
    let [rows, width] = q.dims();
    if shape.tokens == 0 {
        return q.zeros_like();
    }
    let (groups, longest) = (tables.groups, tables.longest);
    let heads_of = |x: Tensor<2>, heads: usize| {
        x.select(0, tables.rows.clone())
            .reshape([groups, longest, heads, shape.head_dim])
            .swap_dims(1, 2)
    };
    // The queries of all heads that share keys lie one below the other: one product.
    let sharing = shape.heads / shape.kv_heads * longest;
    let q = heads_of(q.clone().mul_scalar(shape.scale), shape.heads).reshape([
        groups,
        shape.kv_heads,
        sharing,
        shape.head_dim,
    ]);
    let (k, v) = (heads_of(k, shape.kv_heads), heads_of(v, shape.kv_heads));
    let mut scores = q.matmul(k.swap_dims(2, 3));
    if let Some(cap) = shape.softcap {
        // Not a division: Burn's takes its derivative's factor in f32.
        scores = scores.mul_scalar(1.0 / cap).tanh().mul_scalar(cap);
    }
    let scores = scores.reshape([groups, shape.heads, longest, longest]);
    let dtype = scores.dtype();
    let scores = cast(scores, wide(dtype)) + tables.bias.clone();
    let weights = cast(softmax(scores, 3), dtype);
    let weights = weights.reshape([groups, shape.kv_heads, sharing, longest]);
    let out = weights
        .matmul(v)
        .reshape([groups, shape.heads, longest, shape.head_dim])
        .swap_dims(1, 2)
        .reshape([groups * longest, width])
        .select(0, tables.places.clone());
    if rows == shape.tokens {
        return out;
    }
    let padding = Tensor::zeros([rows - shape.tokens, width], (&out.device(), out.dtype()));
    Tensor::cat(vec![out, padding], 0)
}
