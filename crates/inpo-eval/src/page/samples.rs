//! Responses side by side, picked by a fixed rule.

use std::collections::BTreeMap;

use inpo_data::{FinishReason, ResponseRecord};
use serde::Serialize;

use super::files::{RunFiles, Section};
use crate::arena::MatchRecord;
use crate::report::iteration_name;
use crate::table::mean;

/// How many of the first prompts are shown.
pub const FIRST_PROMPTS: usize = 3;

/// The most characters of a text that are shown.
const MOST_CHARACTERS: usize = 8000;

/// Prompts with the responses of several players.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Samples {
    /// The policy whose responses stand beside those of the reference.
    pub policy: String,
    /// Where another one than the policy to ship is shown, why.
    pub note: Option<String>,
    /// The prompts.
    pub prompts: Vec<Sample>,
}

/// A prompt with responses to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sample {
    /// Its place among the held-out prompts, from 1.
    pub place: usize,
    /// The prompt's number.
    pub prompt_id: u64,
    /// Why it is shown.
    pub why: &'static str,
    /// The conversation.
    pub prompt: String,
    /// The policy's win rate over the reference on this prompt, over all pairs of samples; none where it was not asked.
    pub win_rate: Option<f64>,
    /// The first response of the reference, of the policy, and of the other iterations.
    pub responses: Vec<Response>,
}

/// A response.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Response {
    /// Whose.
    pub player: String,
    /// What it says.
    pub text: String,
    /// Tokens, end token included.
    pub tokens: usize,
    /// Whether the token limit cut it off.
    pub cut_off: bool,
    /// P(it beats the reference's response), where that was asked.
    pub preference: Option<f64>,
}

/// A player's responses, and its tables against the reference, by the prompts' numbers.
#[derive(Default)]
struct Player {
    name: String,
    records: Vec<ResponseRecord>,
    tables: BTreeMap<u64, Vec<Vec<f64>>>,
}

impl Player {
    fn read(files: &mut RunFiles, iteration: usize, name: String, file: &str) -> Self {
        let folder = format!("iteration-{iteration:04}");
        let records = files.rows(Section::Samples, &format!("{folder}/{file}"));
        let preferences = format!("{folder}/eval_preferences.jsonl");
        let rows: Vec<MatchRecord> = files.rows(Section::Samples, &preferences);
        let tables = rows.into_iter().filter_map(|row| {
            let is_own = row.first == name && row.second == iteration_name(0) && !row.held_out;
            (is_own && name != iteration_name(0)).then_some((row.prompt_id, row.preference))
        });
        Self {
            tables: tables.collect(),
            name,
            records,
        }
    }

    fn win_rate(&self, prompt_id: u64) -> Option<f64> {
        self.tables.get(&prompt_id).map(mean)
    }

    fn response(&self, prompt_id: u64) -> Option<Response> {
        let record = self.records.iter().find(|r| r.prompt_id == prompt_id)?;
        let table = self.tables.get(&prompt_id);
        Some(Response {
            player: self.name.clone(),
            text: shortened(record.responses.first()?),
            tokens: record.response_token_ids.first().map_or(0, Vec::len),
            cut_off: record.finish_reason.first() == Some(&FinishReason::Length),
            preference: table.and_then(|table| table.first()?.first().copied()),
        })
    }
}

impl Samples {
    /// Those of the policy called `shipped`, or of the last iteration, of `iterations` that were evaluated.
    pub(super) fn read(
        files: &mut RunFiles,
        shipped: Option<&str>,
        iterations: usize,
    ) -> Option<Self> {
        let name = iteration_name;
        if iterations == 0 {
            return None;
        }
        let reference = Player::read(files, 0, name(0), "eval_responses.jsonl");
        let mut others: Vec<Player> = (1..=iterations)
            .map(|t| Player::read(files, t, name(t), "eval_responses.jsonl"))
            .collect();
        if files.has("iteration-0000/start_responses.jsonl") {
            let start = Player::read(files, 0, "initial".to_owned(), "start_responses.jsonl");
            others.insert(0, start);
        }
        others.retain(|player| !player.records.is_empty());
        let at = others
            .iter()
            .position(|player| shipped == Some(&player.name));
        let note = match shipped {
            None => Some("No policy is chosen yet; this is the last one.".to_owned()),
            Some(name) if at.is_none() => Some(format!(
                "The policy to ship is the {name} itself; this is the last one."
            )),
            Some(_) => None,
        };
        if others.is_empty() {
            return None;
        }
        let policy = others.remove(at.unwrap_or(others.len() - 1));
        others.insert(0, policy);
        others.insert(0, reference);
        let prompts = picked(&others[0], &others[1])
            .into_iter()
            .filter_map(|(place, why)| sample(&others, place, why))
            .collect();
        Some(Self {
            policy: others[1].name.clone(),
            note,
            prompts,
        })
    }
}

/// The places of the prompts that are shown, with the reason: the first ones, then the largest win and the largest loss of the
/// others, the earlier one of equal ones.
fn picked(reference: &Player, policy: &Player) -> Vec<(usize, &'static str)> {
    let count = reference.records.len();
    let mut picked: Vec<_> = (0..count.min(FIRST_PROMPTS))
        .map(|place| (place, "among the first prompts"))
        .collect();
    let rest: Vec<(usize, f64)> = (FIRST_PROMPTS..count)
        .filter_map(|place| {
            let rate = policy.win_rate(reference.records[place].prompt_id)?;
            Some((place, rate))
        })
        .collect();
    let better = |sign: f64| {
        let mut best: Option<(usize, f64)> = None;
        for &(place, rate) in &rest {
            let gain = sign * (rate - 0.5);
            if gain > 0.0 && best.is_none_or(|(_, largest)| gain > largest) {
                best = Some((place, gain));
            }
        }
        best.map(|(place, _)| place)
    };
    picked.extend(better(1.0).map(|place| (place, "the largest win of the others")));
    picked.extend(better(-1.0).map(|place| (place, "the largest loss of the others")));
    picked
}

/// The prompt at a place of the first player, the reference; the second one is the policy.
fn sample(players: &[Player], place: usize, why: &'static str) -> Option<Sample> {
    let record = &players[0].records[place];
    let id = record.prompt_id;
    let responses: Vec<Response> = players.iter().filter_map(|p| p.response(id)).collect();
    Some(Sample {
        place: place + 1,
        prompt_id: id,
        why,
        prompt: shortened(&conversation(record)),
        win_rate: players.get(1)?.win_rate(id),
        responses,
    })
}

/// The prompt as text: a message by itself, or each with its role.
fn conversation(record: &ResponseRecord) -> String {
    let messages = record.to_prompt().messages;
    match messages.as_slice() {
        [] => format!("token ids {:?}", record.prompt_token_ids),
        [only] if only.role == "user" => only.content.clone(),
        all => {
            let lines = all.iter().map(|m| format!("{}: {}", m.role, m.content));
            lines.collect::<Vec<_>>().join("\n\n")
        }
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MOST_CHARACTERS) {
        None => text.to_owned(),
        Some((end, _)) => format!(
            "{}\n[the report shows the first {MOST_CHARACTERS} characters]",
            &text[..end]
        ),
    }
}
