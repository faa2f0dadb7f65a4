//! The vocabulary head against `log_softmax` and autodiff in f64.

use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use inpo_kernels::head::{Factor, Logits};

use crate::check::{Input, to_f64};

/// A head of two factors, the second one's weight stored transposed, as a low-rank path's is.
struct Case {
    inputs: [Input; 2],
    weights: [Input; 2],
    targets: Vec<u32>,
    coefficients: Vec<f64>,
    softcap: Option<f64>,
}

/// Log-probs, then the gradient of `sum c log p` in both inputs and both weights.
type Results = [Vec<f64>; 5];

impl Case {
    /// `rows` rows of `vocab` words with inputs in `[-scale, scale)`.
    fn new([rows, width, vocab]: [usize; 3], scale: f64, softcap: Option<f64>) -> Self {
        let rank = 3;
        let targets = (0..rows).map(|row| (row * row * 37 + row + vocab - 1) % vocab);
        Self {
            inputs: [
                Input::new([rows, width], 1, scale),
                Input::new([rows, rank], 2, 1.0),
            ],
            weights: [
                Input::new([vocab, width], 3, 1.0),
                Input::new([rank, vocab], 4, 1.0),
            ],
            targets: targets.map(|word| word as u32).collect(),
            coefficients: Input::new([rows, 1], 5, 1.0).values,
            softcap,
        }
    }

    fn tensors(&self, options: (&Device, DType)) -> [Tensor<2>; 4] {
        let [x, u] = &self.inputs;
        let [w, b] = &self.weights;
        let tensor = |input: &Input| {
            Tensor::from_data(TensorData::new(input.values.clone(), input.shape), options)
        };
        [tensor(x), tensor(u), tensor(w), tensor(b)]
    }

    /// By `log_softmax` and autodiff, in f64.
    fn expected(&self) -> Results {
        let device = Device::flex().autodiff();
        let tensors = self.tensors((&device, DType::F64));
        let [x, u, w, b] = tensors.clone().map(Tensor::require_grad);
        let mut logits = x.clone().matmul(w.clone().transpose()) + u.clone().matmul(b.clone());
        if let Some(cap) = self.softcap {
            logits = (logits / cap).tanh() * cap;
        }
        let rows = self.targets.len();
        let words: Vec<i64> = self.targets.iter().map(|&word| i64::from(word)).collect();
        let words = Tensor::<2, Int>::from_data(TensorData::new(words, [rows, 1]), &device);
        let logps = log_softmax(logits, 1).gather(1, words);
        let c = TensorData::new(self.coefficients.clone(), [rows, 1]);
        let c = Tensor::<2>::from_data(c, (&device, DType::F64));
        let grads = (logps.clone() * c).sum().backward();
        let [x, u, w, b] = [x, u, w, b].map(|tensor| to_f64(tensor.grad(&grads).unwrap()));
        [to_f64(logps), x, u, w, b]
    }

    fn got(&self, dtype: DType, chunk: usize) -> Results {
        let device = Device::flex();
        let [x, u, w, b] = self.tensors((&device, dtype));
        let factor = |input, weight| Factor { input, weight };
        let factors = vec![factor(x, w), factor(u, b.transpose())];
        let logits = Logits::new(factors, self.softcap);
        let (scores, directions) = logits.scores_with_directions(&self.targets, chunk);
        assert_eq!(logits.scores(&self.targets, chunk), scores);
        let mut directions = directions.into_iter().map(|direction| {
            let width = direction.dims()[1];
            let rows = to_f64(direction);
            let rows = rows.chunks_exact(width).zip(&self.coefficients);
            rows.flat_map(|(row, c)| row.iter().map(move |d| c * d))
                .collect::<Vec<f64>>()
        });
        let gradients = |wanted: [bool; 2]| {
            let (targets, c) = (&self.targets, &self.coefficients);
            logits.weight_gradients(targets, &scores, c, &wanted, chunk)
        };
        assert!(gradients([false, false]).iter().all(Option::is_none));
        let alone = gradients([false, true]);
        assert!(alone[0].is_none());
        let [w, b] = gradients([true, true]).try_into().unwrap();
        assert_eq!(
            to_f64(alone[1].clone().unwrap()),
            to_f64(b.clone().unwrap())
        );
        [
            scores.logps.clone(),
            directions.next().unwrap(),
            directions.next().unwrap(),
            to_f64(w.unwrap()),
            to_f64(b.unwrap().transpose()),
        ]
    }

    /// Each result up to `tolerance` times its largest expected value.
    fn check(&self, dtype: DType, chunk: usize, expected: &Results, tolerance: f64) {
        let got = self.got(dtype, chunk);
        for (number, (got, expected)) in got.iter().zip(expected).enumerate() {
            assert_eq!(got.len(), expected.len());
            let scale = expected.iter().fold(0.0_f64, |max, e| max.max(e.abs()));
            for (i, (g, e)) in got.iter().zip(expected).enumerate() {
                assert!(
                    (g - e).abs() <= tolerance * scale,
                    "{dtype:?}, chunk {chunk}, result {number} at {i}: {g}, expected {e}"
                );
            }
        }
    }
}

/// The plain head, in f64, for chunks that divide the rows and chunks that do not; the fused one, in f32,
/// for less than a tile and a block and for several that do not divide.
#[test]
fn the_head_is_log_softmax_and_its_gradients() {
    // A power of two: Burn's gradient of a division takes the reciprocal in f32.
    for softcap in [None, Some(4.0)] {
        for shape in [[1, 1, 2], [7, 5, 11], [33, 20, 1300], [900, 17, 700]] {
            let case = Case::new(shape, 2.0, softcap);
            let expected = case.expected();
            for chunk in [1, 3, 7, 1000] {
                if shape[0] < 100 || chunk > 7 {
                    case.check(DType::F64, chunk, &expected, 1e-12);
                }
            }
            case.check(DType::F32, 8, &expected, 2e-6);
        }
    }
}

/// Rows as long as a real vocabulary.
#[test]
fn a_long_vocabulary_keeps_its_precision() {
    for softcap in [None, Some(30.0)] {
        let case = Case::new([5, 24, 49152], 3.0, softcap);
        let expected = case.expected();
        case.check(DType::F32, 8, &expected, 1e-6);
    }
}

/// To the bit: rows and words that fill several tiles and blocks and leave rests, for one thread, two and three.
#[test]
fn the_number_of_threads_does_not_show() {
    for softcap in [None, Some(4.0)] {
        for shape in [[7, 5, 11], [33, 20, 1300], [900, 17, 700]] {
            let case = Case::new(shape, 2.0, softcap);
            let with = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
                let pool = pool.build().unwrap();
                pool.install(|| case.got(DType::F32, 8))
            };
            let expected = with(1);
            for threads in [2, 3] {
                assert!(with(threads) == expected, "{shape:?}, {threads} threads");
            }
        }
    }
}

/// Log-probs and directions of words of a head of width 1, given the logits.
fn single(logits: &[f32], target: u32) -> (f64, f64) {
    let device = Device::flex();
    let weight = TensorData::new(logits.to_vec(), [logits.len(), 1]);
    let factor = Factor {
        input: Tensor::<2>::ones([1, 1], &device),
        weight: Tensor::from_data(weight, &device),
    };
    let (scores, directions) = Logits::new(vec![factor], None).scores_with_directions(&[target], 4);
    (scores.logps[0], to_f64(directions[0].clone())[0])
}

fn close(got: f64, expected: f64) {
    assert!(
        (got - expected).abs() <= 1e-6 * expected.abs(),
        "{got}, expected {expected}"
    );
}

/// ln(1 + e^-1) = 0.31326168751822286; the log-prob of -200 beside 200 and 199 is that less 400. Directions
/// are `w_t - sum p w` with p = 1 / (1 + e^-1) = 0.7310585786300049 of 200, up to the rounding of 200.
#[test]
fn extreme_logits_stay_finite() {
    let logits = [200.0, -200.0, 199.0];
    let (logp, direction) = single(&logits, 0);
    close(logp, -0.313_261_687_518_222_86);
    assert!((direction - 0.268_941_421_369_995_1).abs() < 2e-5);
    let (logp, direction) = single(&logits, 1);
    close(logp, -400.313_261_687_518_2);
    close(direction, -399.731_058_578_63);
}

/// A word 30 above its only rival: log p = -ln(1 + e^-30) = -9.3576229688397e-14, of which nothing is left
/// in f32 as 1 - p, and the direction is 30 (1 - p).
#[test]
fn a_nearly_certain_word_keeps_its_digits() {
    let (logp, direction) = single(&[30.0, 0.0], 0);
    close(logp, -9.357_622_968_839_737e-14);
    close(direction, 30.0 * 9.357_622_968_839_3e-14);
    // Beyond e^-80 the rival counts as impossible.
    assert_eq!(single(&[100.0, 0.0], 0), (0.0, 0.0));
    assert_eq!(single(&[100.0, 0.0], 1), (-100.0, -100.0));
}

/// ln 1000 = 6.907755278982137.
#[test]
fn equal_logits_are_the_uniform_distribution() {
    for logit in [0.0, 300.0, -300.0] {
        let (logp, direction) = single(&[logit; 1000], 321);
        close(logp, -6.907_755_278_982_137);
        assert!(direction.abs() <= 1e-6 * f64::from(logit).abs());
    }
}

#[test]
fn a_logit_that_is_not_a_number_shows() {
    assert!(single(&[0.0, f32::NAN], 0).0.is_nan());
    assert!(single(&[0.0, f32::INFINITY], 0).0.is_nan());
}

#[test]
fn no_row_is_no_score() {
    let case = Case::new([0, 5, 11], 1.0, None);
    for dtype in [DType::F32, DType::F64] {
        let got = case.got(dtype, 4);
        assert_eq!(got[0], [0.0; 0]);
        assert_eq!(got[3], [0.0; 55]);
    }
}

#[test]
#[should_panic(expected = "word 3 is not below 3, the number of words of the head")]
fn a_word_beyond_the_head_is_refused() {
    let _ = single(&[0.0; 3], 3);
}
