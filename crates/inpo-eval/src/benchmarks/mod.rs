//! Benchmarks, with the questions and the scores of lm-evaluation-harness 0.4.13.
//!
//! A [`Task`] makes questions of documents and scores of answers; it knows no model. A [`Suite`] is the tasks that are asked
//! together. [`Suite::read`] reads their files, [`Papers::encode`] writes every question as token ids, so that whatever is wrong
//! with the input is told before anything is computed, and [`Prepared::run`] asks a policy: log-likelihoods by
//! [`Policy::continuation_logps`] and texts by its batched sampler.

mod cache;
mod choice;
mod context;
mod custom;
mod documents;
mod error;
mod exam;
mod filter;
mod literal;
mod paper;
mod python;
mod question;
mod random;
mod results;
mod shots;
mod task;
mod tasks;

use std::path::Path;
use std::sync::Arc;

use inpo_policy::{Policy, PolicyError};

pub use cache::AnswerCache;
pub use error::BenchmarkError;
pub use results::{Results, TaskResult};
pub use task::{
    Aggregation, Answer, Ask, Delimiters, Document, FewShot, Metric, Pool, Shot, ShotCount,
    ShotDraw, Source, Task,
};

use context::Form;
use exam::Exam;
use paper::Paper;
use question::Reader;
use tasks::Group;

/// How tasks are asked.
#[derive(Debug, Clone)]
pub struct Options {
    /// Few-shot examples, where a task leaves their number open.
    pub num_fewshot: Option<usize>,
    /// The first documents of each task alone, at least 1.
    pub limit: Option<usize>,
    /// Longest text in tokens; absent: as the task says.
    pub max_new_tokens: Option<usize>,
    /// Whether questions are turns of a conversation, by the model's chat template.
    pub apply_chat_template: bool,
    /// Whether few-shot examples are turns of that conversation too, and not part of the question.
    pub fewshot_as_multiturn: bool,
    /// A system message, or a text before the task's description.
    pub system_instruction: Option<String>,
    /// Cuts questions that are longer than the model's context by themselves, where they are refused otherwise. Few-shot
    /// examples are always cut.
    pub truncate: bool,
    /// Texts that are generated together at most.
    pub batch_size: usize,
    /// Whether to keep the documents with their answers, for [`Results::samples`].
    pub samples: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            num_fewshot: None,
            limit: None,
            max_new_tokens: None,
            apply_chat_template: false,
            fewshot_as_multiturn: true,
            system_instruction: None,
            truncate: false,
            batch_size: 64,
            samples: false,
        }
    }
}

impl Options {
    fn form(&self) -> Form {
        Form {
            chat: self.apply_chat_template,
            multiturn: self.fewshot_as_multiturn,
            system: self.system_instruction.clone(),
        }
    }
}

/// Tasks that are asked together.
#[derive(Debug)]
pub struct Suite {
    tasks: Vec<Arc<dyn Task>>,
    groups: Vec<Group>,
    /// Groups that were named, of whose members those with files are asked.
    notes: Vec<String>,
}

impl Suite {
    /// Tasks of a program's own.
    #[must_use]
    pub fn of(tasks: Vec<Arc<dyn Task>>) -> Self {
        Self {
            tasks,
            groups: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The tasks of these names: those of the table, groups of them, and files that define a task. Of a group those are asked
    /// whose documents are in `dir`.
    ///
    /// # Errors
    ///
    /// A name that is none, a group without a file, a definition that cannot be used.
    pub fn select<S: AsRef<str>>(names: &[S], dir: &Path) -> Result<Self, BenchmarkError> {
        let table: Vec<Arc<dyn Task>> = tasks::all().into_iter().map(Arc::from).collect();
        let groups = tasks::groups();
        let mut suite = Self::of(Vec::new());
        for name in names.iter().map(AsRef::as_ref) {
            if let Some(group) = groups.iter().find(|group| group.name == name) {
                suite.add_group(group, &groups, &table, dir)?;
            } else if let Some(task) = table.iter().find(|task| task.name() == name) {
                suite.add(task);
            } else if is_definition(name) {
                let task: Arc<dyn Task> = Arc::new(custom::Custom::read(Path::new(name))?);
                suite.add(&task);
            } else {
                let own = table.iter().map(|task| task.name());
                let own = own.filter(|name| {
                    !groups
                        .iter()
                        .any(|group| name.starts_with(&format!("{}_", group.name)))
                });
                let known: Vec<&str> = own.chain(groups.iter().map(|group| group.name)).collect();
                return Err(BenchmarkError::UnknownTask {
                    name: name.to_owned(),
                    known: known.join(", "),
                });
            }
        }
        Ok(suite)
    }

    fn add(&mut self, task: &Arc<dyn Task>) {
        if !self.tasks.iter().any(|known| known.name() == task.name()) {
            self.tasks.push(Arc::clone(task));
        }
    }

    fn add_group(
        &mut self,
        group: &Group,
        groups: &[Group],
        table: &[Arc<dyn Task>],
        dir: &Path,
    ) -> Result<(), BenchmarkError> {
        let mut of_group: Vec<&Group> = vec![group];
        of_group.extend(
            groups
                .iter()
                .filter(|other| group.members.iter().any(|name| name == other.name)),
        );
        let members = |name: &str| {
            of_group
                .iter()
                .any(|group| group.members.iter().any(|member| member == name))
        };
        let members: Vec<&Arc<dyn Task>> =
            table.iter().filter(|task| members(task.name())).collect();
        let mut missing = Vec::new();
        for task in &members {
            if documents::are_there(dir, task.as_ref())? {
                self.add(task);
            } else {
                missing.push(task.name());
            }
        }
        if missing.len() == members.len() {
            return Err(documents::none(dir, members[0].as_ref()));
        }
        if !missing.is_empty() {
            self.notes.push(format!(
                "{}: {} of {} members have no file in {}: {}",
                group.name,
                missing.len(),
                members.len(),
                dir.display(),
                missing.join(", ")
            ));
        }
        for group in of_group {
            if !self.groups.iter().any(|known| known.name == group.name) {
                self.groups.push(group.clone());
            }
        }
        Ok(())
    }

    /// Reads the files of all tasks in `dir`.
    ///
    /// # Errors
    ///
    /// A file that is missing or has no rows, a document that is not the task's, too few few-shot examples.
    pub fn read(self, dir: &Path, options: Options) -> Result<Papers, BenchmarkError> {
        let paper = |task| Paper::read(task, dir, &options);
        let papers: Vec<Paper> = self
            .tasks
            .into_iter()
            .map(paper)
            .collect::<Result<_, _>>()?;
        let mut notes = self.notes;
        for paper in &papers {
            if options
                .num_fewshot
                .is_some_and(|wanted| wanted != paper.shots)
            {
                let (name, shots) = (paper.task.name(), paper.shots);
                notes.push(format!(
                    "{name} has always {shots} few-shot examples, as in lm-evaluation-harness"
                ));
            }
        }
        Ok(Papers {
            papers,
            groups: self.groups,
            options,
            notes,
        })
    }
}

/// Tasks whose questions are texts.
#[derive(Debug)]
pub struct Papers {
    papers: Vec<Paper>,
    groups: Vec<Group>,
    options: Options,
    notes: Vec<String>,
}

impl Papers {
    /// How many documents are asked in all.
    #[must_use]
    pub fn documents(&self) -> usize {
        self.papers.iter().map(|paper| paper.asked.len()).sum()
    }

    /// Writes the questions as `policy` reads them. `progress` is told the number of documents as they are done.
    ///
    /// # Errors
    ///
    /// A question that is too long, a model without a tokenizer or without the chat template that is asked for.
    pub fn encode<'a>(
        self,
        policy: &'a Policy,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Prepared<'a>, BenchmarkError> {
        let options = self.options;
        let reader = Reader::new(policy)?;
        if options.apply_chat_template && !policy.codec()?.has_template() {
            return Err(PolicyError::NoChatTemplate.into());
        }
        let mut notes = self.notes;
        let mut exams = Vec::with_capacity(self.papers.len());
        for paper in self.papers {
            let exam = Exam::encode(paper, &reader, &options, progress)?;
            if exam.cut() > 0 {
                let (name, cut, all) = (exam.task.name(), exam.cut(), exam.len());
                notes.push(format!(
                    "{name}: {cut} of {all} questions are cut on the left to the model's context"
                ));
            }
            exams.push(exam);
        }
        Ok(Prepared {
            exams,
            groups: self.groups,
            reader,
            policy,
            options,
            notes,
        })
    }
}

/// Whether a name is that of a file that defines a task.
fn is_definition(name: &str) -> bool {
    let ending = Path::new(name)
        .extension()
        .and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| ["toml", "yaml", "yml"].contains(&ending))
}

/// Tasks whose questions are ready.
#[derive(Debug)]
pub struct Prepared<'a> {
    exams: Vec<Exam>,
    groups: Vec<Group>,
    reader: Reader<'a>,
    policy: &'a Policy,
    options: Options,
    notes: Vec<String>,
}

impl Prepared<'_> {
    /// What a user should know, a sentence each: members of a group without a file, questions that are cut.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Asks the policy whatever `cache` does not know. `progress` is told the number of documents as they are done.
    ///
    /// # Errors
    ///
    /// A model that fails, a cache that cannot be written, a log-likelihood that is not finite.
    pub fn run(
        &self,
        mut cache: Option<&mut AnswerCache>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Results, BenchmarkError> {
        let mut tasks = Vec::with_capacity(self.exams.len());
        for exam in &self.exams {
            let cache = cache.as_deref_mut();
            tasks.push(exam.run(self.policy, &self.reader, &self.options, cache, progress)?);
        }
        Ok(Results {
            tasks,
            groups: self.groups.clone(),
        })
    }
}
