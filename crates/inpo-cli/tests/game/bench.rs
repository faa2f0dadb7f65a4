//! A folder of game files, the command run in it, and what tests say of its output.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// The cyclic game of docs/theory.md 11.2.
pub(crate) const CYCLIC: &str = r#"{"names": ["a", "b", "c"],
 "preferences": [[0.5, 0.1, 0.8], [0.9, 0.5, 0.1], [0.2, 0.9, 0.5]]}"#;

pub(crate) struct Bench {
    pub(crate) folder: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Runs `inpo game ARGS` in the folder.
    pub(crate) fn game(&self, args: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_inpo"))
            .arg("game")
            .args(args.split_whitespace())
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }

    #[track_caller]
    pub(crate) fn json(&self, args: &str) -> Value {
        let output = self.game(args);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Exit 2, nothing on stdout, and a message that contains all of `want`.
    #[track_caller]
    pub(crate) fn refuses(&self, args: &str, want: &[&str]) {
        let output = self.game(args);
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{args}: {message}");
        assert!(output.stdout.is_empty());
        for want in want {
            assert!(message.contains(want), "{args}: {message:?} lacks {want:?}");
        }
    }
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_f64().unwrap())
        .collect()
}

pub(crate) fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

#[track_caller]
pub(crate) fn close(got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(want) {
        assert!((got - want).abs() <= tolerance, "{got} is not {want}");
    }
}
