//! The anchors: log-probs of the pairs under every fixed policy of a phase, computed once, cached,
//! verified.

use inpo_data::PairRecord;
use inpo_loss::Role;
use inpo_policy::Sequence;

use crate::error::TrainError;
use crate::objective::Objective;
use crate::pair::TrainPair;

mod cache;
mod scorers;
mod source;

pub(crate) use cache::{AnchorKey, load, to_bytes};
use scorers::Columns;
pub(crate) use scorers::Scorers;
use source::missing;
pub(crate) use source::{Source, digests, sources};

/// Log-probs of some pairs, each column `[pairs]`, sums in nats.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Anchors {
    columns: Columns,
}

impl Anchors {
    /// Scores every pair under the policy of each source.
    ///
    /// # Errors
    ///
    /// As [`Scorers::score`].
    pub(crate) fn compute(
        scorers: &mut Scorers<'_>,
        pairs: &[PairRecord],
    ) -> Result<Self, TrainError> {
        let columns = scorers.score(pairs)?;
        Ok(Self { columns })
    }

    /// The log-probs of `source`, chosen and rejected, when they are there.
    pub(crate) fn get(&self, source: Source) -> Option<&[Vec<f64>; 2]> {
        self.columns.get(&source)
    }

    /// Adds the log-probs of `source`, chosen and rejected.
    pub(crate) fn insert(&mut self, source: Source, logps: [Vec<f64>; 2]) {
        self.columns.insert(source, logps);
    }

    /// Checks that every log-prob is a finite number; `names` are the pairs'.
    ///
    /// # Errors
    ///
    /// The first that is not, with its pair, its response and its policy.
    pub(crate) fn check_finite(&self, names: &[String]) -> Result<(), TrainError> {
        for (source, columns) in &self.columns {
            for (side, column) in ["chosen", "rejected"].into_iter().zip(columns) {
                if let Some(i) = column.iter().position(|logp| !logp.is_finite()) {
                    let name = &names[i];
                    let what =
                        format!("the log-prob of the {side} response of {name}, under {source}");
                    return Err(TrainError::NonFinite { what });
                }
            }
        }
        Ok(())
    }

    pub(super) fn named(&self) -> impl Iterator<Item = (String, &Vec<f64>)> {
        self.columns
            .iter()
            .flat_map(|(source, columns)| source.columns().into_iter().zip(columns))
    }

    /// Joins pairs, whose names are `names`, and anchors.
    ///
    /// # Errors
    ///
    /// A source of the objective that was not computed.
    pub(crate) fn train_pairs(
        &self,
        pairs: &[PairRecord],
        names: &[String],
        objective: &Objective,
    ) -> Result<Vec<TrainPair>, TrainError> {
        let of = |source: Source| self.get(source).ok_or_else(|| missing(source, objective));
        let anchors: Vec<&[Vec<f64>; 2]> = objective
            .anchors()
            .iter()
            .map(|anchor| of(Source::Role(anchor.role)))
            .collect::<Result<_, _>>()?;
        let reference = of(Source::Role(Role::Reference))?;
        let previous = of(Source::Role(Role::Previous))?;
        let start = of(Source::Start)?;
        let row = |columns: &[Vec<f64>; 2], i: usize| [columns[0][i], columns[1][i]];
        let join = |(i, pair): (usize, &PairRecord)| {
            let prompt = &pair.prompt_token_ids;
            let explored = pair.explored_token_ids.as_ref();
            TrainPair {
                name: names[i].clone(),
                chosen: Sequence::new(prompt, &pair.chosen_token_ids),
                rejected: Sequence::new(prompt, &pair.rejected_token_ids),
                explored: explored.map(|ids| Sequence::new(prompt, ids)),
                probability: pair.probability,
                // Losses on scores are given pairs that have them.
                scores: [pair.score_chosen, pair.score_rejected].map(|s| s.unwrap_or(0.5)),
                weight: pair.weight,
                anchors: anchors.iter().map(|columns| row(columns, i)).collect(),
                reference: row(reference, i),
                previous: row(previous, i),
                start: row(start, i),
            }
        };
        Ok(pairs.iter().enumerate().map(join).collect())
    }
}
