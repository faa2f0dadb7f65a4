//! A disk that is full, a directory that nobody may write: one sentence, and nothing good is lost.
#![cfg(target_os = "linux")]

mod tiny_run;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SETTINGS: [&str; 6] = [
    "--set",
    "data.eval_prompts=prompts.jsonl",
    "--set",
    "eval.num_generations=3",
    "--set",
    "train.save_steps=1",
];

/// `inpo` with `args`; files grow to `blocks` of 512 bytes, then a write fails as on a full disk.
fn limited(dir: &Path, blocks: Option<usize>, args: &[&str]) -> Output {
    let limit = blocks.map_or(String::new(), |n| format!("trap '' XFSZ; ulimit -f {n}; "));
    Command::new("sh")
        .args(["-c", &format!("{limit}exec \"$0\" \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_inpo"))
        .args(args)
        .current_dir(dir)
        .env("INPO_OFFLINE", "1")
        .output()
        .unwrap()
}

fn run(dir: &Path, blocks: Option<usize>, output_dir: &str, resume: bool) -> (Option<i32>, String) {
    let output_dir = format!("output_dir={output_dir}");
    let mut args = vec!["run", "--config", "run.toml", "--set", &output_dir];
    args.extend(SETTINGS);
    if resume {
        args.push("--resume");
    }
    let output = limited(dir, blocks, &args);
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn errors(told: &str) -> Vec<&str> {
    told.lines()
        .filter(|line| line.starts_with("error: "))
        .collect()
}

/// The files that a stage computes: weights, rows and games, without times.
fn results(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(root: &Path, dir: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, files);
            } else {
                let name = path.strip_prefix(root).unwrap().to_owned();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    let mut files = BTreeMap::new();
    walk(root, root, &mut files);
    files.retain(|name, _| {
        let name = name.to_str().unwrap();
        let rows = name.ends_with("s.jsonl") && !name.starts_with("metrics");
        rows || name.ends_with(".safetensors") || name.ends_with("empirical_game.json")
    });
    files
}

/// A run that meets a full disk again and again, each time later, and then has room.
#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    tiny_run::prepare(dir);
    let (status, told) = run(dir, None, "whole", false);
    assert_eq!(status, Some(0), "{told}");

    let mut failed = Vec::new();
    for blocks in [1, 3, 6, 10, 14, 20, 28, 40] {
        let (status, told) = run(dir, Some(blocks), "out", dir.join("out/run.toml").exists());
        if status == Some(0) {
            break;
        }
        assert_eq!(status, Some(1), "{blocks}: {told}");
        let errors = errors(&told);
        assert_eq!(errors.len(), 1, "{blocks}: {told}");
        assert!(errors[0].contains("File too large"), "{blocks}: {told}");
        assert!(errors[0].contains("out"), "it names the file: {told}");
        failed.push(errors[0].to_owned());
    }
    failed.dedup();
    assert!(failed.len() > 2, "at different files: {failed:#?}");
    let (status, told) = run(dir, None, "out", true);
    assert_eq!(status, Some(0), "{told}");
    assert_eq!(errors(&told), Vec::<&str>::new());
    let [found, expected] = ["out", "whole"].map(|root| results(&dir.join(root)));
    assert!(expected.len() > 12);
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&expected));
    for (name, bytes) in &expected {
        assert!(found[name] == *bytes, "{}", name.display());
    }
}

/// What cannot be made or written is named in one sentence, before the work.
#[test]
fn a_directory_that_nobody_may_write_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    tiny_run::prepare(dir);
    // Not even root may write there.
    for args in [
        &[
            "run",
            "--config",
            "run.toml",
            "--set",
            "output_dir=/proc/inpo-out",
        ][..],
        &[
            "doctor",
            "--config",
            "run.toml",
            "--set",
            "output_dir=/proc/inpo-out",
        ],
    ] {
        let output = limited(dir, None, args);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_ne!(output.status.code(), Some(0), "{told}");
        let errors = errors(&told);
        assert_eq!(errors.len(), 1, "{told}");
        assert!(errors[0].contains("/proc"), "{told}");
        assert!(!told.contains("generate"), "before the work: {told}");
    }
}
