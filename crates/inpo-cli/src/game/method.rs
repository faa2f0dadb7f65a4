//! From flags to a method: `--algorithm NAME` and the settings that go with it.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use inpo_core::game::MatrixGame;
use inpo_core::solver::{
    Algorithm, Choice, FromChoice, Iterate, Method, MethodSettings, Problem, Reads, Reference,
    Schedule, Solver,
};

use super::error::solver_error;
use crate::error::CliError;

/// Takes a name or an alias of the library's table of methods, which also has their help.
pub(super) fn algorithm_parser() -> impl TypedValueParser<Value = &'static Algorithm> {
    let value = |entry: &'static Algorithm| {
        let value = PossibleValue::new(entry.name).help(entry.help);
        value.aliases(entry.aliases.iter().copied())
    };
    PossibleValuesParser::new(Method::ALGORITHMS.iter().map(value))
        .map(|name| Method::named(&name).expect("a value of the table"))
}

/// Help of a flag that some methods read: their names, what it is and the default.
fn help<T: ToString>(what: &str, default: impl Fn(&Reads) -> Option<T>) -> String {
    let readers = Method::ALGORITHMS
        .iter()
        .filter(|entry| default(&entry.reads).is_some());
    let names: Vec<&str> = readers.clone().map(|entry| entry.name).collect();
    let default = readers.filter_map(|entry| default(&entry.reads)).next();
    let default = default.map_or(String::new(), |value| value.to_string());
    format!("{}: {what} [default: {default}]", names.join(", "))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ScheduleArg {
    /// The same eta in every update.
    Constant,
    /// eta times the square root of --iterations; eta defaults to the paper's 1/sqrt(D).
    Sqrt,
    /// What the method's own theorem says; for inpo eta_t = tau (t + 2) / 2.
    Theory,
}

impl From<ScheduleArg> for Schedule {
    fn from(schedule: ScheduleArg) -> Self {
        match schedule {
            ScheduleArg::Constant => Self::Constant,
            ScheduleArg::Sqrt => Self::Sqrt,
            ScheduleArg::Theory => Self::Theory,
        }
    }
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

impl Base {
    fn name(reference: Reference) -> &'static str {
        match reference {
            Reference::Previous => "previous",
            Reference::Fixed => "fixed",
        }
    }
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
    tau: Option<f64>,
    /// INVERSE step size, above 0, for every method. Required with the constant schedule by all but
    /// regret matching, fictitious play and replicator.
    #[arg(long, allow_negative_numbers = true)]
    eta: Option<f64>,
    /// How eta goes with the iteration [default: constant].
    #[arg(long, value_enum)]
    schedule: Option<ScheduleArg>,
    #[arg(long, value_name = "UPDATES",
          help = help("updates between two moves of the reference", |reads| reads.period))]
    period: Option<u64>,
    #[arg(long, allow_negative_numbers = true,
          help = help("the weight of the old average, in [0, 1)", |reads| reads.decay))]
    decay: Option<f64>,
    #[arg(long, value_delimiter = ',', allow_negative_numbers = true,
          help = help("the weights of the past policies, the newest first", |reads| {
              let weights = reads.history_weights?.iter().map(f64::to_string);
              Some(weights.collect::<Vec<_>>().join(","))
          }))]
    history_weights: Option<Vec<f64>>,
    #[arg(long, value_enum,
          help = help("what their own KL is taken to", |reads| reads.base.map(Base::name)))]
    base: Option<Base>,
    #[arg(long, allow_negative_numbers = true,
          help = help("the time of one iteration", |reads| reads.step))]
    step: Option<f64>,
}

impl MethodArgs {
    /// The settings that were given.
    pub(super) fn settings(&self) -> MethodSettings {
        MethodSettings {
            tau: self.tau,
            eta: self.eta,
            schedule: self.schedule.map(Schedule::from),
            period: self.period,
            decay: self.decay,
            history_weights: self.history_weights.clone(),
            base: self.base.map(Reference::from),
            step: self.step,
        }
    }
}

/// The method, checked, with the problem that it solves on `game`.
pub(super) fn build(
    algorithm: &'static Algorithm,
    settings: &MethodSettings,
    game: MatrixGame,
    iterations: u64,
) -> Result<(Method, Problem<MatrixGame>), CliError> {
    let reference = game.reference();
    let choice = Choice {
        algorithm,
        settings,
        start: &reference,
        iterations,
    };
    let method = Method::from_choice(&choice).map_err(solver_error)?;
    let tau = choice.game_tau();
    let problem = Problem::new(game, reference, tau).map_err(solver_error)?;
    method.validate(&problem).map_err(solver_error)?;
    Ok((method, problem))
}
