//! The header of a GGUF file: metadata and tensor table.
//!
//! The bytes are foreign. Every count and length is checked against what is left of the file
//! before anything is allocated, every sum and product is checked, and nothing here panics.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::metadata::{Metadata, Value};
use crate::error::{PolicyError, excerpt};
use crate::files::dequant::ElementType;

const MOST_KEYS: u64 = 1 << 16;
const MOST_TENSORS: u64 = 1 << 16;
const MOST_ELEMENTS: u64 = 1 << 22;
const LONGEST_NAME: u64 = 1 << 16;
const LONGEST_STRING: u64 = 1 << 26;
const MOST_AXES: u32 = 4;
const DEEPEST_ARRAY: u32 = 4;
const DEFAULT_ALIGNMENT: u64 = 32;

/// One row of the tensor table, checked against the file's length.
#[derive(Debug, PartialEq)]
pub(crate) struct TensorEntry {
    pub(crate) name: String,
    /// The extent of each axis, slowest first: the file's order reversed.
    pub(crate) shape: Vec<usize>,
    pub(crate) element: ElementType,
    /// Which of a model's files it is in.
    pub(crate) part: usize,
    /// From the start of the file.
    pub(crate) offset: u64,
    pub(crate) bytes: usize,
}

/// What stands before the tensors' values.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) metadata: Metadata,
    pub(crate) tensors: Vec<TensorEntry>,
}

impl Header {
    /// Reads a header from the first bytes of a file of `file_len` bytes.
    pub(crate) fn read(source: impl Read, file_len: u64, path: &Path) -> Result<Self, PolicyError> {
        let mut cursor = Cursor {
            source,
            position: 0,
            len: file_len,
            path: path.to_path_buf(),
        };
        let magic = cursor.take::<4>("the magic number")?;
        if magic != *b"GGUF" {
            let found = excerpt(&magic.escape_ascii().to_string());
            return Err(cursor.broken(format!("it starts with {found} instead of \"GGUF\"")));
        }
        match cursor.u32("the version")? {
            2 | 3 => {}
            version if matches!(version.swap_bytes(), 1..=3) => {
                return Err(cursor
                    .broken("it is big endian, and only little endian is implemented".to_owned()));
            }
            version => {
                return Err(cursor.broken(format!(
                    "its version is {version}, and versions 2 and 3 are implemented"
                )));
            }
        }
        let tensors = cursor.count("tensors", MOST_TENSORS, 8 + 4 + 8 + 4 + 8)?;
        let keys = cursor.count("metadata keys", MOST_KEYS, 8 + 4 + 1)?;
        let metadata = cursor.metadata(keys)?;
        let alignment = alignment(&metadata)?;
        let mut rows = Vec::new();
        for _ in 0..tensors {
            rows.push(cursor.row()?);
        }
        let start = cursor.position.checked_next_multiple_of(alignment);
        let start = start.ok_or_else(|| cursor.broken("its header is too long".to_owned()))?;
        let tensors = place(rows, start, alignment, file_len, path)?;
        Ok(Self { metadata, tensors })
    }
}

fn alignment(metadata: &Metadata) -> Result<u64, PolicyError> {
    let key = "general.alignment";
    match metadata.unsigned(key)? {
        None => Ok(DEFAULT_ALIGNMENT),
        Some(a) if a.is_power_of_two() && a <= 1 << 20 => Ok(a),
        Some(a) => Err(metadata.refuse(
            key,
            a.to_string(),
            "it must be a power of two up to 1048576",
        )),
    }
}

/// A row of the tensor table as it is in the file.
struct Row {
    name: String,
    axes: Vec<u64>,
    kind: u32,
    offset: u64,
}

/// Checks the rows against the file and each other.
fn place(
    rows: Vec<Row>,
    start: u64,
    alignment: u64,
    file_len: u64,
    path: &Path,
) -> Result<Vec<TensorEntry>, PolicyError> {
    let mut names = BTreeSet::new();
    let mut tensors = Vec::with_capacity(rows.len());
    for row in rows {
        let refuse = |reason: String| PolicyError::Tensor {
            path: path.to_path_buf(),
            tensor: row.name.clone(),
            reason,
        };
        if !names.insert(row.name.clone()) {
            return Err(refuse(
                "it is in the table twice; fetch the file again".to_owned(),
            ));
        }
        let element = element_type(row.kind).map_err(refuse)?;
        let axes: Option<Vec<usize>> = row.axes.iter().map(|n| usize::try_from(*n).ok()).collect();
        let values = axes
            .as_ref()
            .and_then(|axes| axes.iter().try_fold(1usize, |a, n| a.checked_mul(*n)));
        let (Some(mut shape), Some(values)) = (axes, values.filter(|n| *n > 0)) else {
            return Err(refuse(format!(
                "its shape {:?} is empty or too large; fetch the file again",
                row.axes
            )));
        };
        let bytes = shape
            .first()
            .filter(|row| row.is_multiple_of(element.block_len()))
            .and_then(|_| element.bytes_of(values));
        let Some(bytes) = bytes else {
            let block = element.block_len();
            return Err(refuse(format!(
                "its rows of {} values are not whole blocks of {block}, as {element:?} needs; fetch the file again",
                shape.first().copied().unwrap_or(0)
            )));
        };
        if row.offset % alignment != 0 {
            return Err(refuse(format!(
                "its offset {} is not a multiple of the alignment {alignment}; fetch the file again",
                row.offset
            )));
        }
        let offset = start.checked_add(row.offset);
        let end = offset.and_then(|o| o.checked_add(bytes as u64));
        let (Some(offset), Some(_)) = (offset, end.filter(|end| *end <= file_len)) else {
            return Err(refuse(format!(
                "its {bytes} bytes at offset {} end after the file's {file_len} bytes; the file is cut off, fetch it again",
                row.offset
            )));
        };
        shape.reverse();
        tensors.push(TensorEntry {
            name: row.name,
            shape,
            element,
            part: 0,
            offset,
            bytes,
        });
    }
    let mut order: Vec<&TensorEntry> = tensors.iter().collect();
    order.sort_by_key(|t| t.offset);
    for pair in order.windows(2) {
        if pair[0].offset + pair[0].bytes as u64 > pair[1].offset {
            return Err(PolicyError::Tensor {
                path: path.to_path_buf(),
                tensor: pair[1].name.clone(),
                reason: format!(
                    "its bytes overlap those of `{}`; fetch the file again",
                    pair[0].name
                ),
            });
        }
    }
    Ok(tensors)
}

fn element_type(kind: u32) -> Result<ElementType, String> {
    Ok(match kind {
        0 => ElementType::F32,
        1 => ElementType::F16,
        2 => ElementType::Q4_0,
        3 => ElementType::Q4_1,
        6 => ElementType::Q5_0,
        7 => ElementType::Q5_1,
        8 => ElementType::Q8_0,
        12 => ElementType::Q4K,
        13 => ElementType::Q5K,
        14 => ElementType::Q6K,
        30 => ElementType::BF16,
        other => {
            let name = match other {
                9 => "Q8_1",
                10 => "Q2_K",
                11 => "Q3_K",
                15 => "Q8_K",
                16..=23 | 29 => "an IQ type",
                _ => "unknown",
            };
            return Err(format!(
                "its type is {other} ({name}), and F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K and Q6_K are implemented; use a file of those types"
            ));
        }
    })
}

/// A bounded reader that knows where it is.
struct Cursor<R> {
    source: R,
    position: u64,
    len: u64,
    path: PathBuf,
}

impl<R: Read> Cursor<R> {
    fn broken(&self, reason: String) -> PolicyError {
        PolicyError::Gguf {
            path: self.path.clone(),
            reason,
        }
    }

    fn fill(&mut self, bytes: &mut [u8], what: &str) -> Result<(), PolicyError> {
        let n = bytes.len() as u64;
        if n > self.len.saturating_sub(self.position) {
            return Err(self.broken(format!(
                "it is cut off: {n} bytes of {what} are expected at byte {}, and the file has {} bytes",
                self.position, self.len
            )));
        }
        self.source
            .read_exact(bytes)
            .map_err(PolicyError::read(&self.path))?;
        self.position += n;
        Ok(())
    }

    fn take<const N: usize>(&mut self, what: &str) -> Result<[u8; N], PolicyError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes, what)?;
        Ok(bytes)
    }

    fn u32(&mut self, what: &str) -> Result<u32, PolicyError> {
        Ok(u32::from_le_bytes(self.take(what)?))
    }

    fn u64(&mut self, what: &str) -> Result<u64, PolicyError> {
        Ok(u64::from_le_bytes(self.take(what)?))
    }

    /// A count of things of at least `least` bytes each: bounded by `most` and by the file.
    fn count(&mut self, what: &str, most: u64, least: u64) -> Result<u64, PolicyError> {
        let n = self.u64(&format!("the number of {what}"))?;
        if n > most {
            return Err(self.broken(format!(
                "it announces {n} {what}, and at most {most} are read"
            )));
        }
        let left = self.len.saturating_sub(self.position);
        if n.saturating_mul(least) > left {
            return Err(self.broken(format!(
                "it is cut off: it announces {n} {what} at byte {}, and {left} bytes are left",
                self.position
            )));
        }
        Ok(n)
    }

    fn string(&mut self, what: &str, longest: u64) -> Result<String, PolicyError> {
        let n = self.count(&format!("bytes of {what}"), longest, 1)?;
        // `count` has bounded n by the length of the file.
        let mut bytes = vec![0; usize::try_from(n).unwrap_or(0)];
        self.fill(&mut bytes, what)?;
        String::from_utf8(bytes)
            .map_err(|_| self.broken(format!("{what} before byte {} is not UTF-8", self.position)))
    }

    fn metadata(&mut self, keys: u64) -> Result<Metadata, PolicyError> {
        let mut values = BTreeMap::new();
        for _ in 0..keys {
            let key = self.string("a metadata key", LONGEST_NAME)?;
            let kind = self.u32("a metadata type")?;
            let value = self.value(kind, 0)?;
            if values.contains_key(&key) {
                return Err(
                    self.broken(format!("the metadata key {} is there twice", excerpt(&key)))
                );
            }
            values.insert(key, value);
        }
        Ok(Metadata::new(values, self.path.clone()))
    }

    fn value(&mut self, kind: u32, depth: u32) -> Result<Value, PolicyError> {
        const WHAT: &str = "a metadata value";
        Ok(match kind {
            0 => Value::Unsigned(u64::from(self.take::<1>(WHAT)?[0])),
            1 => Value::Signed(i64::from(i8::from_le_bytes(self.take(WHAT)?))),
            2 => Value::Unsigned(u64::from(u16::from_le_bytes(self.take(WHAT)?))),
            3 => Value::Signed(i64::from(i16::from_le_bytes(self.take(WHAT)?))),
            4 => Value::Unsigned(u64::from(self.u32(WHAT)?)),
            5 => Value::Signed(i64::from(i32::from_le_bytes(self.take(WHAT)?))),
            6 => Value::Float(shortest(f32::from_le_bytes(self.take(WHAT)?))),
            7 => match self.take::<1>(WHAT)?[0] {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                other => {
                    return Err(
                        self.broken(format!("a truth value is {other}, and must be 0 or 1"))
                    );
                }
            },
            8 => Value::String(self.string("a metadata string", LONGEST_STRING)?),
            9 => self.array(depth)?,
            10 => Value::Unsigned(self.u64(WHAT)?),
            11 => Value::Signed(i64::from_le_bytes(self.take(WHAT)?)),
            12 => Value::Float(f64::from_le_bytes(self.take(WHAT)?)),
            other => {
                return Err(self.broken(format!(
                    "the metadata type {other} at byte {} is unknown",
                    self.position - 4
                )));
            }
        })
    }

    fn array(&mut self, depth: u32) -> Result<Value, PolicyError> {
        if depth >= DEEPEST_ARRAY {
            return Err(self.broken(format!(
                "its metadata nests more than {DEEPEST_ARRAY} arrays"
            )));
        }
        let kind = self.u32("the type of a metadata array")?;
        let least = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            8 | 10..=12 => 8,
            _ => 12,
        };
        let n = self.count("array elements", MOST_ELEMENTS, least)?;
        let (mut strings, mut integers) = (Vec::new(), Vec::new());
        let (mut floats, mut flags) = (Vec::new(), Vec::new());
        for _ in 0..n {
            match self.value(kind, depth + 1)? {
                Value::String(text) => strings.push(text),
                Value::Signed(number) => integers.push(number),
                Value::Unsigned(number) => integers.push(i64::try_from(number).unwrap_or(i64::MAX)),
                // Scores are f32 in files; the wider type of `value` holds them exactly or by their
                // shortest decimal, and both narrow to the number that was written.
                Value::Float(number) if kind == 6 => floats.push(number as f32),
                Value::Bool(flag) => flags.push(flag),
                // Nothing that is read here needs arrays of other types.
                _ => {}
            }
        }
        Ok(match kind {
            8 => Value::Strings(strings),
            0..=5 | 10 | 11 => Value::Integers(integers),
            6 => Value::Floats(floats),
            7 => Value::Flags(flags),
            _ => Value::Other,
        })
    }

    fn row(&mut self) -> Result<Row, PolicyError> {
        let name = self.string("a tensor name", LONGEST_NAME)?;
        let axes = self.u32("a number of axes")?;
        if axes == 0 || axes > MOST_AXES {
            return Err(PolicyError::Tensor {
                path: self.path.clone(),
                tensor: name,
                reason: format!(
                    "it has {axes} axes, and 1 to {MOST_AXES} are allowed; fetch the file again"
                ),
            });
        }
        let axes = (0..axes)
            .map(|_| self.u64("a tensor's shape"))
            .collect::<Result<_, _>>()?;
        let kind = self.u32("a tensor's type")?;
        let offset = self.u64("a tensor's offset")?;
        Ok(Row {
            name,
            axes,
            kind,
            offset,
        })
    }
}

/// The f64 that is written with the same shortest decimal: 1e-5 stays 1e-5.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}
