//! MMLU (arXiv 2009.03300): questions of exams in 57 subjects.

use serde_json::{Value, json};

use crate::benchmarks::choice::{Accuracy, checked_label};
use crate::benchmarks::python::strip;
use crate::benchmarks::task::{
    Answer, Ask, Document, FewShot, Metric, Shot, ShotDraw, Source, Task,
};

use super::Group;

/// The fields and their subjects.
const FIELDS: [(&str, &str, &[&str]); 4] = [
    (
        "mmlu_stem",
        "stem",
        &[
            "abstract_algebra",
            "anatomy",
            "astronomy",
            "college_biology",
            "college_chemistry",
            "college_computer_science",
            "college_mathematics",
            "college_physics",
            "computer_security",
            "conceptual_physics",
            "electrical_engineering",
            "elementary_mathematics",
            "high_school_biology",
            "high_school_chemistry",
            "high_school_computer_science",
            "high_school_mathematics",
            "high_school_physics",
            "high_school_statistics",
            "machine_learning",
        ],
    ),
    (
        "mmlu_other",
        "other",
        &[
            "business_ethics",
            "clinical_knowledge",
            "college_medicine",
            "global_facts",
            "human_aging",
            "management",
            "marketing",
            "medical_genetics",
            "miscellaneous",
            "nutrition",
            "professional_accounting",
            "professional_medicine",
            "virology",
        ],
    ),
    (
        "mmlu_social_sciences",
        "social sciences",
        &[
            "econometrics",
            "high_school_geography",
            "high_school_government_and_politics",
            "high_school_macroeconomics",
            "high_school_microeconomics",
            "high_school_psychology",
            "human_sexuality",
            "professional_psychology",
            "public_relations",
            "security_studies",
            "sociology",
            "us_foreign_policy",
        ],
    ),
    (
        "mmlu_humanities",
        "humanities",
        &[
            "formal_logic",
            "high_school_european_history",
            "high_school_us_history",
            "high_school_world_history",
            "international_law",
            "jurisprudence",
            "logical_fallacies",
            "moral_disputes",
            "moral_scenarios",
            "philosophy",
            "prehistory",
            "professional_law",
            "world_religions",
        ],
    ),
];

/// The letters of the choices.
const LETTERS: [&str; 4] = ["A", "B", "C", "D"];

/// The subjects as tasks.
pub(super) fn tasks() -> Vec<Box<dyn Task>> {
    let subjects = FIELDS.iter().flat_map(|(_, _, subjects)| *subjects);
    let task = |subject: &&'static str| -> Box<dyn Task> {
        Box::new(Mmlu {
            name: format!("mmlu_{subject}"),
            subject,
        })
    };
    subjects.map(task).collect()
}

/// `mmlu` and its fields.
pub(super) fn groups() -> Vec<Group> {
    let whole = Group {
        name: "mmlu",
        alias: "mmlu",
        version: "2",
        metrics: &["acc"],
        members: FIELDS
            .iter()
            .map(|(name, _, _)| (*name).to_owned())
            .collect(),
    };
    let field = |(name, alias, subjects): &(&'static str, &'static str, &[&str])| Group {
        name,
        alias,
        version: "2",
        metrics: &["acc"],
        members: subjects
            .iter()
            .map(|subject| format!("mmlu_{subject}"))
            .collect(),
    };
    std::iter::once(whole)
        .chain(FIELDS.iter().map(field))
        .collect()
}

/// One subject.
#[derive(Debug)]
struct Mmlu {
    name: String,
    subject: &'static str,
}

fn question(document: &Document) -> Result<String, String> {
    let choices: Vec<String> = document.needed("choices", "a list of four texts")?;
    let [a, b, c, d] = choices.as_slice() else {
        let count = choices.len();
        return Err(format!("`choices` has {count} texts; allowed: 4"));
    };
    let text = document.text("question")?;
    let text = strip(&text);
    Ok(format!("{text}\nA. {a}\nB. {b}\nC. {c}\nD. {d}\nAnswer:"))
}

/// The place of the right choice, which the data set has as a number; a letter is as good.
fn gold(document: &Document) -> Result<usize, String> {
    let answer: Value = document.needed("answer", "the number of the right choice")?;
    let letter = answer
        .as_str()
        .and_then(|text| LETTERS.iter().position(|letter| *letter == text));
    let number = answer
        .as_i64()
        .map(|number| checked_label("answer", number, LETTERS.len()));
    match (letter, number) {
        (Some(place), _) => Ok(place),
        (None, Some(place)) => place,
        (None, None) => Err(format!(
            "`answer` is {answer}; allowed: 0 to 3, or a letter from A to D"
        )),
    }
}

impl Task for Mmlu {
    fn name(&self) -> &str {
        &self.name
    }

    fn alias(&self) -> &str {
        self.subject
    }

    fn version(&self) -> f64 {
        1.0
    }

    fn source(&self) -> Source {
        Source {
            dataset: "cais/mmlu".to_owned(),
            config: Some(self.subject.to_owned()),
            split: "test".to_owned(),
            shots: Some("dev".to_owned()),
        }
    }

    fn question_column(&self) -> &str {
        "question"
    }

    fn few_shot(&self) -> FewShot {
        FewShot {
            draw: ShotDraw::FirstN,
            ..FewShot::sampled(0)
        }
    }

    fn metrics(&self) -> Vec<Metric> {
        vec![Accuracy::Plain.metric()]
    }

    fn description(&self, _document: &Document) -> Result<String, String> {
        let subject = self.subject.replace('_', " ");
        Ok(format!(
            "The following are multiple choice questions (with answers) about {subject}.\n\n"
        ))
    }

    fn shot(&self, document: &Document) -> Result<Shot, String> {
        Ok(Shot {
            question: question(document)?,
            answer: LETTERS[gold(document)?].to_owned(),
        })
    }

    fn ask(&self, document: &Document) -> Result<Ask, String> {
        gold(document)?;
        Ok(Ask::Choices {
            context: question(document)?,
            choices: LETTERS.map(str::to_owned).to_vec(),
        })
    }

    fn target(&self, document: &Document) -> Result<Value, String> {
        Ok(json!(gold(document)?))
    }

    fn score(&self, document: &Document, answer: &Answer) -> Result<Vec<Vec<f64>>, String> {
        let letters = LETTERS.map(str::to_owned);
        let value = Accuracy::Plain.of(answer.log_likelihoods(), &letters, &[gold(document)?]);
        Ok(vec![vec![value]])
    }
}
