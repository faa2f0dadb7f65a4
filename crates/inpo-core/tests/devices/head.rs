//! The chunked vocabulary head: log-probs and both gradients.

use burn::tensor::{DType, Device, Tensor};
use inpo_core::policy::head::{DEFAULT_CHUNK, Head};

use crate::errors::Errors;
use crate::reference::{host, log_softmax, product, tensor, transpose, values};

/// Hidden states, head, targets and coefficients.
struct Case {
    rows: usize,
    width: usize,
    vocabulary: usize,
    hidden: Vec<f64>,
    head: Vec<f64>,
    targets: Vec<u32>,
    coefficients: Vec<f64>,
}

impl Case {
    fn new([rows, width, vocabulary]: [usize; 3]) -> Self {
        // Logits of order 1, so that many probabilities count.
        let scale = (width as f64).sqrt().log2().ceil().exp2().recip();
        let head = values(vocabulary * width, 31);
        Self {
            rows,
            width,
            vocabulary,
            hidden: values(rows * width, 30),
            head: head.iter().map(|w| w * scale).collect(),
            targets: (0..rows).map(|i| (i * 7919 % vocabulary) as u32).collect(),
            coefficients: values(rows, 32),
        }
    }

    /// Log-probs, and `dL/dlogits = c (onehot - softmax)`, of the rows in `range`.
    fn expected(&self, range: std::ops::Range<usize>) -> (Vec<f64>, Vec<f64>) {
        let hidden = &self.hidden[range.start * self.width..range.end * self.width];
        let shape = [range.len(), self.width, self.vocabulary];
        let logits = product(hidden, &transpose(&self.head, self.width), shape);
        let all = log_softmax(&logits, self.vocabulary);
        let (mut logps, mut slopes) = (Vec::new(), Vec::new());
        for (row, all) in range.zip(all.chunks_exact(self.vocabulary)) {
            let (target, c) = (self.targets[row] as usize, self.coefficients[row]);
            logps.push(all[target]);
            let hit = |v: usize| if v == target { 1.0 } else { 0.0 };
            slopes.extend((0..self.vocabulary).map(|v| c * (hit(v) - all[v].exp())));
        }
        (logps, slopes)
    }
}

/// Small, in chunks that do and do not divide the rows, against the host.
pub(crate) fn check(device: &Device, dtype: DType, errors: &mut Errors) {
    let case = Case::new([21, 27, 101]);
    let (logps, slopes) = case.expected(0..case.rows);
    let d_hidden = product(
        &slopes,
        &case.head,
        [case.rows, case.vocabulary, case.width],
    );
    let d_head = product(
        &transpose(&slopes, case.vocabulary),
        &case.hidden,
        [case.vocabulary, case.rows, case.width],
    );
    let hidden = tensor(&case.hidden, [case.rows, case.width], (device, dtype));
    let head = tensor(&case.head, [case.vocabulary, case.width], (device, dtype));
    for chunk in [1, 5, 7, 64] {
        let [got, of_hidden, of_head] = results(&case, &hidden, &head, chunk);
        errors.compare("log-probs", &got, &logps);
        errors.compare("d hidden", &of_hidden, &d_hidden);
        errors.compare("d head", &of_head, &d_head);
    }
}

/// Log-probs, and the gradients in the hidden states and in the head, which trains.
fn results(case: &Case, hidden: &Tensor<2>, head: &Tensor<2>, chunk: usize) -> [Vec<f64>; 3] {
    let trained = Tensor::from_inner(head.clone()).require_grad();
    let (targets, coefficients) = (&case.targets, &case.coefficients);
    let head = Head::new(trained);
    assert_eq!(
        head.token_logps(hidden, targets, chunk).len(),
        targets.len()
    );
    let scores = head.scores(hidden, targets, chunk);
    let of_head = head.parameter_gradient(hidden, targets, &scores, coefficients, chunk);
    let of_head = of_head.weight.expect("it trains");
    let of_hidden = scores.hidden_gradient(coefficients);
    [scores.logps().to_vec(), host(of_hidden), host(of_head)]
}

/// SmolLM2's head: a few rows against the host, all of the head's gradient against Flex in f64.
pub(crate) fn check_real_size(device: &Device, dtype: DType, errors: &mut Errors) {
    let case = Case::new([131, 576, 49_152]);
    let on = |device: &Device, dtype: DType| {
        let hidden = tensor(&case.hidden, [case.rows, case.width], (device, dtype));
        let head = tensor(&case.head, [case.vocabulary, case.width], (device, dtype));
        results(&case, &hidden, &head, DEFAULT_CHUNK)
    };
    let [logps, d_hidden, d_head] = on(device, dtype);
    // The last of a chunk and the first of the next.
    let rows = DEFAULT_CHUNK - 1..DEFAULT_CHUNK + 1;
    let (expected, slopes) = case.expected(rows.clone());
    errors.compare("log-probs", &logps[rows.clone()], &expected);
    let shape = [rows.len(), case.vocabulary, case.width];
    let expected = product(&slopes, &case.head, shape);
    let places = rows.start * case.width..rows.end * case.width;
    errors.compare("d hidden", &d_hidden[places], &expected);

    let flex = inpo_core::device("flex").expect("this target needs it");
    let [expected_logps, expected_hidden, expected_head] = on(&flex, DType::F64);
    errors.compare("log-probs, all rows", &logps, &expected_logps);
    errors.compare("d hidden, all rows", &d_hidden, &expected_hidden);
    errors.compare("d head", &d_head, &expected_head);
}
