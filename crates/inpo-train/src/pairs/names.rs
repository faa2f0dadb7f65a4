//! The names of columns with log-probs.

use std::collections::HashSet;
use std::sync::LazyLock;

use inpo_loss::Role;
use serde_json::{Map, Value};

/// The policies whose log-probs a file may bring, beside the history.
const ROLES: [Role; 2] = [Role::Reference, Role::Previous];

/// Columns of log-probs that `inpo generate` and `inpo logps` add to a row and that say nothing of a pair.
const OF_OTHERS: [&str; 2] = ["sampling_logps", "token_logps"];

/// How far back a file's history is read.
const HISTORY: usize = 16;

pub(super) fn roles() -> impl Iterator<Item = Role> {
    ROLES.into_iter().chain((0..HISTORY).map(Role::History))
}

/// Refuses a column that is named as log-probs are and that nothing reads: the numbers of a mistyped name would be ignored
/// silently.
pub(super) fn check_names(row: &Map<String, Value>) -> Result<(), String> {
    static KNOWN: LazyLock<HashSet<String>> = LazyLock::new(|| {
        let columns = roles().flat_map(columns).flatten();
        columns.chain(OF_OTHERS.map(str::to_owned)).collect()
    });
    let named = |name: &&String| name.ends_with("_logp") || name.ends_with("_logps");
    let unknown = |name: &&String| !KNOWN.contains(*name);
    match row.keys().filter(named).find(unknown) {
        None => Ok(()),
        Some(name) => Err(format!(
            "`{name}` is no column of log-probs that is known; those are ref_*_logps (or reference_*), prev_*_logps \
             and history0_*_logps to history{}_*_logps, with chosen and rejected in the place of the star; rename it, \
             or leave it out",
            HISTORY - 1
        )),
    }
}

/// The columns of `role` in a row, our own last: older TRL's, ENPO's and COMAL's names are understood, all
/// of them of sums.
pub(super) fn columns(role: Role) -> [Vec<String>; 2] {
    let [chosen, rejected] = role.columns();
    [("chosen", chosen), ("rejected", rejected)].map(|(side, name)| match role {
        Role::Reference => vec![
            format!("reference_{side}_logps"),
            format!("logp_ref_{side}"),
            format!("ref_{side}_logprob"),
            name,
        ],
        Role::Previous => vec![format!("logp_t_{side}"), format!("{side}_logprob"), name],
        _ => vec![name],
    })
}
