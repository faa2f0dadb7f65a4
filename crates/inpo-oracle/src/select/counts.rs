//! What selections kept, and what they dropped.

use super::{Candidates, Dropped, Selected};

/// What the selections among the responses to many prompts kept, and what they dropped for which reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SelectionCounts {
    /// Pairs kept.
    pub pairs: usize,
    /// Prompts without a pair: a tie.
    pub tie: usize,
    /// Prompts without a pair: the best lost its match with the worst.
    pub lost_final: usize,
    /// Prompts without a pair: fewer than two responses may be in one.
    pub few: usize,
    /// Prompts without a pair: both responses are the same.
    pub duplicate: usize,
    /// Prompts without a pair: one of the two responses is empty.
    pub empty: usize,
    /// Responses that were left out before anything was asked.
    pub left_out: LeftOut,
}

/// Responses that were left out before anything was asked; see [`usable`](super::usable).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Empty ones.
    pub empty: usize,
    /// Those cut off at the token limit.
    pub truncated: usize,
    /// Those equal to an earlier one.
    pub duplicate: usize,
}

impl SelectionCounts {
    /// Counts what became of one prompt.
    pub fn count(&mut self, candidates: &Candidates<'_>, outcome: &Result<Selected, Dropped>) {
        if let Some(usable) = candidates.usable() {
            self.left_out.empty += usable.empty;
            self.left_out.truncated += usable.truncated;
            self.left_out.duplicate += usable.duplicate;
        }
        *match outcome {
            Ok(_) => &mut self.pairs,
            Err(Dropped::Tie) => &mut self.tie,
            Err(Dropped::Final) => &mut self.lost_final,
            Err(Dropped::Few) => &mut self.few,
            Err(Dropped::Duplicate) => &mut self.duplicate,
            Err(Dropped::Empty) => &mut self.empty,
        } += 1;
    }
}
