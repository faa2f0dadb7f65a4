//! Sequences that begin alike, read at their last token with what they share computed once.
//!
//! Judges read one hidden state of each sequence, and their sequences share long fronts: the same conversation with
//! another answer, the same first answer with another second one. Which of them share a front, and how long a front, is
//! chosen so that the fewest tokens are computed.

use std::cmp::Reverse;

use burn::tensor::Tensor;
use inpo_kernels::{PackedAttention, PackedGroup, PackedLayout, embedding};

use crate::config::ModelConfig;
use crate::error::PolicyError;
use crate::model::Decoder;

/// How many tokens a batch may hold, unless one sequence is longer.
const BATCH_TOKENS: usize = 2048;

/// Sequences that are read together.
#[derive(Debug, Clone)]
pub struct PrefixBatch {
    /// The place of each sequence in the list that was given.
    pub members: Vec<usize>,
    /// The tokens, shared fronts once, with padding behind them where the device wants it.
    pub ids: Vec<u32>,
    /// Which of the tokens are shared fronts and which their continuations.
    pub layout: PackedLayout,
    /// Index into `ids` of the last token of each sequence.
    pub last: Vec<u32>,
    /// Where the tokens of each sequence lie.
    runs: Vec<Run>,
}

/// A sequence as its front and its rest.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// Index of the front's first token, and of the rest's.
    front: u32,
    rest: u32,
    shared: u32,
}

impl PrefixBatch {
    /// Splits `sequences`, none of them empty, into batches for `decoder`, long ones first.
    #[must_use]
    pub fn split(decoder: &Decoder, sequences: &[&[u32]]) -> Vec<Self> {
        let padded = PackedAttention::pads(&decoder.device(), decoder.dtype());
        let multiple = decoder.token_multiple();
        let batches = batches(groups(sequences, BATCH_TOKENS), padded);
        let pack = |groups: &Vec<Group>| Self::pack(sequences, groups, multiple);
        batches.iter().map(pack).collect()
    }

    /// The final hidden state of each sequence at its last token, `[members, hidden]`. Up to the rounding of the float
    /// type (1e-5 in f32) it does not depend on the batch.
    #[must_use]
    pub fn hidden(&self, decoder: &Decoder) -> Tensor<2> {
        embedding(decoder.forward(&self.ids, &self.layout), &self.last)
    }

    /// Index into `ids` of the token at `position` of the sequence that is `members[index]`.
    pub(crate) fn token(&self, index: usize, position: usize) -> u32 {
        let (run, position) = (self.runs[index], position as u32);
        if position < run.shared {
            run.front + position
        } else {
            run.rest + position - run.shared
        }
    }

    fn pack(sequences: &[&[u32]], groups: &[Group], multiple: usize) -> Self {
        let (mut members, mut ids, mut last) = (Vec::new(), Vec::new(), Vec::new());
        let mut runs = Vec::new();
        let mut layout = Vec::with_capacity(groups.len());
        for group in groups {
            let mut responses = Vec::new();
            ids.extend_from_slice(&sequences[group.members[0]][..group.shared]);
            let front = ids.len() as u32;
            for &member in &group.members {
                let rest = &sequences[member][group.shared..];
                members.push(member);
                runs.push(Run {
                    front: front - group.shared as u32,
                    rest: ids.len() as u32,
                    shared: group.shared as u32,
                });
                if rest.is_empty() {
                    last.push(front - 1);
                } else {
                    ids.extend_from_slice(rest);
                    responses.push(rest.len());
                    last.push(ids.len() as u32 - 1);
                }
            }
            layout.push(PackedGroup {
                prompt: group.shared,
                responses,
            });
        }
        ids.resize(ids.len().next_multiple_of(multiple.max(1)), 0);
        Self {
            members,
            ids,
            layout: PackedLayout::new(layout),
            last,
            runs,
        }
    }
}

/// Checks that a model of `config` can read `ids`; `number` names them in the error.
///
/// # Errors
///
/// An empty sequence, one beyond the model's context, an id beyond its vocabulary.
pub(crate) fn check(config: &ModelConfig, number: u64, ids: &[u32]) -> Result<(), PolicyError> {
    let (tokens, limit) = (ids.len(), config.max_position_embeddings);
    let vocab_size = config.vocab_size;
    if ids.is_empty() {
        return Err(PolicyError::EmptyPrompt { number });
    }
    if tokens > limit {
        return Err(PolicyError::PromptTooLong {
            number,
            tokens,
            limit,
        });
    }
    match ids.iter().find(|&&id| id as usize >= vocab_size) {
        Some(&id) => Err(PolicyError::TokenOutOfVocabulary { id, vocab_size }),
        None => Ok(()),
    }
}

/// Sequences that share their first `shared` tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    shared: usize,
    members: Vec<usize>,
    tokens: usize,
}

/// The groups with the fewest tokens in all, each of at most `most` tokens unless one sequence has more.
fn groups(sequences: &[&[u32]], most: usize) -> Vec<Group> {
    let mut order: Vec<usize> = (0..sequences.len()).collect();
    order.sort_by_key(|&i| sequences[i]);
    let common = |pair: &[usize]| {
        let (a, b) = (sequences[pair[0]], sequences[pair[1]]);
        a.iter().zip(b).take_while(|(a, b)| a == b).count()
    };
    let tree = Tree {
        sequences,
        common: order.windows(2).map(common).collect(),
        order,
    };
    let mut groups = Vec::new();
    for group in tree.best(0, tree.order.len()).1 {
        groups.extend(tree.cut(group, most));
    }
    groups
}

/// Sequences in the order of their tokens, in which those that share a front are neighbours.
struct Tree<'a> {
    sequences: &'a [&'a [u32]],
    order: Vec<usize>,
    /// How many tokens neighbours share.
    common: Vec<usize>,
}

impl Tree<'_> {
    fn length(&self, place: usize) -> usize {
        self.sequences[self.order[place]].len()
    }

    /// The fewest tokens for the sequences from `start` to `end`, and their groups: one group of the front that all
    /// share, or the best of each part that shares more.
    fn best(&self, start: usize, end: usize) -> (usize, Vec<Group>) {
        let group = |shared: usize| {
            let rest: usize = (start..end).map(|place| self.length(place) - shared).sum();
            Group {
                shared,
                members: self.order[start..end].to_vec(),
                tokens: shared + rest,
            }
        };
        if end - start < 2 {
            let alone = (start < end).then(|| group(self.length(start)));
            return (
                alone.as_ref().map_or(0, |group| group.tokens),
                alone.into_iter().collect(),
            );
        }
        let shared = self.common[start..end - 1].iter().min();
        let shared = *shared.expect("two sequences have a border between them");
        let whole = group(shared);
        let (mut tokens, mut parts, mut from) = (0, Vec::new(), start);
        for place in start..end {
            if place + 1 == end || self.common[place] == shared {
                let (cost, groups) = self.best(from, place + 1);
                tokens += cost;
                parts.extend(groups);
                from = place + 1;
            }
        }
        if whole.tokens < tokens {
            (whole.tokens, vec![whole])
        } else {
            (tokens, parts)
        }
    }

    /// Cuts a group that is too large; each part has the front again.
    fn cut(&self, group: Group, most: usize) -> Vec<Group> {
        if group.tokens <= most {
            return vec![group];
        }
        let mut parts: Vec<Group> = Vec::new();
        for &member in &group.members {
            let rest = self.sequences[member].len() - group.shared;
            match parts.last_mut() {
                Some(part) if part.tokens + rest <= most => {
                    part.members.push(member);
                    part.tokens += rest;
                }
                _ => parts.push(Group {
                    shared: group.shared,
                    members: vec![member],
                    tokens: group.shared + rest,
                }),
            }
        }
        parts
    }
}

/// Groups in batches of at most [`BATCH_TOKENS`], long ones first; `padded` counts every group as long as the longest,
/// as attention that pads does.
fn batches(mut groups: Vec<Group>, padded: bool) -> Vec<Vec<Group>> {
    groups.sort_by_key(|group| Reverse(group.tokens));
    let mut batches: Vec<Vec<Group>> = Vec::new();
    let mut tokens = 0;
    for group in groups {
        let fits = batches.last().filter(|batch| {
            let size = match padded {
                true => batch[0].tokens * (batch.len() + 1),
                false => tokens + group.tokens,
            };
            size <= BATCH_TOKENS
        });
        if fits.is_none() {
            batches.push(Vec::new());
            tokens = 0;
        }
        tokens += group.tokens;
        if let Some(batch) = batches.last_mut() {
            batch.push(group);
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn plan(sequences: &[&[u32]], most: usize) -> Vec<(usize, Vec<usize>, usize)> {
        let groups = groups(sequences, most).into_iter();
        groups.map(|g| (g.shared, g.members, g.tokens)).collect()
    }

    /// Two pairs that share four tokens each and one token across: 1 + 4 x 4 = 17 tokens by the front of all,
    /// 2 x (4 + 2 x 1) = 12 by pair.
    #[test]
    fn the_longer_front_is_shared_where_that_is_less() {
        let sequences: [&[u32]; 4] = [
            &[1, 2, 3, 4, 5],
            &[1, 7, 3, 4, 5],
            &[1, 2, 3, 4, 6],
            &[1, 7, 3, 4, 6],
        ];
        assert_eq!(
            plan(&sequences, 100),
            [(4, vec![0, 2], 6), (4, vec![1, 3], 6)]
        );
    }

    /// Three sequences with a front of five, two of them with one token more: 5 + 2 + 2 + 2 = 11 against
    /// (6 + 1 + 1) + 7 = 15.
    #[test]
    fn the_shorter_front_is_shared_where_that_is_less() {
        let sequences: [&[u32]; 3] = [
            &[1, 2, 3, 4, 5, 6, 1],
            &[1, 2, 3, 4, 5, 6, 2],
            &[1, 2, 3, 4, 5, 9, 9],
        ];
        assert_eq!(plan(&sequences, 100), [(5, vec![0, 1, 2], 11)]);
    }

    #[test]
    fn a_front_may_be_a_sequence_and_sequences_may_be_equal() {
        let sequences: [&[u32]; 4] = [&[1, 2, 3], &[1, 2], &[9], &[1, 2]];
        assert_eq!(
            plan(&sequences, 100),
            [(2, vec![1, 3, 0], 3), (1, vec![2], 1)]
        );
        let packed = PrefixBatch::pack(&sequences, &batches(groups(&sequences, 100), false)[0], 4);
        assert_eq!(packed.ids, [1, 2, 3, 9]);
        assert_eq!(packed.members, [1, 3, 0, 2]);
        assert_eq!(packed.last, [1, 1, 2, 3]);
        assert!(groups(&[], 100).is_empty());
    }

    proptest! {
        /// Whatever the sequences share, each is there once, read at its end, behind its own tokens.
        #[test]
        fn every_sequence_is_its_front_and_its_rest(
            sequences in vec(vec(0..3_u32, 1..9), 0..20),
            most in 1..40_usize,
        ) {
            let sequences: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
            let mut found = vec![0; sequences.len()];
            for groups in batches(groups(&sequences, most), false) {
                let packed = PrefixBatch::pack(&sequences, &groups, 1);
                prop_assert_eq!(packed.ids.len(), packed.layout.tokens());
                let segments = packed.layout.segments();
                for (&member, &last) in packed.members.iter().zip(&packed.last) {
                    let last = last as usize;
                    let own = segments.iter().find(|s| s.tokens > 0 && s.start + s.tokens - 1 == last);
                    let own = own.expect("a sequence ends where a segment ends");
                    let front = segments.iter().find(|s| s.group == own.group).unwrap();
                    let mut ids = packed.ids[front.start..front.start + front.tokens].to_vec();
                    if own.response.is_some() {
                        ids.extend(&packed.ids[own.start..=last]);
                    }
                    prop_assert_eq!(&ids, sequences[member]);
                    found[member] += 1;
                }
            }
            prop_assert!(found.iter().all(|&times| times == 1));
        }
    }

    /// Four continuations of two tokens behind a front of four: at most eight tokens hold two of them.
    #[test]
    fn a_group_that_is_too_large_is_cut() {
        let sequences: [&[u32]; 4] = [
            &[1, 2, 3, 4, 5, 5],
            &[1, 2, 3, 4, 6, 6],
            &[1, 2, 3, 4, 7, 7],
            &[1, 2, 3, 4, 8, 8],
        ];
        assert_eq!(
            plan(&sequences, 8),
            [(4, vec![0, 1], 8), (4, vec![2, 3], 8)]
        );
    }

    /// Groups of 1000, 900 and 100 tokens: together they have 2000; padded, two of the longest are 2000 and three 3000.
    #[test]
    fn padding_counts_the_longest() {
        let group = |tokens| Group {
            shared: tokens,
            members: vec![0],
            tokens,
        };
        let sizes = |padded| {
            let batches = batches([100, 1000, 900].map(group).to_vec(), padded);
            let sizes = batches.iter().map(|b| b.iter().map(|g| g.tokens).collect());
            sizes.collect::<Vec<Vec<usize>>>()
        };
        assert_eq!(sizes(false), [vec![1000, 900, 100]]);
        assert_eq!(sizes(true), [vec![1000, 900], vec![100]]);
    }
}
