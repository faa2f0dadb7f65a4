//! INPO, the IPO family, REBEL and ENPO: one squared loss an iteration.

use inpo_game::{PreferenceGame, Strategy, regularised_nash};
use inpo_loss::{
    EnpoLossConfig, InpoLossConfig, IpoLossConfig, IterativeIpoLossConfig, LabelKind,
    OnlineIpoLossConfig, RebelLossConfig, Role,
};
use inpo_solver::{Inpo, IterativeIpo, Reference, Sppo, State, StepSize};
use proptest::proptest;

use crate::game::{Case, cases, config, shares};
use crate::population::{Objective, largest, logits, same};

const KINDS: [LabelKind; 3] = [LabelKind::Hard, LabelKind::Soft, LabelKind::Scores];

/// INPO's objective around pi_t with pairs from pi_t.
fn inpo(case: &Case, tau: f64, kind: LabelKind, previous: &Strategy) -> Objective {
    let loss = InpoLossConfig { eta: case.eta, tau }.init().unwrap();
    Objective::new(loss, kind, &case.game, previous)
        .towards(Role::Reference, &case.reference)
        .towards(Role::Previous, previous)
}

/// Some policy near none of the others.
fn elsewhere(case: &Case) -> Strategy {
    Strategy::from_logits(&case.aside).unwrap()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn inpo_with_every_label(case in cases(), share in shares()) {
        let tau = share * case.eta;
        let states = case.play(&case.problem(tau), &Inpo::new(StepSize::Constant(case.eta)));
        for step in states.windows(2) {
            let (before, after) = (step[0].strategy(), step[1].strategy());
            for kind in KINDS {
                inpo(&case, tau, kind, before).check_minimum(before, after, &case.aside);
            }
        }
        let found = inpo(&case, tau, LabelKind::Hard, &case.start).minimise(&case.start);
        same(&found, states[1].strategy(), 1e-10);
    }

    /// Proposition 6: the three labels have one gradient, whatever the policy. With the residual
    /// a(y) = log pi(y) - sum_k w_k log q_k(y) - P(y > pi_t)/eta, the loss on scores is
    /// sum_{y,y'} pi_t(y) pi_t(y') (a(y) - a(y'))^2 = 2 Var(a), whose gradient in the logits is
    /// 4 pi_t(y) (a(y) - E a). The values differ by the constants of docs/theory.md 4.3, with means over the pairs:
    /// hard - soft = E p (1 - p)/eta^2, hard - scores = (1/4 - 2 Var P(y > pi_t))/eta^2.
    #[test]
    fn the_labels_differ_by_constants(case in cases(), share in shares()) {
        let (eta, tau) = (case.eta, share * case.eta);
        let (mu, policy) = (&case.start, elsewhere(&case));
        let rates = case.game.win_rates(mu);
        let mean = |of: &dyn Fn(usize) -> f64| -> f64 {
            (0..mu.num_actions()).map(|y| mu[y] * of(y)).sum()
        };
        let variance = |of: &dyn Fn(usize) -> f64| mean(&|y| (of(y) - mean(of)).powi(2));
        let residual = |y: usize| {
            let anchors = share * case.reference[y].ln() + (1.0 - share) * mu[y].ln();
            policy[y].ln() - anchors - rates[y] / eta
        };
        let slope = |y: usize| 4.0 * mu[y] * (residual(y) - mean(&residual));
        let at = logits(&policy);
        let objectives = KINDS.map(|kind| inpo(&case, tau, kind, mu));
        for objective in &objectives {
            for gradient in [objective.gradient(&at), objective.gradient_by_autodiff(&at)] {
                for (y, got) in gradient.into_iter().enumerate() {
                    assert!((got - slope(y)).abs() < 1e-12, "{got}, not {}", slope(y));
                }
            }
        }
        let [hard, soft, scores] = objectives.map(|objective| objective.value(&at));
        let p = |y: usize, other: usize| case.game.preference(y, other).get();
        let spread = mean(&|y| mean(&|other| p(y, other) * (1.0 - p(y, other))));
        let close = |got: f64, expected: f64| {
            assert!((got - expected).abs() < 1e-11, "{got}, not {expected}");
        };
        close(scores, 2.0 * variance(&residual));
        close(hard - soft, spread / eta.powi(2));
        close(hard - scores, (0.25 - 2.0 * variance(&|y| rates[y])) / eta.powi(2));
    }

    #[test]
    fn iterative_ipo_with_either_reference(case in cases()) {
        for reference in [Reference::Previous, Reference::Fixed] {
            let solver = IterativeIpo::new(StepSize::Constant(case.eta), reference);
            for step in case.play(&case.problem(0.0), &solver).windows(2) {
                let (before, after) = (step[0].strategy(), step[1].strategy());
                let base = match reference {
                    Reference::Previous => before,
                    Reference::Fixed => &case.reference,
                };
                let loss = IterativeIpoLossConfig { beta: case.eta }.init().unwrap();
                Objective::new(loss, LabelKind::Hard, &case.game, before)
                    .towards(Role::Reference, base)
                    .check_minimum(before, after, &case.aside);
            }
        }
    }

    /// Fixed data from whatever sampler: one step of iterative IPO from there, towards the reference.
    #[test]
    fn ipo_on_fixed_data(case in cases()) {
        let solver = IterativeIpo::new(StepSize::Constant(case.eta), Reference::Fixed);
        let states = case.play(&case.problem(0.0), &solver);
        for kind in KINDS {
            let loss = IpoLossConfig { beta: case.eta }.init().unwrap();
            let objective = Objective::new(loss, kind, &case.game, &case.start)
                .towards(Role::Reference, &case.reference);
            objective.check_minimum(&case.reference, states[1].strategy(), &case.aside);
            same(&objective.minimise(&case.reference), states[1].strategy(), 1e-10);
        }
    }

    /// The sampler is the policy itself. Elsewhere the gradient is 4 pi(y) (a(y) - E a), the residual a of
    /// `the_labels_differ_by_constants`, which vanishes only where a is constant: at the fixed point of
    /// pi = ref exp(P(y > pi)/beta), up to its normaliser.
    #[test]
    fn online_ipo_rests_at_the_regularised_nash_policy(case in cases()) {
        let beta = case.eta;
        let nash = regularised_nash(&case.game, &case.reference, beta).unwrap();
        let objective = |sampler: &Strategy| {
            let loss = OnlineIpoLossConfig { beta }.init().unwrap();
            Objective::new(loss, LabelKind::Hard, &case.game, sampler)
                .towards(Role::Reference, &case.reference)
        };
        let scale = largest(&objective(&nash).gradient(&logits(&case.start)));
        objective(&nash).check_minimum(&case.start, &nash, &case.aside);
        for policy in [&case.start, &case.reference, &elsewhere(&case)] {
            let left = largest(&objective(policy).gradient_by_autodiff(&logits(policy)));
            assert!(left > 1e-4 * scale, "{left} of {scale} at {policy:?}");
        }
        // Near the Nash policy as well.
        let near: Vec<f64> = logits(&nash).iter().zip(&case.aside).map(|(z, a)| z + 1e-3 * a).collect();
        let near = Strategy::from_logits(&near).unwrap();
        let left = largest(&objective(&near).gradient(&logits(&near)));
        assert!(left > 1e-6 * scale, "{left} of {scale} is left");
    }

    /// Win rates against pi_t as rewards: multiplicative weights.
    #[test]
    fn rebel_on_win_rates(case in cases()) {
        let solver = Sppo::new(StepSize::Constant(case.eta));
        for step in case.play(&case.problem(0.0), &solver).windows(2) {
            let (before, after) = (step[0].strategy(), step[1].strategy());
            let loss = RebelLossConfig { eta: case.eta }.init().unwrap();
            Objective::new(loss, LabelKind::Scores, &case.game, before)
                .towards(Role::Previous, before)
                .check_minimum(before, after, &case.aside);
        }
    }

    /// Without its bonus, INPO's step, and multiplicative weights at tau = 0.
    #[test]
    fn enpo_without_exploration(case in cases(), share in shares()) {
        let (eta, step_size) = (case.eta, StepSize::Constant(case.eta));
        let check = |tau: f64, before: &Strategy, after: &Strategy| {
            let (loss, exploration) = EnpoLossConfig { eta, tau, alpha: 0.0 }.init().unwrap();
            assert_eq!(exploration.alpha(), 0.0);
            Objective::new(loss, LabelKind::Scores, &case.game, before)
                .towards(Role::Reference, &case.reference)
                .towards(Role::Previous, before)
                .check_minimum(before, after, &case.aside);
        };
        for step in case.play(&case.problem(share * eta), &Inpo::new(step_size)).windows(2) {
            check(share * eta, step[0].strategy(), step[1].strategy());
        }
        for step in case.play(&case.problem(0.0), &Sppo::new(step_size)).windows(2) {
            check(0.0, step[0].strategy(), step[1].strategy());
        }
    }
}
