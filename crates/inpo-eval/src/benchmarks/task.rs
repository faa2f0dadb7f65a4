//! What a benchmark task is.

use inpo_data::{Columns, Place};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A row of a task's data.
#[derive(Debug, Clone)]
pub struct Document {
    /// Where it stands in its file.
    pub place: Place,
    /// Its columns.
    pub columns: Columns,
}

impl Document {
    /// A column that every document of the task has; `what` says in the error what it should be.
    ///
    /// # Errors
    ///
    /// A column that is missing or of another type, in words.
    pub fn needed<T: DeserializeOwned>(&self, column: &str, what: &str) -> Result<T, String> {
        self.columns.read(column, what)?.ok_or_else(|| {
            format!(
                "there is no `{column}` ({what}); the columns are {}",
                self.columns.names()
            )
        })
    }

    /// A column with a text.
    ///
    /// # Errors
    ///
    /// Those of [`Document::needed`].
    pub fn text(&self, column: &str) -> Result<String, String> {
        self.needed(column, "a text")
    }
}

/// Where a task's documents come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The data set on the Hugging Face hub.
    pub dataset: String,
    /// Its configuration, when it has several.
    pub config: Option<String>,
    /// The split that is asked.
    pub split: String,
    /// The split that few-shot examples are drawn from.
    pub shots: Option<String>,
}

/// How a task's few-shot examples are chosen.
#[derive(Debug, Clone)]
pub struct FewShot {
    /// How many there are.
    pub count: ShotCount,
    /// What they are taken from.
    pub pool: Pool,
    /// How they are taken.
    pub draw: ShotDraw,
    /// Whether one more is drawn and the document itself left out: so where the pool may hold it.
    pub leaves_out_document: bool,
}

/// How many few-shot examples a task has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShotCount {
    /// Always this many.
    Always(usize),
    /// This many, unless the user asks for another number.
    Default(usize),
}

/// What few-shot examples are taken from.
#[derive(Debug, Clone)]
pub enum Pool {
    /// The rows of `NAME.fewshot.jsonl`.
    File,
    /// Those rows, or without the file the documents themselves.
    FileOrDocuments,
    /// The task's own.
    Own(Vec<Document>),
}

/// How few-shot examples are taken from their pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShotDraw {
    /// By CPython's `random.sample` with seed 1234, advanced document by document.
    Sampled,
    /// The first ones, in their order.
    FirstN,
}

impl FewShot {
    /// `count` examples drawn at random from `NAME.fewshot.jsonl`.
    #[must_use]
    pub fn sampled(count: usize) -> Self {
        Self {
            count: ShotCount::Default(count),
            pool: Pool::File,
            draw: ShotDraw::Sampled,
            leaves_out_document: false,
        }
    }

    /// No examples, whatever the user asks for.
    #[must_use]
    pub fn none() -> Self {
        Self {
            count: ShotCount::Always(0),
            ..Self::sampled(0)
        }
    }
}

/// A few-shot example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shot {
    /// What is asked.
    pub question: String,
    /// The right answer.
    pub answer: String,
}

/// What a model is asked of a document, without few-shot examples.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// The log-likelihood of each choice behind one context.
    Choices {
        /// What the choices follow.
        context: String,
        /// The choices, without the delimiter before them.
        choices: Vec<String>,
    },
    /// The log-likelihood of one continuation behind each context.
    Contexts {
        /// What the continuation follows.
        contexts: Vec<String>,
        /// The continuation, without the delimiter before it.
        continuation: String,
    },
    /// A text.
    Text {
        /// What it follows.
        context: String,
        /// Texts at which it is cut.
        until: Vec<String>,
        /// Its longest length in tokens.
        max_new_tokens: usize,
    },
}

/// What a model answered to an [`Ask`].
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A log-likelihood, in nats, for each choice or context.
    LogLikelihoods(Vec<f64>),
    /// The text, cut at the first stop.
    Text(String),
}

impl Answer {
    /// The log-likelihoods; none of a text.
    #[must_use]
    pub fn log_likelihoods(&self) -> &[f64] {
        match self {
            Self::LogLikelihoods(values) => values,
            Self::Text(_) => &[],
        }
    }

    /// The text; empty where log-likelihoods were asked for.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::LogLikelihoods(_) => "",
            Self::Text(text) => text,
        }
    }
}

/// A score of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    /// Its name, such as `acc`.
    pub name: String,
    /// The filter that an answer goes through before, `none` without one.
    pub filter: String,
    /// Whether more is better.
    pub higher_is_better: bool,
    /// How the documents' values become one.
    pub aggregation: Aggregation,
}

/// How the values of all documents become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregation {
    /// The mean over documents, with its standard error.
    Mean,
    /// The mean over all values of all documents, without a standard error.
    Pooled,
}

impl Metric {
    /// A mean that is better when it is higher, without a filter.
    #[must_use]
    pub fn mean(name: &str) -> Self {
        Self::filtered(name, "none")
    }

    /// [`Metric::mean`] behind `filter`.
    #[must_use]
    pub fn filtered(name: &str, filter: &str) -> Self {
        Self {
            name: name.to_owned(),
            filter: filter.to_owned(),
            higher_is_better: true,
            aggregation: Aggregation::Mean,
        }
    }
}

/// The delimiters of a task's prompts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delimiters {
    /// Between question and answer.
    pub target: String,
    /// Between few-shot examples.
    pub few_shot: String,
}

impl Default for Delimiters {
    fn default() -> Self {
        Self {
            target: " ".to_owned(),
            few_shot: "\n\n".to_owned(),
        }
    }
}

/// A benchmark: how documents become questions, and answers scores.
///
/// What is wrong with a document is told in words, with the column in backticks; the caller adds file and line.
pub trait Task: std::fmt::Debug + Send + Sync {
    /// Its name, as lm-evaluation-harness has it; also that of its files.
    fn name(&self) -> &str;

    /// What it is called in tables.
    fn alias(&self) -> &str {
        self.name()
    }

    /// The version of its definition in lm-evaluation-harness.
    fn version(&self) -> f64;

    /// Where its documents come from.
    fn source(&self) -> Source;

    /// The column with the question, for messages about its length.
    fn question_column(&self) -> &str;

    /// What every question begins with, which is cut as few-shot examples are.
    fn fixed_front(&self) -> &str {
        ""
    }

    /// How few-shot examples are chosen.
    fn few_shot(&self) -> FewShot;

    /// The delimiters of its prompts.
    fn delimiters(&self) -> Delimiters {
        Delimiters::default()
    }

    /// Its scores.
    fn metrics(&self) -> Vec<Metric>;

    /// The text before the few-shot examples, which is the system message of a conversation; empty without one.
    ///
    /// # Errors
    ///
    /// A document that is not the task's.
    fn description(&self, _document: &Document) -> Result<String, String> {
        Ok(String::new())
    }

    /// A row of the pool as a few-shot example.
    ///
    /// # Errors
    ///
    /// A document that is not the task's.
    fn shot(&self, document: &Document) -> Result<Shot, String>;

    /// What is asked of a document.
    ///
    /// # Errors
    ///
    /// A document that is not the task's.
    fn ask(&self, document: &Document) -> Result<Ask, String>;

    /// The right answer, for the file of samples.
    ///
    /// # Errors
    ///
    /// A document that is not the task's.
    fn target(&self, document: &Document) -> Result<Value, String>;

    /// The values of each of [`Task::metrics`] for one document, in their order.
    ///
    /// # Errors
    ///
    /// A document that is not the task's.
    fn score(&self, document: &Document, answer: &Answer) -> Result<Vec<Vec<f64>>, String>;
}
