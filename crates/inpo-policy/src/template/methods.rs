//! Python's methods of strings, which the engine has not or has otherwise; those of lists and objects are
//! `minijinja_contrib::pycompat`'s.

use inpo_data::jinja;
use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat;

use super::filters::Params;
use super::text::{self, Place, Side};

/// Methods of a value: those here, then those of the library.
pub(super) fn call(
    state: &State,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    if value.kind() != ValueKind::Map {
        jinja::weigh(value)?;
    }
    let result = match (value.as_str(), method) {
        (Some(string), "format") => {
            jinja::check_format(string, args)?;
            None
        }
        (Some(string), _) => of_string(string, method, &Params::of(args)?)?,
        (None, "copy") if matches!(value.kind(), ValueKind::Seq | ValueKind::Map) => {
            Some(value.clone())
        }
        (None, "index") if value.kind() == ValueKind::Seq => {
            let wanted = Params::of(args)?.needed(0, "value")?;
            let place = value.try_iter()?.position(|item| item == wanted);
            let place = place.ok_or_else(|| invalid("the value is not in the list"))?;
            Some(Value::from(place))
        }
        _ => None,
    };
    match result {
        Some(result) => Ok(result),
        None => pycompat::unknown_method_callback(state, value, method, args),
    }
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

fn of_string(string: &str, method: &str, params: &Params<'_>) -> Result<Option<Value>, Error> {
    if let Some(result) = changed(string, method, params)? {
        return Ok(Some(result.into()));
    }
    if let Some(result) = asked(string, method) {
        return Ok(Some(result.into()));
    }
    Ok(Some(match method {
        "split" | "rsplit" => split(string, params, method == "rsplit")?,
        "splitlines" => list(&text::lines(string, params.flag(0, "keepends"))),
        "partition" => {
            let separator = separator(params)?;
            let (before, after) = string
                .split_once(&separator)
                .map_or((string, None), |(a, b)| (a, Some(b)));
            list(&[
                before,
                after.map_or("", |_| &separator),
                after.unwrap_or(""),
            ])
        }
        "rpartition" => {
            let separator = separator(params)?;
            let (before, after) = string
                .rsplit_once(&separator)
                .map_or((None, string), |(a, b)| (Some(a), b));
            list(&[
                before.unwrap_or(""),
                before.map_or("", |_| &separator),
                after,
            ])
        }
        "startswith" | "endswith" => {
            let Some(part) = range(string, params)? else {
                return Ok(Some(false.into()));
            };
            let wanted = params.needed(0, "prefix")?;
            let fits = |wanted: &Value| match (wanted.as_str(), method) {
                (Some(wanted), "startswith") => Ok(part.text.starts_with(wanted)),
                (Some(wanted), _) => Ok(part.text.ends_with(wanted)),
                (None, _) => Err(invalid(
                    "startswith and endswith take text, or several texts",
                )),
            };
            if wanted.kind() == ValueKind::Seq {
                let fits: Result<Vec<bool>, Error> = wanted.try_iter()?.map(|w| fits(&w)).collect();
                fits?.contains(&true).into()
            } else {
                fits(&wanted)?.into()
            }
        }
        "find" | "rfind" | "index" | "rindex" | "count" => {
            let wanted = params.needed_text(0, "sub")?;
            let part = range(string, params)?;
            if method == "count" {
                let count = part.map_or(0, |part| part.text.matches(&wanted).count());
                return Ok(Some(count.into()));
            }
            let place = part.and_then(|part| {
                let at = if method.starts_with('r') {
                    part.text.rfind(&wanted)
                } else {
                    part.text.find(&wanted)
                };
                at.map(|at| part.before + part.text[..at].chars().count())
            });
            match place {
                Some(place) => Value::from(place),
                None if method.ends_with("find") => Value::from(-1),
                None => return Err(invalid("substring not found")),
            }
        }
        "join" => {
            let mut joined = String::new();
            for (i, item) in params.needed(0, "iterable")?.try_iter()?.enumerate() {
                let item = item.as_str().map(str::to_owned);
                let item = item.ok_or_else(|| invalid("join takes texts"))?;
                joined.push_str(if i > 0 { string } else { "" });
                joined.push_str(&item);
                jinja::fits(joined.len())?;
            }
            joined.into()
        }
        _ => return Ok(None),
    }))
}

/// Methods whose result is a changed text.
fn changed(string: &str, method: &str, params: &Params<'_>) -> Result<Option<String>, Error> {
    let pad = |place: Place| -> Result<String, Error> {
        let width = params.count(0, "width")?.unwrap_or(0);
        let fill = params.text(1, "fillchar")?;
        let fill = fill.and_then(|fill| fill.chars().next()).unwrap_or(' ');
        Ok(text::pad(string, width, fill, place))
    };
    let strip = |side: Side| -> Result<String, Error> {
        let characters = params.text(0, "chars")?;
        Ok(text::strip(string, characters.as_deref(), side).to_owned())
    };
    Ok(Some(match method {
        "lower" => string.to_lowercase(),
        "upper" => string.to_uppercase(),
        "casefold" => string.replace(['ß', 'ẞ'], "ss").to_lowercase(),
        "capitalize" => text::capitalize(string),
        "title" => text::title(string),
        "swapcase" => text::swapcase(string),
        "strip" => strip(Side::Both)?,
        "lstrip" => strip(Side::Left)?,
        "rstrip" => strip(Side::Right)?,
        "ljust" => pad(Place::Left)?,
        "rjust" => pad(Place::Right)?,
        "center" => pad(Place::Centre)?,
        "zfill" => text::zfill(string, params.count(0, "width")?.unwrap_or(0)),
        "expandtabs" => {
            let size = params.count(0, "tabsize")?.unwrap_or(8).min(64);
            let tabs = string.matches('\t').count();
            jinja::fits(string.len() + tabs * size)?;
            text::expandtabs(string, size)
        }
        "replace" => {
            let (old, new) = (params.needed_text(0, "old")?, params.needed_text(1, "new")?);
            text::replace(string, &old, &new, params.count(2, "count")?)?
        }
        "removeprefix" => {
            let prefix = params.needed_text(0, "prefix")?;
            string.strip_prefix(&prefix).unwrap_or(string).to_owned()
        }
        "removesuffix" => {
            let suffix = params.needed_text(0, "suffix")?;
            string.strip_suffix(&suffix).unwrap_or(string).to_owned()
        }
        _ => return Ok(None),
    }))
}

/// Methods that ask what a text is made of.
fn asked(string: &str, method: &str) -> Option<bool> {
    let all = |is: fn(char) -> bool| !string.is_empty() && string.chars().all(is);
    let cased = |wanted: fn(char) -> bool, other: fn(char) -> bool| {
        string.chars().any(wanted) && !string.chars().any(other)
    };
    // Digits that are no decimals: superscripts and circled ones.
    let digit = |c: char| matches!(c, '²' | '³' | '¹' | '⁰'..='⁹' | '₀'..='₉' | '①'..='⑨');
    let decimal: fn(char) -> bool = |c| {
        let fraction = matches!(c, '¼'..='¾' | '⅐'..='⅞' | 'Ⅰ'..='ↈ' | '①'..='⓿' | '²' | '³' | '¹' | '⁰'..='₉' | '㈠'..='㏾' | '〇'..='〩');
        c.is_numeric() && !fraction && !c.is_alphabetic()
    };
    Some(match method {
        "isalpha" => all(|c| c.is_alphabetic() && !c.is_numeric()),
        "isalnum" => all(char::is_alphanumeric),
        "isnumeric" => all(char::is_numeric),
        "isdecimal" => all(decimal),
        "isdigit" => !string.is_empty() && string.chars().all(|c| digit(c) || decimal(c)),
        "isspace" => all(text::is_space),
        "islower" => cased(char::is_lowercase, char::is_uppercase),
        "isupper" => cased(char::is_uppercase, char::is_lowercase),
        "istitle" => {
            string.chars().any(|c| c.is_lowercase() || c.is_uppercase())
                && text::title(string) == string
        }
        "isascii" => string.is_ascii(),
        "isidentifier" => {
            let word = |c: char| c.is_alphanumeric() || c == '_';
            !string.is_empty() && !string.starts_with(char::is_numeric) && string.chars().all(word)
        }
        "isprintable" => !string
            .chars()
            .any(|c| c.is_control() || (text::is_space(c) && c != ' ')),
        _ => return None,
    })
}

/// A part of a text, and the number of characters before it.
struct Part<'a> {
    text: &'a str,
    before: usize,
}

/// The part that the second and third argument of a search ask for; none where it begins behind its end.
fn range<'a>(string: &'a str, params: &Params<'_>) -> Result<Option<Part<'a>>, Error> {
    let characters = string.chars().count();
    let place = |at: i64| {
        let from_the_end = usize::try_from(-at).map_or(0, |back| characters.saturating_sub(back));
        usize::try_from(at).unwrap_or(from_the_end)
    };
    let start = params.get(1, "start")?.map_or(0, place);
    let end = params
        .get(2, "end")?
        .map_or(characters, place)
        .min(characters);
    if start > end {
        return Ok(None);
    }
    let byte = |place: usize| {
        string
            .char_indices()
            .nth(place)
            .map_or(string.len(), |(at, _)| at)
    };
    Ok(Some(Part {
        text: &string[byte(start)..byte(end)],
        before: start,
    }))
}

fn separator(params: &Params<'_>) -> Result<String, Error> {
    not_empty(params.needed_text(0, "sep")?)
}

fn not_empty(separator: String) -> Result<String, Error> {
    if separator.is_empty() {
        return Err(invalid("empty separator"));
    }
    Ok(separator)
}

fn split(string: &str, params: &Params<'_>, from_the_right: bool) -> Result<Value, Error> {
    let most = params.count(1, "maxsplit")?;
    let Some(separator) = params.text(0, "sep")? else {
        return Ok(list(&if from_the_right {
            text::words_from_the_right(string, most)
        } else {
            text::words(string, most)
        }));
    };
    let separator = not_empty(separator)?;
    let pieces = most.map_or(usize::MAX, |most| most.saturating_add(1));
    if !from_the_right {
        return Ok(list(&string.splitn(pieces, &separator).collect::<Vec<_>>()));
    }
    let mut parts: Vec<&str> = string.rsplitn(pieces, &separator).collect();
    parts.reverse();
    Ok(list(&parts))
}

fn list(parts: &[&str]) -> Value {
    parts.iter().map(|part| Value::from(*part)).collect()
}
