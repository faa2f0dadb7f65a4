//! The logistic losses.

use inpo_game::Strategy;
use inpo_loss::{
    DnoLossConfig, DnoPrctLossConfig, DpoLossConfig, IterativeDpoLossConfig, LabelKind, PairLoss,
    Role,
};
use inpo_solver::{IterativeDpo, Reference, Sppo, State, StepSize};
use proptest::proptest;

use crate::game::{Case, cases, config};
use crate::population::{Objective, same};

/// beta for INPO's step 1/eta: near equal preferences the scores are 4 (P - 1/2).
const SCALE: f64 = 4.0;

/// Updates of iterative DPO, whose policies soon put next to nothing on some action.
const UPDATES: usize = 2;

/// The objective of one of them around `base` with pairs from `sampler`.
fn objective(
    case: &Case,
    loss: PairLoss,
    kind: LabelKind,
    sampler: &Strategy,
    base: &Strategy,
) -> Objective {
    let role = loss.anchors()[0].role;
    Objective::new(loss, kind, &case.game, sampler).towards(role, base)
}

proptest! {
    #![proptest_config(config())]

    /// The loss is linear in the label, so that hard labels, drawn, and exact soft ones have one minimiser.
    #[test]
    fn iterative_dpo_with_either_reference(case in cases()) {
        let beta = SCALE * case.eta;
        for reference in [Reference::Previous, Reference::Fixed] {
            let solver = IterativeDpo::new(StepSize::Constant(beta), reference);
            let states = case.play(&case.problem(0.0), &solver);
            for (t, step) in states.windows(2).take(UPDATES).enumerate() {
                let (before, after) = (step[0].strategy(), step[1].strategy());
                let base = match reference {
                    Reference::Previous => before,
                    Reference::Fixed => &case.reference,
                };
                for kind in [LabelKind::Soft, LabelKind::Hard] {
                    let config = IterativeDpoLossConfig { beta, label_smoothing: 0.0 };
                    let objective = objective(&case, config.init().unwrap(), kind, before, base);
                    objective.check_minimum(before, after, &case.aside);
                    if t == 0 {
                        // From h = 0: far from there the logistic has no curvature that differences see.
                        same(&objective.minimise(base), after, 1e-9);
                    }
                }
            }
        }
    }

    /// Fixed data from whatever sampler, towards the reference.
    #[test]
    fn dpo_on_fixed_data(case in cases()) {
        let beta = SCALE * case.eta;
        let solver = IterativeDpo::new(StepSize::Constant(beta), Reference::Fixed);
        let states = case.play(&case.problem(0.0), &solver);
        let loss = DpoLossConfig { beta, label_smoothing: 0.0 }.init().unwrap();
        objective(&case, loss, LabelKind::Hard, &case.start, &case.reference)
            .check_minimum(&case.reference, states[1].strategy(), &case.aside);
    }

    /// Iterative DPO towards pi_t at beta = eta.
    #[test]
    fn dno_prct(case in cases()) {
        let beta = SCALE * case.eta;
        let solver = IterativeDpo::new(StepSize::Constant(beta), Reference::Previous);
        for step in case.play(&case.problem(0.0), &solver).windows(2).take(UPDATES) {
            let (before, after) = (step[0].strategy(), step[1].strategy());
            for kind in [LabelKind::Hard, LabelKind::Soft] {
                let loss = DnoPrctLossConfig { eta: beta }.init().unwrap();
                assert_eq!(loss.anchors()[0].role, Role::Previous);
                objective(&case, loss, kind, before, before)
                    .check_minimum(before, after, &case.aside);
            }
        }
    }

    /// sigmoid(eta h) meets its label in every pair: multiplicative weights.
    #[test]
    fn dno(case in cases()) {
        let solver = Sppo::new(StepSize::Constant(case.eta));
        let states = case.play(&case.problem(0.0), &solver);
        for (t, step) in states.windows(2).enumerate() {
            let (before, after) = (step[0].strategy(), step[1].strategy());
            let loss = DnoLossConfig { eta: case.eta }.init().unwrap();
            let objective = objective(&case, loss, LabelKind::Scores, before, before);
            objective.check_minimum(before, after, &case.aside);
            if t == 0 {
                same(&objective.minimise(before), after, 1e-9);
            }
        }
    }
}
