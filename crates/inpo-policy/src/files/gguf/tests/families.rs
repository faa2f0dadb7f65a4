//! Files of each family against what transformers reads from them (`fixtures/gguf/make_gguf.py`).

use std::collections::BTreeSet;

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Expected {
    config: Map<String, Json>,
    tensors: BTreeMap<String, ExpectedTensor>,
}

#[derive(Deserialize)]
struct ExpectedTensor {
    shape: Vec<usize>,
    first: Vec<f32>,
    sum: f64,
    weighted: f64,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/gguf")
        .join(name)
}

fn expected() -> BTreeMap<String, Expected> {
    let text = std::fs::read(fixture("expected.json")).unwrap();
    let expected: BTreeMap<String, Expected> = serde_json::from_slice(&text).unwrap();
    // All files of the folder, and one of every family at least.
    let stem = |path: PathBuf| {
        let gguf = path
            .extension()
            .is_some_and(|extension| extension == "gguf");
        gguf.then(|| path.file_stem().unwrap().to_str().unwrap().to_owned())
    };
    let entries = std::fs::read_dir(fixture("")).unwrap();
    let files: BTreeSet<_> = entries
        .filter_map(|entry| stem(entry.unwrap().path()))
        .collect();
    assert_eq!(expected.keys().cloned().collect::<BTreeSet<_>>(), files);
    for gguf in Family::ALL
        .iter()
        .filter_map(|family| family.spec().gguf.as_ref())
    {
        assert!(
            files.contains(gguf.architecture),
            "{} has no file",
            gguf.architecture
        );
    }
    expected
}

#[test]
fn settings_are_those_the_file_was_made_with() {
    for (name, expected) in expected() {
        let parts = Contents::read(&fixture(&format!("{name}.gguf"))).unwrap();
        for (key, value) in &expected.config {
            let found = parts.config.get(key).unwrap_or(&Json::Null);
            let same = match (value.as_f64(), found.as_f64()) {
                (Some(a), Some(b)) => a == b,
                // Without a window, all layers are full, which these families do not spell out.
                _ if key == "layer_types" && found.is_null() => value
                    .as_array()
                    .is_some_and(|list| list.iter().all(|kind| kind == "full_attention")),
                _ => value == found,
            };
            assert!(same, "{name}: {key} is {found}, expected {value}");
        }
    }
}

#[test]
fn tensors_have_the_names_and_layout_of_transformers() {
    for (name, expected) in expected() {
        let mut parts = Contents::read(&fixture(&format!("{name}.gguf"))).unwrap();
        let head_dim = expected.config["head_dim"].as_u64().unwrap() as usize;
        for (tensor, expected) in &expected.tensors {
            let foreign = names::gguf_name(parts.family, tensor);
            let entry = parts.table.remove(&foreign);
            let entry = entry.unwrap_or_else(|| panic!("{name}: {tensor} is not {foreign}"));
            let found = load(&parts.parts, parts.family, head_dim, (tensor, &entry)).unwrap();
            assert_eq!(found.shape, expected.shape, "{name}: {tensor}");
            // Gains may differ by the rounding of +1 and -1.
            for (found, expected) in found.data.iter().zip(&expected.first) {
                assert!((found - expected).abs() < 1e-6, "{name}: {tensor}");
            }
            let values = || found.data.iter().map(|x| f64::from(*x));
            let sum: f64 = values().sum();
            let weighted: f64 = values()
                .enumerate()
                .map(|(i, x)| x * (i % 101) as f64)
                .sum();
            assert!((sum - expected.sum).abs() < 1e-4, "{name}: {tensor}: {sum}");
            assert!(
                (weighted - expected.weighted).abs() < 1e-2,
                "{name}: {tensor}: {weighted}"
            );
        }
        assert!(
            parts.table.is_empty(),
            "{name}: {:?} is left",
            parts.table.keys()
        );
    }
}

#[test]
fn every_file_opens_as_a_model() {
    for (name, expected) in expected() {
        let model = ModelFiles::open(&fixture(&format!("{name}.gguf"))).unwrap();
        let names: BTreeSet<String> = model.weights.names().into_iter().collect();
        let wanted: BTreeSet<String> = expected.tensors.into_keys().collect();
        assert_eq!(names, wanted, "{name}");
        assert_eq!(model.tokenizer.is_some(), name == "llama");
    }
}

#[test]
fn layers_of_gemma_follow_the_file_where_it_says() {
    let layers = |family, set: &dyn Fn(&mut Builder)| {
        let mut builder = Builder::tiny();
        for (key, ..) in &mut builder.metadata {
            *key = key.replace("llama.", "gemma3.");
        }
        builder.set("gemma3.block_count", 4, &4u32.to_le_bytes());
        builder.set("gemma3.attention.sliding_window", 4, &8u32.to_le_bytes());
        builder.set("general.architecture", 8, &string(family));
        set(&mut builder);
        let (_dir, path) = write(&builder.bytes());
        Contents::read(&path).map(|parts| {
            let kinds = parts.config["layer_types"].as_array().unwrap();
            kinds
                .iter()
                .map(|kind| kind == "sliding_attention")
                .collect::<Vec<_>>()
        })
    };
    let key = "gemma3.attention.sliding_window_pattern";
    let default = layers("gemma3", &|_| {}).unwrap();
    assert_eq!(default, [true; 4], "every sixth is full");
    let period = layers("gemma3", &|b| b.set(key, 4, &2u32.to_le_bytes())).unwrap();
    assert_eq!(period, [true, false, true, false]);
    let flags = |list: &[u8]| {
        [
            &7u32.to_le_bytes()[..],
            &(list.len() as u64).to_le_bytes(),
            list,
        ]
        .concat()
    };
    let listed = layers("gemma3", &|b| b.set(key, 9, &flags(&[0, 1, 1, 0]))).unwrap();
    assert_eq!(listed, [false, true, true, false]);
    let short = layers("gemma3", &|b| b.set(key, 9, &flags(&[0, 1]))).unwrap_err();
    assert!(
        short.to_string().ends_with(
            "`gemma3.attention.sliding_window_pattern` is a list of 2, but there are 4 layers"
        ),
        "{short}"
    );
}
