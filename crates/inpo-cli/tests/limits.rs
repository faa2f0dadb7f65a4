//! Numbers and files that no run can use end in one sentence with exit status 2, and what only looks large is harmless.

use std::path::Path;
use std::process::{Command, Output};

mod tiny_run;

use tiny_run::prepare;

/// The command with 8 GB of memory.
fn inpo(dir: &Path, args: &[&str]) -> Output {
    let limited = "ulimit -v 8000000; exec \"$0\" \"$@\"";
    Command::new("bash")
        .args(["-c", limited, env!("CARGO_BIN_EXE_inpo")])
        .args(args)
        .current_dir(dir)
        .env("INPO_OFFLINE", "1")
        .output()
        .unwrap()
}

fn refused(dir: &Path, args: &[&str]) -> String {
    let output = inpo(dir, args);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
    message
}

/// The largest integer of TOML in each count of a run. Steps without end are for the tests of `Batches`.
#[test]
fn the_largest_number_in_each_key() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    prepare(dir);
    let largest = i64::MAX.to_string();
    let run = |key: &str, others: &[&str]| {
        let set = format!("{key}={largest}");
        let mut args = vec!["run", "--config", "run.toml", "--set", &set];
        others
            .iter()
            .for_each(|other| args.extend(["--set", *other]));
        inpo(dir, &args)
    };
    for (key, allowed) in [
        ("policy.max_length", "at most 128"),
        ("policy.lora.rank", "at most 32"),
        ("generation.num_generations", "at most 65536"),
        (
            "generation.max_new_tokens",
            "only 0 fit beside generation.max_new_tokens",
        ),
        ("generation.min_new_tokens", "at most max_new_tokens"),
        ("iteration.num_iterations", "at most 1000000"),
        ("iteration.prompts_per_iteration", "at most 8"),
        ("eval.num_generations", "at most 1024"),
        ("eval.kl_samples", "at most eval.num_generations"),
    ] {
        let output = run(key, &[]);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{key}: {message}");
        assert!(message.contains(allowed), "{key}: {message}");
    }
    // These only bound something, so that all of them together are one run.
    let together = [
        "generation.top_k",
        "generation.max_num_seqs",
        "generation.max_cache_tokens",
        "oracle.target_words",
        "oracle.max_comparisons",
        "iteration.ref_update_every",
        "train.per_device_train_batch_size",
        "train.gradient_accumulation_steps",
        "train.logging_steps",
    ];
    let together = together.map(|key| format!("{key}={largest}"));
    let together: Vec<&str> = together.iter().map(String::as_str).collect();
    let adaptive = ["selection.strategy=adaptive", "output_dir=out"];
    let output = run("selection.budget", &[&together[..], &adaptive].concat());
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{message}");
}

/// A device without an end stands for every input; none of the commands reads it.
#[cfg(unix)]
#[test]
fn a_device_is_no_input() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    prepare(dir);
    for args in [
        &["run", "--config", "/dev/zero"][..],
        &[
            "run",
            "--config",
            "run.toml",
            "--set",
            "data.prompts=/dev/zero",
        ],
        &["train", "--config", "/dev/zero"],
        &["train-oracle", "--config", "/dev/zero"],
        &["judge", "--oracle", "/dev/zero", "--input", "prompts.jsonl"],
        &["judge", "--oracle", "oracle.toml", "--input", "/dev/zero"],
        &["select", "--input", "/dev/zero", "--strategy", "iid"],
        &["generate", "--model", "model", "--prompts", "/dev/zero"],
        &["logps", "--model", "model", "--input", "/dev/zero"],
        &["game", "nash", "/dev/zero"],
        &["game", "convert", "--records", "/dev/zero"],
    ] {
        let message = refused(dir, args);
        assert!(message.contains("/dev/zero"), "{args:?}: {message}");
        assert!(
            message.contains("it is a device, and not a file"),
            "{args:?}: {message}"
        );
    }
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        let path = dir.join("model").join(file);
        let kept = dir.join("kept");
        std::fs::rename(&path, &kept).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        let message = refused(
            dir,
            &["logps", "--model", "model", "--input", "prompts.jsonl"],
        );
        assert!(message.contains(file), "{message}");
        assert!(message.contains("it is a device"), "{message}");
        std::fs::rename(&kept, &path).unwrap();
    }
}

/// What is read once may be a pipe, and is read once: also where the outputs are compared with what is read.
#[cfg(unix)]
#[test]
fn settings_and_rows_come_from_pipes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let row = "{\"prompt\": \"x\", \"responses\": [\"a b\", \"c d e f\"]}";
    std::fs::write(dir.join("rows.jsonl"), row).unwrap();
    let script = "exec \"$0\" judge --oracle <(echo \"kind = 'rules'\") --input <(cat rows.jsonl) --output out.jsonl";
    let output = Command::new("bash")
        .args(["-c", script, env!("CARGO_BIN_EXE_inpo")])
        .current_dir(dir)
        .output()
        .unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{message}");
    let written = std::fs::read_to_string(dir.join("out.jsonl")).unwrap();
    assert!(written.contains("\"preference\":[["), "{written}");
}

/// A file that a model may lack is not absent when its link is broken.
#[cfg(unix)]
#[test]
fn a_broken_link_is_not_an_absent_file() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    prepare(dir);
    for file in [
        "generation_config.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    ] {
        let path = dir.join("model").join(file);
        std::os::unix::fs::symlink("gone", &path).unwrap();
        let message = refused(
            dir,
            &["logps", "--model", "model", "--input", "prompts.jsonl"],
        );
        assert!(message.contains(file), "{message}");
        assert!(
            message.contains("a link to what does not exist"),
            "{message}"
        );
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let message = refused(
            dir,
            &["logps", "--model", "model", "--input", "prompts.jsonl"],
        );
        assert!(
            message.contains("it is a directory, and not a file"),
            "{message}"
        );
        std::fs::remove_dir(&path).unwrap();
    }
}

/// 200 million numbers of 8 bytes.
#[test]
fn votes_over_too_many_names_say_what_they_would_take() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let mut votes = "model_x,model_y,winner\n".to_owned();
    for name in (0..20_000).step_by(2) {
        votes += &format!("{name},{},left\n", name + 1);
    }
    std::fs::write(dir.join("votes.csv"), votes).unwrap();
    let message = refused(dir, &["game", "convert", "--records", "votes.csv"]);
    let sentence = "votes.csv: there are 20000 names, and a matrix of them takes 1.5 GiB; choose at most 16384 of them by --names";
    assert!(message.contains(sentence), "{message}");
}
