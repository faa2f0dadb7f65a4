//! Literals of Python, as templates print lists.

use serde_json::{Value, json};

/// `ast.literal_eval` of lists, texts, numbers, `True`, `False` and `None`; none of anything else.
pub(super) fn literal(text: &str) -> Option<Value> {
    let mut parser = Parser {
        rest: text.trim(),
        depth: 0,
    };
    let value = parser.value()?;
    parser.rest.is_empty().then_some(value)
}

/// The deepest list in a list.
const DEEPEST: usize = 32;

/// The character whose code the next hexadecimal digits are.
fn code(chars: &mut std::str::CharIndices<'_>, digits: usize) -> Option<char> {
    let digits: String = chars.take(digits).map(|(_, c)| c).collect();
    char::from_u32(u32::from_str_radix(&digits, 16).ok()?)
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl Parser<'_> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, mark: char) -> bool {
        let rest = self.rest.strip_prefix(mark);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn value(&mut self) -> Option<Value> {
        self.skip();
        let value = match self.rest.chars().next()? {
            '[' => self.list(']')?,
            '(' => self.list(')')?,
            mark @ ('\'' | '"') => Value::String(self.text(mark)?),
            _ => self.word()?,
        };
        self.skip();
        Some(value)
    }

    fn list(&mut self, end: char) -> Option<Value> {
        self.rest = &self.rest[1..];
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let mut items = Vec::new();
        self.skip();
        while !self.take(end) {
            items.push(self.value()?);
            if !self.take(',') && !self.rest.starts_with(end) {
                return None;
            }
            self.skip();
        }
        self.depth -= 1;
        Some(Value::Array(items))
    }

    fn text(&mut self, mark: char) -> Option<String> {
        let mut chars = self.rest[1..].char_indices();
        let mut text = String::new();
        while let Some((place, c)) = chars.next() {
            if c == mark {
                self.rest = &self.rest[place + 2..];
                return Some(text);
            }
            if c != '\\' {
                text.push(c);
                continue;
            }
            match chars.next()?.1 {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'r' => text.push('\r'),
                'x' => text.push(code(&mut chars, 2)?),
                'u' => text.push(code(&mut chars, 4)?),
                'U' => text.push(code(&mut chars, 8)?),
                c @ ('\\' | '\'' | '"') => text.push(c),
                c => text.extend(['\\', c]),
            }
        }
        None
    }

    fn word(&mut self) -> Option<Value> {
        let end = self
            .rest
            .find([',', ']', ')', ' '])
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word {
            "True" => Some(json!(true)),
            "False" => Some(json!(false)),
            "None" => Some(Value::Null),
            _ => serde_json::from_str::<serde_json::Number>(word)
                .ok()
                .map(Value::Number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_python_prints_them() {
        let text = r#"['a', "it's", 'line\nend \\ \x41\u00e9', 3, -0.5, True, None, [], ('x',)]"#;
        let expected = json!([
            "a",
            "it's",
            "line\nend \\ Aé",
            3,
            -0.5,
            true,
            null,
            [],
            ["x"]
        ]);
        assert_eq!(literal(text), Some(expected));
        for text in [
            "",
            "[",
            "['a' 'b']",
            "['a'",
            "name",
            "[1] 2",
            &"[".repeat(99),
        ] {
            assert_eq!(literal(text), None, "{text}");
        }
    }
}
