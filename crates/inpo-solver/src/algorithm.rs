//! What a method is called, which game it plays and which settings it reads.

use crate::{MethodSettings, Reference, Schedule, SolverError, StepSize};

/// A method by its name. Each solver's file says its own ([`Solver::ALGORITHMS`]), and
/// `Method::ALGORITHMS` is the table of all.
///
/// [`Solver::ALGORITHMS`]: crate::Solver::ALGORITHMS
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Algorithm {
    /// The paper's name, in lower case, as JSON and the command spell it.
    pub name: &'static str,
    /// Other names that the command takes.
    pub aliases: &'static [&'static str],
    /// One line for a list of methods, without a full stop.
    pub help: &'static str,
    /// The games that it plays.
    pub plays: Plays,
    /// Whether [`StepSize::Theory`] is a step size of this method.
    pub theory: bool,
    /// The settings that it reads.
    pub reads: Reads,
}

/// The games that a method plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plays {
    /// The plain game: tau must be 0.
    Plain,
    /// The KL-regularised game: tau must be above 0.
    Regularised,
    /// Both.
    Either,
}

/// The settings that a method reads, each with its default. `None` is a setting that it does not
/// read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reads {
    /// Whether tau is the method's own, in a plain game: [`MethodSettings::tau`].
    pub own_tau: bool,
    /// Whether it has a step size: [`MethodSettings::eta`] and [`MethodSettings::schedule`].
    pub step_size: bool,
    /// [`MethodSettings::period`].
    pub period: Option<u64>,
    /// [`MethodSettings::decay`].
    pub decay: Option<f64>,
    /// [`MethodSettings::history_weights`].
    pub history_weights: Option<&'static [f64]>,
    /// [`MethodSettings::base`].
    pub base: Option<Reference>,
    /// [`MethodSettings::step`].
    pub step: Option<f64>,
}

impl Reads {
    /// No setting.
    pub const NOTHING: Self = Self {
        own_tau: false,
        step_size: false,
        period: None,
        decay: None,
        history_weights: None,
        base: None,
        step: None,
    };

    /// The step size alone.
    pub const STEP_SIZE: Self = Self {
        step_size: true,
        ..Self::NOTHING
    };
}

impl Algorithm {
    /// Without a name, for both games, without a setting: what entries start from.
    pub const DEFAULT: Self = Self {
        name: "",
        aliases: &[],
        help: "",
        plays: Plays::Either,
        theory: false,
        reads: Reads::NOTHING,
    };

    /// Whether `name` is its name or one of its aliases, in upper or lower case.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        let names = [self.name].into_iter().chain(self.aliases.iter().copied());
        names.into_iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    /// Whether it has a KL: that of the game, or its own.
    #[must_use]
    pub fn has_kl(&self) -> bool {
        self.plays != Plays::Plain || self.reads.own_tau
    }

    /// The names of the settings that are given and that the method, set so, does not read. tau is
    /// never among them: a game with a KL is refused by a method of the plain game.
    #[must_use]
    pub fn unused(&self, given: &MethodSettings) -> Vec<&'static str> {
        let reads = &self.reads;
        let reads_eta = reads.step_size && given.schedule != Some(Schedule::Theory);
        [
            ("eta", given.eta.is_some(), reads_eta),
            ("schedule", given.schedule.is_some(), reads.step_size),
            ("period", given.period.is_some(), reads.period.is_some()),
            ("decay", given.decay.is_some(), reads.decay.is_some()),
            (
                "history_weights",
                given.history_weights.is_some(),
                reads.history_weights.is_some(),
            ),
            ("base", given.base.is_some(), reads.base.is_some()),
            ("step", given.step.is_some(), reads.step.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, given, read)| (given && !read).then_some(name))
        .collect()
    }

    /// Checks that the method plays the game with this tau, with this step size if it has one.
    ///
    /// # Errors
    /// [`SolverError::PlainGameOnly`], [`SolverError::NeedsTau`], [`SolverError::NoTheory`] or those
    /// of [`StepSize::validate`].
    pub fn check(&self, tau: f64, step_size: Option<StepSize>) -> Result<(), SolverError> {
        let algorithm = self.name;
        match self.plays {
            Plays::Plain if tau != 0.0 => {
                return Err(SolverError::PlainGameOnly { algorithm, tau });
            }
            Plays::Regularised if tau == 0.0 => return Err(SolverError::NeedsTau { algorithm }),
            _ => {}
        }
        match step_size {
            Some(StepSize::Theory) if !self.theory => Err(SolverError::NoTheory { algorithm }),
            Some(step_size) => step_size.validate(tau),
            None => Ok(()),
        }
    }
}

/// The entries of all `parts`, which are `N`.
pub(crate) const fn joined<const N: usize>(parts: &[&[Algorithm]]) -> [Algorithm; N] {
    let mut all = [Algorithm::DEFAULT; N];
    let (mut part, mut from, mut to) = (0, 0, 0);
    while to < N {
        if from < parts[part].len() {
            all[to] = parts[part][from];
            (from, to) = (from + 1, to + 1);
        } else {
            (part, from) = (part + 1, 0);
        }
    }
    all
}
