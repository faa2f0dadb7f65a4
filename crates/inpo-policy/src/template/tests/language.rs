//! The template language piece by piece against transformers (`fixtures/templates/make_language.py`).

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Language {
    messages: Vec<Json>,
    context: Map<String, Json>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    template: String,
    expected: Option<String>,
}

#[test]
fn every_piece_renders_as_in_transformers() {
    let language = include_str!("../../../tests/fixtures/templates/language.json");
    let language: Language = serde_json::from_str(language).unwrap();
    let special = tokens(&[
        ("bos_token", "<s>"),
        ("cls_token", "<cls>"),
        ("sep_token", "<sep>"),
    ]);
    let options = ChatOptions {
        variables: language.context,
        ..ChatOptions::default()
    };
    let mut failures = Vec::new();
    for case in &language.cases {
        let rendered = ChatTemplate::compile(&case.template, special.clone())
            .and_then(|template| template.render(&language.messages, &options));
        let same = match (&rendered, &case.expected) {
            (Ok(text), Some(expected)) => text == expected,
            (Err(_), None) => true,
            _ => false,
        };
        if !same {
            failures.push(format!(
                "{}\n  ours   {rendered:?}\n  theirs {:?}",
                case.template, case.expected
            ));
        }
    }
    let (failed, all) = (failures.len(), language.cases.len());
    assert!(
        failures.is_empty(),
        "{failed} of {all}:\n{}",
        failures.join("\n")
    );
}
