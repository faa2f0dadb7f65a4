//! SPPO, whose loss looks at each response by itself and so at the normaliser too.
//!
//! With pairs from mu and t(y) = (P(y > mu) - 1/2)/eta the population loss is 2 E_mu (r - t)^2 but for a
//! constant, r = log(pi/mu). Log-probs that need not be normalised reach r = t, which normalises to the exact
//! update r* = t - log Z. A policy has E_mu e^r = 1 as well, and there (with a Lagrange multiplier)
//!
//! ```text
//! r(y) + c e^r(y) = t(y),    c the same for all y
//! ```
//!
//! The left side increases in r for c >= 0, so each r(y) falls in c, and E_mu e^r falls from Z >= 1 (Jensen:
//! E_mu t = 0) to 0: one c >= 0 fits. A c < 0 has r > t and E_mu e^r > Z >= 1: none fits. So the loss has one
//! stationary policy, its minimum (it grows without bound towards the edge of the simplex). With gamma = 1/eta,
//! a = P(y > mu) - 1/2 and V = E_mu a^2, log Z = gamma^2 V/2 + O(gamma^3) is c to second order and
//!
//! ```text
//! r(y) - r*(y) = log Z - c e^r(y) = -gamma^3 V a(y)/2 + O(gamma^4)
//! ```
//!
//! where the terms of order gamma^3 that are the same for all y cancel, as both policies are normalised.
//! Where gamma is large, c e^r = t - r is close to t for t > 0, as r is at most log(1/mu), and r is close to t
//! below: pi tends to mu(y) max(0, a(y)), normalised.

use inpo_game::{PreferenceGame, Strategy};
use inpo_loss::{LabelKind, Role, SppoLossConfig};
use inpo_solver::{Sppo, State, StepSize};
use proptest::proptest;

use crate::game::{Case, cases, config};
use crate::population::{Objective, largest, logits, same};

const KINDS: [LabelKind; 3] = [LabelKind::Hard, LabelKind::Soft, LabelKind::Scores];

fn objective(case: &Case, eta: f64, kind: LabelKind) -> Objective {
    let loss = SppoLossConfig { eta }.init().unwrap();
    Objective::new(loss, kind, &case.game, &case.start).towards(Role::Previous, &case.start)
}

/// The exact update of the solver.
fn update(case: &Case, eta: f64) -> Strategy {
    let states = case.play(&case.problem(0.0), &Sppo::new(StepSize::Constant(eta)));
    states[1].strategy().clone()
}

/// t(y).
fn targets(case: &Case, eta: f64) -> Vec<f64> {
    let rates = case.game.win_rates(&case.start);
    rates.iter().map(|rate| (rate - 0.5) / eta).collect()
}

/// The x from `low` to `high` where the increasing `f` is 0, to the last bits.
fn root(f: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if f(middle) > 0.0 {
            high = middle;
        } else {
            low = middle;
        }
    }
    0.5 * (low + high)
}

/// The policy at which the loss is least: two nested searches.
fn least(case: &Case, eta: f64) -> Strategy {
    let targets = targets(case, eta);
    let most = largest(&targets);
    // r <= t; and r >= t - c if r <= 0.
    let ratio = |c: f64, t: f64| root(|r| r + c * r.exp() - t, (t - c).min(0.0), t);
    let missing = |c: f64| {
        let mass = |(y, t): (usize, &f64)| case.start[y] * ratio(c, *t).exp();
        1.0 - targets.iter().enumerate().map(mass).sum::<f64>()
    };
    // Once c is above every t, each r is below 0: c + 0 > t.
    let c = root(missing, 0.0, most);
    let logits = logits(&case.start);
    let logits: Vec<f64> = logits
        .iter()
        .zip(&targets)
        .map(|(z, t)| z + ratio(c, *t))
        .collect();
    Strategy::from_logits(&logits).unwrap()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn free_log_probs_reach_the_exact_update(case in cases()) {
        let mu = logits(&case.start);
        let free: Vec<f64> = mu.iter().zip(targets(&case, case.eta)).map(|(z, t)| z + t).collect();
        for kind in KINDS {
            let objective = objective(&case, case.eta, kind);
            let scale = largest(&objective.gradient_of_logps(&mu));
            assert!(largest(&objective.gradient_of_logps(&free)) <= 1e-12 * scale);
            // A sum of squares, one for each action: strictly convex in the log-probs.
            let value = objective.value_of_logps(&free);
            for (y, aside) in case.aside.iter().enumerate() {
                let mut moved = free.clone();
                moved[y] += aside;
                assert!(objective.value_of_logps(&moved) > value);
            }
        }
        same(&Strategy::from_logits(&free).unwrap(), &update(&case, case.eta), 1e-14);
    }

    /// Whatever the step.
    #[test]
    fn policies_reach_their_own_minimum(case in cases()) {
        let least = least(&case, case.eta);
        for kind in KINDS {
            let objective = objective(&case, case.eta, kind);
            objective.check_minimum(&case.start, &least, &case.aside);
            same(&objective.minimise(&case.start), &least, 1e-9);
        }
    }

    #[test]
    fn the_minimum_is_the_exact_update_to_second_order(case in cases()) {
        let rates = case.game.win_rates(&case.start);
        let advantage = |y: usize| rates[y] - 0.5;
        let spread: f64 = (0..rates.len()).map(|y| case.start[y] * advantage(y).powi(2)).sum();
        let difference = |gamma: f64| -> Vec<f64> {
            let (least, update) = (logits(&least(&case, 1.0 / gamma)), logits(&update(&case, 1.0 / gamma)));
            least.iter().zip(update).map(|(l, u)| l - u).collect()
        };
        for gamma in [0.2, 0.1, 0.05] {
            for (y, got) in difference(gamma).into_iter().enumerate() {
                let expected = -0.5 * gamma.powi(3) * spread * advantage(y);
                let off = (got - expected).abs();
                assert!(off < 0.1 * gamma.powi(4), "{gamma}: {got}, not {expected}");
            }
        }
        let factor = largest(&difference(0.1)) / largest(&difference(0.05));
        assert!((factor - 8.0).abs() < 0.8, "{factor}");
    }

    /// At gamma = 1e6: log-probs of some ten nats at most against targets of some 1e5.
    #[test]
    fn large_steps_are_linear_in_the_advantage(case in cases()) {
        let rates = case.game.win_rates(&case.start);
        let weights = rates.iter().zip(case.start.iter()).map(|(rate, p)| p * (rate - 0.5).max(0.0));
        let weights: Vec<f64> = weights.collect();
        let sum: f64 = weights.iter().sum();
        let limit = Strategy::new(weights.iter().map(|w| w / sum).collect()).unwrap();
        same(&least(&case, 1e-6), &limit, 1e-3);
    }
}
