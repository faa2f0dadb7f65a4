//! Pairs of a policy's own responses: sampled, judged, selected; and its evaluation on held-out prompts.

mod check;
mod sampling;

use inpo_data::{PreferenceRecord, ResponseRecord};
use inpo_eval::{Evaluation, bootstrap, cycles, kl_to_reference, lengths, win_rates};
use inpo_game::{Counted, PreferenceOracle};
use inpo_oracle::{Answers, TextOracle, judge};
use inpo_policy::{Engine, GenerationConfig};

use crate::batches::Order;
use crate::config::RunConfig;
use crate::error::TrainError;
use crate::metrics::{EvalMetrics, JudgeMetrics};
use crate::objective::Objective;
use crate::pair_source::PairSource;
use crate::phases::{PairsFrom, Phase, PolicyId};
use crate::prompts::Prompts;
use crate::selection::Selection;
use crate::session::{PhasePairs, Session};
use crate::stage::{Place, Stage};
use crate::streams::{SelectionDraws, Stream, order_seed};
use check::check_preferences;
use sampling::Sampling;

/// The policy plays against itself: its own responses are judged by an oracle.
pub(crate) struct SelfPlay<'a> {
    config: &'a RunConfig,
    oracle: Counted<&'a TextOracle<'a>>,
    engine: &'a dyn Engine,
    prompts: Prompts,
    /// Held-out responses of the reference and of the previous policy.
    held_out: Vec<Vec<ResponseRecord>>,
}

impl PairSource for SelfPlay<'_> {
    fn digest(&self) -> String {
        self.prompts.digest()
    }

    fn pairs(
        &mut self,
        session: &mut Session<'_>,
        phase: &Phase,
        objective: &Objective,
    ) -> Result<PhasePairs, TrainError> {
        let selection = Selection::new(self.config, objective);
        // K responses of pi_t for each prompt of this round; token ids are kept.
        let responses = self.generate(session, phase)?;
        // What the oracle says of the matches that the selection needs, each asked once.
        let answers = self.judge(session, phase, &selection, &responses)?;
        // At most one pair a prompt stays.
        self.select(session, phase, &selection, &responses, &answers)
    }

    /// `eval.json`: the policy after iteration `t` on the held-out prompts; nothing without any.
    /// Iteration 0 is the reference against itself: win rates are 1/2 by definition, length and cycles are
    /// measured.
    fn evaluate(
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
}

impl<'a> SelfPlay<'a> {
    pub(crate) fn new(
        config: &'a RunConfig,
        oracle: &'a TextOracle<'a>,
        engine: &'a dyn Engine,
        prompts: Prompts,
    ) -> Self {
        Self {
            config,
            oracle: Counted::new(oracle),
            engine,
            prompts,
            held_out: Vec::new(),
        }
    }

    fn seed(&self) -> u64 {
        self.config.common.seed
    }

    /// `responses.jsonl`: K responses of the phase's sampler to each prompt of its round.
    fn generate(
        &self,
        session: &mut Session<'_>,
        phase: &Phase,
    ) -> Result<Vec<ResponseRecord>, TrainError> {
        let sampling = Sampling {
            place: phase.pairs_place(Stage::Generate),
            draws: Stream::Responses(phase).key(self.seed()),
            from: phase.pairs_from,
            prompts: &self.prompts.slices[phase.iteration - 1],
            generation: &self.config.generation,
        };
        self.sample(session, &sampling)
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

    /// `preferences.jsonl`: what the oracle said of the matches that `selection` needs.
    fn judge(
        &self,
        session: &mut Session<'_>,
        phase: &Phase,
        selection: &Selection,
        records: &[ResponseRecord],
    ) -> Result<Vec<Answers>, TrainError> {
        let place = phase.pairs_place(Stage::Judge);
        let check = |rows: &[PreferenceRecord]| check_preferences(records, rows);
        let rows = session.stage(place, check, |session| {
            let before = (self.oracle.comparisons(), self.oracle.counts());
            let most = selection.comparisons(self.config.generation.num_generations);
            let (iteration, title) = (place.iteration, place.stage.title());
            let observer = session.observer();
            observer.stage(iteration, title, records.len() * most);
            let item = |record: &ResponseRecord| (record.to_prompt(), record.completions());
            let items: Vec<_> = records.iter().map(item).collect();
            let draws = SelectionDraws::of_phase(self.seed(), phase);
            let among = records.iter().zip(&items);
            let among = among.map(|(record, (_, all))| selection.among(record, all, draws));
            let candidates: Vec<_> = among.collect();
            let answers = judge(&self.oracle, &items, |item, answers| {
                selection.matches(&candidates[item], answers)
            })?;
            let comparisons = self.oracle.comparisons() - before.0;
            let counts = self.oracle.counts() - before.1;
            let metrics = JudgeMetrics::new(&answers, comparisons, &counts);
            session.log(place, &metrics)?;
            let name = self.oracle.name();
            let row = |(record, answers): (&ResponseRecord, Answers)| PreferenceRecord {
                prompt_id: record.prompt_id,
                preference: answers.matrix().to_vec(),
                judge: name.clone(),
            };
            Ok(records.iter().zip(answers).map(row).collect())
        })?;
        let answers = rows.into_iter().map(|row| row.preference);
        Ok(answers.map(Answers::from_matrix).collect())
    }

    /// `pairs.jsonl`: what `selection` keeps.
    fn select(
        &self,
        session: &mut Session<'_>,
        phase: &Phase,
        selection: &Selection,
        records: &[ResponseRecord],
        answers: &[Answers],
    ) -> Result<PhasePairs, TrainError> {
        let asked = session.dir().file(phase.pairs_place(Stage::Judge));
        let place = phase.pairs_place(Stage::Select);
        let pairs = session.stage(
            place,
            |_| Ok(()),
            |session| {
                let draws = SelectionDraws::of_phase(self.seed(), phase);
                let selected = selection.select(records, answers, draws);
                let (pairs, metrics) = selected
                    .map_err(|missing| TrainError::artefact(&asked, missing.to_string()))?;
                session.log(place, &metrics)?;
                Ok(pairs)
            },
        )?;
        if pairs.is_empty() {
            return Err(TrainError::NoPairs {
                iteration: phase.iteration,
                prompts: records.len(),
            });
        }
        let order = Order::Shuffled(order_seed(self.seed(), phase));
        Ok(PhasePairs::new(pairs, order))
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
