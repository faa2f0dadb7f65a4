//! Which responses of a run are compared, and which pairs are kept.

use inpo_data::{PairRecord, ResponseRecord};
use inpo_loss::LabelKind;
use inpo_oracle::{Answers, Dropped, SelectionStrategy, Step};
use rand::RngExt;

use inpo_policy::sample::DrawKey;

use crate::config::RunConfig;
use crate::metrics::SelectMetrics;
use crate::objective::Objective;
use crate::streams::winner;

/// How pairs are made of a prompt's responses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Selection {
    /// Which responses meet.
    pub(crate) strategy: SelectionStrategy,
    /// Whether every two responses are compared, and not only those that the strategy needs.
    pub(crate) all_pairs: bool,
    /// What the loss makes of the outcome: only hard labels need a winner.
    pub(crate) label: LabelKind,
    /// Whether each pair gets one of the K responses picked without regard to the preferences.
    explore: bool,
}

impl Selection {
    /// As `[selection]` says, else the paper's tournament, but i.i.d. pairs where the loss regresses on scores: the scores
    /// of a tournament's winner are biased upward. Scores need every comparison.
    pub(crate) fn new(config: &RunConfig, objective: &Objective) -> Self {
        let scores = objective.label == LabelKind::Scores;
        let default = if scores {
            SelectionStrategy::Iid
        } else {
            SelectionStrategy::Tournament
        };
        Self {
            strategy: config.selection.strategy.unwrap_or(default),
            all_pairs: config.oracle.shared.all_pairs || scores,
            label: objective.label,
            explore: objective.exploration.is_some(),
        }
    }

    /// Whether the labels are scores of responses that a tournament chose by them.
    pub(crate) fn biases_scores(&self) -> bool {
        self.strategy == SelectionStrategy::Tournament && self.label == LabelKind::Scores
    }

    /// The matches that are needed next, given the answers so far.
    pub(crate) fn matches(&self, answers: &Answers) -> Vec<(usize, usize)> {
        if self.all_pairs {
            answers.missing()
        } else {
            self.strategy.matches(answers)
        }
    }

    /// The most comparisons among `count` responses.
    pub(crate) fn comparisons(&self, count: usize) -> usize {
        if self.all_pairs {
            count * count.saturating_sub(1) / 2
        } else {
            self.strategy.comparisons(count)
        }
    }

    /// Selects at most one pair a prompt from the answers about its responses. `draws` keys the draws of winners.
    ///
    /// # Errors
    ///
    /// Answers that lack a comparison that the strategy needs: the prompt's number and the two responses.
    pub(crate) fn select(
        &self,
        records: &[ResponseRecord],
        answers: &[Answers],
        draws: DrawKey,
    ) -> Result<(Vec<PairRecord>, SelectMetrics), Missing> {
        let mut pairs = Vec::with_capacity(records.len());
        let mut metrics = SelectMetrics::default();
        for (record, answers) in records.iter().zip(answers) {
            let draw = (self.label == LabelKind::Hard).then(|| {
                let key = winner(draws, record.prompt_id);
                key.rng().random::<f64>()
            });
            let selected = match self.strategy.step(answers, draw) {
                Step::Done(selected) => selected,
                Step::Ask(matches) => {
                    return Err(Missing {
                        prompt: record.prompt_id,
                        responses: matches[0],
                    });
                }
            };
            let ids = &record.response_token_ids;
            match selected {
                Err(Dropped::Tie) => metrics.dropped_tie += 1,
                Err(Dropped::Final) => metrics.dropped_final += 1,
                Ok(s) if ids[s.chosen] == ids[s.rejected] => metrics.dropped_dup += 1,
                Ok(s) if record.is_blank(s.chosen) || record.is_blank(s.rejected) => {
                    metrics.dropped_empty += 1;
                }
                Ok(s) => pairs.push(PairRecord {
                    prompt_id: record.prompt_id,
                    prompt_token_ids: record.prompt_token_ids.clone(),
                    chosen: record.responses[s.chosen].clone(),
                    chosen_token_ids: ids[s.chosen].clone(),
                    rejected: record.responses[s.rejected].clone(),
                    rejected_token_ids: ids[s.rejected].clone(),
                    probability: s.probability,
                    score_chosen: answers.score(s.chosen, s.rejected),
                    score_rejected: answers.score(s.rejected, s.chosen),
                    explored_token_ids: self
                        .explore
                        .then(|| ids[record.prompt_id as usize % ids.len()].clone()),
                    weight: 1.0,
                }),
            }
        }
        let length = |ids: &[u32]| ids.len() as f64;
        let gap = |p: &PairRecord| length(&p.chosen_token_ids) - length(&p.rejected_token_ids);
        metrics.length_gap = pairs.iter().map(gap).sum::<f64>() / pairs.len().max(1) as f64;
        metrics.pairs = pairs.len();
        Ok((pairs, metrics))
    }
}

/// A comparison that a selection needs and that was not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missing {
    prompt: u64,
    responses: (usize, usize),
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (i, j) = self.responses;
        write!(
            f,
            "the selection needs the comparison of responses {i} and {j} to prompt {}, which was not asked; delete the \
             file to ask again",
            self.prompt
        )
    }
}
