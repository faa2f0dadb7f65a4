//! Rows of Parquet files, as the hub stores data sets.

use std::fs::File;
use std::path::Path;
use std::sync::mpsc;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
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
    let file = File::open(path).map_err(DataError::read(path))?;
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
    for row in reader.get_row_iter(None)? {
        let row = row.map(|row| columns(&row)).map_err(|error| words(&error));
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

fn columns(row: &Row) -> Columns {
    let mut not_finite = Vec::new();
    let values = row.get_column_iter().map(|(name, field)| {
        let mut finite = true;
        let value = json(field, &mut finite);
        if !finite {
            not_finite.push(name.clone());
        }
        (name.clone(), value)
    });
    let values: Map<String, Value> = values.collect();
    Columns::new(values, not_finite)
}

/// A field as JSON. In a struct a null cannot be told from a field that is absent, and is left out. `finite` becomes false for a number that JSON does not know.
fn json(field: &Field, finite: &mut bool) -> Value {
    let mut number = |value: f64| match Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None => {
            *finite = false;
            Value::Null
        }
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
                .map(|(name, field)| (name.clone(), json(field, finite)))
                .collect()
        }
        Field::ListInternal(list) => list.elements().iter().map(|f| json(f, finite)).collect(),
        Field::MapInternal(map) => {
            let pair = |(key, value): &(Field, Field)| {
                let key = match key {
                    Field::Str(key) => key.clone(),
                    other => other.to_string(),
                };
                (key, json(value, finite))
            };
            map.entries().iter().map(pair).collect()
        }
    }
}
