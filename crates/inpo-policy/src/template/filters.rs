//! Jinja's filters where the engine has none or another.

use inpo_data::jinja;
use minijinja::value::{Kwargs, Rest, ValueKind, from_args};
use minijinja::{Environment, Error, ErrorKind, Value};
use std::cmp::Ordering;

use super::python::{print, text};

use super::source::{EACH, SAME};
use super::text::{self as python, Place, WIDEST};

mod numbers;

use numbers::{defined, filesizeformat, float, int, sum};

/// What a filter or a method is given, by place or by name.
pub(super) struct Params<'a> {
    list: &'a [Value],
    named: Kwargs,
}

impl<'a> Params<'a> {
    pub(super) fn of(args: &'a [Value]) -> Result<Self, Error> {
        let (list, named) = from_args(args)?;
        Ok(Self { list, named })
    }

    /// An argument that may be absent.
    pub(super) fn value(&self, place: usize, name: &str) -> Option<Value> {
        let named = || self.named.get::<Value>(name).ok();
        let value = self.list.get(place).cloned().or_else(named);
        value.filter(|value| !value.is_undefined())
    }

    /// An argument of a type, where it is neither absent nor `none`.
    pub(super) fn get<T>(&self, place: usize, name: &str) -> Result<Option<T>, Error>
    where
        T: TryFrom<Value, Error = Error>,
    {
        let value = self.value(place, name).filter(|value| !value.is_none());
        value.map(T::try_from).transpose()
    }

    /// A text, where it is neither absent nor `none`.
    pub(super) fn text(&self, place: usize, name: &str) -> Result<Option<String>, Error> {
        let value = self.value(place, name).filter(|value| !value.is_none());
        let text = |value: Value| match value.as_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(invalid(format!("`{name}` must be a text"))),
        };
        value.map(text).transpose()
    }

    /// A text that must be there.
    pub(super) fn needed_text(&self, place: usize, name: &str) -> Result<String, Error> {
        self.text(place, name)?.ok_or_else(|| missing(name))
    }

    pub(super) fn flag(&self, place: usize, name: &str) -> bool {
        self.value(place, name).is_some_and(|value| value.is_true())
    }

    /// An argument of any type that must be there.
    pub(super) fn needed(&self, place: usize, name: &str) -> Result<Value, Error> {
        let value = self.value(place, name);
        value.ok_or_else(|| missing(name))
    }

    /// A count, of which a negative one is none.
    pub(super) fn count(&self, place: usize, name: &str) -> Result<Option<usize>, Error> {
        let count: Option<i64> = self.get(place, name)?;
        Ok(count.and_then(|count| usize::try_from(count).ok()))
    }
}

type Filter = fn(&Value, &Params<'_>) -> Result<Value, Error>;

/// Adds the filters to an environment.
pub(super) fn add_to(environment: &mut Environment<'static>) {
    let filters: [(&'static str, Filter); 29] = [
        (EACH, each),
        (SAME, |value, _| Ok(value.clone())),
        ("length", length),
        ("count", length),
        ("first", first),
        ("last", last),
        ("items", items),
        ("list", |value, params| {
            Ok(each(value, params)?.try_iter()?.collect())
        }),
        ("wordcount", wordcount),
        ("truncate", truncate),
        ("center", center),
        ("urlencode", urlencode),
        ("replace", replace),
        ("int", int),
        ("float", float),
        ("join", join),
        ("title", |value, _| {
            Ok(python::title_of_words(&text(value)?).into())
        }),
        ("capitalize", |value, _| {
            Ok(python::capitalize(&text(value)?).into())
        }),
        ("indent", indent),
        ("trim", trim),
        ("striptags", striptags),
        ("filesizeformat", filesizeformat),
        ("sum", sum),
        ("min", |value, params| {
            extreme(value, params, Ordering::Less)
        }),
        ("max", |value, params| {
            extreme(value, params, Ordering::Greater)
        }),
        ("dictsort", dictsort),
        ("escape", |value, _| Ok(escaped(&text(value)?).into())),
        ("e", |value, _| Ok(escaped(&text(value)?).into())),
        ("forceescape", |value, _| Ok(escaped(&text(value)?).into())),
    ];
    for (name, filter) in filters {
        let call = move |value: &Value, args: Rest<Value>| {
            let result = filter(value, &Params::of(&args)?)?;
            // `map` calls filters too, and weighs nothing.
            jinja::make(result.as_str().map_or(0, str::len))?;
            Ok::<_, Error>(result)
        };
        environment.add_filter(name, call);
    }
    environment.add_function("cycler", |items: Rest<Value>| {
        minijinja_contrib::globals::cycler(items.0)
    });
    environment.add_function("joiner", minijinja_contrib::globals::joiner);
}

fn missing(name: &str) -> Error {
    Error::new(ErrorKind::MissingArgument, name.to_owned())
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// What Python can iterate, as it is.
fn each(value: &Value, _: &Params<'_>) -> Result<Value, Error> {
    if value.is_none() {
        return Err(invalid("`none` is not iterable".to_owned()));
    }
    Ok(value.clone())
}

fn length(value: &Value, _: &Params<'_>) -> Result<Value, Error> {
    if value.is_undefined() {
        return Ok(Value::from(0));
    }
    let length = value.len();
    let length = length.ok_or_else(|| invalid(format!("a {} has no length", value.kind())))?;
    Ok(Value::from(length))
}

fn first(value: &Value, params: &Params<'_>) -> Result<Value, Error> {
    Ok(each(value, params)?.try_iter()?.next().unwrap_or_default())
}

fn last(value: &Value, params: &Params<'_>) -> Result<Value, Error> {
    Ok(each(value, params)?.try_iter()?.last().unwrap_or_default())
}

fn items(value: &Value, _: &Params<'_>) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Undefined => Ok(Value::from(Vec::<Value>::new())),
        ValueKind::Map => {
            let pair = |key: Value| {
                let item = value.get_item(&key)?;
                Ok(Value::from(vec![key, item]))
            };
            value
                .try_iter()?
                .map(pair)
                .collect::<Result<Vec<_>, Error>>()
                .map(Value::from)
        }
        kind => Err(invalid(format!("a {kind} has no items"))),
    }
}

fn wordcount(value: &Value, _: &Params<'_>) -> Result<Value, Error> {
    let value = text(value)?;
    let words = value.split(|c: char| !c.is_alphanumeric() && c != '_');
    Ok(Value::from(words.filter(|word| !word.is_empty()).count()))
}

fn truncate(value: &Value, params: &Params<'_>) -> Result<Value, Error> {
    let value = text(value)?;
    let length = params.count(0, "length")?.unwrap_or(255);
    let end = params.text(2, "end")?.unwrap_or_else(|| "...".to_owned());
    let leeway = params.count(3, "leeway")?.unwrap_or(5);
    let kept = length.checked_sub(end.chars().count());
    let kept =
        kept.ok_or_else(|| invalid(format!("truncate: {length} is shorter than the end")))?;
    if value.chars().count() <= length.saturating_add(leeway) {
        return Ok(Value::from(value.into_owned()));
    }
    let cut: String = value.chars().take(kept).collect();
    let words = if params.flag(1, "killwords") {
        cut.as_str()
    } else {
        cut.rsplit_once(' ')
            .map_or(cut.as_str(), |(words, _)| words)
    };
    Ok(Value::from(format!("{words}{end}")))
}

fn center(value: &Value, params: &Params<'_>) -> Result<Value, Error> {
    let width = params.get::<i64>(0, "width")?.unwrap_or(80);
    let width = usize::try_from(width).unwrap_or(0);
    Ok(python::pad(&text(value)?, width, ' ', Place::Centre).into())
}

fn urlencode(value: &Value, _: &Params<'_>) -> Result<Value, Error> {
    if !matches!(
        value.kind(),
        ValueKind::Map | ValueKind::Seq | ValueKind::Iterable
    ) {
        return Ok(python::percent_encoded(&text(value)?, false).into());
    }
    let pairs = if value.kind() == ValueKind::Map {
        items(value, &Params::of(&[])?)?
    } else {
        value.clone()
    };
    let mut parts = Vec::new();
    for pair in pairs.try_iter()? {
        let part = |place: usize| -> Result<String, Error> {
            let part = pair.get_item(&Value::from(place))?;
            Ok(python::percent_encoded(&text(&part)?, true))
        };
        parts.push(format!("{}={}", part(0)?, part(1)?));
    }
    Ok(Value::from(parts.join("&")))
}

fn replace(value: &Value, params: &Params<'_>) -> Result<Value, Error> {
    let part = |place: usize, name: &str| -> Result<String, Error> {
        let part = params.needed(place, name)?;
        Ok(text(&part)?.into_owned())
    };
    let most = params.count(2, "count")?;
    Ok(python::replace(&text(value)?, &part(0, "old")?, &part(1, "new")?, most)?.into())
}

/// An attribute of a value, which may be a path with dots and places; the value itself without one.
fn attribute_of(value: Value, path: Option<&str>) -> Result<Value, Error> {
    let names = path.into_iter().flat_map(|path| path.split('.'));
    names
        .into_iter()
        .try_fold(value, |value, name| match name.parse::<usize>() {
            Ok(place) => value.get_item(&Value::from(place)),
            Err(_) => value.get_attr(name),
        })
}

/// What `min` and `max` and `dictsort` compare: texts without their case unless it counts.
fn comparable(value: Value, case_sensitive: bool) -> Value {
    match value.as_str() {
        Some(text) if !case_sensitive => Value::from(text.to_lowercase()),
        _ => value,
    }
}

fn extreme(value: &Value, params: &Params<'_>, wanted: Ordering) -> Result<Value, Error> {
    let case_sensitive = params.flag(0, "case_sensitive");
    let attribute = params.text(1, "attribute")?;
    let mut best: Option<(Value, Value)> = None;
    for item in each(value, params)?.try_iter()? {
        let key = attribute_of(item.clone(), attribute.as_deref())?;
        let key = comparable(key, case_sensitive);
        if best
            .as_ref()
            .is_none_or(|(best, _)| key.cmp(best) == wanted)
        {
            best = Some((key, item));
        }
    }
    Ok(best.map(|(_, item)| item).unwrap_or_default())
}

fn dictsort(value: &Value, params: &Params<'_>) -> Result<Value, Error> {
    let case_sensitive = params.flag(0, "case_sensitive");
    let place = match params.text(1, "by")?.as_deref() {
        None | Some("key") => 0,
        Some("value") => 1,
        Some(_) => return Err(invalid("dictsort sorts by \"key\" or \"value\"".to_owned())),
    };
    let mut pairs = Vec::new();
    for pair in items(defined(value)?, params)?.try_iter()? {
        let key = comparable(pair.get_item(&Value::from(place))?, case_sensitive);
        pairs.push((key, pair));
    }
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    if params.flag(2, "reverse") {
        pairs.reverse();
    }
    Ok(pairs.into_iter().map(|(_, pair)| pair).collect())
}

/// The texts of any values, or of an attribute of each, joined.
fn join(value: &Value, params: &Params<'_>) -> Result<Value, Error> {
    let separator = params.text(0, "d")?.unwrap_or_default();
    let attribute = params.text(1, "attribute")?;
    let mut joined = String::new();
    for (i, item) in each(value, params)?.try_iter()?.enumerate() {
        joined.push_str(if i > 0 { &separator } else { "" });
        print(&mut joined, &attribute_of(item, attribute.as_deref())?)?;
        jinja::fits(joined.len())?;
    }
    Ok(Value::from(joined))
}

fn indent(value: &Value, params: &Params<'_>) -> Result<Value, Error> {
    let width = params.value(0, "width").unwrap_or(Value::from(4));
    let space = match width.as_str() {
        Some(text) => text.to_owned(),
        None => " ".repeat(usize::try_from(width).unwrap_or(0).min(WIDEST)),
    };
    // So that a last line that is empty is one.
    let value = format!("{}\n", text(value)?);
    let blank = params.flag(2, "blank");
    let mut out = String::new();
    for (i, line) in python::lines(&value, false).into_iter().enumerate() {
        out.push_str(if i > 0 { "\n" } else { "" });
        let indented = if i == 0 {
            params.flag(1, "first")
        } else {
            blank || !line.is_empty()
        };
        out.push_str(if indented { &space } else { "" });
        out.push_str(line);
        jinja::fits(out.len())?;
    }
    Ok(Value::from(out))
}

/// Strips the text of any value.
fn trim(value: &Value, params: &Params<'_>) -> Result<Value, Error> {
    let characters = params.text(0, "chars")?;
    let value = text(value)?;
    Ok(python::strip(&value, characters.as_deref(), python::Side::Both).into())
}

/// Without the tags of HTML, and with one space between words.
fn striptags(value: &Value, _: &Params<'_>) -> Result<Value, Error> {
    let value = text(value)?;
    let mut out = String::new();
    let mut rest = value.as_ref();
    while let Some(start) = rest.find('<') {
        let close = if rest[start..].starts_with("<!--") {
            "-->"
        } else {
            ">"
        };
        let Some(end) = rest[start..].find(close) else {
            break;
        };
        out.push_str(&rest[..start]);
        rest = &rest[start + end + close.len()..];
    }
    out.push_str(rest);
    let plain = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ];
    let mut out = python::words(&out, None).join(" ");
    for (entity, character) in plain {
        out = out.replace(entity, character);
    }
    Ok(Value::from(out))
}

fn escaped(text: &str) -> String {
    let entities = [
        ("&", "&amp;"),
        ("<", "&lt;"),
        (">", "&gt;"),
        ("'", "&#39;"),
        ("\"", "&#34;"),
    ];
    let mut out = text.to_owned();
    for (character, entity) in entities {
        out = out.replace(character, entity);
    }
    out
}
