//! Losses and gradients of every method against torch and TRL: `fixtures/losses.json`, made by
//! `fixtures/make_losses.py`.

use std::collections::BTreeSet;

use burn::tensor::{DType, Device, Tensor, TensorData};
use inpo_loss as loss;
use inpo_loss::{
    Label, LabelKind, LogpSum, Loss, LossError, LossOutput, PairLogps, PairLoss, Reduction, SftTerm,
};

#[path = "fixtures/losses.rs"]
mod fixture;

use fixture::{Case, Fixture, Inputs, Sides};

const LOSSES: &str = include_str!("fixtures/losses.json");

/// A precision and how far results may be off in it.
struct Precision {
    device: Device,
    dtype: DType,
    /// Relative to the expected value.
    relative: f64,
    /// Relative to the largest expected value of the same list.
    absolute: f64,
}

impl Precision {
    fn vector(&self, values: &[f64]) -> Tensor<1> {
        let data = TensorData::new(values.to_vec(), [values.len()]);
        Tensor::from_data(data, (&self.device, self.dtype))
    }

    fn pair(&self, sides: &Sides) -> PairLogps {
        let [chosen, rejected] =
            [&sides.chosen, &sides.rejected].map(|side| LogpSum::new(self.vector(side)));
        PairLogps { chosen, rejected }
    }

    #[track_caller]
    fn compare(&self, what: &str, got: Tensor<1>, expected: &[f64]) {
        assert_eq!(got.dtype(), self.dtype);
        let got: Vec<f64> = got.try_into_vec_as::<f64>().unwrap();
        assert_eq!(got.len(), expected.len(), "{what}");
        let largest = expected.iter().fold(0.0_f64, |most, e| most.max(e.abs()));
        for (place, (got, expected)) in got.into_iter().zip(expected).enumerate() {
            let bound = self.relative * expected.abs() + self.absolute * largest;
            let off = (got - expected).abs();
            assert!(off <= bound, "{what}[{place}]: {got}, not {expected}");
        }
    }
}

/// `list` with `more` added to each entry.
fn with(mut list: Vec<f64>, more: impl Fn(usize) -> f64) -> Vec<f64> {
    for (place, value) in list.iter_mut().enumerate() {
        *value += more(place);
    }
    list
}

fn host(tensor: Tensor<1>) -> Vec<f64> {
    tensor.try_into_vec_as::<f64>().unwrap()
}

/// The word of the method.
fn name(case: &Case) -> String {
    let config = serde_json::to_value(&case.config).unwrap();
    config["name"].as_str().unwrap().to_owned()
}

fn check(case: &Case, inputs: &Inputs, precision: &Precision) {
    let what = |list: &str| format!("{} {} {:?} {list}", name(case), case.label, precision.dtype);
    let built = case.loss();
    let loss = built.loss.pair_loss();
    assert_eq!(loss.name(), name(case));

    let used: Vec<_> = case.anchors.iter().filter(|(_, w)| *w != 0.0).collect();
    assert_eq!(loss.anchors().len(), used.len(), "{}", what("anchors"));
    for (anchor, (name, weight)) in loss.anchors().iter().zip(used) {
        assert_eq!(anchor.role, inputs.anchor(name).0, "{}", what("anchors"));
        assert!((anchor.weight - weight).abs() < 1e-15, "{}", what(name));
    }

    let label = match case.label {
        LabelKind::Hard => Label::Hard,
        LabelKind::Soft => Label::Soft(precision.vector(&inputs.p)),
        LabelKind::Scores => {
            let scores = precision.pair(&inputs.scores);
            let [chosen, rejected] =
                [scores.chosen, scores.rejected].map(|side| side.tensor().clone());
            Label::Scores { chosen, rejected }
        }
    };
    let [chosen, rejected] = [&inputs.policy.chosen, &inputs.policy.rejected]
        .map(|side| LogpSum::new(precision.vector(side).require_grad()));
    let policy = PairLogps { chosen, rejected };
    let names = ["ref", "prev", "aux", "history0", "history1", "history2"];
    let fixed = names.map(|name| inputs.anchor(name));
    let fixed = fixed.map(|(role, sides)| (role, precision.pair(sides)));
    let anchors: Vec<_> = fixed.iter().map(|(role, logps)| (*role, logps)).collect();
    let [tokens_chosen, tokens_rejected] = [&inputs.tokens.chosen, &inputs.tokens.rejected];
    let per_token = |pair: &PairLogps| {
        pair.per_token(
            precision.vector(tokens_chosen),
            precision.vector(tokens_rejected),
        )
    };

    let output: LossOutput = match &built.loss {
        Loss::Sum(loss) if loss.labels().contains(&case.label) => {
            loss.evaluate(&policy, &anchors, &label).unwrap()
        }
        Loss::Sum(loss) => {
            // The method has no use for this label; its kernel has.
            let error = loss.evaluate(&policy, &anchors, &label).unwrap_err();
            assert!(matches!(error, LossError::Label { .. }), "{error}");
            let open = PairLoss::new("open", loss.anchors().to_vec(), *loss.kernel()).unwrap();
            open.evaluate(&policy, &anchors, &label).unwrap()
        }
        Loss::Mean(loss) => {
            let fixed = fixed
                .iter()
                .map(|(role, logps)| (*role, per_token(logps)))
                .collect::<Vec<_>>();
            let anchors: Vec<_> = fixed.iter().map(|(role, logps)| (*role, logps)).collect();
            let policy = per_token(&policy);
            loss.evaluate(&policy, &anchors, &label).unwrap()
        }
    };
    let pairs = case.losses.len();
    let mut losses = output.loss();
    let [mut closed_chosen, mut closed_rejected] = output.gradient(Reduction::Mean).map(host);
    if let Loss::Mean(_) = built.loss {
        // From the means to the sums.
        for (slopes, tokens) in [
            (&mut closed_chosen, tokens_chosen),
            (&mut closed_rejected, tokens_rejected),
        ] {
            slopes.iter_mut().zip(tokens).for_each(|(s, n)| *s /= n);
        }
    }
    if let Some(coefficient) = case.sft_loss_coef {
        let sft = SftTerm::new(coefficient).unwrap();
        losses = losses + sft.loss(&per_token(&policy).chosen);
        closed_chosen = with(closed_chosen, |place| {
            sft.gradient(tokens_chosen[place] as usize) / pairs as f64
        });
    }
    let explored = precision.vector(&inputs.explore).require_grad();
    let exploration = built.exploration.filter(|term| term.alpha() != 0.0);
    if let Some(exploration) = exploration {
        assert_eq!(case.explore.as_ref(), Some(&inputs.explore));
        losses = losses + exploration.loss(&LogpSum::new(explored.clone()));
    }
    assert_eq!(exploration.is_some(), case.grad_explore.is_some());

    precision.compare(&what("losses"), losses.clone(), &case.losses);
    let mean = losses.mean();
    precision.compare(&what("mean"), mean.clone(), &[case.mean]);
    if case.sft_loss_coef.is_none() && exploration.is_none() {
        precision.compare(&what("mean"), output.reduce(Reduction::Mean), &[case.mean]);
    }
    let grads = mean.backward();
    let by_autodiff = |leaf: &Tensor<1>| leaf.grad(&grads).unwrap();
    for (side, leaf, closed, expected) in [
        ("chosen", &policy.chosen, closed_chosen, &case.grad_chosen),
        (
            "rejected",
            &policy.rejected,
            closed_rejected,
            &case.grad_rejected,
        ),
    ] {
        let closed = precision.vector(&closed);
        precision.compare(&what(side), by_autodiff(leaf.tensor()), expected);
        precision.compare(&what(&format!("{side}, closed form")), closed, expected);
    }
    if let Some(expected) = &case.grad_explore {
        precision.compare(&what("explored"), by_autodiff(&explored), expected);
    }
}

fn check_all(precision: &Precision) {
    let Fixture { inputs, cases } = Fixture::read(LOSSES);
    for case in &cases {
        check(case, &inputs, precision);
    }
}

#[test]
fn in_double_precision() {
    check_all(&Precision {
        device: Device::flex().autodiff(),
        dtype: DType::F64,
        relative: 1e-10,
        absolute: 0.0,
    });
}

/// Sums of up to 200 nats are exact in f32 (multiples of 1/1024) and their products with weights are good
/// to 1e-5 nats; h is of order 1 to 10, so that single losses near 0 have fewer digits than the largest.
#[test]
fn in_single_precision() {
    check_all(&Precision {
        device: Device::flex().autodiff(),
        dtype: DType::F32,
        relative: 0.0,
        absolute: 1e-5,
    });
}

/// `IpoMeanLossConfig` is `ipo_mean`, and so on for all that `lib.rs` exports.
#[test]
fn every_method_has_a_case() {
    let exported: BTreeSet<String> = include_str!("../src/methods/mod.rs")
        .lines()
        .filter(|line| line.starts_with("pub use "))
        .flat_map(|line| line.split(|c: char| !c.is_alphanumeric()))
        .filter_map(|word| word.strip_suffix("LossConfig"))
        .map(|camel| {
            let snake = camel.chars().flat_map(|c| {
                let gap = c.is_uppercase().then_some('_');
                gap.into_iter().chain(c.to_lowercase())
            });
            snake.skip(1).collect()
        })
        .collect();
    assert!(exported.len() >= 19);
    let cases = Fixture::read(LOSSES).cases;
    let covered: BTreeSet<String> = cases.iter().map(name).collect();
    assert_eq!(covered, exported);
    // As many as the script printed, when it had 19 methods; the second is of numbers that are TRL's own.
    let trl = cases.iter().filter(|case| case.source == "trl").count();
    assert!(cases.len() >= 67 && trl >= 12);
}
