//! A judge beside people's votes, and beside what needs no judge.

use std::collections::HashMap;

use inpo_data::{Completion, Prompt};
use inpo_eval::{JudgeQuality, Scored, fit_temperature};
use inpo_game::{Comparison, OracleError, PreferenceOracle};
use serde::{Deserialize, Serialize};

use super::votes::VotedPair;

/// What is said of a trained judge: `eval.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JudgeEvaluation {
    /// The judge.
    pub judge: String,
    /// What its scores were divided by after training, times the temperature of training: above 1 it was too sure.
    pub fitted_temperature: f64,
    /// The judge on the held-out votes.
    pub quality: JudgeQuality,
    /// The same with the temperature of training.
    pub before_scaling: JudgeQuality,
    /// The share of decided verdicts in one order for the response shown first; 1/2 where the order is not seen.
    pub first_position_rate: Option<f64>,
    /// The share of pairs whose verdict changes with the order.
    pub order_inconsistency: Option<f64>,
    /// The longer response wins, or the shorter one, whichever does so more often among the training votes.
    pub length_baseline: JudgeQuality,
    /// The first response wins, or the second one, whichever does so more often among the training votes.
    pub majority_baseline: JudgeQuality,
}

impl std::fmt::Display for JudgeEvaluation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let quality = &self.quality;
        writeln!(f, "judge                {}", self.judge)?;
        let (pairs, decided) = (quality.pairs, quality.decided);
        writeln!(
            f,
            "held-out pairs       {pairs}, {decided} of them decided by a majority"
        )?;
        writeln!(f, "accuracy             {}", quality.accuracy)?;
        writeln!(f, "  by length          {}", self.length_baseline.accuracy)?;
        writeln!(
            f,
            "  by majority class  {}",
            self.majority_baseline.accuracy
        )?;
        let of = |quality: &JudgeQuality| {
            let JudgeQuality {
                log_loss,
                brier,
                ece,
                ..
            } = quality;
            format!("log-loss {log_loss:.3}, Brier {brier:.3}, calibration error {ece:.3}")
        };
        writeln!(f, "calibration          {}", of(quality))?;
        writeln!(f, "  before scaling     {}", of(&self.before_scaling))?;
        writeln!(f, "fitted temperature   {:.3}", self.fitted_temperature)?;
        let share = |value: Option<f64>| match value {
            Some(value) => format!("{:.1} %", 100.0 * value),
            None => "-".to_owned(),
        };
        writeln!(
            f,
            "for the first shown  {}",
            share(self.first_position_rate)
        )?;
        write!(
            f,
            "changes with order   {}",
            share(self.order_inconsistency)
        )
    }
}

/// P(first > second) of each pair.
pub(super) fn answers(
    oracle: &dyn PreferenceOracle<Prompt, Completion>,
    pairs: &[VotedPair],
) -> Result<Vec<f64>, OracleError> {
    let comparisons: Vec<_> = pairs
        .iter()
        .map(|pair| Comparison {
            prompt: &pair.prompt,
            first: &pair.responses[0],
            second: &pair.responses[1],
        })
        .collect();
    let answers = oracle.compare(&comparisons)?;
    Ok(answers.into_iter().map(|p| p.get()).collect())
}

/// The figures of these answers about `pairs`.
pub(super) fn quality(pairs: &[VotedPair], answers: &[f64], seed: u64) -> JudgeQuality {
    let mut prompts = HashMap::new();
    let scored = pairs.iter().zip(answers).map(|(pair, &predicted)| {
        let next = prompts.len();
        Scored {
            predicted,
            observed: pair.share,
            prompt: *prompts.entry(pair.prompt.number).or_insert(next),
        }
    });
    JudgeQuality::new(&scored.collect::<Vec<_>>(), seed)
}

/// The temperature that makes these answers as sure as people agree with them; 1 without any.
pub(super) fn temperature(pairs: &[VotedPair], answers: &[f64]) -> f64 {
    if pairs.is_empty() {
        return 1.0;
    }
    let logit = |p: f64| {
        let p = p.clamp(1e-12, 1.0 - 1e-12);
        (p / (1.0 - p)).ln()
    };
    let pairs = pairs.iter().zip(answers);
    fit_temperature(
        &pairs
            .map(|(pair, &p)| (logit(p), pair.share))
            .collect::<Vec<_>>(),
    )
}

/// P of a judge that looks at lengths alone; `learnt` says on which votes it learns which length wins.
pub(super) fn by_length(learnt: &[VotedPair], pairs: &[VotedPair]) -> Vec<f64> {
    let longer = |pair: &VotedPair| {
        let [first, second] = [0, 1].map(|k| pair.responses[k].text.chars().count());
        match first.cmp(&second) {
            std::cmp::Ordering::Greater => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Less => 0.0,
        }
    };
    follow(learnt, pairs, longer)
}

/// P of a judge that looks at nothing.
pub(super) fn by_place(learnt: &[VotedPair], pairs: &[VotedPair]) -> Vec<f64> {
    follow(learnt, pairs, |_| 1.0)
}

/// The answers of a rule, or their opposite where that agrees more with the votes that are learnt from.
fn follow(learnt: &[VotedPair], pairs: &[VotedPair], rule: impl Fn(&VotedPair) -> f64) -> Vec<f64> {
    let agreement: f64 = learnt
        .iter()
        .map(|pair| (2.0 * rule(pair) - 1.0) * (2.0 * pair.share - 1.0) * pair.votes as f64)
        .sum();
    let turn = |p: f64| if agreement < 0.0 { 1.0 - p } else { p };
    pairs.iter().map(|pair| turn(rule(pair))).collect()
}
