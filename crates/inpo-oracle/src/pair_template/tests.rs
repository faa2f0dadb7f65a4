use inpo_data::Completion;
use inpo_game::Comparison;

use super::*;

fn labels(labels: &[&str]) -> Vec<String> {
    labels.iter().map(ToString::to_string).collect()
}

fn render(template: &str, prompt: &Prompt) -> Result<Vec<String>, String> {
    let template = PairTemplate::parse("t", template).unwrap();
    let (first, second) = (
        Completion::finished("<one> & {{ a }}"),
        Completion::finished("two"),
    );
    let question = Comparison {
        prompt,
        first: &first,
        second: &second,
    };
    let messages = template.render(&question, &labels(&["A", "B"]))?;
    let text = |m: &Message| format!("{}: {}", m.role, m.content);
    Ok(messages.iter().map(text).collect())
}

#[test]
fn everything_that_a_template_may_show() {
    let mut prompt = Prompt::new(vec![
        Message::system("Be brief."),
        Message::user("Hi."),
        Message::assistant("Hello."),
        Message::user("Name a fruit."),
    ]);
    prompt.metadata.insert("reference".to_owned(), json!("fig"));
    let template = r#"
        system = "{{ labels | join('/') }} {{ reference }}"
        user = """
{{ conversation }}|{{ prompt }}|{% for m in messages %}{{ m.role[0] }}{% endfor %}|{{ a }}|{{ b }}
"""
    "#;
    assert_eq!(
        render(template, &prompt).unwrap(),
        [
            "system: A/B fig",
            // What a response says is never taken for a template, nor escaped; the last line end stays.
            "user: System: Be brief.\n\nUser: Hi.\n\nAssistant: Hello.\n\nUser: Name a fruit.|Name a fruit.|suau|<one> & {{ a }}|two\n",
        ]
    );
    let alone = render(
        "user = '{{ conversation }} {{ a }} {{ b }}'",
        &Prompt::user("Hi."),
    );
    assert_eq!(alone.unwrap(), ["user: Hi. <one> & {{ a }} two"]);
}

#[test]
fn a_question_that_cannot_be_asked_is_named() {
    let template = "user = '{{ a }} {{ b }} {{ reference }}'";
    let mut prompt = Prompt::user("x").numbered(7);
    // As a table writes an absent field.
    prompt.metadata.insert("reference".to_owned(), Json::Null);
    let error = render(template, &prompt).unwrap_err();
    assert!(
        error.starts_with("the template cannot be filled for prompt 7: undefined value")
            && error.ends_with("; its row has no column `reference`"),
        "{error}"
    );
    let ids = Prompt::from_ids(vec![1]).numbered(6);
    assert_eq!(
        render("user = '{{ a }} {{ b }}'", &ids).unwrap_err(),
        "prompt 6 is given as token ids, and a judge over text needs its conversation"
    );
    let endless = "user = '{{ a }}{{ b }}{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}'";
    let error = render(endless, &Prompt::user("x")).unwrap_err();
    assert!(error.contains("fuel"), "{error}");
}

#[test]
fn the_key_of_a_prompt_has_the_columns_that_are_read() {
    let template = "user = '{{ a }} {{ b }} {{ reference }}{% if hint is defined %}{{ hint }}{% endif %}{% for i in range(2) %}{% endfor %}'";
    let template = PairTemplate::parse("t", template).unwrap();
    assert_eq!(template.columns(), ["hint", "reference"]);
    let mut prompt = Prompt::user("x");
    prompt.metadata.insert("reference".to_owned(), json!(3));
    prompt.metadata.insert("source".to_owned(), json!("web"));
    assert_eq!(
        template.prompt_key(&prompt),
        json!({
            "messages": [{"role": "user", "content": "x"}],
            "columns": {"hint": null, "reference": 3},
        })
    );
    let plain = PairTemplate::find("labels").unwrap();
    assert_eq!(
        plain.prompt_key(&prompt),
        json!({"messages": [{"role": "user", "content": "x"}]})
    );
}

#[test]
fn the_last_verdict_counts() {
    let p = |name: &str, text: &str| {
        let read = PairTemplate::find(name).unwrap().read(text);
        read.map(Preference::get)
    };
    assert_eq!(p("mt_bench", "At first [[B]], but no: [[A]]"), Ok(1.0));
    assert_eq!(p("mt_bench", "[[B]]"), Ok(0.0));
    assert_eq!(p("mt_bench", "[[C]]."), Ok(0.5));
    for (text, expected) in [
        ("[[A>>B]]", 1.0),
        ("[[A>B]]", 0.75),
        ("[[A=B]]", 0.5),
        ("[[B>A]]", 0.25),
        ("My verdict: [[B>>A]]\n", 0.0),
    ] {
        assert_eq!(p("arena_hard", text), Ok(expected), "{text}");
    }
    let none = |name: &str, text: &str| p(name, text).unwrap_err();
    assert_eq!(
        none("mt_bench", "[A] is better"),
        "no verdict in \"[A] is better\""
    );
    assert_eq!(none("mt_bench", "[[a]]"), "no verdict in \"[[a]]\"");
    assert_eq!(none("arena_hard", ""), "no verdict in \"\"");
    let long = format!("{}the end", "x".repeat(100));
    let expected = format!("no verdict in \"…{}the end\"", "x".repeat(53));
    assert_eq!(none("mt_bench", &long), expected);
    let loose = "user = '{{ a }}{{ b }}'\npattern = 'V=(.)'\nverdicts = { x = 1 }";
    let loose = PairTemplate::parse("t", loose).unwrap();
    assert_eq!(
        loose.read("V=x V=y").unwrap_err(),
        "the verdict \"y\" is not in [verdicts]"
    );
}

#[test]
fn shipped_templates_show_what_they_should() {
    let (first, second) = (Completion::finished("one"), Completion::finished("two"));
    let mut prompt = Prompt::user("Name a fruit.");
    for (name, _) in SHIPPED {
        let template = PairTemplate::find(name).unwrap();
        let question = Comparison {
            prompt: &prompt,
            first: &first,
            second: &second,
        };
        let text = |labels: &[String]| {
            let messages = template.render(&question, labels).unwrap();
            assert_eq!(messages.len(), 2, "{name}");
            messages[1].content.clone()
        };
        let user = text(&labels(&["A", "B"]));
        let place = |words: &str| user.find(words).unwrap();
        assert!(place("Name a fruit.") < place("one") && place("one") < place("two"));
        assert_eq!(user.trim(), user, "{name}");
    }
    let template = PairTemplate::find("labels").unwrap();
    let question = Comparison {
        prompt: &prompt,
        first: &first,
        second: &second,
    };
    let three = template.render(&question, &labels(&["1", "2", "tie"]));
    let three = three.unwrap()[1].content.clone();
    assert!(
        three.ends_with(
            "Reply with 1 or 2, or with tie if neither is better, and with nothing else."
        ),
        "{three}"
    );
    prompt.metadata.insert("reference".to_owned(), json!("fig"));
    let question = Comparison {
        prompt: &prompt,
        first: &first,
        second: &second,
    };
    let template = PairTemplate::find("mt_bench").unwrap();
    let with = template.render(&question, &labels(&["A", "B"])).unwrap();
    assert!(
        with[1]
            .content
            .contains("<reference answer>\nfig\n</reference answer>")
    );
}

#[test]
fn templates_that_are_none_are_named() {
    let error = |text: &str| PairTemplate::parse("t.toml", text).unwrap_err().to_string();
    let both = "user = '{{ a }} {{ b }}'\n";
    for (text, words) in [
        ("user = '{{ a }}'", "it does not show the response `b`"),
        ("user = '{{ a '", "`user`: syntax error"),
        (&format!("{both}colour = 1"), "unknown field `colour`"),
        ("system = 'x'", "missing field `user`"),
        (
            &format!("{both}pattern = 'x'"),
            "it has a `pattern` and no [verdicts]",
        ),
        (
            &format!("{both}verdicts = {{ A = 1 }}"),
            "it has [verdicts] and no `pattern`",
        ),
        (
            &format!("{both}pattern = '('\nverdicts = {{ A = 1 }}"),
            "`pattern`: ",
        ),
        (
            &format!(
                "{both}pattern = '{}'\nverdicts = {{ A = 1 }}",
                "x".repeat(4097)
            ),
            "`pattern`: the expression has 4097 bytes; allowed: up to 4096",
        ),
        (
            &format!("{both}pattern = '(?:\\w{{1000}}){{1000}}'\nverdicts = {{ A = 1 }}"),
            "`pattern`: ",
        ),
        (
            "user = '{{ a }}{{ b }}{% include a %}'",
            "`user`: syntax error: a template cannot read another one",
        ),
        (
            &format!("{both}pattern = 'A'\nverdicts = {{ A = 2 }}"),
            "[verdicts] \"A\" is 2; allowed: P(the first is better), from 0 to 1",
        ),
        (
            &format!("{both}labels = ['A']"),
            "`labels` has 1 texts; allowed: two, or three where the third is a tie",
        ),
        (
            &format!("{both}labels = ['A', 'A']"),
            "`labels` holds \"A\" twice",
        ),
        (
            &format!("{both}labels = ['A', ' B']"),
            "`labels` holds \" B\"; allowed: texts without spaces around them",
        ),
    ] {
        let error = error(text);
        assert!(
            error.starts_with("oracle.template, t.toml: ") && error.contains(words),
            "{error}"
        );
    }
    assert_eq!(
        PairTemplate::find("mt-bench").unwrap_err().to_string(),
        "oracle.template is \"mt-bench\": it is no file, and the shipped templates are `labels`, `mt_bench` and `arena_hard`"
    );
}

/// The limits are those of `inpo_data::jinja`.
#[test]
fn a_hostile_template_is_stopped() {
    let [a, b] = ["a", "b"].map(Completion::finished);
    let (prompt, labels) = (Prompt::user("x"), ["A", "B"].map(str::to_owned));
    for (source, words) in [
        (
            "{% set ns = namespace(x=[a, b]) %}{% for i in range(40) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}",
            "a value has more than 1048576 parts",
        ),
        (
            "{% set ns = namespace(x=[a, b]) %}{% set ns.x = ns %}{{ ns }}",
            "a namespace cannot be stored in another value",
        ),
        (
            "{{ a }}{{ b }}{{ (a * 8000000)|replace(a, 'xx') }}",
            "a text of the template has more than 8388608 bytes",
        ),
    ] {
        let template = PairTemplate::parse("t.toml", &format!("user = \"{source}\"")).unwrap();
        let question = Question {
            prompt: &prompt,
            first: &a,
            second: &b,
        };
        let error = template.render(&question, &labels).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}
