//! A template's text as the engine here must read it to give what Jinja gives.
//!
//! Four things differ and are rewritten where they stand, outside strings, comments and raw blocks:
//!
//! * `{% generation %}` only marks text: it becomes a block with a scope of its own.
//! * `for` over `none` is an error in Jinja and nothing here: what is iterated goes through a filter.
//! * `'' and 'x'` of constants is `False` here and the first false operand in Python: a filter that changes nothing
//!   makes the operand no constant.
//! * `~` prints its operands as the engine does and not as Python does: they go through `string`.

/// The filter that refuses what Python cannot iterate.
pub(super) const EACH: &str = "python_each";
/// The filter that changes nothing.
pub(super) const SAME: &str = "python_same";

/// The text with all four rewritten.
pub(super) fn adapted(source: &str) -> String {
    let mut out = String::with_capacity(source.len() + source.len() / 4);
    let mut rest = source;
    while let Some(start) = rest.find('{') {
        let (text, tag) = rest.split_at(start);
        out.push_str(text);
        let length = match tag.as_bytes().get(1) {
            Some(b'#') => tag.find("#}").map_or(tag.len(), |end| end + 2),
            Some(b'{') => expression(&mut out, tag, "}}"),
            Some(b'%') if is_raw(tag) => raw(tag),
            Some(b'%') => expression(&mut out, tag, "%}"),
            _ => 1,
        };
        // What was rewritten is in `out` already.
        let copied = matches!(tag.as_bytes().get(1), Some(b'{' | b'%')) && !is_raw(tag);
        if !copied {
            out.push_str(&tag[..length]);
        }
        rest = &tag[length..];
    }
    out.push_str(rest);
    out
}

/// The name of a tag.
fn tag_name(tag: &str) -> &str {
    let inner = tag[2..].trim_start_matches(['-', '+']).trim_start();
    let end = inner.find(|c: char| !c.is_alphanumeric() && c != '_');
    &inner[..end.unwrap_or(inner.len())]
}

fn is_raw(tag: &str) -> bool {
    tag.starts_with("{%") && tag_name(tag) == "raw"
}

/// The length of a raw block with its tags.
fn raw(tag: &str) -> usize {
    let mut at = 2;
    while let Some(next) = tag[at..].find("{%") {
        at += next;
        if tag_name(&tag[at..]) == "endraw" {
            return tag[at..].find("%}").map_or(tag.len(), |end| at + end + 2);
        }
        at += 2;
    }
    tag.len()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Name,
    Literal,
    Mark,
}

/// A token of an expression, as a range of the tag.
#[derive(Clone, Copy, Debug)]
struct Token<'a> {
    kind: Kind,
    text: &'a str,
    start: usize,
    /// The brackets around it.
    depth: usize,
}

impl Token<'_> {
    fn end(&self) -> usize {
        self.start + self.text.len()
    }

    fn is(&self, text: &str) -> bool {
        self.kind != Kind::Literal && self.text == text
    }

    /// Whether an operand may end with it.
    fn ends_operand(&self) -> bool {
        match self.kind {
            Kind::Literal => true,
            Kind::Name => !["and", "or", "not", "in", "is", "if", "else"].contains(&self.text),
            Kind::Mark => [")", "]", "}"].contains(&self.text),
        }
    }
}

/// Writes the tag that `text` begins with to `out`, rewritten, and returns its length.
fn expression(out: &mut String, text: &str, close: &str) -> usize {
    let (tokens, length) = tokens(text, close);
    let tag = &text[..length];
    let statement = close == "%}";
    match tokens.as_slice() {
        [only] if statement && only.is("generation") => {
            out.push_str(&tag.replacen("generation", "with", 1));
            return length;
        }
        [only] if statement && only.is("endgeneration") => {
            out.push_str(&tag.replacen("endgeneration", "endwith", 1));
            return length;
        }
        _ => {}
    }
    let mut inserts: Vec<(usize, String)> = Vec::new();
    let iterated = iterated(&tokens).filter(|_| statement && tokens[0].is("for"));
    if let Some((start, _)) = iterated {
        inserts.push((start, "(".to_owned()));
    }
    constants(&tokens, &mut inserts);
    concatenated(&tokens, statement, &mut inserts);
    if let Some((_, end)) = iterated {
        inserts.push((end, format!(")|{EACH}")));
    }
    // Stable: of two at one place the one found first comes first.
    inserts.sort_by_key(|(at, _)| *at);
    let mut from = 0;
    for (at, insert) in inserts {
        out.push_str(&tag[from..at]);
        out.push_str(&insert);
        from = at;
    }
    out.push_str(&tag[from..]);
    length
}

/// The tokens of the tag at the front of `text`, and the tag's length.
fn tokens<'a>(text: &'a str, close: &str) -> (Vec<Token<'a>>, usize) {
    let mut tokens = Vec::new();
    let (mut at, mut depth) = (2, 0usize);
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        if depth == 0 {
            let closing = rest.strip_prefix(['-', '+']).unwrap_or(rest);
            if closing.starts_with(close) {
                return (tokens, text.len() - closing.len() + close.len());
            }
        }
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let length = if first == '\'' || first == '"' {
            quoted(rest, first)
        } else if first.is_ascii_digit() {
            let number = |(i, c): &(usize, char)| {
                word(*c) || (*c == '.' && rest[i + 1..].starts_with(|c: char| c.is_ascii_digit()))
            };
            let digits = rest.char_indices().take_while(number);
            digits.map(|(i, c)| i + c.len_utf8()).last().unwrap_or(1)
        } else if word(first) {
            rest.find(|c| !word(c)).unwrap_or(rest.len())
        } else if ["==", "!=", "<=", ">=", "//", "**"]
            .iter()
            .any(|op| rest.starts_with(op))
        {
            2
        } else {
            first.len_utf8()
        };
        let piece = &rest[..length];
        if first.is_whitespace() || (depth == 0 && at == 2 && (first == '-' || first == '+')) {
            at += length;
            continue;
        }
        if matches!(piece, ")" | "]" | "}") {
            depth = depth.saturating_sub(1);
        }
        let constant = ["true", "false", "none", "True", "False", "None"].contains(&piece);
        let kind = if first == '\'' || first == '"' || first.is_ascii_digit() || constant {
            Kind::Literal
        } else if word(first) {
            Kind::Name
        } else {
            Kind::Mark
        };
        tokens.push(Token {
            kind,
            text: piece,
            start: at,
            depth,
        });
        if matches!(piece, "(" | "[" | "{") {
            depth += 1;
        }
        at += length;
    }
    (tokens, text.len())
}

/// The length of the string at the front of `text`.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        if !escaped && c == quote {
            return i + 1;
        }
        escaped = !escaped && c == '\\';
    }
    text.len()
}

/// Where that which a `for` iterates begins and ends.
fn iterated(tokens: &[Token<'_>]) -> Option<(usize, usize)> {
    let outside = |token: &Token<'_>, name: &str| token.depth == 0 && token.is(name);
    let before = tokens.iter().position(|token| outside(token, "in"))?;
    let rest = &tokens[before + 1..];
    let ends = |token: &Token<'_>| outside(token, "if") || outside(token, "recursive");
    let end = rest.iter().skip(1).position(ends);
    let rest = &rest[..end.map_or(rest.len(), |end| end + 1)];
    Some((rest.first()?.start, rest.last()?.end()))
}

/// Makes the left operand of `and` no constant.
fn constants(tokens: &[Token<'_>], inserts: &mut Vec<(usize, String)>) {
    for pair in tokens.windows(2) {
        let [left, and] = pair else { continue };
        let may_be_constant = left.kind != Kind::Name && left.ends_operand();
        if and.kind == Kind::Name && and.text == "and" && may_be_constant {
            inserts.push((left.end(), format!("|{SAME}")));
        }
    }
}

/// Sends the operands of `~` through `string`.
fn concatenated(tokens: &[Token<'_>], statement: bool, inserts: &mut Vec<(usize, String)>) {
    let first = usize::from(statement);
    for (place, tilde) in tokens.iter().enumerate().filter(|(_, token)| token.is("~")) {
        let bounds = |i: usize| bounds_operand(tokens, i, tilde.depth);
        let start = (first..place)
            .rev()
            .find(|&i| bounds(i))
            .map_or(first, |i| i + 1);
        let end = (place + 1..tokens.len()).find(|&i| bounds(i));
        let end = end.unwrap_or(tokens.len());
        let mut wrap = |from: usize, to: usize| {
            if let Some(operand) = tokens.get(from..to).filter(|operand| !operand.is_empty()) {
                inserts.push((operand[0].start, "(".to_owned()));
                inserts.push((operand[operand.len() - 1].end(), ")|string".to_owned()));
            }
        };
        // The left operand of a second `~` is the right one of the first.
        if start == first || !tokens[start - 1].is("~") {
            wrap(start, place);
        }
        wrap(place + 1, end);
    }
}

/// Whether an operand of `~` at `depth` ends before token `i`, or begins behind it.
fn bounds_operand(tokens: &[Token<'_>], i: usize, depth: usize) -> bool {
    let token = &tokens[i];
    if token.depth != depth {
        return token.depth < depth;
    }
    let after_operand = i > 0 && tokens[i - 1].ends_operand();
    match token.kind {
        Kind::Literal => false,
        Kind::Name => match token.text {
            "and" | "or" | "in" | "if" | "else" => true,
            "not" => i == 0 || !tokens[i - 1].is("is"),
            _ => false,
        },
        Kind::Mark => match token.text {
            "+" | "-" => after_operand,
            // An opening bracket is of the operand whether it calls, indexes or stands for itself.
            "(" | "[" | "{" | ")" | "]" | "}" | "|" | "." | "*" | "/" | "%" | "//" | "**" => false,
            _ => true,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_blocks_keep_their_whitespace_control() {
        let source = "{%- generation -%} a {%- endgeneration %} {% other generation %}{% open";
        let expected = "{%- with -%} a {%- endwith %} {% other generation %}{% open";
        assert_eq!(adapted(source), expected);
        for kept in [
            "{%",
            "{%}",
            "a{%}b",
            "{%-%}",
            "{%%}",
            "{",
            "{{",
            "{#",
            "{{ '",
            "{%raw%}{% generation %}",
            "{# {% generation %} #}",
            "{{ '{% generation %}' }}",
        ] {
            assert_eq!(adapted(kept), kept);
        }
    }

    #[test]
    fn what_python_reads_otherwise_is_rewritten() {
        for (source, expected) in [
            (
                "{% for i in x if i %}",
                "{% for i in (x)|python_each if i %}",
            ),
            (
                "{%- for k, v in d.items() -%}",
                "{%- for k, v in (d.items())|python_each -%}",
            ),
            ("{{ '' and 'x' }}", "{{ ''|python_same and 'x' }}"),
            ("{{ a and b }}", "{{ a and b }}"),
            (
                "{{ 'a' ~ b ~ c|f }}",
                "{{ ('a')|string ~ (b)|string ~ (c|f)|string }}",
            ),
            (
                "{% set x = a + f(b ~ -c) %}",
                "{% set x = a + f((b)|string ~ (-c)|string) %}",
            ),
            (
                "{{ {'a': {'b': 1}} ~ x[1] }}",
                "{{ ({'a': {'b': 1}})|string ~ (x[1])|string }}",
            ),
        ] {
            assert_eq!(adapted(source), expected);
        }
    }
}
