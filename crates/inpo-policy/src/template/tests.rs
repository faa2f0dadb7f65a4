use serde::Deserialize;

use super::*;

mod families;
mod language;
mod limits;

fn special() -> SpecialTokens {
    tokens(&[("bos_token", "<s>"), ("eos_token", "</s>")])
}

fn tokens(named: &[(&str, &str)]) -> SpecialTokens {
    let own = |(name, token): &(&str, &str)| ((*name).to_owned(), (*token).to_owned());
    SpecialTokens::new(named.iter().map(own))
}

fn render(source: &str) -> Result<String, PolicyError> {
    ChatTemplate::compile(source, special())?
        .render(&[Message::user("hello")], &ChatOptions::default())
}

#[test]
fn renders_as_transformers_does() {
    #[derive(Deserialize)]
    struct Case {
        name: String,
        template: String,
        messages: Vec<Message>,
        add_generation_prompt: bool,
        expected: Option<String>,
        error: Option<String>,
    }
    let cases = include_str!("../../tests/fixtures/chat_templates.json");
    let cases: Vec<Case> = serde_json::from_str(cases).unwrap();
    assert_eq!(
        cases.len(),
        30,
        "5 templates, 3 conversations, with and without the answer's opening"
    );
    for case in cases {
        let template = ChatTemplate::compile(&case.template, special()).unwrap();
        let rendered = template.render(
            &case.messages,
            &ChatOptions {
                add_generation_prompt: case.add_generation_prompt,
                ..ChatOptions::default()
            },
        );
        match (case.expected, case.error) {
            (Some(expected), None) => assert_eq!(rendered.unwrap(), expected, "{}", case.name),
            (None, Some(error)) => {
                let message = rendered.unwrap_err().to_string();
                assert!(message.contains(&error), "{}: {message}", case.name);
            }
            _ => panic!("{}: a case has a text or an error", case.name),
        }
    }
}

#[test]
fn a_broken_template_names_its_line() {
    let message = render("line 1\n{% if %}").unwrap_err().to_string();
    assert!(
        message.starts_with("the chat template fails: syntax error: "),
        "{message}"
    );
    assert!(message.contains("chat template:2"), "{message}");
}

#[test]
fn a_template_that_refuses_is_quoted() {
    let message = render("{{ raise_exception('no tools here') }}")
        .unwrap_err()
        .to_string();
    assert!(message.contains("no tools here"), "{message}");
    assert!(
        message.ends_with("check the roles and their order, or the template"),
        "{message}"
    );
}

#[test]
fn dates_are_formatted_as_by_strftime() {
    // 1721990400 is 2024-07-26 10:40:00 UTC, a Friday.
    assert_eq!(
        clock::strftime(1_721_990_400, "%d %b %Y, %A %H:%M").unwrap(),
        "26 Jul 2024, Friday 10:40"
    );
    assert!(
        clock::strftime(0, "%Q")
            .unwrap_err()
            .to_string()
            .contains("strftime_now cannot format \"%Q\"")
    );
    assert!(render("{{ strftime_now('%Y') }}").unwrap().starts_with("2"));
}

#[test]
fn conversations_are_checked() {
    let message = |messages: &[Message]| check_messages(messages).unwrap_err().to_string();
    assert_eq!(
        message(&[]),
        "the conversation is empty; give at least one message with role `user`"
    );
    assert_eq!(
        message(&[Message::user("a"), Message::new("robot", "b")]),
        "message 1: unknown role \"robot\"; allowed are system, developer, user, assistant, tool, function and ipython"
    );
    assert_eq!(
        message(&[Message::user(" \n")]),
        "message 0 (role user) is empty; give it text or leave it out"
    );
    assert!(check_messages(&[Message::system(""), Message::user("a")]).is_ok());
}
