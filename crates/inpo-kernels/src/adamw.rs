//! What an optimiser does to every value of a model: the step of AdamW, the sum of squares of a gradient,
//! its scaling.

use burn::tensor::Tensor;

use crate::compiled::is_compiled;

/// The numbers of a step of AdamW that all values share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWStep {
    /// Learning rate.
    pub rate: f64,
    /// Decay rate of the first moment.
    pub beta1: f64,
    /// Decay rate of the second moment.
    pub beta2: f64,
    /// What is added to the root of the second moment.
    pub epsilon: f64,
    /// Weight decay, decoupled.
    pub decay: f64,
    /// The step's number, from 1.
    pub time: usize,
}

/// [`AdamWStep`] as the factors of the arithmetic.
#[derive(Debug, Clone, Copy)]
struct Factors {
    keep1: f64,
    add1: f64,
    keep2: f64,
    add2: f64,
    root: f64,
    epsilon: f64,
    kept: f64,
    rate: f64,
}

impl AdamWStep {
    fn factors(&self) -> Factors {
        let correction = |beta: f64| 1.0 - beta.powf(self.time as f64);
        Factors {
            keep1: self.beta1,
            add1: 1.0 - self.beta1,
            keep2: self.beta2,
            add2: 1.0 - self.beta2,
            root: correction(self.beta2).sqrt(),
            epsilon: self.epsilon,
            kept: 1.0 - self.rate * self.decay,
            rate: self.rate / correction(self.beta1),
        }
    }
}

/// torch.optim.AdamW's step `t` for a tensor of weights `w` with gradient `g`:
///
/// ```text
/// m = beta1 m + (1 - beta1) g        v = beta2 v + (1 - beta2) g^2
/// w = (1 - rate decay) w - rate/(1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
/// ```
///
/// The scalars in front are computed in f64 and rounded to the tensors' type. `past` is `[m, v]`, zero before
/// the first step. All tensors have one shape and type and none carries autodiff. Returns `w` and `[m, v]`,
/// which take the place of the old ones in memory where nobody else holds those.
///
/// # Panics
///
/// If the shapes differ.
pub fn adamw<const D: usize>(
    weight: Tensor<D>,
    grad: Tensor<D>,
    past: Option<[Tensor<D>; 2]>,
    step: &AdamWStep,
) -> (Tensor<D>, [Tensor<D>; 2]) {
    let expected = weight.dims();
    let others = [("gradient", &grad)].into_iter();
    let moments = past.iter().flatten().map(|moment| ("moment", moment));
    for (what, tensor) in others.chain(moments) {
        let got = tensor.dims();
        assert!(got == expected, "a {what} {got:?} of weights {expected:?}");
    }
    let factors = step.factors();
    #[cfg(feature = "flex")]
    if [&weight, &grad]
        .into_iter()
        .chain(past.iter().flatten())
        .all(fused::takes)
    {
        return fused::adamw(weight, grad, past, factors);
    }
    if is_compiled(&weight) {
        return compiled(weight, grad, past, factors);
    }
    plain(weight, grad, past, factors)
}

/// The composition where kernels are compiled at run time: submitted tensor by tensor, with moments of 0 before the first
/// step, so that tensors of one shape share a kernel, in every step.
fn compiled<const D: usize>(
    weight: Tensor<D>,
    grad: Tensor<D>,
    past: Option<[Tensor<D>; 2]>,
    factors: Factors,
) -> (Tensor<D>, [Tensor<D>; 2]) {
    let device = weight.device();
    // What goes wrong on the device is told by the next read.
    let submit = || drop(device.flush());
    let past = past.unwrap_or_else(|| [weight.zeros_like(), weight.zeros_like()]);
    submit();
    let stepped = plain(weight, grad, Some(past), factors);
    submit();
    stepped
}

fn plain<const D: usize>(
    weight: Tensor<D>,
    grad: Tensor<D>,
    past: Option<[Tensor<D>; 2]>,
    factors: Factors,
) -> (Tensor<D>, [Tensor<D>; 2]) {
    let new = [
        grad.clone().mul_scalar(factors.add1),
        grad.square().mul_scalar(factors.add2),
    ];
    let [m, v] = match past {
        None => new,
        Some([m, v]) => {
            let [new_m, new_v] = new;
            let m = m.mul_scalar(factors.keep1) + new_m;
            [m, v.mul_scalar(factors.keep2) + new_v]
        }
    };
    let root = v.clone().sqrt().div_scalar(factors.root);
    let update = m.clone() / root.add_scalar(factors.epsilon);
    let kept = match factors.kept {
        1.0 => weight,
        kept => weight.mul_scalar(kept),
    };
    (kept - update.mul_scalar(factors.rate), [m, v])
}

/// The sum of the squares of all values, `[1]`: in f64 where it is fused, else in the tensor's type. It has
/// no gradient.
pub fn sum_of_squares<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
    let tensor = tensor.inner();
    #[cfg(feature = "flex")]
    if fused::takes(&tensor) {
        return fused::sum_of_squares(tensor);
    }
    tensor.square().sum()
}

/// `factor * tensor`, in the tensor's own memory where nobody else holds it.
pub fn scale<const D: usize>(tensor: Tensor<D>, factor: f64) -> Tensor<D> {
    #[cfg(feature = "flex")]
    if fused::takes(&tensor) {
        return fused::scale(tensor, factor);
    }
    tensor.mul_scalar(factor)
}

#[cfg(feature = "flex")]
mod fused {
    use burn::backend::Flex;
    use burn::tensor::{DType, Tensor, TensorData};
    use rayon::prelude::*;

    use super::Factors;
    use crate::flex::vector::{PART, owned, vectorised};
    use crate::flex::{FlexFloat, contiguous, tensor, values};

    /// Independent sums, so that their additions run in parallel.
    const LANES: usize = 32;

    /// Whether the fused operations take `tensor`: f32 on Flex, without autodiff.
    pub(super) fn takes<const D: usize>(tensor: &Tensor<D>) -> bool {
        crate::flex::takes(tensor) && !tensor.is_autodiff()
    }

    fn primitive<const D: usize>(tensor: Tensor<D>) -> FlexFloat {
        let primitive = tensor.try_into_primitive::<Flex>();
        primitive.expect("only tensors of Flex come here")
    }

    pub(super) fn adamw<const D: usize>(
        weight: Tensor<D>,
        grad: Tensor<D>,
        past: Option<[Tensor<D>; 2]>,
        factors: Factors,
    ) -> (Tensor<D>, [Tensor<D>; 2]) {
        let shape: Vec<usize> = weight.dims().to_vec();
        let zeros = || tensor(vec![0.0; shape.iter().product()], shape.clone());
        let [mut m, mut v] = match past {
            Some(past) => past.map(|moment| owned(primitive(moment))),
            None => [zeros(), zeros()],
        };
        let mut weight = owned(primitive(weight));
        let grad = contiguous(&primitive(grad));
        let parts = m
            .storage_mut::<f32>()
            .par_chunks_mut(PART)
            .zip(v.storage_mut::<f32>().par_chunks_mut(PART));
        weight
            .storage_mut::<f32>()
            .par_chunks_mut(PART)
            .zip(values(&grad).par_chunks(PART))
            .zip(parts)
            .for_each(|((w, g), (m, v))| {
                vectorised(
                    #[inline(always)]
                    || step(w, g, m, v, factors),
                );
            });
        let [m, v] = [m, v].map(Tensor::from_primitive::<Flex>);
        (Tensor::from_primitive::<Flex>(weight), [m, v])
    }

    #[inline(always)]
    fn step(w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], factors: Factors) {
        let [keep1, add1] = [factors.keep1, factors.add1].map(|x| x as f32);
        let [keep2, add2] = [factors.keep2, factors.add2].map(|x| x as f32);
        let [root, epsilon] = [factors.root, factors.epsilon].map(|x| x as f32);
        let [kept, rate] = [factors.kept, factors.rate].map(|x| x as f32);
        for (((w, &g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
            *m = *m * keep1 + g * add1;
            *v = *v * keep2 + g * g * add2;
            let update = *m / (v.sqrt() / root + epsilon);
            *w = *w * kept - update * rate;
        }
    }

    pub(super) fn sum_of_squares<const D: usize>(tensor: Tensor<D>) -> Tensor<1> {
        let device = tensor.device();
        let tensor = contiguous(&primitive(tensor));
        // Added up in order: which thread took which part must not show.
        let parts: Vec<f64> = values(&tensor)
            .par_chunks(PART)
            .map(|part| {
                vectorised(
                    #[inline(always)]
                    || squares(part),
                )
            })
            .collect();
        let sum = parts.iter().sum::<f64>();
        Tensor::from_data(TensorData::new(vec![sum], [1]), (&device, DType::F64))
    }

    #[inline(always)]
    fn squares(values: &[f32]) -> f64 {
        let mut sums = [0.0_f64; LANES];
        let chunks = values.chunks_exact(LANES);
        let rest = chunks.remainder();
        for chunk in chunks {
            for (sum, &x) in sums.iter_mut().zip(chunk) {
                *sum += f64::from(x) * f64::from(x);
            }
        }
        let rest: f64 = rest.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        sums.iter().sum::<f64>() + rest
    }

    pub(super) fn scale<const D: usize>(tensor: Tensor<D>, factor: f64) -> Tensor<D> {
        let mut tensor = owned(primitive(tensor));
        let factor = factor as f32;
        tensor
            .storage_mut::<f32>()
            .par_chunks_mut(PART)
            .for_each(|part| {
                vectorised(
                    #[inline(always)]
                    || part.iter_mut().for_each(|x| *x *= factor),
                );
            });
        Tensor::from_primitive::<Flex>(tensor)
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::adamw::{AdamWStep, plain};
        use burn::tensor::Device;

        fn values_of(salt: usize, count: usize) -> Vec<f32> {
            let value = |i: usize| ((i * 7919 + salt * 104_729) % 4001) as f32 / 2000.5 - 1.0;
            (0..count).map(value).collect()
        }

        fn matrix(salt: usize, shape: [usize; 2]) -> Tensor<2> {
            let values = values_of(salt, shape[0] * shape[1]);
            Tensor::from_data(TensorData::new(values, shape), &Device::flex())
        }

        fn host(tensor: &Tensor<2>) -> Vec<f32> {
            tensor.clone().try_into_vec_as::<f32>().unwrap()
        }

        /// The same roundings in the same order: what Burn's own operations give, to the bit, over three
        /// steps, more than one part of the loop and a remainder.
        #[test]
        fn the_step_is_the_plain_one_to_the_bit() {
            for shape in [[1, 1], [3, 5], [129, 257]] {
                for decay in [0.0, 0.1] {
                    let mut fused = (matrix(1, shape), None);
                    let mut expected = (matrix(1, shape), None);
                    for time in 1..=3 {
                        let grad = matrix(1 + time, shape).mul_scalar(1e-3);
                        let factors = AdamWStep {
                            rate: 0.01,
                            beta1: 0.9,
                            beta2: 0.999,
                            epsilon: 1e-8,
                            decay,
                            time,
                        }
                        .factors();
                        let (w, past) = plain(expected.0, grad.clone(), expected.1, factors);
                        expected = (w, Some(past));
                        let (w, past) = adamw(fused.0, grad, fused.1, factors);
                        fused = (w, Some(past));
                    }
                    assert_eq!(host(&fused.0), host(&expected.0));
                    for (got, expected) in fused.1.iter().flatten().zip(expected.1.iter().flatten())
                    {
                        assert_eq!(host(got), host(expected));
                    }
                }
            }
        }

        /// Tensors that nobody else holds are written where they lie; one that is shared is left alone.
        #[test]
        fn memory_is_reused_unless_it_is_shared() {
            let address = |tensor: &Tensor<2>| {
                let primitive = primitive(tensor.clone());
                values(&primitive).as_ptr() as usize
            };
            let factors = AdamWStep {
                rate: 0.01,
                beta1: 0.9,
                beta2: 0.999,
                epsilon: 1e-8,
                decay: 0.1,
                time: 2,
            }
            .factors();
            let [weight, m] = [1, 2].map(|salt| matrix(salt, [3, 4]));
            let v = matrix(3, [3, 4]).square();
            let before = [&weight, &m, &v].map(address);
            let (weight, [m, v]) = adamw(weight, matrix(4, [3, 4]), Some([m, v]), factors);
            assert_eq!([&weight, &m, &v].map(address), before);
            let kept = weight.clone();
            let values = host(&kept);
            let (moved, _) = adamw(weight, matrix(4, [3, 4]), Some([m, v]), factors);
            assert_eq!(host(&kept), values);
            assert_ne!(host(&moved), values);
            let scaled = scale(moved, 2.0);
            let before = address(&scaled);
            assert_eq!(address(&scale(scaled, 0.5)), before);
        }
    }
}
