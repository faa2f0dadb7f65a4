//! INPO's trajectories on the cyclic game, uniform reference and start (docs/theory.md 11.4).
//! Expected values were made in f64 with plain Python and are given to 8 to 13 digits.

use inpo_game::{Strategy, duality_gap, games, kl};
use inpo_solver::{Executor, Inpo, Iterates, Problem, Record, State, StepSize};

/// The digits that the table shows.
const SHOWN: f64 = 1e-10;
/// Values below 1e-6 carry rounding of about this.
const ABSOLUTE: f64 = 2e-15;

fn problem(tau: f64) -> Problem<inpo_game::MatrixGame> {
    Problem::new(games::cyclic_three(), Strategy::uniform(3), tau).unwrap()
}

fn history(step_size: StepSize, iterations: u64) -> Vec<Record> {
    let problem = problem(0.1);
    let nash = problem.nash().unwrap();
    let executor = Executor::new(&problem, Inpo::new(step_size))
        .equilibrium(nash)
        .iterations(iterations);
    executor.run().unwrap().history
}

/// Compares to the given number of significant digits.
#[track_caller]
fn digits(got: f64, want: f64, digits: i32) {
    let allowed = 0.6 * 10f64.powi(want.abs().log10().floor() as i32 + 1 - digits) + ABSOLUTE;
    assert!((got - want).abs() <= allowed, "{got:e} is not {want:e}");
}

/// Checks rows (n, KL(pi* || pi), DualGap_tau), given to so many significant digits.
#[track_caller]
fn check(history: &[Record], rows: &[(usize, f64, f64, i32)]) {
    for &(n, kl, gap, shown) in rows {
        assert_eq!(history[n].iteration, n as u64);
        digits(history[n].kl_to_nash.unwrap(), kl, shown);
        digits(history[n].duality_gap, gap, shown);
    }
}

#[test]
fn eta_0_3() {
    let history = history(StepSize::Constant(0.3), 100);
    check(
        &history,
        &[
            (0, 0.006999288620, 0.007339900827, 10),
            (1, 6.4142675231e-3, 7.2624588530e-3, 11),
            (2, 6.1085716686e-3, 6.0177953302e-3, 11),
            (3, 5.6252587599e-3, 6.0359527463e-3, 11),
            (10, 3.3693072579e-3, 3.3896058805e-3, 11),
            (30, 7.7738073669e-4, 8.4525075979e-4, 11),
            (100, 5.5762100248e-6, 6.0117468247e-6, 10),
        ],
    );
    // The gap is not monotone while the KL is: it rises from step 2 to step 3.
    assert!(history[3].duality_gap > history[2].duality_gap);
    assert!(history[3].kl_to_nash < history[2].kl_to_nash);
}

#[test]
fn eta_1() {
    check(
        &history(StepSize::Constant(1.0), 100),
        &[
            (1, 5.9608183433e-3, 6.5163589316e-3, 11),
            (3, 4.3190239360e-3, 4.8850827616e-3, 11),
            (10, 1.4381440024e-3, 1.5318923864e-3, 11),
            (30, 6.0832227e-5, 6.5980366e-5, 8),
            (100, 9.5885e-10, 1.03308e-9, 5),
        ],
    );
}

#[test]
fn eta_0_2_diverges_to_a_cycle() {
    let history = history(StepSize::Constant(0.2), 3000);
    check(
        &history,
        &[
            (3, 1.5936344554e-2, 1.5921521378e-2, 11),
            (100, 0.2907, 0.1500, 4),
        ],
    );
    for record in &history[1000..] {
        let kl = record.kl_to_nash.unwrap();
        assert!((0.2065..=0.3295).contains(&kl), "{record:?}");
    }
}

#[test]
fn eta_0_1_diverges() {
    check(
        &history(StepSize::Constant(0.1), 100),
        &[(3, 0.38416241, 0.35682976, 8), (100, 2.455, 0.722, 3)],
    );
}

#[test]
fn the_theory_schedule() {
    let history = history(StepSize::Theory, 1000);
    check(
        &history,
        &[
            (1, 1.4000890426e-2, 1.3927102676e-2, 11),
            (2, 1.8715373135e-2, 1.9879788927e-2, 11),
            (3, 1.8816256618e-2, 1.8498145475e-2, 11),
            (10, 5.4308882723e-3, 5.9184648020e-3, 11),
            (100, 3.8293487e-6, 4.1219177e-6, 8),
            (1000, 4.7259e-10, 5.0919e-10, 5),
        ],
    );
    // Theorem 4 with C = 1: KL(pi*, pi_T) <= 32 / (tau^2 (T + 1)), and T = n + 1.
    for record in &history {
        let bound = 32.0 / (0.01 * (record.iteration as f64 + 2.0));
        assert!(record.kl_to_nash.unwrap() <= bound);
    }
}

#[test]
fn around_the_stability_threshold() {
    // Section 6: after 5000 steps eta = 0.27 is at 2.3e-7 and eta = 0.26 stuck at 2.8e-2; the
    // threshold is 0.26936.
    let end = |eta| {
        history(StepSize::Constant(eta), 5000)[5000]
            .kl_to_nash
            .unwrap()
    };
    digits(end(0.27), 2.3e-7, 2);
    digits(end(0.26), 2.8e-2, 2);
}

#[test]
fn a_small_tau_converges_with_eta_6() {
    let problem = problem(0.01);
    let run = Executor::new(&problem, Inpo::new(StepSize::Constant(6.0)))
        .iterations(30_000)
        .stride(30_000)
        .run()
        .unwrap();
    let want = [0.3609620458023815, 0.2728577522789052, 0.36618020191871326];
    for (got, want) in run.state.strategy().iter().zip(want) {
        assert!((got - want).abs() < 1e-12, "{got} is not {want}");
    }
}

/// tau = 0, eta = 1. The n-th iterate is pi_n with pi_1 uniform, and the average of the first n is
/// the mean of pi_1 .. pi_n: after n - 1 and after n updates.
#[test]
fn without_a_reference_the_last_iterate_circles_and_the_average_converges() {
    let problem = problem(0.0);
    let inpo = Inpo::new(StepSize::Constant(1.0));
    let states: Vec<_> = Iterates::new(&problem, &inpo, problem.reference())
        .unwrap()
        .take(1001)
        .collect::<Result<_, _>>()
        .unwrap();
    for (n, want) in [
        (1, 0.0666666667),
        (2, 0.0731963343),
        (10, 0.0633585924),
        (100, 0.42999805747),
        (1000, 0.29688103587),
    ] {
        let got = duality_gap(problem.game(), states[n - 1].strategy());
        assert!((got - want).abs() < SHOWN, "last {n}: {got} is not {want}");
    }
    for (n, want) in [
        (10, 0.0579791564),
        (100, 0.0173787524),
        (1000, 0.0116220295),
    ] {
        let got = duality_gap(problem.game(), states[n].average());
        assert!(
            (got - want).abs() < SHOWN,
            "average of {n}: {got} is not {want}"
        );
    }
}

/// The population losses (7), (8) and (9) of docs/theory.md 11.2, transcribed from their definitions:
/// the exact step minimises them.
#[test]
fn the_step_minimises_the_population_loss() {
    const TABLE: f64 = 1e-12;
    let p = [[0.5, 0.1, 0.8], [0.9, 0.5, 0.1], [0.2, 0.9, 0.5]];
    let (reference, pi_t) = ([0.25f64, 0.45, 0.30], [0.5f64, 0.3, 0.2]);
    let rates = [0.44, 0.62, 0.47];
    let (tau, eta) = (0.2, 0.5);
    let losses = |pi: &[f64]| {
        let mut sums = [0.0; 3];
        for y in 0..3 {
            for z in 0..3 {
                let h = (pi[y] / pi[z]).ln()
                    - tau / eta * (reference[y] / reference[z]).ln()
                    - (1.0 - tau / eta) * (pi_t[y] / pi_t[z]).ln();
                let weight = pi_t[y] * pi_t[z];
                let half = 1.0 / (2.0 * eta);
                sums[0] += weight * (h - (rates[y] - rates[z]) / eta).powi(2);
                sums[1] += weight * (p[y][z] * (h - half).powi(2) + p[z][y] * (-h - half).powi(2));
                sums[2] += weight * (h - (p[y][z] - 0.5) / eta).powi(2);
            }
        }
        sums
    };
    let strategy = |p: [f64; 3]| Strategy::new(p.to_vec()).unwrap();
    let problem = Problem::new(games::cyclic_three(), strategy(reference), tau).unwrap();
    let run = Executor::new(&problem, Inpo::new(StepSize::Constant(eta)))
        .start(strategy(pi_t))
        .iterations(1)
        .run()
        .unwrap();
    let next = run.state.strategy();
    for (got, want) in losses(next).into_iter().zip([0.0, 0.9496, 0.2904]) {
        assert!((got - want).abs() < TABLE, "{got} is not {want}");
    }
    for (pi, want) in [
        (pi_t, 0.25242269657714506),
        (reference, 0.109450643378057),
        ([1.0 / 3.0; 3], 0.11946413784479648),
        ([0.6, 0.1, 0.3], 1.7042246558713814),
    ] {
        let [exact, hard, soft] = losses(&pi);
        assert!((exact - want).abs() < TABLE, "{exact} is not {want}");
        assert!((hard - exact - 0.9496).abs() < TABLE);
        assert!((soft - exact - 0.2904).abs() < TABLE);
    }
    assert!((problem.duality_gap(next) - 0.066061695188767).abs() < TABLE);
    assert!((kl(next, &strategy(pi_t)) - 0.06298727199119761).abs() < TABLE);
}
