//! Players who answered the same prompts, and what a judge said of their responses.

use std::collections::HashMap;

use inpo_data::ResponseRecord;
use inpo_game::OracleError;
use inpo_oracle::{TextOracle, cycle_report};
use serde::{Deserialize, Serialize};

use crate::measures::{among, cross};
use crate::table::{Table, complement, mean};

/// A row of `eval_preferences.jsonl`: what a judge said of the responses of two players to one held-out prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MatchRecord {
    /// The prompt's number.
    pub prompt_id: u64,
    /// The name of the player whose responses are the rows.
    pub first: String,
    /// The name of the player whose responses are the columns; that of the rows where a player's responses meet each other.
    pub second: String,
    /// The oracle's name, parameters included.
    pub judge: String,
    /// Whether it is the second oracle, which does not train.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held_out: bool,
    /// `preference[i][j]` = P(response i of the first beats response j of the second).
    pub preference: Table,
}

/// Who judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// The oracle that the run trains with.
    Training,
    /// The second oracle, which does not train.
    HeldOut,
}

/// The tables of a pair of players by a judge, one for each prompt.
type Tables = HashMap<(usize, usize, By), Vec<Table>>;

/// A player: its name and its responses.
#[derive(Debug, Clone)]
struct Player {
    name: String,
    records: Vec<ResponseRecord>,
}

/// Players who answered the same held-out prompts, and what was said of their responses so far: nothing is asked twice.
#[derive(Debug, Clone, Default)]
pub struct Arena {
    players: Vec<Player>,
    /// The tables of a pair, one for each prompt, in the orientation in which it was asked.
    tables: Tables,
}

impl Arena {
    /// Adds a player and returns its place. All have the same prompts in the same order.
    pub fn add(&mut self, name: impl Into<String>, records: Vec<ResponseRecord>) -> usize {
        let name = name.into();
        self.players.push(Player { name, records });
        self.players.len() - 1
    }

    /// How many players there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.players.len()
    }

    /// A player's name.
    #[must_use]
    pub fn name(&self, player: usize) -> &str {
        &self.players[player].name
    }

    /// A player's responses.
    #[must_use]
    pub fn records(&self, player: usize) -> &[ResponseRecord] {
        &self.players[player].records
    }

    /// Asks `oracle` about the pairs of players of which nothing is known yet; a player paired with itself has its responses
    /// compared with each other. The pairs are not taken up: [`Arena::take`] does that.
    ///
    /// # Errors
    ///
    /// Those of the oracle.
    pub fn ask(
        &self,
        oracle: &TextOracle<'_>,
        by: By,
        pairs: &[(usize, usize)],
    ) -> Result<Vec<MatchRecord>, OracleError> {
        let mut rows = Vec::new();
        for &(first, second) in pairs {
            if self.tables(first, second, by).is_some() {
                continue;
            }
            let (ours, theirs) = (self.records(first), self.records(second));
            let tables = if first == second {
                among(oracle, ours)?
            } else {
                cross(oracle, ours, theirs)?
            };
            let row = |(record, preference): (&ResponseRecord, Table)| MatchRecord {
                prompt_id: record.prompt_id,
                first: self.name(first).to_owned(),
                second: self.name(second).to_owned(),
                judge: oracle.name(),
                held_out: by == By::HeldOut,
                preference,
            };
            rows.extend(ours.iter().zip(tables).map(row));
        }
        Ok(rows)
    }

    /// The rows by their pairs of players, each pair's in the order of the prompts.
    ///
    /// # Errors
    ///
    /// The first row that is not about these players' responses, in a sentence.
    fn sorted(&self, rows: &[MatchRecord]) -> Result<Tables, String> {
        let mut sorted = Tables::new();
        for (number, row) in rows.iter().enumerate() {
            let number = number + 1;
            let player = |name: &String| {
                let place = self.players.iter().position(|player| player.name == *name);
                place.ok_or_else(|| format!("row {number} names {name}, which is no player here"))
            };
            let (first, second) = (player(&row.first)?, player(&row.second)?);
            let by = if row.held_out {
                By::HeldOut
            } else {
                By::Training
            };
            let tables = sorted.entry((first, second, by)).or_default();
            let of = |player: usize| self.records(player).get(tables.len());
            let (Some(ours), Some(theirs)) = (of(first), of(second)) else {
                return Err(format!(
                    "row {number} is one too many for {} and {}",
                    row.first, row.second
                ));
            };
            if row.prompt_id != ours.prompt_id {
                let expected = ours.prompt_id;
                return Err(format!(
                    "row {number} is not of prompt {expected}, whose turn it is"
                ));
            }
            let (rows, columns) = (ours.responses.len(), theirs.responses.len());
            let fits = row.preference.len() == rows
                && row
                    .preference
                    .iter()
                    .all(|row| row.len() == columns && row.iter().all(|p| (0.0..=1.0).contains(p)));
            if !fits {
                return Err(format!(
                    "row {number}: `preference` is no {rows} x {columns} table of probabilities"
                ));
            }
            if first == second {
                cycle_report(&row.preference)
                    .map_err(|error| format!("row {number}: `preference`: {error}"))?;
            }
            tables.push(row.preference.clone());
        }
        for ((first, second, _), tables) in &sorted {
            let (got, expected) = (tables.len(), self.records(*first).len());
            if got != expected {
                let [first, second] = [first, second].map(|player| self.name(*player));
                return Err(format!(
                    "it has {got} rows about {first} and {second} for {expected} prompts"
                ));
            }
        }
        Ok(sorted)
    }

    /// Checks that rows, which may have been read, are about these players' responses and that none of `pairs` is missing.
    ///
    /// # Errors
    ///
    /// What is wrong, in a sentence.
    pub fn check(
        &self,
        rows: &[MatchRecord],
        pairs: &[(usize, usize)],
        by: By,
    ) -> Result<(), String> {
        let sorted = self.sorted(rows)?;
        let missing = pairs
            .iter()
            .find(|&&(first, second)| !sorted.contains_key(&(first, second, by)));
        match missing {
            Some(&(first, second)) => {
                let [first, second] = [first, second].map(|player| self.name(player));
                Err(format!("it has no rows about {first} and {second}"))
            }
            None => Ok(()),
        }
    }

    /// Takes up what was asked, now or in an earlier process.
    ///
    /// # Errors
    ///
    /// The first row that is not about these players' responses, in a sentence.
    pub fn take(&mut self, rows: &[MatchRecord]) -> Result<(), String> {
        let sorted = self.sorted(rows)?;
        self.tables.extend(sorted);
        Ok(())
    }

    /// P(first's responses beat second's) for each prompt, none where it was not asked.
    #[must_use]
    pub fn tables(&self, first: usize, second: usize, by: By) -> Option<Vec<Table>> {
        if let Some(tables) = self.tables.get(&(first, second, by)) {
            return Some(tables.clone());
        }
        let turned = self.tables.get(&(second, first, by))?;
        Some(turned.iter().map(complement).collect())
    }

    /// The first player's win rate over the second for each prompt, the mean over all pairs of their responses; 1/2 of a player
    /// against itself, and without responses. None where it was not asked.
    #[must_use]
    pub fn rates(&self, first: usize, second: usize, by: By) -> Option<Vec<f64>> {
        if first == second {
            return Some(vec![0.5; self.records(first).len()]);
        }
        let tables = self.tables(first, second, by)?;
        Some(tables.iter().map(mean).collect())
    }
}
