//! Judges: what answers one comparison in one order, and what such an answer is.

use std::ops::AddAssign;
use std::time::Duration;

use inpo_data::{Completion, Prompt};
use inpo_game::{Comparison, OracleCounts, OracleError, Preference, PreferenceOracle};
use serde_json::{Value, json};

/// A question to a judge: `first` is shown first.
pub type Question<'a> = Comparison<'a, Prompt, Completion>;

/// What a judge said of two responses in the order in which it was shown them.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// P(the response shown first is better), or why the answer cannot be used.
    pub outcome: Result<Preference, String>,
    /// What the answer took.
    pub usage: Usage,
}

impl Verdict {
    /// A valid verdict.
    #[must_use]
    pub fn new(preference: Preference, usage: Usage) -> Self {
        Self {
            outcome: Ok(preference),
            usage,
        }
    }

    /// An answer that cannot be used, for this reason. It is never a win.
    #[must_use]
    pub fn invalid(reason: impl Into<String>, usage: Usage) -> Self {
        Self {
            outcome: Err(reason.into()),
            usage,
        }
    }
}

/// What answers took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Requests to a server, or sequences that a model read.
    pub calls: u64,
    /// Tokens that the judge read, as it counts them.
    pub prompt_tokens: u64,
    /// Tokens that it wrote.
    pub completion_tokens: u64,
    /// From the question to its answer; the sum of several.
    pub latency: Duration,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.prompt_tokens += other.prompt_tokens;
        self.completion_tokens += other.completion_tokens;
        self.latency += other.latency;
    }
}

/// Whoever hears the verdicts as they come: the question's place in the batch, and the verdict. An error ends the asking.
pub type Heard<'a> = dyn FnMut(usize, Verdict) -> Result<(), OracleError> + 'a;

/// A judge: it answers in the order shown, may fail to answer, and says what an answer took.
///
/// [`Judged`](crate::Judged) makes a [`PreferenceOracle`] of it: both orders, journal, counts.
pub trait Judge: Send + Sync {
    /// Answers every question, in any order, and hands each verdict to `heard` once, as soon as it is there.
    ///
    /// # Errors
    ///
    /// A question that no judge can answer ([`OracleError::Invalid`] with its place), or a judge that cannot be reached.
    /// An answer that cannot be read is a verdict, [`Verdict::invalid`], and no error.
    fn judge(&self, questions: &[Question<'_>], heard: &mut Heard<'_>) -> Result<(), OracleError>;

    /// What this judge is called in messages and files.
    fn name(&self) -> String;

    /// Everything that decides its answers: kind, model, a digest of weights or template, parameters. Answers of two
    /// specifications never mix. No key of a server is in it.
    fn specification(&self) -> Value;

    /// Whether P(a > b) + P(b > a) = 1 by construction, so that one order tells both.
    fn is_symmetric(&self) -> bool {
        false
    }

    /// Whether answers are worth keeping: false where asking again costs nothing.
    fn is_costly(&self) -> bool {
        true
    }

    /// What of the prompt decides the answers: by default the conversation, or its ids where there are ids alone.
    fn prompt_key(&self, prompt: &Prompt) -> Value {
        if prompt.messages.is_empty() {
            json!({ "token_ids": prompt.token_ids })
        } else {
            json!({ "messages": prompt.messages })
        }
    }

    /// What answering these questions would take, as far as it can be said without asking; for `--dry-run`.
    ///
    /// # Errors
    ///
    /// A question that cannot be answered.
    fn estimate(&self, questions: &[Question<'_>]) -> Result<Usage, OracleError> {
        Ok(Usage {
            calls: questions.len() as u64,
            ..Usage::default()
        })
    }

    /// What can be found out about the judge without a question, a sentence each: `inpo doctor` shows it.
    ///
    /// # Errors
    ///
    /// A judge that cannot be reached.
    fn look(&self) -> Result<Vec<String>, OracleError> {
        Ok(Vec::new())
    }

    /// What the oracles that this judge asks counted; none for a judge that answers itself.
    fn inner_counts(&self) -> Option<OracleCounts> {
        None
    }

    /// The price of a usage, in the currency of the configuration's prices; none where no price is known.
    fn cost(&self, usage: &Usage) -> Option<f64> {
        let _ = usage;
        None
    }
}

/// An oracle whose answers do not depend on the order, as a judge.
#[derive(Debug)]
pub(crate) struct Symmetric<O>(pub(crate) O);

impl<O: PreferenceOracle<Prompt, Completion> + Send + Sync> Judge for Symmetric<O> {
    fn judge(&self, questions: &[Question<'_>], heard: &mut Heard<'_>) -> Result<(), OracleError> {
        let answers = self.0.compare(questions)?;
        if answers.len() != questions.len() {
            return Err(OracleError::WrongCount {
                oracle: self.0.name(),
                expected: questions.len(),
                got: answers.len(),
            });
        }
        let usage = Usage {
            calls: 1,
            ..Usage::default()
        };
        let verdicts = answers.into_iter().enumerate();
        for (place, answer) in verdicts {
            heard(place, Verdict::new(answer, usage))?;
        }
        Ok(())
    }

    fn name(&self) -> String {
        self.0.name()
    }

    fn specification(&self) -> Value {
        json!({ "judge": self.0.name() })
    }

    fn is_symmetric(&self) -> bool {
        true
    }

    fn is_costly(&self) -> bool {
        false
    }
}
