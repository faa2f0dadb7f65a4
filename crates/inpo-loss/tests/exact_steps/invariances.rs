//! What holds for every loss, on random log-probs: h changes its sign with the order of the pair, and a
//! constant added to both responses of a policy is not seen.

use burn::tensor::{DType, Device, Tensor, TensorData};
use inpo_loss::{
    ComalLossConfig, DnoLossConfig, DnoPrctLossConfig, DpoLossConfig, EgpoLossConfig,
    EnpoLossConfig, HingeLossConfig, InpoLossConfig, IpoLossConfig, IterativeDpoLossConfig,
    IterativeIpoLossConfig, Kernel, Label, LabelKind, LogpSum, LossOutput, MnpoLossConfig,
    MpoLossConfig, NashMdLossConfig, OnlineIpoLossConfig, OnpoLossConfig, PairLogps, PairLoss,
    RebelLossConfig, Reduction, Role, SppoLossConfig,
};
use proptest::prelude::{prop, proptest};

use crate::game::config;

/// The pairs of a batch.
const PAIRS: usize = 4;

const ROLES: [Role; 6] = [
    Role::Reference,
    Role::Previous,
    Role::Auxiliary,
    Role::History(0),
    Role::History(1),
    Role::History(2),
];

/// Every loss on sums of log-probs.
fn losses() -> Vec<PairLoss> {
    let (eta, beta, tau, label_smoothing) = (0.5, 0.5, 0.2, 0.1);
    let history_weights = vec![0.5, 0.3, 0.2];
    let alpha = 0.0;
    let losses = [
        InpoLossConfig { eta, tau }.init(),
        EgpoLossConfig { eta, tau }.init(),
        NashMdLossConfig { eta, tau }.init(),
        ComalLossConfig { eta, tau }.init(),
        MpoLossConfig { eta, tau }.init(),
        EnpoLossConfig { eta, tau, alpha }
            .init()
            .map(|(loss, _)| loss),
        IpoLossConfig { beta }.init(),
        OnlineIpoLossConfig { beta }.init(),
        IterativeIpoLossConfig { beta }.init(),
        DpoLossConfig {
            beta,
            label_smoothing,
        }
        .init(),
        IterativeDpoLossConfig {
            beta,
            label_smoothing,
        }
        .init(),
        HingeLossConfig { beta }.init(),
        SppoLossConfig { eta }.init(),
        DnoLossConfig { eta }.init(),
        DnoPrctLossConfig { eta }.init(),
        RebelLossConfig { eta }.init(),
        OnpoLossConfig { eta }.init(),
        MnpoLossConfig {
            eta,
            history_weights,
        }
        .init(),
    ];
    losses.map(Result::unwrap).into()
}

/// Numbers of both responses of each pair.
type Sides = [Vec<f64>; 2];

fn tensor(values: &[f64]) -> Tensor<1> {
    let data = TensorData::new(values.to_vec(), [values.len()]);
    Tensor::from_data(data, (&Device::flex(), DType::F64))
}

fn label(kind: LabelKind, of: &Sides) -> Label {
    match kind {
        LabelKind::Hard => Label::Hard,
        LabelKind::Soft => Label::Soft(tensor(&of[0])),
        LabelKind::Scores => Label::Scores {
            chosen: tensor(&of[0]),
            rejected: tensor(&of[1]),
        },
    }
}

/// `policies` holds the trained policy first, then [`ROLES`].
fn evaluate(loss: &PairLoss, policies: &[Sides], label: &Label) -> LossOutput {
    let pair = |sides: &Sides| PairLogps {
        chosen: LogpSum::new(tensor(&sides[0])),
        rejected: LogpSum::new(tensor(&sides[1])),
    };
    let pairs: Vec<PairLogps> = policies.iter().map(pair).collect();
    let anchors: Vec<_> = ROLES.into_iter().zip(&pairs[1..]).collect();
    loss.evaluate(&pairs[0], &anchors, label).unwrap()
}

/// h, losses and both gradients.
fn figures(output: &LossOutput) -> [Vec<f64>; 4] {
    let [chosen, rejected] = output.gradient(Reduction::Sum);
    [output.h(), output.loss(), chosen, rejected].map(|t| t.try_into_vec_as::<f64>().unwrap())
}

fn alike(first: &[f64], second: &[f64]) -> bool {
    let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-9 * a.abs().max(1.0);
    first.len() == second.len() && first.iter().zip(second).all(near)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn of_the_order_of_a_pair(
        logps in prop::collection::vec(-40.0..-1.0f64, 14 * PAIRS),
        p in prop::collection::vec(0.0..=1.0f64, 2 * PAIRS),
    ) {
        let sides = |list: &[f64]| -> Sides { [list[..PAIRS].to_vec(), list[PAIRS..].to_vec()] };
        let turned = |[chosen, rejected]: Sides| [rejected, chosen];
        let policies: Vec<Sides> = logps.chunks(2 * PAIRS).map(sides).collect();
        let others: Vec<Sides> = policies.iter().cloned().map(turned).collect();
        let scores = sides(&p);
        let opposite = p.iter().map(|p| 1.0 - p).collect::<Vec<f64>>();
        for loss in losses() {
            for &kind in loss.labels() {
                let other_label = match kind {
                    LabelKind::Hard => Label::Hard,
                    LabelKind::Soft => label(kind, &sides(&opposite)),
                    LabelKind::Scores => label(kind, &turned(scores.clone())),
                };
                let one = figures(&evaluate(&loss, &policies, &label(kind, &scores)));
                let other = figures(&evaluate(&loss, &others, &other_label));
                let negative: Vec<f64> = other[0].iter().map(|h| -h).collect();
                assert!(alike(&one[0], &negative), "{}", loss.name());
                // A hard label belongs to the order.
                if kind != LabelKind::Hard {
                    assert!(alike(&one[1], &other[1]), "{} {kind}", loss.name());
                    assert!(alike(&one[2], &other[3]), "{} {kind}", loss.name());
                    assert!(alike(&one[3], &other[2]), "{} {kind}", loss.name());
                }
            }
        }
    }

    #[test]
    fn of_constants(
        logps in prop::collection::vec(-40.0..-1.0f64, 14 * PAIRS),
        p in prop::collection::vec(0.0..=1.0f64, 2 * PAIRS),
        constants in prop::collection::vec(1.0..9.0f64, 7 * PAIRS),
    ) {
        let sides = |list: &[f64]| -> Sides { [list[..PAIRS].to_vec(), list[PAIRS..].to_vec()] };
        let policies: Vec<Sides> = logps.chunks(2 * PAIRS).map(sides).collect();
        let plus = |(sides, constants): (&Sides, &[f64])| -> Sides {
            sides.clone().map(|side| side.iter().zip(constants).map(|(l, c)| l + c).collect())
        };
        let moved: Vec<Sides> = policies.iter().zip(constants.chunks(PAIRS)).map(plus).collect();
        for loss in losses() {
            for &kind in loss.labels() {
                let label = label(kind, &sides(&p));
                let one = figures(&evaluate(&loss, &policies, &label));
                let other = figures(&evaluate(&loss, &moved, &label));
                assert!(alike(&one[0], &other[0]), "{}", loss.name());
                // SPPO sees them, in each of its responses.
                let each = matches!(loss.kernel(), Kernel::SquaredEach { .. });
                for (one, other) in one.iter().zip(&other).skip(1) {
                    assert_eq!(alike(one, other), !each, "{} {kind}", loss.name());
                }
            }
        }
    }
}
