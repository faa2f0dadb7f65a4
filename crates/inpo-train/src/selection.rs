//! Which responses of a run are compared, and which pairs are kept.

use inpo_data::{Completion, FinishReason, PairRecord, ResponseRecord};
use inpo_loss::LabelKind;
use inpo_oracle::{Answers, Candidates, SelectionConfig, SelectionCounts, Step};

use crate::config::RunConfig;
use crate::metrics::{CompletionMetrics, SelectMetrics};
use crate::objective::Objective;
use crate::streams::SelectionDraws;

/// How pairs are made of a prompt's responses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Selection {
    /// Which responses meet, and which pair is kept.
    pub(crate) config: SelectionConfig,
    /// Whether every two responses are compared, and not only those that the strategy needs.
    pub(crate) all_pairs: bool,
    /// What the loss makes of the outcome: only hard labels need a winner.
    pub(crate) label: LabelKind,
    /// Whether each pair gets one of the K responses picked without regard to the preferences.
    explore: bool,
}

impl Selection {
    /// As `[selection]` says for the objective's labels. Scores need every comparison.
    pub(crate) fn new(config: &RunConfig, objective: &Objective) -> Self {
        Self {
            config: config.selection_for(objective.label),
            all_pairs: config.oracle.shared.all_pairs || objective.label == LabelKind::Scores,
            label: objective.label,
            explore: objective.exploration.is_some(),
        }
    }

    /// Whether the labels are scores of responses that were chosen by them.
    pub(crate) fn biases_scores(&self) -> bool {
        !self.config.strategy().is_blind() && self.label == LabelKind::Scores
    }

    /// The selection among the responses to one prompt.
    pub(crate) fn among<'r>(
        &self,
        record: &ResponseRecord,
        responses: &'r [Completion],
        draws: SelectionDraws,
    ) -> Candidates<'r> {
        self.config.among(responses, draws.seed(record.prompt_id))
    }

    /// The matches that are needed next, given the answers so far.
    pub(crate) fn matches(
        &self,
        candidates: &Candidates<'_>,
        answers: &Answers,
    ) -> Vec<(usize, usize)> {
        if self.all_pairs {
            answers.missing()
        } else {
            candidates.matches(answers)
        }
    }

    /// The most comparisons among `count` responses.
    pub(crate) fn comparisons(&self, count: usize) -> usize {
        if self.all_pairs {
            count * count.saturating_sub(1) / 2
        } else {
            self.config.comparisons(count)
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
        draws: SelectionDraws,
    ) -> Result<(Vec<PairRecord>, SelectMetrics), Missing> {
        let mut pairs = Vec::with_capacity(records.len());
        let mut counts = SelectionCounts::default();
        for (record, answers) in records.iter().zip(answers) {
            let responses = record.completions();
            let candidates = self.among(record, &responses, draws);
            let draw = (self.label == LabelKind::Hard).then(|| draws.winner(record.prompt_id));
            let outcome = match candidates.step(answers, draw) {
                Step::Done(outcome) => outcome,
                Step::Ask(matches) => {
                    return Err(Missing {
                        prompt: record.prompt_id,
                        responses: matches[0],
                    });
                }
            };
            counts.count(&candidates, &outcome);
            let ids = &record.response_token_ids;
            if let Ok(s) = outcome {
                pairs.push(PairRecord {
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
                });
            }
        }
        let length = |ids: &[u32]| ids.len() as f64;
        let gap = |p: &PairRecord| length(&p.chosen_token_ids) - length(&p.rejected_token_ids);
        let length_gap = pairs.iter().map(gap).sum::<f64>() / pairs.len().max(1) as f64;
        let clipped = FinishReason::Length;
        let completions = records.iter().flat_map(|record| {
            let ids = record.response_token_ids.iter();
            let finish = record.finish_reason.iter();
            ids.zip(finish)
                .map(|(ids, &reason)| (ids.len(), reason == clipped))
        });
        let completions = CompletionMetrics::new(completions);
        let leaves_out = self.config.leaves_out();
        let metrics = SelectMetrics::new(&counts, leaves_out, length_gap, completions);
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
