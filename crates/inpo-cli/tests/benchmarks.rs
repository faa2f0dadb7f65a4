//! `inpo generate --format`: questions of benchmarks in, answers as their tools read them out.

mod tiny_run;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

fn generate(dir: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_inpo"))
        .args([
            "generate",
            "--model",
            "model",
            "--max-new-tokens",
            "6",
            "--prompts",
            "questions.jsonl",
        ])
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.code(), out, err)
}

fn questions(dir: &Path, rows: &[Value]) {
    let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
    std::fs::write(dir.join("questions.jsonl"), rows).unwrap();
}

fn rows(dir: &Path, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(dir.join(name)).unwrap();
    let row = |line| serde_json::from_str(line).unwrap();
    text.lines().map(row).collect()
}

fn keys(row: &Value) -> Vec<&str> {
    row.as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

/// The fields are those that the tools write themselves: tatsu-lab/alpaca_eval (model_outputs.json), lmarena/arena-hard-auto
/// (gen_answer.py), lm-sys/FastChat (llm_judge/gen_model_answer.py) and google-research (evaluation_lib.py). The texts are
/// those of a plain call.
#[test]
fn answers_have_the_fields_of_each_benchmark() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    tiny_run::prepare(dir);
    let texts = ["the river of", "a winter letter"];
    questions(dir, &texts.map(|text| json!({"prompt": text})));
    let (_, plain, _) = generate(dir, &["--num-generations", "1"]);
    let plain: Vec<Value> = plain
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let said: Vec<&Value> = plain.iter().map(|row| &row["responses"][0]).collect();
    let run = |rows: &[Value], format: &str| {
        questions(dir, rows);
        let (status, out, err) = generate(dir, &["--format", format, "--output", "out"]);
        assert_eq!((status, out.as_str()), (Some(0), ""), "{err}");
    };

    run(&texts.map(|text| json!({"instruction": text, "output": "x", "dataset": "koala", "generator": "other"})), "alpaca-eval");
    let outputs: Value =
        serde_json::from_str(&std::fs::read_to_string(dir.join("out")).unwrap()).unwrap();
    let expected = |i: usize| json!({"dataset": "koala", "instruction": texts[i], "output": said[i], "generator": "model"});
    assert_eq!(outputs, json!([expected(0), expected(1)]));

    run(
        &texts.map(|text| json!({"uid": text, "category": "c", "prompt": text})),
        "arena-hard",
    );
    let answers = rows(dir, "out");
    assert_eq!(
        keys(&answers[1]),
        ["uid", "ans_id", "model", "messages", "tstamp"]
    );
    let messages = json!([{"role": "user", "content": texts[1]}, {"role": "assistant", "content": {"answer": said[1]}}]);
    assert_eq!(
        (&answers[1]["uid"], &answers[1]["messages"]),
        (&json!(texts[1]), &messages)
    );
    assert!(answers[0]["ans_id"] != answers[1]["ans_id"]);

    run(
        &texts
            .map(|text| json!({"key": 1, "prompt": text, "instruction_id_list": [], "kwargs": []})),
        "ifeval",
    );
    assert_eq!(
        rows(dir, "out")[0],
        json!({"prompt": texts[0], "response": said[0]})
    );

    let question = |i: usize| json!({"question_id": 81 + i, "category": "math", "turns": [texts[i], "and the stone"]});
    run(&[question(0), question(1)], "mt-bench");
    let answers = rows(dir, "out");
    assert_eq!(
        keys(&answers[0]),
        ["question_id", "answer_id", "model_id", "choices", "tstamp"]
    );
    assert_eq!(
        (
            &answers[1]["question_id"],
            &answers[1]["choices"][0]["index"]
        ),
        (&json!(82), &json!(0))
    );
    let turns = &answers[1]["choices"][0]["turns"];
    assert_eq!((&turns[0], turns.as_array().unwrap().len()), (said[1], 2));
    // The second turn is asked after the first answer.
    let conversation = json!([{"role": "user", "content": texts[0]}, {"role": "assistant", "content": said[0]},
        {"role": "user", "content": "and the stone"}]);
    questions(dir, &[json!({"prompt": conversation})]);
    let (_, second, _) = generate(dir, &["--num-generations", "1"]);
    let second: Value = serde_json::from_str(&second).unwrap();
    assert_eq!(answers[0]["choices"][0]["turns"][1], second["responses"][0]);
    // The answers to the first turn are kept as rows, and --resume asks for the second alone.
    questions(dir, &[question(0), question(1)]);
    let before = std::fs::read(dir.join("out")).unwrap();
    let resumed = ["--format", "mt-bench", "--output", "out", "--resume"];
    let (status, _, err) = generate(dir, &resumed);
    assert_eq!(status, Some(2), "{err}");
    assert!(err.contains("out is finished"), "{err}");
    std::fs::remove_file(dir.join("out")).unwrap();
    let (status, _, err) = generate(dir, &resumed);
    assert_eq!(status, Some(0), "{err}");
    assert!(err.contains("2 of 2 rows are there"), "{err}");
    assert!(std::fs::read(dir.join("out")).unwrap() == before);
    // Without a file the answers alone are printed.
    let (_, out, _) = generate(dir, &["--format", "mt-bench", "--model-id", "ours"]);
    let printed: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (printed.len(), &printed[0]["model_id"]),
        (2, &json!("ours"))
    );
    assert_eq!(printed[0]["choices"], answers[0]["choices"]);
}

#[test]
fn questions_without_what_is_asked_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    tiny_run::prepare(dir);
    let plain = json!({"prompt": "the river"});
    let turns = |id: u64, turns: Value| json!({"question_id": id, "turns": turns});
    for (rows, args, words) in [
        (
            vec![plain.clone()],
            &["--format", "alpaca-eval"][..],
            "line 1: there is no `instruction`, a text; the columns are `prompt`",
        ),
        (
            vec![plain.clone()],
            &["--format", "arena-hard"],
            "line 1: there is no `uid`",
        ),
        (
            vec![turns(1, json!(["a"])), json!({"turns": ["a"]})],
            &["--format", "mt-bench"],
            "line 2: there is no `question_id`",
        ),
        (
            vec![turns(1, json!(["a"])), turns(2, json!(["a", "b"]))],
            &["--format", "mt-bench"],
            "line 2: it has 2 turns, and the first question has 1",
        ),
        (
            vec![turns(1, json!("a"))],
            &["--format", "mt-bench"],
            "`turns` is not a list of texts",
        ),
        (
            vec![json!({"prompt": " "})],
            &["--format", "ifeval"],
            "`prompt` is empty",
        ),
        (vec![], &["--format", "ifeval"], "questions.jsonl"),
        (
            vec![plain.clone()],
            &["--format", "ifeval", "--num-generations", "2"],
            "--num-generations is 2; allowed with --format: 1",
        ),
        (vec![plain.clone()], &["--model-id", "x"], "--format"),
    ] {
        questions(dir, &rows);
        let (status, _, err) = generate(dir, args);
        assert_eq!(status, Some(2), "{err}");
        assert!(err.contains(words), "{err}");
    }
}
