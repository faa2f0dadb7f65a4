//! The methods of `[objective]`: a file each, and one table.

use inpo_loss::{LossError, MethodLoss};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::phases::{Phase, Round};

mod comal;
mod dno;
mod dno_prct;
mod dpo;
mod egpo;
mod enpo;
mod hinge;
mod inpo;
mod ipo;
mod ipo_mean;
mod iterative_dpo;
mod iterative_ipo;
mod mnpo;
mod mpo;
mod nash_md;
mod online_ipo;
mod onpo;
mod rebel;
mod sppo;

/// A method: its loss, the keys that it has, and what an iteration of it does.
pub struct Method {
    /// Its word in a configuration.
    pub name: &'static str,
    /// Other words that are understood.
    pub aliases: &'static [&'static str],
    /// Where it is from: an arXiv id, or a library's name.
    pub source: &'static str,
    /// What it calls its inverse step size, with the default.
    pub step: Step,
    /// How it weighs the KL to the reference.
    pub kl: Kl,
    /// The keys of `[objective]` that it has beside those.
    pub keys: &'static [Key],
    /// After how many iterations the reference becomes pi_t when nothing is said; 0: never.
    pub ref_update_every: usize,
    /// Its anchors in symbols, for the documentation.
    pub anchors: &'static str,
    /// The phases of an iteration.
    pub phases: fn(&Round) -> Vec<Phase>,
    /// Its loss.
    pub loss: fn(&Settings<'_>) -> Result<MethodLoss, LossError>,
}

/// What a method calls its inverse step size, with the default: INPO's paper's for whatever is called eta, TRL's for
/// DPO and its kin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// `eta`.
    Eta(f64),
    /// `beta`.
    Beta(f64),
    /// Both words, `eta` when neither is given.
    Either(f64),
}

impl Step {
    /// The inverse step size when none is given.
    pub fn default(self) -> f64 {
        match self {
            Self::Eta(step) | Self::Beta(step) | Self::Either(step) => step,
        }
    }
}

/// How a method weighs the KL to the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kl {
    /// It has no such weight.
    None,
    /// `tau`, or `tau_eta_ratio` times eta, a third when neither is given.
    Weight,
    /// By its inverse step size, which may be given as `tau` too: IPO is INPO at tau = eta.
    Step,
}

/// Keys of `[objective]` that some methods have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// `label_smoothing`, the share of flipped labels; default 0.
    LabelSmoothing,
    /// `history_weights`, newest policy first; default three equal ones.
    HistoryWeights,
    /// `alpha`, the weight of the exploration term; default 0.001, on given pairs 0.
    Alpha,
}

impl Key {
    /// Every key.
    pub const ALL: [Self; 3] = [Self::LabelSmoothing, Self::HistoryWeights, Self::Alpha];

    /// The key's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::LabelSmoothing => "label_smoothing",
            Self::HistoryWeights => "history_weights",
            Self::Alpha => "alpha",
        }
    }
}

/// What a loss is made of, with every default in its place.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// INVERSE step size.
    pub step: f64,
    /// KL weight; 0 where the method has none.
    pub tau: f64,
    /// Share of flipped labels.
    pub label_smoothing: f64,
    /// Weights of past policies, newest first.
    pub history_weights: &'a [f64],
    /// Weight of the exploration term.
    pub alpha: f64,
    /// How many policies exist: t in iteration t.
    pub policies: usize,
}

/// Writes [`Algorithm`] from the table.
macro_rules! methods {
    ($($(#[$doc:meta])* $variant:ident = $module:ident),+ $(,)?) => {
        /// The methods of `[objective]`: a loss with its own samplers, anchors and phases. A configuration names one
        /// by its word.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Algorithm {
            $($(#[$doc])* $variant),+
        }

        impl Algorithm {
            /// Every method.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            const NAMES: &'static [&'static str] = &[$($module::METHOD.name),+];

            /// What the method is.
            pub fn method(self) -> &'static Method {
                match self {
                    $(Self::$variant => &$module::METHOD),+
                }
            }
        }
    };
}

methods! {
    /// Iterative Nash policy optimisation (arXiv 2407.00617).
    Inpo = inpo,
    /// IPO on pairs from the reference (arXiv 2310.12036).
    Ipo = ipo,
    /// IPO on pairs from the current policy, the reference fixed (arXiv 2403.08635).
    OnlineIpo = online_ipo,
    /// IPO on pairs from the current policy, the reference moving.
    IterativeIpo = iterative_ipo,
    /// IPO on log-probs per token, as TRL's, on pairs from the reference.
    IpoMean = ipo_mean,
    /// DPO on pairs from the reference (arXiv 2305.18290).
    Dpo = dpo,
    /// DPO on pairs from the current policy, the reference moving.
    IterativeDpo = iterative_dpo,
    /// DPO with the hinge loss, on pairs from the reference (arXiv 2305.10425).
    Hinge = hinge,
    /// Self-play preference optimisation (arXiv 2405.00675).
    Sppo = sppo,
    /// Direct Nash optimisation (arXiv 2404.03715).
    Dno = dno,
    /// The practical form of direct Nash optimisation (arXiv 2404.03715).
    DnoPrct = dno_prct,
    /// Regression of reward differences (arXiv 2404.16767), win rates as rewards.
    Rebel = rebel,
    /// Nash mirror descent on pairs from the mixture (arXiv 2312.00886).
    NashMd = nash_md,
    /// Optimistic mirror descent, two phases (arXiv 2502.16852).
    Onpo = onpo,
    /// Extragradient, two phases (arXiv 2503.08942).
    Egpo = egpo,
    /// INPO towards a reference that moves (arXiv 2410.23223).
    Comal = comal,
    /// Magnetic mirror descent (arXiv 2410.16714).
    Mpo = mpo,
    /// A history of opponents (arXiv 2509.23102).
    Mnpo = mnpo,
    /// ENPO's step A (arXiv 2606.01382).
    Enpo = enpo,
}

impl Algorithm {
    /// Its word in a configuration.
    pub fn name(self) -> &'static str {
        self.method().name
    }

    /// The phases of iteration `round`.
    pub fn phases(self, round: &Round) -> Vec<Phase> {
        (self.method().phases)(round)
    }

    /// Whether an iteration is one optimisation on one set of pairs.
    pub(crate) fn is_single_phase(self) -> bool {
        self.phases(&Round::new(1)).len() == 1
    }
}

impl schemars::JsonSchema for Algorithm {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Algorithm".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let choice = |algorithm: &Self| {
            let Method {
                name,
                aliases,
                source,
                ..
            } = algorithm.method();
            let mut choice = serde_json::json!({"const": name, "description": source});
            if !aliases.is_empty() {
                choice["x-aliases"] = serde_json::json!(aliases);
            }
            choice
        };
        let choices: Vec<_> = Self::ALL.iter().map(choice).collect();
        schemars::json_schema!({"oneOf": choices})
    }
}

impl Serialize for Algorithm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Algorithm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let named = |a: &&Self| a.name() == word || a.method().aliases.contains(&word.as_str());
        let found = Self::ALL.iter().find(named).copied();
        found.ok_or_else(|| de::Error::unknown_variant(&word, Self::NAMES))
    }
}

#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;
