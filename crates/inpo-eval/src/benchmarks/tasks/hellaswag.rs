//! HellaSwag (arXiv 1905.07830): how a text goes on.

use std::sync::LazyLock;

use fancy_regex::Regex;
use serde_json::{Value, json};

use crate::benchmarks::choice::{Accuracy, checked_label};
use crate::benchmarks::python::{capitalize, strip};
use crate::benchmarks::task::{Answer, Ask, Document, FewShot, Metric, Shot, Source, Task};

/// `hellaswag`.
#[derive(Debug)]
pub(super) struct HellaSwag;

/// Marks of WikiHow's pages.
static BRACKETS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\[.*?\]").expect("it is valid"));

/// A text without the marks of WikiHow; of spaces that follow each other two become one, once.
fn cleaned(text: &str) -> String {
    let text = strip(text).replace(" [title]", ". ");
    BRACKETS.replace_all(&text, "").replace("  ", " ")
}

fn query(document: &Document) -> Result<String, String> {
    let activity = document.text("activity_label")?;
    let (start, rest) = (document.text("ctx_a")?, document.text("ctx_b")?);
    Ok(cleaned(&format!(
        "{activity}: {start} {}",
        capitalize(&rest)
    )))
}

fn endings(document: &Document) -> Result<Vec<String>, String> {
    let endings: Vec<String> = document.needed("endings", "a list of texts")?;
    Ok(endings.iter().map(|ending| cleaned(ending)).collect())
}

/// The label, which the data set has as a text.
fn gold(document: &Document, count: usize) -> Result<usize, String> {
    let label: Value = document.needed("label", "the number of the right ending")?;
    let number = match &label {
        Value::String(text) => strip(text).parse().ok(),
        other => other.as_i64(),
    };
    let number = number.ok_or_else(|| format!("`label` is {label}, which is no number"))?;
    checked_label("label", number, count)
}

impl Task for HellaSwag {
    fn name(&self) -> &str {
        "hellaswag"
    }

    fn version(&self) -> f64 {
        1.0
    }

    fn source(&self) -> Source {
        Source {
            dataset: "Rowan/hellaswag".to_owned(),
            config: None,
            split: "validation".to_owned(),
            shots: Some("train".to_owned()),
        }
    }

    fn question_column(&self) -> &str {
        "ctx_a"
    }

    fn few_shot(&self) -> FewShot {
        FewShot {
            // The harness names no split for either, and takes the two for one.
            leaves_out_document: true,
            ..FewShot::sampled(0)
        }
    }

    fn metrics(&self) -> Vec<Metric> {
        [Accuracy::Plain, Accuracy::Characters]
            .map(Accuracy::metric)
            .to_vec()
    }

    fn shot(&self, document: &Document) -> Result<Shot, String> {
        let mut endings = endings(document)?;
        let gold = gold(document, endings.len())?;
        Ok(Shot {
            question: query(document)?,
            answer: endings.swap_remove(gold),
        })
    }

    fn ask(&self, document: &Document) -> Result<Ask, String> {
        let choices = endings(document)?;
        gold(document, choices.len())?;
        let context = query(document)?;
        Ok(Ask::Choices { context, choices })
    }

    fn target(&self, document: &Document) -> Result<Value, String> {
        Ok(json!(gold(document, endings(document)?.len())?))
    }

    fn score(&self, document: &Document, answer: &Answer) -> Result<Vec<Vec<f64>>, String> {
        let endings = endings(document)?;
        let gold = [gold(document, endings.len())?];
        let of = |accuracy: Accuracy| vec![accuracy.of(answer.log_likelihoods(), &endings, &gold)];
        Ok([Accuracy::Plain, Accuracy::Characters].map(of).to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values are those of the harness's `preprocess`.
    #[test]
    fn marks_of_wikihow_go() {
        let text = " How to [title] Bake [step] a   cake. [substeps] Mix.  ";
        assert_eq!(cleaned(text), "How to. Bake a  cake. Mix.");
        assert_eq!(cleaned("a [line\nbreak] stays"), "a [line\nbreak] stays");
    }
}
