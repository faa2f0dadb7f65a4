use burn::tensor::{DType, Device, TensorData};

use super::*;

fn value(i: usize, salt: usize) -> f64 {
    ((i * 7919 + salt * 104_729) % 4001) as f64 / 2000.5 - 1.0
}

/// Sizes of a case.
#[derive(Debug, Clone, Copy)]
struct Case {
    places: usize,
    heads: usize,
    sharing: usize,
    width: usize,
    tokens: usize,
    slots: usize,
    softcap: Option<f64>,
}

const SCALE: f64 = 0.4;

impl Case {
    /// Five rows of each place in turns, with prompts and own slots of all lengths; some see no prompt, some two runs.
    fn rows(&self) -> Vec<CachedRow> {
        let row = |number: usize| {
            let place = number % self.places;
            let length = self.tokens - place * 5 % self.tokens;
            let middle = number * 3 % self.slots;
            CachedRow {
                place,
                prompt: match number % 4 {
                    3 => 0..0,
                    _ => place.min(length - 1)..length,
                },
                own: match number % 3 {
                    0 => [0..self.slots, 0..0],
                    1 => [middle..middle + 1, 0..0],
                    _ => [middle..self.slots, 0..middle],
                },
            }
        };
        (0..5 * self.places).map(row).collect()
    }

    fn query(&self, row: usize) -> Vec<f64> {
        let width = self.heads * self.sharing * self.width;
        (0..width)
            .map(|i| 3.0 * value(row * width + i, 1))
            .collect()
    }

    fn key(&self, place: usize, head: usize, token: usize, d: usize) -> f64 {
        value(
            ((place * self.heads + head) * self.tokens + token) * self.width + d,
            2,
        )
    }

    fn own(&self, row: usize, head: usize, slot: usize, d: usize) -> f64 {
        value(
            ((row * self.heads + head) * self.slots + slot) * self.width + d,
            5,
        )
    }

    /// The values are the keys times 1/2 minus 1/8.
    fn as_value(key: f64) -> f64 {
        0.5 * key - 0.125
    }

    /// The result by `attention` of some of the rows, each `(its number, itself)`.
    fn run(&self, rows: &[(usize, CachedRow)], dtype: DType) -> Vec<f64> {
        let device = Device::flex();
        let options = (&device, dtype);
        let tensor = |values: Vec<f64>, shape: [usize; 4]| {
            let data = TensorData::new(values, shape.to_vec()).convert_dtype(dtype);
            Tensor::<4>::from_data(data, options)
        };
        let cached: Vec<CachedRow> = rows.iter().map(|(_, row)| row.clone()).collect();
        let heads = AttentionHeads {
            heads: self.heads * self.sharing,
            kv_heads: self.heads,
            head_dim: self.width,
            scale: SCALE,
            softcap: self.softcap,
        };
        let attention = CachedAttention::new(&cached, &heads, &device, dtype);
        let query: Vec<f64> = rows.iter().flat_map(|&(row, _)| self.query(row)).collect();
        let query_width = query.len() / rows.len();
        let query =
            tensor(query, [1, 1, rows.len(), query_width]).reshape([rows.len(), query_width]);
        // One prompt token and one slot more than anybody sees.
        let (tokens, slots) = (self.tokens + 1, self.slots + 1);
        let all = |shape: [usize; 4], number: &dyn Fn([usize; 4]) -> f64| {
            let [_, b, c, d] = shape;
            let at = |i: usize| [i / (b * c * d), i / (c * d) % b, i / d % c, i % d];
            let count = shape.iter().product();
            tensor((0..count).map(|i| number(at(i))).collect(), shape)
        };
        let key = |place, head, token, d| {
            if token < self.tokens {
                self.key(place, head, token, d)
            } else {
                100.0
            }
        };
        let own = |row: usize, head, slot, d| {
            if slot < self.slots {
                self.own(rows[row].0, head, slot, d)
            } else {
                100.0
            }
        };
        let (places, heads, width) = (self.places, self.heads, self.width);
        let prompts = [
            all([places, heads, width, tokens], &|[p, h, d, t]| {
                key(p, h, t, d)
            }),
            all([places, heads, tokens, width], &|[p, h, t, d]| {
                Self::as_value(key(p, h, t, d))
            }),
        ];
        let own_shape = [rows.len(), heads, slots, width];
        let own = [
            all(own_shape, &|[r, h, s, d]| own(r, h, s, d)),
            all(own_shape, &|[r, h, s, d]| Self::as_value(own(r, h, s, d))),
        ];
        let own = own.map(|own| own.narrow(2, 0, self.slots));
        let out = attention.forward(query, prompts, own);
        out.try_into_vec_as::<f64>().unwrap()
    }

    /// The formula, number by number in f64.
    fn expected(&self, number: usize, row: &CachedRow) -> Vec<f64> {
        let query = self.query(number);
        let mut out = Vec::new();
        for (i, query) in query.chunks_exact(self.width).enumerate() {
            let head = i / self.sharing;
            let of_prompt = row.prompt.clone().map(|token| {
                let key = move |d| self.key(row.place, head, token, d);
                (0..self.width).map(key).collect::<Vec<f64>>()
            });
            let of_row = row.own.iter().cloned().flatten().map(|slot| {
                let key = move |d| self.own(number, head, slot, d);
                (0..self.width).map(key).collect::<Vec<f64>>()
            });
            let keys: Vec<Vec<f64>> = of_prompt.chain(of_row).collect();
            let weight = |key: &Vec<f64>| {
                let score: f64 = SCALE * key.iter().zip(query).map(|(k, q)| k * q).sum::<f64>();
                match self.softcap {
                    Some(cap) => (cap * (score / cap).tanh()).exp(),
                    None => score.exp(),
                }
            };
            let weights: Vec<f64> = keys.iter().map(weight).collect();
            let total: f64 = weights.iter().sum();
            out.extend((0..self.width).map(|d| {
                let terms = keys.iter().zip(&weights);
                terms
                    .map(|(key, w)| w / total * Self::as_value(key[d]))
                    .sum::<f64>()
            }));
        }
        out
    }
}

/// Widths that are no multiple of a vector, tokens and slots of any number, groups of one to four, sizes on both sides
/// of the parallel limit.
fn cases() -> impl Iterator<Item = Case> {
    let sizes = [
        ([1, 1, 1, 4, 1, 1], None),
        ([3, 2, 3, 20, 7, 5], Some(2.0)),
        ([2, 3, 2, 16, 33, 19], None),
        ([4, 3, 4, 64, 65, 33], Some(0.5)),
        ([9, 2, 1, 48, 31, 20], None),
    ];
    sizes.into_iter().map(
        |([places, heads, sharing, width, tokens, slots], softcap)| Case {
            places,
            heads,
            sharing,
            width,
            tokens,
            slots,
            softcap,
        },
    )
}

/// Both forms, in f32 (fused) and f64 (composed).
#[test]
fn both_forms_are_the_formula() {
    for case in cases() {
        let rows: Vec<_> = case.rows().into_iter().enumerate().collect();
        let expected = rows.iter().flat_map(|(n, row)| case.expected(*n, row));
        let expected: Vec<f64> = expected.collect();
        for (dtype, tolerance) in [(DType::F32, 2e-6), (DType::F64, 1e-13)] {
            let got = case.run(&rows, dtype);
            assert_eq!(got.len(), expected.len());
            for (place, (got, expected)) in got.iter().zip(&expected).enumerate() {
                let error = (got - expected).abs();
                assert!(error < tolerance, "{case:?} {dtype:?}, {place}: {error}");
            }
        }
    }
}

/// To the bit: each row alone, and all of them the other way round.
#[test]
fn a_row_does_not_depend_on_the_others() {
    for case in cases() {
        let rows: Vec<_> = case.rows().into_iter().enumerate().collect();
        let all = case.run(&rows, DType::F32);
        let width = all.len() / rows.len();
        let reversed: Vec<_> = rows.iter().rev().cloned().collect();
        let reversed = case.run(&reversed, DType::F32);
        for (row, expected) in rows.iter().zip(all.chunks_exact(width)) {
            let alone = case.run(std::slice::from_ref(row), DType::F32);
            assert_eq!(alone, expected, "{case:?}, {row:?}");
            let place = rows.len() - 1 - row.0;
            assert_eq!(&reversed[place * width..][..width], expected, "{case:?}");
        }
    }
}
