//! Files of rows: JSON lines, a JSON array, Parquet, each of the first two perhaps behind gzip. The first bytes say
//! which, and not the name.

use std::fmt;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::{Columns, DataError, input};

mod first_bytes;
mod json;
#[cfg(feature = "parquet")]
mod parquet;
mod unique;

use first_bytes::{Kind, kind};

/// Where a row stands in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// On this line, from 1.
    Line(usize),
    /// It is this row, from 1, of a file without lines.
    Row(usize),
}

impl Place {
    /// The number of the line or the row.
    #[must_use]
    pub fn number(self) -> usize {
        match self {
            Self::Line(number) | Self::Row(number) => number,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Row(number) => write!(f, "row {number}"),
        }
    }
}

/// The name of threads on which a library reads foreign bytes: their panics become errors, and a program may keep quiet
/// about them.
pub const FOREIGN_BYTES: &str = "foreign bytes";

/// The longest line that is read: 256 MiB.
const LONGEST_LINE: u64 = 256 << 20;

/// The largest JSON array that is read: 1 GiB.
const LARGEST_ARRAY: u64 = 1 << 30;

/// Bytes that tell what a file is.
const HEAD: u64 = 4096;

/// Calls `each` with every row of `path`, which is JSON lines (blank lines are skipped), a JSON array, either of them
/// behind gzip, or Parquet.
///
/// # Errors
///
/// A file that cannot be read or is another one; a row that is not a JSON object; what `each` returns.
pub(crate) fn for_each_row(
    path: &Path,
    each: &mut dyn FnMut(Place, Columns) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let (head, file) = open(path)?;
    match kind(&head) {
        Kind::Gzip => {
            let mut text = MultiGzDecoder::new(file);
            let head = take_head(path, &mut text)?;
            match kind(&head) {
                Kind::Gzip => Err(refused(path, "gzip in gzip")),
                Kind::Parquet => Err(refused(path, "Parquet in gzip; unpack it")),
                other => rows_of_text(path, &other, Cursor::new(head).chain(text), each),
            }
        }
        #[cfg(feature = "parquet")]
        Kind::Parquet => parquet::for_each_row(path, each),
        #[cfg(not(feature = "parquet"))]
        Kind::Parquet => Err(refused(
            path,
            "Parquet, which this build does not read (feature `parquet` of inpo-data)",
        )),
        other => rows_of_text(path, &other, file, each),
    }
}

/// Whether a file is neither packed nor a JSON array nor Parquet.
///
/// # Errors
///
/// A file that cannot be read.
pub(crate) fn is_plain_text(path: &Path) -> Result<bool, DataError> {
    // The file is read again from its start, which a pipe cannot be.
    let mut file = input::open(path).map_err(DataError::read(path))?;
    let kind = kind(&take_head(path, &mut file)?);
    Ok(!matches!(kind, Kind::Gzip | Kind::Parquet | Kind::Array))
}

/// A file's first bytes, and the whole of it.
fn open(path: &Path) -> Result<(Vec<u8>, impl Read), DataError> {
    let mut file = input::open_stream(path).map_err(DataError::read(path))?;
    let head = take_head(path, &mut file)?;
    Ok((head.clone(), Cursor::new(head).chain(file)))
}

fn take_head(path: &Path, reader: &mut impl Read) -> Result<Vec<u8>, DataError> {
    let mut head = Vec::new();
    let read = reader.take(HEAD).read_to_end(&mut head);
    read.map_err(DataError::read(path))?;
    Ok(head)
}

fn refused(path: &Path, what: &str) -> DataError {
    DataError::artefact(path)(format!(
        "this is {what}; rows are read from JSON lines, a JSON array (either of them gzipped too) or Parquet"
    ))
}

fn rows_of_text(
    path: &Path,
    kind: &Kind,
    reader: impl Read,
    each: &mut dyn FnMut(Place, Columns) -> Result<(), DataError>,
) -> Result<(), DataError> {
    match kind {
        Kind::Other(what) => Err(refused(path, what)),
        Kind::Array => {
            let mut text = String::new();
            let read = reader.take(LARGEST_ARRAY + 1).read_to_string(&mut text);
            let bytes = read.map_err(DataError::read(path))?;
            if bytes as u64 > LARGEST_ARRAY {
                let limit = LARGEST_ARRAY >> 30;
                let reason = format!(
                    "a JSON array is read whole, at most {limit} GiB of it; write one JSON object a line"
                );
                return Err(DataError::artefact(path)(reason));
            }
            let text = text.trim_start_matches('\u{feff}');
            let elements = json::elements(text).map_err(DataError::artefact(path))?;
            for (element, number) in elements.into_iter().zip(1..) {
                let place = Place::Row(number);
                each(
                    place,
                    json::columns(element).map_err(DataError::row(path, place))?,
                )?;
            }
            Ok(())
        }
        _ => {
            let mut reader = BufReader::new(reader);
            for place in (1..).map(Place::Line) {
                let text = line(&mut reader).map_err(DataError::row(path, place))?;
                let Some(text) = text else {
                    break;
                };
                let text = text.trim_start_matches('\u{feff}');
                if !text.trim().is_empty() {
                    each(
                        place,
                        json::columns(text).map_err(DataError::row(path, place))?,
                    )?;
                }
            }
            Ok(())
        }
    }
}

/// The next line, without its end; none behind the last one.
fn line(reader: &mut impl BufRead) -> Result<Option<String>, String> {
    let mut bytes = Vec::new();
    let read = reader.take(LONGEST_LINE + 1).read_until(b'\n', &mut bytes);
    if read.map_err(|error| error.to_string())? == 0 {
        return Ok(None);
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    } else if bytes.len() as u64 > LONGEST_LINE {
        let limit = LONGEST_LINE >> 20;
        return Err(format!("the line has more than {limit} MiB"));
    }
    let text = String::from_utf8(bytes).map_err(|e| e.utf8_error());
    text.map(Some)
        .map_err(|e| format!("it is not UTF-8 text from byte {} on", e.valid_up_to() + 1))
}

#[cfg(test)]
mod tests;
