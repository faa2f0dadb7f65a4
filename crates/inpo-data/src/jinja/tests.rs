use minijinja::context;

use super::*;

const WHITESPACE: minijinja::machinery::WhitespaceConfig = minijinja::machinery::WhitespaceConfig {
    keep_trailing_newline: true,
    lstrip_blocks: true,
    trim_blocks: true,
};

fn values() -> Value {
    context! { a => vec![3, 1, 2], b => "text", m => context! { k => "v", n => context! { x => 1 } } }
}

fn render(source: &str) -> Result<String, String> {
    render_within(STEPS, source)
}

fn render_within(steps: u64, source: &str) -> Result<String, String> {
    apart(|| {
        STEPS_LEFT.set(steps);
        let source = guarded("t", source, WHITESPACE).map_err(|e| e.to_string())?;
        let mut environment = environment();
        let added = environment.add_template_owned("t", source);
        added.map_err(|e| e.to_string())?;
        let template = environment.get_template("t").map_err(|e| e.to_string())?;
        template.render(values()).map_err(|e| e.to_string())
    })?
}

/// As the engine renders it without limits.
fn plain(source: &str) -> String {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_keep_trailing_newline(true);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.render_str(source, values()).unwrap()
}

#[test]
fn a_template_means_what_it_did() {
    for source in [
        "a {{ b }}\n  {% if a %}\n\t\"quoted\" \\n {{- ' x ' -}}\n  {% endif %}\nend\n",
        "{% raw %}{{ b }} {% if %}{% endraw %}{# comment #}é",
        "{{ 1 + 2 * 3 - 4 / 2 }} {{ 2 ** 3 // 3 % 2 }} {{ -2 }} {{ not a }} {{ 1.5 + 1 }} {{ 1e300 }}",
        "{{ 'x' + b + 'y' }}{{ 'ab' * 3 }}{{ 1 ~ b ~ 2.0 ~ none }}",
        "{{ [1, 'a'] + [b] }}{{ [1] * 3 }}{{ a[1:] }}{{ a[::-1] }}{{ b[:2] }}{{ (1, 2) }}{{ {'x': 1, b: [2]} }}",
        "{{ 1 if b == 'text' else 2 if a else 3 }}{{ 'x' if false }}|{{ 1 < 2 < 3 }}{{ 2 in a and 9 not in a }}",
        "{{ m.k }}{{ m['n'].x }}{{ m.n['x'] }}{{ missing is defined }}{{ b is defined }}{{ 3 is odd }}{{ 2 is in a }}",
        "{{ a|sort|join(', ') }}{{ 'p\n\nq'|indent }}{{ 'p\nq'|indent(2, true) }}{{ m|tojson }}{{ b|upper|replace('T', 'x') }}{{ a|map('string')|list|length }}{{ missing|default('d') }}",
        "{% for x in a if x > 1 %}{{ loop.index }}{{ x }}{{ ',' if not loop.last }}{% else %}none{% endfor %}",
        "{% for k, v in m|items %}{{ k }}{% if loop.first %}{% continue %}{% endif %}{% break %}{% endfor %}",
        "{% for x in [[1, [2]], [3]] recursive %}{% if x is sequence %}({{ loop(x) }}){% else %}{{ x }}{% endif %}{% endfor %}",
        "{% if missing %}1{% elif b == 'no' %}2{% elif a %}3{% else %}4{% endif %}",
        "{% set x, y = 1, 2 %}{% set ns = namespace(n=0) %}{% for i in a %}{% set ns.n = ns.n + i %}{% endfor %}{{ x + y + ns.n }}",
        "{% set x %}<{{ b }}>{% endset %}{{ x }}{% set y | upper %}abc{% endset %}{{ y }}{% filter upper %}f{{ b }}{% endfilter %}",
        "{% macro f(p, q='d', r=none) %}[{{ p }}{{ q }}{{ r }}{{ caller() if caller }}]{% endmacro %}{{ f(1) }}{{ f(1, r=2) }}{% call f(3) %}body{% endcall %}",
        "{% macro g() %}{{ caller('c') }}{% endmacro %}{% call(z) g() %}{{ z }}!{% endcall %}{% with p = 1, q = b %}{{ p }}{{ q }}{% endwith %}",
        "{% block one %}x{{ b }}{% endblock %}{{ self.one() }}{% autoescape false %}<{% endautoescape %}{% do dict(x=1) %}",
        "{{ dict(x=1, **{'y': 2}) }}{{ range(3)|list }}{{ '%s-%05d'|format(b, 7) }}{{ a|batch(2)|list }}{{ namespace(x=1).x }}",
        "{{ loop is defined }}{{ [1, [2, {'a': (3, none, true)}]] }}{{ \"it's\\n\\\"q\\\"\" }}{{ 'a' 'b' }}",
    ] {
        assert_eq!(
            render(source).unwrap_or_else(|e| format!("error: {e}")),
            plain(source),
            "{source}"
        );
    }
}

#[test]
fn lines_stay_what_they_were() {
    let source = "{# one #}\n{%- set x = 1 %}\n\n  {% if x %}\n{{ b.upper(\n) }}{% endif %}";
    let error = render(source).unwrap_err();
    assert!(error.contains("(in t:5)"), "{error}");
    let broken = render("\n\n{% if %}").unwrap_err();
    assert!(broken.contains("(in t:3)"), "{broken}");
}

/// Forty doublings of a list.
const DOUBLED: &str = "{% set ns = namespace(x=[1]) %}{% for i in range(40) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}";

#[test]
fn no_operation_goes_beyond_the_limits() {
    let parts = "a value has more than 1048576 parts";
    let text = "a text of the template has more than 8388608 bytes";
    let stored = "a namespace cannot be stored in another value";
    let steps = "the template takes more than 20000000 steps";
    let cases = [
        (
            "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
            stored,
        ),
        (
            "{% set ns = namespace() %}{% set ns.x = [{'a': ns}] %}",
            stored,
        ),
        (
            "{% set ns = namespace() %}{% set other = namespace(x=ns) %}",
            stored,
        ),
        ("{% set ns = namespace() %}{% set x = dict(a=ns) %}", stored),
        (DOUBLED, parts),
        (
            "{% macro f(x) %}{{ f([x, x]) }}{% endmacro %}{{ f([1]) }}",
            parts,
        ),
        (
            "{% macro f(x) %}{{ f({'a': x, 'b': x}) }}{% endmacro %}{{ f([1]) }}",
            parts,
        ),
        (
            "{% macro f(x) %}{{ f(x + x) }}{% endmacro %}{{ f([1]) }}",
            parts,
        ),
        (
            "{% macro f(x) %}{{ f(x + x) }}{% endmacro %}{{ f('ab') }}",
            text,
        ),
        (
            "{% macro f(x) %}{{ f(x ~ x) }}{% endmacro %}{{ f('ab') }}",
            text,
        ),
        (
            "{% macro f(x) %}{{ f([x]) }}{% endmacro %}{{ f(1) }}",
            "recursion",
        ),
        (
            "{% set ns = namespace(x=1) %}{% for i in range(200) %}{% set ns.x = [ns.x] %}{% endfor %}",
            "nests more than 100",
        ),
        ("{{ 'x' * 1000000000 }}", "repeated string is too large"),
        ("{{ [1] * 1000000000 }}", "more than 1048576 items"),
        ("{{ ([1] * 1000000)[::1] * 2 }}", "more than 1048576 items"),
        ("{{ '%1000000000d'|format(1) }}", "allowed: up to 100000"),
        ("{{ '%*d'|format(1000000000, 1) }}", "allowed: up to 100000"),
        ("{{ ('%s' * 100000)|format('x' * 1000000) }}", text),
        (
            "{{ [1]|batch(1000000000, 'x')|list }}",
            "allowed: up to 100000",
        ),
        ("{{ [1]|slice(1000000000)|list }}", "allowed: up to 100000"),
        // Text between tags, in what is captured, is made again each time.
        (
            "{% set y %}{% for i in range(100000) %}{% for j in range(10) %}0123456789012345678901234567890123456789{% endfor %}{% endfor %}{% endset %}",
            "fuel",
        ),
        (
            "{% set x = 'x' * 8000000 %}{% set y %}{% for i in range(999) %}{{ x }}{% endfor %}{% endset %}",
            "more than 536870912 bytes",
        ),
        // What is read again and again costs steps.
        (
            "{% set x = range(100000)|list %}{% set y = range(100000)|list %}{% for i in range(9999) %}{% if x == y %}{% endif %}{% endfor %}",
            steps,
        ),
        (
            "{% set x = range(100000)|list %}{% for i in range(9999) %}{% set z = x|sort %}{% endfor %}",
            "more than 536870912 bytes",
        ),
        (
            "{% set x = range(100000)|list %}{% set z = x|select('in', x)|list %}",
            steps,
        ),
        (
            "{% set x = range(100000)|list %}{% for i in range(9999) %}{{ 1 if x in m }}{% endfor %}",
            steps,
        ),
        (
            "{% set x = range(100000)|list %}{% for i in range(9999) %}{{ 1 if loop.changed(x) }}{% endfor %}",
            steps,
        ),
        (
            "{% set x = range(100000)|list %}{% for i in range(9999) %}{{ 1 if 'x' is eq x }}{% endfor %}",
            steps,
        ),
        ("{% set x = 'x' * 1000000 %}{{ x|replace('x', x) }}", text),
        (
            "{% set x = 'x' * 1000000 %}{{ ('a' * 100)|list|join(x) }}",
            text,
        ),
        ("{{ ('a\n' * 1000)|indent(99999) }}", text),
        ("{{ [1]|tojson(indent=1000000000) }}", "indents by up to 64"),
        ("{% include 't' %}", "a template cannot read another one"),
        (
            "{% import 't' as t %}",
            "a template cannot read another one",
        ),
        ("{{ debug() }}", "unknown"),
    ];
    for (source, expected) in cases {
        // A twentieth of the steps takes a twentieth of the time.
        let left = if expected == steps { STEPS / 20 } else { STEPS };
        let error = render_within(left, source).expect_err(source);
        assert!(error.contains(expected), "{source}: {error}");
    }
}

#[test]
fn a_long_or_deep_source_is_no_overflow() {
    let long = |piece: &str, count: usize| format!("{{{{ 1{} }}}}", piece.repeat(count));
    assert!(render(&long(" + 1", 1000)).unwrap().contains("1001"));
    for source in [
        long(" + 1", 200_000),
        long("|abs", 200_000),
        long(".a", 400_000),
        long("(1)", 300_000),
        long(" if 1 else 1", 80_000),
        long(" and 1", 150_000),
        format!("{{{{ {}1 }}}}", "not ".repeat(250_000)),
        format!("{{{{ {}1 }}}}", "- ".repeat(500_000)),
        format!("{{{{ {}1{} }}}}", "[".repeat(500_000), "]".repeat(500_000)),
        "{% if 1 %}".repeat(100_000),
    ] {
        assert!(render(&source).is_err(), "{}", &source[..20]);
    }
    // A chain of conditions is no nesting.
    let chain = format!(
        "{{% if 0 %}}{}{{% else %}}x{{% endif %}}",
        "{% elif 0 %}".repeat(80_000)
    );
    assert_eq!(render(&chain).unwrap(), "x");
}

#[test]
fn a_panic_in_the_engine_is_an_error() {
    assert_eq!(
        apart(|| panic!("not printed")),
        Err::<(), _>("the template engine panicked".to_owned())
    );
}
