//! Freed memory stays with a process that has loaded a model on the CPU, unless the environment says otherwise.
//!
//! A program of its own, without the test harness: threads that exist before the load keep heaps of their own, which the
//! setting does not reach, and the harness runs tests on such threads.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Mutex;

use burn::tensor::Device;
use inpo_policy::Policy;

/// More than the allocator ever keeps by itself, and more than the heap of a thread of its own holds.
const STEP: usize = 128 << 20;

/// Memory of this process in bytes; none where the system does not say.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// Loads a model with a tokenizer and a chat template, as any program does. Then each thread that training runs on frees a
/// block larger than the one before, and tells by which share of it the process has grown. Returns the least and the
/// largest share, in per cent.
fn kept() -> [usize; 2] {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gguf/llama.gguf");
    let policy = Policy::load(&model, &Device::flex()).expect("the fixture is a model");
    policy.codec().expect("the fixture has a tokenizer");
    let before = resident().expect("asked before");
    let blocks = Mutex::new(0);
    let shares = rayon::broadcast(|_| {
        let mut blocks = blocks.lock().expect("no thread panics");
        *blocks += 1;
        // A few blocks are enough on a machine of many threads.
        let size = STEP * (*blocks).min(4);
        drop(std::hint::black_box(vec![1_u8; size]));
        let growth = resident().expect("asked before").saturating_sub(before);
        100 * growth / size
    });
    let shares = || shares.iter().copied();
    [shares().min(), shares().max()].map(|share| share.expect("there is a thread"))
}

/// [`kept`] in a process of its own with `INPO_KEEP_MEMORY` set to `value`, or not at all.
fn kept_with(value: Option<&str>) -> [usize; 2] {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.arg("--measure").env_remove("INPO_KEEP_MEMORY");
    command.envs(value.map(|value| ("INPO_KEEP_MEMORY", value)));
    let output = command.output().expect("this program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut shares = text.split_whitespace().map(str::parse);
    [0; 2].map(|_| shares.next().expect("two numbers").expect("a number"))
}

fn main() -> ExitCode {
    if cfg!(not(all(target_os = "linux", target_env = "gnu"))) || resident().is_none() {
        println!(
            "SKIPPED: there is nothing to set, or the system does not tell a process its memory"
        );
        return ExitCode::SUCCESS;
    }
    if std::env::args().any(|argument| argument == "--measure") {
        let [least, largest] = kept();
        println!("{least} {largest}");
        return ExitCode::SUCCESS;
    }
    let [least, _] = kept_with(None);
    assert!(least > 90, "{least} % of a freed block stay");
    let [_, largest] = kept_with(Some("0"));
    assert!(largest < 10, "INPO_KEEP_MEMORY=0, and {largest} % stay");
    println!("{least} % of what is freed stay, with INPO_KEEP_MEMORY=0 {largest} %");
    ExitCode::SUCCESS
}
