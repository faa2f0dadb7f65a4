//! What the machine can do.

use inpo_core::burn::tensor::{DType, Distribution, Tensor};
use inpo_core::kernels::linear;
use serde_json::json;

use crate::report::timed;
use crate::{Common, Error};

pub(crate) fn peak(common: &Common, size: usize) -> Result<(), Error> {
    let device = common.device()?;
    let matrix = || {
        let options = (&device, DType::F32);
        Tensor::<2>::random([size, size], Distribution::Default, options)
    };
    let (a, b) = (matrix(), matrix());
    let seconds = timed(common.repeats, || {
        let product = linear(a.clone(), b.clone(), None);
        let done = device.sync();
        drop(product);
        done
    })?;
    let gflop = 2e-9 * (size as f64).powi(3);
    let best = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    let row = json!({
        "measurement": "peak",
        "size": size,
        "repeats": seconds.len(),
        "seconds_min": best,
        "gflops": gflop / best,
    });
    println!("{row}");
    Ok(())
}
