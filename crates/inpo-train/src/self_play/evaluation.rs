//! The evaluation of a run's policies on held-out prompts.

use std::time::Instant;

use inpo_data::ResponseRecord;
use inpo_eval::{
    By, Evaluation, Lineup, MatchRecord, Resamples, evaluate, evaluate_run, iteration_name,
    kl_to_reference,
};
use inpo_policy::GenerationConfig;

use super::{Sampling, SelfPlay};
use crate::error::TrainError;
use crate::evaluate::write_evaluation;
use crate::metrics::{EvalMetrics, TimedEvaluation};
use crate::phases::{PairsFrom, PolicyId};
use crate::session::Session;
use crate::stage::{Place, Stage, opponent_folder};
use crate::streams::Stream;

impl SelfPlay<'_> {
    /// `eval.json`: the policy after iteration `t` on the held-out prompts; nothing without any.
    /// Iteration 0 is the reference against itself: win rates are 1/2 by definition, the rest is measured.
    pub(super) fn evaluate_iteration(
        &mut self,
        session: &mut Session<'_>,
        t: usize,
    ) -> Result<Option<Evaluation>, TrainError> {
        session.forget_before(t);
        if self.prompts.held_out.is_empty() {
            return Ok(None);
        }
        self.admit(session, t)?;
        let started = Instant::now();
        self.ask(session, t)?;
        let place = of_iteration(Stage::Eval, t);
        let evaluation = session.document(place, |session| {
            let kl = self.kl(session, t)?;
            let resamples = self.resamples();
            let evaluation = evaluate(&self.arena, self.lineup(), t, &resamples, kl);
            let timed = TimedEvaluation {
                metrics: EvalMetrics::from(&evaluation),
                seconds: started.elapsed().as_secs_f64(),
            };
            session.log(place, &timed)?;
            Ok(evaluation)
        })?;
        session.observer().evaluated(&evaluation);
        Ok(Some(evaluation))
    }

    /// `evaluation.json` and `empirical_game.json`: the whole run; nothing without held-out prompts.
    pub(super) fn evaluate_run(
        &self,
        session: &mut Session<'_>,
        evaluations: &[Evaluation],
    ) -> Result<(), TrainError> {
        if evaluations.is_empty() {
            return Ok(());
        }
        let kls: Vec<f64> = evaluations.iter().map(|e| e.kl_ref).collect();
        let confidence = self.config.eval.confidence;
        let resamples = self.resamples();
        let run = evaluate_run(&self.arena, self.lineup(), &resamples, confidence, &kls)?;
        for name in write_evaluation(&self.config.common.output_dir, &run)? {
            let note = format!("{name} was not what the run's files give: written again");
            session.observer().note(&note);
        }
        session.observer().concluded(&run);
        Ok(())
    }

    fn lineup(&self) -> Lineup {
        let start = self.config.common.reference.is_some();
        self.config.eval.lineup(start)
    }

    fn resamples(&self) -> Resamples {
        let confidence = self.config.eval.confidence;
        Resamples::new(self.prompts.held_out.len(), confidence, self.seed())
    }

    /// `eval_responses.jsonl`: whoever plays from iteration `t` on answers the held-out prompts. Before the first iteration
    /// these are the reference, the policy that the run starts from where it is another model, and the named opponents.
    fn admit(&mut self, session: &mut Session<'_>, t: usize) -> Result<(), TrainError> {
        let place = of_iteration(Stage::Evaluate, t);
        let id = match t {
            0 => PolicyId::Reference,
            _ => PolicyId::After(t),
        };
        let records = self.sample_held_out(session, place, id)?;
        self.arena.add(iteration_name(t), records);
        if t > 0 {
            return Ok(());
        }
        if self.lineup().start {
            let place = of_iteration(Stage::EvaluateStart, 0);
            let records = self.sample_held_out(session, place, PolicyId::After(0))?;
            self.arena.add("initial", records);
        }
        for (number, name) in self.config.eval.named().enumerate() {
            let folder = opponent_folder(number);
            let place = Place {
                folder: Some(&folder),
                ..place
            };
            let records = self.sample_held_out(session, place, PolicyId::Opponent(number))?;
            self.arena.add(name, records);
        }
        Ok(())
    }

    /// `eval_preferences.jsonl`: what the oracles say of the responses of whoever meets after iteration `t`.
    fn ask(&mut self, session: &mut Session<'_>, t: usize) -> Result<(), TrainError> {
        let lineup = self.lineup();
        let pairs = lineup.matches(t);
        let second = match self.eval_oracle {
            Some(oracle) if t > 0 => Some((oracle, [(lineup.after(t), Lineup::REFERENCE)])),
            _ => None,
        };
        let place = of_iteration(Stage::EvalJudge, t);
        let check = |rows: &[MatchRecord]| {
            self.arena.check(rows, &pairs, By::Training)?;
            match &second {
                Some((_, pairs)) => self.arena.check(rows, pairs, By::HeldOut),
                None => Ok(()),
            }
        };
        let rows = session.stage(place, check, |session| {
            // Comparisons of a prompt's responses: each with each, or, of one player alone, each two.
            let n = self.config.eval.num_generations;
            let second_pairs = second.iter().flat_map(|(_, pairs)| pairs);
            let of_prompt = pairs
                .iter()
                .chain(second_pairs)
                .map(|(a, b)| if a == b { n * (n - 1) / 2 } else { n * n });
            let total = of_prompt.sum::<usize>() * self.prompts.held_out.len();
            let title = place.stage.title();
            session.observer().stage(t, title, total);
            let mut rows = self.arena.ask(&self.oracle, By::Training, &pairs)?;
            if let Some((oracle, pairs)) = &second {
                rows.extend(self.arena.ask(*oracle, By::HeldOut, pairs)?);
            }
            session.observer().advance(total);
            Ok(rows)
        })?;
        let path = session.dir().file(place);
        let taken = self.arena.take(&rows);
        taken.map_err(|reason| TrainError::artefact(&path, reason))
    }

    fn kl(&self, session: &Session<'_>, t: usize) -> Result<f64, TrainError> {
        if t == 0 {
            return Ok(0.0);
        }
        let reference = session.policies().reference().get()?;
        let records = self.arena.records(self.lineup().after(t));
        let samples = self.config.eval.kl_samples;
        Ok(kl_to_reference(&reference, records, samples)?)
    }

    fn sample_held_out(
        &self,
        session: &mut Session<'_>,
        place: Place<'_>,
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
}

/// A stage of iteration `t` itself.
fn of_iteration(stage: Stage, t: usize) -> Place<'static> {
    Place {
        stage,
        iteration: t,
        folder: None,
    }
}
