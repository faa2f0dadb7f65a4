use serde_json::json;

use super::*;

fn task(toml: &str) -> Result<Custom, BenchmarkError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine.toml");
    std::fs::write(&path, toml).unwrap();
    Custom::read(&path)
}

const ARC: &str = r#"
    task = "mine"
    output_type = "multiple_choice"
    doc_to_text = "Question: {{question}}\nAnswer:"
    doc_to_choice = "{{choices.text}}"
    doc_to_target = "{{choices.label.index(answerKey)}}"
    metric_list = [{ metric = "acc" }, { metric = "acc_bytes" }]
"#;

#[test]
fn templates_make_questions_and_labels() {
    let task = task(ARC).unwrap();
    let row = json!({"question": "Why?", "choices": {"text": ["no", "it's é"], "label": ["A", "B"]}, "answerKey": "B"});
    let document = super::super::documents::document(&row);
    assert_eq!(
        task.ask(&document).unwrap(),
        Ask::Choices {
            context: "Question: Why?\nAnswer:".to_owned(),
            choices: vec!["no".to_owned(), "it's é".to_owned()],
        }
    );
    assert_eq!(task.shot(&document).unwrap().answer, "it's é");
    let scores = task.score(&document, &Answer::LogLikelihoods(vec![-2.0, -3.0]));
    assert_eq!(scores.unwrap(), [[0.0], [1.0]]);
}

#[test]
fn what_cannot_be_used_is_named() {
    let said = |toml: &str| task(toml).unwrap_err().to_string();
    for (from, to, expected) in [
        (
            "acc_bytes",
            "brier_score",
            "`metric_list`: the metric \"brier_score\" is not known",
        ),
        (
            "multiple_choice",
            "loglikelihood",
            "`output_type`: unknown variant `loglikelihood`",
        ),
        (
            "metric_list",
            "process_docs = 1\nmetric_list",
            "`process_docs` needs Python",
        ),
        (
            "metric_list",
            "colour = 1\nmetric_list",
            "the key `colour` is not known",
        ),
        ("{{choices.text}}", "{{choices.text", "`doc_to_choice`"),
        (
            "doc_to_choice",
            "description",
            "`doc_to_choice` is not there",
        ),
    ] {
        let message = said(&ARC.replace(from, to));
        assert!(message.contains(expected), "{message}");
    }
}
