//! The samples that wait for a row.

use std::collections::VecDeque;
use std::ops::Range;

use super::PromptTask;

/// Prompts whose samples have not begun, the longest first.
#[derive(Debug)]
pub(super) struct Queue<'a> {
    prompts: &'a [PromptTask],
    waiting: VecDeque<Turn>,
}

/// Samples of one prompt, which share its prefill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turn {
    /// The prompt's index.
    pub(super) prompt: usize,
    /// The samples' numbers.
    pub(super) samples: Range<usize>,
}

impl<'a> Queue<'a> {
    pub(super) fn new(prompts: &'a [PromptTask], copies: usize) -> Self {
        let mut order: Vec<usize> = (0..prompts.len()).collect();
        order.sort_by_key(|&prompt| std::cmp::Reverse(prompts[prompt].ids.len()));
        let turn = |prompt| Turn {
            prompt,
            samples: 0..copies,
        };
        Self {
            prompts,
            waiting: order.into_iter().map(turn).collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Tokens of the longest prompt that waits.
    pub(super) fn longest(&self) -> Option<usize> {
        let first = self.waiting.front()?;
        Some(self.prompts[first.prompt].ids.len())
    }

    /// How many prompts wait.
    pub(super) fn prompts(&self) -> usize {
        self.waiting.len()
    }

    /// How many samples wait.
    pub(super) fn samples(&self) -> usize {
        self.waiting.iter().map(|turn| turn.samples.len()).sum()
    }

    /// The next samples for `free` of `rows` rows. The samples of a prompt stay together, but where they are more
    /// than there are rows.
    pub(super) fn next(&mut self, free: usize, rows: usize) -> Option<Turn> {
        let first = self.waiting.front_mut()?;
        let count = first.samples.len().min(rows);
        if count > free {
            return None;
        }
        let middle = first.samples.start + count;
        let turn = Turn {
            samples: first.samples.start..middle,
            ..*first
        };
        first.samples.start = middle;
        if first.samples.is_empty() {
            self.waiting.pop_front();
        }
        Some(turn)
    }

    /// Takes back what [`Queue::next`] gave last.
    pub(super) fn put_back(&mut self, turn: Turn) {
        match self.waiting.front_mut() {
            Some(first) if first.prompt == turn.prompt => first.samples.start = turn.samples.start,
            _ => self.waiting.push_front(turn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prompts of 1, 3 and 2 tokens with 5 samples each, over 4 rows, then 8.
    #[test]
    fn samples_of_a_prompt_stay_together_where_rows_allow() {
        let prompt = |length| PromptTask {
            ids: vec![7; length],
            number: 0,
        };
        let prompts = [1, 3, 2].map(prompt);
        let mut queue = Queue::new(&prompts, 5);
        let turn = |prompt, samples| Some(Turn { prompt, samples });
        assert_eq!((queue.longest(), queue.samples()), (Some(3), 15));
        assert_eq!(queue.next(4, 4), turn(1, 0..4));
        assert_eq!(queue.next(0, 4), None);
        assert_eq!(queue.next(4, 4), turn(1, 4..5));
        assert_eq!(queue.next(3, 4), None, "three rows are not enough for four");
        let next = queue.next(8, 8);
        assert_eq!(next, turn(2, 0..5));
        queue.put_back(next.unwrap());
        assert_eq!((queue.longest(), queue.samples()), (Some(2), 10));
        let part = queue.next(2, 2);
        assert_eq!(part, turn(2, 0..2));
        queue.put_back(part.unwrap());
        assert_eq!(queue.next(8, 8), turn(2, 0..5));
        assert_eq!(queue.next(8, 8), turn(0, 0..5));
        assert!(queue.is_empty() && queue.next(8, 8).is_none());
    }
}
