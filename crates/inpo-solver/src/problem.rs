//! What is solved: a game, a reference and the weight of the KL to it.

use inpo_game::{
    EquilibriumError, PreferenceGame, SMALLEST_TAU, Strategy, exploitability,
    exploitability_of_rates, nash, nash_residual, regularised_duality_gap_of_rates,
    regularised_nash, regularised_nash_residual,
};

use crate::SolverError;

/// The game that is solved: equation (3) of the INPO paper,
///
/// ```text
/// J(p, q) = P(p > q) - tau KL(p || ref) + tau KL(q || ref)
/// ```
///
/// With tau = 0 it is the plain game, and the reference is only where play starts.
#[derive(Clone, Debug)]
pub struct Problem<G> {
    game: G,
    reference: Strategy,
    /// Minus infinity where the reference is 0.
    log_reference: Vec<f64>,
    tau: f64,
}

impl<G: PreferenceGame> Problem<G> {
    /// Checks that `tau` is 0 or finite and at least [`SMALLEST_TAU`] and that `reference` is of this game.
    ///
    /// # Errors
    /// [`SolverError::Tau`] or [`SolverError::Length`].
    pub fn new(game: G, reference: Strategy, tau: f64) -> Result<Self, SolverError> {
        if !(tau == 0.0 || tau >= SMALLEST_TAU && tau.is_finite()) {
            return Err(SolverError::Tau { tau });
        }
        check_length("reference", &reference, &game)?;
        Ok(Self {
            game,
            log_reference: reference.iter().map(|r| r.ln()).collect(),
            reference,
            tau,
        })
    }

    /// The paper's DualGap of this problem:
    /// [`regularised_duality_gap`](inpo_game::regularised_duality_gap) if tau > 0, else
    /// [`duality_gap`](inpo_game::duality_gap), which is twice the exploitability.
    #[must_use]
    pub fn duality_gap(&self, strategy: &Strategy) -> f64 {
        self.duality_gap_of_rates(&self.game.win_rates(strategy), strategy)
    }

    /// [`duality_gap`](Self::duality_gap) of `strategy` from its win rates P pi.
    #[must_use]
    pub fn duality_gap_of_rates(&self, rates: &[f64], strategy: &Strategy) -> f64 {
        if self.tau > 0.0 {
            regularised_duality_gap_of_rates(rates, strategy, &self.reference, self.tau)
        } else {
            2.0 * exploitability_of_rates(rates)
        }
    }

    /// [`exploitability`] in the plain game, whatever tau is.
    #[must_use]
    pub fn exploitability(&self, strategy: &Strategy) -> f64 {
        exploitability(&self.game, strategy)
    }

    /// The exact Nash policy of this problem: [`regularised_nash`] if tau > 0, else [`nash`].
    ///
    /// # Errors
    /// Those of the two functions.
    pub fn nash(&self) -> Result<Strategy, EquilibriumError> {
        if self.tau > 0.0 {
            regularised_nash(&self.game, &self.reference, self.tau)
        } else {
            nash(&self.game)
        }
    }

    /// How far `strategy` is from solving the equations of this problem's Nash policy:
    /// [`regularised_nash_residual`], that of the fixed point, if tau > 0, else [`nash_residual`].
    #[must_use]
    pub fn residual(&self, strategy: &Strategy) -> f64 {
        if self.tau > 0.0 {
            regularised_nash_residual(&self.game, strategy, &self.reference, self.tau)
        } else {
            nash_residual(&self.game, strategy)
        }
    }
}

impl<G> Problem<G> {
    /// The game without its KL.
    #[must_use]
    pub fn game(&self) -> &G {
        &self.game
    }

    /// pi_ref.
    #[must_use]
    pub fn reference(&self) -> &Strategy {
        &self.reference
    }

    /// The weight of the KL, 0 or more.
    #[must_use]
    pub fn tau(&self) -> f64 {
        self.tau
    }

    pub(crate) fn log_reference(&self) -> &[f64] {
        &self.log_reference
    }
}

/// The D of the paper's theorems for play that starts at `start`:
///
/// ```text
/// D = max_pi KL(pi || start) = log(1 / min_y start(y))
/// ```
///
/// over the policies on the support of `start`, in nats. log n for the uniform start.
#[must_use]
pub fn diameter(start: &Strategy) -> f64 {
    let positive = start.iter().copied().filter(|&p| p > 0.0);
    -positive.fold(1.0, f64::min).ln()
}

pub(crate) fn check_length(
    what: &'static str,
    strategy: &Strategy,
    game: &impl PreferenceGame,
) -> Result<(), SolverError> {
    let (got, expected) = (strategy.num_actions(), game.num_actions());
    if got == expected {
        Ok(())
    } else {
        Err(SolverError::Length {
            what,
            got,
            expected,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inpo_game::games::cyclic_three;

    #[test]
    fn a_bad_tau_or_reference_has_its_sentence() {
        for tau in [-0.1, 1e-310, f64::NAN, f64::INFINITY] {
            let error = Problem::new(cyclic_three(), Strategy::uniform(3), tau).unwrap_err();
            assert!(
                error
                    .to_string()
                    .contains("the weight of the KL must be a finite number")
            );
        }
        let error = Problem::new(cyclic_three(), Strategy::uniform(2), 0.1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the reference has 2 entries, but the game has 3 actions"
        );
    }

    #[test]
    fn the_diameter_is_the_kl_from_the_rarest_action() {
        let start = Strategy::new(vec![0.5, 0.25, 0.25, 0.0]).unwrap();
        assert!((diameter(&start) - 4f64.ln()).abs() < 1e-15);
    }

    #[test]
    fn tau_zero_is_the_plain_game() {
        let problem = Problem::new(cyclic_three(), Strategy::uniform(3), 0.0).unwrap();
        let uniform = Strategy::uniform(3);
        assert!((problem.duality_gap(&uniform) - 1.0 / 15.0).abs() < 1e-15);
        assert!((problem.nash().unwrap()[1] - 3.0 / 11.0).abs() < 1e-12);
    }

    #[test]
    fn the_residual_is_that_of_the_game_that_is_solved() {
        let (game, uniform) = (cyclic_three(), Strategy::uniform(3));
        for tau in [0.0, 0.1] {
            let problem = Problem::new(&game, uniform.clone(), tau).unwrap();
            assert!(problem.residual(&problem.nash().unwrap()) < 1e-12);
        }
        // Against uniform the actions win 14, 15 and 16 of 30: 1/30 in the plain game, and in the other
        // the softmax of (-1, 0, 1)/3 less 1/3 at c.
        for (tau, want) in [(0.0, 1.0 / 30.0), (0.1, 0.11510753046570749)] {
            let problem = Problem::new(&game, uniform.clone(), tau).unwrap();
            assert!((problem.residual(&uniform) - want).abs() < 1e-15);
        }
    }
}
