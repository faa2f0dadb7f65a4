//! A judge as an oracle: both orders, each verdict kept, everything counted.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use inpo_data::{Completion, Prompt, sha256};
use inpo_game::{Comparison, OracleCounts, OracleError, Preference, PreferenceOracle};
use serde_json::{Value, json};

use crate::journal::Journal;
use crate::verdict::{Judge, Question, Usage, Verdict};

/// The oracle of a [`Judge`].
///
/// - A comparison is asked in both orders, unless [`one_order`](Self::one_order) says otherwise:
///   `P = (p_ab + 1 - p_ba) / 2`, with `p_xy` the verdict that x, shown first, is better. An invalid verdict counts as
///   1/2 in its order, so it is never a win. A symmetric judge is asked once, which tells both orders.
/// - A verdict that cost something is kept for this process, and in a [`Journal`] for later ones: the same question is not
///   asked again.
/// - Two responses that are the same tie without being asked.
pub struct Judged {
    judge: Box<dyn Judge>,
    both_orders: bool,
    progress: Option<Progress>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    counts: OracleCounts,
    memory: HashMap<String, Verdict>,
    /// Where the journal is kept, if anywhere; it is opened when it is needed.
    folder: Option<PathBuf>,
    journal: Option<Journal>,
    /// Whether verdicts of the journal that could not be used are asked again.
    retry_invalid: bool,
    /// The first reason why a verdict could not be used.
    first_invalid: Option<String>,
}

impl Kept {
    /// Opens the journal of `judge`, unless it is open; with `create` also where there is none yet.
    fn open(&mut self, judge: &dyn Judge, create: bool) -> Result<(), OracleError> {
        let Some(folder) = self.folder.as_ref().filter(|_| self.journal.is_none()) else {
            return Ok(());
        };
        let (name, specification) = (judge.name(), judge.specification());
        if create || Journal::path_in(folder, &name, &specification).exists() {
            let journal = Journal::open(folder, &name, &specification);
            let mut journal = journal.map_err(|error| unavailable(judge, error.to_string()))?;
            if self.retry_invalid {
                journal.forget_invalid();
            }
            self.journal = Some(journal);
        }
        Ok(())
    }

    fn get(&self, key: &str) -> Option<&Verdict> {
        match &self.journal {
            Some(journal) => journal.get(key),
            None => self.memory.get(key),
        }
    }

    /// Counts a verdict and keeps it, so that it is never paid for again.
    fn hear(
        &mut self,
        judge: &dyn Judge,
        key: Option<&str>,
        verdict: &Verdict,
    ) -> Result<(), OracleError> {
        let usage = verdict.usage;
        self.counts.calls += usage.calls;
        self.counts.prompt_tokens += usage.prompt_tokens;
        self.counts.completion_tokens += usage.completion_tokens;
        self.counts.seconds += usage.latency.as_secs_f64();
        if let Some(cost) = judge.cost(&usage) {
            *self.counts.cost.get_or_insert(0.0) += cost;
        }
        let Some(key) = key else { return Ok(()) };
        match &mut self.journal {
            Some(journal) => journal
                .append(key, verdict)
                .map_err(|error| unavailable(judge, error.to_string())),
            None => {
                self.memory.insert(key.to_owned(), verdict.clone());
                Ok(())
            }
        }
    }
}

fn unavailable(judge: &dyn Judge, reason: String) -> OracleError {
    OracleError::Unavailable {
        oracle: judge.name(),
        reason,
    }
}

/// Is told of each verdict as it comes.
pub type Progress = Arc<dyn Fn() + Send + Sync>;

/// A question whose verdict is not known, and where it is wanted.
struct Asked<'a> {
    question: Question<'a>,
    key: Option<String>,
    places: Vec<usize>,
}

impl Judged {
    /// `judge`, asked in both orders, its answers kept in memory.
    #[must_use]
    pub fn new(judge: Box<dyn Judge>) -> Self {
        Self {
            judge,
            both_orders: true,
            progress: None,
            kept: Mutex::default(),
        }
    }

    /// The same judge, asked only in the order of the comparison.
    #[must_use]
    pub fn one_order(mut self) -> Self {
        self.both_orders = false;
        self
    }

    /// The same judge with a journal in the folder `dir`, where its answers cost something. See [`Journal`]; it is opened
    /// when it is needed.
    #[must_use]
    pub fn with_journal(self, dir: &Path) -> Self {
        if self.judge.is_costly() {
            self.kept().folder = Some(dir.to_owned());
        }
        self
    }

    /// The same judge, that asks again what its journal has no usable verdict on.
    #[must_use]
    pub fn retrying_invalid(self) -> Self {
        self.kept().retry_invalid = true;
        self
    }

    /// The first reason why a verdict could not be used.
    #[must_use]
    pub fn first_invalid(&self) -> Option<String> {
        self.kept().first_invalid.clone()
    }

    /// The same judge, that tells `progress` of each verdict as it comes.
    #[must_use]
    pub fn with_progress(mut self, progress: Progress) -> Self {
        self.progress = Some(progress);
        self
    }

    /// The judge.
    #[must_use]
    pub fn judge(&self) -> &dyn Judge {
        &*self.judge
    }

    /// The journal's file, how many verdicts it has, and how many of its lines are damaged.
    #[must_use]
    pub fn journal(&self) -> Option<(PathBuf, usize, usize)> {
        let kept = self.kept();
        let journal = kept.journal.as_ref()?;
        Some((journal.path().to_owned(), journal.len(), journal.damaged()))
    }

    /// What asking these comparisons would take, without those that are known.
    ///
    /// # Errors
    ///
    /// A comparison that cannot be asked.
    pub fn estimate(&self, comparisons: &[Question<'_>]) -> Result<(u64, Usage), OracleError> {
        self.kept().open(&*self.judge, false)?;
        let questions = self.questions(comparisons);
        let (_, asked) = self.known_and_asked(&questions);
        let asked: Vec<_> = asked.iter().map(|asked| asked.question).collect();
        Ok((asked.len() as u64, self.judge.estimate(&asked)?))
    }

    /// How many verdicts a comparison takes: two where both orders are asked.
    #[must_use]
    pub fn votes(&self) -> u32 {
        if self.swaps() { 2 } else { 1 }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn swaps(&self) -> bool {
        self.both_orders && !self.judge.is_symmetric()
    }

    /// The question of each comparison, and behind it that of the other order where that is asked.
    fn questions<'a>(&self, comparisons: &[Question<'a>]) -> Vec<Question<'a>> {
        let orders = |c: &Question<'a>| [Some(*c), self.swaps().then(|| c.swapped())];
        comparisons.iter().flat_map(orders).flatten().collect()
    }

    /// What is known of each question, and the questions that are not, each once.
    fn known_and_asked<'a>(
        &self,
        questions: &[Question<'a>],
    ) -> (Vec<Option<Verdict>>, Vec<Asked<'a>>) {
        let mut known = vec![None; questions.len()];
        let mut asked: Vec<Asked<'a>> = Vec::new();
        if !self.judge.is_costly() {
            let each = |(place, question): (usize, &Question<'a>)| Asked {
                question: *question,
                key: None,
                places: vec![place],
            };
            return (known, questions.iter().enumerate().map(each).collect());
        }
        let kept = self.kept();
        let mut prompts: HashMap<*const Prompt, String> = HashMap::new();
        let mut first: HashMap<String, usize> = HashMap::new();
        for (place, question) in questions.iter().enumerate() {
            if is_same(question.first, question.second) {
                known[place] = Some(Verdict::new(Preference::HALF, Usage::default()));
                continue;
            }
            let prompt = prompts
                .entry(std::ptr::from_ref(question.prompt))
                .or_insert_with(|| digest(&self.judge.prompt_key(question.prompt)));
            let key = self.key(prompt, question);
            // What a symmetric judge said of the other order says this one too.
            let other = self.judge.is_symmetric().then(|| {
                let verdict = kept.get(&self.key(prompt, &question.swapped()))?;
                Some(Verdict {
                    outcome: verdict.outcome.clone().map(Preference::complement),
                    ..verdict.clone()
                })
            });
            if let Some(verdict) = kept.get(&key).cloned().or_else(|| other.flatten()) {
                known[place] = Some(verdict);
            } else if let Some(&at) = first.get(&key) {
                asked[at].places.push(place);
            } else {
                first.insert(key.clone(), asked.len());
                asked.push(Asked {
                    question: *question,
                    key: Some(key),
                    places: vec![place],
                });
            }
        }
        (known, asked)
    }

    /// The address of a question: prompt, both responses, their order.
    fn key(&self, prompt: &str, question: &Question<'_>) -> String {
        let text = |completion: &Completion| {
            if completion.text.is_empty() {
                json!({ "token_ids": completion.token_ids })
            } else {
                json!(completion.text)
            }
        };
        digest(&json!([
            prompt,
            text(question.first),
            text(question.second)
        ]))
    }

    /// Asks what is not known, and keeps each verdict as it comes.
    fn ask(
        &self,
        asked: &[Asked<'_>],
        verdicts: &mut [Option<Verdict>],
    ) -> Result<(), OracleError> {
        let questions: Vec<Question<'_>> = asked.iter().map(|asked| asked.question).collect();
        let mut heard = |at: usize, verdict: Verdict| -> Result<(), OracleError> {
            let Some(asked) = asked.get(at) else {
                let reason = format!("it answered question {at}, which was not asked");
                return Err(unavailable(&*self.judge, reason));
            };
            self.kept()
                .hear(&*self.judge, asked.key.as_deref(), &verdict)?;
            if let Some(progress) = &self.progress {
                progress();
            }
            for &place in &asked.places {
                verdicts[place] = Some(verdict.clone());
            }
            Ok(())
        };
        self.judge.judge(&questions, &mut heard)
    }

    /// P(first beats second) from its verdicts in the order given and, where it was asked, in the other.
    fn combine(&self, verdicts: &[Verdict], counts: &mut OracleCounts) -> Preference {
        counts.comparisons += 1;
        counts.verdicts += verdicts.len() as u64;
        let mut decide = |p: f64| {
            counts.decided += u64::from(p != 0.5);
            counts.first_wins += u64::from(p > 0.5);
        };
        let valid = |verdict: &Verdict| verdict.outcome.as_ref().ok().map(|p| p.get());
        let p = match verdicts {
            [forward, backward] => {
                let (forward, backward) = (valid(forward), valid(backward));
                [forward, backward]
                    .into_iter()
                    .flatten()
                    .for_each(&mut decide);
                if let (Some(forward), Some(backward)) = (forward, backward) {
                    counts.both_orders += 1;
                    let winner = |p: f64| p.partial_cmp(&0.5);
                    counts.inconsistent += u64::from(winner(forward) != winner(1.0 - backward));
                }
                let known = [forward, backward];
                counts.invalid += known.iter().filter(|p| p.is_none()).count() as u64;
                counts.unanswered += u64::from(known == [None, None]);
                (forward.unwrap_or(0.5) + 1.0 - backward.unwrap_or(0.5)) / 2.0
            }
            [only] => {
                let p = valid(only);
                p.into_iter().for_each(&mut decide);
                counts.invalid += u64::from(p.is_none());
                counts.unanswered += u64::from(p.is_none());
                if let Some(p) = p
                    && self.both_orders
                {
                    // Its other order, told by symmetry.
                    counts.verdicts += 1;
                    counts.both_orders += 1;
                    counts.decided += u64::from(p != 0.5);
                    counts.first_wins += u64::from(p < 0.5);
                }
                p.unwrap_or(0.5)
            }
            _ => unreachable!("a comparison has one question or two"),
        };
        Preference::new(p).unwrap_or(Preference::HALF)
    }
}

impl std::fmt::Debug for Judged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judged")
            .field("judge", &self.judge.name())
            .field("both_orders", &self.both_orders)
            .finish_non_exhaustive()
    }
}

impl PreferenceOracle<Prompt, Completion> for Judged {
    fn compare(
        &self,
        comparisons: &[Comparison<'_, Prompt, Completion>],
    ) -> Result<Vec<Preference>, OracleError> {
        self.kept().open(&*self.judge, true)?;
        let orders = if self.swaps() { 2 } else { 1 };
        let questions = self.questions(comparisons);
        let (mut verdicts, asked) = self.known_and_asked(&questions);
        let kept = verdicts.iter().flatten().count() as u64;
        let result = self.ask(&asked, &mut verdicts);
        result.map_err(|error| match error {
            OracleError::Invalid { index, reason } if index < asked.len() => {
                let index = asked[index].places[0] / orders;
                OracleError::Invalid { index, reason }
            }
            other => other,
        })?;
        let expected = verdicts.len();
        let verdicts: Vec<Verdict> = verdicts.into_iter().flatten().collect();
        if verdicts.len() != expected {
            return Err(OracleError::WrongCount {
                oracle: self.judge.name(),
                expected,
                got: verdicts.len(),
            });
        }
        let mut counts = OracleCounts {
            kept,
            ..OracleCounts::default()
        };
        let answers = verdicts.chunks(orders);
        let answers = answers.map(|verdicts| self.combine(verdicts, &mut counts));
        let answers = answers.collect();
        let mut kept = self.kept();
        kept.counts += counts;
        if kept.first_invalid.is_none() {
            let reasons = verdicts.iter().find_map(|v| v.outcome.as_ref().err());
            kept.first_invalid = reasons.cloned();
        }
        Ok(answers)
    }

    fn name(&self) -> String {
        self.judge.name()
    }

    fn counts(&self) -> OracleCounts {
        let own = self.kept().counts;
        match self.judge.inner_counts() {
            None => own,
            // Those who were asked know of orders, invalid verdicts and cost; this one only of its own answers.
            Some(inner) => OracleCounts {
                comparisons: own.comparisons,
                ..inner
            },
        }
    }
}

/// Whether two responses differ in nothing that a judge could see.
fn is_same(a: &Completion, b: &Completion) -> bool {
    a.text == b.text && a.finish_reason == b.finish_reason && {
        // Where there is no text, ids tell.
        !a.text.is_empty() || a.token_ids == b.token_ids
    }
}

fn digest(value: &Value) -> String {
    sha256(value.to_string().as_bytes())
}

#[cfg(test)]
mod tests;
