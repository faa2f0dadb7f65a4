//! What a file is, by its first bytes.

use serde_json::Value;

/// What a file of rows may be, and what else people give.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One JSON object a line, or what cannot be told from it.
    Lines,
    /// A JSON array.
    Array,
    /// Something behind gzip.
    Gzip,
    /// Parquet.
    Parquet,
    /// Something else, in words.
    Other(String),
}

/// Files that begin with certain bytes, and what to say of them.
const NAMED: [(&[u8], &str); 20] = [
    (
        b"ARROW1",
        "an Arrow file; write it as Parquet (`to_parquet` in datasets)",
    ),
    (
        b"\xff\xff\xff\xff",
        "an Arrow stream; write it as Parquet (`to_parquet` in datasets)",
    ),
    (b"PK\x03\x04", "a zip archive; unpack it"),
    (b"\x28\xb5\x2f\xfd", "a zstd file; unpack it"),
    (b"\xfd7zXZ\x00", "an xz file; unpack it"),
    (b"BZh", "a bzip2 file; unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it"),
    (b"\xff\xfe", "text in UTF-16; save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16; save it as UTF-8"),
    (
        b"version https://git-lfs",
        "a pointer of Git LFS and not the file; fetch it with `git lfs pull`",
    ),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"Obj\x01", "an Avro file"),
    (b"ORC", "an ORC file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy file"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"<", "a page of HTML or XML"),
];

pub(super) fn kind(head: &[u8]) -> Kind {
    if head.starts_with(b"\x1f\x8b") {
        return Kind::Gzip;
    }
    if head.starts_with(b"PAR1") {
        return Kind::Parquet;
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let text = text.trim_ascii_start();
    if let Some((_, what)) = NAMED.iter().find(|(start, _)| text.starts_with(start)) {
        return Kind::Other((*what).to_owned());
    }
    if head.contains(&0) {
        return Kind::Other("a binary file".to_owned());
    }
    match text.first() {
        Some(b'[') => Kind::Array,
        Some(b'{') | None => Kind::Lines,
        Some(_) => table(text).map_or(Kind::Lines, Kind::Other),
    }
}

/// CSV and its kin: a first line that is no JSON and has separators.
fn table(text: &[u8]) -> Option<String> {
    let line = text.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    if serde_json::from_str::<Value>(line.trim()).is_ok() {
        return None;
    }
    let name = if line.contains('\t') {
        "a table with tabs"
    } else if line.contains([',', ';']) {
        "CSV"
    } else {
        return None;
    };
    Some(format!(
        "{name}, whose first line is {}; write it as JSON lines (`to_json(.., orient=\"records\", lines=True)` in \
         pandas)",
        crate::excerpt(line.trim())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell() {
        for (bytes, expected) in [
            (&b"{\"a\": 1}\n"[..], Kind::Lines),
            (b"\xef\xbb\xbf\n {", Kind::Lines),
            (b"", Kind::Lines),
            (b"\"a\"\n", Kind::Lines),
            (b"hello\n", Kind::Lines),
            (b"\xef\xbb\xbf\n [1", Kind::Array),
            (b"\x1f\x8b\x08", Kind::Gzip),
            (b"PAR1\x15", Kind::Parquet),
        ] {
            assert_eq!(kind(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn other_files_are_named() {
        for (bytes, what) in [
            (
                &b"prompt,chosen,rejected\na,b,c\n"[..],
                "CSV, whose first line is \"prompt,chosen,rejected\"",
            ),
            (
                b"\"prompt\";\"chosen\"\n",
                "CSV, whose first line is \"\\\"prompt\\\";",
            ),
            (b"prompt\tchosen\r\n", "a table with tabs"),
            (b"ARROW1\0\0", "an Arrow file"),
            (b"\xff\xfe{\0", "text in UTF-16"),
            (
                b"version https://git-lfs.github.com/spec/v1\n",
                "a pointer of Git LFS",
            ),
            (b"\n<!DOCTYPE html>", "a page of HTML"),
            (b"ab\0c", "a binary file"),
        ] {
            match kind(bytes) {
                Kind::Other(said) => assert!(said.starts_with(what), "{said}"),
                other => panic!("{other:?}: {bytes:?}"),
            }
        }
    }
}
