//! From flags to a method: `--algorithm NAME` and the settings that go with it.

use clap::{Args, ValueEnum};
use inpo_core::game::{MatrixGame, PreferenceGame};
use inpo_core::solver::{
    Comal, Egpo, FictitiousPlay, Inpo, Iterate, IterativeDpo, IterativeIpo, Method, Mnpo, Mpo,
    NashEma, NashMd, Onpo, Problem, Reference, RegretMatching, Replicator, Solver, Sppo, StepSize,
    diameter,
};

use super::solver_error;
use crate::error::CliError;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Algorithm {
    /// Online mirror descent of the INPO paper.
    Inpo,
    /// Against a mixture with the reference.
    #[value(alias = "nash-md")]
    NashMd,
    /// Against a moving average of the policies.
    #[value(alias = "nash-ema")]
    NashEma,
    /// Multiplicative weights (Hedge); plain game.
    #[value(aliases = ["hedge", "mwu", "multiplicative_weights"])]
    Sppo,
    /// IPO on the last policy's samples; plain game.
    #[value(alias = "iterative-ipo")]
    IterativeIpo,
    /// DPO on the last policy's samples, an exact Bradley-Terry fit; plain game.
    #[value(alias = "iterative-dpo")]
    IterativeDpo,
    /// Optimistic multiplicative weights; plain game.
    #[value(alias = "omwu")]
    Onpo,
    /// Extragradient mirror descent.
    Egpo,
    /// Magnetic mirror descent; plain game, --tau is the magnet's weight.
    #[value(aliases = ["mmd", "magnetic"])]
    Mpo,
    /// INPO towards a moving reference; plain game, --tau is that reference's weight.
    Comal,
    /// Against several past policies; plain game.
    Mnpo,
    /// Regret matching; plain game.
    #[value(alias = "regret-matching")]
    RegretMatching,
    /// Regret matching plus; plain game.
    #[value(alias = "regret-matching-plus")]
    RegretMatchingPlus,
    /// Fictitious play; smooth with --tau.
    #[value(alias = "fictitious-play")]
    FictitiousPlay,
    /// The replicator dynamics, by Runge-Kutta.
    Replicator,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Schedule {
    /// The same eta in every update.
    Constant,
    /// eta times the square root of --iterations; eta defaults to the paper's 1/sqrt(D).
    Sqrt,
    /// What the method's own theorem says; for inpo eta_t = tau (t + 2) / 2.
    Theory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Watch {
    /// The last policy.
    Last,
    /// The mean of all.
    Average,
    /// The mean with weights 1, 2, 3, ..
    WeightedAverage,
}

impl From<Watch> for Iterate {
    fn from(watch: Watch) -> Self {
        match watch {
            Watch::Last => Self::Last,
            Watch::Average => Self::Average,
            Watch::WeightedAverage => Self::WeightedAverage,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Base {
    /// The policy that sampled.
    Previous,
    /// The game's reference.
    Fixed,
}

impl From<Base> for Reference {
    fn from(base: Base) -> Self {
        match base {
            Base::Previous => Self::Previous,
            Base::Fixed => Self::Fixed,
        }
    }
}

/// The settings of all methods; each reads its own.
#[derive(Clone, Debug, Args)]
pub(super) struct MethodArgs {
    /// Weight of the KL to the reference, 0 <= tau <= eta.
    #[arg(long, allow_negative_numbers = true)]
    pub(super) tau: Option<f64>,
    /// INVERSE step size, above 0, for every method. Required with the constant schedule by all but
    /// regret matching, fictitious play and replicator.
    #[arg(long, allow_negative_numbers = true)]
    pub(super) eta: Option<f64>,
    /// How eta goes with the iteration.
    #[arg(long, value_enum, default_value_t = Schedule::Constant)]
    pub(super) schedule: Schedule,
    /// comal, mpo: updates between two moves of the reference.
    #[arg(long, default_value_t = 20, value_name = "UPDATES")]
    pub(super) period: u64,
    /// nash_ema: the weight of the old average, in [0, 1).
    #[arg(long, default_value_t = 0.5, allow_negative_numbers = true)]
    pub(super) decay: f64,
    /// mnpo: the weights of the past policies, the newest first.
    #[arg(long, value_delimiter = ',', default_values_t = [0.5, 0.3, 0.2], allow_negative_numbers = true)]
    pub(super) history_weights: Vec<f64>,
    /// iterative_ipo, iterative_dpo: what their own KL is taken to.
    #[arg(long, value_enum, default_value_t = Base::Previous)]
    pub(super) base: Base,
    /// replicator: the time of one iteration.
    #[arg(long, default_value_t = 0.5, allow_negative_numbers = true)]
    pub(super) step: f64,
}

impl MethodArgs {
    /// The method, checked, and the tau of the game that it solves: comal and mpo solve the plain
    /// game and take --tau for themselves.
    pub(super) fn build(
        &self,
        algorithm: Algorithm,
        game: &MatrixGame,
        iterations: u64,
    ) -> Result<(Method, f64), CliError> {
        let own_tau = matches!(algorithm, Algorithm::Comal | Algorithm::Mpo);
        let tau = self.tau.unwrap_or(0.0);
        let method = self.method(algorithm, game, iterations)?;
        let tau = if own_tau { 0.0 } else { tau };
        let probe = Problem::new(game, game.reference(), tau).map_err(solver_error)?;
        method.validate(&probe).map_err(solver_error)?;
        Ok((method, tau))
    }

    fn method(
        &self,
        algorithm: Algorithm,
        game: &MatrixGame,
        iterations: u64,
    ) -> Result<Method, CliError> {
        let tau = self.tau.unwrap_or(0.0);
        let theory = self.schedule == Schedule::Theory;
        Ok(match algorithm {
            Algorithm::RegretMatching => RegretMatching::new().into(),
            Algorithm::RegretMatchingPlus => RegretMatching::plus().into(),
            Algorithm::FictitiousPlay => FictitiousPlay::new().into(),
            Algorithm::Replicator => Replicator::new(self.step).into(),
            Algorithm::Sppo if theory => Sppo::theory(&game.reference(), iterations).into(),
            Algorithm::Onpo if theory => Onpo::theory().into(),
            Algorithm::Mpo if theory => Mpo::theory(tau, self.period).into(),
            _ => {
                let step = self.step_size(game, iterations)?;
                match algorithm {
                    Algorithm::NashMd => NashMd::new(step).into(),
                    Algorithm::NashEma => NashEma::new(step, self.decay).into(),
                    Algorithm::Sppo => Sppo::new(step).into(),
                    Algorithm::IterativeIpo => IterativeIpo::new(step, self.base.into()).into(),
                    Algorithm::IterativeDpo => IterativeDpo::new(step, self.base.into()).into(),
                    Algorithm::Onpo => Onpo::new(step).into(),
                    Algorithm::Egpo => Egpo::new(step).into(),
                    Algorithm::Mpo => Mpo::new(step, tau, self.period).into(),
                    Algorithm::Comal => Comal::new(step, tau, self.period).into(),
                    Algorithm::Mnpo => Mnpo::new(step, self.history_weights.clone()).into(),
                    // The rest has been dealt with above.
                    _ => Inpo::new(step).into(),
                }
            }
        })
    }

    fn step_size(&self, game: &MatrixGame, iterations: u64) -> Result<StepSize, CliError> {
        match (self.schedule, self.eta) {
            (Schedule::Constant, Some(eta)) => Ok(StepSize::Constant(eta)),
            (Schedule::Constant, None) => Err(CliError::Input(
                "--eta is missing: the constant schedule needs an inverse step size".into(),
            )),
            (Schedule::Sqrt, scale) => {
                let diameter = diameter(&game.reference());
                Ok(StepSize::Sqrt {
                    scale: scale.unwrap_or_else(|| diameter.max(f64::EPSILON).sqrt().recip()),
                    horizon: Some(iterations.max(1)),
                })
            }
            (Schedule::Theory, _) => Ok(StepSize::Theory),
        }
    }
}
