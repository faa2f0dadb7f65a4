//! The optimiser's arithmetic.

use burn::optim::GradientsParams;
use burn::tensor::{DType, Device};
use inpo_core::policy::model::{Projection, RmsNorm};
use inpo_core::train::Optimiser;
use inpo_core::train::config::TrainSection;

use crate::errors::Errors;
use crate::reference::{host, tensor, values};

/// Three steps of AdamW on a matrix (decayed) and on a gain (not), against torch's rule on the host:
/// `m = b1 m + (1 - b1) g`, `v = b2 v + (1 - b2) g^2`,
/// `w = (1 - rate decay) w - rate (m/(1 - b1^t)) / (sqrt(v/(1 - b2^t)) + e)`.
pub(crate) fn check(device: &Device, dtype: DType, errors: &mut Errors) {
    let config = TrainSection {
        weight_decay: 0.1,
        ..TrainSection::default()
    };
    let device = &device.clone().autodiff();
    let shape = [37, 21];
    let start = values(37 * 21, 40);
    let mut matrix = Projection::new(tensor(&start, shape, (device, dtype)));
    let mut gain = RmsNorm::new(tensor(&start, [37 * 21], (device, dtype)), 1e-5);
    let (mut optimiser, mut of_gain) = (Optimiser::new(&config), Optimiser::new(&config));
    let plain = device.clone().without_autodiff();
    // Large, so that the moves count beside the weights.
    let rate = 0.5;
    let mut by_hand = [0.1, 0.0].map(|decay| AdamW {
        decay,
        weights: start.clone(),
        m: vec![0.0; start.len()],
        v: vec![0.0; start.len()],
    });
    for time in 1..=3 {
        let slopes = values(start.len(), 40 + time as u64);
        let mut grads = GradientsParams::new();
        grads.register(matrix.weight.id, tensor(&slopes, shape, (&plain, dtype)));
        matrix = optimiser.step(rate, matrix, grads);
        let mut grads = GradientsParams::new();
        grads.register(gain.gain.id, tensor(&slopes, [37 * 21], (&plain, dtype)));
        gain = of_gain.step(rate, gain, grads);
        let [decayed, kept] = &mut by_hand;
        decayed.step(rate, time, &slopes);
        kept.step(rate, time, &slopes);
        let what = format!("AdamW, step {time}");
        errors.compare(&what, &host(matrix.weight.val()), &decayed.weights);
        errors.compare(&what, &host(gain.gain.val()), &kept.weights);
    }
}

/// One tensor's weights and moments.
struct AdamW {
    decay: f64,
    weights: Vec<f64>,
    m: Vec<f64>,
    v: Vec<f64>,
}

impl AdamW {
    fn step(&mut self, rate: f64, time: i32, slopes: &[f64]) {
        let (b1, b2, epsilon) = (0.9_f64, 0.999_f64, 1e-8);
        for (i, g) in slopes.iter().enumerate() {
            self.m[i] = b1 * self.m[i] + (1.0 - b1) * g;
            self.v[i] = b2 * self.v[i] + (1.0 - b2) * g * g;
            let m = self.m[i] / (1.0 - b1.powi(time));
            let v = self.v[i] / (1.0 - b2.powi(time));
            self.weights[i] *= 1.0 - rate * self.decay;
            self.weights[i] -= rate * m / (v.sqrt() + epsilon);
        }
    }
}
