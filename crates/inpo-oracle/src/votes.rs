//! Votes from files: who of two responses to a prompt is better, said by people or models.

use std::path::Path;

use inpo_data::rows::{conversation, read_each};
use inpo_data::{Columns, DataError, Message, PromptInput};
use inpo_game::Preference;
use serde_json::Value;

/// Names of the two columns of responses, in the order in which they are looked for, with whether the first has won.
const RESPONSES: [([&str; 2], bool); 6] = [
    (["response_a", "response_b"], false),
    (["response_1", "response_2"], false),
    (["response1", "response2"], false),
    (["output_1", "output_2"], false),
    (["first", "second"], false),
    (["chosen", "rejected"], true),
];

/// Columns that name who voted, in the order in which they are looked for.
const VOTERS: [&str; 3] = ["voter", "annotator", "judge"];

/// One voter's answer to one question.
#[derive(Clone, Debug, PartialEq)]
pub struct PairVote {
    /// The conversation.
    pub messages: Vec<Message>,
    /// The two responses.
    pub responses: [String; 2],
    /// P(the first is better): 1, 1/2 for a tie, 0, or what a judge said.
    pub outcome: Preference,
    /// Who voted, where the file says it.
    pub voter: Option<String>,
}

/// Reads the votes of a file of rows (JSON lines, a JSON array, gzipped, Parquet).
///
/// A row is a vote: `prompt` (text or messages), two responses (`response_a` and `response_b`, `response_1` and `response_2`,
/// `response1` and `response2`, `output_1` and `output_2`, `first` and `second`), and `winner`: `a`, `b` or `tie`, with the
/// words of other files for the same (`model_a`, `tie (bothbad)`, `1`, `2`, ..); or `chosen` and `rejected`. Or it is a row of
/// `inpo judge`: `responses` and `preference`, a vote for every two responses that were compared. Who voted is in `voter`,
/// `annotator` or `judge`, if anywhere.
///
/// # Errors
///
/// A file that cannot be read, or a row that is no vote, with its place.
pub fn read_votes(path: &Path) -> Result<Vec<PairVote>, DataError> {
    let rows = read_each(path, |_, columns| votes(&columns))?;
    let votes: Vec<PairVote> = rows.into_iter().flatten().collect();
    if votes.is_empty() {
        return Err(DataError::NoRows(path.to_owned()));
    }
    Ok(votes)
}

fn votes(columns: &Columns) -> Result<Vec<PairVote>, String> {
    let names = || columns.names();
    let Some((_, prompt)) = conversation(columns)? else {
        return Err(format!("there is no `prompt`; the columns are {}", names()));
    };
    let messages = prompt.messages();
    let voter = VOTERS.iter().find_map(|name| columns.get(*name));
    let voter = voter.filter(|voter| !voter.is_null()).map(text_of);
    let vote = |responses: [String; 2], outcome| PairVote {
        messages: messages.clone(),
        responses,
        outcome,
        voter: voter.clone(),
    };
    if columns.value("preference")?.is_some_and(Value::is_array) {
        let compared = matrix(columns)?;
        return Ok(compared
            .into_iter()
            .map(|(pair, p)| vote(pair, p))
            .collect());
    }
    for ([a, b], first_won) in RESPONSES {
        let (Some(first), Some(second)) = (columns.value(a)?, columns.value(b)?) else {
            continue;
        };
        let responses = [answer(a, first)?, answer(b, second)?];
        let outcome = if first_won {
            Preference::WIN
        } else {
            winner(columns)?
        };
        return Ok(vec![vote(responses, outcome)]);
    }
    Err(format!(
        "there are neither `response_a` and `response_b`, nor `chosen` and `rejected`, nor `responses` with `preference`; the columns are {}",
        names()
    ))
}

/// The comparisons of a row of `inpo judge`.
fn matrix(columns: &Columns) -> Result<Vec<([String; 2], Preference)>, String> {
    let what = "a text for each response";
    let responses: Option<Vec<String>> = columns.read("responses", what)?;
    let responses = responses.ok_or("there is `preference`, but no `responses`")?;
    let what = "a square of numbers in [0, 1], or null where nothing was asked";
    let matrix: Option<Vec<Vec<Option<Preference>>>> = columns.read("preference", what)?;
    let matrix = matrix.unwrap_or_default();
    let count = responses.len();
    if matrix.len() != count || matrix.iter().any(|row| row.len() != count) {
        return Err(format!(
            "there are {count} responses, but `preference` is not {count} x {count}"
        ));
    }
    let mut votes = Vec::new();
    for (i, row) in matrix.iter().enumerate() {
        for (j, p) in row.iter().enumerate().skip(i + 1) {
            if let Some(p) = p {
                votes.push(([responses[i].clone(), responses[j].clone()], *p));
            }
        }
    }
    Ok(votes)
}

/// A response: a text, or the last message of a conversation.
fn answer(name: &str, value: &Value) -> Result<String, String> {
    match PromptInput::from_json(value).map_err(|e| format!("`{name}`: {e}"))? {
        PromptInput::Text(text) => Ok(text),
        PromptInput::Messages(messages) => match messages.last() {
            Some(last) => Ok(last.content.clone()),
            None => Err(format!("`{name}` has no message")),
        },
    }
}

fn winner(columns: &Columns) -> Result<Preference, String> {
    let Some(value) = columns.value("winner")? else {
        let names = columns.names();
        return Err(format!(
            "there is no `winner` (a, b or tie); the columns are {names}"
        ));
    };
    let word = text_of(value).trim().to_lowercase();
    match word.as_str() {
        "a" | "model_a" | "response_a" | "first" | "1" | "left" => Ok(Preference::WIN),
        "b" | "model_b" | "response_b" | "second" | "2" | "right" => Ok(Preference::LOSS),
        "tie" | "tie (bothbad)" | "both_bad" | "both" | "same" | "c" | "0" => Ok(Preference::HALF),
        _ => Err(format!("`winner` is {value}, and not a, b or tie")),
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<PairVote>, String> {
        let file = tempfile::Builder::new()
            .suffix(".jsonl")
            .tempfile()
            .unwrap();
        std::fs::write(file.path(), text).unwrap();
        let name = file.path().display().to_string();
        read_votes(file.path()).map_err(|e| e.to_string().replace(&name, "votes.jsonl"))
    }

    fn one(text: &str) -> (Vec<Message>, [String; 2], f64, Option<String>) {
        let vote = read(text).unwrap().remove(0);
        (
            vote.messages,
            vote.responses,
            vote.outcome.get(),
            vote.voter,
        )
    }

    #[test]
    fn votes_are_read_in_the_words_of_several_files() {
        let x = vec![Message::user("x")];
        let responses = ["y", "z"].map(str::to_owned);
        let row = |p: f64, voter: Option<&str>| {
            (x.clone(), responses.clone(), p, voter.map(str::to_owned))
        };
        for (text, expected) in [
            (
                r#"{"prompt": "x", "response_a": "y", "response_b": "z", "winner": "a", "voter": "Ann"}"#,
                row(1.0, Some("Ann")),
            ),
            (
                r#"{"prompt": "x", "response_a": "y", "response_b": "z", "winner": "tie (bothbad)"}"#,
                row(0.5, None),
            ),
            (
                r#"{"prompt": "x", "response_1": "y", "response_2": "z", "winner": 2, "annotator": 3}"#,
                row(0.0, Some("3")),
            ),
            (
                r#"{"prompt": [{"role": "user", "content": "x"}], "chosen": [{"role": "assistant", "content": "y"}], "rejected": "z"}"#,
                row(1.0, None),
            ),
            (
                r#"{"prompt": "x", "responses": ["y", "z"], "preference": [[0.5, 0.25], [0.75, 0.5]], "judge": "rules"}"#,
                row(0.25, Some("rules")),
            ),
        ] {
            assert_eq!(one(text), expected, "{text}");
        }
        let text = r#"{"prompt": "x", "responses": ["u", "v", "w"], "preference": [[0.5, 1, null], [0, 0.5, 0.5], [null, 0.5, 0.5]]}"#;
        let pairs: Vec<_> = read(text).unwrap();
        let pairs: Vec<_> = pairs
            .iter()
            .map(|v| (v.responses.concat(), v.outcome.get()))
            .collect();
        assert_eq!(pairs, [("uv".to_owned(), 1.0), ("vw".to_owned(), 0.5)]);
    }

    #[test]
    fn what_is_no_vote_is_named_with_its_line() {
        let says = |text: &str, words: &str| {
            let error = read(text).unwrap_err();
            assert!(error.contains(words), "{error}");
        };
        says(
            "{\"prompt\": \"x\", \"response_a\": \"y\", \"response_b\": \"z\", \"winner\": \"maybe\"}\n",
            "votes.jsonl, line 1: `winner` is \"maybe\", and not a, b or tie",
        );
        says(
            r#"{"prompt": "x", "response_a": "y", "response_b": "z"}"#,
            "there is no `winner` (a, b or tie)",
        );
        says(
            r#"{"prompt": "x", "response_a": "y"}"#,
            "there are neither `response_a` and `response_b`",
        );
        says(
            r#"{"response_a": "y", "response_b": "z", "winner": "a"}"#,
            "there is no `prompt`",
        );
        says(
            r#"{"prompt": "x", "responses": ["u", "v"], "preference": [[0.5]]}"#,
            "`preference` is not 2 x 2",
        );
        says(
            r#"{"prompt": "x", "responses": ["u"], "preference": [[1.5]]}"#,
            "`preference` is not a square",
        );
        says("", "holds no rows");
    }
}
