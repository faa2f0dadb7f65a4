//! Few-shot examples.

use std::path::Path;

use super::documents::{self, Documents};
use super::error::BenchmarkError;
use super::random::Random;
use super::task::{Document, Pool, Shot, ShotCount, ShotDraw, Task};

/// The seed of the harness.
const SEED: u32 = 1234;

/// Draws the examples of one document after the other.
#[derive(Debug)]
pub(super) struct Shots {
    count: usize,
    /// The examples, with the columns that a document is compared with.
    pool: Vec<(Document, Shot)>,
    draw: ShotDraw,
    leaves_out_document: bool,
    random: Random,
}

impl Shots {
    /// Reads the pool of `task`, whose documents are `asked`; `wanted` is the number that the user asks for.
    pub(super) fn read(
        dir: &Path,
        task: &dyn Task,
        asked: &Documents,
        wanted: Option<usize>,
    ) -> Result<Self, BenchmarkError> {
        let few_shot = task.few_shot();
        let count = match few_shot.count {
            ShotCount::Always(count) => count,
            ShotCount::Default(count) => wanted.unwrap_or(count),
        };
        let mut shots = Self {
            count,
            pool: Vec::new(),
            draw: few_shot.draw,
            leaves_out_document: few_shot.leaves_out_document,
            random: Random::new(SEED),
        };
        if count == 0 {
            return Ok(shots);
        }
        let mut from = format!("the definition of {}", task.name());
        shots.pool = match few_shot.pool {
            Pool::Own(rows) => {
                let shot = |row: Document| {
                    let shot = task.shot(&row).map_err(BenchmarkError::Setting)?;
                    Ok((row, shot))
                };
                rows.into_iter()
                    .map(shot)
                    .collect::<Result<_, BenchmarkError>>()?
            }
            Pool::File | Pool::FileOrDocuments => {
                let file = documents::shots(dir, task)?;
                let rows = match (&file, few_shot.pool) {
                    (Some(rows), _) => rows,
                    (None, Pool::FileOrDocuments) => asked,
                    (None, _) => return Err(no_file(dir, task, count)),
                };
                from = rows.name();
                let shot = |index: usize| {
                    let row = &rows.rows[index].1;
                    let shot = task.shot(row).map_err(|reason| rows.error(index, reason))?;
                    Ok((row.clone(), shot))
                };
                (0..rows.rows.len())
                    .map(shot)
                    .collect::<Result<_, BenchmarkError>>()?
            }
        };
        let sampled = shots.draw == ShotDraw::Sampled;
        let needed = count + usize::from(shots.leaves_out_document && sampled);
        if shots.pool.len() < needed {
            return Err(BenchmarkError::FewShots {
                task: task.name().to_owned(),
                count,
                needed,
                from,
                rows: shots.pool.len(),
            });
        }
        Ok(shots)
    }

    /// How many examples a document gets.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The examples of the next document. An error says in words that too few are left without the document.
    pub(super) fn next(&mut self, document: &Document) -> Result<Vec<&Shot>, String> {
        if self.count == 0 {
            return Ok(Vec::new());
        }
        let same = |place: &usize| {
            self.leaves_out_document && self.pool[*place].0.columns == document.columns
        };
        let mut places: Vec<usize> = match self.draw {
            ShotDraw::FirstN => (0..self.pool.len()).filter(|place| !same(place)).collect(),
            ShotDraw::Sampled => {
                let drawn = self.count + usize::from(self.leaves_out_document);
                let drawn = self.random.sample(self.pool.len(), drawn);
                drawn.into_iter().filter(|place| !same(place)).collect()
            }
        };
        if places.len() < self.count && self.draw == ShotDraw::Sampled {
            // The pool has the document more than once.
            let others: Vec<usize> = (0..self.pool.len()).filter(|place| !same(place)).collect();
            if others.len() >= self.count {
                let drawn = self.random.sample(others.len(), self.count);
                places = drawn.into_iter().map(|place| others[place]).collect();
            }
        }
        if places.len() < self.count {
            let (count, rows) = (self.count, places.len());
            return Err(format!(
                "without the document itself there are {rows} few-shot examples, and {count} are asked for"
            ));
        }
        places.truncate(self.count);
        Ok(places
            .into_iter()
            .map(|place| &self.pool[place].1)
            .collect())
    }
}

fn no_file(dir: &Path, task: &dyn Task, count: usize) -> BenchmarkError {
    let source = task.source();
    let split = source.shots.as_deref().unwrap_or(&source.split);
    BenchmarkError::NoShots {
        task: task.name().to_owned(),
        count,
        path: documents::shots_path(dir, task),
        hint: documents::hint(&source, split),
    }
}
