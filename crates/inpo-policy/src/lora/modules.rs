//! Which modules of a model get an adapter, and of which rank: PEFT's rules.
//!
//! A module is named by its path, `model.layers.0.self_attn.q_proj`. A name in a list stands for the module of that
//! path and for every module whose path ends with `.` and the name; a text in the place of a list is a regular
//! expression that the whole path must match (Python's `re.fullmatch`).

use std::fmt;
use std::marker::PhantomData;

use fancy_regex::Regex;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::refusal::Refusal;

/// All projections of the blocks, by one word in the place of a list.
const ALL_LINEAR: &str = "all-linear";

/// A set of modules: a list of names, or a regular expression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a list of module names, a regular expression or \"all-linear\""
)]
pub enum Modules {
    /// Names or whole paths of modules.
    Names(Vec<String>),
    /// A regular expression that a module's whole path must match; as a target, "all-linear" is every projection.
    Pattern(String),
}

impl Modules {
    /// Whether these are all projections by their one word.
    pub(super) fn is_all_linear(&self) -> bool {
        matches!(self, Self::Pattern(text) if text.eq_ignore_ascii_case(ALL_LINEAR))
    }

    /// Whether nothing is named.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Names(names) => names.is_empty(),
            Self::Pattern(text) => text.is_empty(),
        }
    }
}

impl Default for Modules {
    /// None.
    fn default() -> Self {
        Self::Names(Vec::new())
    }
}

impl<const N: usize> From<[&str; N]> for Modules {
    fn from(names: [&str; N]) -> Self {
        Self::Names(names.map(str::to_owned).to_vec())
    }
}

impl fmt::Display for Modules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Names(names) => f.write_str(&names.join(", ")),
            Self::Pattern(text) => write!(f, "{text:?}"),
        }
    }
}

/// Values of modules that differ from the rest, by regular expressions in the order of the file: the first that matches
/// a module's path, or its end behind a dot, counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Patterns<T>(pub Vec<(String, T)>);

impl<T> Default for Patterns<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Patterns<T> {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Serialize> Serialize for Patterns<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (pattern, value) in &self.0 {
            map.serialize_entry(pattern, value)?;
        }
        map.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patterns<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Patterns<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("regular expressions of module names, each with a number")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Patterns(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// The settings of a [`LoraConfig`](super::LoraConfig) that say which modules get an adapter, and which.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) target_modules: &'a Modules,
    pub(super) exclude_modules: &'a Modules,
    pub(super) layers_to_transform: &'a [usize],
    pub(super) layers_pattern: &'a [String],
    pub(super) rank_pattern: &'a Patterns<usize>,
    pub(super) alpha_pattern: &'a Patterns<f64>,
    pub(super) rank: usize,
    pub(super) alpha: f64,
    pub(super) use_rslora: bool,
}

/// The scale of a side path.
pub(super) fn scale_of(use_rslora: bool, rank: usize, alpha: f64) -> f64 {
    let rank = rank as f64;
    if use_rslora {
        alpha / rank.sqrt()
    } else {
        alpha / rank
    }
}

/// [`Rules`] with their regular expressions compiled.
pub(super) struct Selection<'a> {
    rules: Rules<'a>,
    target: Rule<'a>,
    exclude: Rule<'a>,
    /// What the number of a layer stands behind.
    layers: Vec<Regex>,
    ranks: Vec<(Regex, usize)>,
    alphas: Vec<(Regex, f64)>,
}

enum Rule<'a> {
    Names(&'a [String]),
    Pattern(Regex),
}

impl<'a> Selection<'a> {
    /// Compiles `rules`.
    pub(super) fn new(rules: Rules<'a>) -> Result<Self, Refusal> {
        let layers: Vec<String> = match rules.layers_pattern {
            [] => vec!["[^.]*".to_owned()],
            patterns => patterns.to_vec(),
        };
        let layer = |pattern: &String| {
            compile("layers_pattern", pattern, |p| {
                format!(r"\A.*?\.{p}\.(\d+)\.")
            })
        };
        Ok(Self {
            target: Rule::new("target_modules", rules.target_modules)?,
            exclude: Rule::new("exclude_modules", rules.exclude_modules)?,
            layers: layers.iter().map(layer).collect::<Result<_, _>>()?,
            ranks: by_pattern("rank_pattern", rules.rank_pattern)?,
            alphas: by_pattern("alpha_pattern", rules.alpha_pattern)?,
            rules,
        })
    }

    /// Whether the module at `path` gets an adapter.
    pub(super) fn takes(&self, path: &str) -> Result<bool, Refusal> {
        if self.exclude.matches("exclude_modules", path)? {
            return Ok(false);
        }
        let found = self.target.matches("target_modules", path)?;
        let by_layer = match &self.target {
            // A whole path stands for its module in whichever layer.
            Rule::Names(names) => !names.iter().any(|name| name == path),
            Rule::Pattern(_) => false,
        };
        if !found || !by_layer || self.rules.layers_to_transform.is_empty() {
            return Ok(found);
        }
        for pattern in &self.layers {
            let captures = pattern
                .captures(path)
                .map_err(|error| Refusal::pattern("layers_pattern", pattern.as_str(), &error))?;
            let Some(number) = captures.as_ref().and_then(|found| found.get(1)) else {
                continue;
            };
            let layer = number.as_str().parse::<usize>();
            return Ok(layer.is_ok_and(|layer| self.rules.layers_to_transform.contains(&layer)));
        }
        Ok(false)
    }

    /// The rank of the adapter of the module at `path`.
    pub(super) fn rank(&self, path: &str) -> Result<usize, Refusal> {
        Ok(first("rank_pattern", &self.ranks, path)?.unwrap_or(self.rules.rank))
    }

    /// The scale of the adapter of the module at `path`.
    pub(super) fn scale(&self, path: &str) -> Result<f64, Refusal> {
        let alpha = first("alpha_pattern", &self.alphas, path)?.unwrap_or(self.rules.alpha);
        Ok(scale_of(self.rules.use_rslora, self.rank(path)?, alpha))
    }
}

impl<'a> Rule<'a> {
    fn new(key: &'static str, modules: &'a Modules) -> Result<Self, Refusal> {
        Ok(match modules {
            Modules::Names(names) => Self::Names(names),
            // PEFT takes an empty text for nothing.
            Modules::Pattern(text) if text.is_empty() => Self::Names(&[]),
            Modules::Pattern(text) => {
                Self::Pattern(compile(key, text, |text| format!(r"\A(?:{text})\z"))?)
            }
        })
    }

    fn matches(&self, key: &'static str, path: &str) -> Result<bool, Refusal> {
        match self {
            Self::Names(names) => Ok(names.iter().any(|name| is_named(path, name))),
            Self::Pattern(regex) => is_match(key, regex, path),
        }
    }
}

/// Whether `name` stands for the module at `path`.
pub(super) fn is_named(path: &str, name: &str) -> bool {
    let before = path.strip_suffix(name);
    before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

fn by_pattern<T: Copy>(
    key: &'static str,
    patterns: &Patterns<T>,
) -> Result<Vec<(Regex, T)>, Refusal> {
    let whole = |pattern: &str| format!(r"\A(.*\.)?({pattern})\z");
    let patterns = patterns.0.iter();
    let compiled = patterns.map(|(text, value)| Ok((compile(key, text, whole)?, *value)));
    compiled.collect()
}

fn first<T: Copy>(
    key: &'static str,
    patterns: &[(Regex, T)],
    path: &str,
) -> Result<Option<T>, Refusal> {
    for (regex, value) in patterns {
        if is_match(key, regex, path)? {
            return Ok(Some(*value));
        }
    }
    Ok(None)
}

fn compile(
    key: &'static str,
    text: &str,
    around: impl Fn(&str) -> String,
) -> Result<Regex, Refusal> {
    let regex = Regex::new(&around(text));
    regex.map_err(|error| Refusal::pattern(key, text, &error))
}

fn is_match(key: &'static str, regex: &Regex, path: &str) -> Result<bool, Refusal> {
    let found = regex.is_match(path);
    found.map_err(|error| Refusal::pattern(key, regex.as_str(), &error))
}
