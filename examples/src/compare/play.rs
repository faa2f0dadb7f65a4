//! The loop of `inpo run` on a game of one-token responses.

use std::collections::HashMap;
use std::error::Error;

use inpo_core::game::{PreferenceGame, Strategy};
use inpo_core::policy::{Policy, Sequence};
use inpo_core::train::config::Algorithm;
use inpo_core::train::phases::{Phase, PolicyId, Sampler, phases};
use inpo_core::train::{Objective, Order, TrainPair, optimise};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use super::judge::{Judge, Row, draw_rows, exact_rows};
use super::settings::{Feedback, Settings};
use crate::proof::{PROMPT, response_logps};

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

/// A policy with its log-prob of every response.
struct Known {
    policy: Policy,
    logps: Vec<f64>,
    strategy: Strategy,
}

impl Known {
    fn new(policy: Policy) -> Result<Self, Box<dyn Error>> {
        let logps = response_logps(&policy)?;
        let strategy = Strategy::from_logits(&logps)?;
        Ok(Self {
            policy,
            logps,
            strategy,
        })
    }
}

/// The policies of a run.
struct Run {
    /// pi_ref, which is pi_1.
    start: Known,
    trained: HashMap<PolicyId, Known>,
}

impl Run {
    fn get(&self, id: PolicyId) -> &Known {
        self.trained.get(&id).unwrap_or(&self.start)
    }

    fn sampler(&self, sampler: Sampler) -> Result<Strategy, Box<dyn Error>> {
        match sampler {
            Sampler::Policy(id) => Ok(self.get(id).strategy.clone()),
            Sampler::Mixture {
                reference,
                previous,
                weight,
            } => {
                let both = self
                    .get(reference)
                    .logps
                    .iter()
                    .zip(&self.get(previous).logps);
                let logits: Vec<f64> = both.map(|(r, p)| weight * r + (1.0 - weight) * p).collect();
                Ok(Strategy::from_logits(&logits)?)
            }
        }
    }

    fn pairs(&self, rows: &[Row], phase: &Phase, objective: &Objective) -> Vec<TrainPair> {
        let response = |y: usize| Sequence::new(&PROMPT, &[y as u32]);
        let logps = |id: PolicyId, row: &Row| {
            let of = &self.get(id).logps;
            [of[row.chosen], of[row.rejected]]
        };
        let pair = |row: &Row| {
            let anchors = objective.anchors().iter();
            let anchors = anchors.map(|anchor| logps(phase.policy(anchor.role), row));
            let (chosen, rejected) = (response(row.chosen), response(row.rejected));
            TrainPair {
                explored: row.explored.map(response),
                scores: row.scores,
                // The trainer divides by the number of rows.
                weight: row.weight * rows.len() as f64,
                reference: logps(phase.reference, row),
                previous: logps(PolicyId::After(phase.iteration - 1), row),
                ..TrainPair::new(chosen, rejected, logps(phase.start, row), anchors.collect())
            }
        };
        rows.iter().map(pair).collect()
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
    let section = settings.section(algorithm);
    let every = settings.ref_update_every(algorithm);
    let mut judge = Judge::new(game, ChaCha8Rng::seed_from_u64(seed));
    let start = Known::new(start.clone())?;
    let mut trace = Trace {
        calls: vec![0],
        strategies: vec![start.strategy.clone()],
        steps: 0,
    };
    let trained = HashMap::new();
    let mut run = Run { start, trained };
    for t in 1..=settings.iterations {
        let objective = section.online(t)?;
        let phases = phases(algorithm, t, every, objective.reference_weight());
        let draws = match phases.iter().all(|phase| phase.shares_pairs) {
            true => 1,
            false => phases.len(),
        };
        let steps = settings.steps;
        let mut shared: Option<Vec<Row>> = None;
        for phase in &phases {
            let rows = match &shared {
                Some(rows) => rows.clone(),
                None => {
                    let sampler = run.sampler(phase.sampler)?;
                    match settings.feedback {
                        Feedback::Exact => exact_rows(game, &sampler, &objective),
                        Feedback::Sampled => {
                            let calls = settings.calls / draws;
                            draw_rows(&mut judge, &sampler, calls, &objective)
                        }
                    }
                }
            };
            let pairs = run.pairs(&rows, phase, &objective);
            let config = settings.train(steps, rows.len());
            if draws == 1 {
                shared = Some(rows);
            }
            let policy = run.get(phase.start).policy.clone();
            let mut ignore = |_| Ok(());
            let trained = optimise(
                policy,
                &pairs,
                &objective,
                &config,
                Order::Given(0),
                &mut ignore,
            )?;
            trace.steps += steps;
            run.trained.insert(phase.result, Known::new(trained)?);
        }
        trace.calls.push(judge.calls());
        let last = &run.get(PolicyId::After(t)).strategy;
        trace.strategies.push(last.clone());
    }
    Ok(trace)
}
