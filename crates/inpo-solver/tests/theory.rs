//! The paper's Theorems 3 and 4 on a hundred random games, with their constants.

use inpo_game::{MatrixGame, Strategy, games, kl, regularised_duality_gap, regularised_regret};
use inpo_solver::{Inpo, Iterates, NashMd, OmdState, Problem, State, StepSize, diameter};

/// Measures are exact to about this; a bound is not broken by rounding.
const ROUNDING: f64 = 1e-12;

/// Game number `seed` of 2 to 12 actions, a reference that is not uniform, and a tau in
/// [0.05, 1].
fn problem(seed: u64) -> Problem<MatrixGame> {
    let n = 2 + seed as usize % 11;
    let game = match seed % 3 {
        0 => games::uniform(n, seed),
        1 => games::transitive_plus_cyclic(n, 1.0, 2.0, seed),
        _ => games::uniform(n, seed + 1000),
    };
    let weights: Vec<f64> = (0..n)
        .map(|y| ((y as u64 * 31 + seed * 17) % 23) as f64 / 10.0)
        .collect();
    let reference = Strategy::from_logits(&weights).unwrap();
    let tau = 0.05 * 20f64.powf(seed as f64 / 99.0);
    Problem::new(game.unwrap(), reference, tau).unwrap()
}

fn iterates(problem: &Problem<MatrixGame>, solver: &Inpo, updates: usize) -> Vec<OmdState> {
    Iterates::new(problem, solver, problem.reference())
        .unwrap()
        .take(updates + 1)
        .collect::<Result<_, _>>()
        .unwrap()
}

/// B: the largest |log(pi / ref)| over the policies visited.
fn bound_on_ratios(states: &[OmdState]) -> f64 {
    states
        .iter()
        .flat_map(|s| s.log_ratio())
        .fold(0.0, |b, r| b.max(r.abs()))
}

#[test]
fn theorem_4_holds_at_every_iteration() {
    for seed in 0..100 {
        let problem = problem(seed);
        let tau = problem.tau();
        let nash = problem.nash().unwrap();
        let states = iterates(&problem, &Inpo::new(StepSize::Theory), 300);
        let c = (bound_on_ratios(&states) * tau).max(1.0);
        assert_eq!(c, 1.0, "B is at most 1 / tau for play from the reference");
        let distances: Vec<f64> = states.iter().map(|s| kl(&nash, s.strategy())).collect();
        for (n, &distance) in distances.iter().enumerate() {
            // pi_T with T = n + 1.
            let bound = 32.0 * c * c / (tau * tau * (n as f64 + 2.0));
            assert!(
                distance <= bound,
                "seed {seed}, iteration {n}: {distance} > {bound}"
            );
        }
        // The step of its proof: KL_{t+1} <= (1 - tau/eta) KL_t + 8 C^2 / eta^2.
        for (n, pair) in distances.windows(2).enumerate() {
            let eta = StepSize::Theory.eta(n as u64 + 1, tau);
            let bound = (1.0 - tau / eta) * pair[0] + 8.0 * c * c / (eta * eta);
            assert!(pair[1] <= bound + ROUNDING, "seed {seed}, step {n}");
        }
        // The schedule ends far below the bound.
        assert!(
            distances[300] < 0.05 * distances[0].max(0.02),
            "seed {seed}"
        );
    }
}

/// KL(pi*, pi_T) <= 8 / (tau^2 (T + 1)), as it is quoted for Nash-MD.
#[test]
fn nash_mds_bound_holds_at_every_iteration() {
    for seed in 0..100 {
        let problem = problem(seed);
        let tau = problem.tau();
        let nash = problem.nash().unwrap();
        let solver = NashMd::new(StepSize::Theory);
        let states = Iterates::new(&problem, &solver, problem.reference()).unwrap();
        for (n, state) in states.take(301).enumerate() {
            let distance = kl(&nash, state.unwrap().strategy());
            let bound = 8.0 / (tau * tau * (n as f64 + 2.0));
            assert!(
                distance <= bound,
                "seed {seed}, iteration {n}: {distance} > {bound}"
            );
        }
    }
}

#[test]
fn theorem_3_holds_for_the_average() {
    for seed in 0..100 {
        let problem = problem(seed);
        let (tau, reference) = (problem.tau(), problem.reference());
        let diameter = diameter(reference);
        for updates in [10u64, 100] {
            let solver = Inpo::theorem_3(&problem, reference, updates);
            let eta = solver.step_size.eta(1, tau);
            let states = iterates(&problem, &solver, updates as usize);
            let b = bound_on_ratios(&states);
            // Lemma 2: Reg_T <= eta D + (4 tau^2 B^2 + 1) T / eta.
            let t = updates as f64;
            let lemma_2 = eta * diameter + (4.0 * (tau * b).powi(2) + 1.0) * t / eta;
            let played: Vec<Strategy> = states[..updates as usize]
                .iter()
                .map(|s| s.strategy().clone())
                .collect();
            let regret = regularised_regret(problem.game(), &played, reference, tau);
            assert!(
                regret <= lemma_2 + ROUNDING,
                "seed {seed}: {regret} > {lemma_2}"
            );
            // Theorem 3: DualGap(average) <= 2 Reg_T / T.
            let average = states[updates as usize].average();
            let gap = regularised_duality_gap(problem.game(), average, reference, tau);
            let bound = 2.0 * regret / t;
            assert!(gap <= bound + ROUNDING, "seed {seed}: {gap} > {bound}");
        }
    }
}
