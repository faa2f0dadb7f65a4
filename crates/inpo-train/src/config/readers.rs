//! Which words of another key a key is read with, noted in the schema of its section.

use schemars::Schema;
use serde_json::Value;

/// In the schema, the words of `algorithm` or `optim` with which a key is read.
pub(crate) const READERS: &str = "x-read-with";

/// Notes in the schema of a section with which words of another key each of its keys is read; `readers` says it.
pub(super) fn note_readers(
    schema: &mut Schema,
    readers: impl Fn(&str) -> Option<Vec<&'static str>>,
) {
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (key, of_key) in properties.into_iter().flatten() {
        if let (Some(readers), Some(of_key)) = (readers(key), of_key.as_object_mut()) {
            of_key.insert(READERS.to_owned(), readers.into());
        }
    }
}
