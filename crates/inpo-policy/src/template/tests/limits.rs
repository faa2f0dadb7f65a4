//! What a hostile template cannot do, and several templates of one model.

use super::*;

fn refused(source: &str) -> String {
    render(source).unwrap_err().to_string()
}

#[test]
fn an_endless_template_is_stopped() {
    let source =
        "{% for a in range(9999) %}{% for b in range(9999) %}{{ a * b }}{% endfor %}{% endfor %}";
    let message = refused(source);
    assert!(message.contains("fuel"), "{message}");
}

#[test]
fn an_endless_macro_is_stopped() {
    let message = refused("{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}");
    assert!(message.contains("recursion"), "{message}");
}

#[test]
fn an_endless_text_is_stopped() {
    let source = "{% set x = 'x' * 1000000 %}{% for a in range(9999) %}{{ x }}{% endfor %}";
    let message = refused(source);
    assert!(
        message.contains("it writes more than 67108864 bytes"),
        "{message}"
    );
    assert!(refused("{{ 'x' * 1000000000 }}").contains("too large"));
}

#[test]
fn a_deep_value_is_refused() {
    let nest = "{% set ns = namespace(x=[]) %}{% for i in range(3000) %}{% set ns.x = [ns.x] %}{% endfor %}";
    for print in ["{{ ns.x }}", "{{ ns.x | tojson }}", "{{ ns.x | string }}"] {
        let message = refused(&format!("{nest}{print}"));
        assert!(
            message.contains("nests more than 100 lists and objects"),
            "{message}"
        );
    }
}

#[test]
fn a_very_deep_value_does_no_harm() {
    let nest = "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}";
    assert_eq!(render(&format!("{nest}done")).unwrap(), "done");
    for print in [
        "{{ ns.x ~ '' }}",
        "{{ ns.x == ns.x }}",
        "{{ ns.x in [1] }}",
        "{{ ns.x | sort }}",
    ] {
        let _ = render(&format!("{nest}{print}"));
    }
}

#[test]
fn a_long_source_is_refused() {
    let message = refused(&"x".repeat(LONGEST_SOURCE + 1));
    assert!(
        message.contains("it has 1048577 bytes, and at most 1048576 are read"),
        "{message}"
    );
}

#[test]
fn line_ends_are_line_feeds() {
    assert_eq!(render("a\r\nb\rc\n").unwrap(), "a\nb\nc");
}

#[test]
fn a_template_is_chosen_by_name_or_by_the_tools() {
    let sources = |names: &[&str]| -> Vec<(String, String)> {
        let named = names
            .iter()
            .map(|name| (name.to_string(), format!("{name}!")));
        named.collect()
    };
    let templates =
        |names: &[&str]| Templates::compile(sources(names), &SpecialTokens::default()).unwrap();
    let messages = [Message::user("a")];
    let three = templates(&["default", "tool_use", "rag"]);
    let with = |tools: bool, name: Option<&str>| ChatOptions {
        tools: tools.then(Vec::new),
        template: name.map(str::to_owned),
        ..ChatOptions::default()
    };
    let render = |options| three.render(&messages, &options).unwrap();
    assert_eq!(render(with(false, None)), "default!");
    assert_eq!(render(with(true, None)), "tool_use!");
    assert_eq!(render(with(true, Some("rag"))), "rag!");
    let missing = three
        .render(&messages, &with(false, Some("other")))
        .unwrap_err()
        .to_string();
    assert!(
        missing.contains(
            "the model has none named \"other\"; it has \"default\", \"rag\", \"tool_use\""
        ),
        "{missing}"
    );
    let no_default = templates(&["rag"]);
    assert!(no_default.render(&messages, &with(false, None)).is_err());
    assert!(matches!(
        templates(&[]).render(&messages, &with(false, None)),
        Err(PolicyError::NoChatTemplate)
    ));
}
