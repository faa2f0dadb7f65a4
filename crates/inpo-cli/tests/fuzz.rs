//! The fuzz targets of `fuzz/` without a fuzzer: random changes of good inputs for some time.
//!
//! `INPO_FUZZ_SECONDS=60 cargo test --workspace --test fuzz -- --ignored --test-threads 1 --nocapture`
//! An input that panics is written to the directory for temporary files, and its name printed. One that
//! takes longer than twenty seconds, or after which the process has had four gigabytes, fails too, as under `scripts/fuzz.sh`.

#[path = "../../../fuzz/src/targets.rs"]
#[allow(unreachable_pub)]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

/// The longest time and the most memory of an input, in bytes, as libFuzzer has them in `scripts/fuzz.sh`.
const LONGEST: Duration = Duration::from_secs(20);
const LARGEST: usize = 4 << 30;

/// xorshift64*: enough to change bytes.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// Pieces that readers find interesting.
const PIECES: &[&[u8]] = &[
    b"null",
    b"-1",
    b"0",
    b"1e999",
    b"NaN",
    b"18446744073709551615",
    b"9223372036854775808",
    b"0.5",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b":",
    b"\n",
    b"\r\n",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"{%",
    b"%}",
    b"{{",
    b"}}",
    b"{#",
    b"-%}",
    b"{% for x in range(99999) %}",
    b"{% endfor %}",
    b"{% set x = [x] %}",
    b"{{ x ~ x }}",
    b"| tojson",
    b"[::-1]",
    b" * 999999",
    b"1000000000",
    b"4194304",
    b"{999}",
    b"(a+)+$",
    b"{% set ns = namespace(x=[1]) %}",
    b"{% set ns.x = [ns.x, ns.x] %}",
    b"{% set ns.x = ns %}",
    b"{{ ns.x == ns.x }}",
    b" | replace('', x)",
    b" | indent(99999)",
    b" | sort",
    b"'%99999d' | format(1)",
    b"{% set x = x ~ x ~ x %}",
    b"{% macro f(x) %}{{ f([x, x]) }}{% endmacro %}{{ f(1) }}",
    b"../../etc/passwd",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\0\0\0\0\x01",
];

fn change(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..1 + random.below(6) {
        let at = random.below(bytes.len() + 1);
        let to = (at + 1 + random.below(16)).min(bytes.len());
        match random.below(8) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            2 if at < bytes.len() => bytes[at] = random.next() as u8,
            3 => drop(bytes.drain(at.min(to)..to)),
            4 => {
                let piece = PIECES[random.below(PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            5 => {
                let piece = PIECES[random.below(PIECES.len())];
                let end = (at + piece.len()).min(bytes.len());
                bytes.splice(at..end, piece.iter().copied());
            }
            6 => {
                let copy = bytes[at.min(to)..to].to_vec();
                let place = random.below(bytes.len() + 1);
                bytes.splice(place..place, copy);
            }
            7 if random.below(4) == 0 => bytes.truncate(at),
            _ => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                let end = (from + random.below(64)).min(other.len());
                bytes.splice(at..at, other[from..end].iter().copied());
            }
        }
    }
    bytes
}

/// The most memory that the process has had, in bytes; 0 where the system does not say.
fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// With `INPO_FUZZ_SEEDS`, writes the seeds to a folder of the target in this one, for libFuzzer, and runs nothing.
fn run(name: &str, target: fn(&[u8]), seeds: Vec<Vec<u8>>) {
    if let Some(folder) = std::env::var_os("INPO_FUZZ_SEEDS") {
        let folder = Path::new(&folder).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for (number, seed) in seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number}")), seed).unwrap();
        }
        return;
    }
    let seconds = std::env::var("INPO_FUZZ_SECONDS").ok();
    let seconds = seconds.and_then(|s| s.parse().ok()).unwrap_or(10);
    let seed = std::env::var("INPO_FUZZ_SEED").ok();
    let mut random = Random(
        seed.and_then(|s| s.parse().ok())
            .unwrap_or(0x9e37_79b9_7f4a_7c15),
    );
    let fail = |input: &[u8], what: &str| {
        let path = std::env::temp_dir().join(format!("inpo-fuzz-{name}"));
        std::fs::write(&path, input).unwrap();
        panic!("{name}: {what}; the input is in {}", path.display());
    };
    for seed in &seeds {
        target(seed);
    }
    let (start, memory) = (Instant::now(), peak_memory());
    let (mut inputs, mut slowest) = (0u64, Duration::ZERO);
    while start.elapsed() < Duration::from_secs(seconds) {
        let input = change(&mut random, &seeds);
        let before = Instant::now();
        if catch_unwind(AssertUnwindSafe(|| target(&input))).is_err() {
            fail(&input, "a panic");
        }
        slowest = slowest.max(before.elapsed());
        if before.elapsed() > LONGEST {
            fail(&input, "more than twenty seconds");
        }
        if peak_memory() > LARGEST {
            fail(&input, "more than four gigabytes");
        }
        inputs += 1;
    }
    let grown = peak_memory().saturating_sub(memory) >> 20;
    println!("{name}: {inputs} inputs in {seconds} s, slowest {slowest:.0?}, {grown} MiB more");
}

/// Files of the fixtures.
fn files(names: &[&str]) -> Vec<Vec<u8>> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let read =
        |name: &&str| std::fs::read(crates.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    names.iter().map(read).collect()
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Texts, and the rows of a Parquet file.
fn with_parquet(others: &[&str]) -> Vec<Vec<u8>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../inpo-data/tests/fixtures/parquet/snappy.parquet");
    let mut seeds = texts(others);
    seeds.push(std::fs::read(file).unwrap());
    seeds
}

/// Tokenizers of every model, with many of the library's parts.
fn tokenizers() -> Vec<Vec<u8>> {
    let parts = [
        (
            r#"{"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "_"}, {"type": "Replace", "pattern": {"String": " "}, "content": "_"}, {"type": "NFKC"}, {"type": "StripAccents"}]}"#,
            r#"{"type": "Split", "pattern": {"Regex": "a+|\\s+(?!x)"}, "behavior": "Isolated", "invert": false}"#,
            r#"{"type": "BPE", "dropout": null, "unk_token": "a", "continuing_subword_prefix": "", "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "vocab": {"<|end|>": 0, "a": 1, "b": 2, "ab": 3, "<0x41>": 4}, "merges": [["a", "b"]]}"#,
            r#"{"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "_"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}"#,
        ),
        (
            r#"{"type": "Precompiled", "precompiled_charsmap": "CHARSMAP"}"#,
            r#"{"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "split": true}"#,
            r#"{"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.5], ["_ab", -2.5]], "byte_fallback": false}"#,
            r#"{"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "split": true}"#,
        ),
        (
            r#"{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true}"#,
            r#"{"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, {"type": "FixedLength", "length": 5}, {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}]}"#,
            r#"{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "\u0023\u0023", "max_input_chars_per_word": 100, "vocab": {"[UNK]": 0, "a": 1, "b": 2}}"#,
            r#"{"type": "WordPiece", "prefix": "\u0023\u0023", "cleanup": true}"#,
        ),
    ];
    let whole = |(normalizer, pre_tokenizer, model, decoder): (&str, &str, &str, &str)| {
        format!(
            r#"{{"version": "1.0", "truncation": {{"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0}},
            "padding": {{"strategy": {{"Fixed": 9}}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "a"}},
            "added_tokens": [{{"id": 0, "content": "<|end|>", "single_word": true, "lstrip": true, "rstrip": true, "normalized": true, "special": true}}],
            "normalizer": {normalizer}, "pre_tokenizer": {pre_tokenizer}, "model": {model}, "decoder": {decoder},
            "post_processor": {{"type": "TemplateProcessing", "single": [{{"Sequence": {{"id": "A", "type_id": 0}}}}, {{"SpecialToken": {{"id": "a", "type_id": 0}}}}],
            "pair": [{{"Sequence": {{"id": "A", "type_id": 0}}}}, {{"Sequence": {{"id": "B", "type_id": 1}}}}], "special_tokens": {{"a": {{"id": "a", "ids": [1], "tokens": ["a"]}}}}}}}}"#
        )
    };
    // A table of 256 empty units, and one byte of replacements.
    let table = format!("AAQA{}AAB4", "AAAA".repeat(341));
    let whole = |parts| whole(parts).replace("CHARSMAP", &table);
    let mut seeds = texts(&[targets::TOKENIZER]);
    seeds.extend(parts.map(|parts| whole(parts).into_bytes()));
    seeds
}

/// Journals with whole lines, a wrong sum and a torn end.
fn journals() -> Vec<Vec<u8>> {
    let line = |entry: &str| {
        let sum = inpo_core::data::sha256(entry.as_bytes());
        format!("{{\"sum\":\"{}\",\"entry\":{entry}}}\n", &sum[..16])
    };
    let lines = [
        r#"{"specification":{"model":"m"}}"#,
        r#"{"key":"k","p":0.5,"calls":1,"prompt_tokens":2,"completion_tokens":3,"seconds":0.25}"#,
        r#"{"key":"l","invalid":"no verdict","calls":1,"prompt_tokens":2,"completion_tokens":3,"seconds":1e300}"#,
    ];
    let whole = lines.map(line).concat();
    texts(&[
        &whole,
        &format!("{whole}{{\"sum\":\"0123456789abcdef\",\"entry\":{{}}}}\n{{\"sum"),
    ])
}

macro_rules! fuzz {
    ($($name:ident: $seeds:expr;)*) => {$(
        #[test]
        #[ignore = "takes as long as INPO_FUZZ_SECONDS says"]
        fn $name() {
            run(stringify!($name), targets::$name, $seeds);
        }
    )*};
}

fuzz! {
    gguf: files(&[
        "inpo-policy/tests/fixtures/gguf/llama.gguf",
        "inpo-policy/tests/fixtures/gguf/llama3.gguf",
        "inpo-policy/tests/fixtures/gguf/qwen2.gguf",
        "inpo-policy/tests/fixtures/gguf/gemma2.gguf",
    ]).into_iter().flat_map(|file| {
        // The header is what can be hostile: most changes go there.
        let head = file[..file.len().min(4096)].to_vec();
        [file, head]
    }).collect();
    safetensors: files(&["inpo-policy/tests/fixtures/tiny_llama_tied/model.safetensors"])
        .into_iter().flat_map(|file| [file[..3000].to_vec(), file]).collect();
    safetensors_index: texts(&[
        r#"{"metadata": {"total_size": 4}, "weight_map": {"model.norm.weight": "model-00001-of-00001.safetensors"}}"#,
        r#"{"weight_map": {}}"#,
    ]);
    model_config: files(&[
        "inpo-policy/tests/fixtures/tiny_llama_tied/config.json",
        "inpo-policy/tests/fixtures/tiny/gemma3/config.json",
        "inpo-policy/tests/fixtures/tiny/qwen2_yarn/config.json",
        "inpo-policy/tests/fixtures/tiny/smollm3/config.json",
    ]);
    tokenizer: tokenizers();
    tokenizer_config: texts(&[
        r#"{"added_tokens_decoder": {"0": {"content": "<|end|>", "special": true}, "7": {"content": "x", "lstrip": true, "normalized": false}}, "eos_token": "<|end|>", "pad_token": {"content": "<p>"}, "extra_special_tokens": {"image_token": "<i>"}, "split_special_tokens": true, "chat_template": [{"name": "default", "template": "{{ messages }}{{ eos_token }}"}]}"#,
        r#"{"bos_token": "<s>", "additional_special_tokens": ["<a>", {"content": "<b>"}], "chat_template": "{% for m in messages %}{{ m.content }}<|end|>{% endfor %}"}"#,
        r#"{"<|end|>": 0, "<x>": 3}"#,
    ]);
    generation_config: texts(&[
        r#"{"eos_token_id": [1, 2], "bos_token_id": 0, "pad_token_id": 3, "temperature": 0.6, "top_p": 0.9, "do_sample": true}"#,
        r#"{"eos_token_id": 2}"#,
    ]);
    chat_template: files(&[
        "inpo-policy/tests/fixtures/templates/llama3.1.jinja",
        "inpo-policy/tests/fixtures/templates/qwen3.jinja",
        "inpo-policy/tests/fixtures/templates/mistral-v3.jinja",
        "inpo-policy/tests/fixtures/templates/python.jinja",
        "inpo-policy/tests/fixtures/templates/smollm3.jinja",
        "inpo-policy/tests/fixtures/templates/generation.jinja",
    ]);
    adapter_config: files(&["inpo-cli/tests/fixtures/trajectory/adapter/adapter_config.json"]);
    adapter_weights: files(&["inpo-cli/tests/fixtures/trajectory/adapter/adapter_model.safetensors"])
        .into_iter().map(|file| file[..4000].to_vec()).collect();
    game_json: texts(&[
        r#"{"names": ["a", "b"], "preferences": [[0.5, 0.7], [0.3, 0.5]], "reference": [0.5, 0.5]}"#,
        r#"{"preferences": [[0.5]]}"#,
    ]);
    game_csv: texts(&["0.5,0.7\n0.3,0.5\n", "0.5, 1, 0\n0, 0.5, 1\r\n1, 0, 0.5"]);
    records: texts(&[
        "model_x,model_y,winner\nalpha,beta,alpha\nbeta,\"al\"\"pha\",right\nalpha,beta,tie\n",
        "{\"model_x\": \"a\", \"model_y\": \"b\", \"winner\": \"a\"}\n{\"a\": \"x\", \"b\": \"y\", \"winner\": \"tie\"}\n",
    ]);
    rows: with_parquet(&[
        "{\"prompt\": \"the end\", \"response\": \"is in\"}\n{\"prompt_token_ids\": [1, 2], \"response_token_ids\": [3]}\n",
        "{\"prompt\": [{\"role\": \"user\", \"content\": \"a\"}], \"response\": \"b\"}\n",
        "[{\"prompt\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"a\"}]}], \"x\": NaN, \"responses\": [\"a\"], \"response_token_ids\": [[1]]},\n {\"conversations\": [{\"from\": \"human\", \"value\": \"a\"}], \"system\": \"b\", \"tools\": [{\"name\": \"f\"}]}]",
    ]);
    pairs: with_parquet(&[
        "{\"chosen\": \"\\n\\nHuman: a\\n\\nAssistant: b\", \"rejected\": \"\\n\\nHuman: a\\n\\nAssistant: c\", \"chat_template_kwargs\": {\"x\": 1}, \"weight\": 2}\n",
        "{\"prompt\": \"the end\", \"chosen\": \"is\", \"rejected\": \"in\", \"probability\": 0.7}\n",
        "{\"prompt_token_ids\": [1, 2], \"chosen_token_ids\": [3], \"rejected_token_ids\": [4, 5], \"ref_chosen_logps\": -1.5, \"ref_rejected_logps\": -2}\n",
        "{\"prompt\": [{\"role\": \"user\", \"content\": \"a\"}], \"chosen\": [{\"role\": \"assistant\", \"content\": \"b\"}], \"rejected\": [{\"role\": \"assistant\", \"content\": \"c\"}]}\n",
    ]);
    judge_training: texts(&[
        "output_dir = 'x'\nseed = 1\n[policy]\nmodel = 'm'\n[judge]\nform = 'hybrid'\nvalues = 4\ntemperature = 0.5\n[data]\nvotes = 'v'\ncalibration_share = 0.2\n[train]\nlearning_rate = 1e-5\nmax_steps = 3\n",
        "output_dir = 'x'\n[policy]\nmodel = 'm'\n[policy.lora]\nrank = 4\n[judge]\nform = 'pair_lm'\n[data]\nvotes = 'v'\neval_votes = 'w'\n",
    ]);
    oracle_config: texts(&[
        "kind = 'rules'\ntie_band = 1\n[length]\nmin_words = 2\n",
        "kind = 'rules'\nlabel_noise = 0.1\nnoise_seed = 3\nmax_comparisons = 9\nall_pairs = true\n",
        "kind = 'instructions'\nmode = 'loose'\n",
        "kind = 'ensemble'\ncombine = 'mean'\n[[members]]\nkind = 'rules'\n[[members]]\nkind = 'recorded'\nvotes = 'v'\nmissing = 'tie'\n",
        "kind = 'server'\nbase_url = 'http://localhost:1/v1'\nmodel = 'm'\nlabels = ['A', 'B']\ntemperature = 'none'\n[extra_body]\nx = [1, {y = 'z'}]\n",
        "kind = 'pair_lm'\nmodel = 'm'\ntemplate = 'rlhflow'\nlabels = ['A', 'B']\n",
    ]);
    journal: journals();
    votes: with_parquet(&[
        "{\"prompt\": \"a\", \"response_a\": \"b\", \"response_b\": \"c\", \"winner\": \"tie\", \"voter\": \"v\"}\n{\"prompt\": [{\"role\": \"user\", \"content\": \"a\"}], \"chosen\": \"b\", \"rejected\": \"c\"}\n",
        "{\"prompt\": \"a\", \"responses\": [\"b\", \"c\", \"d\"], \"preference\": [[0.5, 1, null], [0, 0.5, 0.25], [null, 0.75, 0.5]], \"judge\": \"j\"}\n",
    ]);
    instructions: texts(&[
        "{\"prompt\": \"a\", \"instruction_id_list\": [\"punctuation:no_comma\", \"length_constraints:number_words\", \"keywords:frequency\"], \"kwargs\": [{}, {\"relation\": \"at least\", \"num_words\": 3}, {\"relation\": \"less than\", \"keyword\": \"one\", \"frequency\": 2}]}\n",
        "{\"prompt\": \"a\", \"instruction_id_list\": [\"detectable_format:json_format\", \"detectable_content:postscript\", \"language:response_language\", \"keywords:letter_frequency\"], \"kwargs\": [null, {\"postscript_marker\": \"P.S.\"}, {\"language\": \"de\"}, {\"letter\": \"e\", \"let_relation\": \"at least\", \"let_frequency\": 1}]}\n",
        "{\"prompt\": \"a\", \"instruction_id_list\": [\"length_constraints:nth_paragraph_first_word\", \"detectable_format:multiple_sections\", \"length_constraints:number_sentences\", \"detectable_format:number_bullet_lists\"], \"kwargs\": [{\"num_paragraphs\": 2, \"nth_paragraph\": 1, \"first_word\": \"one\"}, {\"section_spliter\": \"Section\", \"num_sections\": 2}, {\"relation\": \"at least\", \"num_sentences\": 2}, {\"num_bullets\": 1}]}\n",
    ]);
    judge_template: files(&[
        "inpo-oracle/src/templates/labels.toml",
        "inpo-oracle/src/templates/mt_bench.toml",
        "inpo-oracle/src/templates/arena_hard.toml",
    ]);
    server_answers: texts(&[
        r#"{"model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": "A"}, "finish_reason": "stop", "logprobs": {"content": [{"token": "A", "logprob": -0.1, "top_logprobs": [{"token": "A", "logprob": -0.1}, {"token": "B", "logprob": -2.5}]}]}}, {"index": 1, "message": {"content": "[[B]]"}, "finish_reason": "length"}], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}"#,
        r#"{"choices": [{"index": 0, "text": "a", "finish_reason": "stop", "token_ids": [5], "prompt_token_ids": [1, 2], "logprobs": {"tokens": ["token_id:5"], "token_logprobs": [-0.5]}}, {"index": 1, "text": "b", "finish_reason": "length", "token_ids": [6, 7], "logprobs": {"tokens": ["token_id:6", "token_id:7"], "token_logprobs": [-0.5, -1]}}]}"#,
        r#"{"choices": [{"index": 0, "text": "a", "logprobs": {"tokens": ["token_id:1", "token_id:2", "token_id:3", "token_id:4"], "token_logprobs": [null, -1, -2, -3]}}], "prompt_logprobs": [null, {"2": {"logprob": -1}}]}"#,
        r#"{"data": [{"index": 0, "score": 0.75}, {"index": 1, "score": 0.25}], "tokens": [1], "max_model_len": 100, "scores": [[0.5, 0.5]]}"#,
        r#"{"error": {"message": "no such model", "code": 404}}"#,
    ]);
    run_config: texts(&[
        "output_dir = 'x'\nseed = 1\n[policy]\nmodel = 'm'\n[policy.lora]\nrank = 4\n[data]\npairs = 'p'\n[objective]\nalgorithm = 'inpo'\neta = 0.01\ntau = 0.001\n[train]\nlearning_rate = 1e-5\nmax_steps = 3\n",
    ]);
}
