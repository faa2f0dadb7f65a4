//! How good a strategy is: free functions on any game and any strategy.
//!
//! Two games are measured. The **plain** game pays the player of p against q the win rate
//! P(p > q). The **regularised** game, equation (3) of the INPO paper (arXiv 2407.00617), pays
//!
//! ```text
//! J(p, q) = P(p > q) - tau KL(p || ref) + tau KL(q || ref),        tau > 0
//! ```
//!
//! Both are symmetric and constant-sum: J(p, q) + J(q, p) = 1. All values are probabilities or
//! nats, in f64. Functions panic where a strategy's length is not the game's number of actions.

use crate::linalg::{dot, log_sum_exp};
use crate::{PreferenceGame, Strategy};

/// The smallest tau of a regularised game: below it (P - 1/2) / tau overflows.
pub const SMALLEST_TAU: f64 = 1e-300;

fn check_len(game: &(impl PreferenceGame + ?Sized), strategy: &Strategy) {
    assert_eq!(
        strategy.num_actions(),
        game.num_actions(),
        "a strategy of this game has one probability for each action"
    );
}

/// 0 for what is negative by rounding; NaN stays NaN.
fn not_negative(value: f64) -> f64 {
    if value < 0.0 { 0.0 } else { value }
}

fn check_tau(tau: f64) {
    assert!(
        tau >= SMALLEST_TAU && tau.is_finite(),
        "tau is {tau:e}: it must be finite and at least {SMALLEST_TAU:e}"
    );
}

/// P(p > q) = E_{y~p, y'~q} P(y > y'): how often `first` beats `second`. 1/2 for a strategy
/// against itself.
#[must_use]
pub fn win_rate<G: PreferenceGame + ?Sized>(game: &G, first: &Strategy, second: &Strategy) -> f64 {
    check_len(game, first);
    check_len(game, second);
    dot(first, &game.win_rates(second))
}

/// The best pure answer argmax_y P(y > pi); the first of several.
#[must_use]
pub fn best_response<G: PreferenceGame + ?Sized>(game: &G, strategy: &Strategy) -> usize {
    check_len(game, strategy);
    let rates = game.win_rates(strategy);
    // `rev`, because `max_by` keeps the last of equals.
    let best = (0..rates.len())
        .rev()
        .max_by(|&i, &j| rates[i].total_cmp(&rates[j]));
    best.expect("a game has at least one action")
}

/// The log-weights log ref(y) + (P(y > pi) - 1/2) / tau of the regularised best response. The 1/2
/// is common to all; without it the exponents, and so their rounding, stay small.
fn response_logits(
    rates: &[f64],
    reference: &Strategy,
    tau: f64,
) -> impl Iterator<Item = f64> + Clone {
    assert_eq!(
        rates.len(),
        reference.num_actions(),
        "one win rate an action"
    );
    check_tau(tau);
    rates
        .iter()
        .zip(reference.iter())
        .map(move |(rate, r)| (rate - 0.5) / tau + r.ln())
}

/// The best response in the regularised game, in closed form:
///
/// ```text
/// BR_tau(pi)(y) is proportional to ref(y) exp(P(y > pi) / tau)
/// ```
///
/// Its fixed point is the regularised Nash policy. Where `reference` is 0, so is the response.
///
/// # Panics
/// If `tau` is not finite or below [`SMALLEST_TAU`].
#[must_use]
pub fn regularised_best_response<G: PreferenceGame + ?Sized>(
    game: &G,
    strategy: &Strategy,
    reference: &Strategy,
    tau: f64,
) -> Strategy {
    check_len(game, strategy);
    check_len(game, reference);
    let logits: Vec<f64> = response_logits(&game.win_rates(strategy), reference, tau).collect();
    Strategy::from_logits(&logits).expect("finite on the support of the reference")
}

/// max_y P(y > pi) - 1/2, in [0, 1/2]: what the best opponent gains over a draw in the plain game.
///
/// This is **half** of [`duality_gap`].
#[must_use]
pub fn exploitability<G: PreferenceGame + ?Sized>(game: &G, strategy: &Strategy) -> f64 {
    check_len(game, strategy);
    exploitability_of_rates(&game.win_rates(strategy))
}

/// [`exploitability`] from the win rates P pi, for callers that have them already.
#[must_use]
pub fn exploitability_of_rates(rates: &[f64]) -> f64 {
    let best = rates.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // The mean win rate is 1/2, so what is below is rounding.
    not_negative(best - 0.5)
}

/// The paper's DualGap of the plain game, in [0, 1]:
///
/// ```text
/// DualGap_0(pi) = max_p P(p > pi) - min_q P(pi > q) = 2 max_y P(y > pi) - 1
/// ```
///
/// This is **twice** the [`exploitability`], because both players can deviate.
#[must_use]
pub fn duality_gap<G: PreferenceGame + ?Sized>(game: &G, strategy: &Strategy) -> f64 {
    2.0 * exploitability(game, strategy)
}

/// The paper's DualGap of the regularised game, by its closed form:
///
/// ```text
/// DualGap_tau(pi) = 2 { tau log sum_y ref(y) exp(P(y > pi) / tau) + tau KL(pi || ref) } - 1
/// ```
///
/// It also equals 2 tau KL(pi || BR_tau(pi)), so it is 0 at the regularised Nash policy and
/// positive elsewhere; rounding leaves about 1e-16 at the former. Infinite if `strategy` plays what `reference`
/// never does. The sum is taken in log space and holds for tau as small as 1e-4 and below.
///
/// # Panics
/// If `tau` is not finite or below [`SMALLEST_TAU`]. For tau = 0 use [`duality_gap`].
#[must_use]
pub fn regularised_duality_gap<G: PreferenceGame + ?Sized>(
    game: &G,
    strategy: &Strategy,
    reference: &Strategy,
    tau: f64,
) -> f64 {
    check_len(game, strategy);
    check_len(game, reference);
    regularised_duality_gap_of_rates(&game.win_rates(strategy), strategy, reference, tau)
}

/// [`regularised_duality_gap`] of `strategy` from its win rates P pi, for callers that have them
/// already.
///
/// # Panics
/// If `tau` is not finite or below [`SMALLEST_TAU`], or the lengths differ.
#[must_use]
pub fn regularised_duality_gap_of_rates(
    rates: &[f64],
    strategy: &Strategy,
    reference: &Strategy,
    tau: f64,
) -> f64 {
    let best = tau * log_sum_exp(response_logits(rates, reference, tau));
    // Not negative; what is below is rounding.
    not_negative(2.0 * (best + tau * kl(strategy, reference)))
}

/// The regret of having played pi_1 .. pi_T in self-play, against the best fixed action:
///
/// ```text
/// Reg_T = max_y sum_t ( P(y > pi_t) - P(pi_t > pi_t) ) = T exploitability(mean of the pi_t)
/// ```
///
/// since P(pi > pi) = 1/2 and win rates are linear in the opponent: **a sequence without regret has
/// an average without exploitability**, which is why self-play finds equilibria. In units of wins;
/// it is not negative.
///
/// # Panics
/// If `strategies` is empty or a length is not the game's.
#[must_use]
pub fn regret<G: PreferenceGame + ?Sized>(game: &G, strategies: &[Strategy]) -> f64 {
    strategies.len() as f64 * exploitability(game, &mean(strategies))
}

/// The regret of pi_1 .. pi_T in the regularised game, against the best fixed policy, with the
/// paper's loss l_t(pi) = -P(pi > pi_t) + tau KL(pi || ref):
///
/// ```text
/// Reg_T = sum_t l_t(pi_t) - min_pi sum_t l_t(pi)
///       = tau sum_t KL(pi_t || ref) - T/2 + T tau log sum_y ref(y) exp(P(y > mean) / tau)
/// ```
///
/// Infinite if one of them plays what `reference` never does.
///
/// Twice its mean, 2 Reg_T / T, bounds the [`regularised_duality_gap`] of the average policy
/// (Theorem 3), because the KL of the mean is at most the mean KL.
///
/// # Panics
/// If `tau` is not finite or below [`SMALLEST_TAU`], `strategies` is empty, or a length is not the
/// game's.
#[must_use]
pub fn regularised_regret<G: PreferenceGame + ?Sized>(
    game: &G,
    strategies: &[Strategy],
    reference: &Strategy,
    tau: f64,
) -> f64 {
    let mean = mean(strategies);
    check_len(game, &mean);
    check_len(game, reference);
    let count = strategies.len() as f64;
    let kls: f64 = strategies.iter().map(|pi| kl(pi, reference)).sum();
    let best = log_sum_exp(response_logits(&game.win_rates(&mean), reference, tau));
    not_negative(tau * (kls + count * best))
}

fn mean(strategies: &[Strategy]) -> Strategy {
    let (first, rest) = strategies.split_first().expect("at least one strategy");
    let mut mean = first.clone();
    for (n, strategy) in (2..).zip(rest) {
        mean.mix_in(strategy, 1.0 / f64::from(n));
    }
    mean
}

/// KL(p || q) = sum_y p(y) log(p(y) / q(y)), in nats. 0 log 0 is 0; infinite if p plays what q
/// never does. Not negative, rounding included.
///
/// # Panics
/// If the lengths differ.
#[must_use]
pub fn kl(p: &Strategy, q: &Strategy) -> f64 {
    assert_eq!(p.num_actions(), q.num_actions(), "strategies of one game");
    let term = |(&a, &b): (&f64, &f64)| match a / b {
        _ if a == 0.0 => 0.0,
        // A quotient beyond f64 whose logarithm is not.
        f64::INFINITY if b > 0.0 => a * (a.ln() - b.ln()),
        ratio => a * ratio.ln(),
    };
    not_negative(p.iter().zip(q.iter()).map(term).sum::<f64>())
}

/// The entropy -sum_y pi(y) log pi(y), in nats: 0 for a pure strategy, log n for the uniform one.
#[must_use]
pub fn entropy(strategy: &Strategy) -> f64 {
    let term = |&p: &f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
    strategy.iter().map(term).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::games::cyclic_three;

    /// Closed forms agree with the tables of docs/theory.md 11.2 to this.
    const CLOSED_FORM: f64 = 1e-12;

    const TAU: f64 = 0.2;

    fn strategy(p: [f64; 3]) -> Strategy {
        Strategy::new(p.to_vec()).unwrap()
    }

    fn reference() -> Strategy {
        strategy([0.25, 0.45, 0.30])
    }

    fn pi_t() -> Strategy {
        strategy([0.5, 0.3, 0.2])
    }

    /// pi_{t+1} of the same table.
    fn next() -> Strategy {
        strategy([0.3340341277183885, 0.44579645024419245, 0.2201694220374191])
    }

    fn close(got: f64, want: f64) {
        assert!((got - want).abs() < CLOSED_FORM, "{got} is not {want}");
    }

    #[test]
    fn win_rates_of_the_table() {
        let rates = cyclic_three().win_rates(&pi_t());
        for (got, want) in rates.iter().zip([0.44, 0.62, 0.47]) {
            close(*got, want);
        }
        close(win_rate(&cyclic_three(), &pi_t(), &pi_t()), 0.5);
        // 0.25 * 0.44 + 0.45 * 0.62 + 0.3 * 0.47
        close(win_rate(&cyclic_three(), &reference(), &pi_t()), 0.53);
        assert_eq!(best_response(&cyclic_three(), &pi_t()), 1);
    }

    #[test]
    fn ties_go_to_the_first_action() {
        let flat = crate::MatrixGame::new(vec![vec![0.5; 3]; 3]).unwrap();
        assert_eq!(best_response(&flat, &Strategy::uniform(3)), 0);
    }

    #[test]
    fn regularised_best_response_of_the_table() {
        let response = regularised_best_response(&cyclic_three(), &pi_t(), &reference(), TAU);
        let want = [0.1465956096149989, 0.6490206314838013, 0.20438375890119978];
        for (got, want) in response.iter().zip(want) {
            close(*got, want);
        }
    }

    #[test]
    fn regularised_gaps_of_the_table() {
        for (policy, want) in [
            (pi_t(), 0.151049645255992),
            (next(), 0.066061695188767),
            (reference(), 0.028452271964641),
            (Strategy::uniform(3), 0.018752314417510),
        ] {
            close(
                regularised_duality_gap(&cyclic_three(), &policy, &reference(), TAU),
                want,
            );
        }
    }

    #[test]
    fn plain_gaps_of_the_table_are_twice_the_exploitability() {
        for (policy, want) in [
            (pi_t(), 0.24),
            (next(), 0.15621668356432084),
            (reference(), 0.21),
            (Strategy::uniform(3), 0.06666666666666665),
        ] {
            close(duality_gap(&cyclic_three(), &policy), want);
            close(exploitability(&cyclic_three(), &policy), want / 2.0);
        }
    }

    #[test]
    fn regret_of_a_hand_worked_sequence() {
        // Playing a, then b: c beats a with 0.2 and b with 0.9, b beats a with 0.9 and itself with
        // 0.5, a has 0.5 and 0.1. Sums less 1 (two draws): a -0.4, b 0.4, c 0.1.
        let played = [Strategy::pure(3, 0), Strategy::pure(3, 1)];
        close(regret(&cyclic_three(), &played), 0.4);
    }

    #[test]
    fn regularised_regret_of_a_hand_worked_sequence() {
        // The same with the uniform reference: both KLs are log 3, and the sums of win rates are
        // 0.6, 1.4, 1.1, so the best fixed policy earns 2 tau log mean exp(sum / (2 tau)).
        let played = [Strategy::pure(3, 0), Strategy::pure(3, 1)];
        let best: f64 = [0.6f64, 1.4, 1.1]
            .iter()
            .map(|s| (s / (2.0 * TAU)).exp())
            .sum::<f64>()
            / 3.0;
        let want = 2.0 * TAU * 3f64.ln() - 1.0 + 2.0 * TAU * best.ln();
        let got = regularised_regret(&cyclic_three(), &played, &Strategy::uniform(3), TAU);
        close(got, want);
        // One policy alone: half its duality gap.
        let one = regularised_regret(&cyclic_three(), &[pi_t()], &reference(), TAU);
        close(one, 0.151049645255992 / 2.0);
    }

    #[test]
    fn kls_of_the_table() {
        close(kl(&next(), &pi_t()), 0.06298727199119761);
        close(kl(&next(), &reference()), 0.02449616142898764);
        close(kl(&pi_t(), &reference()), 0.14384103622589045);
    }

    #[test]
    fn kl_and_entropy_at_the_border() {
        let (sure, fair) = (Strategy::pure(2, 0), Strategy::uniform(2));
        close(kl(&sure, &fair), 2f64.ln());
        assert_eq!(kl(&fair, &sure), f64::INFINITY);
        close(entropy(&fair), 2f64.ln());
        assert_eq!(entropy(&sure), 0.0);
    }

    #[test]
    fn what_is_beyond_f64_is_neither_zero_nor_nan() {
        // log(0.5 / 1e-310) = 310 log 10 - log 2 = 713.1, half of it here.
        let (fair, rare) = (
            Strategy::uniform(2),
            Strategy::new(vec![1.0, 1e-310]).unwrap(),
        );
        let want = 0.5 * (310.0 * 10f64.ln() - 2f64.ln()) - 0.5 * 2f64.ln();
        assert!(
            (kl(&fair, &rare) - want).abs() < 1e-9,
            "{}",
            kl(&fair, &rare)
        );
        let sure = Strategy::pure(3, 0);
        let regret = regularised_regret(&cyclic_three(), &[Strategy::uniform(3)], &sure, TAU);
        assert_eq!(regret, f64::INFINITY);
        let gap = regularised_duality_gap(&cyclic_three(), &pi_t(), &reference(), SMALLEST_TAU);
        assert!((gap - 0.24).abs() < 1e-12, "{gap}");
    }

    #[test]
    #[should_panic(expected = "tau is 1e-310: it must be finite and at least 1e-300")]
    fn a_tau_that_overflows_is_refused() {
        let _ = regularised_duality_gap(&cyclic_three(), &pi_t(), &reference(), 1e-310);
    }

    #[test]
    fn a_small_tau_neither_overflows_nor_loses_the_plain_gap() {
        // As tau -> 0 the regularised gap tends to the plain one; the difference is at most
        // 2 tau (log n + KL), which is below 3e-4 here.
        let got = regularised_duality_gap(&cyclic_three(), &pi_t(), &reference(), 1e-4);
        assert!((got - 0.24).abs() < 3e-4, "{got}");
    }
}
