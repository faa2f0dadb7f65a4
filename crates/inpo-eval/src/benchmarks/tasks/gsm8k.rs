//! GSM8K (arXiv 2110.14168): sums of primary school in words.

use serde_json::{Value, json};

use crate::benchmarks::filter::{ExactMatch, Filter};
use crate::benchmarks::task::{Answer, Ask, Document, FewShot, Metric, Shot, Source, Task};

/// `gsm8k`: the number behind `####`, and the last number in the answer.
#[derive(Debug)]
pub(super) struct Gsm8k {
    filters: [Filter; 2],
    exact: ExactMatch,
}

impl Gsm8k {
    pub(super) fn new() -> Self {
        let filter = |pattern: &str, place: i64| {
            Filter::regex(pattern, place, "[invalid]").expect("it is valid")
        };
        let ignored = [",", r"\$", r"(?s).*#### ", r"\.$"];
        let exact = ExactMatch::new(&ignored.map(str::to_owned)).expect("they are valid");
        Self {
            filters: [
                filter(r"#### (\-?[0-9\.\,]+)", 0),
                filter(r"(-?[$0-9.,]{2,})|(-?[0-9]+)", -1),
            ],
            exact: ExactMatch {
                ignore_case: true,
                ..exact
            },
        }
    }
}

impl Task for Gsm8k {
    fn name(&self) -> &str {
        "gsm8k"
    }

    fn version(&self) -> f64 {
        3.0
    }

    fn source(&self) -> Source {
        Source {
            dataset: "openai/gsm8k".to_owned(),
            config: Some("main".to_owned()),
            split: "test".to_owned(),
            shots: Some("train".to_owned()),
        }
    }

    fn question_column(&self) -> &str {
        "question"
    }

    fn few_shot(&self) -> FewShot {
        FewShot::sampled(5)
    }

    fn metrics(&self) -> Vec<Metric> {
        ["strict-match", "flexible-extract"]
            .map(|filter| Metric::filtered("exact_match", filter))
            .to_vec()
    }

    fn shot(&self, document: &Document) -> Result<Shot, String> {
        Ok(Shot {
            question: format!("Question: {}\nAnswer:", document.text("question")?),
            answer: document.text("answer")?,
        })
    }

    fn ask(&self, document: &Document) -> Result<Ask, String> {
        Ok(Ask::Text {
            context: self.shot(document)?.question,
            until: ["Question:", "</s>", "<|im_end|>"]
                .map(str::to_owned)
                .to_vec(),
            max_new_tokens: 256,
        })
    }

    fn target(&self, document: &Document) -> Result<Value, String> {
        Ok(json!(document.text("answer")?))
    }

    fn score(&self, document: &Document, answer: &Answer) -> Result<Vec<Vec<f64>>, String> {
        let gold = document.text("answer")?;
        let of = |filter: &Filter| Ok(vec![self.exact.of(&filter.apply(answer.text())?, &gold)?]);
        self.filters.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::benchmarks::documents::document;

    /// What the harness's filters and `exact_match` make of answers to a sum whose result is 1,234.
    #[test]
    fn numbers_are_found_as_the_harness_finds_them() {
        let task = Gsm8k::new();
        let document = document(&json!({"question": "?", "answer": "so 1 and 2.\n#### 1,234"}));
        let of = |text: &str| {
            let scores = task
                .score(&document, &Answer::Text(text.to_owned()))
                .unwrap();
            scores.concat()
        };
        for (text, expected) in [
            ("It is 7.\n#### 1,234\nand then 9", [1.0, 0.0]),
            ("The answer is $1234.", [0.0, 1.0]),
            ("#### 1234.", [1.0, 1.0]),
            ("#### -1234", [0.0, 0.0]),
            ("It is 1234, or 5", [0.0, 0.0]),
            ("no number", [0.0, 0.0]),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
    }
}
