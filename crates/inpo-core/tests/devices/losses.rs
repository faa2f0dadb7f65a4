//! Every loss on sums against torch and TRL in f64: `inpo-loss/tests/fixtures/losses.json`.

use burn::tensor::{DType, Device, Tensor};
use inpo_core::loss::{
    self, Anchor, Kernel, Label, LabelKind, LogpSum, Loss, MethodLoss, PairLogps, PairLoss,
    Reduction,
};

#[path = "../../../inpo-loss/tests/fixtures/losses.rs"]
mod fixtures;

use fixtures::{Case, Fixture, Inputs, Sides};

use crate::errors::Errors;
use crate::reference::{fixture, host, tensor};

/// The penalty of a case; `None` for one with an addend or on means, which the host adds up or divides.
fn kernel(case: &Case) -> Option<Kernel> {
    let MethodLoss { loss, exploration } = case.loss();
    let explores = exploration.is_some_and(|term| term.alpha() != 0.0);
    match loss {
        Loss::Sum(loss) if !explores && case.sft_loss_coef.is_none() => Some(*loss.kernel()),
        _ => None,
    }
}

/// Losses, their mean, and the gradient by autodiff and in closed form.
pub(crate) fn check(device: &Device, dtype: DType, errors: &mut Errors) {
    let path = fixture("inpo-loss/tests/fixtures/losses.json");
    let text = std::fs::read_to_string(path).expect("the fixture is there");
    let fixture = Fixture::read(&text);
    let device = device.clone().autodiff();
    let mut checked = 0;
    for case in &fixture.cases {
        let Some(kernel) = kernel(case) else {
            continue;
        };
        checked += 1;
        check_case(case, kernel, &fixture.inputs, (&device, dtype), errors);
    }
    // 67 cases were 19 methods, less 2 on means, 4 with the SFT term and 1 with exploration.
    assert!(checked >= 60);
}

fn check_case(
    case: &Case,
    kernel: Kernel,
    inputs: &Inputs,
    options: (&Device, DType),
    errors: &mut Errors,
) {
    let vector = |values: &[f64]| tensor(values, [values.len()], options);
    let pair = |sides: &Sides| PairLogps {
        chosen: LogpSum::new(vector(&sides.chosen)),
        rejected: LogpSum::new(vector(&sides.rejected)),
    };
    let anchors = case.anchors.iter();
    let anchors = anchors.map(|(name, weight)| Anchor::new(inputs.anchor(name).0, *weight));
    let loss = PairLoss::new("case", anchors, kernel).expect("the fixture's settings");
    let label = match case.label {
        LabelKind::Hard => Label::Hard,
        LabelKind::Soft => Label::Soft(vector(&inputs.p)),
        LabelKind::Scores => Label::Scores {
            chosen: vector(&inputs.scores.chosen),
            rejected: vector(&inputs.scores.rejected),
        },
    };
    let leaf = |values: &[f64]| LogpSum::new(vector(values).require_grad());
    let policy = PairLogps {
        chosen: leaf(&inputs.policy.chosen),
        rejected: leaf(&inputs.policy.rejected),
    };
    let fixed = case.anchors.iter().map(|(name, _)| inputs.anchor(name));
    let fixed: Vec<_> = fixed.map(|(role, sides)| (role, pair(sides))).collect();
    let fixed: Vec<_> = fixed.iter().map(|(role, logps)| (*role, logps)).collect();
    let output = loss.evaluate(&policy, &fixed, &label);
    let output = output.expect("the fixture has every anchor");

    let what = |list: &str| format!("{:?} {}, {list}", case.config, case.label);
    errors.compare(&what("losses"), &host(output.loss()), &case.losses);
    let mean = output.reduce(Reduction::Mean);
    errors.compare(&what("mean"), &host(mean.clone()), &[case.mean]);
    let grads = mean.backward();
    let closed = output.gradient(Reduction::Mean);
    let sides = [&policy.chosen, &policy.rejected];
    let expected = [&case.grad_chosen, &case.grad_rejected];
    for ((side, closed), expected) in sides.into_iter().zip(closed).zip(expected) {
        let by_autodiff: Tensor<1> = side.tensor().grad(&grads).expect("a leaf");
        errors.compare(&what("gradient"), &host(by_autodiff), expected);
        errors.compare(&what("closed form"), &host(closed), expected);
    }
}
