//! Responses of a policy to prompts: sampled round by round, each kept as it comes.

use inpo_data::{Completion, Prompt, PromptInput, ResponseRecord};
use inpo_policy::sample::DrawKey;
use inpo_policy::{GenerationConfig, PolicyError, Sampler, SamplingCost};
use serde::{Deserialize, Serialize};

use super::SelfPlay;
use super::check::check_responses;
use crate::error::TrainError;
use crate::metrics::GenerateMetrics;
use crate::phases::PairsFrom;
use crate::prompts::RunPrompt;
use crate::run_dir::PartialStage;
use crate::session::Session;
use crate::stage::Place;

/// One sampling: for which stage, from whom, on what, how.
pub(super) struct Sampling<'s> {
    pub(super) place: Place<'s>,
    pub(super) draws: DrawKey,
    pub(super) from: PairsFrom,
    pub(super) prompts: &'s [RunPrompt],
    pub(super) generation: &'s GenerationConfig,
}

/// What is kept of a sampling that is not complete: prompts that were sampled together.
#[derive(Serialize, Deserialize)]
struct Part {
    /// The prompt's place, and its row.
    rows: Vec<(usize, ResponseRecord)>,
    cost: Option<SamplingCost>,
}

/// A sampling under way.
struct Progress {
    rows: Vec<Option<ResponseRecord>>,
    cost: Option<SamplingCost>,
    kept: PartialStage,
}

impl Progress {
    fn missing(&self) -> Vec<usize> {
        let places = 0..self.rows.len();
        places.filter(|&place| self.rows[place].is_none()).collect()
    }

    fn take(&mut self, part: Part) {
        if let Some(cost) = part.cost {
            *self.cost.get_or_insert_default() += cost;
        }
        for (place, row) in part.rows {
            if let Some(slot) = self.rows.get_mut(place) {
                *slot = Some(row);
            }
        }
    }

    fn keep(&mut self, part: Part) -> Result<(), TrainError> {
        self.kept.append(&part)?;
        self.take(part);
        Ok(())
    }
}

impl SelfPlay<'_> {
    /// The rows of a sampling. What an earlier process had of them is kept.
    pub(super) fn sample(
        &self,
        session: &mut Session<'_>,
        of: &Sampling<'_>,
    ) -> Result<Vec<ResponseRecord>, TrainError> {
        let count = of.generation.num_generations;
        let check = |rows: &[ResponseRecord]| check_responses(of.prompts, count, rows);
        session.stage(of.place, check, |session| {
            let digest = session.behaviour_digest(of.from)?;
            let policy = session.behaviour(of.from)?;
            let (kept, parts) = session.dir().partial(of.place, &digest)?;
            let mut progress = Progress {
                rows: vec![None; of.prompts.len()],
                cost: None,
                kept,
            };
            parts.into_iter().for_each(|part| progress.take(part));
            let (total, missing) = (of.prompts.len(), progress.missing().len());
            let observer = session.observer();
            observer.stage(of.place.iteration, of.place.stage.title(), total * count);
            if missing < total {
                let done = (total - missing) * count;
                observer.resumed(of.place.iteration, [done, total * count]);
            }
            let sampler = self.engine.sampler(policy)?;
            match sampler.round(of.generation) {
                Some(round) => self.rounds(session, of, &*sampler, round, &mut progress)?,
                None => self.each(session, of, &*sampler, &mut progress)?,
            }
            if let Some(cost) = &progress.cost {
                session.log(of.place, &GenerateMetrics::from(cost))?;
            }
            let rows = progress.rows.into_iter();
            Ok(rows.map(|row| row.expect("none is missing")).collect())
        })
    }

    /// Samples prompts in rounds of `round`, those that belong together again together.
    fn rounds(
        &self,
        session: &mut Session<'_>,
        of: &Sampling<'_>,
        sampler: &dyn Sampler,
        round: usize,
        progress: &mut Progress,
    ) -> Result<(), TrainError> {
        for first in (0..of.prompts.len()).step_by(round) {
            let places: Vec<usize> = (first..of.prompts.len().min(first + round)).collect();
            if places.iter().all(|&place| progress.rows[place].is_some()) {
                continue;
            }
            session.stop_if_asked(|| left_at(of, progress))?;
            let prompts = prompts(of, &places);
            let observer = session.observer();
            let mut advance = |done| observer.advance(done);
            let samples = sampler.sample(&prompts, of.generation, of.draws, &mut advance)?;
            let answers = places.into_iter().zip(samples.completions);
            let rows = answers.map(|(place, completions)| {
                let row = self.record(of, sampler, place, completions)?;
                Ok::<_, TrainError>((place, row))
            });
            let part = Part {
                rows: rows.collect::<Result<_, _>>()?,
                cost: samples.cost,
            };
            progress.keep(part)?;
        }
        Ok(())
    }

    /// Samples the prompts that have no row, each for itself.
    fn each(
        &self,
        session: &mut Session<'_>,
        of: &Sampling<'_>,
        sampler: &dyn Sampler,
        progress: &mut Progress,
    ) -> Result<(), TrainError> {
        let places = progress.missing();
        let prompts = prompts(of, &places);
        let observer = std::cell::RefCell::new(session.observer());
        let mut advance = |done| observer.borrow_mut().advance(done);
        let mut failed = None;
        let mut each = |at: usize, answers: Result<inpo_policy::Answers, PolicyError>| {
            let completions = answers?.completions;
            let kept = self
                .record(of, sampler, places[at], completions)
                .and_then(|row| {
                    let rows = vec![(places[at], row)];
                    progress.keep(Part { rows, cost: None })?;
                    if observer.borrow_mut().is_interrupted() && !progress.missing().is_empty() {
                        let at = left_at(of, progress);
                        return Err(TrainError::Interrupted { at });
                    }
                    Ok(())
                });
            kept.map_err(|error| {
                failed = Some(error);
                PolicyError::BrokenOff
            })
        };
        let cost = sampler.sample_each(&prompts, of.generation, of.draws, &mut advance, &mut each);
        match (failed, cost) {
            (Some(error), _) => Err(error),
            (None, cost) => {
                if let Some(cost) = cost? {
                    *progress.cost.get_or_insert_default() += cost;
                }
                Ok(())
            }
        }
    }

    /// A prompt with its samples.
    fn record(
        &self,
        of: &Sampling<'_>,
        sampler: &dyn Sampler,
        place: usize,
        completions: Vec<Completion>,
    ) -> Result<ResponseRecord, TrainError> {
        let lacks = |what| TrainError::Sampler {
            sampler: sampler.name(),
            what,
        };
        let prompt = &of.prompts[place];
        let mut metadata = prompt.prompt.metadata.clone();
        metadata.retain(|name, _| !ResponseRecord::COLUMNS.contains(&name.as_str()));
        let mut record = ResponseRecord {
            prompt_id: prompt.prompt.number,
            iteration: of.place.iteration as u64,
            seed: self.seed(),
            prompt: Some(PromptInput::clone(&prompt.input)),
            prompt_token_ids: prompt.ids().to_vec(),
            responses: Vec::new(),
            response_token_ids: Vec::new(),
            finish_reason: Vec::new(),
            sampling_logps: Vec::new(),
            metadata,
        };
        for completion in completions {
            let ids = completion.token_ids.ok_or_else(|| lacks("token ids"))?;
            let logps = completion.token_logps.ok_or_else(|| lacks("log-probs"))?;
            record.responses.push(completion.text);
            record.response_token_ids.push(ids);
            record.finish_reason.push(completion.finish_reason);
            record.sampling_logps.push(logps.iter().sum());
        }
        Ok(record)
    }
}

/// The prompts at `places`.
fn prompts(of: &Sampling<'_>, places: &[usize]) -> Vec<Prompt> {
    let prompt = |&place: &usize| of.prompts[place].prompt.clone();
    places.iter().map(prompt).collect()
}

/// How far a sampling is.
fn left_at(of: &Sampling<'_>, progress: &Progress) -> String {
    let total = of.prompts.len();
    let (stage, t) = (of.place.stage.title(), of.place.iteration);
    let done = total - progress.missing().len();
    format!("{done} of {total} prompts of {stage} of iteration {t}")
}
