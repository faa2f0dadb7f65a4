//! A task's documents with what is asked of them, before a model is known.

use std::path::Path;
use std::sync::Arc;

use super::Options;
use super::context::Front;
use super::documents::{self, Documents};
use super::error::BenchmarkError;
use super::shots::Shots;
use super::task::{Ask, Task};

/// A task with its questions as texts.
#[derive(Debug)]
pub(super) struct Paper {
    pub(super) task: Arc<dyn Task>,
    pub(super) documents: Documents,
    /// What is asked of the first documents, and what stands before it.
    pub(super) asked: Vec<(Ask, Front)>,
    /// How many few-shot examples a document gets.
    pub(super) shots: usize,
}

impl Paper {
    /// Reads the task's files in `dir`.
    pub(super) fn read(
        task: Arc<dyn Task>,
        dir: &Path,
        options: &Options,
    ) -> Result<Self, BenchmarkError> {
        let documents = documents::asked(dir, task.as_ref())?;
        let mut shots = Shots::read(dir, task.as_ref(), &documents, options.num_fewshot)?;
        let (form, delimiters) = (options.form(), task.delimiters());
        let count = documents.rows.len();
        let count = options.limit.map_or(count, |limit| limit.min(count));
        let mut asked = Vec::with_capacity(count);
        // One after the other: the examples of a document depend on how many came before.
        for index in 0..count {
            let document = &documents.rows[index].1;
            let in_row = |reason| documents.error(index, reason);
            let description = task.description(document).map_err(in_row)?;
            let drawn = shots.next(document).map_err(in_row)?;
            let ask = task.ask(document).map_err(in_row)?;
            asked.push((ask, Front::new(&form, &description, &drawn, &delimiters)));
        }
        Ok(Self {
            shots: shots.count(),
            task,
            documents,
            asked,
        })
    }
}
