//! Judges that read each response by itself, once, and then compare what they read.

use std::collections::HashMap;
use std::time::Instant;

use inpo_data::{Completion, Prompt};
use inpo_game::OracleError;
use inpo_policy::PolicyError;
use inpo_policy::preference::Pair;

use crate::model_judge::{Limit, hear, share, sigmoid};
use crate::verdict::{Heard, Question, Usage, Verdict};

/// How many responses are read before verdicts are given, unless one prompt has more.
const READ_AT_ONCE: usize = 256;

/// A judge that reads each response by itself.
pub(crate) trait ReadsApart {
    /// What it can read.
    fn limit(&self) -> &Limit;

    /// The ids of a conversation and its answer.
    ///
    /// # Errors
    ///
    /// Why they cannot be read.
    fn answered_ids(&self, prompt: &Prompt, answer: &Completion) -> Result<Vec<u32>, String>;

    /// The ids of the conversation alone, for a judge that reads it too.
    ///
    /// # Errors
    ///
    /// Why it cannot be read.
    fn prompt_ids(&self, prompt: &Prompt) -> Result<Option<Vec<u32>>, String> {
        let _ = prompt;
        Ok(None)
    }

    /// The logits of P(first > second) of pairs of sequences.
    ///
    /// # Errors
    ///
    /// Sequences that the model cannot read.
    fn logits(&self, sequences: &[Vec<u32>], pairs: &[Pair]) -> Result<Vec<f64>, PolicyError>;

    /// What the judge is called.
    fn name(&self) -> String;
}

/// Answers questions; see [`Judge::judge`](crate::Judge::judge).
///
/// # Errors
///
/// A question that cannot be answered; those of `heard`.
pub(crate) fn judge<J: ReadsApart>(
    judge: &J,
    questions: &[Question<'_>],
    heard: &mut Heard<'_>,
) -> Result<(), OracleError> {
    let mut read = Read::new(judge);
    let mut last: Option<&Prompt> = None;
    for (place, question) in questions.iter().enumerate() {
        let another = last.is_some_and(|last| !std::ptr::eq(last, question.prompt));
        if another && read.sequences.len() >= READ_AT_ONCE {
            read.answer(heard)?;
            read = Read::new(judge);
        }
        last = Some(question.prompt);
        let invalid = |reason| OracleError::Invalid {
            index: place,
            reason,
        };
        if let Some(reason) = read.add(place, question).map_err(invalid)? {
            heard(place, Verdict::invalid(reason, Usage::default()))?;
        }
    }
    read.answer(heard)
}

/// What answering would take; see [`Judge::estimate`](crate::Judge::estimate).
///
/// # Errors
///
/// A question that cannot be answered.
pub(crate) fn estimate<J: ReadsApart>(
    judge: &J,
    questions: &[Question<'_>],
) -> Result<Usage, OracleError> {
    let mut read = Read::new(judge);
    for (index, question) in questions.iter().enumerate() {
        let added = read.add(index, question);
        added.map_err(|reason| OracleError::Invalid { index, reason })?;
    }
    let mut all = Usage::default();
    for (_, usage) in read.asked {
        all += usage;
    }
    Ok(all)
}

/// Sequences, each once, and the pairs of them that are asked about.
struct Read<'a, J> {
    judge: &'a J,
    sequences: Vec<Vec<u32>>,
    /// Their places.
    known: HashMap<Vec<u32>, usize>,
    /// The places of texts that were written, or why they cannot be read: by the addresses of prompt and answer, which the
    /// questions borrow.
    written: HashMap<(usize, usize), Result<usize, String>>,
    pairs: Vec<Pair>,
    /// The place of each pair's question, and what was read for it first.
    asked: Vec<(usize, Usage)>,
}

impl<'a, J: ReadsApart> Read<'a, J> {
    fn new(judge: &'a J) -> Self {
        Self {
            judge,
            sequences: Vec::new(),
            known: HashMap::new(),
            written: HashMap::new(),
            pairs: Vec::new(),
            asked: Vec::new(),
        }
    }

    /// Adds a question; says why it has no answer where a text is too long and that is no error.
    fn add(&mut self, place: usize, question: &Question<'_>) -> Result<Option<String>, String> {
        let prompt = question.prompt;
        let mut usage = Usage::default();
        let texts = [Some(question.first), Some(question.second), None];
        let mut places = [None; 3];
        for (text, found) in texts.into_iter().zip(&mut places) {
            match self.write(prompt, text, &mut usage)? {
                Some(Ok(sequence)) => *found = Some(sequence),
                Some(Err(reason)) => return Ok(Some(reason)),
                None => {}
            }
        }
        if let [Some(first), Some(second), prompt] = places {
            self.pairs.push(Pair {
                first,
                second,
                prompt,
            });
            self.asked.push((place, usage));
        }
        Ok(None)
    }

    /// The place of an answer, or that of the prompt alone where the judge reads it.
    fn write(
        &mut self,
        prompt: &Prompt,
        answer: Option<&Completion>,
        usage: &mut Usage,
    ) -> Result<Option<Result<usize, String>>, String> {
        let address = answer.map_or(0, |answer| std::ptr::from_ref(answer) as usize);
        let key = (std::ptr::from_ref(prompt) as usize, address);
        if let Some(known) = self.written.get(&key) {
            return Ok(Some(known.clone()));
        }
        let ids = match answer {
            Some(answer) => Some(self.judge.answered_ids(prompt, answer)?),
            None => self.judge.prompt_ids(prompt)?,
        };
        let Some(ids) = ids else {
            return Ok(None);
        };
        if ids.is_empty() {
            return Err("the chat template writes nothing".to_owned());
        }
        let place = match self.judge.limit().check(prompt, &ids)? {
            Some(reason) => Err(reason),
            None => Ok(self.place(ids, usage)),
        };
        self.written.insert(key, place.clone());
        Ok(Some(place))
    }

    fn place(&mut self, ids: Vec<u32>, usage: &mut Usage) -> usize {
        if let Some(&place) = self.known.get(&ids) {
            return place;
        }
        usage.calls += 1;
        usage.prompt_tokens += ids.len() as u64;
        self.sequences.push(ids.clone());
        self.known.insert(ids, self.sequences.len() - 1);
        self.sequences.len() - 1
    }

    /// Reads what was added and gives the verdicts.
    fn answer(&self, heard: &mut Heard<'_>) -> Result<(), OracleError> {
        let start = Instant::now();
        let logits = self.judge.logits(&self.sequences, &self.pairs);
        let logits = logits.map_err(|error| OracleError::Unavailable {
            oracle: self.judge.name(),
            reason: error.to_string(),
        })?;
        let latency = share(start.elapsed(), logits.len());
        for ((place, usage), logit) in self.asked.iter().zip(logits) {
            let usage = Usage { latency, ..*usage };
            hear(heard, *place, sigmoid(logit), usage)?;
        }
        Ok(())
    }
}
