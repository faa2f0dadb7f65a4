//! The relations between the methods (docs/theory.md 7.4): the loss of one lands on the exact step of another.

use inpo_game::Strategy;
use inpo_loss::{
    ComalLossConfig, DnoLossConfig, InpoLossConfig, IpoLossConfig, IterativeIpoLossConfig,
    LabelKind, MnpoLossConfig, OnpoLossConfig, PairLoss, RebelLossConfig, Role,
};
use inpo_solver::{Comal, Inpo, IterativeIpo, Reference, Sppo, State, StepSize};
use proptest::proptest;

use crate::game::{Case, cases, config};
use crate::population::{Objective, same};

/// The objective of a loss on pairs from pi_t, with `base` in the place of its one anchor.
fn around(case: &Case, loss: PairLoss, previous: &Strategy, base: &Strategy) -> Objective {
    let [anchor] = loss.anchors() else {
        panic!("{} has one anchor", loss.name())
    };
    let (role, kind) = (anchor.role, loss.labels()[0]);
    Objective::new(loss, kind, &case.game, previous).towards(role, base)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn inpo_at_tau_equal_eta_is_ipo_on_its_own_samples(case in cases()) {
        let (eta, beta) = (case.eta, case.eta);
        let inpo = case.play(&case.problem(eta), &Inpo::new(StepSize::Constant(eta)));
        for step in inpo.windows(2) {
            let (before, after) = (step[0].strategy(), step[1].strategy());
            for loss in [
                IpoLossConfig { beta }.init(),
                IterativeIpoLossConfig { beta }.init(),
                InpoLossConfig { eta, tau: eta }.init(),
            ] {
                around(&case, loss.unwrap(), before, &case.reference)
                    .check_minimum(before, after, &case.aside);
            }
        }
    }

    /// INPO's step at tau = 0 is that of SPPO and of iterative IPO towards pi_t, and where the losses of
    /// iterative IPO, ONPO with aux = pi_t, MNPO with one policy, REBEL and DNO (both on win rates) are least.
    #[test]
    fn inpo_without_tau_has_many_names(case in cases()) {
        let (eta, beta, problem) = (case.eta, case.eta, case.problem(0.0));
        let step_size = StepSize::Constant(eta);
        let inpo = case.play(&problem, &Inpo::new(step_size));
        let sppo = case.play(&problem, &Sppo::new(step_size));
        let ipo = case.play(&problem, &IterativeIpo::new(step_size, Reference::Previous));
        for (t, step) in inpo.windows(2).enumerate() {
            let (before, after) = (step[0].strategy(), step[1].strategy());
            same(sppo[t + 1].strategy(), after, 1e-15);
            same(ipo[t + 1].strategy(), after, 1e-15);
            for loss in [
                InpoLossConfig { eta, tau: 0.0 }.init(),
                IterativeIpoLossConfig { beta }.init(),
                OnpoLossConfig { eta }.init(),
                MnpoLossConfig { eta, history_weights: vec![1.0] }.init(),
                RebelLossConfig { eta }.init(),
                DnoLossConfig { eta }.init(),
            ] {
                around(&case, loss.unwrap(), before, before)
                    .check_minimum(before, after, &case.aside);
            }
        }
    }

    #[test]
    fn comal_with_an_endless_period_is_inpo(case in cases(), share in 0.05..=1.0f64) {
        let (eta, tau) = (case.eta, share * case.eta);
        let step_size = StepSize::Constant(eta);
        let inpo = case.play(&case.problem(tau), &Inpo::new(step_size));
        let comal = case.play(&case.problem(0.0), &Comal::new(step_size, tau, u64::MAX));
        for (t, step) in inpo.windows(2).enumerate() {
            let (before, after) = (step[0].strategy(), step[1].strategy());
            same(comal[t + 1].strategy(), after, 1e-14);
            let loss = ComalLossConfig { eta, tau }.init().unwrap();
            Objective::new(loss, LabelKind::Hard, &case.game, before)
                .towards(Role::Reference, &case.reference)
                .towards(Role::Previous, before)
                .check_minimum(before, after, &case.aside);
        }
    }
}
