//! Results, in the shape of lm-evaluation-harness's.

use serde_json::{Map, Value, json};

use super::task::{Aggregation, Metric, Task};
use super::tasks::Group;

/// What came out of one task.
#[derive(Debug, Clone)]
pub struct TaskResult {
    /// The task's name.
    pub name: String,
    /// Its name in tables.
    pub alias: String,
    /// Its scores with their standard errors, where there is one: none of a single document.
    pub scores: Vec<(Metric, f64, Option<f64>)>,
    /// How many few-shot examples a document got.
    pub num_fewshot: usize,
    /// How many documents the files have.
    pub original: usize,
    /// How many of them were asked.
    pub effective: usize,
    version: f64,
    config: Value,
    /// The documents with their answers and scores, where they were asked for.
    pub(super) samples: Vec<Value>,
}

/// The results of several tasks.
#[derive(Debug, Clone)]
pub struct Results {
    /// The tasks, in the order asked.
    pub tasks: Vec<TaskResult>,
    pub(super) groups: Vec<Group>,
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The standard error of a mean, with n - 1.
fn standard_error(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let (mean, count) = (mean(values), values.len() as f64);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Some((squares / (count - 1.0)).sqrt() / count.sqrt())
}

impl TaskResult {
    /// `counts` are the few-shot examples, the documents, and those that were asked; `values` has those of each document.
    pub(super) fn new(
        task: &dyn Task,
        (num_fewshot, original, effective): (usize, usize, usize),
        values: impl Iterator<Item = (Metric, Vec<Vec<f64>>)>,
        samples: Vec<Value>,
    ) -> Self {
        let score = |(metric, values): (Metric, Vec<Vec<f64>>)| {
            let values = values.concat();
            let error = match metric.aggregation {
                Aggregation::Mean => standard_error(&values),
                Aggregation::Pooled => None,
            };
            (metric, mean(&values), error)
        };
        let scores: Vec<_> = values.map(score).collect();
        let source = task.source();
        let metrics = scores.iter().map(|(metric, _, _)| {
            json!({"metric": metric.name, "aggregation": "mean", "higher_is_better": metric.higher_is_better})
        });
        let config = json!({
            "task": task.name(),
            "task_alias": task.alias(),
            "dataset_path": source.dataset,
            "dataset_name": source.config,
            "split": source.split,
            "fewshot_split": source.shots,
            "num_fewshot": num_fewshot,
            "target_delimiter": task.delimiters().target,
            "fewshot_delimiter": task.delimiters().few_shot,
            "metric_list": metrics.collect::<Vec<_>>(),
            "metadata": {"version": task.version()},
        });
        Self {
            name: task.name().to_owned(),
            alias: task.alias().to_owned(),
            scores,
            num_fewshot,
            original,
            effective,
            version: task.version(),
            config,
            samples,
        }
    }

    fn to_json(&self) -> Value {
        let mut row = front(&self.name, &self.alias, self.effective);
        for (metric, value, error) in &self.scores {
            put(&mut row, &metric.name, &metric.filter, *value, *error);
        }
        Value::Object(row)
    }
}

fn front(name: &str, alias: &str, documents: usize) -> Map<String, Value> {
    let mut row = Map::new();
    row.insert("name".to_owned(), json!(name));
    row.insert("alias".to_owned(), json!(alias));
    row.insert("sample_len".to_owned(), json!(documents));
    row
}

fn put(row: &mut Map<String, Value>, name: &str, filter: &str, value: f64, error: Option<f64>) {
    row.insert(format!("{name},{filter}"), json!(value));
    let error = error.map_or_else(|| json!("N/A"), |error| json!(error));
    row.insert(format!("{name}_stderr,{filter}"), error);
}

impl Results {
    /// The tasks of a group that were asked.
    fn members(&self, group: &Group) -> Vec<&TaskResult> {
        let member = |name: &String| match self.groups.iter().find(|group| group.name == name) {
            Some(group) => self.members(group),
            None => self
                .tasks
                .iter()
                .filter(|task| task.name == *name)
                .collect(),
        };
        group.members.iter().flat_map(member).collect()
    }

    /// A group's scores: each the mean over all documents.
    fn group(&self, group: &Group) -> Value {
        let members = self.members(group);
        let documents = members.iter().map(|task| task.effective).sum();
        let mut row = front(group.name, group.alias, documents);
        for name in group.metrics {
            let scores = members.iter().flat_map(|task| {
                let scores = task
                    .scores
                    .iter()
                    .filter(|(metric, _, _)| metric.name == *name);
                scores.map(|(_, value, error)| (task.effective as f64, *value, *error))
            });
            let scores: Vec<(f64, f64, Option<f64>)> = scores.collect();
            let size: f64 = scores.iter().map(|(size, _, _)| size).sum();
            let value = scores
                .iter()
                .map(|(size, value, _)| value * size)
                .sum::<f64>()
                / size;
            let errors: Option<Vec<f64>> = scores
                .iter()
                .map(|(size, _, error)| error.map(|e| (size - 1.0) * e * e * size))
                .collect();
            let error = errors.map(|errors| {
                let pooled = errors.iter().sum::<f64>() / (size - scores.len() as f64);
                (pooled / size).sqrt()
            });
            put(&mut row, name, "none", value, error);
        }
        Value::Object(row)
    }

    /// `results.json`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let tasks = |of: &dyn Fn(&TaskResult) -> Value| {
            let pairs = self.tasks.iter().map(|task| (task.name.clone(), of(task)));
            pairs.collect::<Map<String, Value>>()
        };
        let mut results = tasks(&TaskResult::to_json);
        let mut versions = tasks(&|task| json!(task.version));
        let mut shots = tasks(&|task| json!(task.num_fewshot));
        let mut higher = tasks(&|task| {
            let metrics = task.scores.iter().map(|(metric, _, _)| metric);
            let metrics =
                metrics.map(|metric| (metric.name.clone(), json!(metric.higher_is_better)));
            Value::Object(metrics.collect())
        });
        let (mut groups, mut subtasks) = (Map::new(), Map::new());
        for group in &self.groups {
            let (name, members) = (group.name.to_owned(), self.members(group));
            let Some(first) = members.first() else {
                continue;
            };
            let row = self.group(group);
            results.insert(name.clone(), row.clone());
            groups.insert(name.clone(), row);
            versions.insert(name.clone(), json!(group.version));
            higher.insert(name.clone(), higher[&first.name].clone());
            if members
                .iter()
                .all(|task| task.num_fewshot == first.num_fewshot)
            {
                shots.insert(name.clone(), json!(first.num_fewshot));
            }
            subtasks.insert(name, json!(group.members));
        }
        let mut document = json!({ "results": results });
        if !groups.is_empty() {
            document["groups"] = json!(groups);
        }
        document["group_subtasks"] = json!(subtasks);
        document["configs"] = json!(tasks(&|task| task.config.clone()));
        document["versions"] = json!(versions);
        document["n-shot"] = json!(shots);
        document["higher_is_better"] = json!(higher);
        document["n-samples"] = json!(tasks(
            &|task| json!({"original": task.original, "effective": task.effective})
        ));
        document
    }

    /// Each document with the texts that the model was asked, its answers and its scores, where [`Options::samples`] asked for
    /// them.
    ///
    /// [`Options::samples`]: super::Options::samples
    pub fn samples(&self) -> impl Iterator<Item = &Value> {
        self.tasks.iter().flat_map(|task| &task.samples)
    }

    /// A line for each task and score, for people.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let results = self.to_json();
        let rows = results["results"].as_object().cloned().unwrap_or_default();
        rows.into_iter()
            .flat_map(|(name, row)| {
                let row = row.as_object().cloned().unwrap_or_default();
                let scores = row.clone().into_iter().filter_map(move |(key, value)| {
                    let (metric, filter) = key.split_once(',')?;
                    if metric.ends_with("_stderr") {
                        return None;
                    }
                    let error = row.get(&format!("{metric}_stderr,{filter}"))?;
                    let error = error
                        .as_f64()
                        .map(|error| format!(" +- {error:.4}"))
                        .unwrap_or_default();
                    let filter = if filter == "none" {
                        String::new()
                    } else {
                        format!(" ({filter})")
                    };
                    Some(format!(
                        "{name}: {metric}{filter} {:.4}{error}",
                        value.as_f64().unwrap_or(f64::NAN)
                    ))
                });
                scores.collect::<Vec<_>>()
            })
            .collect::<Vec<_>>()
            .into_iter()
    }
}
