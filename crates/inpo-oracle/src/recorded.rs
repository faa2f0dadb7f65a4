//! An oracle of recorded votes: what people or models said, asked again.

use std::collections::HashMap;
use std::path::PathBuf;

use inpo_data::{Completion, DataError, Prompt, sha256, sha256_file};
use inpo_game::{Comparison, OracleError, Preference, PreferenceOracle};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::kind::OracleConfigError;
use crate::votes::{PairVote, read_votes};

/// What becomes of a comparison without a vote.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum MissingVote {
    /// It is an error that names the prompt and the responses.
    #[default]
    Error,
    /// It is a tie.
    Tie,
}

/// Configuration of [`RecordedOracle`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordedOracleConfig {
    /// The file of votes: rows with `prompt`, `response_a`, `response_b`, `winner` (a, b, tie) and `voter`, or a file that
    /// `inpo judge` wrote.
    #[serde(alias = "file", alias = "path")]
    #[schemars(extend("x-aliases" = ["file", "path"]))]
    pub votes: PathBuf,
    /// What becomes of a comparison without a vote.
    #[serde(default)]
    pub missing: MissingVote,
}

impl RecordedOracleConfig {
    /// Reads the votes.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, a row that is no vote.
    pub fn init(self) -> Result<RecordedOracle, OracleConfigError> {
        let read = |error: DataError| OracleConfigError::new(format!("oracle.votes: {error}"));
        let votes = read_votes(&self.votes).map_err(read)?;
        let digest = sha256_file(&self.votes).map_err(read)?;
        let file = self.votes.file_name().unwrap_or_default();
        let name = format!("recorded({}, {})", file.to_string_lossy(), &digest[..8]);
        Ok(RecordedOracle::new(votes, self.missing, name))
    }
}

/// P(a > b | x) = the mean of the votes on a and b under x: 1 for a, 1/2 for a tie, 0 for b. A pair on which voters disagree
/// keeps their shares. Prompts and responses are the same when their texts are.
#[derive(Clone, Debug)]
pub struct RecordedOracle {
    /// Votes for the first of two texts in their order as texts, and how many voted.
    votes: HashMap<String, (f64, u32)>,
    missing: MissingVote,
    name: String,
}

impl RecordedOracle {
    /// An oracle of `votes`.
    #[must_use]
    pub fn new(votes: Vec<PairVote>, missing: MissingVote, name: String) -> Self {
        let mut tally: HashMap<String, (f64, u32)> = HashMap::new();
        for vote in votes {
            let [a, b] = &vote.responses;
            let prompt = Prompt::new(vote.messages);
            let (key, swapped) = key(&prompt, a, b);
            let for_first = if swapped {
                vote.outcome.complement()
            } else {
                vote.outcome
            };
            let (sum, count) = tally.entry(key).or_default();
            *sum += for_first.get();
            *count += 1;
        }
        Self {
            votes: tally,
            missing,
            name,
        }
    }
}

/// The address of a pair of texts, and whether the two stand in it the other way round.
fn key(prompt: &Prompt, a: &str, b: &str) -> (String, bool) {
    let swapped = a > b;
    let pair = if swapped { [b, a] } else { [a, b] };
    let messages = prompt.messages.iter();
    let messages: Vec<_> = messages.map(|m| (&m.role, m.content.trim())).collect();
    let pair = pair.map(str::trim);
    let key = json!([messages, pair]).to_string();
    (sha256(key.as_bytes()), swapped)
}

impl PreferenceOracle<Prompt, Completion> for RecordedOracle {
    fn compare(
        &self,
        comparisons: &[Comparison<'_, Prompt, Completion>],
    ) -> Result<Vec<Preference>, OracleError> {
        let answer = |(index, c): (usize, &Comparison<'_, Prompt, Completion>)| {
            let (first, second) = (&c.first.text, &c.second.text);
            let (key, swapped) = key(c.prompt, first, second);
            match (self.votes.get(&key), self.missing) {
                (Some((sum, count)), _) => {
                    let p = Preference::new(sum / f64::from(*count)).unwrap_or(Preference::HALF);
                    Ok(if swapped { p.complement() } else { p })
                }
                (None, _) if first == second => Ok(Preference::HALF),
                (None, MissingVote::Tie) => Ok(Preference::HALF),
                (None, MissingVote::Error) => Err(OracleError::Invalid {
                    index,
                    reason: "nobody voted on these two responses; set oracle.missing = \"tie\" to take that for a tie"
                        .to_owned(),
                }),
            }
        };
        comparisons.iter().enumerate().map(answer).collect()
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use inpo_data::Message;

    use super::*;

    fn vote(a: &str, b: &str, p: f64) -> PairVote {
        PairVote {
            messages: vec![Message::user("x")],
            responses: [a, b].map(str::to_owned),
            outcome: Preference::new(p).unwrap(),
            voter: None,
        }
    }

    fn ask(oracle: &RecordedOracle, a: &str, b: &str) -> Result<f64, OracleError> {
        let (prompt, [first, second]) = (Prompt::user("x"), [a, b].map(Completion::finished));
        let comparison = Comparison {
            prompt: &prompt,
            first: &first,
            second: &second,
        };
        Ok(oracle.compare(&[comparison])?[0].get())
    }

    /// Three voters on y and z, one of whom saw them the other way round: (1 + 0 + 1/2) / 3.
    #[test]
    fn disagreement_and_ties_are_kept_as_shares() {
        let votes = vec![
            vote("y", "z", 1.0),
            vote("z", "y", 1.0),
            vote("y", "z", 0.5),
            vote("z", "w", 1.0),
        ];
        let oracle = RecordedOracle::new(votes, MissingVote::Error, "recorded".to_owned());
        assert_eq!(ask(&oracle, "y", "z"), Ok(0.5));
        assert_eq!(ask(&oracle, "z", "w"), Ok(1.0));
        assert_eq!(ask(&oracle, "w", "z"), Ok(0.0));
        assert_eq!(ask(&oracle, "w", "w"), Ok(0.5));
        let error = ask(&oracle, "y", "w").unwrap_err().to_string();
        assert!(
            error.contains("nobody voted on these two responses"),
            "{error}"
        );
        let oracle = RecordedOracle {
            missing: MissingVote::Tie,
            ..oracle
        };
        assert_eq!(ask(&oracle, "y", "w"), Ok(0.5));
    }

    #[test]
    fn the_file_is_named_where_it_cannot_be_read() {
        let config: RecordedOracleConfig = toml::from_str("votes = 'no/votes.jsonl'").unwrap();
        let error = config.init().unwrap_err().to_string();
        assert!(
            error.starts_with("oracle.votes: cannot read no/votes.jsonl"),
            "{error}"
        );
    }
}
