//! Devices on which kernels are compiled and tuned when they are first needed.

use burn::tensor::{DType, Device, Tensor};

/// Checks that kernels on `tensor` are compiled at run time.
#[cfg(feature = "cube")]
pub(crate) fn is_compiled<const D: usize>(tensor: &Tensor<D>) -> bool {
    use burn::backend::DispatchTensorKind;
    match tensor.clone().into_dispatch().kind {
        DispatchTensorKind::Cube(_) => true,
        DispatchTensorKind::Autodiff(inner) => matches!(*inner, DispatchTensorKind::Cube(_)),
        #[allow(unreachable_patterns)]
        _ => false,
    }
}

/// Without such a device: never.
#[cfg(not(feature = "cube"))]
pub(crate) fn is_compiled<const D: usize>(_tensor: &Tensor<D>) -> bool {
    false
}

/// How long an axis of `count` places is made on a device: as it is, or, where each new length costs seconds of tuning, the
/// next of few lengths; 0 stays 0.
pub(crate) fn padded(count: usize, device: &Device, dtype: DType) -> usize {
    if is_compiled(&Tensor::<1>::zeros([1], (device, dtype))) {
        next_of_few(count)
    } else {
        count
    }
}

/// The next power of two or sum of two neighbouring ones, from 64 on: 64, 96, 128, 192, 256, ..
fn next_of_few(count: usize) -> usize {
    if count == 0 {
        return 0;
    }
    let power = count.next_power_of_two().max(64);
    let between = power / 4 * 3;
    if count <= between && between > 64 {
        between
    } else {
        power
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_lengths_are_powers_of_two_and_those_between() {
        let lengths: std::collections::BTreeSet<usize> = (0..=400).map(next_of_few).collect();
        let lengths: Vec<usize> = lengths.into_iter().collect();
        assert_eq!(lengths, [0, 64, 96, 128, 192, 256, 384, 512]);
        for count in 43..5000 {
            let length = next_of_few(count);
            assert!(
                length >= count && 2 * length <= 3 * count,
                "{count}: {length}"
            );
        }
    }

    #[test]
    fn flex_takes_any_length() {
        assert_eq!(padded(33, &Device::flex(), DType::F64), 33);
    }
}
