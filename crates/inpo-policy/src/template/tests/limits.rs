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
    for print in [
        "done",
        "{{ ns.x ~ '' }}",
        "{{ ns.x == ns.x }}",
        "{{ ns.x in [1] }}",
        "{{ ns.x | sort }}",
    ] {
        let message = refused(&format!("{nest}{print}"));
        assert!(
            message.contains("nests more than 100 lists and objects"),
            "{message}"
        );
    }
}

#[test]
fn no_filter_and_no_method_makes_too_much() {
    let text = "a text of the template has more than 8388608 bytes";
    let parts = "a value has more than 1048576 parts";
    let steps = "takes more than 20000000 steps";
    let big = "{% set x = 'x' * 1000000 %}";
    let list = "{% set x = range(100000)|list %}";
    let each = |what: &str| {
        format!("{list}{{% for i in range(9999) %}}{{% if {what} %}}{{% endif %}}{{% endfor %}}")
    };
    for (source, expected) in [
        (format!("{big}{{{{ x|replace('x', x) }}}}"), text),
        (format!("{big}{{{{ x.replace('x', x) }}}}"), text),
        (format!("{big}{{{{ x|replace('', x) }}}}"), text),
        (format!("{big}{{{{ ([x] * 1000)|join(x) }}}}"), parts),
        (format!("{big}{{{{ (['a'] * 1000)|join(x) }}}}"), text),
        (format!("{big}{{{{ x.join(['a'] * 1000) }}}}"), text),
        (
            format!("{big}{{{{ ('\n' * 1000)|indent(x, blank=true) }}}}"),
            text,
        ),
        ("{{ ('a\n' * 100000)|indent(1000000000) }}".to_owned(), text),
        (
            format!(
                "{big}{{{{ ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k']|tojson(separators=[x, x]) }}}}"
            ),
            text,
        ),
        (
            "{{ ([1] * 1000000)|tojson(indent=1000000000) }}".to_owned(),
            text,
        ),
        (
            "{{ ('\t' * 1000000).expandtabs(1000000) }}".to_owned(),
            text,
        ),
        (
            "{{ '{:1000000000}'.format(1) }}".to_owned(),
            "allowed: up to 100000",
        ),
        (format!("{big}{{{{ ('{{0}}' * 1000).format(x) }}}}"), text),
        (
            "{% set y = range(100000)|map('center', 65536)|list %}".to_owned(),
            "more than 536870912 bytes",
        ),
        (each("x.count(1)"), steps),
        (
            format!(
                "{big}{{% for i in range(99999) %}}{{% if x.find('y') %}}{{% endif %}}{{% endfor %}}"
            ),
            steps,
        ),
        (
            "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}".to_owned(),
            "a namespace cannot be stored",
        ),
    ] {
        let message = refused(&source);
        assert!(message.contains(expected), "{source}: {message}");
    }
    // What is not that large is as it was.
    assert_eq!(
        render("{{ 'x'.ljust(3) ~ 'y'|center(4) ~ '{:03d}'.format(7) }}").unwrap(),
        "x   y  007"
    );
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
