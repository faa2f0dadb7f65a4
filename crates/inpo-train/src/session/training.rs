//! The optimisation of a phase: resumed at its last checkpoint, watched, saved.

use inpo_data::sha256;
use serde_json::{Map, Value};

use super::Session;
use crate::batches::Order;
use crate::divergence::Divergence;
use crate::error::TrainError;
use crate::metrics::StepMetrics;
use crate::objective::Objective;
use crate::observer::Observer;
use crate::optim::Optimiser;
use crate::optimise::{OPTIMISER, Resumed, Snapshot, Training};
use crate::pair::{TrainPair, digest};
use crate::phases::Phase;
use crate::run_dir::{Checkpoints, Progress, RunDir};
use crate::stage::{Place, Stage};
use crate::work::Peak;

impl Session<'_> {
    /// `policy/`: what the phase makes of its pairs.
    pub(crate) fn optimise(
        &mut self,
        phase: &Phase,
        objective: &Objective,
        pairs: &[TrainPair],
        order: Order,
    ) -> Result<(), TrainError> {
        let config = &self.config.train;
        let steps = config.steps(pairs.len());
        if self.dir.has(phase.result) {
            // Something before it was damaged, and came out as it was.
            self.steps += steps;
            return Ok(());
        }
        let place = phase.place(Stage::Train);
        self.before(place)?;
        let start = self.policies.digest(phase.start, &self.dir)?;
        let training = sha256(format!("{start} {} {order:?}", digest(pairs)).as_bytes());
        let checkpoints = self.dir.checkpoints(place, training, config);
        let (checkpoint, notes) = checkpoints.latest()?;
        notes.iter().for_each(|note| self.observer.note(note));
        let policy = match &checkpoint {
            Some(checkpoint) => self.policies.resumed(&checkpoint.path)?,
            None => self.policies.trainable(phase.start, &self.dir)?,
        };
        let peak = match self.peak {
            Some(peak) => peak,
            None => {
                let peak = Peak::of(&policy);
                self.observer.peak(&peak);
                *self.peak.insert(peak)
            }
        };
        if let Some(sentence) = config.warmup_warning(steps) {
            self.observer.warning(&sentence);
        }
        self.observer
            .stage(place.iteration, place.stage.title(), steps);
        let mut watch = Watch {
            place,
            before: self.steps,
            peak,
            logging_steps: config.logging_steps,
            base_model: &self.config.policy.model,
            divergence: Divergence::new(config),
            rows: Vec::new(),
            checkpoints,
            dir: &mut self.dir,
            observer: &mut *self.observer,
        };
        let mut resumed = None;
        if let Some(checkpoint) = checkpoint {
            let optimiser = Optimiser::load(config, &checkpoint.path.join(OPTIMISER))?;
            let Progress {
                step,
                num_tokens,
                divergence,
            } = checkpoint.progress;
            watch.observer.resumed(place.iteration, [step, steps]);
            watch.divergence = divergence;
            for row in checkpoint.rows {
                watch.log(row)?;
            }
            resumed = Some(Resumed {
                step,
                num_tokens,
                optimiser,
            });
        }
        let training = Training {
            pairs,
            objective,
            config,
            order,
            resumed,
        };
        let policy = training.run(policy, &mut |metrics, snapshot| {
            watch.step(metrics, snapshot)
        })?;
        let checkpoints = watch.checkpoints;
        let base = &self.config.policy.model;
        self.dir
            .save(phase.result, |path| Ok(policy.save(base, path)?))?;
        checkpoints.finish()?;
        self.tell();
        self.policies.put(phase.result, policy);
        self.steps += steps;
        self.finish()
    }
}

/// Who sees each step of an optimisation: logs it, shows it, keeps checkpoints.
struct Watch<'w, 'c> {
    place: Place<'w>,
    /// Steps of the phases before.
    before: usize,
    peak: Peak,
    logging_steps: usize,
    base_model: &'w str,
    divergence: Divergence,
    /// What was logged.
    rows: Vec<Value>,
    checkpoints: Checkpoints<'c>,
    dir: &'w mut RunDir,
    observer: &'w mut dyn Observer,
}

impl Watch<'_, '_> {
    fn log(&mut self, row: Map<String, Value>) -> Result<(), TrainError> {
        self.dir.log(self.place, &row)?;
        self.rows.push(row.into());
        Ok(())
    }

    fn step(&mut self, metrics: StepMetrics, snapshot: &Snapshot<'_>) -> Result<(), TrainError> {
        let iteration = self.place.iteration;
        self.observer.step(iteration, &metrics);
        let (step, steps) = (metrics.progress.step, metrics.progress.steps);
        if metrics.is_logged(self.logging_steps) {
            let mut row = metrics.row(Some(&self.peak));
            row.insert("global_step".into(), (self.before + step).into());
            self.log(row)?;
        }
        let (loss, grad_norm) = (metrics.batch.loss, metrics.progress.grad_norm);
        let sentences = self.divergence.look([step, steps], loss, grad_norm)?;
        sentences
            .iter()
            .for_each(|sentence| self.observer.warning(sentence));
        let interrupted = self.observer.is_interrupted() && step < steps;
        if interrupted || self.checkpoints.keeps(step) {
            let progress = Progress {
                step,
                num_tokens: snapshot.num_tokens,
                divergence: self.divergence.clone(),
            };
            let base = self.base_model;
            self.checkpoints
                .save(&progress, &self.rows, |dir| snapshot.write(base, dir))?;
        }
        if interrupted {
            let at = format!("step {step} of {steps} of iteration {iteration}");
            return Err(TrainError::Interrupted { at });
        }
        Ok(())
    }
}
