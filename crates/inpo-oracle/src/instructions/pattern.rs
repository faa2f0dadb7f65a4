//! Regular expressions: those of the checkers, and those that a row brings, which are Python's.

use fancy_regex::{Regex, RegexBuilder};

use crate::text::foreign_regex;

/// Steps after which a row's own expression is given up. One without nested repetition never gets there.
const PATIENCE: usize = 10_000_000;

/// `\s` of Python's `re`.
pub(super) const SPACE: &str = r"[\s\x1c-\x1f]";

/// `\w` of Python's `re`, as the inside of a class: marks, and with them the vowel signs of Indic scripts, are no word
/// characters.
const WORD: &str = r"\p{L}\p{N}_";

/// A compiled expression.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Regex);

impl Pattern {
    /// An expression of a checker, in this engine's syntax.
    pub(super) fn new(pattern: &str) -> Self {
        let built = RegexBuilder::new(pattern)
            .backtrack_limit(usize::MAX)
            .build();
        Self(built.expect("the checkers' expressions compile"))
    }

    /// An expression in Python's syntax that ignores case, or what is wrong with it.
    pub(super) fn python(pattern: &str) -> Result<Self, String> {
        Self::compile(&format!("(?i){}", translate(pattern, true)?))
    }

    /// An expression in Python's syntax, or what is wrong with it.
    pub(super) fn python_cased(pattern: &str) -> Result<Self, String> {
        Self::compile(&translate(pattern, false)?)
    }

    fn compile(pattern: &str) -> Result<Self, String> {
        foreign_regex(pattern, PATIENCE).map(Self)
    }

    /// The matches that do not overlap. One that takes too long to find ends them.
    pub(super) fn find<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> {
        let found = self.0.find_iter(text);
        found.map_while(|found| found.ok().map(|found| found.as_str()))
    }

    /// How many matches there are.
    pub(super) fn count(&self, text: &str) -> usize {
        self.find(text).count()
    }

    /// Whether there is a match.
    pub(super) fn is_in(&self, text: &str) -> bool {
        self.0.is_match(text).unwrap_or(false)
    }

    /// The groups of a match, the whole of it included.
    pub(super) fn groups(&self) -> usize {
        self.0.captures_len()
    }

    /// `text` with every match replaced.
    pub(super) fn replace(&self, text: &str, to: &str) -> String {
        match self.0.try_replacen(text, 0, to) {
            Ok(replaced) => replaced.into_owned(),
            Err(_) => text.to_owned(),
        }
    }
}

/// Writes an expression of Python's `re` in the syntax of `fancy_regex`, which reads most of it alike.
fn translate(pattern: &str, ignore_case: bool) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => rest = escape(rest, false, &mut out)?,
            '[' => rest = class(rest, &mut out)?,
            // Python's `$` also stands before a newline that ends the text.
            '$' => out.push_str(r"(?=\n?\z)"),
            '{' => match repetition(rest) {
                Some((times, after)) => {
                    out.push_str(&times);
                    rest = after;
                }
                None => out.push_str(r"\{"),
            },
            '}' | ']' => out.extend(['\\', c]),
            // Python folds the dotted capital and the dotless small i, other engines do not.
            'i' | 'I' if ignore_case && !opens_group(&out) => out.push_str("[iI\u{130}\u{131}]"),
            '\u{130}' | '\u{131}' if ignore_case => out.push_str("[iI\u{130}\u{131}]"),
            _ => out.push(c),
        }
    }
    Ok(out)
}

/// Whether `out` ends in the head of a group, whose letters are flags or a name.
fn opens_group(out: &str) -> bool {
    out.rfind("(?").is_some_and(|at| {
        let head = &out[at + 2..];
        !head.contains([')', ':', '>', '=', '!', '|']) && !head.starts_with('#')
    })
}

/// `m}`, `m,}`, `,n}` or `m,n}` after a brace: the repetition, and what follows it.
fn repetition(rest: &str) -> Option<(String, &str)> {
    let (times, after) = rest.split_once('}')?;
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    let written = match times.split_once(',') {
        None if !times.is_empty() && digits(times) => times.to_owned(),
        Some((least, most)) if digits(least) && digits(most) => {
            format!("{},{most}", if least.is_empty() { "0" } else { least })
        }
        _ => return None,
    };
    Some((format!("{{{written}}}"), after))
}

/// Writes what follows a backslash, and returns what follows that.
fn escape<'p>(rest: &'p str, in_class: bool, out: &mut String) -> Result<&'p str, String> {
    let Some(c) = rest.chars().next() else {
        return Err("it ends in a backslash".to_owned());
    };
    let negated = |inside: &str| format!("[^{inside}]");
    match (c, in_class) {
        ('w', true) => out.push_str(WORD),
        ('w', false) => out.push_str(&format!("[{WORD}]")),
        ('W', _) => out.push_str(&negated(WORD)),
        ('s', _) => out.push_str(SPACE),
        ('S', _) => out.push_str(&negated(r"\s\x1c-\x1f")),
        ('b', true) => out.push_str(r"\x08"),
        ('b', false) => out.push_str(&boundary()),
        ('B', false) => out.push_str(&format!("(?!{})", boundary())),
        ('Z', false) => out.push_str(r"\z"),
        ('A', false) | ('d' | 'D' | 'a' | 'f' | 'n' | 'r' | 't' | 'v' | 'x' | 'u' | 'U', _) => {
            out.extend(['\\', c]);
        }
        ('0', _) => out.push_str(r"\x00"),
        ('1'..='9', false) => out.extend(['\\', c]),
        _ if c.is_ascii_alphanumeric() => return Err(format!("`\\{c}` is no escape")),
        _ if c.is_ascii_punctuation() => out.extend(['\\', c]),
        _ => out.push(c),
    }
    Ok(&rest[c.len_utf8()..])
}

/// A place with a word character on one side alone.
fn boundary() -> String {
    format!("(?:(?<=[{WORD}])(?![{WORD}])|(?<![{WORD}])(?=[{WORD}]))")
}

/// Writes a class whose opening bracket was read, and returns what follows it.
fn class<'p>(mut rest: &'p str, out: &mut String) -> Result<&'p str, String> {
    out.push('[');
    if let Some(after) = rest.strip_prefix('^') {
        out.push('^');
        rest = after;
    }
    let mut first = true;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            ']' if !first => {
                out.push(']');
                return Ok(rest);
            }
            '\\' => rest = escape(rest, true, out)?,
            '[' | ']' | '&' | '~' => out.extend(['\\', c]),
            _ => out.push(c),
        }
        first = false;
    }
    Err("a class has no closing bracket".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(pattern: &str, text: &str) -> usize {
        Pattern::python(pattern).unwrap().count(text)
    }

    /// `len(re.findall(pattern, text, re.IGNORECASE))` of CPython 3.11.
    #[test]
    fn expressions_mean_what_they_mean_to_python() {
        for (pattern, text, expected) in [
            ("dog", "Dog dogs DOGMA", 3),
            (r"\bdog\b", "Dog dogs, dog_ dog", 2),
            (r"c++", "ccc c", 2),
            ("a{b", "A{b a{B", 2),
            ("a{,2}b", "aaab", 1),
            ("x{1}", "xx", 2),
            ("[]a]", "]a[", 2),
            ("[a&&b]", "a&b", 3),
            ("[^[]", "[x", 1),
            ("i", "iI\u{130}\u{131}", 4),
            ("\u{131}", "iI\u{130}\u{131}", 4),
            ("k", "K\u{212a}k", 3),
            ("s", "s\u{17f}S", 3),
            ("(?i:i)n", "In \u{130}n", 2),
            (r"\w+", "\u{915}\u{93f}\u{924}\u{93e}\u{92c}", 3),
            (r"a\s", "a\x1ca\u{a0}a", 2),
            ("end$", "end\n", 1),
            ("end$", "end\n\n", 0),
            (r"end\Z", "end\n", 0),
            (r"(a)\1", "aAaa", 2),
            (r"\$5\.00", "$5.00 $5x00", 1),
            ("a.c", "abc a\nc a\rc", 2),
            ("}", "{}", 1),
        ] {
            assert_eq!(count(pattern, text), expected, "{pattern} in {text:?}");
        }
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        for pattern in ["(", "*", r"\", "[a", r"\p{L}", r"\q", "a**"] {
            assert!(Pattern::python(pattern).is_err(), "{pattern}");
        }
    }
}
