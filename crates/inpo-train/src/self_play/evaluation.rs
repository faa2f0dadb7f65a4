//! The evaluation of a run's policies on held-out prompts.

use inpo_data::ResponseRecord;
use inpo_eval::{Evaluation, bootstrap, cycles, kl_to_reference, lengths, win_rates};
use inpo_policy::GenerationConfig;

use super::{Sampling, SelfPlay};
use crate::error::TrainError;
use crate::metrics::EvalMetrics;
use crate::phases::{PairsFrom, PolicyId};
use crate::session::Session;
use crate::stage::{Place, Stage};
use crate::streams::Stream;

impl SelfPlay<'_> {
    /// `eval.json`: the policy after iteration `t` on the held-out prompts; nothing without any.
    /// Iteration 0 is the reference against itself: win rates are 1/2 by definition, length and cycles are
    /// measured.
    pub(super) fn evaluate_iteration(
        &mut self,
        session: &mut Session<'_>,
        t: usize,
    ) -> Result<Option<Evaluation>, TrainError> {
        session.forget_before(t);
        if self.prompts.held_out.is_empty() {
            return Ok(None);
        }
        let id = match t {
            0 => PolicyId::Reference,
            _ => PolicyId::After(t),
        };
        let records = self.sample_held_out(session, of_iteration(Stage::Evaluate, t), id)?;
        let place = of_iteration(Stage::Eval, t);
        let evaluation = session.document(place, |session| {
            let evaluation = self.measure(session, t, &records)?;
            session.log(place, &EvalMetrics::from(&evaluation))?;
            Ok(evaluation)
        })?;
        session.observer().evaluated(&evaluation);
        self.held_out.truncate(1);
        self.held_out.push(records);
        if t == 0 && self.config.common.reference.is_some() {
            // What iteration 1 is compared with, where the reference is another model.
            let place = of_iteration(Stage::EvaluateStart, 0);
            let start = self.sample_held_out(session, place, PolicyId::After(0))?;
            self.held_out.push(start);
        }
        Ok(Some(evaluation))
    }

    fn sample_held_out(
        &self,
        session: &mut Session<'_>,
        place: Place<'static>,
        id: PolicyId,
    ) -> Result<Vec<ResponseRecord>, TrainError> {
        let generation = GenerationConfig {
            num_generations: self.config.eval.num_generations,
            ..self.config.generation.clone()
        };
        let sampling = Sampling {
            place,
            draws: Stream::HeldOut(place.iteration).key(self.seed()),
            from: PairsFrom::Policy(id),
            prompts: &self.prompts.held_out,
            generation: &generation,
        };
        self.sample(session, &sampling)
    }

    fn measure(
        &self,
        session: &Session<'_>,
        t: usize,
        records: &[ResponseRecord],
    ) -> Result<Evaluation, TrainError> {
        let eval = &self.config.eval;
        let interval = |rates: &[f64]| bootstrap(rates, eval.confidence, self.seed());
        let half = interval(&vec![0.5; records.len()]);
        // The reference and the previous policy; one of them where the two are the same.
        let opponents = if t == 0 {
            &[]
        } else {
            self.held_out.as_slice()
        };
        let mut rates = Vec::with_capacity(opponents.len());
        for opponent in opponents {
            rates.push(interval(&win_rates(&self.oracle, records, opponent)?));
        }
        let kl_ref = if t == 0 {
            0.0
        } else {
            let reference = session.policies().reference().get()?;
            kl_to_reference(&reference, records, eval.kl_samples)?
        };
        let (mean_length, clipped_ratio) = lengths(records);
        Ok(Evaluation {
            iteration: t,
            prompts: records.len(),
            samples: eval.num_generations,
            win_rate_vs_ref: rates.first().copied().unwrap_or(half),
            win_rate_vs_prev: rates.last().copied().unwrap_or(half),
            kl_ref,
            mean_length,
            clipped_ratio,
            cycles: cycles(&self.oracle, records)?,
        })
    }
}

/// A stage of iteration `t` itself.
fn of_iteration(stage: Stage, t: usize) -> Place<'static> {
    Place {
        stage,
        iteration: t,
        folder: None,
    }
}
