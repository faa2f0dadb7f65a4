//! What an oracle counts while it answers.

use std::ops::{AddAssign, Sub};

/// What an oracle counted since it was made.
///
/// A verdict is an answer in one order of the two responses; a comparison is answered from one or both of its orders.
/// Oracles that do not know of orders count nothing here, see [`PreferenceOracle::counts`](super::PreferenceOracle::counts).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OracleCounts {
    /// Comparisons that were answered.
    pub comparisons: u64,
    /// Comparisons without a valid verdict: they count as 1/2.
    pub unanswered: u64,
    /// Verdicts, invalid ones and kept ones included.
    pub verdicts: u64,
    /// Verdicts that could not be used.
    pub invalid: u64,
    /// Valid verdicts that were no tie.
    pub decided: u64,
    /// Those of them for the response shown first.
    pub first_wins: u64,
    /// Comparisons with a valid verdict in both orders.
    pub both_orders: u64,
    /// Those of them in which the two orders do not name the same response, or a tie twice.
    pub inconsistent: u64,
    /// Verdicts that were known already, from a journal or earlier in the process.
    pub kept: u64,
    /// Requests to a server, or sequences that a model read.
    pub calls: u64,
    /// Tokens that were read.
    pub prompt_tokens: u64,
    /// Tokens that were written.
    pub completion_tokens: u64,
    /// Seconds from question to answer, summed over calls.
    pub seconds: f64,
    /// The price of these calls, where prices are known.
    pub cost: Option<f64>,
}

impl OracleCounts {
    /// The share of decided verdicts for the response shown first; none without any. 1/2 is no preference for a place.
    #[must_use]
    pub fn first_position_rate(&self) -> Option<f64> {
        share(self.first_wins, self.decided)
    }

    /// The share of comparisons with a verdict in both orders whose verdict changes with the order; none without any.
    #[must_use]
    pub fn order_inconsistency(&self) -> Option<f64> {
        share(self.inconsistent, self.both_orders)
    }

    /// The share of verdicts that could not be used; none without any.
    #[must_use]
    pub fn invalid_rate(&self) -> Option<f64> {
        share(self.invalid, self.verdicts)
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

impl std::fmt::Display for OracleCounts {
    /// One line.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let share = |value: Option<f64>| match value {
            Some(value) => format!("{:.1} %", 100.0 * value),
            None => "-".to_owned(),
        };
        write!(
            f,
            "{} comparisons, {} calls, {} of {} verdicts invalid, {} for the response shown first, {} change with the order",
            self.comparisons,
            self.calls,
            self.invalid,
            self.verdicts,
            share(self.first_position_rate()),
            share(self.order_inconsistency()),
        )?;
        if self.prompt_tokens > 0 {
            let (read, written) = (self.prompt_tokens, self.completion_tokens);
            write!(f, ", {read} tokens read, {written} written")?;
        }
        match self.cost {
            Some(cost) => write!(f, ", cost {cost:.4}"),
            None => Ok(()),
        }
    }
}

impl AddAssign for OracleCounts {
    fn add_assign(&mut self, other: Self) {
        self.comparisons += other.comparisons;
        self.unanswered += other.unanswered;
        self.verdicts += other.verdicts;
        self.invalid += other.invalid;
        self.decided += other.decided;
        self.first_wins += other.first_wins;
        self.both_orders += other.both_orders;
        self.inconsistent += other.inconsistent;
        self.kept += other.kept;
        self.calls += other.calls;
        self.prompt_tokens += other.prompt_tokens;
        self.completion_tokens += other.completion_tokens;
        self.seconds += other.seconds;
        self.cost = match (self.cost, other.cost) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0.0) + b.unwrap_or(0.0)),
        };
    }
}

impl Sub for OracleCounts {
    type Output = Self;

    /// What was counted after `before`, an earlier state of the same counts.
    fn sub(self, before: Self) -> Self {
        Self {
            comparisons: self.comparisons - before.comparisons,
            unanswered: self.unanswered - before.unanswered,
            verdicts: self.verdicts - before.verdicts,
            invalid: self.invalid - before.invalid,
            decided: self.decided - before.decided,
            first_wins: self.first_wins - before.first_wins,
            both_orders: self.both_orders - before.both_orders,
            inconsistent: self.inconsistent - before.inconsistent,
            kept: self.kept - before.kept,
            calls: self.calls - before.calls,
            prompt_tokens: self.prompt_tokens - before.prompt_tokens,
            completion_tokens: self.completion_tokens - before.completion_tokens,
            seconds: self.seconds - before.seconds,
            cost: self.cost.map(|cost| cost - before.cost.unwrap_or(0.0)),
        }
    }
}
