//! How long the prompts are, and what the model reads of them.

use inpo_policy::Policy;
use serde::Serialize;

use crate::error::TrainError;
use crate::prompts::RunPrompt;

/// Bars of a histogram.
const BARS: usize = 8;

/// Token counts of prompts, generation prompt included.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lengths {
    /// How many prompts there are.
    pub prompts: usize,
    /// The shortest.
    pub min: usize,
    /// Half are at most so long.
    pub median: usize,
    /// Nine of ten are at most so long.
    pub p90: usize,
    /// The longest.
    pub max: usize,
    /// Tokens of all.
    pub total: usize,
    /// Bars of equal width: the longest prompt of the bar, and how many prompts it has.
    pub histogram: Vec<(usize, usize)>,
}

impl Lengths {
    /// Those of prompts; none where there are no prompts.
    pub(super) fn of<'p>(prompts: impl Iterator<Item = &'p RunPrompt>) -> Option<Self> {
        let mut lengths: Vec<usize> = prompts.map(|prompt| prompt.ids().len()).collect();
        lengths.sort_unstable();
        let (&min, &max) = (lengths.first()?, lengths.last()?);
        let quantile = |share: usize| lengths[(lengths.len() * share).div_ceil(100) - 1];
        let width = (max + 1 - min).div_ceil(BARS);
        let bars = (0..(max + 1 - min).div_ceil(width)).map(|bar| {
            let first = min + bar * width;
            let last = (first + width - 1).min(max);
            let inside = lengths.iter().filter(|l| (first..=last).contains(l));
            (last, inside.count())
        });
        Some(Self {
            prompts: lengths.len(),
            min,
            median: quantile(50),
            p90: quantile(90),
            max,
            total: lengths.iter().sum(),
            histogram: bars.collect(),
        })
    }
}

/// A prompt as the model reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RenderedPrompt {
    /// Its number among the prompts of its file.
    pub prompt_id: u64,
    /// The text behind the chat template, every special token written out.
    pub text: String,
    /// Its token ids.
    pub token_ids: Vec<u32>,
}

impl RenderedPrompt {
    /// `prompt` as `policy` reads it.
    ///
    /// # Errors
    ///
    /// A policy without a tokenizer, ids that it cannot decode.
    pub(super) fn new(prompt: &RunPrompt, policy: &Policy) -> Result<Self, TrainError> {
        let codec = policy.codec()?;
        let (messages, template) = (&prompt.prompt.messages, &prompt.prompt.template);
        let rendered = codec.render_prompt_with(messages, template).ok();
        // A row may bring ids that are not those of its conversation.
        let is_read = |text: &String| codec.encode(text).is_ok_and(|ids| ids == prompt.ids());
        let text = match rendered.filter(is_read) {
            Some(text) => text,
            None => codec.decode(prompt.ids())?,
        };
        Ok(Self {
            prompt_id: prompt.prompt.number,
            text,
            token_ids: prompt.ids().to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use inpo_data::{Prompt, PromptInput};

    use super::*;

    fn of(lengths: &[usize]) -> Option<Lengths> {
        let prompt = |&length: &usize| RunPrompt {
            prompt: Prompt {
                token_ids: Some(vec![0; length]),
                ..Prompt::default()
            },
            input: PromptInput::Text(String::new()),
        };
        let prompts: Vec<RunPrompt> = lengths.iter().map(prompt).collect();
        Lengths::of(prompts.iter())
    }

    #[test]
    fn lengths_are_counted() {
        let lengths: Vec<usize> = (1..=100).rev().collect();
        let seen = of(&lengths).unwrap();
        assert_eq!((seen.min, seen.max, seen.total), (1, 100, 5050));
        assert_eq!((seen.median, seen.p90), (50, 90));
        let bars = [13, 26, 39, 52, 65, 78, 91].map(|last| (last, 13));
        assert_eq!(seen.histogram[..7], bars);
        assert_eq!(seen.histogram[7..], [(100, 9)]);
        let one = of(&[7]).unwrap();
        assert_eq!(
            (one.median, one.p90, &one.histogram[..]),
            (7, 7, &[(7, 1)][..])
        );
        assert_eq!(of(&[3, 4]).unwrap().histogram, [(3, 1), (4, 1)]);
        assert_eq!(of(&[]), None);
    }
}
