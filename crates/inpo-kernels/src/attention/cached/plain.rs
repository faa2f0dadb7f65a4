//! Attention over a cache composed of tensor operations, for any device and type.

use burn::tensor::{DType, Device, Int, Tensor, TensorData, activation::softmax};

use super::{CachedRow, CachedShape};
use crate::compiled::padded;

/// What the layers of a step share.
#[derive(Debug)]
pub(super) struct Tables {
    /// Prompt tokens and own slots that some row sees, or somewhat more where kernels are tuned for each length: what lies behind is
    /// left out.
    ends: [usize; 2],
    /// 0 where a row sees a prompt token or own slot, minus infinity elsewhere: `[rows, prompt tokens + slots]`.
    bias: Tensor<2>,
    grid: Grid,
}

/// The rows side by side with those of the same prompt, as many cells for each place.
#[derive(Debug)]
struct Grid {
    places: usize,
    cells: usize,
    /// The row of each cell, place after place, and the cell of each row; `None` where they lie like that.
    indices: Option<[Tensor<1, Int>; 2]>,
}

impl Tables {
    pub(super) fn new(rows: &[CachedRow], (device, dtype): (&Device, DType)) -> Self {
        let last = |ends: &mut dyn Iterator<Item = usize>| ends.max().unwrap_or(0);
        let own = |row: &CachedRow| row.own.clone().map(|run| run.end).into_iter().max();
        let ends = [
            last(&mut rows.iter().map(|row| row.prompt.end)),
            last(&mut rows.iter().filter_map(own)),
        ];
        let [tokens, slots] = ends.map(|end| padded(end, device, dtype));
        let of_row = |row: &CachedRow| {
            let mut bias = vec![f32::NEG_INFINITY; tokens + slots];
            bias[row.prompt.clone()].fill(0.0);
            for run in row.own.clone() {
                bias[tokens..][run].fill(0.0);
            }
            bias
        };
        let bias: Vec<f32> = rows.iter().flat_map(of_row).collect();
        let wide = (device, wide(dtype));
        Self {
            ends: [tokens, slots],
            bias: Tensor::from_data(TensorData::new(bias, [rows.len(), tokens + slots]), wide),
            grid: Grid::new(rows, device),
        }
    }
}

impl Grid {
    fn new(rows: &[CachedRow], device: &Device) -> Self {
        let places = rows.iter().map(|row| row.place + 1).max().unwrap_or(1);
        let mut of_place = vec![Vec::new(); places];
        let (at_home, anywhere): (Vec<_>, Vec<_>) =
            (0..rows.len()).partition(|&row| !rows[row].prompt.is_empty());
        for row in at_home {
            of_place[rows[row].place].push(row);
        }
        // A row that sees no prompt has weights of 0 wherever it is: it fills up the grid.
        for row in anywhere {
            let shortest = of_place.iter_mut().min_by_key(|rows| rows.len());
            shortest.expect("there is a place").push(row);
        }
        let cells = of_place.iter().map(Vec::len).max().unwrap_or(0);
        let mut cell_of = vec![0; rows.len()];
        let mut row_of = vec![0; places * cells];
        for (place, rows) in of_place.iter().enumerate() {
            for (number, &row) in rows.iter().enumerate() {
                cell_of[row] = (place * cells + number) as i32;
                row_of[place * cells + number] = row as i32;
            }
        }
        let in_order = row_of.len() == rows.len() && row_of.is_sorted();
        let index = |numbers: Vec<i32>| {
            let shape = [numbers.len()];
            Tensor::from_data(TensorData::new(numbers, shape), device)
        };
        let indices = (!in_order).then(|| [row_of, cell_of].map(index));
        Self {
            places,
            cells,
            indices,
        }
    }

    /// `[rows, kv_heads, sharing, n]` to `[places, kv_heads, cells * sharing, n]`.
    fn gather(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, heads, sharing, n] = x.dims();
        let x = match &self.indices {
            Some([row_of, _]) => x.select(0, row_of.clone()),
            None => x,
        };
        x.reshape([self.places, self.cells, heads, sharing * n])
            .swap_dims(1, 2)
            .reshape([self.places, heads, self.cells * sharing, n])
    }

    /// Back.
    fn scatter(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, heads, queries, n] = x.dims();
        let sharing = queries / self.cells;
        let x = x
            .reshape([self.places, heads, self.cells, sharing * n])
            .swap_dims(1, 2)
            .reshape([self.places * self.cells, heads, sharing, n]);
        match &self.indices {
            Some([_, cell_of]) => x.select(0, cell_of.clone()),
            None => x,
        }
    }
}

fn wide(dtype: DType) -> DType {
    match dtype {
        DType::F64 => DType::F64,
        _ => DType::F32,
    }
}

pub(super) fn forward(
    shape: &CachedShape,
    tables: &Tables,
    query: Tensor<2>,
    [prompt_keys, prompt_values]: [Tensor<4>; 2],
    own: [Tensor<4>; 2],
) -> Tensor<2> {
    let (dtype, grid) = (query.dtype(), &tables.grid);
    let tokens = tables.ends[0].min(prompt_keys.dims()[3]);
    let slots = tables.ends[1].min(own[0].dims()[2]);
    let (rows, heads, sharing) = (shape.rows, shape.kv_heads, shape.heads / shape.kv_heads);
    let [own_keys, own_values] = own.map(|x| x.narrow(2, 0, slots));
    let query = query
        .mul_scalar(shape.scale)
        .reshape([rows, heads, sharing, shape.head_dim]);
    let mut scores = query.clone().matmul(own_keys.swap_dims(2, 3));
    if tokens > 0 {
        let keys = prompt_keys.narrow(0, 0, grid.places).narrow(3, 0, tokens);
        let of_prompt = grid.scatter(grid.gather(query).matmul(keys));
        scores = Tensor::cat(vec![of_prompt, scores], 3);
    }
    if let Some(cap) = shape.softcap {
        scores = scores.div_scalar(cap).tanh().mul_scalar(cap);
    }
    let mut bias = tables.bias.clone();
    if tables.ends != [tokens, slots] {
        // The caches are shorter than the padded ends.
        let parts = [(0, tokens), (tables.ends[0], slots)].into_iter();
        let parts = parts.filter(|&(_, count)| count > 0);
        let parts = parts.map(|(first, count)| bias.clone().narrow(1, first, count));
        bias = Tensor::cat(parts.collect(), 1);
    }
    let bias = bias.reshape([rows, 1, 1, tokens + slots]);
    let wide = wide(dtype);
    let weights = softmax(scores.cast(wide) + bias, 3).cast(dtype);
    // The two parts are added before they are rounded, as where keys lie in one piece.
    let weights = weights.cast(wide);
    let own_weights = weights.clone().narrow(3, tokens, slots);
    let mut mixed = own_weights.matmul(own_values.cast(wide));
    if tokens > 0 {
        let values = prompt_values.narrow(0, 0, grid.places).narrow(2, 0, tokens);
        let weights = grid.gather(weights.narrow(3, 0, tokens));
        mixed = mixed + grid.scatter(weights.matmul(values.cast(wide)));
    }
    mixed
        .cast(dtype)
        .reshape([rows, shape.heads * shape.head_dim])
}
