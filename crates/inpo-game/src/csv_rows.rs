//! The rows of a CSV file and the lines they stand on.

use std::io::{self, Read};

use csv::ByteRecord;

use crate::read::text::BYTE_ORDER_MARK;

/// The longest row that is read: 64 MiB.
pub(crate) const LONGEST_ROW: u64 = 64 << 20;

/// Why there is no next row.
pub(crate) enum RowsError {
    /// The file cannot be read.
    Io(io::Error),
    /// The quotes are broken.
    Quotes {
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        reason: &'static str,
    },
}

/// The rows of a CSV file with the lines that they begin on.
///
/// The crate's own line of a record is that of the end of the one before it, which is wrong after
/// blank lines, and by one with carriage returns. Here every row ends at a line feed, and its line
/// is counted back from there.
pub(crate) struct Rows<R> {
    reader: csv::Reader<Watched<R>>,
    /// The row read last, untrimmed.
    pub(crate) record: ByteRecord,
}

impl<R: Read> Rows<R> {
    pub(crate) fn new(reader: R) -> Self {
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            // Ragged rows are told in our own words.
            .flexible(true)
            // A carriage return before the line feed is trimmed with the other spaces.
            .terminator(csv::Terminator::Any(b'\n'))
            .from_reader(Watched {
                reader,
                read: 0,
                last: b'\n',
                line: 1,
                row: 0,
                place: Place::Start,
                opened: (0, 1),
                broken: None,
            });
        Self {
            reader,
            record: ByteRecord::new(),
        }
    }

    /// Reads one row that is not blank; its line, or nothing at the end.
    pub(crate) fn next(&mut self) -> Result<Option<u64>, RowsError> {
        loop {
            let read = self.reader.read_byte_record(&mut self.record);
            let there = read.map_err(|error| RowsError::Io(error.into()))?;
            // The source is read ahead: what is broken in a later row waits for it.
            if let Some(Broken { at, line, reason }) = self.reader.get_ref().broken
                && (!there || at < self.reader.position().byte())
            {
                return Err(RowsError::Quotes { line, reason });
            }
            let blank = self.record.len() == 1 && self.record[0].trim_ascii().is_empty();
            if !there || !blank {
                return Ok(there.then(|| self.line()));
            }
        }
    }

    /// The line that the row in `record` begins on, from 1.
    fn line(&self) -> u64 {
        let (position, source) = (self.reader.position(), self.reader.get_ref());
        let at_the_end = position.byte() == source.read && source.last != b'\n';
        let feeds = self.fields().flatten().filter(|&&byte| byte == b'\n');
        let below = feeds.count() as u64 + u64::from(!at_the_end);
        position.line().saturating_sub(below).max(1)
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = &[u8]> {
        self.record.iter()
    }
}

/// The error of a row beyond [`LONGEST_ROW`].
pub(crate) fn too_long(line: u64) -> io::Error {
    let limit = LONGEST_ROW >> 20;
    let reason = format!("the row on line {line} has more than {limit} MiB");
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// Remembers how much was read and how it ended, and watches the quotes, with which the crate is
/// lenient: it closes one at the end of the file, and adds what follows one to the field.
struct Watched<R> {
    reader: R,
    read: u64,
    last: u8,
    line: u64,
    /// The byte that the row begins at.
    row: u64,
    place: Place,
    /// The byte and the line of the last quote that opened a field.
    opened: (u64, u64),
    /// What was wrong first.
    broken: Option<Broken>,
}

/// Where in a field the next byte is.
#[derive(Clone, Copy)]
enum Place {
    Start,
    /// In a field without quotes, where they have no meaning.
    Plain,
    Quoted,
    /// Behind a quote in a quoted field: the end, or the first of two.
    Quote,
    /// Behind the end of a quoted field.
    Closed,
}

#[derive(Clone, Copy)]
struct Broken {
    /// The byte.
    at: u64,
    line: u64,
    reason: &'static str,
}

impl<R> Watched<R> {
    fn watch(&mut self, at: u64, byte: u8) {
        // A byte order mark is not part of a field.
        if at < BYTE_ORDER_MARK.len() as u64 && BYTE_ORDER_MARK[at as usize] == byte {
            return;
        }
        self.place = match (self.place, byte) {
            (Place::Start, b'"') => {
                self.opened = (at, self.line);
                Place::Quoted
            }
            (Place::Quoted, b'"') => Place::Quote,
            (Place::Quote, b'"') | (Place::Quoted, _) => Place::Quoted,
            (_, b',') => Place::Start,
            (_, b'\n') => {
                self.row = at + 1;
                Place::Start
            }
            (Place::Start | Place::Plain, _) => Place::Plain,
            // Spaces are trimmed.
            (Place::Quote | Place::Closed, _) if byte.is_ascii_whitespace() => Place::Closed,
            (Place::Quote | Place::Closed, _) => {
                self.broken.get_or_insert(Broken {
                    at,
                    line: self.line,
                    reason: "text follows the quote that closes a cell: put the whole cell in quotes, and write a quote in it twice",
                });
                Place::Plain
            }
        };
        self.line += u64::from(byte == b'\n');
    }

    fn watch_end(&mut self) {
        if let Place::Quoted = self.place {
            let (at, line) = self.opened;
            self.broken.get_or_insert(Broken {
                at,
                line,
                reason: "the quote that opens a cell is never closed",
            });
        }
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        for (at, &byte) in (self.read..).zip(&buffer[..read]) {
            self.watch(at, byte);
        }
        if read == 0 && !buffer.is_empty() {
            self.watch_end();
        }
        self.read += read as u64;
        if self.read - self.row > LONGEST_ROW {
            return Err(too_long(self.line));
        }
        if let Some(&last) = buffer[..read].last() {
            self.last = last;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<u64> {
        let mut rows = Rows::new(text.as_bytes());
        std::iter::from_fn(|| rows.next().ok().unwrap()).collect()
    }

    /// The lines of the rows before the broken one, its own and what is wrong.
    fn broken(text: &str) -> (Vec<u64>, u64, &'static str) {
        let mut rows = Rows::new(text.as_bytes());
        let mut lines = Vec::new();
        loop {
            match rows.next() {
                Ok(line) => lines.push(line.unwrap()),
                Err(RowsError::Quotes { line, reason }) => return (lines, line, reason),
                Err(RowsError::Io(error)) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn broken_quotes_name_the_line() {
        let (open, text) = ("the quote that opens", "text follows the quote");
        for (file, before, line, want) in [
            ("0.5,0.6\n0.4,\"0.5", vec![1], 2, open),
            ("0.5,0.6\n\n\"0.4,0.5\n1,2\n", vec![1], 3, open),
            ("a,\"", vec![], 1, open),
            ("\u{feff}\"a\n\n", vec![], 1, open),
            ("\"a\"\"", vec![], 1, open),
            ("0.5,0.6\r\n\"0.4\"0,0.5\r\n", vec![1], 2, text),
            ("\u{feff}a\n\"b\"c", vec![1], 2, text),
            ("\u{feff}\"b\"c\nd\n", vec![], 1, text),
            ("a,\"b\nb\" \"c\",d\ne,f,g\n", vec![], 2, text),
            ("a\nb\n\"c\" d\n\"e", vec![1, 2], 3, text),
        ] {
            let (lines, at, reason) = broken(file);
            assert_eq!((lines, at), (before, line), "{file:?}");
            assert!(reason.starts_with(want), "{file:?}: {reason}");
        }
        // Far behind the buffer, and of two cells that are broken the first.
        let long = format!("{}\"a\"a\n\"b", "c,d\n".repeat(100_000));
        assert_eq!(broken(&long).1, 100_001);
    }

    /// A file of holes takes no more memory than one row may.
    #[test]
    fn a_row_without_end_is_an_error() {
        let text = io::Read::chain("a,b\n0.5".as_bytes(), io::repeat(0));
        let mut rows = Rows::new(text);
        assert!(matches!(rows.next(), Ok(Some(1))));
        let Err(RowsError::Io(error)) = rows.next() else {
            panic!("a row without end was read");
        };
        assert_eq!(error.to_string(), "the row on line 2 has more than 64 MiB");
    }

    #[test]
    fn legal_quotes_are_read() {
        let text = "\"a,\n\"\"b\"\"\",\"\"\r\n\"c\" , d\"e\"\r\n\"\"\"\"\n";
        let mut rows = Rows::new(text.as_bytes());
        let mut read = Vec::new();
        while let Some(line) = rows.next().ok().unwrap() {
            let fields = rows
                .fields()
                .map(|f| String::from_utf8_lossy(f).into_owned());
            let fields: Vec<String> = fields.map(|field| field.trim().to_owned()).collect();
            read.push((line, fields.join("|")));
        }
        let want = [(1, "a,\n\"b\"|"), (3, "c|d\"e\""), (4, "\"")];
        assert_eq!(read, want.map(|(line, fields)| (line, fields.to_owned())));
    }

    #[test]
    fn the_line_of_a_row_is_that_of_its_first_field() {
        assert_eq!(lines("h,h\na,b\n\n\nc,d\ne,f"), [1, 2, 5, 6]);
        assert_eq!(lines("h,h\r\na,b\r\n\r\n\r\nc,d\r\ne,f\r\n"), [1, 2, 5, 6]);
        // Line feeds within quotes.
        assert_eq!(lines("h,h\n\"a\n\",b\n\n\"c\n\n\",d\n\ne,f"), [1, 2, 5, 9]);
        assert_eq!(lines("\n\nh,h\n"), [3]);
        assert_eq!(lines("\u{feff}h,h\n\na,b"), [1, 3]);
        assert_eq!(lines("\"h\n\n\",h"), [1]);
        assert_eq!(lines(""), [0_u64; 0]);
        // Longer than any buffer.
        let long = format!("h,h\n{},b\n\nc,d", "a".repeat(200_000));
        assert_eq!(lines(&long), [1, 2, 4]);
    }
}
