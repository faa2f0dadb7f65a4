//! What tests of `optimise` share: INPO's loss on pairs whose policy is each of its anchors, as in a first iteration.

#![allow(dead_code, reason = "each test uses its part")]

use inpo_loss::InpoLossConfig;
use inpo_policy::{Policy, Sequence};
use inpo_train::{Objective, TrainPair};

/// With eta = 0.1: a target of 5 nats, and a first loss of 25.
pub(crate) fn objective() -> Objective {
    let loss = InpoLossConfig {
        eta: 0.1,
        tau: 0.03,
    };
    Objective::from(loss.init().unwrap())
}

/// Chosen and rejected, both anchors being `policy`.
pub(crate) fn at_anchors(policy: &Policy, [chosen, rejected]: [Sequence; 2]) -> TrainPair {
    let sums = policy.logps(&[chosen.clone(), rejected.clone()]).unwrap();
    let start = [0, 1].map(|side| sums[side].iter().sum());
    TrainPair::new(chosen, rejected, start, vec![start; 2])
}

/// Resident memory of this process, in MiB.
#[cfg(target_os = "linux")]
pub(crate) fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024.0
}
