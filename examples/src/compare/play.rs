//! The loop of `inpo run` on a game of one-token responses.

use std::error::Error;

use inpo_core::data::PairRecord;
use inpo_core::eval::Evaluation;
use inpo_core::game::{Counted, MatrixOracle, PreferenceGame, Strategy};
use inpo_core::policy::{BehaviourPolicy, Policy};
use inpo_core::train::phases::{Phase, PolicyId, Round};
use inpo_core::train::{
    Algorithm, Objective, Observer, Order, PairSource, PhasePairs, Session, StepMetrics,
    TrainError, run_from,
};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use super::judge::{Row, draw_rows, exact_rows};
use super::settings::{Feedback, Settings};
use crate::proof::{PROMPT, as_strategy, response_logps};

/// What a run went through, the start first.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Oracle calls paid before each iterate.
    pub calls: Vec<usize>,
    /// pi_1, pi_2, ..
    pub strategies: Vec<Strategy>,
    /// Optimiser steps in all.
    pub steps: usize,
}

/// Pairs of a game: compared by its oracle, or all of them with their exact weights.
struct GamePairs<'g, G> {
    game: &'g G,
    oracle: Counted<MatrixOracle<&'g G>>,
    rng: ChaCha8Rng,
    settings: &'g Settings,
    algorithm: Algorithm,
    /// The pairs of the last phase that had its own.
    records: Vec<PairRecord>,
    trace: Trace,
}

impl<G: PreferenceGame> GamePairs<'_, G> {
    fn rows(
        &mut self,
        sampler: &Strategy,
        t: usize,
        objective: &Objective,
    ) -> Result<Vec<Row>, TrainError> {
        if self.settings.feedback == Feedback::Exact {
            return Ok(exact_rows(self.game, sampler, objective));
        }
        // EGPO's two phases have pairs of their own and share the calls.
        let phases = self.algorithm.phases(&Round::new(t));
        let calls = self.settings.calls / phases.iter().filter(|phase| phase.samples()).count();
        Ok(draw_rows(
            &self.oracle,
            &mut self.rng,
            sampler,
            calls,
            objective,
        )?)
    }
}

impl<G: PreferenceGame> PairSource for GamePairs<'_, G> {
    fn digest(&self) -> String {
        format!("{:?}", self.settings)
    }

    fn pairs(
        &mut self,
        session: &mut Session<'_>,
        phase: &Phase,
        objective: &Objective,
    ) -> Result<PhasePairs, TrainError> {
        if phase.samples() {
            let sampler = strategy(&session.behaviour(phase.pairs_from)?)?;
            let rows = self.rows(&sampler, phase.iteration, objective)?;
            self.records = rows.iter().map(|row| record(row, rows.len())).collect();
        }
        Ok(PhasePairs::new(self.records.clone(), Order::Given(0)))
    }

    fn evaluate(
        &mut self,
        session: &mut Session<'_>,
        t: usize,
    ) -> Result<Option<Evaluation>, TrainError> {
        let policy = session.policy(PolicyId::After(t))?;
        self.trace
            .strategies
            .push(as_strategy(&policy).map_err(failed)?);
        self.trace.calls.push(self.oracle.comparisons() as usize);
        Ok(None)
    }
}

/// The distribution of the responses, which one token makes: a mixture token by token is one of responses.
fn strategy(policy: &BehaviourPolicy) -> Result<Strategy, TrainError> {
    let logps = |policy: &Policy| response_logps(policy).map_err(failed);
    let logits = match policy {
        BehaviourPolicy::Single(policy) => logps(policy)?,
        BehaviourPolicy::Mixture(of) => {
            let both = logps(&of.reference)?.into_iter().zip(logps(&of.policy)?);
            both.map(|(r, p)| of.weight * r + (1.0 - of.weight) * p)
                .collect()
        }
    };
    Strategy::from_logits(&logits).map_err(|error| failed(error.into()))
}

fn failed(error: Box<dyn Error>) -> TrainError {
    TrainError::Source(error.to_string().into())
}

/// A row as the loop reads it; it divides weights by the number of rows.
fn record(row: &Row, rows: usize) -> PairRecord {
    let response = |y: usize| vec![y as u32];
    PairRecord {
        prompt_id: 0,
        prompt_token_ids: PROMPT.to_vec(),
        chosen: row.chosen.to_string(),
        chosen_token_ids: response(row.chosen),
        rejected: row.rejected.to_string(),
        rejected_token_ids: response(row.rejected),
        probability: 1.0,
        score_chosen: Some(row.scores[0]),
        score_rejected: Some(row.scores[1]),
        explored_token_ids: row.explored.map(response),
        weight: row.weight * rows as f64,
    }
}

/// Counts optimiser steps.
struct Steps(usize);

impl Observer for Steps {
    fn step(&mut self, _: usize, _: &StepMetrics) {
        self.0 += 1;
    }
}

/// Plays `settings.iterations` iterations of `algorithm` from `start`, which is the reference too.
///
/// Every iteration costs `settings.calls` comparisons: two phases with pairs of their own (EGPO) halve them,
/// two that share pairs (ONPO) do not. Every phase takes `settings.steps` optimiser steps.
///
/// # Errors
///
/// Settings out of their range, those of the trainer, log-probs that are no strategy.
pub fn play<G: PreferenceGame>(
    game: &G,
    start: &Policy,
    algorithm: Algorithm,
    settings: &Settings,
    seed: u64,
) -> Result<Trace, Box<dyn Error>> {
    settings.check()?;
    let directory = tempfile::tempdir()?;
    let config = settings.run(algorithm, directory.path(), game.num_actions());
    let mut source = GamePairs {
        game,
        oracle: Counted::new(MatrixOracle::new(game)),
        rng: ChaCha8Rng::seed_from_u64(seed),
        settings,
        algorithm,
        records: Vec::new(),
        trace: Trace {
            calls: Vec::new(),
            strategies: Vec::new(),
            steps: 0,
        },
    };
    let mut steps = Steps(0);
    run_from(&config, start.clone(), &mut source, false, &mut steps)?;
    let Steps(steps) = steps;
    Ok(Trace {
        steps,
        ..source.trace
    })
}
