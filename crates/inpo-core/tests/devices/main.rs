//! The numbers of every device: the same checks on each backend that is compiled in and that the machine has,
//! against values from elsewhere (f64 on the host, torch's losses, numpy's log-probs, Flex in f64).
//!
//! ```text
//! cargo test --workspace --test devices -- --nocapture                               Flex
//! cargo test --workspace --features inpo-core/cuda --test devices -- --nocapture     CUDA too
//! INPO_REQUIRE_DEVICE=cuda:0 ..                                         its absence is a failure
//! ```
//!
//! A check measures its largest error on a device in a type; `targets.rs` has what is allowed. Each
//! prints a row of the table in `docs/backends.md`.

mod decoder;
mod errors;
mod head;
mod losses;
mod operations;
mod optimiser;
mod reference;
mod sampling;
mod shared_prompt;
mod step;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::{DType, Device};
use errors::Errors;
use targets::{Target, targets};

const F64: DType = DType::F64;
const F32: DType = DType::F32;
const BF16: DType = DType::BF16;

/// A check and where it makes sense.
struct Check {
    name: &'static str,
    dtypes: &'static [DType],
    /// Whether its expected values are those of Flex in f64, which are then not compared with themselves.
    by_flex: bool,
    /// Whether it goes back through a whole model.
    whole_gradients: bool,
    run: fn(&Device, DType, &mut Errors),
}

/// Runs a check on every target in one of its types; one that fails, or panics, does not keep the others
/// from being measured.
fn on_every_device(check: Check) {
    let mut failures = Vec::new();
    let is_reference = |target: &Target| target.name == "flex" && target.dtype == F64;
    let chosen = |target: &&Target| {
        check.dtypes.contains(&target.dtype) && !(check.by_flex && is_reference(target))
    };
    for target in targets().iter().filter(chosen) {
        let mut errors = Errors::default();
        let run = || (check.run)(&target.device, target.dtype, &mut errors);
        let panicked = catch_unwind(AssertUnwindSafe(run)).is_err();
        let found = if panicked {
            "panicked".to_owned()
        } else {
            errors.to_string()
        };
        let (name, device) = (check.name, &target.name);
        let allowed = target.allowed(check.whole_gradients);
        let dtype = format!("{:?}", target.dtype).to_lowercase();
        let row = format!("| {name} | {device} | {dtype} | {found} | {allowed:.0e} |");
        println!("{row}");
        if panicked || !errors.within(allowed) {
            failures.push(row);
        }
    }
    let rows = failures.join("\n");
    assert!(
        failures.is_empty(),
        "check, device, type, largest error, allowed:\n{rows}"
    );
}

#[test]
fn operations() {
    on_every_device(Check {
        name: "operations",
        dtypes: &[F64, F32, BF16],
        by_flex: false,
        whole_gradients: false,
        run: operations::check,
    });
}

#[test]
fn losses() {
    on_every_device(Check {
        name: "losses",
        dtypes: &[F64, F32],
        by_flex: false,
        whole_gradients: false,
        run: losses::check,
    });
}

#[test]
fn head() {
    on_every_device(Check {
        name: "head",
        dtypes: &[F64, F32],
        by_flex: false,
        whole_gradients: false,
        run: head::check,
    });
}

#[test]
fn head_of_real_size() {
    on_every_device(Check {
        name: "head, real size",
        dtypes: &[F32],
        by_flex: false,
        whole_gradients: false,
        run: head::check_real_size,
    });
}

#[test]
fn decoder() {
    on_every_device(Check {
        name: "decoder",
        dtypes: &[F64, F32, BF16],
        by_flex: false,
        whole_gradients: false,
        run: decoder::check,
    });
}

#[test]
fn shared_prompt() {
    on_every_device(Check {
        name: "shared prompt",
        dtypes: &[F64, F32, BF16],
        by_flex: false,
        whole_gradients: true,
        run: shared_prompt::check,
    });
}

#[test]
fn step() {
    on_every_device(Check {
        name: "step",
        dtypes: &[F64, F32, BF16],
        by_flex: true,
        whole_gradients: true,
        run: step::check,
    });
}

#[test]
fn step_of_real_size() {
    on_every_device(Check {
        name: "step, real size",
        dtypes: &[F32],
        by_flex: true,
        whole_gradients: true,
        run: step::check_real_size,
    });
}

#[test]
fn trajectory() {
    on_every_device(Check {
        name: "trajectory",
        dtypes: &[F64, F32],
        by_flex: true,
        whole_gradients: false,
        run: step::check_trajectory,
    });
}

#[test]
fn optimiser() {
    on_every_device(Check {
        name: "optimiser",
        dtypes: &[F64, F32],
        by_flex: false,
        whole_gradients: false,
        run: optimiser::check,
    });
}

#[test]
fn sampling() {
    on_every_device(Check {
        name: "sampling",
        // The sampler reads logits in f32.
        dtypes: &[F32],
        by_flex: true,
        whole_gradients: false,
        run: sampling::check,
    });
}
