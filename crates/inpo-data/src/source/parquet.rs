//! Rows of Parquet files, as the hub stores data sets.

use std::fs::File;
use std::path::Path;
use std::sync::mpsc;

use parquet::basic::ConvertedType;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use parquet::schema::types::Type;
use serde_json::{Map, Number, Value};

use super::{FOREIGN_BYTES, Place};
use crate::{Columns, DataError};

/// Rows that are read ahead of who asks for them.
const AHEAD: usize = 256;

/// Calls `each` with every row.
///
/// The library panics on some malformed files: it reads on a thread of its own, whose panic is an error.
pub(super) fn for_each_row(
    path: &Path,
    each: &mut dyn FnMut(Place, Columns) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let broken = |reason: String| {
        let reason = format!("this Parquet file cannot be read: {reason}");
        DataError::artefact(path)(reason)
    };
    let file = crate::input::open(path).map_err(DataError::read(path))?;
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel(AHEAD);
        let reader = std::thread::Builder::new()
            .name(FOREIGN_BYTES.to_owned())
            .spawn_scoped(scope, move || read(file, &sender))
            .map_err(DataError::read(path))?;
        let mut rows = receiver.into_iter().zip(1..);
        let taken = rows.try_for_each(|(row, number): (Result<Columns, String>, _)| {
            each(Place::Row(number), row.map_err(broken)?)
        });
        // Nobody receives any more: the thread ends.
        drop(rows);
        let read = reader.join();
        taken?;
        match read {
            Ok(read) => read.map_err(|error| broken(words(&error))),
            Err(_) => Err(broken("it is malformed".to_owned())),
        }
    })
}

/// Sends every row; stops where nobody receives them any more.
fn read(
    file: File,
    sender: &mpsc::SyncSender<Result<Columns, String>>,
) -> Result<(), ParquetError> {
    let reader = SerializedFileReader::new(file)?;
    let schema = reader.metadata().file_metadata().schema().clone();
    for row in reader.get_row_iter(None)? {
        let row = row
            .map(|row| columns(&row, &schema))
            .map_err(|error| words(&error));
        if sender.send(row).is_err() {
            break;
        }
    }
    Ok(())
}

fn words(error: &ParquetError) -> String {
    let reason = error.to_string();
    match reason.split_once("Disabled feature at compile time: ") {
        Some((_, codec)) => format!(
            "it is compressed with {codec}, and snappy, gzip and zstd are read; write it again with one of them"
        ),
        None => reason,
    }
}

fn columns(row: &Row, schema: &Type) -> Columns {
    let mut not_finite = Vec::new();
    let values = row.get_column_iter().map(|(name, field)| {
        let mut finite = true;
        let value = json(field, child(schema, name), &mut finite);
        if !finite {
            not_finite.push(name.clone());
        }
        (name.clone(), value)
    });
    let values: Map<String, Value> = values.collect();
    Columns::new(values, not_finite)
}

/// The type of a field of a struct.
fn child<'a>(kind: &'a Type, name: &str) -> Option<&'a Type> {
    let mut fields = kind.is_group().then(|| kind.get_fields())?.iter();
    fields.find(|field| field.name() == name).map(AsRef::as_ref)
}

/// The type of the elements of a list, which stands below a repeated group.
fn element(list: &Type) -> Option<&Type> {
    let repeated = list.is_group().then(|| list.get_fields())?.first()?;
    match repeated.is_group().then(|| repeated.get_fields()) {
        Some([only]) => Some(only),
        _ => Some(repeated),
    }
}

/// A field of type `kind` as JSON. In a struct a null cannot be told from a field that is absent, and is left out. Text
/// that is JSON by its type, as datasets writes what differs from row to row, is parsed. `finite` becomes false for a
/// number that JSON does not know.
fn json(field: &Field, kind: Option<&Type>, finite: &mut bool) -> Value {
    let mut number = |value: f64| match Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None => {
            *finite = false;
            Value::Null
        }
    };
    let is_json = || {
        let leaf = kind.filter(|kind| kind.is_primitive());
        leaf.is_some_and(|kind| kind.get_basic_info().converted_type() == ConvertedType::JSON)
    };
    match field {
        Field::Null => Value::Null,
        Field::Bool(value) => (*value).into(),
        Field::Byte(value) => (*value).into(),
        Field::Short(value) => (*value).into(),
        Field::Int(value) | Field::Date(value) | Field::TimeMillis(value) => (*value).into(),
        Field::Long(value)
        | Field::TimeMicros(value)
        | Field::TimestampMillis(value)
        | Field::TimestampMicros(value) => (*value).into(),
        Field::UByte(value) => (*value).into(),
        Field::UShort(value) => (*value).into(),
        Field::UInt(value) => (*value).into(),
        Field::ULong(value) => (*value).into(),
        Field::Float16(value) => number(f64::from(*value)),
        Field::Float(value) => number(f64::from(*value)),
        Field::Double(value) => number(*value),
        Field::Str(text) if is_json() => {
            serde_json::from_str(text).unwrap_or_else(|_| text.clone().into())
        }
        Field::Str(text) => text.clone().into(),
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => text.into(),
            Err(_) => Value::Array(bytes.data().iter().map(|byte| (*byte).into()).collect()),
        },
        Field::Decimal(_) => field.to_string().into(),
        Field::Group(row) => {
            let fields = row.get_column_iter();
            let there = fields.filter(|(_, field)| !matches!(field, Field::Null));
            there
                .map(|(name, field)| {
                    let kind = kind.and_then(|kind| child(kind, name));
                    (name.clone(), json(field, kind, finite))
                })
                .collect()
        }
        Field::ListInternal(list) => {
            let kind = kind.and_then(element);
            let elements = list.elements().iter();
            elements.map(|field| json(field, kind, finite)).collect()
        }
        Field::MapInternal(map) => {
            let pair = |(key, value): &(Field, Field)| {
                let key = match key {
                    Field::Str(key) => key.clone(),
                    other => other.to_string(),
                };
                (key, json(value, None, finite))
            };
            map.entries().iter().map(pair).collect()
        }
    }
}
