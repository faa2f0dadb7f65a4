//! Records as JSON lines: one object a line.

use std::fmt;
use std::io::{BufRead, Read as _};

use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::csv_file::quoted;
use super::tally::Tally;
use super::{RecordError, RowError};
use crate::csv_rows::{LONGEST_ROW, too_long};
use crate::read::text::{BYTE_ORDER_MARK, without_place};

/// Counts every line of a JSON-lines file. Blank lines are passed over.
pub(super) fn read_json_lines(
    mut reader: impl BufRead,
    tally: &mut Tally<'_>,
) -> Result<(), RecordError> {
    let wanted = tally.columns()?;
    let (mut bytes, mut number, mut empty) = (Vec::new(), 0, true);
    loop {
        bytes.clear();
        let limited = (&mut reader).take(LONGEST_ROW + 1);
        let read = { limited }.read_until(b'\n', &mut bytes);
        let read = read.map_err(|source| tally.broken(source))?;
        if read == 0 {
            break;
        }
        number += 1;
        if read as u64 > LONGEST_ROW {
            return Err(tally.broken(too_long(number)));
        }
        let text = match number {
            1 => bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes),
            _ => &bytes,
        };
        if !text.trim_ascii().is_empty() {
            empty = false;
            count(text, wanted, tally).map_err(|problem| tally.at(number, problem))?;
        }
    }
    if empty { Err(tally.empty()) } else { Ok(()) }
}

/// Counts one line.
fn count(text: &[u8], wanted: [&str; 3], tally: &mut Tally<'_>) -> Result<(), RowError> {
    let object = parse(text, wanted).map_err(|error| RowError::Json {
        column: error.column(),
        reason: without_place(&error),
    })?;
    if let Some(column) = object.repeated {
        return Err(RowError::RepeatedColumn {
            column: wanted[column].to_owned(),
        });
    }
    let mut fields = [""; 3];
    for ((field, value), column) in fields.iter_mut().zip(&object.values).zip(wanted) {
        *field = value.as_ref().ok_or_else(|| RowError::MissingColumn {
            column: column.to_owned(),
            there: quoted(&object.keys),
        })?;
    }
    tally.record(fields)
}

/// The three values of a line, and what else there was.
#[derive(Default)]
struct Object {
    values: [Option<String>; 3],
    /// Every key, for messages.
    keys: Vec<String>,
    /// The first of the three that came again.
    repeated: Option<usize>,
}

fn parse(text: &[u8], wanted: [&str; 3]) -> Result<Object, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let object = Wanted(wanted).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(object)
}

/// Reads an object, keeps three of its values, and passes over the others without storing them.
struct Wanted<'a>([&'a str; 3]);

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = Object;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Object, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut object = Object::default();
        while let Some(key) = map.next_key::<String>()? {
            match self.0.iter().position(|&column| column == key) {
                Some(column) => {
                    let value = map.next_value_seed(Name(self.0[column]))?;
                    if object.values[column].replace(value).is_some() {
                        object.repeated.get_or_insert(column);
                    }
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            object.keys.push(key);
        }
        Ok(object)
    }
}

/// A string, a number as its text, or null as nothing.
struct Name<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        let column = self.0;
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Ok(text),
            serde_json::Value::Number(number) => Ok(number.to_string()),
            serde_json::Value::Null => Ok(String::new()),
            _ => Err(D::Error::custom(format!(
                "{column} must be a string or a number"
            ))),
        }
    }
}
