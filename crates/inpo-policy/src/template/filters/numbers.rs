//! Filters of numbers.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

use super::{Params, attribute_of, each, invalid};
use crate::template::text as python;

/// A number that a value stands for.
enum Number {
    Integer(i128),
    Float(f64),
}

impl Number {
    fn float(&self) -> f64 {
        match self {
            Self::Integer(number) => *number as f64,
            Self::Float(number) => *number,
        }
    }
}

fn number(value: &Value, base: u32) -> Option<Number> {
    if let Some(text) = value.as_str() {
        let integer = python::integer(text, base).map(Number::Integer);
        return integer.or_else(|| python::float(text).map(Number::Float));
    }
    match value.kind() {
        ValueKind::Bool => Some(Number::Integer(value.is_true().into())),
        ValueKind::Number if value.is_integer() => {
            i128::try_from(value.clone()).ok().map(Number::Integer)
        }
        ValueKind::Number => f64::try_from(value.clone()).ok().map(Number::Float),
        _ => None,
    }
}

/// A value that must be defined.
pub(super) fn defined(value: &Value) -> Result<&Value, Error> {
    if value.is_undefined() {
        return Err(Error::new(ErrorKind::UndefinedError, "it is undefined"));
    }
    Ok(value)
}

pub(super) fn int(value: &Value, params: &Params<'_>) -> Result<Value, Error> {
    let base = params.get(1, "base")?.unwrap_or(10);
    Ok(match number(defined(value)?, base) {
        Some(Number::Integer(number)) => Value::from(number),
        Some(Number::Float(number)) if number.is_finite() => Value::from(number as i128),
        _ => params.value(0, "default").unwrap_or(Value::from(0)),
    })
}

pub(super) fn float(value: &Value, params: &Params<'_>) -> Result<Value, Error> {
    Ok(match number(defined(value)?, 10) {
        Some(number) => Value::from(number.float()),
        None => params.value(0, "default").unwrap_or(Value::from(0.0)),
    })
}

/// The sum of numbers, or of an attribute of each, behind a start.
pub(super) fn sum(value: &Value, params: &Params<'_>) -> Result<Value, Error> {
    let attribute = params.text(0, "attribute")?;
    let mut total = number(&params.value(1, "start").unwrap_or(Value::from(0)), 10);
    for item in each(value, params)?.try_iter()? {
        let item = attribute_of(item, attribute.as_deref())?;
        let item = number(&item, 10).filter(|_| item.as_str().is_none());
        total = match (total, item) {
            (Some(Number::Integer(a)), Some(Number::Integer(b))) => {
                a.checked_add(b).map(Number::Integer)
            }
            (Some(a), Some(b)) => Some(Number::Float(a.float() + b.float())),
            _ => None,
        };
    }
    match total {
        Some(Number::Integer(total)) => Ok(Value::from(total)),
        Some(Number::Float(total)) => Ok(Value::from(total)),
        None => Err(invalid("sum needs numbers".to_owned())),
    }
}

pub(super) fn filesizeformat(value: &Value, params: &Params<'_>) -> Result<Value, Error> {
    let bytes = number(value, 10).map(|number| number.float());
    let bytes = bytes.ok_or_else(|| invalid("filesizeformat needs a number".to_owned()))?;
    let (base, prefixes) = if params.flag(0, "binary") {
        (
            1024.0,
            ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"],
        )
    } else {
        (1000.0, ["kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"])
    };
    if bytes == 1.0 {
        return Ok(Value::from("1 Byte"));
    }
    if bytes < base {
        return Ok(Value::from(format!("{bytes:.0} Bytes")));
    }
    let mut unit = base;
    let mut last = "";
    for prefix in prefixes {
        unit *= base;
        last = prefix;
        if bytes < unit {
            break;
        }
    }
    Ok(Value::from(format!("{:.1} {last}", base * bytes / unit)))
}
