//! Models in several files that do not belong together.

use super::*;

/// A model in two files, with changes to each.
fn refusal(names: [&str; 2], change: impl FnOnce(&mut [Builder; 2])) -> String {
    let mut whole = Builder::tiny();
    let rest = Builder {
        version: 3,
        metadata: vec![("general.architecture".to_owned(), 8, string("llama"))],
        tensors: whole.tensors.split_off(5),
    };
    let mut parts = [whole, rest];
    for (number, part) in (0u16..).zip(&mut parts) {
        part.set("split.no", 2, &number.to_le_bytes());
        part.set("split.count", 2, &2u16.to_le_bytes());
        part.set("split.tensors.count", 5, &11i32.to_le_bytes());
    }
    change(&mut parts);
    let dir = tempfile::tempdir().unwrap();
    for (name, part) in names.iter().zip(&parts) {
        std::fs::write(dir.path().join(name), part.bytes()).unwrap();
    }
    match ModelFiles::open(&dir.path().join(names[0])) {
        Ok(model) => format!("{} tensors", model.weights.names().len()),
        Err(error) => error
            .to_string()
            .replace(dir.path().to_str().unwrap(), "DIR"),
    }
}

#[test]
fn parts_must_be_of_one_model() {
    let names = ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"];
    assert_eq!(refusal(names, |_| {}), "11 tensors");
    assert_eq!(
        refusal(["first.gguf", "second.gguf"], |_| {}),
        "DIR/first.gguf: `split.count` is 2, but the name \"first.gguf\" does not end in -00001-of-00002.gguf, so the other files cannot be found; name them as `gguf-split` does, or join them with `gguf-split --merge`"
    );
    assert_eq!(
        refusal([names[1], names[0]], |parts| parts.swap(0, 1)),
        "DIR/m-00002-of-00002.gguf: `split.no` is 1, but the first file has the metadata; give DIR/m-00001-of-00002.gguf"
    );
    let missing = refusal([names[0], "other.gguf"], |_| {});
    assert!(
        missing.starts_with("cannot read DIR/m-00002-of-00002.gguf: "),
        "{missing}"
    );
    assert_eq!(
        refusal(names, |parts| parts[1].set("split.no", 2, &[0, 0])),
        "DIR/m-00002-of-00002.gguf: `split.no` is 0, but the file's name says 1; fetch the file again"
    );
    assert_eq!(
        refusal(names, |parts| parts[1].metadata.truncate(1)),
        "DIR/m-00002-of-00002.gguf: `split.no` is absent, but the file's name says 1; fetch the file again"
    );
    assert_eq!(
        refusal(names, |parts| drop(parts[1].tensors.pop())),
        "DIR/m-00001-of-00002.gguf: `split.tensors.count` is 11, but the 2 files have 10; fetch them again"
    );
    assert_eq!(
        refusal(names, |parts| {
            let tensor = parts[0].tensors[1].clone();
            parts[1].tensors.push(tensor);
        }),
        "DIR/m-00002-of-00002.gguf: tensor `blk.0.attn_norm.weight`: it is also in DIR/m-00001-of-00002.gguf; fetch both again"
    );
    assert_eq!(
        refusal(names, |parts| parts[0].set("split.count", 4, &[255; 4])),
        "DIR/m-00001-of-00002.gguf: `split.count` is 4294967295, but at most 99999 files are read"
    );
}
