//! The tensor operations that the model and its training are made of, forward and backward, one at a
//! time, at sizes that are no multiples of 8.

use burn::tensor::activation::{sigmoid, softmax};
use burn::tensor::{DType, Device, IndexingUpdateOp, Int, Tensor, TensorData};
use inpo_core::policy::model::RmsNorm;

use crate::errors::Errors;
use crate::reference::{host, product, tensor, transpose, values};

/// Every operation against the host.
pub(crate) fn check(device: &Device, dtype: DType, errors: &mut Errors) {
    let plain = (device, dtype);
    let tracked = &device.clone().autodiff();
    products(plain, errors);
    softmax_of_masked_rows(plain, errors);
    gate((tracked, dtype), errors);
    norm((tracked, dtype), errors);
    embedding((tracked, dtype), errors);
    moves(plain, errors);
    narrow_head((tracked, dtype), errors);
    large_layer((tracked, dtype), errors);
}

/// Plain, at the width of SmolLM2's feed-forward layer, and batched with a factor that lies transposed.
fn products((device, dtype): (&Device, DType), errors: &mut Errors) {
    let options = (device, dtype);
    for [m, k, n] in [[37, 53, 29], [1, 61, 1], [131, 576, 1536]] {
        let (a, b) = (values(m * k, 1), values(k * n, 2));
        let got = tensor(&a, [m, k], options).matmul(tensor(&b, [k, n], options));
        errors.compare("product", &host(got), &product(&a, &b, [m, k, n]));
    }
    let [heads, tokens, width] = [3, 17, 23];
    let size = tokens * width;
    let (a, b) = (values(2 * heads * size, 3), values(2 * heads * size, 4));
    let shape = [2, heads, tokens, width];
    let key = tensor(&b, shape, options).swap_dims(2, 3);
    let got = tensor(&a, shape, options).matmul(key);
    let each = a.chunks_exact(size).zip(b.chunks_exact(size));
    let expected: Vec<f64> = each
        .flat_map(|(a, b)| product(a, &transpose(b, width), [tokens, width, tokens]))
        .collect();
    errors.compare("batched product", &host(got), &expected);
}

/// Causal rows as attention has them: minus infinity beyond the diagonal, and scores up to +-128.
fn softmax_of_masked_rows(options: (&Device, DType), errors: &mut Errors) {
    let (heads, tokens) = (3, 37);
    let scores: Vec<f64> = values(heads * tokens * tokens, 5)
        .iter()
        .enumerate()
        .map(|(i, x)| if i % 5 == 0 { x * 64.0 } else { *x })
        .collect();
    let mut bias = vec![0.0; tokens * tokens];
    for (row, bias) in bias.chunks_exact_mut(tokens).enumerate() {
        bias[row + 1..].fill(f64::NEG_INFINITY);
    }
    let shape = [1, heads, tokens, tokens];
    let bias_tensor = tensor(&bias, [1, 1, tokens, tokens], options);
    let got = softmax(tensor(&scores, shape, options) + bias_tensor, 3);
    let masked = scores.iter().zip(bias.iter().cycle());
    let masked: Vec<f64> = masked.map(|(s, b)| s + b).collect();
    let rows = masked.chunks_exact(tokens);
    let expected: Vec<f64> = rows
        .flat_map(|row| {
            let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights = row.iter().map(move |x| (x - largest).exp());
            let sum: f64 = weights.clone().sum();
            weights.map(move |w| w / sum)
        })
        .collect();
    errors.compare("masked softmax", &host(got), &expected);
}

/// `silu(g) u` and its gradient, at moderate values and at +-96 where exponentials over- or underflow:
/// with `s = sigmoid(g)`, `d/du = g s` and `d/dg = u s (1 + g (1 - s))`.
fn gate(options: (&Device, DType), errors: &mut Errors) {
    let shape = [19, 31];
    let count = shape[0] * shape[1];
    for (what, scale) in [("gate", 1.0), ("gate at extremes", 48.0)] {
        let g: Vec<f64> = values(count, 6).iter().map(|g| g * scale).collect();
        let (u, weights) = (values(count, 7), values(count, 8));
        let gate = tensor(&g, shape, options).require_grad();
        let up = tensor(&u, shape, options).require_grad();
        let out = gate.clone() * sigmoid(gate.clone()) * up.clone();
        let grads = (out.clone() * tensor(&weights, shape, options)).sum();
        let grads = grads.backward();
        let s: Vec<f64> = g.iter().map(|g| 1.0 / (1.0 + (-g).exp())).collect();
        let of = |value: &dyn Fn(usize) -> f64| (0..count).map(value).collect::<Vec<f64>>();
        errors.compare(what, &host(out), &of(&|i| g[i] * s[i] * u[i]));
        let slope = |i: usize| weights[i] * u[i] * s[i] * (1.0 + g[i] * (1.0 - s[i]));
        let got = host(gate.grad(&grads).expect("a leaf"));
        errors.compare(&format!("{what}, d gate"), &got, &of(&slope));
        let got = host(up.grad(&grads).expect("a leaf"));
        errors.compare(
            &format!("{what}, d up"),
            &got,
            &of(&|i| weights[i] * g[i] * s[i]),
        );
    }
}

/// RMSNorm, `y_j = g_j x_j r` with `r = (mean x^2 + e)^(-1/2)`, for `L = sum w y`:
/// `dL/dx_k = g_k w_k r - x_k r^3/n sum_j w_j g_j x_j` and `dL/dg_j = sum_rows w_j x_j r`.
fn norm(options: (&Device, DType), errors: &mut Errors) {
    let (rows, n, epsilon) = (13, 45, 1e-5);
    let (x, g, w) = (values(rows * n, 9), values(n, 10), values(rows * n, 11));
    let input = tensor(&x, [rows, n], options).require_grad();
    let norm = RmsNorm::new(tensor(&g, [n], options), epsilon);
    let out = norm.forward(input.clone());
    let grads = (out.clone() * tensor(&w, [rows, n], options))
        .sum()
        .backward();
    let (mut expected, mut d_input, mut d_gain) = (Vec::new(), Vec::new(), vec![0.0; n]);
    for (x, w) in x.chunks_exact(n).zip(w.chunks_exact(n)) {
        let mean = x.iter().map(|x| x * x).sum::<f64>() / n as f64;
        let r = 1.0 / (mean + epsilon).sqrt();
        let dot: f64 = (0..n).map(|j| w[j] * g[j] * x[j]).sum();
        for j in 0..n {
            expected.push(g[j] * x[j] * r);
            d_input.push(g[j] * w[j] * r - x[j] * r.powi(3) / n as f64 * dot);
            d_gain[j] += w[j] * x[j] * r;
        }
    }
    errors.compare("norm", &host(out), &expected);
    let got = input.grad(&grads).expect("a leaf");
    errors.compare("norm, d input", &host(got), &d_input);
    let got = norm.gain.val().grad(&grads).expect("a parameter");
    errors.compare("norm, d gain", &host(got), &d_gain);
}

/// Rows of a table by repeated ids, and the gradient, which adds up over repetitions.
fn embedding(options: (&Device, DType), errors: &mut Errors) {
    let (vocabulary, width) = (29, 11);
    let ids: Vec<usize> = (0..43).map(|i| i * i % vocabulary).collect();
    let table = values(vocabulary * width, 12);
    let weights = values(ids.len() * width, 13);
    let leaf = tensor(&table, [vocabulary, width], options).require_grad();
    let out = leaf.clone().select(0, indices(&ids, options.0));
    let weighted = out.clone() * tensor(&weights, [ids.len(), width], options);
    let grads = weighted.sum().backward();
    let expected: Vec<f64> = ids
        .iter()
        .flat_map(|id| table[id * width..(id + 1) * width].iter().copied())
        .collect();
    errors.compare("embedding", &host(out), &expected);
    let mut expected = vec![0.0; table.len()];
    for (id, weights) in ids.iter().zip(weights.chunks_exact(width)) {
        let row = &mut expected[id * width..(id + 1) * width];
        row.iter_mut().zip(weights).for_each(|(sum, w)| *sum += w);
    }
    let got = leaf.grad(&grads).expect("a leaf");
    errors.compare("embedding, d table", &host(got), &expected);
}

/// What only moves values is exact: the cache's writes, rotation's halves, picked rows and columns.
fn moves(options: (&Device, DType), errors: &mut Errors) {
    let (rows, columns) = (7, 13);
    let x = values(rows * columns, 14);
    let whole = tensor(&x, [rows, columns], options);
    let mut exact = |what: &str, got: Tensor<2>, entry: &dyn Fn(usize, usize) -> f64| {
        let [height, width] = got.dims();
        let places = (0..height).flat_map(|i| (0..width).map(move |j| (i, j)));
        let expected: Vec<f64> = places.map(|(i, j)| entry(i, j)).collect();
        let equal = host(got) == expected;
        errors.met(what, if equal { 0.0 } else { f64::INFINITY });
    };
    let at = |i: usize, j: usize| x[i * columns + j];
    let part = whole.clone().narrow(1, 3, 5);
    exact("narrow", part.clone(), &|i, j| at(i, j + 3));
    let written = whole
        .clone()
        .slice_assign([2..7, 8..13], part.narrow(0, 1, 5));
    exact("slice_assign", written, &|i, j| match (i, j) {
        (2.., 8..) => at(i - 1, j - 5),
        _ => at(i, j),
    });
    let halves = vec![whole.clone().narrow(1, 6, 7), whole.clone().narrow(1, 0, 6)];
    let swapped = Tensor::cat(halves, 1);
    exact("cat", swapped, &|i, j| at(i, (j + 6) % 13));
    let turned = whole.clone().swap_dims(0, 1).reshape([columns, rows]);
    exact("swap_dims", turned, &|i, j| at(j, i));
    let picked = [6, 0, 0, 3];
    let selected = whole.clone().select(0, indices(&picked, options.0));
    exact("select", selected, &|i, j| at(picked[i], j));
    let column = |i: usize| i * 5 % columns;
    let columns_of: Vec<usize> = (0..rows).map(column).collect();
    let index = indices(&columns_of, options.0).unsqueeze_dim(1);
    let gathered = whole.clone().gather(1, index);
    exact("gather", gathered, &|i, _| at(i, column(i)));
    let repeated = whole.clone().narrow(0, 2, 1).repeat_dim(0, 3);
    exact("repeat_dim", repeated, &|_, j| at(2, j));
    let largest = whole.clone().max_dim(1);
    exact("max_dim", largest, &|i, _| {
        (0..columns).map(|j| at(i, j)).fold(f64::MIN, f64::max)
    });
    // Sums of multiples of 1/64 below 2^8 are exact, whatever their order.
    let source = whole.clone().narrow(0, 0, 4);
    let target = [1, 5, 1, 2];
    let added = whole.select_assign(
        0,
        indices(&target, options.0),
        source,
        IndexingUpdateOp::Add,
    );
    let of_target = |i: usize| (0..4).filter(move |&k| target[k] == i);
    exact("select_assign", added, &|i, j| {
        at(i, j) + of_target(i).map(|k| at(k, j)).sum::<f64>()
    });
}

/// A network with an `[N, 1]` output in one batch: fused on CUDA, every row but the first was wrong
/// (burn#5122). `y = tanh(h B + b)` with `h = relu(x A + a)`, and the gradient of `sum w y` in h and B:
/// with `s = w (1 - y^2)`, `s B^T` and `h^T s`.
fn narrow_head(options: (&Device, DType), errors: &mut Errors) {
    let (n, input, inner) = (37, 21, 30);
    let x = values(n * input, 15);
    let scaled = |count: usize, salt| -> Vec<f64> {
        let all = values(count, salt);
        all.iter().map(|v| v / 16.0).collect()
    };
    let (a, a_bias) = (scaled(input * inner, 16), values(inner, 17));
    let (b, b_bias, w) = (scaled(inner, 18), 0.25, values(n, 19));
    let hidden = tensor(&x, [n, input], options).matmul(tensor(&a, [input, inner], options));
    let hidden = (hidden + tensor(&a_bias, [1, inner], options)).clamp_min(0.0);
    // The gradient stops here: at a kink of relu, a rounding decides it.
    let hidden = hidden.detach().require_grad();
    let last = tensor(&b, [inner, 1], options).require_grad();
    let out = (hidden.clone().matmul(last.clone()) + b_bias).tanh();
    let grads = (out.clone() * tensor(&w, [n, 1], options)).sum().backward();

    let mut h = product(&x, &a, [n, input, inner]);
    for row in h.chunks_exact_mut(inner) {
        let sums = row.iter_mut().zip(&a_bias);
        sums.for_each(|(h, a)| *h = (*h + a).max(0.0));
    }
    let sums = product(&h, &b, [n, inner, 1]);
    let y: Vec<f64> = sums.iter().map(|s| (s + b_bias).tanh()).collect();
    errors.compare("[N, 1] head", &host(out), &y);
    let s: Vec<f64> = y.iter().zip(&w).map(|(y, w)| w * (1.0 - y * y)).collect();
    let got = host(hidden.grad(&grads).expect("a leaf"));
    errors.compare(
        "[N, 1] head, d hidden",
        &got,
        &product(&s, &b, [n, 1, inner]),
    );
    let expected = product(&transpose(&h, inner), &s, [inner, n, 1]);
    let got = host(last.grad(&grads).expect("a leaf"));
    errors.compare("[N, 1] head, d weight", &got, &expected);
}

/// The gradient of one layer with more than 64 * 64 inputs, of which f32 on CUDA made nonsense (burn#2646):
/// all 0 where everything is 0, and `x^T w`, `w W^T` for `L = sum w (x W)`.
fn large_layer(options: (&Device, DType), errors: &mut Errors) {
    let [n, input, output] = [3, 5001, 1025];
    let zeros =
        |rows: usize, columns: usize| tensor(&vec![0.0; rows * columns], [rows, columns], options);
    let weight = zeros(input, output).require_grad();
    let off = zeros(n, input).matmul(weight.clone()) - zeros(n, output);
    let grads = off.square().mean().backward();
    let got = host(weight.grad(&grads).expect("a leaf"));
    errors.compare("large layer of zeros", &got, &vec![0.0; input * output]);

    let (x, matrix) = (values(n * input, 20), values(input * output, 21));
    let w = values(n * output, 22);
    let leaf = tensor(&x, [n, input], options).require_grad();
    let weight = tensor(&matrix, [input, output], options).require_grad();
    let out = leaf.clone().matmul(weight.clone());
    let grads = (out * tensor(&w, [n, output], options)).sum().backward();
    let expected = product(&transpose(&x, input), &w, [input, n, output]);
    let got = host(weight.grad(&grads).expect("a leaf"));
    errors.compare("large layer, d weight", &got, &expected);
    let expected = product(&w, &transpose(&matrix, output), [n, output, input]);
    let got = host(leaf.grad(&grads).expect("a leaf"));
    errors.compare("large layer, d input", &got, &expected);
}

fn indices(of: &[usize], device: &Device) -> Tensor<1, Int> {
    let of: Vec<i32> = of.iter().map(|&i| i as i32).collect();
    let length = of.len();
    Tensor::from_data(TensorData::new(of, [length]), device)
}
