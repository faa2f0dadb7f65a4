//! Pairs of a policy's own responses: sampled, judged, selected; and its evaluation on held-out prompts.

mod check;
mod evaluation;
mod sampling;

use std::time::Instant;

use inpo_data::{PreferenceRecord, ResponseRecord};
use inpo_eval::{Arena, Evaluation};
use inpo_game::{Counted, PreferenceOracle};
use inpo_oracle::{Answers, TextOracle, judge};
use inpo_policy::Engine;

use crate::batches::Order;
use crate::config::RunConfig;
use crate::error::TrainError;
use crate::metrics::JudgeMetrics;
use crate::objective::Objective;
use crate::pair_source::PairSource;
use crate::phases::Phase;
use crate::prompts::Prompts;
use crate::selection::Selection;
use crate::session::{PhasePairs, Session};
use crate::stage::Stage;
use crate::streams::{SelectionDraws, Stream, order_seed};
use check::check_preferences;
use sampling::Sampling;

/// The policy plays against itself: its own responses are judged by an oracle.
pub(crate) struct SelfPlay<'a> {
    config: &'a RunConfig,
    oracle: Counted<&'a TextOracle<'a>>,
    engine: &'a dyn Engine,
    prompts: Prompts,
    /// The second oracle.
    eval_oracle: Option<&'a TextOracle<'a>>,
    /// Everyone's held-out responses, and what was said of them.
    arena: Arena,
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

    fn evaluate(
        &mut self,
        session: &mut Session<'_>,
        t: usize,
    ) -> Result<Option<Evaluation>, TrainError> {
        self.evaluate_iteration(session, t)
    }

    fn conclude(
        &mut self,
        session: &mut Session<'_>,
        evaluations: &[Evaluation],
    ) -> Result<(), TrainError> {
        self.evaluate_run(session, evaluations)
    }
}

impl<'a> SelfPlay<'a> {
    pub(crate) fn new(
        config: &'a RunConfig,
        (oracle, eval_oracle): (&'a TextOracle<'a>, Option<&'a TextOracle<'a>>),
        engine: &'a dyn Engine,
        prompts: Prompts,
    ) -> Self {
        Self {
            config,
            oracle: Counted::new(oracle),
            engine,
            prompts,
            eval_oracle,
            arena: Arena::default(),
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
            let started = Instant::now();
            let answers = judge(&self.oracle, &items, |item, answers| {
                selection.matches(&candidates[item], answers)
            })?;
            let seconds = started.elapsed().as_secs_f64();
            let comparisons = self.oracle.comparisons() - before.0;
            let counts = self.oracle.counts() - before.1;
            let metrics = JudgeMetrics::new(&answers, comparisons, &counts, seconds);
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
}
