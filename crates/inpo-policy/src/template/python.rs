//! Values as Python prints them, and as its `json` module writes them.

use std::borrow::Cow;
use std::fmt::Write as _;

use inpo_data::jinja::{self, DEEPEST, too_deep};
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Output, State, Value};

/// Prints a value in a template as Python's `str` does.
pub(super) fn format(out: &mut Output, _: &State, value: &Value) -> Result<(), Error> {
    let mut text = String::new();
    print(&mut text, value)?;
    jinja::make(text.len())?;
    out.write_str(&text).map_err(Error::from)
}

/// The `string` filter.
pub(super) fn string(value: &Value) -> Result<Value, Error> {
    if value.kind() == ValueKind::String {
        return Ok(value.clone());
    }
    let mut text = String::new();
    print(&mut text, value)?;
    Ok(Value::from(text))
}

/// A value's text.
pub(super) fn text(value: &Value) -> Result<Cow<'_, str>, Error> {
    if let Some(text) = value.as_str() {
        return Ok(Cow::Borrowed(text));
    }
    let mut text = String::new();
    print(&mut text, value)?;
    Ok(Cow::Owned(text))
}

/// The `round` filter: halves go to the even neighbour, as in Python.
pub(super) fn round(
    value: &Value,
    digits: Option<i64>,
    method: Option<&str>,
    options: Kwargs,
) -> Result<Value, Error> {
    let digits = options.get::<Option<i64>>("precision")?.or(digits);
    let method = options.get::<Option<&str>>("method")?.or(method);
    options.assert_all_used()?;
    if value.is_integer() {
        return Ok(value.clone());
    }
    let number = f64::try_from(value.clone())?;
    let digits = digits.unwrap_or(0).clamp(-300, 300);
    let scale = 10f64.powi(i32::try_from(digits).unwrap_or(0));
    let places = usize::try_from(digits).unwrap_or(0);
    let rounded = match method {
        None | Some("common") if digits < 0 => (number * scale).round_ties_even() / scale,
        // Formatting rounds the exact value, which is what Python rounds.
        None | Some("common") => format!("{number:.places$}").parse().unwrap_or(number),
        Some("ceil") => (number * scale).ceil() / scale,
        Some("floor") => (number * scale).floor() / scale,
        Some(_) => {
            let message = "method must be common, ceil or floor";
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
    };
    Ok(Value::from(rounded))
}

/// The test `number`, which `true` and `false` are in Python.
pub(super) fn is_number(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Number | ValueKind::Bool)
}

/// The test `callable`: functions and macros, and what is undefined, whose call is what fails.
pub(super) fn is_callable(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Plain | ValueKind::Undefined)
}

/// The test `iterable`: strings are, `None` is not.
pub(super) fn is_iterable(value: &Value) -> bool {
    !matches!(
        value.kind(),
        ValueKind::None | ValueKind::Bool | ValueKind::Number
    )
}

/// The test `sequence`: whatever has a length and can be indexed, objects too.
pub(super) fn is_sequence(value: &Value) -> bool {
    matches!(
        value.kind(),
        ValueKind::String | ValueKind::Seq | ValueKind::Map | ValueKind::Undefined
    )
}

/// Writes a value's text.
pub(super) fn print(out: &mut String, value: &Value) -> Result<(), Error> {
    match (value.kind(), value.as_str()) {
        (ValueKind::Undefined, _) => {}
        (_, Some(text)) => out.push_str(text),
        _ => represent(out, value, 0)?,
    }
    Ok(())
}

fn append(out: &mut String, text: std::fmt::Arguments) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
}

/// Python's `repr`.
fn represent(out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
    if depth > DEEPEST {
        return Err(too_deep());
    }
    jinja::step(1)?;
    jinja::fits(out.len())?;
    match value.kind() {
        ValueKind::Undefined => out.push_str("Undefined"),
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number => number(out, value),
        ValueKind::String => quoted(out, value.as_str().unwrap_or_default()),
        ValueKind::Seq => {
            out.push('[');
            for (i, item) in value.try_iter()?.enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                represent(out, &item, depth + 1)?;
            }
            out.push(']');
        }
        ValueKind::Map => {
            out.push('{');
            for (i, key) in value.try_iter()?.enumerate() {
                out.push_str(if i > 0 { ", " } else { "" });
                represent(out, &key, depth + 1)?;
                out.push_str(": ");
                represent(out, &value.get_item(&key)?, depth + 1)?;
            }
            out.push('}');
        }
        _ => append(out, format_args!("{value}")),
    }
    Ok(())
}

/// Python's `repr` of a string: in single quotes unless it has those and no double ones.
fn quoted(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c if c.is_control() => append(out, format_args!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push(quote);
}

fn number(out: &mut String, value: &Value) {
    if value.is_integer() {
        append(out, format_args!("{value}"));
    } else {
        out.push_str(&float(f64::try_from(value.clone()).unwrap_or(f64::NAN)));
    }
}

/// Python's `repr` of a float: the shortest digits that read back, with an exponent of at least two
/// digits below 1e-4 and from 1e16 on.
fn float(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() {
            "nan".to_owned()
        } else {
            format!("{value}")
        };
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if value != 0.0 && !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => format!("{value:?}"),
    }
}

/// The `tojson` filter of transformers: `json.dumps` with its options.
pub(super) fn tojson(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let separators: Option<Vec<String>> = options.get("separators")?;
    let indent: Option<usize> = options.get("indent")?;
    let mut json = Json {
        ascii: options.get::<Option<bool>>("ensure_ascii")? == Some(true),
        sorted: options.get::<Option<bool>>("sort_keys")? == Some(true),
        indent: indent.map(|n| n.min(16)),
        item: if indent.is_some() { "," } else { ", " }.to_owned(),
        key: ": ".to_owned(),
    };
    options.assert_all_used()?;
    match separators.as_deref() {
        None => {}
        Some([item, key]) => (json.item, json.key) = (item.clone(), key.clone()),
        Some(_) => {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "tojson(separators=..) needs two texts",
            ));
        }
    }
    let mut out = String::new();
    json.write(&mut out, value, 0)?;
    Ok(Value::from(out))
}

/// Settings of `json.dumps`.
struct Json {
    ascii: bool,
    sorted: bool,
    indent: Option<usize>,
    item: String,
    key: String,
}

impl Json {
    fn write(&self, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEEPEST {
            return Err(too_deep());
        }
        jinja::step(1)?;
        jinja::fits(out.len())?;
        match value.kind() {
            ValueKind::None => out.push_str("null"),
            ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => match f64::try_from(value.clone()) {
                Ok(x) if x.is_nan() => out.push_str("NaN"),
                Ok(x) if x.is_infinite() => {
                    out.push_str(if x > 0.0 { "Infinity" } else { "-Infinity" });
                }
                _ => number(out, value),
            },
            ValueKind::String => self.string(out, value.as_str().unwrap_or_default()),
            ValueKind::Seq => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.list(out, ['[', ']'], &items, depth, |out, item| {
                    self.write(out, item, depth + 1)
                })?;
            }
            ValueKind::Map => {
                let mut keys = Vec::new();
                for key in value.try_iter()? {
                    let mut text = String::new();
                    match key.kind() {
                        ValueKind::String => text.push_str(key.as_str().unwrap_or_default()),
                        // Other keys are written as their JSON.
                        _ => self.write(&mut text, &key, depth + 1)?,
                    }
                    keys.push((text, key));
                }
                if self.sorted {
                    keys.sort_by(|a, b| a.0.cmp(&b.0));
                }
                self.list(out, ['{', '}'], &keys, depth, |out, (text, key)| {
                    self.string(out, text);
                    out.push_str(&self.key);
                    self.write(out, &value.get_item(key)?, depth + 1)
                })?;
            }
            ValueKind::Undefined => {
                return Err(Error::new(
                    ErrorKind::UndefinedError,
                    "an undefined value cannot be written as JSON",
                ));
            }
            kind => {
                return Err(Error::new(
                    ErrorKind::BadSerialization,
                    format!("a {kind} cannot be written as JSON"),
                ));
            }
        }
        Ok(())
    }

    fn list<T>(
        &self,
        out: &mut String,
        [open, close]: [char; 2],
        items: &[T],
        depth: usize,
        mut write: impl FnMut(&mut String, &T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let line = |out: &mut String, depth: usize| {
            if let Some(indent) = self.indent {
                out.push('\n');
                out.push_str(&" ".repeat(indent * depth));
            }
        };
        out.push(open);
        for (i, item) in items.iter().enumerate() {
            out.push_str(if i > 0 { &self.item } else { "" });
            line(out, depth + 1);
            jinja::fits(out.len())?;
            write(out, item)?;
        }
        if !items.is_empty() {
            line(out, depth);
        }
        out.push(close);
        Ok(())
    }

    fn string(&self, out: &mut String, text: &str) {
        out.push('"');
        for c in text.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{8}' => out.push_str("\\b"),
                '\u{c}' => out.push_str("\\f"),
                c if u32::from(c) < 0x20 || (self.ascii && u32::from(c) > 0x7e) => {
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        append(out, format_args!("\\u{unit:04x}"));
                    }
                }
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_printed_as_by_python() {
        // repr() of Python 3.11.
        for (value, expected) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (-0.0, "-0.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (123456.789, "123456.789"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(float(value), expected);
        }
    }

    #[test]
    fn strings_are_quoted_as_by_python() {
        for (text, expected) in [
            ("a", "'a'"),
            ("it's", "\"it's\""),
            ("'\"", "'\\'\"'"),
            ("a\n\t\\\u{1}é", "'a\\n\\t\\\\\\x01é'"),
        ] {
            let mut out = String::new();
            quoted(&mut out, text);
            assert_eq!(out, expected);
        }
    }
}
