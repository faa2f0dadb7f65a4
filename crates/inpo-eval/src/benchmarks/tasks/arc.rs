//! AI2 ARC (arXiv 1803.05457): questions of school exams in the natural sciences, of which some are easy and some hard.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::benchmarks::choice::Accuracy;
use crate::benchmarks::task::{Answer, Ask, Document, FewShot, Metric, Shot, Source, Task};

/// `arc_easy` and `arc_challenge`.
#[derive(Debug)]
pub(super) struct Arc {
    pub(super) name: &'static str,
    pub(super) config: &'static str,
}

#[derive(Deserialize)]
struct Choices {
    text: Vec<String>,
    label: Vec<String>,
}

fn choices(document: &Document) -> Result<Choices, String> {
    let what = "an object with the lists `text` and `label`";
    let choices: Choices = document.needed("choices", what)?;
    if choices.text.len() != choices.label.len() || choices.text.is_empty() {
        return Err("`choices` has not one `label` for each `text`".to_owned());
    }
    Ok(choices)
}

fn gold(document: &Document, choices: &Choices) -> Result<usize, String> {
    let key = document.text("answerKey")?;
    let place = choices.label.iter().position(|label| *label == key);
    place.ok_or_else(|| {
        let labels = choices.label.join(", ");
        format!("`answerKey` is {key:?}, which is none of the labels of `choices` ({labels})")
    })
}

fn question(document: &Document) -> Result<String, String> {
    Ok(format!("Question: {}\nAnswer:", document.text("question")?))
}

impl Task for Arc {
    fn name(&self) -> &str {
        self.name
    }

    fn version(&self) -> f64 {
        1.0
    }

    fn source(&self) -> Source {
        Source {
            dataset: "allenai/ai2_arc".to_owned(),
            config: Some(self.config.to_owned()),
            split: "test".to_owned(),
            shots: Some("train".to_owned()),
        }
    }

    fn question_column(&self) -> &str {
        "question"
    }

    fn few_shot(&self) -> FewShot {
        FewShot::sampled(0)
    }

    fn metrics(&self) -> Vec<Metric> {
        [Accuracy::Plain, Accuracy::Characters]
            .map(Accuracy::metric)
            .to_vec()
    }

    fn shot(&self, document: &Document) -> Result<Shot, String> {
        let mut choices = choices(document)?;
        let gold = gold(document, &choices)?;
        Ok(Shot {
            question: question(document)?,
            answer: choices.text.swap_remove(gold),
        })
    }

    fn ask(&self, document: &Document) -> Result<Ask, String> {
        let choices = choices(document)?;
        gold(document, &choices)?;
        Ok(Ask::Choices {
            context: question(document)?,
            choices: choices.text,
        })
    }

    fn target(&self, document: &Document) -> Result<Value, String> {
        Ok(json!(gold(document, &choices(document)?)?))
    }

    fn score(&self, document: &Document, answer: &Answer) -> Result<Vec<Vec<f64>>, String> {
        let choices = choices(document)?;
        let gold = [gold(document, &choices)?];
        let of =
            |accuracy: Accuracy| vec![accuracy.of(answer.log_likelihoods(), &choices.text, &gold)];
        Ok([Accuracy::Plain, Accuracy::Characters].map(of).to_vec())
    }
}
