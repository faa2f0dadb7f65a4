//! Operators and filters that look at their operands before they make something of them.

use std::borrow::Cow;

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, State, Value, filters, tests};

use super::{LONGEST_TEXT, MOST, fits, invalid, items, make, names, weigh, weigh_made};

/// The largest count of a filter: the items of a batch, the width of a field.
const LARGEST_COUNT: usize = 100_000;
/// The widest indentation of JSON.
const WIDEST_JSON: usize = 64;

type Operator = fn(&Value, &Value) -> Result<Value, Error>;

pub(super) fn add_to(environment: &mut Environment<'static>) {
    let operators: [(&str, Operator); 3] = [
        (names::PLUS, plus),
        (names::JOINED, joined),
        (names::TIMES, times),
    ];
    for (name, operator) in operators {
        environment.add_filter(name, move |args: Rest<Value>| match args.0.as_slice() {
            [left, right] => operator(left, right),
            _ => Err(invalid(format!("{name} takes two operands"))),
        });
    }
    environment.add_filter(
        "batch",
        |state: &State, value: Value, count: usize, fill: Option<Value>| {
            small(count)?;
            filters::batch(state, value, count, fill)
        },
    );
    environment.add_filter(
        "slice",
        |state: &State, value: Value, count: usize, fill: Option<Value>| {
            small(count)?;
            filters::slice(state, value, count, fill)
        },
    );
    environment.add_filter(
        "format",
        |state: &State, format: &Value, args: Rest<Value>| {
            check_format(format.as_str().unwrap_or_default(), &args)?;
            filters::format(state, format, args)
        },
    );
    environment.add_filter("replace", replace);
    environment.add_filter("join", join);
    environment.add_filter("indent", indent);
    environment.add_filter("tojson", tojson);
    environment.add_test("in", |state: &State, value: &Value, container: &Value| {
        weigh(container)?;
        tests::is_in(state, value, container)
    });
}

fn text(value: &Value) -> Cow<'_, str> {
    let text = value.as_str().map(Cow::Borrowed);
    text.unwrap_or_else(|| Cow::Owned(value.to_string()))
}

fn replace(value: &Value, old: &Value, new: &Value) -> Result<Value, Error> {
    let (value, old, new) = (text(value), text(old), text(new));
    let grown = new.len().saturating_sub(old.len());
    let count = if grown > 0 {
        value.matches(&*old).count()
    } else {
        0
    };
    fits(value.len().saturating_add(grown.saturating_mul(count)))?;
    Ok(Value::from(value.replace(&*old, &new)))
}

fn join(value: &Value, joiner: Option<&str>) -> Result<Value, Error> {
    let mut joined = String::new();
    for (i, item) in value.try_iter()?.enumerate() {
        joined.push_str(if i > 0 {
            joiner.unwrap_or_default()
        } else {
            ""
        });
        joined.push_str(&text(&item));
        fits(joined.len())?;
    }
    Ok(Value::from(joined))
}

fn indent(
    value: &Value,
    width: Option<usize>,
    first: Option<bool>,
    blank: Option<bool>,
    named: Kwargs,
) -> Result<Value, Error> {
    let width = width.or(named.get("width")?).unwrap_or(4);
    let first = first.or(named.get("first")?).unwrap_or(false);
    let blank = blank.or(named.get("blank")?).unwrap_or(false);
    named.assert_all_used()?;
    small(width)?;
    let mut out = String::new();
    for (i, line) in text(value).lines().enumerate() {
        out.push_str(if i > 0 { "\n" } else { "" });
        let indented = if i == 0 {
            first
        } else {
            blank || !line.is_empty()
        };
        out.push_str(&" ".repeat(if indented { width } else { 0 }));
        out.push_str(line);
        fits(out.len())?;
    }
    Ok(Value::from(out))
}

fn tojson(value: &Value, indent: Option<Value>, named: Kwargs) -> Result<Value, Error> {
    let width = indent.clone().or(named.get("indent")?);
    if width.is_some_and(|width| width.as_usize().is_some_and(|width| width > WIDEST_JSON)) {
        return Err(invalid(format!("tojson indents by up to {WIDEST_JSON}")));
    }
    filters::tojson(value, indent, named)
}

fn small(count: usize) -> Result<(), Error> {
    if count > LARGEST_COUNT {
        return Err(invalid(format!(
            "the template asks for {count} items or characters; allowed: up to {LARGEST_COUNT}"
        )));
    }
    Ok(())
}

/// Checks what `format % args` and `format.format(args)` would make: wide fields, and long values many times.
///
/// # Errors
/// A width above 100,000, a text that would be too long.
pub fn check_format(format: &str, args: &[Value]) -> Result<(), Error> {
    let mut widths = 0usize;
    for digits in format.split(|c: char| !c.is_ascii_digit()) {
        let width = digits
            .parse()
            .unwrap_or(if digits.is_empty() { 0 } else { usize::MAX });
        small(width)?;
        widths += width;
    }
    let mut longest = 0;
    for arg in args {
        weigh(arg)?;
        if format.contains('*')
            && let Some(width) = arg.as_usize()
        {
            small(width)?;
            widths += width;
        }
        longest = longest.max(arg.as_str().map_or_else(|| arg.to_string().len(), str::len));
    }
    let fields = format.matches(['%', '{']).count();
    let length = fields.saturating_mul(longest).saturating_add(widths);
    make(length.saturating_add(format.len()))
}

/// A number as the engine's operators see it; `true` is 1.
enum Number {
    Integer(i128),
    Float(f64),
}

fn number(value: &Value) -> Option<Number> {
    match value.kind() {
        ValueKind::Bool => Some(Number::Integer(value.is_true().into())),
        ValueKind::Number if value.is_integer() => {
            i128::try_from(value.clone()).ok().map(Number::Integer)
        }
        ValueKind::Number => f64::try_from(value.clone()).ok().map(Number::Float),
        _ => None,
    }
}

fn computed(
    sign: &str,
    [left, right]: [&Value; 2],
    integers: fn(i128, i128) -> Option<i128>,
    floats: fn(f64, f64) -> f64,
) -> Result<Value, Error> {
    use Number::{Float, Integer};
    let result = match (number(left), number(right)) {
        (Some(Integer(a)), Some(Integer(b))) => {
            integers(a, b).map(|sum| match i64::try_from(sum) {
                Ok(sum) => Value::from(sum),
                Err(_) => Value::from(sum),
            })
        }
        (Some(Float(a)), Some(Float(b))) => Some(Value::from(floats(a, b))),
        (Some(Float(a)), Some(Integer(b))) => Some(Value::from(floats(a, b as f64))),
        (Some(Integer(a)), Some(Float(b))) => Some(Value::from(floats(a as f64, b))),
        _ => {
            return Err(invalid(format!(
                "tried to use {sign} operator on unsupported types {} and {}",
                left.kind(),
                right.kind()
            )));
        }
    };
    result.ok_or_else(|| invalid(format!("unable to calculate {left} {sign} {right}")))
}

fn concat(left: &str, right: &str) -> Result<Value, Error> {
    make(left.len() + right.len())?;
    Ok(Value::from([left, right].concat()))
}

fn is_list(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

fn plus(left: &Value, right: &Value) -> Result<Value, Error> {
    if let (Some(left), Some(right)) = (left.as_str(), right.as_str()) {
        return concat(left, right);
    }
    if is_list(left) && is_list(right) {
        let mut both = items(left)?;
        both.extend(items(right)?);
        return weigh_made(Value::from(both));
    }
    computed("+", [left, right], i128::checked_add, |a, b| a + b)
}

fn joined(left: &Value, right: &Value) -> Result<Value, Error> {
    let text = |value: &Value| -> Result<String, Error> {
        weigh(value)?;
        Ok(value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned))
    };
    concat(&text(left)?, &text(right)?)
}

fn times(left: &Value, right: &Value) -> Result<Value, Error> {
    let repeated = |value: &Value| value.as_str().is_some() || is_list(value);
    let (value, count) = match (repeated(left), repeated(right)) {
        (true, false) => (left, right),
        (false, true) => (right, left),
        _ => return computed("*", [left, right], i128::checked_mul, |a, b| a * b),
    };
    let Some(Number::Integer(count)) = number(count) else {
        return Err(invalid(
            "texts and lists are multiplied with whole numbers".to_owned(),
        ));
    };
    // None of it where the number is negative, as in Python.
    let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
    if let Some(text) = value.as_str() {
        let length = text.len().saturating_mul(count);
        if length > LONGEST_TEXT {
            return Err(invalid(format!(
                "repeated string is too large: {length} bytes"
            )));
        }
        make(length)?;
        return Ok(Value::from(text.repeat(count)));
    }
    let list = items(value)?;
    if list.len().saturating_mul(count) as u64 > MOST {
        return Err(invalid(format!("a list has more than {MOST} items")));
    }
    let mut all = Vec::with_capacity(list.len() * count);
    if !list.is_empty() {
        for _ in 0..count {
            all.extend_from_slice(&list);
        }
    }
    weigh_made(Value::from(all))
}
