//! Where results go: through links and devices, never over what they are not, and refused before anything is computed.

#![cfg(unix)]

use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn model() -> String {
    let tests = "../inpo-policy/tests/fixtures/tiny_llama_untied";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(tests);
    path.display().to_string()
}

fn inpo(dir: &Path, command: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_inpo"))
        .args(command.split_whitespace())
        .current_dir(dir)
        .env("INPO_OFFLINE", "1")
        .output()
        .unwrap()
}

#[track_caller]
fn done(dir: &Path, command: &str) {
    let output = inpo(dir, command);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {message}");
}

#[track_caller]
fn refused(dir: &Path, command: &str, want: &str) {
    let output = inpo(dir, command);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{command}: {message}");
    assert!(message.contains(want), "{command}: {message} lacks {want}");
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// A folder with an input of each command, which are named with it: the last word is the flag of an output.
fn commands() -> (tempfile::TempDir, Vec<(&'static str, String)>) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    let cycle = json!([[0.5, 0.75, 0.25], [0.25, 0.5, 0.75], [0.75, 0.25, 0.5]]);
    let names = json!(["a", "bb", "ccc"]);
    write(
        "game.json",
        json!({"names": names, "preferences": cycle}).to_string(),
    );
    write(
        "oracle.toml",
        "kind = 'game'\ngame = 'game.json'\n".to_owned(),
    );
    let row = json!({"prompt": "x", "responses": names, "preference": cycle});
    write("rows.jsonl", format!("{row}\n"));
    let ids = json!({"prompt_token_ids": [1, 5], "response_token_ids": [6, 7]});
    write("ids.jsonl", format!("{ids}\n"));
    let model = model();
    let compare = "game compare game.json --algorithm sppo:eta=2 --iterations 3";
    let judge = "judge --oracle oracle.toml --input rows.jsonl";
    let generate = format!(
        "generate --model {model} --prompts ids.jsonl --num-generations 1 --max-new-tokens 2 --output"
    );
    let commands = [
        ("game.json", "game nash game.json --output".to_owned()),
        (
            "game.json",
            "game solve game.json --algorithm sppo --eta 2 --output".to_owned(),
        ),
        ("game.json", "game analyse game.json --output".to_owned()),
        (
            "game.json",
            "game convert game.json --format csv --output".to_owned(),
        ),
        ("game.json", format!("{compare} --output")),
        ("game.json", format!("{compare} --csv")),
        ("game.json", format!("{compare} --svg")),
        (
            "rows.jsonl",
            "select --input rows.jsonl --strategy iid --output".to_owned(),
        ),
        ("rows.jsonl", format!("{judge} --output")),
        ("game.json", format!("{judge} --report")),
        (
            "ids.jsonl",
            format!("logps --model {model} --input ids.jsonl --output"),
        ),
        ("ids.jsonl", generate),
    ];
    (folder, commands.into())
}

#[test]
fn every_command_writes_through_links_and_devices_and_refuses_the_rest() {
    let (folder, commands) = commands();
    let dir = folder.path();
    for (input, command) in &commands {
        let flag = command.split_whitespace().next_back().unwrap();
        done(dir, &format!("{command} /dev/null"));
        let kind = std::fs::symlink_metadata("/dev/null").unwrap().file_type();
        assert!(kind.is_char_device(), "{command}");

        std::fs::write(dir.join("mine"), "old").unwrap();
        symlink("mine", dir.join("link")).unwrap();
        done(dir, &format!("{command} link"));
        assert!(dir.join("link").is_symlink(), "{command}");
        assert!(
            !["", "old"].contains(&text(&dir.join("mine")).as_str()),
            "{command}"
        );

        let read_only = std::fs::Permissions::from_mode(0o444);
        std::fs::set_permissions(dir.join("mine"), read_only).unwrap();
        let before = text(&dir.join("mine"));
        refused(
            dir,
            &format!("{command} link"),
            &format!("{flag}: link: this file is read-only"),
        );
        assert_eq!(text(&dir.join("mine")), before, "{command}");
        for name in ["link", "mine"] {
            std::fs::remove_file(dir.join(name)).unwrap();
        }

        refused(
            dir,
            &format!("{command} ."),
            &format!("{flag}: .: this is a directory"),
        );
        let original = text(&dir.join(input));
        refused(
            dir,
            &format!("{command} {input}"),
            "read; name another file",
        );
        let other = dir.join("other");
        symlink(input, &other).unwrap();
        refused(
            dir,
            &format!("{command} ./other"),
            "read; name another file",
        );
        std::fs::remove_file(other).unwrap();
        assert_eq!(text(&dir.join(input)), original, "{command}");
    }
    assert!(!Path::new("/dev/null.partial").exists());
    assert!(!Path::new("/dev/journal").exists());
    let names = std::fs::read_dir(dir).unwrap().flatten();
    let mut names: Vec<String> = names
        .map(|e| e.file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["game.json", "ids.jsonl", "oracle.toml", "rows.jsonl"]
    );
}

#[test]
fn a_pipe_gets_the_rows() {
    let (folder, commands) = commands();
    let dir = folder.path();
    let pipe = dir.join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    for (_, command) in commands.iter().rev().step_by(3).take(2) {
        let reader = {
            let pipe = pipe.clone();
            std::thread::spawn(move || text(&pipe))
        };
        done(dir, &format!("{command} pipe"));
        let row: Value = serde_json::from_str(&reader.join().unwrap()).unwrap();
        assert!(row.get("responses").is_some(), "{command}: {row}");
        assert!(
            std::fs::symlink_metadata(&pipe)
                .unwrap()
                .file_type()
                .is_fifo()
        );
        assert!(!dir.join("pipe.partial").exists());
    }
}

/// Models that are not there are not looked for, nor is an oracle read.
#[test]
fn outputs_are_checked_before_the_work() {
    let (folder, _) = commands();
    let dir = folder.path();
    for command in [
        "generate --model /no/such --prompts absent --output .",
        "logps --model /no/such --input absent --output .",
        "judge --oracle absent --input absent --output .",
        "select --input absent --output .",
        "game compare absent --svg .",
        "game nash absent --output .",
    ] {
        refused(dir, command, ": .: this is a directory; name a file in it");
    }
    let model = model();
    let judge = "judge --oracle oracle.toml --input rows.jsonl";
    for (command, want) in [
        (
            format!("{judge} --output same --report ./same"),
            "--report: ./same: this is the file of --output",
        ),
        (
            format!("{judge} --output new --report oracle.toml"),
            "--report: oracle.toml: this file is read",
        ),
        (
            format!("{judge} --journal rows.jsonl"),
            "--journal: rows.jsonl: this is no directory",
        ),
        (
            format!("{judge} --output rows.jsonl/new"),
            "--output: rows.jsonl/new: Not a directory",
        ),
        (
            "game compare game.json --svg x --csv x".to_owned(),
            "--svg: x: this is the file of --csv",
        ),
        (
            "generate --model . --prompts ids.jsonl --output game.json".to_owned(),
            "--output: game.json: this is ., or a file of it",
        ),
        (
            format!("convert --model {model} --output rows.jsonl/new"),
            "not a directory",
        ),
        ("convert --model . --output .".to_owned(), ". is not empty"),
        (
            format!("generate --model {model} --prompts ids.jsonl --output /dev/null --resume"),
            "/dev/null is no file",
        ),
    ] {
        refused(dir, &command, want);
    }
    symlink("absent", dir.join("dangling")).unwrap();
    refused(
        dir,
        &format!("convert --model {model} --output dangling"),
        "dangling: this is no directory",
    );
    for name in ["same", "new", "x", "absent"] {
        assert!(!dir.join(name).exists(), "{name}");
    }
}

/// `OUTPUT.partial` is where rows are kept, unless somebody else keeps something there.
#[test]
fn a_partial_file_of_somebody_else_stays() {
    let (folder, _) = commands();
    let dir = folder.path();
    let partial: PathBuf = dir.join("out.partial");
    let command = format!(
        "generate --model {} --prompts ids.jsonl --num-generations 1 --max-new-tokens 2 --output out",
        model()
    );
    std::fs::write(&partial, "notes\n").unwrap();
    for resume in ["", " --resume"] {
        refused(
            dir,
            &format!("{command}{resume}"),
            "was not written by this command",
        );
        assert_eq!(text(&partial), "notes\n");
    }
    std::fs::remove_file(&partial).unwrap();
    symlink("ids.jsonl", &partial).unwrap();
    let rows = text(&dir.join("ids.jsonl"));
    refused(dir, &command, "was not written by this command");
    assert_eq!(text(&dir.join("ids.jsonl")), rows);
    std::fs::remove_file(&partial).unwrap();
    // The first line alone is what a call leaves that was ended before its first row.
    std::fs::write(&partial, "{\"settings_sha256\": \"x\"}\n").unwrap();
    done(dir, &command);
    assert!(dir.join("out").exists() && !partial.exists());
}
