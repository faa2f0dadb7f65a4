//! The stages of an iteration: each computes one file of the run directory, or reads it when it is there.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use inpo_oracle::preference_matrix;
use inpo_policy::{GenerationConfig, PromptTask};
use serde_json::{Value, json};

use crate::anchors::{AnchorKey, Anchors, Scorers, Source, sources};
use crate::config::RunConfig;
use crate::error::TrainError;
use crate::evaluate::{Evaluation, bootstrap, cycles, kl_to_reference, lengths, win_rates};
use crate::files::{read_jsonl, write_json};
use crate::judge::{Oracle, messages, responses};
use crate::metrics::{StepMetrics, eval_metrics, judge_metrics, with_phase};
use crate::objective::Objective;
use crate::observer::Observer;
use crate::optimise::{Order, optimise};
use crate::phases::{Phase, PolicyId, Sampler};
use crate::policies::Policies;
use crate::prompts::{Prompt, Prompts};
use crate::records::{PairRecord, PreferenceRecord, ResponseRecord};
use crate::run_dir::RunDir;
use crate::select::SelectionCounts;
use crate::step::TrainPair;
use crate::work::Peak;

/// What all stages share.
pub(crate) struct Stages<'a> {
    config: &'a RunConfig,
    policies: Policies,
    oracle: &'a Oracle,
    dir: &'a RunDir,
    prompts: &'a Prompts,
    observer: &'a mut dyn Observer,
    /// Held-out responses of the reference and of the previous policy.
    held_out: Vec<Vec<ResponseRecord>>,
    /// Optimiser steps of the phases that are finished.
    steps: usize,
    /// The device's speed, from the first optimisation on.
    peak: Option<Peak>,
}

/// One sampling: whom, on what, how, and for which file.
struct Sampling<'s> {
    iteration: usize,
    /// The stage's name in the metrics.
    name: &'static str,
    /// The phase's folder in the metrics.
    phase: Option<&'static str>,
    /// Keys the draws, beside the seed.
    key: u64,
    path: &'s Path,
    sampler: Sampler,
    prompts: &'s [Prompt],
    generation: &'s GenerationConfig,
}

impl<'a> Stages<'a> {
    pub(crate) fn new(
        config: &'a RunConfig,
        policies: Policies,
        oracle: &'a Oracle,
        dir: &'a RunDir,
        prompts: &'a Prompts,
        observer: &'a mut dyn Observer,
    ) -> Self {
        Self {
            config,
            policies,
            oracle,
            dir,
            prompts,
            observer,
            held_out: Vec::new(),
            steps: 0,
            peak: None,
        }
    }

    /// Passes over a phase that is finished.
    pub(crate) fn skip(&mut self, phase: &Phase) -> Result<(), TrainError> {
        let path = self.dir.data(phase).join("pairs.jsonl");
        let pairs: Vec<PairRecord> = read_jsonl(&path)?;
        self.steps += self.config.train.steps(pairs.len());
        Ok(())
    }

    /// `responses.jsonl`: K responses of the phase's sampler to each prompt of its round.
    pub(crate) fn generate(&mut self, phase: &Phase) -> Result<Vec<ResponseRecord>, TrainError> {
        let t = phase.iteration;
        let (config, prompts) = (self.config, self.prompts);
        // EGPO's half step: the draws of its two phases must not be the same.
        let own_draws = !phase.shares_pairs && phase.name.is_some();
        self.sample(&Sampling {
            iteration: t,
            name: "generate",
            phase: data_folder(phase),
            key: t as u64 | u64::from(own_draws) << 32,
            path: &self.dir.data(phase).join("responses.jsonl"),
            sampler: phase.sampler,
            prompts: &prompts.slices[t - 1],
            generation: &config.generation,
        })
    }

    fn sample(&mut self, of: &Sampling<'_>) -> Result<Vec<ResponseRecord>, TrainError> {
        let (dir, seed) = (self.dir, self.config.seed);
        let (t, prompts, generation) = (of.iteration, of.prompts, of.generation);
        dir.stage(of.path, || {
            self.observer
                .stage(t, of.name, prompts.len() * generation.num_generations);
            let tasks: Vec<PromptTask> = prompts
                .iter()
                .map(|p| PromptTask {
                    ids: p.ids.clone(),
                    number: p.number,
                })
                .collect();
            let key = (seed, of.key);
            let observer = &mut *self.observer;
            let mut progress = |done| observer.advance(done);
            let (policy, result) = match of.sampler {
                Sampler::Policy(id) => {
                    let policy = self.policies.get(id, dir)?;
                    let result = policy.generate(&tasks, generation, key, &mut progress)?;
                    (policy, result)
                }
                Sampler::Mixture {
                    reference,
                    previous,
                    weight,
                } => {
                    let reference = self.policies.get(reference, dir)?;
                    let policy = self.policies.get(previous, dir)?;
                    let mixed = policy.generate_mixture(
                        &reference,
                        weight,
                        &tasks,
                        generation,
                        key,
                        &mut progress,
                    )?;
                    (policy, mixed)
                }
            };
            let seconds = result.decode_time.as_secs_f64();
            dir.log(&with_phase(
                json!({
                    "stage": of.name,
                    "iteration": t,
                    "timing_s/gen": seconds + result.prefill_time.as_secs_f64(),
                    "perf/decode_tokens_per_second": result.decode_tokens as f64 / seconds,
                }),
                of.phase,
            ))?;
            let codec = policy.codec()?;
            prompts
                .iter()
                .zip(result.samples)
                .map(|(prompt, samples)| {
                    let texts = samples.iter().map(|s| codec.decode(&s.ids));
                    Ok(ResponseRecord {
                        prompt_id: prompt.number,
                        iteration: t as u64,
                        seed,
                        prompt: prompt.input.clone(),
                        prompt_token_ids: prompt.ids.clone(),
                        responses: texts.collect::<Result<_, _>>()?,
                        finish_reason: samples.iter().map(|s| s.finish_reason).collect(),
                        sampling_logps: samples.iter().map(|s| s.logps.iter().sum()).collect(),
                        response_token_ids: samples.into_iter().map(|s| s.ids).collect(),
                    })
                })
                .collect()
        })
    }

    /// `preferences.jsonl`: the oracle's whole matrix over each prompt's responses, and how cyclic it
    /// is. For the report, and for the scores of methods that regress on win rates; selection asks for its
    /// own matches.
    pub(crate) fn preferences(
        &mut self,
        phase: &Phase,
        records: &[ResponseRecord],
    ) -> Result<Vec<PreferenceRecord>, TrainError> {
        let path = self.dir.data(phase).join("preferences.jsonl");
        let before = self.oracle.calls();
        self.dir.stage(&path, || {
            let judge = inpo_game::PreferenceOracle::name(self.oracle);
            let rows = records.iter().map(|record| {
                let prompt = messages(record);
                let matrix = preference_matrix(self.oracle, prompt.as_slice(), &responses(record))?;
                Ok(PreferenceRecord {
                    prompt_id: record.prompt_id,
                    preference: matrix,
                    judge: judge.clone(),
                })
            });
            let rows: Vec<PreferenceRecord> = rows.collect::<Result<_, TrainError>>()?;
            let calls = self.oracle.calls() - before;
            let metrics = judge_metrics(phase.iteration, &rows, calls);
            self.dir.log(&with_phase(metrics, data_folder(phase)))?;
            Ok(rows)
        })
    }

    /// `pairs.jsonl`: what `select` keeps.
    pub(crate) fn pairs(
        &mut self,
        phase: &Phase,
        select: impl FnOnce() -> Result<(Vec<PairRecord>, SelectionCounts), TrainError>,
    ) -> Result<Vec<PairRecord>, TrainError> {
        let t = phase.iteration;
        let path = self.dir.data(phase).join("pairs.jsonl");
        let before = self.oracle.calls();
        let pairs = self.dir.stage(&path, || {
            let (pairs, counts) = select()?;
            let length = |ids: &[u32]| ids.len() as f64;
            let gap: f64 = pairs
                .iter()
                .map(|p| length(&p.chosen_token_ids) - length(&p.rejected_token_ids))
                .sum();
            let metrics = json!({
                "stage": "select",
                "iteration": t,
                "judge/calls": self.oracle.calls() - before,
                "select/pairs": counts.pairs,
                "select/dropped_tie": counts.dropped_tie,
                "select/dropped_final": counts.dropped_final,
                "select/dropped_dup": counts.dropped_dup,
                "select/dropped_empty": counts.dropped_empty,
                "select/len_chosen_minus_rejected": gap / pairs.len().max(1) as f64,
            });
            self.dir.log(&with_phase(metrics, data_folder(phase)))?;
            Ok(pairs)
        })?;
        if pairs.is_empty() {
            return Err(TrainError::NoPairs {
                iteration: t,
                prompts: self.prompts.slices[t - 1].len(),
            });
        }
        Ok(pairs)
    }

    /// `anchors.safetensors`: the log-probs of every pair under each policy that the objective reads,
    /// verified when read again.
    pub(crate) fn anchors(
        &mut self,
        phase: &Phase,
        objective: &Objective,
        pairs: &[PairRecord],
    ) -> Result<Anchors, TrainError> {
        let (dir, policies) = (self.dir, &mut self.policies);
        let id = |source| match source {
            Source::Role(role) => phase.policy(role),
            Source::Start => phase.start,
        };
        let mut digests = BTreeMap::new();
        for source in sources(objective) {
            policies.release();
            digests.insert(source, policies.digest(id(source), dir)?);
        }
        let key = AnchorKey::new(&digests, pairs, policies.dtype());
        let mut scorers = Scorers::new(digests, |source| {
            policies.release();
            policies.get(id(source), dir)
        });
        let path = dir.phase(phase).join("anchors.safetensors");
        if path.exists() {
            return Anchors::load(&path, &key, &mut scorers, pairs);
        }
        let t = phase.iteration;
        self.observer.stage(t, "anchors", pairs.len());
        let started = Instant::now();
        let anchors = Anchors::compute(&mut scorers, pairs)?;
        let metrics = json!({
            "stage": "anchors",
            "iteration": t,
            "timing_s/logp": started.elapsed().as_secs_f64(),
        });
        self.dir.log(&with_phase(metrics, phase.name))?;
        anchors.save(&path, &key)?;
        self.observer.advance(pairs.len());
        Ok(anchors)
    }

    /// `policy/`: what the phase makes.
    pub(crate) fn optimise(
        &mut self,
        phase: &Phase,
        objective: &Objective,
        pairs: &[TrainPair],
    ) -> Result<(), TrainError> {
        let config = &self.config.train;
        let t = phase.iteration;
        let salt = (t as u64) << 32 | u64::from(phase.name.is_some());
        let order = Order::Shuffled(self.config.seed ^ salt);
        let before = self.steps;
        let start = self.policies.trainable(phase.start, self.dir)?;
        let peak = match self.peak {
            Some(peak) => peak,
            None => {
                let peak = Peak::of(&start);
                self.observer.peak(&peak);
                *self.peak.insert(peak)
            }
        };
        self.observer
            .stage(t, "optimise", config.steps(pairs.len()));
        let (dir, observer) = (self.dir, &mut *self.observer);
        let mut log = |metrics: StepMetrics| {
            observer.step(t, &metrics);
            let step = metrics.timing.step;
            if metrics.is_logged(config.logging_steps) {
                let mut row = metrics.row(Some(&peak));
                row.insert("stage".into(), "train".into());
                row.insert("iteration".into(), t.into());
                row.insert("global_step".into(), (before + step).into());
                dir.log(&with_phase(Value::Object(row), phase.name))?;
            }
            Ok(())
        };
        let policy = optimise(start, pairs, objective, config, order, &mut log)?;
        dir.save(phase.result, &policy, &self.config.policy.model)?;
        self.policies.put(phase.result, policy);
        self.steps += config.steps(pairs.len());
        self.dir.save_state(config, self.steps)
    }

    /// The state of the whole run, evaluations included.
    pub(crate) fn finish(&self) -> Result<(), TrainError> {
        self.dir.save_state(&self.config.train, self.steps)
    }

    /// `eval.json`: the policy after iteration `t` on the held-out prompts; nothing without any.
    /// Iteration 0 is the reference against itself: win rates are 1/2 by definition, length and cycles are
    /// measured.
    pub(crate) fn evaluate(&mut self, t: usize) -> Result<Vec<Evaluation>, TrainError> {
        self.policies.forget_before(t);
        if self.prompts.held_out.is_empty() {
            return Ok(Vec::new());
        }
        let id = match t {
            0 => PolicyId::Reference,
            _ => PolicyId::After(t),
        };
        let records = self.sample_held_out(t, id, "evaluate", "eval_responses.jsonl")?;
        let file = self.dir.iteration(t).join("eval.json");
        let evaluation = match self.dir.read_if_there(&file)? {
            Some(evaluation) => evaluation,
            None => {
                let evaluation = self.measure(t, &records)?;
                self.dir.log(&eval_metrics(&evaluation))?;
                write_json(&file, &evaluation)?;
                evaluation
            }
        };
        self.observer.evaluated(&evaluation);
        self.held_out.truncate(1);
        self.held_out.push(records);
        if t == 0 && self.config.reference.is_some() {
            // What iteration 1 is compared with, where the reference is another model.
            let start = self.sample_held_out(
                0,
                PolicyId::After(0),
                "evaluate_start",
                "start_responses.jsonl",
            )?;
            self.held_out.push(start);
        }
        Ok(vec![evaluation])
    }

    fn sample_held_out(
        &mut self,
        t: usize,
        id: PolicyId,
        name: &'static str,
        file: &str,
    ) -> Result<Vec<ResponseRecord>, TrainError> {
        let generation = GenerationConfig {
            num_generations: self.config.eval.num_generations,
            ..self.config.generation.clone()
        };
        let prompts = self.prompts;
        self.sample(&Sampling {
            iteration: t,
            name,
            phase: None,
            key: t as u64,
            path: &self.dir.iteration(t).join(file),
            sampler: Sampler::Policy(id),
            prompts: &prompts.held_out,
            generation: &generation,
        })
    }

    fn measure(&self, t: usize, records: &[ResponseRecord]) -> Result<Evaluation, TrainError> {
        let eval = &self.config.eval;
        let against = |opponent: Option<&Vec<ResponseRecord>>| {
            let opponent = opponent.map_or(records, Vec::as_slice);
            let rates = if t == 0 {
                vec![0.5; records.len()]
            } else {
                win_rates(self.oracle, records, opponent)?
            };
            Ok::<_, TrainError>(bootstrap(&rates, eval.confidence, self.config.seed))
        };
        let kl_ref = if t == 0 {
            0.0
        } else {
            kl_to_reference(&self.policies.reference().get()?, records, eval.kl_samples)?
        };
        let (mean_length, clipped_ratio) = lengths(records);
        Ok(Evaluation {
            iteration: t,
            prompts: records.len(),
            samples: eval.num_generations,
            win_rate_vs_ref: against(self.held_out.first())?,
            win_rate_vs_prev: against(self.held_out.last())?,
            kl_ref,
            mean_length,
            clipped_ratio,
            cycles: cycles(self.oracle, records)?,
        })
    }
}

/// The folder that a phase's responses, preferences and pairs are in, for the metrics.
fn data_folder(phase: &Phase) -> Option<&'static str> {
    match phase.shares_pairs {
        true => None,
        false => phase.name,
    }
}
