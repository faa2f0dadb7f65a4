use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use inpo_kernels::{BlockKind, BlockMatrix};
use proptest::prelude::*;

use super::*;

mod families;
mod keys;
mod refusals;
mod split;

/// A GGUF file in the making, written by the format's definition.
struct Builder {
    version: u32,
    metadata: Vec<(String, u32, Vec<u8>)>,
    tensors: Vec<(String, Vec<u64>, u32, Vec<u8>)>,
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|x| x.to_le_bytes()).collect()
}

impl Builder {
    /// A model with 1 layer, hidden size 4, 1 head of width 4, feed-forward 2, vocabulary 3. Its
    /// values count up from 0 within each matrix; norms are 1.
    fn tiny() -> Self {
        let number = |key: &str, n: u32| (key.to_owned(), 4, n.to_le_bytes().to_vec());
        let metadata = vec![
            ("general.architecture".to_owned(), 8, string("llama")),
            number("llama.block_count", 1),
            number("llama.context_length", 16),
            number("llama.embedding_length", 4),
            number("llama.feed_forward_length", 2),
            number("llama.attention.head_count", 1),
            (
                "llama.attention.layer_norm_rms_epsilon".to_owned(),
                6,
                1e-5f32.to_le_bytes().to_vec(),
            ),
            (
                "llama.rope.freq_base".to_owned(),
                6,
                1e5f32.to_le_bytes().to_vec(),
            ),
            number("tokenizer.ggml.eos_token_id", 2),
        ];
        let mut tensors = Vec::new();
        let mut add = |name: &str, axes: &[u64]| {
            let count = axes.iter().product::<u64>();
            let values: Vec<f32> = (0..count)
                .map(|i| if axes.len() == 1 { 1.0 } else { i as f32 })
                .collect();
            tensors.push((name.to_owned(), axes.to_vec(), 0, floats(&values)));
        };
        add("token_embd.weight", &[4, 3]);
        add("blk.0.attn_norm.weight", &[4]);
        for name in ["attn_q", "attn_k", "attn_v", "attn_output"] {
            add(&format!("blk.0.{name}.weight"), &[4, 4]);
        }
        add("blk.0.ffn_norm.weight", &[4]);
        add("blk.0.ffn_gate.weight", &[4, 2]);
        add("blk.0.ffn_up.weight", &[4, 2]);
        add("blk.0.ffn_down.weight", &[2, 4]);
        add("output_norm.weight", &[4]);
        Self {
            version: 3,
            metadata,
            tensors,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, kind, value) in &self.metadata {
            out.extend(string(key));
            out.extend(kind.to_le_bytes());
            out.extend(value);
        }
        let mut data = Vec::new();
        for (name, axes, kind, bytes) in &self.tensors {
            out.extend(string(name));
            out.extend((axes.len() as u32).to_le_bytes());
            axes.iter().for_each(|n| out.extend(n.to_le_bytes()));
            out.extend(kind.to_le_bytes());
            out.extend((data.len() as u64).to_le_bytes());
            data.extend(bytes);
            data.resize(data.len().next_multiple_of(32), 0);
        }
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend(data);
        out
    }

    fn set(&mut self, key: &str, kind: u32, value: &[u8]) {
        self.metadata.retain(|(k, _, _)| k != key);
        self.metadata.push((key.to_owned(), kind, value.to_vec()));
    }

    fn tensor(&mut self, name: &str) -> &mut (String, Vec<u64>, u32, Vec<u8>) {
        self.tensors.iter_mut().find(|t| t.0 == name).unwrap()
    }
}

fn write(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tiny.gguf");
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}

#[test]
fn opens_versions_2_and_3() {
    for version in [2, 3] {
        let builder = Builder {
            version,
            ..Builder::tiny()
        };
        let (_dir, path) = write(&builder.bytes());
        let model = ModelFiles::open(&path).unwrap();
        assert_eq!(model.config.vocab_size, 3);
        assert_eq!(model.config.head_dim, 4);
        assert_eq!(
            model.config.rms_norm_eps, 1e-5,
            "the decimal, not the f32 widened"
        );
        assert_eq!(model.config.rope_theta, 100_000.0);
        assert_eq!(model.config.eos_token_ids, [2]);
        assert!(model.config.tie_word_embeddings);
        assert_eq!(model.weights.names().len(), 11);
        let embedding = model.weights.load("model.embed_tokens.weight").unwrap();
        assert_eq!(
            embedding.shape,
            [3, 4],
            "the file lists the fastest axis first"
        );
        assert_eq!(
            embedding.data,
            (0..12).map(|i| i as f32).collect::<Vec<_>>()
        );
        let missing = model.require_tokenizer().unwrap_err().to_string();
        assert!(
            missing
                .contains("has no tokenizer that can be used: the file has none; give token ids"),
            "{missing}"
        );
    }
}

#[test]
fn query_and_key_rows_are_brought_to_half_split_order() {
    let (_dir, path) = write(&Builder::tiny().bytes());
    let model = ModelFiles::open(&path).unwrap();
    // Row r of the file is [4r, 4r+1, 4r+2, 4r+3]. One head of width 4: the file pairs rows (0, 1)
    // and (2, 3), Hugging Face pairs (0, 2) and (1, 3). So the rows become 0, 2, 1, 3.
    let rows = |order: [u8; 4]| -> Vec<f32> {
        order
            .iter()
            .flat_map(|r| (0..4).map(move |c| f32::from(4 * r + c)))
            .collect()
    };
    for name in ["q_proj", "k_proj"] {
        let tensor = model
            .weights
            .load(&format!("model.layers.0.self_attn.{name}.weight"))
            .unwrap();
        assert_eq!(tensor.data, rows([0, 2, 1, 3]), "{name}");
    }
    for name in ["v_proj", "o_proj"] {
        let tensor = model
            .weights
            .load(&format!("model.layers.0.self_attn.{name}.weight"))
            .unwrap();
        assert_eq!(tensor.data, rows([0, 1, 2, 3]), "{name}");
    }
}

#[test]
fn each_head_is_permuted_within_itself() {
    // Two heads of width 4, one column: heads stay apart.
    let data: Vec<f32> = (0..8).map(|i| i as f32).collect();
    let mut rows = data;
    half_split_rows(&mut rows, 1, 4);
    assert_eq!(rows, [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
}

#[test]
fn an_untied_head_is_read() {
    let mut builder = Builder::tiny();
    builder.tensors.push((
        "output.weight".to_owned(),
        vec![4, 3],
        0,
        floats(&[7.0; 12]),
    ));
    let (_dir, path) = write(&builder.bytes());
    let model = ModelFiles::open(&path).unwrap();
    assert!(!model.config.tie_word_embeddings);
    assert_eq!(
        model.weights.load("lm_head.weight").unwrap().data,
        [7.0; 12]
    );
}

#[test]
fn quantised_tensors_are_dequantised() {
    // Hidden size 32, so that a row is one block; one head of width 32.
    let mut builder = Builder::tiny();
    builder.set("llama.embedding_length", 4, &32u32.to_le_bytes());
    for (_, axes, _, bytes) in &mut builder.tensors {
        axes.iter_mut().filter(|n| **n == 4).for_each(|n| *n = 32);
        *bytes = vec![0; 4 * axes.iter().product::<u64>() as usize];
    }
    // f16: 0.5 is 0x3800, 1.0 is 0x3c00, -1.5 is 0xbe00, 2.0 is 0x4000.
    let q8 = [&[0x00, 0x38][..], &[254; 32]].concat(); // 0.5 * -2 = -1
    let q4_0 = [&[0x00, 0x40][..], &[0x9a; 16]].concat(); // 2 (10 - 8) = 4 and 2 (9 - 8) = 2
    let q4_1 = [&[0x00, 0x38, 0x00, 0xbe][..], &[0x21; 16]].concat(); // 0.5 - 1.5 = -1 and 1 - 1.5 = -0.5
    let cases = [
        ("token_embd.weight", 8, q8.repeat(3), -1.0, -1.0),
        ("blk.0.ffn_gate.weight", 2, q4_0.repeat(2), 4.0, 2.0),
        ("blk.0.ffn_up.weight", 3, q4_1.repeat(2), -1.0, -0.5),
        (
            "blk.0.attn_v.weight",
            1,
            [0x00, 0xbe].repeat(1024),
            -1.5,
            -1.5,
        ),
        (
            "blk.0.attn_output.weight",
            30,
            [0x80, 0x3f].repeat(1024),
            1.0,
            1.0,
        ),
    ];
    for (name, kind, bytes, _, _) in &cases {
        let tensor = builder.tensor(name);
        (tensor.2, tensor.3) = (*kind, bytes.clone());
    }
    let (_dir, path) = write(&builder.bytes());
    let model = ModelFiles::open(&path).unwrap();
    for name in model.weights.names() {
        let foreign = names::gguf_name(Family::Llama, &name);
        if let Some((_, _, _, low, high)) = cases.iter().find(|case| case.0 == foreign) {
            let data = model.weights.load(&name).unwrap().data;
            assert!(
                data.chunks(32)
                    .all(|row| row[..16] == [*low; 16] && row[16..] == [*high; 16]),
                "{name}"
            );
        }
    }
}

/// One head of width 32, so that the query's rows are permuted: the rows of a product with the identity are the values that
/// are loaded.
#[test]
fn blocks_multiply_as_what_is_loaded() {
    let mut builder = Builder::tiny();
    builder.set("llama.embedding_length", 4, &32u32.to_le_bytes());
    for (_, axes, _, bytes) in &mut builder.tensors {
        axes.iter_mut().filter(|n| **n == 4).for_each(|n| *n = 32);
        *bytes = vec![0; 4 * axes.iter().product::<u64>() as usize];
    }
    let numbers = |block: usize, count: usize| (0..count).map(move |i| (block * 37 + i * 91) as u8);
    // Scales of 1.0 (0x3c00) and a little more, minima of -1.5 (0xbe00) and a little less.
    let nibbles = |block: usize| {
        let head = [block as u8, 0x3c, block as u8, 0xbe];
        head.into_iter().chain(numbers(block, 16))
    };
    let bytes = |block: usize| [block as u8, 0x3c].into_iter().chain(numbers(block, 32));
    for (name, kind, data) in [
        (
            "blk.0.attn_q.weight",
            3,
            (0..32).flat_map(nibbles).collect(),
        ),
        (
            "blk.0.attn_v.weight",
            3,
            (0..32).flat_map(nibbles).collect(),
        ),
        (
            "token_embd.weight",
            8,
            (0..3).flat_map(bytes).collect::<Vec<u8>>(),
        ),
    ] {
        let tensor = builder.tensor(name);
        (tensor.2, tensor.3) = (kind, data);
    }
    let (_dir, path) = write(&builder.bytes());
    let weights = ModelFiles::open(&path).unwrap().weights;
    let mut packed = Vec::new();
    for name in weights.names() {
        let Some(stored) = weights.blocks(&name).unwrap() else {
            continue;
        };
        let identity = (0..32 * 32).map(|i| if i % 33 == 0 { 1.0_f32 } else { 0.0 });
        let identity = TensorData::new(identity.collect::<Vec<_>>(), [32, 32]);
        let identity = Tensor::<2>::from_data(identity, &Device::flex());
        packed.push(name.clone());
        if !BlockMatrix::takes(&identity) {
            eprintln!("no AVX-512 here: blocks are not multiplied");
            continue;
        }
        let rows = crate::model::block_matrix(&stored).product(identity);
        let loaded = weights.load(&name).unwrap();
        let columns = rows.transpose().try_into_vec_as::<f32>().unwrap();
        assert_eq!(columns, loaded.data, "{name}");
    }
    let layer = "model.layers.0.self_attn";
    let [query, value] = ["q", "v"].map(|part| format!("{layer}.{part}_proj.weight"));
    packed.sort();
    assert_eq!(
        packed,
        ["model.embed_tokens.weight".to_owned(), query, value]
    );
}

#[test]
fn identity_is_the_digest_of_the_file() {
    let bytes = Builder::tiny().bytes();
    let (_dir, path) = write(&bytes);
    let model = ModelFiles::open(&path).unwrap();
    assert_eq!(model.weights.identity().unwrap(), inpo_data::sha256(&bytes));
}

/// Opens and loads whatever opens: an error is fine, a panic is not.
fn use_all(bytes: &[u8]) {
    let (_dir, path) = write(bytes);
    if let Ok(model) = ModelFiles::open(&path) {
        for name in model.weights.names() {
            let _ = model.weights.load(&name);
            match model.weights.blocks(&name) {
                Ok(Some(stored)) if stored.kind() == BlockKind::Bf16 => {
                    stored.bf16_bits().for_each(drop);
                }
                Ok(Some(stored)) => stored.blocks().for_each(drop),
                _ => {}
            }
        }
    }
}

proptest! {
    #[test]
    fn changed_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = Builder::tiny().bytes();
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        use_all(&bytes);
    }

    #[test]
    fn cut_files_never_panic(cut in any::<prop::sample::Index>(), tail in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut bytes = Builder::tiny().bytes();
        bytes.truncate(cut.index(bytes.len()));
        bytes.extend(tail);
        use_all(&bytes);
    }
}
