//! Records as CSV with a header row.

use std::io::Read;

use csv::ByteRecord;

use super::tally::Tally;
use super::{RecordError, RowError};
use crate::csv_rows::{Rows, RowsError};

/// Counts every row of a CSV file.
pub(super) fn read_csv(reader: impl Read, tally: &mut Tally<'_>) -> Result<(), RecordError> {
    let wanted = tally.columns()?;
    let mut rows = Rows::new(reader);
    let Some(line) = rows.next().map_err(|error| failed(error, tally))? else {
        return Err(tally.empty());
    };
    let names = rows.fields().map(String::from_utf8_lossy);
    let header: Vec<String> = names.map(|name| name.trim().to_owned()).collect();
    let places = places(&header, wanted).map_err(|problem| tally.at(line, problem))?;
    while let Some(line) = rows.next().map_err(|error| failed(error, tally))? {
        let counted = fields(&rows.record, header.len(), places, wanted);
        counted
            .and_then(|fields| tally.record(fields))
            .map_err(|problem| tally.at(line, problem))?;
    }
    Ok(())
}

fn failed(error: RowsError, tally: &Tally<'_>) -> RecordError {
    match error {
        RowsError::Io(source) => tally.broken(source),
        RowsError::Quotes { line, reason } => tally.at(line, RowError::Quotes { reason }),
    }
}

/// The three texts of a row.
fn fields<'a>(
    record: &'a ByteRecord,
    expected: usize,
    places: [usize; 3],
    wanted: [&str; 3],
) -> Result<[&'a str; 3], RowError> {
    let got = record.len();
    if got != expected {
        return Err(RowError::Ragged { got, expected });
    }
    let mut fields = [""; 3];
    for ((field, place), column) in fields.iter_mut().zip(places).zip(wanted) {
        *field = str::from_utf8(&record[place]).map_err(|_| RowError::NotUtf8 {
            column: column.to_owned(),
        })?;
    }
    Ok(fields)
}

/// Where the columns are that are wanted.
fn places(header: &[String], wanted: [&str; 3]) -> Result<[usize; 3], RowError> {
    let mut places = [0; 3];
    for (place, column) in places.iter_mut().zip(wanted) {
        let mut found = (0..header.len()).filter(|&place| header[place] == column);
        let column = column.to_owned();
        *place = match (found.next(), found.next()) {
            (Some(place), None) => place,
            (None, _) => {
                let there = quoted(header);
                return Err(RowError::MissingColumn { column, there });
            }
            (Some(_), Some(_)) => return Err(RowError::RepeatedColumn { column }),
        };
    }
    Ok(places)
}

/// Names for a message.
pub(super) fn quoted(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    match quoted.len() {
        0 => "none".to_owned(),
        _ => quoted.join(", "),
    }
}
