//! Sequences one after the other without padding, some of them continuing a shared prompt.

/// A prompt and any number of responses to it.
///
/// Without responses it is a plain sequence; without a prompt its responses are independent ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedGroup {
    /// Tokens of the prompt; may be 0.
    pub prompt: usize,
    /// Tokens of each response; may be 0.
    pub responses: Vec<usize>,
}

impl PackedGroup {
    /// One sequence of `tokens` tokens.
    pub fn sequence(tokens: usize) -> Self {
        Self {
            prompt: tokens,
            responses: Vec::new(),
        }
    }

    /// Tokens of the prompt and all responses.
    pub fn tokens(&self) -> usize {
        self.prompt + self.responses.iter().sum::<usize>()
    }
}

/// A run of rows that are one prompt or one response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedSegment {
    /// Its group's number.
    pub group: usize,
    /// Its number among the group's responses; none for the prompt.
    pub response: Option<usize>,
    /// Its first row.
    pub start: usize,
    /// Its rows.
    pub tokens: usize,
    /// The position of its first token: 0 for a prompt, the prompt's length for a response.
    pub position: usize,
}

/// Where the tokens of a batch lie: its groups one after the other, in each the prompt and then the
/// responses, a row a token, without gaps.
///
/// A prompt's token follows the prompt's tokens before it. A response's token follows the whole
/// prompt and the tokens before it of its own response, never another response: each response is
/// what it would be as the continuation of a prompt of its own, with the prompt stored (and computed)
/// once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedLayout {
    groups: Vec<PackedGroup>,
    segments: Vec<PackedSegment>,
    tokens: usize,
}

impl PackedLayout {
    /// The layout of `groups`, in their order.
    pub fn new(groups: Vec<PackedGroup>) -> Self {
        let mut segments = Vec::new();
        let mut start = 0;
        for (group, PackedGroup { prompt, responses }) in groups.iter().enumerate() {
            let mut add = |response, tokens, position| {
                segments.push(PackedSegment {
                    group,
                    response,
                    start,
                    tokens,
                    position,
                });
                start += tokens;
            };
            add(None, *prompt, 0);
            for (number, &tokens) in responses.iter().enumerate() {
                add(Some(number), tokens, *prompt);
            }
        }
        Self {
            groups,
            segments,
            tokens: start,
        }
    }

    /// The groups.
    pub fn groups(&self) -> &[PackedGroup] {
        &self.groups
    }

    /// Every prompt, also an empty one, and every response, in the order of their rows: of each group
    /// the prompt first.
    pub fn segments(&self) -> &[PackedSegment] {
        &self.segments
    }

    /// Rows in all.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Each row's position in its sequence: `0..P` in a prompt of `P` tokens, from `P` on in each of
    /// its responses.
    pub fn positions(&self) -> Vec<usize> {
        let of = |segment: &PackedSegment| segment.position..segment.position + segment.tokens;
        self.segments.iter().flat_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Groups of 2 + (1, 2), a sequence of 3, and 0 + (2): rows 0..5, 5..8, 8..10.
    #[test]
    fn rows_are_prompt_then_responses() {
        let group = |prompt, responses: &[usize]| PackedGroup {
            prompt,
            responses: responses.to_vec(),
        };
        let groups = vec![group(2, &[1, 2]), PackedGroup::sequence(3), group(0, &[2])];
        assert_eq!(groups[0].tokens(), 5);
        let layout = PackedLayout::new(groups);
        assert_eq!(layout.tokens(), 10);
        assert_eq!(layout.positions(), [0, 1, 2, 2, 3, 0, 1, 2, 0, 1]);
        let segment = |group, response, start, tokens, position| PackedSegment {
            group,
            response,
            start,
            tokens,
            position,
        };
        assert_eq!(
            layout.segments(),
            [
                segment(0, None, 0, 2, 0),
                segment(0, Some(0), 2, 1, 2),
                segment(0, Some(1), 3, 2, 2),
                segment(1, None, 5, 3, 0),
                segment(2, None, 8, 0, 0),
                segment(2, Some(0), 8, 2, 0),
            ]
        );
    }

    #[test]
    fn nothing_is_a_layout() {
        let layout = PackedLayout::new(Vec::new());
        assert_eq!(layout.tokens(), 0);
        assert!(layout.positions().is_empty() && layout.segments().is_empty());
    }
}
