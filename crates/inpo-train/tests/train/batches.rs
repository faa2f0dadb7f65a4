//! How a step's pairs are grouped does not show in what it does.

use inpo_policy::Sequence;
use inpo_train::config::{Optim, TrainSection};
use inpo_train::{Order, StepMetrics, TrainPair, optimise};

use crate::setup::{MODEL, close, ids, load, logps};
use crate::training::{at_anchors, objective};

/// Loss and gradient norm of two steps, and the log-probs of pairs 0 to 5 after them, with the pairs in this
/// order and so many in a group.
fn trained(order: &[usize], group: usize) -> Vec<f64> {
    let policy = load(MODEL);
    let pairs: Vec<TrainPair> = order
        .iter()
        .map(|&i| {
            let [prompt, chosen, rejected] = ids(i);
            let sides = [chosen, rejected].map(|ids| Sequence::new(&prompt, &ids));
            at_anchors(&policy, sides)
        })
        .collect();
    // Plain descent: AdamW would blow the rounding of a gradient near zero up to a whole step.
    let config = TrainSection {
        optim: Optim::Sgd,
        learning_rate: 0.05,
        warmup_ratio: Some(0.0),
        max_steps: Some(2),
        per_device_train_batch_size: group,
        gradient_accumulation_steps: 6 / group,
        ..TrainSection::default()
    };
    let mut figures = Vec::new();
    let mut log = |metrics: StepMetrics| {
        figures.extend([metrics.batch.loss, metrics.progress.grad_norm]);
        Ok(())
    };
    let policy = optimise(
        policy,
        &pairs,
        &objective(),
        &config,
        Order::Given(0),
        &mut log,
    )
    .unwrap();
    figures.extend((0..6).flat_map(|i| logps(&policy, i)));
    figures
}

/// Responses have 2 to 9 tokens, so that the groups of each of these orders are sorted differently, and a
/// figure that went to another pair would be refused as a stale anchor.
#[test]
fn order_and_groups_of_a_step_do_not_matter() {
    let expected = trained(&[0, 1, 2, 3, 4, 5], 6);
    assert_eq!(expected.len(), 4 + 12);
    assert!((expected[0] - 25.0).abs() < 1e-3 && (expected[2] - 25.0).abs() > 1e-2);
    for (order, group) in [
        ([0, 1, 2, 3, 4, 5], 2),
        ([5, 3, 1, 4, 2, 0], 6),
        ([2, 5, 0, 4, 1, 3], 2),
        ([4, 0, 3, 1, 5, 2], 1),
    ] {
        let got = trained(&order, group);
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.into_iter().zip(&expected) {
            close(got, *expected, 1e-5);
        }
    }
}
