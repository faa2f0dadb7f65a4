//! What a judge that is a language model answers.

use std::path::Path;
use std::time::Instant;

use inpo_core::data::{Completion, Prompt};
use inpo_core::game::{Comparison, OracleError};
use inpo_core::oracle::{Judge, PairLmConfig, Question, Surroundings};
use serde::Deserialize;
use serde_json::json;

use crate::report::{Timed, timed};
use crate::{Common, Error};

/// A prompt and responses that meet each other.
#[derive(Debug, Deserialize)]
struct Row {
    prompt: String,
    responses: Vec<String>,
}

/// Every two responses of every prompt, in both orders.
pub(crate) fn judge(common: &Common) -> Result<(), Error> {
    let path = common
        .rows
        .as_ref()
        .ok_or("this measurement needs --rows")?;
    let asked = read(path)?;
    let questions: Vec<Question<'_>> = asked
        .iter()
        .flat_map(|(prompt, responses)| pairs(prompt, responses))
        .collect();
    let device = common.device()?;
    let find = |name: &str| inpo_console::find_model(name).map_err(|e| e.to_string());
    let around = Surroundings {
        find_model: &find,
        device: Some(&device),
        ..Surroundings::default()
    };
    let started = Instant::now();
    let judge = PairLmConfig::new(&common.model).init(&around)?;
    let load = started.elapsed().as_secs_f64();
    let mut answers = vec![f64::NAN; questions.len()];
    let mut tokens = 0;
    let seconds = timed(common.repeats, || -> Result<(), OracleError> {
        tokens = 0;
        judge.judge(&questions, &mut |place, verdict| {
            tokens += verdict.usage.prompt_tokens;
            answers[place] = verdict.outcome.map_or(f64::NAN, |p| p.get());
            Ok(())
        })
    })?;
    let mut sorted = seconds.clone();
    sorted.sort_by(f64::total_cmp);
    let rate = questions.len() as f64 / sorted[sorted.len() / 2];
    let tokens = usize::try_from(tokens)?;
    let fields = json!({
        "load_seconds": load, "comparisons": questions.len(), "comparisons_per_second": rate, "probabilities": answers,
    });
    Timed { tokens, seconds }.emit("judge", fields);
    Ok(())
}

fn read(path: &Path) -> Result<Vec<(Prompt, Vec<Completion>)>, Error> {
    let text = std::fs::read_to_string(path)?;
    let row = |line: &str| -> Result<_, Error> {
        let Row { prompt, responses } = serde_json::from_str(line)?;
        let responses = responses.into_iter().map(Completion::finished);
        Ok((Prompt::user(prompt), responses.collect()))
    };
    text.lines().map(row).collect()
}

fn pairs<'a>(prompt: &'a Prompt, responses: &'a [Completion]) -> Vec<Question<'a>> {
    let mut pairs = Vec::new();
    for (i, first) in responses.iter().enumerate() {
        for second in &responses[i + 1..] {
            let question = Comparison {
                prompt,
                first,
                second,
            };
            pairs.extend([question, question.swapped()]);
        }
    }
    pairs
}
