//! The count of records, whatever file they come from.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use super::{RecordError, RecordOptions, Records, RowError};
use crate::read::text::shortened;
use crate::{EmpiricalGame, PairCounts};

/// Spellings of the first side, in lower case.
const FIRST: [&str; 5] = ["first", "left", "a", "model_a", "model_x"];

/// Spellings of the second side, in the order of those of the first.
const SECOND: [&str; 5] = ["second", "right", "b", "model_b", "model_y"];

/// Spellings of a tie, in lower case.
const TIE: [&str; 7] = [
    "",
    "tie",
    "tie (bothbad)",
    "bothbad",
    "draw",
    "both",
    "neither",
];

/// Counts records one by one.
pub(super) struct Tally<'a> {
    path: &'a Path,
    options: &'a RecordOptions,
    /// In the order of their first record.
    names: Vec<String>,
    index: HashMap<String, usize>,
    pairs: HashMap<(usize, usize), PairCounts>,
    rows: u64,
    ties: u64,
    blank: u64,
}

impl<'a> Tally<'a> {
    pub(super) fn new(path: &'a Path, options: &'a RecordOptions) -> Self {
        Self {
            path,
            options,
            names: Vec::new(),
            index: HashMap::new(),
            pairs: HashMap::new(),
            rows: 0,
            ties: 0,
            blank: 0,
        }
    }

    /// The columns to read: first, second, winner.
    pub(super) fn columns(&self) -> Result<[&'a str; 3], RecordError> {
        let columns = &self.options.columns;
        let wanted = [&columns.first, &columns.second, &columns.winner].map(String::as_str);
        let repeated = match wanted {
            [first, second, winner] if first == second || first == winner => first,
            [_, second, winner] if second == winner => second,
            _ => return Ok(wanted),
        };
        Err(RecordError::SameColumn {
            path: self.path.to_owned(),
            column: repeated.to_owned(),
        })
    }

    /// The error of a row.
    pub(super) fn at(&self, line: u64, problem: RowError) -> RecordError {
        RecordError::Row {
            path: self.path.to_owned(),
            line,
            problem: Box::new(problem),
        }
    }

    /// The error of a file that cannot be read on.
    pub(super) fn broken(&self, source: io::Error) -> RecordError {
        RecordError::File {
            path: self.path.to_owned(),
            source,
        }
    }

    /// The error of a file without anything.
    pub(super) fn empty(&self) -> RecordError {
        RecordError::Empty {
            path: self.path.to_owned(),
        }
    }

    /// Counts one record. Its three texts are trimmed here.
    pub(super) fn record(&mut self, fields: [&str; 3]) -> Result<(), RowError> {
        let [first, second, winner] = fields.map(str::trim);
        let columns = &self.options.columns;
        for (name, column) in [(first, &columns.first), (second, &columns.second)] {
            if name.is_empty() {
                return Err(RowError::EmptyName {
                    column: column.clone(),
                });
            }
        }
        if first == second {
            return Err(RowError::SameName {
                first: columns.first.clone(),
                second: columns.second.clone(),
                name: shortened(first),
            });
        }
        let counts = self
            .outcome(first, second, winner)
            .ok_or_else(|| RowError::Winner {
                column: columns.winner.clone(),
                winner: shortened(winner),
                first: shortened(first),
                second: shortened(second),
            })?;
        self.ties += counts.ties;
        self.blank += u64::from(winner.is_empty());
        let (first, second) = (self.action(first), self.action(second));
        let (pair, counts) = if first < second {
            ((first, second), counts)
        } else {
            ((second, first), counts.swapped())
        };
        // A file holds far fewer records than a u64.
        self.pairs.entry(pair).or_default().add(counts);
        self.rows += 1;
        Ok(())
    }

    /// One vote as a count, or nothing if the winner is unknown.
    fn outcome(&self, first: &str, second: &str, winner: &str) -> Option<PairCounts> {
        let [win, loss, tie] = [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
            .map(|(wins, losses, ties)| PairCounts { wins, losses, ties });
        // Names first: a model may be called "a".
        if winner == first {
            return Some(win);
        }
        if winner == second {
            return Some(loss);
        }
        let is = |alias: &str| winner.eq_ignore_ascii_case(alias);
        let columns = &self.options.columns;
        // The columns' own names next: they may be other spellings the other way round.
        if is(&columns.first) || is(&columns.second) {
            return Some(if is(&columns.first) { win } else { loss });
        }
        if FIRST.into_iter().any(is) {
            Some(win)
        } else if SECOND.into_iter().any(is) {
            Some(loss)
        } else if TIE.into_iter().any(is) {
            Some(tie)
        } else {
            None
        }
    }

    fn action(&mut self, name: &str) -> usize {
        if let Some(&action) = self.index.get(name) {
            return action;
        }
        let action = self.names.len();
        self.names.push(name.to_owned());
        self.index.insert(name.to_owned(), action);
        action
    }

    /// The game of the names asked for.
    pub(super) fn finish(self) -> Result<Records, RecordError> {
        let Self {
            path,
            options,
            names,
            pairs,
            rows,
            ties,
            blank,
            ..
        } = self;
        if rows == 0 {
            return Err(RecordError::NoRecords {
                path: path.to_owned(),
            });
        }
        let failed = |source| RecordError::Game {
            path: path.to_owned(),
            source,
        };
        let mut game = EmpiricalGame::new(names).map_err(failed)?;
        for ((first, second), counts) in pairs {
            game.add(first, second, counts).map_err(failed)?;
        }
        if let Some(wanted) = &options.names {
            game = with_votes_of(game, wanted, options.min_votes, path)?;
        } else if options.min_votes > 0 {
            let all = game.names().to_vec();
            game = with_votes_of(game, &all, options.min_votes, path)?;
        }
        let game = game.with_prior(options.prior).map_err(failed)?;
        let left_out = rows - game.total_votes();
        Ok(Records {
            game,
            rows,
            left_out,
            ties,
            blank,
        })
    }
}

/// The game of those of `names` that have `min_votes` records or more.
fn with_votes_of(
    game: EmpiricalGame,
    names: &[String],
    min_votes: u64,
    path: &Path,
) -> Result<EmpiricalGame, RecordError> {
    let failed = |source| RecordError::Game {
        path: path.to_owned(),
        source,
    };
    // All of them once, so that every name is checked before some are dropped.
    let chosen = game.restricted_to(names).map_err(failed)?;
    let counted: HashMap<&String, u64> = game.names().iter().zip(game.votes()).collect();
    let votes = |name: &String| counted.get(name).copied().unwrap_or_default();
    if names.iter().all(|name| votes(name) >= min_votes) {
        return Ok(chosen);
    }
    let enough: Vec<String> = names
        .iter()
        .filter(|name| votes(name) >= min_votes)
        .cloned()
        .collect();
    if enough.is_empty() {
        return Err(RecordError::TooFew {
            path: path.to_owned(),
            min_votes,
            most: names.iter().map(votes).max().unwrap_or_default(),
        });
    }
    chosen.restricted_to(&enough).map_err(failed)
}
