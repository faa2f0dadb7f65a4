//! Every key of every configuration either changes what is computed or is refused by its name: the keys are those of the
//! schema, the values to try stand in `tries.rs` where the schema gives none.

#[path = "../common/mod.rs"]
mod common;
mod oracles;
mod subjects;
mod tries;

use std::collections::HashMap;

use inpo_train::keys::{ConfigKey, ConfigSection, config_sections};
use subjects::Subject;
use tries::{Effect, Try};

/// What a configuration computes, or why it is refused.
pub(crate) type Outcome = Result<Vec<(String, Vec<u8>)>, String>;

/// The full name of a key.
fn full_name(section: &ConfigSection, key: &ConfigKey) -> String {
    let path = format!("{}.{}", section.path, key.name);
    path.trim_start_matches('.').to_owned()
}

/// What is wrong with a key of a subject, if anything.
fn fault(
    name: &str,
    tried: &Try,
    bases: &mut HashMap<String, Outcome>,
    outcome: impl Fn(&[&str]) -> Outcome,
) -> Option<String> {
    let context = tried.context;
    let base = bases
        .entry(context.join(" "))
        .or_insert_with(|| outcome(context));
    let last = name.rsplit('.').next().unwrap_or(name);
    let mut changed = false;
    for value in &tried.values {
        let set = format!("{name}={value}");
        let settings: Vec<&str> = context.iter().copied().chain([set.as_str()]).collect();
        match (outcome(&settings), tried.effect) {
            // What the context alone is refused for may be put right by the key.
            (Err(error), effect) if base.as_ref() != Err(&error) => {
                if !error.contains(last) {
                    return Some(format!("{set}: refused without its name: {error}"));
                }
                changed |= effect == Effect::Refusal;
            }
            (Err(_), _) => {}
            (Ok(files), Effect::Output) => changed |= base.as_ref() != Ok(&files),
            (Ok(files), Effect::Cost) => {
                changed = true;
                if base.as_ref() != Ok(&files) {
                    return Some(format!("{set}: changes what is computed"));
                }
            }
            (Ok(_), Effect::Refusal) => return Some(format!("{set}: is not refused")),
        }
    }
    (!changed).then(|| {
        format!(
            "{name} {:?} with {context:?}: changes nothing",
            tried.values
        )
    })
}

/// The faults of all keys of a file.
fn walk(subject: &Subject) {
    let mut bases = HashMap::new();
    let mut faults = Vec::new();
    for section in config_sections() {
        if !section.files.contains(&subject.file) || section.kind.is_some() {
            continue;
        }
        for key in &section.keys {
            let name = full_name(&section, key);
            for tried in tries::of(subject.file.name(), &name, key) {
                let outcome = |settings: &[&str]| subject.outcome(settings);
                faults.extend(fault(&name, &tried, &mut bases, outcome));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn keys_of_a_run() {
    walk(&Subject::run());
}

#[test]
fn keys_of_a_training() {
    walk(&Subject::train());
}

#[test]
fn keys_of_a_judges_training() {
    walk(&Subject::judge());
}

/// Of the keys of `kind`, and those of every kind.
#[test]
fn keys_of_every_oracle() {
    let dir = tempfile::tempdir().unwrap();
    let mut faults = Vec::new();
    for section in config_sections() {
        let Some(kind) = section.kind.as_deref() else {
            continue;
        };
        let mut bases = HashMap::new();
        for key in &section.keys {
            for tried in tries::of(kind, &key.name, key) {
                let outcome = |settings: &[&str]| oracles::outcome(dir.path(), kind, settings);
                let found = fault(&key.name, &tried, &mut bases, outcome);
                faults.extend(found.map(|fault| format!("{kind}: {fault}")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
