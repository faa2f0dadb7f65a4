//! From flags to a method: `--algorithm NAME` and the settings that go with it.

use clap::{Args, ValueEnum};
use inpo_core::game::MatrixGame;
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

impl Algorithm {
    /// Whether it has a KL: of the game that it solves, or of its own.
    pub(super) fn has_kl(self) -> bool {
        match self {
            Self::Inpo
            | Self::NashMd
            | Self::NashEma
            | Self::Egpo
            | Self::Mpo
            | Self::Comal
            | Self::FictitiousPlay
            | Self::Replicator => true,
            Self::Sppo
            | Self::IterativeIpo
            | Self::IterativeDpo
            | Self::Onpo
            | Self::Mnpo
            | Self::RegretMatching
            | Self::RegretMatchingPlus => false,
        }
    }
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
#[derive(Clone, Debug, Default, Args)]
pub(super) struct MethodArgs {
    /// Weight of the KL to the reference, 0 <= tau <= eta.
    #[arg(long, allow_negative_numbers = true)]
    pub(super) tau: Option<f64>,
    /// INVERSE step size, above 0, for every method. Required with the constant schedule by all but
    /// regret matching, fictitious play and replicator.
    #[arg(long, allow_negative_numbers = true)]
    pub(super) eta: Option<f64>,
    /// How eta goes with the iteration [default: constant].
    #[arg(long, value_enum)]
    pub(super) schedule: Option<Schedule>,
    /// comal, mpo: updates between two moves of the reference [default: 20].
    #[arg(long, value_name = "UPDATES")]
    pub(super) period: Option<u64>,
    /// nash_ema: the weight of the old average, in [0, 1) [default: 0.5].
    #[arg(long, allow_negative_numbers = true)]
    pub(super) decay: Option<f64>,
    /// mnpo: the weights of the past policies, the newest first [default: 0.5,0.3,0.2].
    #[arg(long, value_delimiter = ',', allow_negative_numbers = true)]
    pub(super) history_weights: Option<Vec<f64>>,
    /// iterative_ipo, iterative_dpo: what their own KL is taken to [default: previous].
    #[arg(long, value_enum)]
    pub(super) base: Option<Base>,
    /// replicator: the time of one iteration [default: 0.5].
    #[arg(long, allow_negative_numbers = true)]
    pub(super) step: Option<f64>,
}

impl MethodArgs {
    /// The settings that were given and that the method does not read.
    pub(super) fn unused(&self, algorithm: Algorithm) -> Vec<&'static str> {
        use Algorithm as A;
        let steps = !matches!(
            algorithm,
            A::RegretMatching | A::RegretMatchingPlus | A::FictitiousPlay | A::Replicator
        );
        let theory = self.schedule == Some(Schedule::Theory);
        [
            ("eta", self.eta.is_some() && (!steps || theory)),
            ("schedule", self.schedule.is_some() && !steps),
            (
                "period",
                self.period.is_some() && !matches!(algorithm, A::Comal | A::Mpo),
            ),
            ("decay", self.decay.is_some() && algorithm != A::NashEma),
            (
                "history_weights",
                self.history_weights.is_some() && algorithm != A::Mnpo,
            ),
            (
                "base",
                self.base.is_some() && !matches!(algorithm, A::IterativeIpo | A::IterativeDpo),
            ),
            ("step", self.step.is_some() && algorithm != A::Replicator),
        ]
        .into_iter()
        .filter_map(|(name, unused)| unused.then_some(name))
        .collect()
    }

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
        let theory = self.schedule == Some(Schedule::Theory);
        let period = self.period.unwrap_or(20);
        let base = self.base.unwrap_or(Base::Previous).into();
        let step = || self.step_size(game, iterations);
        Ok(match algorithm {
            Algorithm::Inpo => Inpo::new(step()?).into(),
            Algorithm::NashMd => NashMd::new(step()?).into(),
            Algorithm::NashEma => NashEma::new(step()?, self.decay.unwrap_or(0.5)).into(),
            Algorithm::Sppo if theory => Sppo::theory(&game.reference(), iterations).into(),
            Algorithm::Sppo => Sppo::new(step()?).into(),
            Algorithm::IterativeIpo => IterativeIpo::new(step()?, base).into(),
            Algorithm::IterativeDpo => IterativeDpo::new(step()?, base).into(),
            Algorithm::Onpo if theory => Onpo::theory().into(),
            Algorithm::Onpo => Onpo::new(step()?).into(),
            Algorithm::Egpo => Egpo::new(step()?).into(),
            Algorithm::Mpo if theory => Mpo::theory(tau, period).into(),
            Algorithm::Mpo => Mpo::new(step()?, tau, period).into(),
            Algorithm::Comal => Comal::new(step()?, tau, period).into(),
            Algorithm::Mnpo => {
                let weights = self.history_weights.clone();
                Mnpo::new(step()?, weights.unwrap_or_else(|| vec![0.5, 0.3, 0.2])).into()
            }
            Algorithm::RegretMatching => RegretMatching::new().into(),
            Algorithm::RegretMatchingPlus => RegretMatching::plus().into(),
            Algorithm::FictitiousPlay => FictitiousPlay::new().into(),
            Algorithm::Replicator => Replicator::new(self.step.unwrap_or(0.5)).into(),
        })
    }

    fn step_size(&self, game: &MatrixGame, iterations: u64) -> Result<StepSize, CliError> {
        match (self.schedule.unwrap_or(Schedule::Constant), self.eta) {
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
