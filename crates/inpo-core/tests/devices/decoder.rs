//! The decoder's log-probs against numpy in f64.

use burn::tensor::{DType, Device};
use inpo_core::policy::Sequence;
use serde::Deserialize;

use crate::errors::Errors;
use crate::reference::{fixture, tiny};

#[derive(Deserialize)]
struct Expected {
    sequences: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    ids: Vec<u32>,
    token_logps: Vec<f64>,
}

/// Both tiny checkpoints (tied head; untied with scaled rotation): sequences of 5, 12 and 40 ids in one
/// padded batch and each alone.
pub(crate) fn check(device: &Device, dtype: DType, errors: &mut Errors) {
    for name in ["tiny_llama_tied", "tiny_llama_untied"] {
        let path = fixture("inpo-policy/tests/fixtures").join(name);
        let text = std::fs::read_to_string(path.join("expected.json")).expect("it is there");
        let expected: Expected = serde_json::from_str(&text).expect("the fixture is JSON");
        let policy = tiny(name, device, dtype);
        assert_eq!(policy.decoder().dtype(), dtype);
        let rows = &expected.sequences;
        let sequence = |row: &Row| Sequence::new(&row.ids[..1], &row.ids[1..]);
        let sequences: Vec<Sequence> = rows.iter().map(sequence).collect();
        let together = policy.logps(&sequences).expect("the ids are in range");
        for ((row, sequence), got) in rows.iter().zip(&sequences).zip(together) {
            let length = row.ids.len();
            errors.compare(&format!("{name}, {length} ids"), &got, &row.token_logps);
            let alone = policy.logps(std::slice::from_ref(sequence));
            let alone = alone.expect("the ids are in range").concat();
            let what = format!("{name}, {length} ids alone");
            errors.compare(&what, &alone, &row.token_logps);
        }
    }
}
