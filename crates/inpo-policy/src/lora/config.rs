//! Settings of low-rank adaptation.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::modules::{Modules, Patterns, Rules, Selection, is_named, scale_of};
use super::refusal::Refusal;
use super::{FUSED_MODULES, TARGET_MODULES, paths};
use crate::error::PolicyError;
use crate::model::Decoder;

/// Settings of low-rank adaptation (arXiv 2106.09685): `W + s A B` as a side path, `s = alpha / rank`.
///
/// PEFT's spellings (`r`, `lora_alpha`, `lora_dropout`) are read too.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LoraConfig {
    /// Rank of the side path `A B`, at least 1.
    #[serde(alias = "r")]
    #[schemars(extend("x-aliases" = ["r"]))]
    pub rank: usize,
    /// Numerator of the scale `s = alpha / rank` of the side path, above 0.
    #[serde(alias = "lora_alpha")]
    #[schemars(extend("x-aliases" = ["lora_alpha"]))]
    pub alpha: f64,
    /// rsLoRA (arXiv 2312.03732): `s = alpha / sqrt(rank)`, which keeps the size of the side path's output
    /// where the rank grows.
    pub use_rslora: bool,
    /// Share of the side path's input that is dropped while training, from 0 to below 1, the rest being scaled up (PEFT's
    /// `lora_dropout`); scoring and sampling drop nothing. With dropout the first loss is not checked against the anchors.
    #[serde(alias = "lora_dropout")]
    #[schemars(extend("x-aliases" = ["lora_dropout"]))]
    pub dropout: f64,
    /// Projections that get an adapter: names such as `q_proj`, alone or with what stands before them in a module's path; or
    /// a regular expression of paths, or `"all-linear"`.
    pub target_modules: Modules,
    /// Modules that get none although `target_modules` names them.
    #[serde(skip_serializing_if = "Modules::is_empty")]
    #[schemars(!skip_serializing_if)]
    pub exclude_modules: Modules,
    /// Numbers of the layers that get adapters, from 0; empty: all. Not for a `target_modules` in one text.
    #[serde(
        deserialize_with = "one_or_many",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(!skip_serializing_if)]
    pub layers_to_transform: Vec<usize>,
    /// Names of the list of layers in a module's path, for `layers_to_transform`; empty: any.
    #[serde(
        deserialize_with = "one_or_many",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(!skip_serializing_if)]
    pub layers_pattern: Vec<String>,
    /// Ranks of modules that have another one, by regular expressions of their paths.
    #[serde(skip_serializing_if = "Patterns::is_empty")]
    #[schemars(with = "BTreeMap<String, usize>", !skip_serializing_if)]
    pub rank_pattern: Patterns<usize>,
    /// Alphas of modules that have another one, by regular expressions of their paths.
    #[serde(skip_serializing_if = "Patterns::is_empty")]
    #[schemars(with = "BTreeMap<String, f64>", !skip_serializing_if)]
    pub alpha_pattern: Patterns<f64>,
}

/// A value or a list of them.
fn one_or_many<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a value or a list of values")]
    enum OneOrMany<T> {
        One(T),
        Many(Vec<T>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

impl Default for LoraConfig {
    /// Rank 16, alpha 32 over the rank, all seven projections of a block.
    fn default() -> Self {
        Self {
            rank: 16,
            alpha: 32.0,
            use_rslora: false,
            dropout: 0.0,
            target_modules: TARGET_MODULES.into(),
            exclude_modules: Modules::default(),
            layers_to_transform: Vec::new(),
            layers_pattern: Vec::new(),
            rank_pattern: Patterns::default(),
            alpha_pattern: Patterns::default(),
        }
    }
}

impl LoraConfig {
    /// The scale `s` of the side path where no pattern says otherwise: `alpha / rank`, or `alpha / sqrt(rank)` for
    /// rsLoRA.
    pub fn scale(&self) -> f64 {
        scale_of(self.use_rslora, self.rank, self.alpha)
    }

    /// Which modules get an adapter, and of which rank and scale.
    pub(super) fn rules(&self) -> Rules<'_> {
        Rules {
            target_modules: &self.target_modules,
            exclude_modules: &self.exclude_modules,
            layers_to_transform: &self.layers_to_transform,
            layers_pattern: &self.layers_pattern,
            rank_pattern: &self.rank_pattern,
            alpha_pattern: &self.alpha_pattern,
            rank: self.rank,
            alpha: self.alpha,
            use_rslora: self.use_rslora,
        }
    }

    /// Checks every setting that does not depend on a model.
    pub fn validate(&self) -> Result<(), PolicyError> {
        self.check_values()?;
        let fused = FUSED_MODULES.map(|(name, _)| name);
        let known = [TARGET_MODULES.as_slice(), &fused].concat();
        let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
        if let Modules::Names(names) = &self.target_modules
            && let Some(name) = names.iter().find(|n| !known.contains(&last(n).as_str()))
        {
            let allowed = format!("some of {}", known.join(", "));
            return Err(refusal("target_modules", name.clone(), allowed).into());
        }
        Ok(())
    }

    /// The part of [`LoraConfig::validate`] that holds for an adapter's file too, which may name modules that no model
    /// here has.
    pub(super) fn check_values(&self) -> Result<(), Refusal> {
        let ranks = self.rank_pattern.0.iter();
        let mut ranks = std::iter::once(("rank", self.rank))
            .chain(ranks.map(|(_, rank)| ("rank_pattern", *rank)));
        if let Some((key, rank)) = ranks.find(|(_, rank)| *rank == 0) {
            return Err(refusal(key, rank.to_string(), "at least 1".into()));
        }
        let alphas = self.alpha_pattern.0.iter();
        let mut alphas = std::iter::once(("alpha", self.alpha))
            .chain(alphas.map(|(_, alpha)| ("alpha_pattern", *alpha)));
        let bad = |alpha: f64| !(alpha > 0.0 && alpha.is_finite());
        if let Some((key, alpha)) = alphas.find(|(_, alpha)| bad(*alpha)) {
            return Err(refusal(key, alpha.to_string(), "a positive number".into()));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            let allowed = "from 0 to below 1".into();
            return Err(refusal("dropout", self.dropout.to_string(), allowed));
        }
        if self.target_modules.is_empty() {
            let allowed = "at least one".into();
            return Err(refusal("target_modules", "none".into(), allowed));
        }
        // As PEFT says.
        let text = matches!(self.target_modules, Modules::Pattern(_));
        if text && !self.layers_to_transform.is_empty() {
            let allowed = "none where target_modules is one text; name the layers in it".into();
            let got = format!("{:?}", self.layers_to_transform);
            return Err(refusal("layers_to_transform", got, allowed));
        }
        if !self.layers_pattern.is_empty() && self.layers_to_transform.is_empty() {
            let allowed = "none without layers_to_transform".into();
            let got = self.layers_pattern.join(", ");
            return Err(refusal("layers_pattern", got, allowed));
        }
        Selection::new(self.rules()).map(|_| ())
    }

    /// These settings with the names of `decoder`'s own projections: a model that has queries, keys and
    /// values in one matrix gets one adapter for the three.
    ///
    /// # Errors
    ///
    /// Settings outside their range, a name that the decoder does not have, or rules that leave no projection.
    pub fn resolved(&self, decoder: &Decoder) -> Result<Self, PolicyError> {
        self.validate()?;
        let paths = paths(decoder);
        let own = own_names(&paths);
        let target_modules = match &self.target_modules {
            _ if paths.is_empty() => self.target_modules.clone(),
            Modules::Names(names) => Modules::Names(resolved_names(names, &paths, &own)?),
            Modules::Pattern(_) => self.all_linear_of(&own),
        };
        let config = Self {
            target_modules,
            ..self.clone()
        };
        config.check_some(&paths)?;
        Ok(config)
    }

    /// `target_modules` with "all-linear" spelled out.
    pub(super) fn all_linear_of(&self, own: &[&str]) -> Modules {
        if self.target_modules.is_all_linear() {
            Modules::Names(own.iter().map(|&name| name.to_owned()).collect())
        } else {
            self.target_modules.clone()
        }
    }

    /// Checks that some of the modules at `paths` gets an adapter.
    pub(super) fn check_some(&self, paths: &[String]) -> Result<(), Refusal> {
        let selection = Selection::new(self.rules())?;
        for path in paths {
            if selection.takes(path)? {
                return Ok(());
            }
        }
        if paths.is_empty() {
            return Ok(());
        }
        let own = own_names(paths).join(", ");
        let allowed = if self.exclude_modules.is_empty() && self.layers_to_transform.is_empty() {
            format!("the projections of this model: {own}")
        } else {
            format!(
                "rules that leave some of the projections of this model: {own} (exclude_modules, layers_to_transform and layers_pattern count too)"
            )
        };
        let got = self.target_modules.to_string();
        Err(refusal("target_modules", got, allowed))
    }
}

fn refusal(key: &'static str, got: String, allowed: String) -> Refusal {
    Refusal { key, got, allowed }
}

/// The last parts of `paths`, each once.
pub(super) fn own_names(paths: &[String]) -> Vec<&str> {
    let mut names = Vec::new();
    for name in paths.iter().filter_map(|path| path.rsplit('.').next()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// `targets` with the parts of a fused projection as the whole; each must be one of the modules at `paths`.
fn resolved_names(
    targets: &[String],
    paths: &[String],
    own: &[&str],
) -> Result<Vec<String>, Refusal> {
    let mut modules: Vec<String> = Vec::new();
    for target in targets {
        let whole = FUSED_MODULES.iter().find(|(whole, parts)| {
            let named = |part: &&str| targets.iter().any(|target| target == part);
            own.contains(whole) && parts.contains(&target.as_str()) && parts.iter().all(named)
        });
        let name = whole.map_or(target.as_str(), |(whole, _)| whole);
        if !paths.iter().any(|path| is_named(path, name)) {
            let allowed = format!("the projections of this model: {}", own.join(", "));
            return Err(refusal("target_modules", target.clone(), allowed));
        }
        if !modules.iter().any(|known| known == name) {
            modules.push(name.to_owned());
        }
    }
    Ok(modules)
}
