//! The fixtures and what the tests share.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use burn::module::{ModuleMapper, Param};
use burn::tensor::{DType, Device, Tensor};
use inpo_policy::config::Family;
use inpo_policy::{ModelConfig, Policy, Sequence};
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct Expected {
    #[serde(default)]
    pub(crate) sequences: Vec<ExpectedSequence>,
    pub(crate) greedy: Option<Greedy>,
    pub(crate) adapter: Option<Adapter>,
    #[serde(default)]
    pub(crate) rewards: Vec<Reward>,
}

#[derive(Deserialize)]
pub(crate) struct ExpectedSequence {
    ids: Vec<u32>,
    token_logps: Vec<f64>,
}

#[derive(Deserialize)]
pub(crate) struct Greedy {
    pub(crate) prompt: Vec<u32>,
    pub(crate) ids: Vec<u32>,
}

#[derive(Deserialize)]
pub(crate) struct Adapter {
    pub(crate) token_logps: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
pub(crate) struct Reward {
    pub(crate) ids: Vec<u32>,
    pub(crate) reward: f64,
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/tiny")
        .join(name)
}

/// The checkpoints with what they must compute; `rewards` says which kind.
pub(crate) fn checkpoints(rewards: bool) -> BTreeMap<String, Expected> {
    let text = std::fs::read(fixture("expected.json")).unwrap();
    let all: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&text).unwrap();
    let all = all.into_iter().filter(|(name, _)| name != "made_with");
    let all: BTreeMap<_, _> = all.collect();
    check_complete(&all.keys().cloned().collect());
    let read = |(name, value)| (name, serde_json::from_value(value).unwrap());
    let kind = |(_, expected): &(String, Expected)| expected.rewards.is_empty() != rewards;
    let found: BTreeMap<_, _> = all.into_iter().map(read).filter(kind).collect();
    assert!(found.len() >= if rewards { 2 } else { 14 });
    found
}

/// Checks that `names` are all checkpoints of the folder, and that every family has one.
fn check_complete(names: &BTreeSet<String>) {
    let entries = std::fs::read_dir(fixture("")).unwrap();
    let folders = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir());
    let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(names, &folders.map(name).collect());
    let config = |name: &String| ModelConfig::from_hf_json(&fixture(name).join("config.json"));
    let families: HashSet<_> = names
        .iter()
        .map(|name| config(name).unwrap().family)
        .collect();
    assert_eq!(families, Family::ALL.into());
}

pub(crate) fn load(name: &str) -> Policy {
    Policy::load(&fixture(name), &Device::flex()).unwrap()
}

impl Expected {
    /// Sequences with a prompt of one token, and the log-probs of the others.
    pub(crate) fn sequences(&self) -> (Vec<Sequence>, Vec<Vec<f64>>) {
        let pair = |s: &ExpectedSequence| {
            let sequence = Sequence::new(&s.ids[..1], &s.ids[1..]);
            (sequence, s.token_logps.clone())
        };
        self.sequences.iter().map(pair).unzip()
    }
}

pub(crate) fn largest_gap(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    assert_eq!(a.len(), b.len());
    let gap = |(x, y): (&Vec<f64>, &Vec<f64>)| {
        assert_eq!(x.len(), y.len());
        let gaps = x.iter().zip(y).map(|(x, y)| (x - y).abs());
        // A NaN is larger than anything.
        gaps.fold(0.0, |max, gap| if gap <= max { max } else { gap })
    };
    a.iter()
        .zip(b)
        .map(gap)
        .fold(0.0, |max, gap| if gap <= max { max } else { gap })
}

/// Every float parameter in f64: the plain operations instead of the fused ones.
pub(crate) struct ToF64;

impl ModuleMapper for ToF64 {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| tensor.cast(DType::F64))
    }
}
