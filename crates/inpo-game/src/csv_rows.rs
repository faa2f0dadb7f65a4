//! The rows of a CSV file and the lines they stand on.

use std::io::{self, Read};

use csv::ByteRecord;

/// The rows of a CSV file with the lines that they begin on.
///
/// The crate's own line of a record is that of the end of the one before it, which is wrong after
/// blank lines, and by one with carriage returns. Here every row ends at a line feed, and its line
/// is counted back from there.
pub(crate) struct Rows<R> {
    reader: csv::Reader<LastByte<R>>,
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
            .from_reader(LastByte {
                reader,
                read: 0,
                last: b'\n',
            });
        Self {
            reader,
            record: ByteRecord::new(),
        }
    }

    /// Reads one row that is not blank; its line, or nothing at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<u64>> {
        while self.reader.read_byte_record(&mut self.record)? {
            let blank = self.record.len() == 1 && self.record[0].trim_ascii().is_empty();
            if !blank {
                return Ok(Some(self.line()));
            }
        }
        Ok(None)
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

/// Remembers how much was read and how it ended.
struct LastByte<R> {
    reader: R,
    read: u64,
    last: u8,
}

impl<R: Read> Read for LastByte<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.read += read as u64;
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
        std::iter::from_fn(|| rows.next().unwrap()).collect()
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
