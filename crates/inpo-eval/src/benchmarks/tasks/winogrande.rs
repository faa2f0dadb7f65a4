//! WinoGrande (arXiv 1907.10641): which of two names a pronoun stands for.

use serde_json::{Value, json};

use crate::benchmarks::choice::Accuracy;
use crate::benchmarks::python::strip;
use crate::benchmarks::task::{Answer, Ask, Document, FewShot, Metric, Shot, Source, Task};

/// `winogrande`: the log-likelihood of the sentence's end behind each filled-in beginning.
#[derive(Debug)]
pub(super) struct WinoGrande;

/// The sentence's beginnings with either option in the gap, and what follows.
fn parts(document: &Document) -> Result<([String; 2], String), String> {
    let sentence = document.text("sentence")?;
    let Some((before, after)) = sentence.split_once('_') else {
        return Err("`sentence` has no gap (_)".to_owned());
    };
    let options = [document.text("option1")?, document.text("option2")?];
    let contexts = options.map(|option| format!("{before}{option}"));
    Ok((contexts, strip(after).to_owned()))
}

fn gold(document: &Document) -> Result<usize, String> {
    let answer: Value = document.needed("answer", "\"1\" or \"2\"")?;
    match answer.as_str() {
        Some("1") => Ok(0),
        Some("2") => Ok(1),
        _ => Err(format!("`answer` is {answer}; allowed: \"1\" or \"2\"")),
    }
}

impl Task for WinoGrande {
    fn name(&self) -> &str {
        "winogrande"
    }

    fn version(&self) -> f64 {
        1.0
    }

    fn source(&self) -> Source {
        Source {
            dataset: "allenai/winogrande".to_owned(),
            config: Some("winogrande_xl".to_owned()),
            split: "validation".to_owned(),
            shots: Some("train".to_owned()),
        }
    }

    fn question_column(&self) -> &str {
        "sentence"
    }

    fn few_shot(&self) -> FewShot {
        FewShot {
            // As of HellaSwag.
            leaves_out_document: true,
            ..FewShot::sampled(0)
        }
    }

    fn metrics(&self) -> Vec<Metric> {
        vec![Accuracy::Plain.metric()]
    }

    fn shot(&self, document: &Document) -> Result<Shot, String> {
        let (mut contexts, answer) = parts(document)?;
        let question = std::mem::take(&mut contexts[gold(document)?]);
        Ok(Shot { question, answer })
    }

    fn ask(&self, document: &Document) -> Result<Ask, String> {
        gold(document)?;
        let (contexts, continuation) = parts(document)?;
        Ok(Ask::Contexts {
            contexts: contexts.to_vec(),
            continuation,
        })
    }

    fn target(&self, document: &Document) -> Result<Value, String> {
        Ok(json!(gold(document)?))
    }

    fn score(&self, document: &Document, answer: &Answer) -> Result<Vec<Vec<f64>>, String> {
        let (contexts, _) = parts(document)?;
        let gold = [gold(document)?];
        Ok(vec![vec![Accuracy::Plain.of(
            answer.log_likelihoods(),
            &contexts,
            &gold,
        )]])
    }
}
