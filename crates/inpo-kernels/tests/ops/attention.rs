//! Attention over packed sequences.

use burn::tensor::{DType, Device, Tensor, TensorData};
use inpo_kernels::{AttentionHeads, PackedAttention, PackedGroup, PackedLayout};

use crate::check::{Input, compare, run, to_f64};

/// Attention of one shape over one layout.
#[derive(Debug, Clone)]
struct Case {
    groups: Vec<(usize, Vec<usize>)>,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    scale: f64,
    softcap: Option<f64>,
    window: Option<usize>,
    padding: usize,
}

impl Case {
    fn new(groups: &[(usize, &[usize])], [heads, kv_heads, head_dim]: [usize; 3]) -> Self {
        Self {
            groups: groups.iter().map(|(p, r)| (*p, r.to_vec())).collect(),
            heads,
            kv_heads,
            head_dim,
            scale: 1.0 / (head_dim as f64).sqrt(),
            softcap: None,
            window: None,
            padding: 0,
        }
    }

    fn layout(&self) -> PackedLayout {
        let group = |(prompt, responses): &(usize, Vec<usize>)| PackedGroup {
            prompt: *prompt,
            responses: responses.clone(),
        };
        PackedLayout::new(self.groups.iter().map(group).collect())
    }

    fn inputs(&self, size: f64) -> [Input; 3] {
        let rows = self.layout().tokens() + self.padding;
        let width = |heads| [rows, heads * self.head_dim];
        [
            Input::new(width(self.heads), 1, size),
            Input::new(width(self.kv_heads), 2, size),
            Input::new(width(self.kv_heads), 3, 1.0),
        ]
    }

    /// The operation under test, for tensors on `device`.
    fn attention(&self, device: &Device, dtype: DType) -> PackedAttention {
        let heads = AttentionHeads {
            heads: self.heads,
            kv_heads: self.kv_heads,
            head_dim: self.head_dim,
            scale: self.scale,
            softcap: self.softcap,
        };
        PackedAttention::new(&self.layout(), &heads, self.window, device, dtype)
    }

    fn attend(&self, [q, k, v]: [Tensor<2>; 3]) -> Tensor<2> {
        let attention = self.attention(&q.device(), q.dtype());
        attention.forward(q, k, v)
    }

    /// For each token the tokens that it sees, written down from the definition.
    fn seen(&self) -> Vec<Vec<usize>> {
        let mut all = Vec::new();
        let mut start = 0;
        for (prompt, responses) in &self.groups {
            let prompt: Vec<usize> = (start..start + prompt).collect();
            for token in 0..prompt.len() {
                all.push(prompt[..=token].to_vec());
            }
            start += prompt.len();
            for &tokens in responses {
                for token in 0..tokens {
                    let mut seen = prompt.clone();
                    seen.extend(start..=start + token);
                    all.push(seen);
                }
                start += tokens;
            }
        }
        if let Some(window) = self.window {
            for seen in &mut all {
                let beyond = seen.len().saturating_sub(window);
                seen.drain(..beyond);
            }
        }
        all
    }

    /// The definition, in f64 on the host.
    fn expected(&self, [q, k, v]: &[Input; 3]) -> Vec<f64> {
        let dim = self.head_dim;
        let mut out = vec![0.0; q.values.len()];
        for (token, seen) in self.seen().into_iter().enumerate() {
            for head in 0..self.heads {
                let shared = head / (self.heads / self.kv_heads);
                let query = token * q.shape[1] + head * dim;
                let key = |other: usize| other * k.shape[1] + shared * dim;
                let score = |&other: &usize| {
                    let product = |d: usize| q.values[query + d] * k.values[key(other) + d];
                    let score = self.scale * (0..dim).map(product).sum::<f64>();
                    match self.softcap {
                        Some(cap) => cap * (score / cap).tanh(),
                        None => score,
                    }
                };
                let scores: Vec<f64> = seen.iter().map(score).collect();
                let max = scores.iter().copied().fold(f64::MIN, f64::max);
                let sum: f64 = scores.iter().map(|score| (score - max).exp()).sum();
                for (score, &other) in scores.iter().zip(&seen) {
                    let weight = (score - max).exp() / sum;
                    for d in 0..dim {
                        out[query + d] += weight * v.values[key(other) + d];
                    }
                }
            }
        }
        out
    }
}

fn close(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!((g - e).abs() <= tolerance, "{i}: {g}, expected {e}");
    }
}

/// Groups with and without prompt, with 0 to 5 responses, one of them empty.
fn mixed() -> Case {
    let groups: &[(usize, &[usize])] = &[
        (7, &[1, 33]),
        (0, &[5, 1]),
        (12, &[]),
        (1, &[1]),
        (3, &[4, 0, 2, 9, 1]),
    ];
    Case::new(groups, [6, 2, 5])
}

fn with(case: &Case, window: Option<usize>, softcap: Option<f64>) -> Case {
    Case {
        window,
        softcap,
        ..case.clone()
    }
}

#[test]
fn the_plain_and_the_fused_one_are_the_definition() {
    let case = Case {
        padding: 3,
        ..mixed()
    };
    let cases = [
        case.clone(),
        with(&case, Some(1), None),
        with(&case, Some(6), None),
        with(&case, None, Some(0.7)),
        with(&case, Some(9), Some(2.0)),
    ];
    for case in cases {
        let inputs = case.inputs(2.0);
        let expected = case.expected(&inputs);
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 3e-6)] {
            let got = run(&inputs, dtype, false, &|tensors| case.attend(tensors));
            close(&got[0], &expected, tolerance);
        }
    }
}

/// Derivatives of the definition by central differences, for some entries of every input.
#[test]
fn the_plain_gradients_are_those_of_the_definition() {
    let small = Case::new(&[(3, &[2, 3]), (2, &[])], [4, 2, 3]);
    for case in [small.clone(), with(&small, Some(3), Some(1.5))] {
        let inputs = case.inputs(2.0);
        let got = run(&inputs, DType::F64, false, &|tensors| case.attend(tensors));
        // The weights that `run` gives the outputs.
        let weights = Input::new(inputs[0].shape, 77, 1.0);
        let loss = |inputs: &[Input; 3]| -> f64 {
            let out = case.expected(inputs);
            out.iter().zip(&weights.values).map(|(o, w)| o * w).sum()
        };
        let step = 1e-5;
        for (input, grads) in got[1..].iter().enumerate() {
            for (entry, &got) in grads.iter().enumerate() {
                let at = |offset: f64| {
                    let mut moved = inputs.clone();
                    moved[input].values[entry] += offset;
                    loss(&moved)
                };
                let expected = (at(step) - at(-step)) / (2.0 * step);
                assert!(
                    (got - expected).abs() < 2e-9,
                    "input {input}, entry {entry}: {got}, expected {expected}"
                );
            }
        }
    }
}

#[test]
fn the_fused_one_is_the_plain_one() {
    let lengths: [&[(usize, &[usize])]; 7] = [
        &[(1, &[])],
        &[(0, &[1, 7])],
        &[(7, &[33, 1]), (33, &[])],
        &[(129, &[7, 33]), (1, &[1])],
        &[(33, &[200, 129, 1, 7, 33])],
        &[(200, &[])],
        &[(0, &[129]), (0, &[]), (200, &[129, 7])],
    ];
    let shapes = [[9, 3, 64], [4, 4, 5], [6, 1, 2], [4, 2, 80]];
    for (number, groups) in lengths.into_iter().enumerate() {
        for (other, shape) in shapes.into_iter().enumerate() {
            let mut case = Case::new(groups, shape);
            case.padding = (number + other) % 3;
            compare(case.inputs(2.0), 2e-6, |tensors| case.attend(tensors));
        }
    }
}

/// Long enough for several blocks of keys, whose softmax is put together from parts.
#[test]
fn long_sequences_are_the_plain_ones() {
    let case = Case::new(&[(300, &[310]), (0, &[700])], [3, 1, 8]);
    for case in [
        case.clone(),
        with(&case, Some(290), None),
        with(&case, Some(17), Some(3.0)),
    ] {
        compare(case.inputs(3.0), 3e-6, |tensors| case.attend(tensors));
    }
}

#[test]
fn windows_and_caps_are_the_plain_ones() {
    for window in [None, Some(1), Some(5), Some(64), Some(1000)] {
        for softcap in [None, Some(0.5), Some(20.0)] {
            for case in [mixed(), Case::new(&[(100, &[70, 130])], [8, 2, 16])] {
                let case = with(&case, window, softcap);
                compare(case.inputs(3.0), 3e-6, |tensors| case.attend(tensors));
            }
        }
    }
}

/// Scores from -80 to 80: most weights vanish, none overflows.
#[test]
fn extreme_scores_stay_exact() {
    let groups: &[(usize, &[usize])] = &[(129, &[33, 200])];
    for shape in [[9, 3, 64], [4, 4, 2]] {
        let mut case = Case::new(groups, shape);
        let inputs = case.inputs(1.0);
        let [q, k, _] = &inputs;
        let largest = largest_score(&case, q, k);
        case.scale = 80.0 / largest;
        compare(inputs, 2e-5, |tensors| case.attend(tensors));
    }
}

/// The largest `|q . k|` of tokens that see each other.
fn largest_score(case: &Case, q: &Input, k: &Input) -> f64 {
    let dim = case.head_dim;
    let mut largest = 0.0_f64;
    for (token, seen) in case.seen().into_iter().enumerate() {
        for head in 0..case.heads {
            let shared = head / (case.heads / case.kv_heads);
            for &other in &seen {
                let query = &q.values[token * q.shape[1] + head * dim..][..dim];
                let key = &k.values[other * k.shape[1] + shared * dim..][..dim];
                let score: f64 = query.iter().zip(key).map(|(q, k)| q * k).sum();
                largest = largest.max(score.abs());
            }
        }
    }
    largest
}

/// Padding holds anything: its output is 0, and so are its gradients, in both forms.
#[test]
fn padding_is_nothing() {
    let case = Case {
        padding: 4,
        ..mixed()
    };
    let tokens = case.layout().tokens();
    let inputs = case.inputs(1.0);
    for dtype in [DType::F64, DType::F32] {
        let results = run(&inputs, dtype, false, &|tensors| case.attend(tensors));
        for (values, heads) in results.iter().zip([6, 6, 2, 2]) {
            let padding = &values[tokens * heads * case.head_dim..];
            assert_eq!(padding.len(), 4 * heads * case.head_dim);
            assert!(padding.iter().all(|&value| value == 0.0));
            assert!(values.iter().any(|&value| value != 0.0));
        }
    }
}

#[test]
fn no_tokens_are_no_output() {
    let case = Case {
        padding: 2,
        ..Case::new(&[(0, &[0]), (0, &[])], [2, 1, 4])
    };
    let device = Device::flex();
    for dtype in [DType::F64, DType::F32] {
        let ones = |width| Tensor::<2>::ones([2, width], (&device, dtype));
        let out = to_f64(case.attend([ones(8), ones(4), ones(4)]));
        assert_eq!(out, [0.0; 16]);
    }
}

/// Rows of `input` in another order, some of them more than once.
fn rows(input: &Input, order: &[usize]) -> Input {
    let width = input.shape[1];
    let row = |&row: &usize| &input.values[row * width..][..width];
    Input {
        values: order.iter().flat_map(row).copied().collect(),
        shape: [order.len(), width],
    }
}

/// Outputs and gradients in f32, the loss the sum of `weights` times the outputs.
fn weighted(case: &Case, inputs: &[Input; 3], weights: &Input) -> Vec<Input> {
    let device = Device::flex().autodiff();
    let tensor = |input: &Input| {
        let data = TensorData::new(input.values.clone(), input.shape);
        Tensor::<2>::from_data(data, (&device, DType::F32))
    };
    let tensors = inputs.each_ref().map(|input| tensor(input).require_grad());
    let out = case.attend(tensors.clone());
    let grads = (out.clone() * tensor(weights)).sum().backward();
    let grads = tensors.map(|tensor| tensor.grad(&grads).expect("a gradient"));
    let results = std::iter::once(out).chain(grads);
    results
        .map(|tensor| Input {
            shape: tensor.dims(),
            values: to_f64(tensor),
        })
        .collect()
}

/// A prompt shared by three responses against three sequences with a prompt of their own: the same
/// outputs, and the gradients of the prompts' copies add up to those of the shared one.
#[test]
fn a_shared_prompt_is_its_copies() {
    let shared = Case::new(&[(40, &[30, 1, 50])], [9, 3, 64]);
    let apart = Case::new(&[(70, &[]), (41, &[]), (90, &[])], [9, 3, 64]);
    let mut order = Vec::new();
    for response in [40..70, 70..71, 71..121] {
        order.extend((0..40).chain(response));
    }
    let inputs = shared.inputs(2.0);
    let weights = Input::new(inputs[0].shape, 5, 1.0);
    let copies = inputs.each_ref().map(|input| rows(input, &order));
    // The loss counts the prompt's outputs once.
    let mut copied = rows(&weights, &order);
    for copy in [70..110, 111..151] {
        for value in &mut copied.values[copy.start * 576..copy.end * 576] {
            *value = 0.0;
        }
    }
    let once = weighted(&shared, &inputs, &weights);
    let often = weighted(&apart, &copies, &copied);
    close(&often[0].values, &rows(&once[0], &order).values, 1e-6);
    for (once, often) in once[1..].iter().zip(&often[1..]) {
        let width = once.shape[1];
        let mut sums = vec![0.0; once.values.len()];
        for (&row, values) in order.iter().zip(often.values.chunks_exact(width)) {
            for (sum, value) in sums[row * width..][..width].iter_mut().zip(values) {
                *sum += value;
            }
        }
        let scale = sums.iter().fold(1.0_f64, |max, sum| max.max(sum.abs()));
        close(&once.values, &sums, 1e-5 * scale);
    }
}

/// A group's outputs and gradients are the same to the bit alone, among others, in another order and
/// before padding.
#[test]
fn a_group_does_not_depend_on_its_neighbours() {
    let groups: [(usize, &[usize]); 3] = [(33, &[7, 70]), (150, &[129, 140]), (0, &[1, 20])];
    let sizes = [200, 33 + 77, 21, 150 + 269];
    assert_eq!(sizes[1] + sizes[2] + sizes[3], 550);
    let shape = [6, 2, 16];
    let all = Case::new(&groups, shape);
    let inputs = all.inputs(2.0);
    let weights = Input::new(inputs[0].shape, 5, 1.0);
    let starts = [0, 110, 529];
    let ends = [110, 529, 550];
    let together = weighted(&all, &inputs, &weights);
    for chosen in [vec![0], vec![1], vec![2], vec![2, 0], vec![1, 2, 0]] {
        let order: Vec<usize> = chosen
            .iter()
            .flat_map(|&group| starts[group]..ends[group])
            .collect();
        let chosen: Vec<_> = chosen.iter().map(|&group| groups[group]).collect();
        // Two rows of padding that hold what no row of the batch holds.
        let pad = |input: &Input| {
            let mut input = rows(input, &order);
            input.values.extend(vec![3.5; 2 * input.shape[1]]);
            input.shape[0] += 2;
            input
        };
        let case = Case::new(&chosen, shape);
        let alone = weighted(&case, &inputs.each_ref().map(pad), &pad(&weights));
        for (alone, together) in alone.iter().zip(&together) {
            let count = order.len() * alone.shape[1];
            close(&alone.values[..count], &rows(together, &order).values, 0.0);
        }
    }
}

/// What is prepared without autodiff serves tensors with it, and the other way round.
#[test]
fn one_preparation_serves_training_and_inference() {
    let case = mixed();
    let (plain, autodiff) = (Device::flex(), Device::flex().autodiff());
    for (dtype, tolerance) in [(DType::F64, 1e-14), (DType::F32, 0.0)] {
        for (made, used) in [(&plain, &autodiff), (&autodiff, &plain)] {
            let attention = case.attention(made, dtype);
            let [q, k, v] = case.inputs(1.0).map(|input| {
                let data = TensorData::new(input.values, input.shape);
                Tensor::<2>::from_data(data, (used, dtype))
            });
            let expected = case.attend([q.clone(), k.clone(), v.clone()]);
            let out = attention.forward(q, k, v);
            close(&to_f64(out), &to_f64(expected), tolerance);
        }
        let attention = case.attention(&plain, dtype);
        let width = |width| Tensor::<2>::ones([case.layout().tokens(), width], (&autodiff, dtype));
        let (q, k, v) = (width(30), width(10), width(10).require_grad());
        let grads = attention.forward(q, k, v.clone()).sum().backward();
        // Every output is an average: each of the three heads hands out 1 a token and entry.
        let total: f64 = to_f64(v.grad(&grads).expect("a gradient")).iter().sum();
        assert!((total - case.layout().tokens() as f64 * 30.0).abs() < 1e-3);
    }
}

#[test]
#[should_panic(expected = "9 query heads over 2 key heads")]
fn heads_that_do_not_divide_are_refused() {
    let _ = Case::new(&[(1, &[])], [9, 2, 4]).attend(tensors_of(1, 36, 8));
}

#[test]
#[should_panic(expected = "queries [1, 8]")]
fn too_few_rows_are_refused() {
    let _ = Case::new(&[(2, &[])], [2, 1, 4]).attend(tensors_of(1, 8, 4));
}

/// Fused in f32 on Flex: what a batch costs is then its tokens.
#[test]
fn only_the_plain_form_pads() {
    for device in [Device::flex(), Device::flex().autodiff()] {
        for (dtype, padded) in [(DType::F32, false), (DType::BF16, true), (DType::F64, true)] {
            let pads = PackedAttention::pads(&device, dtype);
            assert_eq!(pads, padded, "{dtype:?}");
        }
    }
}

fn tensors_of(rows: usize, width: usize, kv_width: usize) -> [Tensor<2>; 3] {
    let device = Device::flex();
    [width, kv_width, kv_width].map(|width| Tensor::<2>::ones([rows, width], (&device, DType::F32)))
}
