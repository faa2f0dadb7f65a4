//! What is said of one policy on held-out prompts.

use inpo_oracle::CycleReport;
use serde::{Deserialize, Serialize};

use crate::arena::{Arena, By};
use crate::interval::{Interval, Resamples};
use crate::length_control::{LengthControlled, LengthPair, length_controlled};
use crate::lineup::Lineup;
use crate::measures::{cycles, lengths};
use crate::probe::{best_against, best_of_others};
use crate::table::Table;

/// `eval.json`: one policy on the held-out prompts. All intervals are of the same draws of the prompts, see [`Resamples`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The iteration whose result was evaluated; 0 is the reference.
    pub iteration: usize,
    /// Held-out prompts.
    pub prompts: usize,
    /// Samples per prompt.
    pub samples: usize,
    /// P(policy beats reference), over prompts and all sample pairs of a prompt.
    pub win_rate_vs_ref: Interval,
    /// P(policy beats the previous policy), where that was asked.
    pub win_rate_vs_prev: Option<Interval>,
    /// P(policy beats the policy that the run started from), where that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub win_rate_vs_init: Option<Interval>,
    /// P(policy beats an opponent), for each of those that `eval.opponents` names by their paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opponents: Vec<OpponentRate>,
    /// The win rate against the reference minus that of the previous policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Interval>,
    /// The win rate against the reference with the effect of length taken out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length_controlled: Option<LengthControlled>,
    /// What the best of K - 1 of the policy's samples gains against the policy: a lower bound of its exploitability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Interval>,
    /// What the best of the reference's samples gains against the policy: another lower bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_of_ref: Option<Interval>,
    /// P(policy beats reference) by the second oracle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out_win_rate_vs_ref: Option<Interval>,
    /// The win rate against the reference by the training oracle minus that by the second one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oracle_gap: Option<Interval>,
    /// Monte-Carlo estimate of KL(policy || reference) per response, in nats.
    pub kl_ref: f64,
    /// Mean response length in tokens, end token included.
    pub mean_length: f64,
    /// Share of responses cut off at the limit.
    pub clipped_ratio: f64,
    /// Cyclic triples of the judge among the policy's samples.
    pub cycles: CycleReport,
}

/// A win rate over an opponent by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpponentRate {
    /// The opponent, as `eval.opponents` names it.
    pub opponent: String,
    /// P(policy beats it).
    pub win_rate: Interval,
}

/// What [`evaluate`] needs for each held-out prompt, where it was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct PerPrompt {
    /// The win rate against the reference.
    pub win_rate_vs_ref: Vec<f64>,
    /// The win rate against the reference by the second oracle.
    pub held_out: Option<Vec<f64>>,
    /// What the best of K - 1 samples gains.
    pub probe: Option<Vec<f64>>,
}

impl PerPrompt {
    /// Those of the policy after iteration `t`.
    ///
    /// # Panics
    ///
    /// If the iteration's matches were not asked: a fault of the caller.
    #[must_use]
    pub fn new(arena: &Arena, lineup: Lineup, t: usize) -> Self {
        let (policy, reference) = (lineup.after(t), Lineup::REFERENCE);
        let asked = "the iteration's matches were asked";
        let own = arena.tables(policy, policy, By::Training).expect(asked);
        let rates = arena.rates(policy, reference, By::Training);
        Self {
            win_rate_vs_ref: rates.expect(asked),
            held_out: (t > 0)
                .then(|| arena.rates(policy, reference, By::HeldOut))
                .flatten(),
            probe: own.iter().map(|table| best_of_others(table)).collect(),
        }
    }
}

/// Evaluates the policy after iteration `t` (0: the reference) from what was asked of [`Lineup::matches`]; `kl` is its
/// divergence from the reference.
///
/// # Panics
///
/// If the iteration's matches were not asked: a fault of the caller.
#[must_use]
pub fn evaluate(
    arena: &Arena,
    lineup: Lineup,
    t: usize,
    resamples: &Resamples,
    kl: f64,
) -> Evaluation {
    let (policy, reference) = (lineup.after(t), Lineup::REFERENCE);
    let own = arena.tables(policy, policy, By::Training);
    let own = own.expect("the iteration's matches were asked");
    let per_prompt = PerPrompt::new(arena, lineup, t);
    let rates = |first: usize, second: usize| arena.rates(first, second, By::Training);
    let against = |other: usize| rates(policy, other).map(|rates| resamples.mean(&rates));
    let previous = if t == 0 { reference } else { lineup.before(t) };
    let before = (t > 0).then(|| rates(previous, reference)).flatten();
    let crossed = arena.tables(policy, reference, By::Training);
    let crossed = crossed.filter(|_| t > 0);
    let reference_plays = arena.tables(reference, policy, By::Training);
    let reference_plays = reference_plays.filter(|_| t > 0);
    let probe = |tables: &[Table], of: fn(&[Vec<f64>]) -> Option<f64>| {
        let gains: Option<Vec<f64>> = tables.iter().map(|table| of(table)).collect();
        gains.map(|gains| resamples.mean(&gains))
    };
    let named = lineup.named().filter_map(|other| {
        Some(OpponentRate {
            opponent: arena.name(other).to_owned(),
            win_rate: against(other)?,
        })
    });
    let held_out = per_prompt.held_out.as_ref();
    let records = arena.records(policy);
    let (mean_length, clipped_ratio) = lengths(records);
    Evaluation {
        iteration: t,
        prompts: records.len(),
        samples: records.first().map_or(0, |record| record.responses.len()),
        win_rate_vs_ref: resamples.mean(&per_prompt.win_rate_vs_ref),
        win_rate_vs_prev: lineup.previous.then(|| against(previous)).flatten(),
        win_rate_vs_init: lineup.initial.then(|| against(lineup.start())).flatten(),
        opponents: named.collect(),
        progress: before.map(|before| resamples.difference(&per_prompt.win_rate_vs_ref, &before)),
        length_controlled: crossed.and_then(|tables| {
            let difficulty = difficulty(arena);
            let pairs = length_pairs(arena, policy, &tables);
            length_controlled(&pairs, difficulty.as_deref(), resamples)
        }),
        probe: probe(&own, best_of_others),
        probe_of_ref: reference_plays.and_then(|tables| probe(&tables, best_against)),
        held_out_win_rate_vs_ref: held_out.map(|rates| resamples.mean(rates)),
        oracle_gap: held_out.map(|rates| resamples.difference(&per_prompt.win_rate_vs_ref, rates)),
        kl_ref: kl,
        mean_length,
        clipped_ratio,
        cycles: cycles(&own),
    }
}

/// The column `instruction_difficulty` of the prompts, where each has a number there.
fn difficulty(arena: &Arena) -> Option<Vec<f64>> {
    let records = arena.records(Lineup::REFERENCE).iter();
    records
        .map(|record| record.metadata.get("instruction_difficulty")?.as_f64())
        .collect()
}

/// Every pair of a policy's response and one of the reference.
fn length_pairs(arena: &Arena, policy: usize, tables: &[Table]) -> Vec<LengthPair> {
    let characters = |player: usize, prompt: usize| -> Vec<usize> {
        let responses = arena.records(player)[prompt].responses.iter();
        responses.map(|text| text.chars().count()).collect()
    };
    let mut pairs = Vec::new();
    for (prompt, table) in tables.iter().enumerate() {
        let theirs = characters(Lineup::REFERENCE, prompt);
        for (length, row) in characters(policy, prompt).into_iter().zip(table) {
            let pair = |(&opponent_length, &preference): (&usize, &f64)| LengthPair {
                prompt,
                length,
                opponent_length,
                preference,
            };
            pairs.extend(theirs.iter().zip(row).map(pair));
        }
    }
    pairs
}

impl std::fmt::Display for Evaluation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "iteration {}: win rate vs reference {:5}",
            self.iteration, self.win_rate_vs_ref
        )?;
        let versus = [
            ("vs previous", self.win_rate_vs_prev),
            ("vs initial", self.win_rate_vs_init),
            ("by the held-out oracle", self.held_out_win_rate_vs_ref),
        ];
        for (what, rate) in versus {
            if let Some(rate) = rate {
                write!(f, ", {what} {rate:5}")?;
            }
        }
        if let Some(gap) = self.oracle_gap {
            write!(f, " (gap {gap:+})")?;
        }
        for OpponentRate { opponent, win_rate } in &self.opponents {
            write!(f, ", vs {opponent} {win_rate:5}")?;
        }
        if let Some(controlled) = &self.length_controlled {
            write!(f, ", length-controlled {:5}", controlled.win_rate)?;
        }
        if let Some(probe) = self.probe {
            let others = self.samples.saturating_sub(1);
            write!(f, ", best of {others} gains {probe:+}")?;
        }
        write!(
            f,
            ", KL {:.2} nats, length {:.1} tokens ({:.0} % cut off), judge cycle rate {:.2} %",
            self.kl_ref,
            self.mean_length,
            100.0 * self.clipped_ratio,
            100.0 * self.cycles.rate(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the first release wrote.
    #[test]
    fn an_earlier_evaluation_is_read() {
        let text = r#"{"iteration": 1, "prompts": 2, "samples": 4,
            "win_rate_vs_ref": {"mean": 0.6, "low": 0.5, "high": 0.7},
            "win_rate_vs_prev": {"mean": 0.6, "low": 0.5, "high": 0.7},
            "kl_ref": 0.1, "mean_length": 7.5, "clipped_ratio": 0.0, "cycles": {"triples": 8, "cyclic": 1}}"#;
        let evaluation: Evaluation = serde_json::from_str(text).unwrap();
        assert_eq!(evaluation.win_rate_vs_prev.unwrap().low, 0.5);
        assert_eq!(
            evaluation.to_string(),
            "iteration 1: win rate vs reference  60.0 % [50.0, 70.0], vs previous  60.0 % [50.0, 70.0], KL 0.10 nats, \
             length 7.5 tokens (0 % cut off), judge cycle rate 12.50 %"
        );
        let written: serde_json::Value = serde_json::to_value(&evaluation).unwrap();
        let expected: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(written, expected);
    }
}
