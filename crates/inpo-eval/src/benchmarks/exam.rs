//! A task's documents as questions, and the answers to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use inpo_policy::{DrawKey, GenerationConfig, Policy, PromptTask, Sequence};
use rayon::prelude::*;
use serde_json::{Value, json};

use super::Options;
use super::cache::{AnswerCache, key};
use super::context::Front;
use super::documents::Documents;
use super::error::BenchmarkError;
use super::paper::Paper;
use super::question::{Asked, Asking, Limits, Question, Reader, Requests};
use super::results::TaskResult;
use super::task::{Answer, Ask, Task};

/// Documents whose log-likelihoods are computed together, and written to the cache.
const SCORED: usize = 256;

/// A task with all that a model is asked of its documents.
#[derive(Debug)]
pub(super) struct Exam {
    pub(super) task: Arc<dyn Task>,
    documents: Documents,
    questions: Vec<Question>,
    shots: usize,
}

impl Exam {
    /// Writes the questions of `paper` as token ids. `progress` is told the number of documents as they are done.
    pub(super) fn encode(
        paper: Paper,
        reader: &Reader<'_>,
        options: &Options,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Self, BenchmarkError> {
        let (task, form) = (&paper.task, options.form());
        let delimiters = task.delimiters();
        let question = |(ask, front): &(Ask, Front)| {
            reader.question(&Asking {
                ask,
                front,
                fixed_front: task.fixed_front(),
                form: &form,
                delimiters: &delimiters,
                truncate: options.truncate,
                column: task.question_column(),
                max_new_tokens: options.max_new_tokens,
            })
        };
        let mut questions = Vec::with_capacity(paper.asked.len());
        for together in paper.asked.chunks(SCORED) {
            let encoded: Vec<_> = together.par_iter().map(question).collect();
            for question in encoded {
                let index = questions.len();
                questions.push(question.map_err(|reason| paper.documents.error(index, reason))?);
            }
            progress(together.len());
        }
        Ok(Self {
            shots: paper.shots,
            task: paper.task,
            documents: paper.documents,
            questions,
        })
    }

    /// How many documents are asked.
    pub(super) fn len(&self) -> usize {
        self.questions.len()
    }

    /// How many documents were cut on the left.
    pub(super) fn cut(&self) -> usize {
        self.questions
            .iter()
            .filter(|question| question.is_cut)
            .count()
    }

    /// Asks `policy` what the cache does not know, and scores the answers. `progress` is told the number of documents as they
    /// are done.
    pub(super) fn run(
        &self,
        policy: &Policy,
        reader: &Reader<'_>,
        options: &Options,
        cache: Option<&mut AnswerCache>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<TaskResult, BenchmarkError> {
        let answers = self.answers(policy, reader, options, cache, progress)?;
        let metrics = self.task.metrics();
        let mut values = vec![Vec::with_capacity(self.len()); metrics.len()];
        let mut samples = Vec::new();
        for (index, answer) in answers.iter().enumerate() {
            let document = &self.documents.rows[index].1;
            let in_row = |reason| self.documents.error(index, reason);
            if answer
                .log_likelihoods()
                .iter()
                .any(|logp| !logp.is_finite())
            {
                let reason = "a log-likelihood is not finite; the model's weights are damaged";
                return Err(BenchmarkError::Damaged(
                    in_row(reason.to_owned()).to_string(),
                ));
            }
            let scores = self.task.score(document, answer).map_err(in_row)?;
            if options.samples {
                samples.push(json!({
                    "task": self.task.name(),
                    "doc_id": index,
                    "doc": Value::Object(document.columns.clone().into_map()),
                    "target": self.task.target(document).map_err(in_row)?,
                    "arguments": self.questions[index].arguments,
                    "resps": match answer {
                        Answer::LogLikelihoods(logps) => json!(logps),
                        Answer::Text(text) => json!([text]),
                    },
                    "scores": metrics.iter().zip(&scores).map(|(metric, score)| {
                        let value = if let [value] = score.as_slice() { json!(value) } else { json!(score) };
                        (format!("{},{}", metric.name, metric.filter), value)
                    }).collect::<serde_json::Map<_, _>>(),
                }));
            }
            for (values, score) in values.iter_mut().zip(scores) {
                values.push(score);
            }
        }
        Ok(TaskResult::new(
            self.task.as_ref(),
            (self.shots, self.documents.rows.len(), self.len()),
            metrics.into_iter().zip(values),
            samples,
        ))
    }

    fn answers(
        &self,
        policy: &Policy,
        reader: &Reader<'_>,
        options: &Options,
        mut cache: Option<&mut AnswerCache>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Vec<Answer>, BenchmarkError> {
        let keys: Vec<String> = self.questions.par_iter().map(key).collect();
        let mut answers: Vec<Option<Answer>> = vec![None; self.len()];
        if let Some(cache) = &cache {
            for (answer, key) in answers.iter_mut().zip(&keys) {
                *answer = cache.get(key).cloned();
            }
        }
        let missing: Vec<usize> = (0..self.len())
            .filter(|&index| answers[index].is_none())
            .collect();
        progress(self.len() - missing.len());
        for together in self.together(&missing, options) {
            let given = self.asked(&together, policy, reader, options)?;
            for (&index, answer) in together.iter().zip(given) {
                if let Some(cache) = &mut cache {
                    cache.put(keys[index].clone(), &answer)?;
                }
                answers[index] = Some(answer);
            }
            progress(together.len());
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// Questions that are answered together: log-likelihoods, or texts with the same ends.
    fn together(&self, missing: &[usize], options: &Options) -> Vec<Vec<usize>> {
        let mut by_kind: BTreeMap<Option<&Limits>, Vec<usize>> = BTreeMap::new();
        for &index in missing {
            let kind = match &self.questions[index].requests {
                Requests::Scored(_) => None,
                Requests::Text(asked) => Some(&asked.limits),
            };
            by_kind.entry(kind).or_default().push(index);
        }
        let parts = by_kind.into_iter().flat_map(|(kind, indices)| {
            let size = kind.map_or(SCORED, |_| options.batch_size.max(1));
            indices
                .chunks(size)
                .map(<[usize]>::to_vec)
                .collect::<Vec<_>>()
        });
        parts.collect()
    }

    fn asked(
        &self,
        indices: &[usize],
        policy: &Policy,
        reader: &Reader<'_>,
        options: &Options,
    ) -> Result<Vec<Answer>, BenchmarkError> {
        let (mut sequences, mut counts, mut texts) = (Vec::new(), Vec::new(), Vec::<&Asked>::new());
        for &index in indices {
            match &self.questions[index].requests {
                Requests::Scored(scored) => {
                    counts.push(scored.len());
                    sequences.extend(
                        scored
                            .iter()
                            .map(|s| Sequence::new(&s.context, &s.continuation)),
                    );
                }
                Requests::Text(asked) => texts.push(asked),
            }
        }
        let Some(first) = texts.first() else {
            let mut logps = policy.continuation_logps(&sequences)?.into_iter();
            let answer = |count| Answer::LogLikelihoods(logps.by_ref().take(count).collect());
            return Ok(counts.into_iter().map(answer).collect());
        };
        let limits = &first.limits;
        let config = GenerationConfig {
            num_generations: 1,
            max_new_tokens: limits.max_new_tokens,
            temperature: 0.0,
            stop_strings: limits
                .until
                .iter()
                .filter(|stop| !stop.is_empty())
                .cloned()
                .collect(),
            max_num_seqs: options.batch_size.max(1),
            ..GenerationConfig::default()
        };
        let prompt = |(number, asked): (usize, &&Asked)| PromptTask {
            ids: asked.prompt.clone(),
            number: number as u64,
        };
        let prompts: Vec<PromptTask> = texts.iter().enumerate().map(prompt).collect();
        let ends = reader.ends(&limits.until);
        let generated =
            policy.generate_to(&ends, &prompts, &config, DrawKey::new(0, 0), &mut |_| ())?;
        let samples = generated.samples.into_iter().flatten();
        let text = |sample: inpo_policy::Sample| {
            Ok(Answer::Text(reader.generated(&sample.ids, &limits.until)?))
        };
        samples.map(text).collect()
    }
}
