//! The fuzz targets of `fuzz/` without a fuzzer: random changes of good inputs for some time.
//!
//! `INPO_FUZZ_SECONDS=60 cargo test --workspace --test fuzz -- --ignored --test-threads 1 --nocapture`
//! An input that panics is written to the directory for temporary files, and its name printed. One that
//! takes longer than ten seconds, or after which the process has a gigabyte more than it had, fails too.

#[path = "../../../fuzz/src/targets.rs"]
#[allow(unreachable_pub)]
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

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

fn run(name: &str, target: fn(&[u8]), seeds: Vec<Vec<u8>>) {
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
        if before.elapsed() > Duration::from_secs(10) {
            fail(&input, "more than ten seconds");
        }
        if peak_memory() > memory + (1 << 30) {
            fail(&input, "more than a gigabyte");
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
    tokenizer: texts(&[targets::TOKENIZER]);
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
    run_config: texts(&[
        "output_dir = 'x'\nseed = 1\n[policy]\nmodel = 'm'\n[policy.lora]\nrank = 4\n[data]\npairs = 'p'\n[objective]\nalgorithm = 'inpo'\neta = 0.01\ntau = 0.001\n[train]\nlearning_rate = 1e-5\nmax_steps = 3\n",
    ]);
}
