//! The squared losses of methods that keep a second policy or a history. Where the second policy comes from
//! is the solver's state.

use inpo_loss::{
    ComalLossConfig, EgpoLossConfig, LabelKind, MnpoLossConfig, MpoLossConfig, NashMdLossConfig,
    OnpoLossConfig, Role,
};
use inpo_solver::{Comal, Egpo, Mnpo, Mpo, NashMd, Onpo, Opponents, State, StepSize};
use proptest::proptest;

use crate::game::{cases, config, shares};
use crate::population::Objective;

/// Updates between two moves of the reference.
const PERIOD: u64 = 2;

proptest! {
    #![proptest_config(config())]

    /// Step 1 goes from aux_t to aux_{t+1}, step 2 from there to pi_{t+1}, on the same pairs from pi_t.
    #[test]
    fn onpo_in_both_steps(case in cases()) {
        let solver = Onpo::new(StepSize::Constant(case.eta));
        for step in case.play(&case.problem(0.0), &solver).windows(2) {
            let before = step[0].strategy();
            let (aux, next_aux) = (step[0].companion(), step[1].companion());
            let objective = |aux| {
                let loss = OnpoLossConfig { eta: case.eta }.init().unwrap();
                Objective::new(loss, LabelKind::Hard, &case.game, before)
                    .towards(Role::Auxiliary, aux)
            };
            objective(aux).check_minimum(aux, next_aux, &case.aside);
            objective(next_aux).check_minimum(next_aux, step[1].strategy(), &case.aside);
        }
    }

    #[test]
    fn egpo_in_both_steps(case in cases(), share in shares()) {
        let (eta, tau) = (case.eta, share * case.eta);
        let states = case.play(&case.problem(tau), &Egpo::new(StepSize::Constant(eta)));
        for step in states.windows(2) {
            let (before, half) = (step[0].strategy(), step[1].companion());
            for (sampler, after) in [(before, half), (half, step[1].strategy())] {
                let loss = EgpoLossConfig { eta, tau }.init().unwrap();
                Objective::new(loss, LabelKind::Hard, &case.game, sampler)
                    .towards(Role::Reference, &case.reference)
                    .towards(Role::Previous, before)
                    .check_minimum(before, after, &case.aside);
            }
        }
    }

    /// Pairs from the mixture of pi_t and the reference.
    #[test]
    fn nash_md(case in cases(), share in 0.05..=1.0f64) {
        let (eta, tau) = (case.eta, share * case.eta);
        let states = case.play(&case.problem(tau), &NashMd::new(StepSize::Constant(eta)));
        for step in states.windows(2) {
            let (before, mixture) = (step[0].strategy(), step[1].companion());
            let loss = NashMdLossConfig { eta, tau }.init().unwrap();
            Objective::new(loss, LabelKind::Hard, &case.game, mixture)
                .towards(Role::Reference, &case.reference)
                .towards(Role::Previous, before)
                .check_minimum(before, step[1].strategy(), &case.aside);
        }
    }

    #[test]
    fn comal_with_a_moving_reference(case in cases(), share in 0.05..=1.0f64) {
        let (eta, tau) = (case.eta, share * case.eta);
        let solver = Comal::new(StepSize::Constant(eta), tau, PERIOD);
        let states = case.play(&case.problem(0.0), &solver);
        assert_eq!(states[2].companion(), states[2].strategy());
        for step in states.windows(2) {
            let (before, reference) = (step[0].strategy(), step[0].companion());
            let loss = ComalLossConfig { eta, tau }.init().unwrap();
            Objective::new(loss, LabelKind::Hard, &case.game, before)
                .towards(Role::Reference, reference)
                .towards(Role::Previous, before)
                .check_minimum(before, step[1].strategy(), &case.aside);
        }
    }

    /// Nothing ties tau to eta.
    #[test]
    fn mpo_with_a_moving_magnet(case in cases(), tau in 0.05..4.0f64) {
        let eta = case.eta;
        let solver = Mpo::new(StepSize::Constant(eta), tau, PERIOD);
        let states = case.play(&case.problem(0.0), &solver);
        assert_eq!(states[2].companion(), states[2].strategy());
        for step in states.windows(2) {
            let (before, magnet) = (step[0].strategy(), step[0].companion());
            let loss = MpoLossConfig { eta, tau }.init().unwrap();
            Objective::new(loss, LabelKind::Hard, &case.game, before)
                .towards(Role::Reference, magnet)
                .towards(Role::Previous, before)
                .check_minimum(before, step[1].strategy(), &case.aside);
        }
    }

    /// Three weights: of pi_1 alone, of two policies, then of three.
    #[test]
    fn mnpo_with_a_growing_history(case in cases()) {
        let (eta, history_weights) = (case.eta, vec![0.5, 0.3, 0.2]);
        let mut solver = Mnpo::new(StepSize::Constant(eta), history_weights.clone());
        solver.opponents = Opponents::Current;
        let states = case.play(&case.problem(0.0), &solver);
        for (t, step) in states.windows(2).enumerate() {
            let before = step[0].strategy();
            let existing = (t + 1).min(3);
            let config = MnpoLossConfig { eta, history_weights: history_weights.clone() };
            let loss = config.truncated(existing).init().unwrap();
            assert_eq!(loss.anchors().len(), existing);
            let objective = Objective::new(loss, LabelKind::Hard, &case.game, before);
            (0..existing)
                .fold(objective, |objective, age| {
                    objective.towards(Role::History(age), states[t - age].strategy())
                })
                .check_minimum(before, step[1].strategy(), &case.aside);
        }
    }
}
