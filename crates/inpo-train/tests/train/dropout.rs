//! The masks of the adapters' dropout belong to the seed.

use inpo_policy::{LoraConfig, Sequence};
use inpo_train::config::TrainSection;
use inpo_train::{Order, TrainPair, optimise};

use crate::setup::{MODEL, ids, load};
use crate::training::{at_anchors, objective};

/// Digest of what three steps make of adapters with this dropout.
fn trained(order: Order, dropout: f64) -> String {
    let lora = LoraConfig {
        rank: 2,
        dropout,
        ..LoraConfig::default()
    };
    let policy = load(MODEL).with_adapters(&lora, 1).unwrap();
    let pair = |i| {
        let [prompt, chosen, rejected] = ids(i);
        let sides = [chosen, rejected].map(|ids| Sequence::new(&prompt, &ids));
        at_anchors(&policy, sides)
    };
    let pairs: Vec<TrainPair> = (0..4).map(pair).collect();
    let config = TrainSection {
        learning_rate: 1e-3,
        max_steps: Some(3),
        per_device_train_batch_size: 2,
        gradient_accumulation_steps: 2,
        ..TrainSection::default()
    };
    let policy = optimise(
        policy,
        &pairs,
        &objective(),
        &config,
        order,
        &mut |_| Ok(()),
    );
    policy.unwrap().digest()
}

/// With the pairs in one order the masks are all that the seed decides: the same seed gives the same adapters to the
/// bit, another one others, and without dropout no seed shows.
#[test]
fn masks_belong_to_the_seed() {
    let first = trained(Order::Given(3), 0.5);
    assert_eq!(trained(Order::Given(3), 0.5), first);
    assert_ne!(trained(Order::Given(4), 0.5), first);
    let without = trained(Order::Given(3), 0.0);
    assert_eq!(trained(Order::Given(4), 0.0), without);
    assert_ne!(without, first);
}
