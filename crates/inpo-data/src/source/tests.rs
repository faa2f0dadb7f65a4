use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::rows::read_each;

/// Places and rows of a file with these bytes.
fn read(bytes: &[u8]) -> Result<Vec<(String, Value)>, DataError> {
    let dir = tempfile::tempdir().unwrap();
    // The name says nothing.
    let path = dir.path().join("rows.jsonl");
    std::fs::write(&path, bytes).unwrap();
    read_file(&path)
}

fn read_file(path: &Path) -> Result<Vec<(String, Value)>, DataError> {
    read_each(path, |place, columns| {
        Ok((place.to_string(), Value::Object(columns.into_map())))
    })
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

#[track_caller]
fn refused(bytes: &[u8]) -> String {
    let error = read(bytes).unwrap_err();
    assert!(error.is_input());
    let error = error.to_string();
    let (_, reason) = error.split_once("rows.jsonl").unwrap();
    reason.to_owned()
}

#[test]
fn lines_and_arrays_give_the_same_rows() {
    let (a, b) = (json!({"a": "ü], "}), json!({"a": [1, {"b": 2}]}));
    let rows = |unit: &str, places: [usize; 2]| {
        let places = places.map(|place| format!("{unit} {place}"));
        places
            .into_iter()
            .zip([a.clone(), b.clone()])
            .collect::<Vec<_>>()
    };
    // A byte-order mark, as some editors write it, is not part of the first row.
    let lines = format!("\u{feff}{a}\r\n\n{b}");
    let array = format!("\u{feff}\n[{a},\n  {b}]\n");
    assert_eq!(read(lines.as_bytes()).unwrap(), rows("line", [1, 3]));
    assert_eq!(read(array.as_bytes()).unwrap(), rows("row", [1, 2]));
    assert_eq!(
        read(&gzipped(lines.as_bytes())).unwrap(),
        rows("line", [1, 3])
    );
    assert_eq!(
        read(&gzipped(array.as_bytes())).unwrap(),
        rows("row", [1, 2])
    );
    // Two packed files one after the other are one.
    let both = [
        gzipped(format!("{a}\n").as_bytes()),
        gzipped(b.to_string().as_bytes()),
    ]
    .concat();
    assert_eq!(read(&both).unwrap(), rows("line", [1, 2]));
    assert_eq!(read(b"[]").unwrap(), []);
    assert_eq!(read(b"").unwrap(), []);
}

#[test]
fn what_is_no_row_is_named_with_its_place() {
    assert!(refused(b"{}\n{\"a\": ").starts_with(", line 2: not JSON: EOF"));
    assert!(refused(b"[{}, {\"a\" 1}]").starts_with(", row 2: not JSON: expected `:`"));
    assert_eq!(
        refused(b"[{}, 1]"),
        ", row 2: a number and not a JSON object: rows are one JSON object a line, or a JSON array of them"
    );
    assert_eq!(
        refused(b"{}\n[1]"),
        ", line 2: a list and not a JSON object: rows are one JSON object a line, or a JSON array of them"
    );
    assert_eq!(refused(b"[{}"), ": its JSON array does not end");
    assert!(refused(b"{}\n\xff").contains("line 2: it is not UTF-8 text from byte 1 on"));
    let rows =
        "rows are read from JSON lines, a JSON array (either of them gzipped too) or Parquet";
    assert_eq!(
        refused(b"PK\x03\x04"),
        format!(": this is a zip archive; unpack it; {rows}")
    );
    assert_eq!(
        refused(&gzipped(&gzipped(b"{}"))),
        format!(": this is gzip in gzip; {rows}")
    );
    assert!(
        refused(b"prompt,chosen\n")
            .starts_with(": this is CSV, whose first line is \"prompt,chosen\"")
    );
    // Packed data that breaks off.
    let packed = gzipped(format!("{{\"a\": \"{}\"}}", "b".repeat(50_000)).as_bytes());
    assert!(read(&packed[..packed.len() / 2]).is_err());
    assert!(
        read_file(&PathBuf::from("/"))
            .unwrap_err()
            .to_string()
            .starts_with("cannot read /")
    );
}

/// What pyarrow wrote is what pyarrow reads, but for nulls in structs, which tables fill in
/// (`tests/fixtures/parquet/make_parquet.py`).
#[cfg(feature = "parquet")]
#[test]
fn parquet_gives_the_rows_that_pyarrow_reads() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parquet");
    let expected = read_file(&fixtures.join("rows.jsonl")).unwrap();
    assert_eq!(expected.len(), 3);
    for name in ["none", "snappy", "gzip", "zstd", "groups"] {
        let rows = read_file(&fixtures.join(format!("{name}.parquet"))).unwrap();
        for (k, ((place, row), (_, expected))) in rows.iter().zip(&expected).enumerate() {
            assert_eq!(place, &format!("row {}", k + 1));
            assert_eq!(row, expected, "{name}");
        }
        assert_eq!(rows.len(), 3, "{name}");
    }
    let lz4 = read_file(&fixtures.join("lz4.parquet"))
        .unwrap_err()
        .to_string();
    assert!(
        lz4.contains("it is compressed with lz4, and snappy, gzip and zstd are read"),
        "{lz4}"
    );
    // A column with NaN is null, and refused where it is read.
    let read = read_each(&fixtures.join("snappy.parquet"), |_, columns| {
        columns.read::<f64>("margin", "a number")
    });
    let error = read.unwrap_err().to_string();
    assert!(error.contains("row 2: `margin` holds NaN"), "{error}");
}

/// datasets stores as JSON what differs from row to row; text that happens to be JSON is left as it is.
#[cfg(feature = "parquet")]
#[test]
fn json_in_parquet_is_read() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parquet");
    let [rows, expected] = ["json.parquet", "json.jsonl"].map(|name| {
        let rows = read_file(&fixtures.join(name)).unwrap();
        rows.into_iter().map(|(_, row)| row).collect::<Vec<_>>()
    });
    assert_eq!(rows, expected);
}

#[cfg(feature = "parquet")]
#[test]
fn broken_parquet_is_an_error() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parquet");
    let whole = std::fs::read(fixtures.join("zstd.parquet")).unwrap();
    for end in [4, 10, whole.len() / 2, whole.len() - 1] {
        let error = refused(&whole[..end]);
        assert!(
            error.starts_with(": this Parquet file cannot be read: "),
            "{error}"
        );
    }
    for place in (4..whole.len()).step_by(31) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x55;
        let _ = read(&bytes);
    }
}

/// A line of zeros behind gzip: the limit comes before the memory.
#[test]
fn a_line_without_end_is_refused() {
    let mut packed = flate2::write::GzEncoder::new(b"".to_vec(), flate2::Compression::fast());
    let zeros = vec![b' '; 1 << 20];
    packed.write_all(b"{").unwrap();
    for _ in 0..=LONGEST_LINE >> 20 {
        packed.write_all(&zeros).unwrap();
    }
    let packed = packed.finish().unwrap();
    assert!(packed.len() < 1 << 23);
    assert_eq!(refused(&packed), ", line 1: the line has more than 256 MiB");
}

/// A device without an end is refused, and a pipe is read as far as rows are a stream.
#[cfg(unix)]
#[test]
fn rows_come_from_a_file_or_a_pipe() {
    let error = read_file(Path::new("/dev/zero")).unwrap_err().to_string();
    assert!(error.contains("it is a device"), "{error}");
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    std::thread::scope(|scope| {
        scope.spawn(|| std::fs::write(&pipe, "{\"a\": 1}\n{\"a\": 2}").unwrap());
        assert_eq!(read_file(&pipe).unwrap().len(), 2);
    });
    let error = crate::rows::as_json_lines(&pipe).unwrap_err().to_string();
    assert!(error.contains("it is a pipe"), "{error}");
}
