//! Templates in the manner of many families against transformers
//! (`fixtures/templates/make_templates.py`).

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Golden {
    conversations: BTreeMap<String, Conversation>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Conversation {
    messages: Vec<Json>,
    add_generation_prompt: bool,
    tools: Option<Vec<Json>>,
    #[serde(default)]
    variables: Map<String, Json>,
}

#[derive(Deserialize)]
struct Case {
    template: String,
    conversation: String,
    expected: Option<String>,
    error: Option<String>,
}

/// 2024-07-26 10:40:00 UTC.
fn clock() -> i64 {
    1_721_990_400
}

#[test]
fn every_family_renders_as_in_transformers() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/templates");
    let golden = std::fs::read(dir.join("golden.json")).unwrap();
    let golden: Golden = serde_json::from_slice(&golden).unwrap();
    let special = tokens(&[
        ("bos_token", "<s>"),
        ("eos_token", "</s>"),
        ("unk_token", "<unk>"),
    ]);
    let (mut families, mut failures) = (BTreeMap::new(), Vec::new());
    for case in &golden.cases {
        let source = || std::fs::read_to_string(dir.join(format!("{}.jinja", case.template)));
        let template = families.entry(case.template.as_str()).or_insert_with(|| {
            ChatTemplate::compile_at(&source().unwrap(), special.clone(), clock).unwrap()
        });
        let conversation = &golden.conversations[&case.conversation];
        let options = ChatOptions {
            add_generation_prompt: conversation.add_generation_prompt,
            tools: conversation.tools.clone(),
            variables: conversation.variables.clone(),
            ..ChatOptions::default()
        };
        let rendered = template.render(&conversation.messages, &options);
        let name = format!("{}, {}", case.template, case.conversation);
        match (rendered, &case.expected, &case.error) {
            (Ok(text), Some(expected), None) if text == *expected => {}
            (Err(error), None, Some(expected)) => {
                // What the template itself says must be in the message; the words of an engine differ.
                if let Some(own) = expected.strip_prefix("TemplateError: ")
                    && !error.to_string().contains(own)
                {
                    failures.push(format!("{name}:\n  ours {error}\n  theirs {own}"));
                }
            }
            (rendered, expected, error) => failures.push(format!(
                "{name}:\n  ours {rendered:?}\n  theirs {expected:?} {error:?}"
            )),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(families.len(), 17, "{:?}", families.keys());
    assert_eq!(golden.cases.len(), 17 * 8);
}
