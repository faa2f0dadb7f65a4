//! A run that is asked to stop saves what it has, says how to go on, and ends as one that nobody stopped.
#![cfg(unix)]

mod tiny_run;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

fn command(dir: &Path, root: &str, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inpo"));
    let set = format!("output_dir={root}");
    command
        .current_dir(dir)
        .args(["run", "--config", "run.toml", "--set", &set])
        .args([
            "--set",
            "train.max_steps=300",
            "--set",
            "iteration.num_iterations=1",
        ])
        .args(more);
    command
}

#[test]
fn a_signal_saves_and_the_run_is_resumed() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path();
    tiny_run::prepare(dir);
    let whole = command(dir, "whole", &[]).output().unwrap();
    assert!(whole.status.success(), "{whole:?}");
    let mut child = command(dir, "stopped", &[])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("iteration 1: optimise") {
        line.clear();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "it has ended");
    }
    let killed = Command::new("kill").arg(child.id().to_string()).status();
    assert!(killed.unwrap().success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{rest}");
    assert!(rest.contains("stopping as soon as"), "{rest}");
    let said = "of 300 of iteration 1; pass --resume to go on from there";
    assert!(
        rest.contains("stopped as asked, after step") && rest.contains(said),
        "{rest}"
    );
    let resumed = command(dir, "stopped", &["--resume"]).output().unwrap();
    assert!(resumed.status.success(), "{resumed:?}");
    let told = String::from_utf8_lossy(&resumed.stderr).into_owned();
    assert!(
        told.contains("resumed at") && told.contains("of 300"),
        "{told}"
    );
    let weights = |root: &str| {
        let path = "iteration-0001/policy/adapter_model.safetensors";
        std::fs::read(dir.join(root).join(path)).unwrap()
    };
    assert!(weights("whole") == weights("stopped"));
    // The checkpoint of the signal is none that a run without one would have.
    let left = dir.join("stopped/iteration-0001");
    let mut names = std::fs::read_dir(left)
        .unwrap()
        .map(|e| e.unwrap().file_name());
    assert!(!names.any(|name| name.to_string_lossy().starts_with("checkpoint")));
}
