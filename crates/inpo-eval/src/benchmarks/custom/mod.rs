//! Tasks of the user's own: a file with the keys of lm-evaluation-harness's task YAML, as TOML or as YAML that needs no Python.

mod definition;
mod fields;
#[cfg(test)]
mod tests;

use std::path::Path;

use serde_json::Value;

use super::choice::{Accuracy, checked_label};
use super::documents::document_at;
use super::error::BenchmarkError;
use super::filter::{ExactMatch, Filter};
use super::task::{
    Answer, Ask, Delimiters, Document, FewShot, Metric, Pool, Shot, ShotCount, ShotDraw, Source,
    Task,
};

use definition::{Definition, OutputType};
use fields::{Choices, Field, Target};

/// A task that a file defines.
#[derive(Debug)]
pub(super) struct Custom {
    definition: Definition,
    text: Field,
    choices: Option<Choices>,
    target: Target,
    description: Field,
    /// The same for few-shot examples, where they differ.
    shot_text: Option<Field>,
    shot_choices: Option<Choices>,
    shot_target: Option<Target>,
    accuracies: Vec<Accuracy>,
    exact: ExactMatch,
    /// Each with its name.
    filters: Vec<(String, Vec<Filter>)>,
    few_shot: FewShot,
    column: String,
}

/// What a document asks for, by the value of `doc_to_text`.
enum Text {
    Question(String),
    /// The place of the right context among the choices.
    Contexts(usize),
}

impl Custom {
    /// Reads the file at `path`.
    pub(super) fn read(path: &Path) -> Result<Self, BenchmarkError> {
        let refuse = |reason: String| BenchmarkError::Definition {
            path: path.to_owned(),
            line: None,
            reason,
        };
        let definition = Definition::read(path)?;
        Self::new(definition).map_err(refuse)
    }

    fn new(definition: Definition) -> Result<Self, String> {
        let field = |key: &str, text: &str| Field::new(text).map_err(|e| format!("`{key}`: {e}"));
        let choices = |value: &Option<Value>| value.as_ref().map(Choices::new).transpose();
        let target = |value: &Value| Target::new(value);
        let shots = definition.fewshot_config.clone().unwrap_or_default();
        let multiple = definition.output_type == OutputType::MultipleChoice;
        if multiple && definition.doc_to_choice.is_none() {
            return Err(
                "output_type is multiple_choice, and `doc_to_choice` is not there".to_owned(),
            );
        }
        let few_shot = few_shot(&definition)?;
        Ok(Self {
            text: field("doc_to_text", &definition.doc_to_text)?,
            choices: choices(&definition.doc_to_choice)?,
            target: target(&definition.doc_to_target)?,
            description: field("description", &definition.description)?,
            shot_text: shots
                .doc_to_text
                .as_deref()
                .map(|text| field("doc_to_text", text))
                .transpose()?,
            shot_choices: choices(&shots.doc_to_choice)?,
            shot_target: shots.doc_to_target.as_ref().map(target).transpose()?,
            accuracies: if multiple {
                definition.accuracies()?
            } else {
                Vec::new()
            },
            exact: if multiple {
                ExactMatch::new(&[])?
            } else {
                definition.exact_match()?
            },
            filters: definition.filters()?,
            few_shot,
            column: definition.doc_to_text.clone(),
            definition,
        })
    }

    fn chosen(&self, document: &Document) -> Result<Option<Vec<String>>, String> {
        self.choices
            .as_ref()
            .map(|choices| choices.of(document))
            .transpose()
    }

    fn asked(&self, field: &Field, document: &Document) -> Result<Text, String> {
        let text = field.of(document)?;
        let digits = !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        if self.choices.is_some()
            && digits
            && self.definition.output_type == OutputType::MultipleChoice
        {
            return Ok(Text::Contexts(
                text.parse()
                    .map_err(|_| format!("`doc_to_text` is {text}"))?,
            ));
        }
        Ok(Text::Question(text))
    }

    /// The places of the right choices.
    fn gold(&self, document: &Document, choices: &[String]) -> Result<Vec<usize>, String> {
        let place = |value: &Value| match value {
            Value::String(text) => {
                let place = choices.iter().position(|choice| choice == text);
                place.ok_or_else(|| {
                    format!(
                        "`doc_to_target` is {text:?}, which is none of the {} choices",
                        choices.len()
                    )
                })
            }
            value => {
                let number = value
                    .as_i64()
                    .ok_or_else(|| format!("`doc_to_target` is {value}, which is no label"))?;
                checked_label("doc_to_target", number, choices.len())
            }
        };
        match self.target.of(document, true)? {
            Value::Array(values) => values.iter().map(place).collect(),
            value => Ok(vec![place(&value)?]),
        }
    }
}

/// How few-shot examples are chosen, by the harness's rules.
fn few_shot(definition: &Definition) -> Result<FewShot, String> {
    let shots = definition.fewshot_config.clone().unwrap_or_default();
    let draw = match shots.sampler.as_deref() {
        None | Some("default") => ShotDraw::Sampled,
        Some("first_n") => ShotDraw::FirstN,
        Some(other) => {
            return Err(format!(
                "`fewshot_config.sampler` is {other:?}; allowed: \"default\" or \"first_n\""
            ));
        }
    };
    let split = shots.split.as_ref().or(definition.fewshot_split.as_ref());
    let asked = definition
        .test_split
        .as_ref()
        .or(definition.validation_split.as_ref());
    let pool = match (split, &shots.samples) {
        (Some(split), _) if Some(split) == asked => Pool::FileOrDocuments,
        (Some(_), _) => Pool::File,
        (None, Some(rows)) => {
            let rows = (1..)
                .zip(rows)
                .map(|(row, columns)| document_at(inpo_data::Place::Row(row), columns));
            Pool::Own(rows.collect())
        }
        (None, None) if definition.training_split.is_some() => Pool::File,
        (None, None)
            if definition.validation_split.is_some() && definition.test_split.is_some() =>
        {
            Pool::File
        }
        (None, None) => Pool::FileOrDocuments,
    };
    Ok(FewShot {
        count: match definition.num_fewshot {
            Some(0) => ShotCount::Always(0),
            count => ShotCount::Default(count.unwrap_or(0)),
        },
        pool,
        draw,
        leaves_out_document: split == definition.test_split.as_ref(),
    })
}

impl Task for Custom {
    fn name(&self) -> &str {
        &self.definition.task
    }

    fn alias(&self) -> &str {
        self.definition
            .task_alias
            .as_deref()
            .unwrap_or(&self.definition.task)
    }

    fn version(&self) -> f64 {
        let version = self
            .definition
            .metadata
            .as_ref()
            .and_then(|data| data.get("version"));
        version.and_then(Value::as_f64).unwrap_or(0.0)
    }

    fn source(&self) -> Source {
        let definition = &self.definition;
        let split = definition
            .test_split
            .as_ref()
            .or(definition.validation_split.as_ref());
        let shots = definition
            .fewshot_config
            .as_ref()
            .and_then(|shots| shots.split.as_ref());
        Source {
            dataset: definition.dataset_path.clone().unwrap_or_default(),
            config: definition.dataset_name.clone(),
            split: split.cloned().unwrap_or_else(|| "test".to_owned()),
            shots: shots
                .or(definition.fewshot_split.as_ref())
                .or(definition.training_split.as_ref())
                .cloned(),
        }
    }

    fn question_column(&self) -> &str {
        &self.column
    }

    fn few_shot(&self) -> FewShot {
        self.few_shot.clone()
    }

    fn delimiters(&self) -> Delimiters {
        Delimiters {
            target: self.definition.target_delimiter.clone(),
            few_shot: self.definition.fewshot_delimiter.clone(),
        }
    }

    fn metrics(&self) -> Vec<Metric> {
        let filters = self.filters.iter().map(|(name, _)| name);
        filters
            .flat_map(|filter| {
                let names = self.accuracies.iter().map(|accuracy| accuracy.name());
                let exact = self.accuracies.is_empty().then_some("exact_match");
                names
                    .chain(exact)
                    .map(|name| Metric::filtered(name, filter))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    fn description(&self, document: &Document) -> Result<String, String> {
        self.description.of(document)
    }

    fn shot(&self, document: &Document) -> Result<Shot, String> {
        let choices = match &self.shot_choices {
            Some(choices) => Some(choices.of(document)?),
            None => self.chosen(document)?,
        };
        let question = match self.asked(self.shot_text.as_ref().unwrap_or(&self.text), document)? {
            Text::Question(text) => text,
            Text::Contexts(place) => {
                let choices = choices.clone().unwrap_or_default();
                let context = choices.get(place).cloned();
                context.ok_or_else(|| {
                    format!(
                        "`doc_to_text` is {place}, which is none of the {} choices",
                        choices.len()
                    )
                })?
            }
        };
        let target = self.shot_target.as_ref().unwrap_or(&self.target);
        let target = match target.of(document, choices.is_some())? {
            Value::Array(values) => values.into_iter().next().unwrap_or_default(),
            value => value,
        };
        let answer = match (target, choices) {
            (Value::String(text), _) => text,
            (value, Some(choices)) if value.is_number() => {
                let place =
                    checked_label("doc_to_target", value.as_i64().unwrap_or(-1), choices.len())?;
                choices[place].clone()
            }
            (value, _) => return Err(format!("`doc_to_target` is {value}, which is no text")),
        };
        Ok(Shot { question, answer })
    }

    fn ask(&self, document: &Document) -> Result<Ask, String> {
        let text = self.asked(&self.text, document)?;
        match (self.chosen(document)?, text) {
            (Some(choices), text) if self.definition.output_type == OutputType::MultipleChoice => {
                match text {
                    Text::Question(context) => {
                        self.gold(document, &choices)?;
                        Ok(Ask::Choices { context, choices })
                    }
                    Text::Contexts(place) => {
                        checked_label("doc_to_text", place as i64, choices.len())?;
                        let continuation = self.target.of(document, true)?;
                        let continuation = continuation
                            .as_str()
                            .ok_or("`doc_to_target` is no text")?
                            .to_owned();
                        Ok(Ask::Contexts {
                            contexts: choices,
                            continuation,
                        })
                    }
                }
            }
            (_, Text::Question(context)) => {
                self.target.of(document, self.choices.is_some())?;
                let (until, max_new_tokens) = self.definition.generation()?;
                Ok(Ask::Text {
                    context,
                    until,
                    max_new_tokens,
                })
            }
            (_, Text::Contexts(_)) => Err("`doc_to_text` is a number".to_owned()),
        }
    }

    fn target(&self, document: &Document) -> Result<Value, String> {
        self.target.of(document, self.choices.is_some())
    }

    fn score(&self, document: &Document, answer: &Answer) -> Result<Vec<Vec<f64>>, String> {
        let choices = self.chosen(document)?;
        if !self.accuracies.is_empty() {
            let choices = choices.unwrap_or_default();
            let gold = match self.asked(&self.text, document)? {
                Text::Question(_) => self.gold(document, &choices)?,
                Text::Contexts(place) => vec![place],
            };
            let of =
                |accuracy: &Accuracy| vec![accuracy.of(answer.log_likelihoods(), &choices, &gold)];
            let values: Vec<Vec<f64>> = self.accuracies.iter().map(of).collect();
            return Ok(self.filters.iter().flat_map(|_| values.clone()).collect());
        }
        let target = self.target.of(document, choices.is_some())?;
        let texts: Vec<String> = match (target, choices) {
            (value, Some(choices)) => {
                let place =
                    checked_label("doc_to_target", value.as_i64().unwrap_or(-1), choices.len())?;
                vec![choices[place].clone()]
            }
            (Value::Array(values), None) => values.iter().map(fields::text_of).collect(),
            (value, None) => vec![fields::text_of(&value)],
        };
        let of = |(_, filters): &(String, Vec<Filter>)| {
            let mut text = answer.text().to_owned();
            for filter in filters {
                text = filter.apply(&text)?;
            }
            let mut best = 0.0_f64;
            for gold in &texts {
                best = best.max(self.exact.of(&text, gold)?);
            }
            Ok(vec![best])
        };
        self.filters.iter().map(of).collect()
    }
}
