//! The table of the methods in docs/training.md, written from the methods.

use std::path::Path;

use inpo_loss::LabelKind;

use super::{Algorithm, Key, Kl, Method, Step};
use crate::config::ObjectiveSection;
use crate::phases::{PairsFrom, PolicyId, Round};

const BEGIN: &str = "<!-- methods: written by `INPO_WRITE_DOCS=1 cargo test --workspace the_documented_table` -->\n";
const END: &str = "<!-- end of methods -->";

fn name(algorithm: Algorithm) -> String {
    let Method { name, aliases, .. } = algorithm.method();
    let aliases: Vec<String> = aliases.iter().map(|word| format!("`{word}`")).collect();
    let aliases = if aliases.is_empty() {
        String::new()
    } else {
        format!(" ({})", aliases.join(", "))
    };
    let phases = if algorithm.is_single_phase() {
        ""
    } else {
        ", two phases"
    };
    format!("`{name}`{aliases}{phases}")
}

fn keys(method: &Method) -> String {
    let step = match (method.step, method.kl) {
        (Step::Eta(step), _) => format!("eta {step}"),
        (Step::Beta(step), _) => format!("beta {step}"),
        (Step::Either(step), Kl::Step) => format!("eta, beta or tau, {step}"),
        (Step::Either(step), _) => format!("eta or beta, {step}"),
    };
    let tau = (method.kl == Kl::Weight).then(|| "tau eta/3".to_owned());
    let own = method.keys.iter().map(|key| match key {
        Key::LabelSmoothing => "label_smoothing 0".to_owned(),
        Key::HistoryWeights => "history_weights [1/3, 1/3, 1/3]".to_owned(),
        Key::Alpha => "alpha 0.001, in `train` 0".to_owned(),
    });
    let all: Vec<String> = [step].into_iter().chain(tau).chain(own).collect();
    all.join(", ")
}

/// The default in `run` and in `train`, and what else may be said where that is not everything.
fn labels(algorithm: Algorithm) -> String {
    let section = ObjectiveSection {
        algorithm,
        ..ObjectiveSection::default()
    };
    let online = section.online(1).expect("defaults are allowed");
    let allowed = online.pair_loss().labels();
    let offline = section.offline().map(|objective| objective.label).ok();
    let default = match offline {
        None => format!("{}; not in `train`", online.label),
        Some(label) if label == online.label => label.to_string(),
        Some(label) => format!("{} / {label}", online.label),
    };
    let others: Vec<String> = allowed.iter().skip(1).map(LabelKind::to_string).collect();
    match allowed.len() {
        1 => format!("{default} only"),
        3 => default,
        _ => format!("{default}; or {}", others.join(" or ")),
    }
}

fn pairs_from(algorithm: Algorithm) -> String {
    let name = |id| match id {
        PolicyId::Reference | PolicyId::Previous => "ref",
        PolicyId::After(_) => "pi_t",
        PolicyId::Intermediate(_) => "the half step",
        PolicyId::Opponent(_) => "an opponent",
    };
    let phases = algorithm.phases(&Round::new(2));
    let sampled = phases.iter().filter(|phase| phase.samples());
    let samplers: Vec<String> = sampled
        .map(|phase| match phase.pairs_from {
            PairsFrom::Policy(id) => name(id).to_owned(),
            PairsFrom::Mixture { .. } => "ref^(tau/eta) pi_t^(1 - tau/eta), by token".to_owned(),
        })
        .collect();
    let shared = if samplers.len() < phases.len() {
        ", shared"
    } else {
        ""
    };
    format!("{}{shared}", samplers.join(", then "))
}

fn anchors(method: &Method) -> String {
    let moves = match method.ref_update_every {
        0 => String::new(),
        1 => "; ref moves every iteration".to_owned(),
        every => format!("; ref moves every {every}"),
    };
    format!("{}{moves}", method.anchors)
}

fn table() -> String {
    let mut table = String::from(
        "| algorithm | keys and defaults | label | pairs from | anchors | source |\n|---|---|---|---|---|---|\n",
    );
    for &algorithm in Algorithm::ALL {
        let method = algorithm.method();
        table += &format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            name(algorithm),
            keys(method),
            labels(algorithm),
            pairs_from(algorithm),
            anchors(method),
            method.source,
        );
    }
    table
}

/// Holds the page and the methods together; with `INPO_WRITE_DOCS=1` writes the page.
#[test]
fn the_documented_table_is_that_of_the_methods() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/training.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page has the first mark");
    let (documented, after) = rest.split_once(END).expect("the page has the last mark");
    if std::env::var_os("INPO_WRITE_DOCS").is_some() {
        let page = format!("{before}{BEGIN}{}{END}{after}", table());
        std::fs::write(&path, page).unwrap();
    } else {
        let written = table();
        for (documented, written) in documented.lines().zip(written.lines()) {
            assert_eq!(documented, written, "run with INPO_WRITE_DOCS=1");
        }
        assert_eq!(documented.lines().count(), written.lines().count());
    }
}
