//! The page of a run: whatever its files hold, it is one well-formed document that says what is missing.

use std::path::{Path, PathBuf};

use inpo_eval::page::{Comparison, RunReport};
use roxmltree::{Document, Node, ParsingOptions};
use serde_json::{Value, json};

/// The files of a run.
struct Run {
    dir: tempfile::TempDir,
    evaluation: Value,
}

fn interval(mean: f64, half: f64) -> Value {
    json!({"mean": mean, "low": mean - half, "high": mean + half})
}

/// An evaluation in which nothing is suspicious.
fn evaluation(t: usize, rate: f64) -> Value {
    json!({
        "iteration": t, "prompts": 40, "samples": 2, "win_rate_vs_ref": interval(rate, 0.05),
        "win_rate_vs_prev": interval(0.55, 0.04), "held_out_win_rate_vs_ref": interval(rate, 0.04),
        "oracle_gap": interval(0.0, 0.01), "length_controlled": {"win_rate": interval(rate, 0.04), "standard_error": 0.01,
        "length": 0.0, "constant": 0.5, "c": 1.0},
        "probe": interval(0.1, 0.02), "kl_ref": 1.5, "mean_length": 20.0, "clipped_ratio": 0.05,
        "cycles": {"triples": 8, "cyclic": 0}
    })
}

impl Run {
    /// A finished run of two iterations with the text `says` wherever a text may stand.
    fn new(says: &str) -> Self {
        let run = Self {
            dir: tempfile::tempdir().unwrap(),
            evaluation: json!({
                "recommendation": {"player": "iteration 2", "sentence": format!("ship iteration 2: {says}")},
                "confidence": 0.9,
                "iterations": [evaluation(0, 0.5), evaluation(1, 0.6), evaluation(2, 0.7)],
                "game": {
                    "players": (["reference", "iteration 1", says]).map(|name| json!({"name": name,
                        "nash": interval(1.0 / 3.0, 0.1), "largest_nash_share": 0.25, "gap": interval(0.1, 0.05)})),
                    "preferences": [[0.5, 0.6, 0.3], [0.4, 0.5, 0.8], [0.7, 0.2, 0.5]],
                    "low": [[0.5, 0.5, 0.2], [0.3, 0.5, 0.7], [0.6, 0.1, 0.5]],
                    "high": [[0.5, 0.7, 0.4], [0.5, 0.5, 0.9], [0.8, 0.3, 0.5]],
                    "condorcet_winner": null, "condorcet_share": 0.125, "cyclic_triads": 1, "triads": 1
                }
            }),
        };
        let text = toml::Value::String(says.to_owned());
        run.write("run.toml", &format!(
            "output_dir = 'out'\n[data]\nprompts = 'a.jsonl'\neval_prompts = {text}\n[oracle]\nkind = 'rules'\nname = {text}\n\
             [iteration]\nnum_iterations = 2\n[eval]\nconfidence = 0.9\noracle = {{ kind = {text} }}\n"
        ));
        run.write_json("manifest.json", &json!({"model": says, "oracle": says, "objective": {"algorithm": "inpo"},
            "inputs": {"prompts": says}, "notes": [says], "stages": [{"stage": "train"}], "sha256": "f00"}));
        let train = |t: u64, step: u64| {
            json!({"stage": "train", "iteration": t, "step": step, "loss": 1.0 / step as f64,
            "inpo/h_mean": 0.5, "inpo/target": 1.0, "learning_rate": 5e-7, "timing_s/step": 0.25})
        };
        let judge = json!({"stage": "judge", "iteration": 1, "judge/comparisons": 8, "judge/order_inconsistency": 0.1,
            "judge/first_position_rate": 0.5, "judge/invalid_rate": 0.0, "judge/cycle_rate": 0.0, "judge/cost": says});
        let select =
            json!({"stage": "select", "iteration": 1, "select/pairs": 6, "select/dropped_tie": 2});
        run.write_rows(
            "metrics.jsonl",
            &[
                judge,
                select,
                train(1, 1),
                train(1, 2),
                train(2, 1),
                train(2, 2),
            ],
        );
        run.write_json("trainer_state.json", &json!({}));
        run.write_json("evaluation.json", &run.evaluation);
        for t in 0..=2 {
            let response = |id: u64| {
                json!({"prompt_id": id, "iteration": t, "seed": 0, "prompt": says, "prompt_token_ids": [1],
                "responses": [format!("{says} {t}.{id}"), "second"], "response_token_ids": [[1, 2], [3]],
                "finish_reason": ["stop", "length"], "sampling_logps": [-1.0, -2.0]})
            };
            let table = |id: u64| {
                json!({"prompt_id": id, "first": format!("iteration {t}"), "second": "reference",
                "judge": says, "preference": [[id as f64 / 8.0, 0.5], [0.5, 0.5]]})
            };
            run.write_rows(
                &format!("iteration-{t:04}/eval_responses.jsonl"),
                &(0..8).map(response).collect::<Vec<_>>(),
            );
            run.write_rows(
                &format!("iteration-{t:04}/eval_preferences.jsonl"),
                &(0..8).map(table).collect::<Vec<_>>(),
            );
            run.write_json(
                &format!("iteration-{t:04}/eval.json"),
                &run.evaluation["iterations"][t],
            );
            if t > 0 {
                run.write(&format!("iteration-{t:04}/policy/.complete"), "");
            }
        }
        run
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn write_json(&self, name: &str, value: &Value) {
        self.write(name, &value.to_string());
    }

    fn write_rows(&self, name: &str, rows: &[Value]) {
        let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
        self.write(name, &rows);
    }

    fn remove(&self, names: &[&str]) {
        for name in names {
            let path = self.path(name);
            if path.is_dir() {
                std::fs::remove_dir_all(path).unwrap();
            } else {
                std::fs::remove_file(path).unwrap();
            }
        }
    }

    fn read(&self) -> RunReport {
        RunReport::read(self.dir.path()).unwrap()
    }
}

fn parse(html: &str) -> Document<'_> {
    let options = ParsingOptions {
        allow_dtd: true,
        ..ParsingOptions::default()
    };
    Document::parse_with_options(html, options).unwrap()
}

/// All text inside of the element of this id.
fn text_of(html: &str, id: &str) -> String {
    let document = parse(html);
    let found = document
        .descendants()
        .find(|node| node.attribute("id") == Some(id));
    let texts = found.unwrap().descendants().filter(Node::is_text);
    texts.map(|node| node.text().unwrap()).collect()
}

/// Checks that a page holds no element that runs or loads something, and no address but those of its own sections.
fn check_harmless(html: &str) {
    let document = parse(html);
    for node in document.descendants().filter(Node::is_element) {
        let name = node.tag_name().name();
        let runs = [
            "script", "img", "iframe", "link", "object", "embed", "form", "base", "b",
        ];
        assert!(!runs.contains(&name), "{name}");
        for attribute in node.attributes() {
            assert!(!attribute.name().starts_with("on"), "{attribute:?}");
            let address = ["src", "href", "action"].contains(&attribute.name());
            assert!(
                !address || attribute.value().starts_with('#'),
                "{attribute:?}"
            );
        }
    }
}

#[test]
fn hostile_text_stays_text() {
    let attack = "</pre></style><script>alert(1)</script><b>]]>--><img src=x onerror=\"alert('1')\"/>&amp;{{ 7*7 }}{% raw %}";
    let run = Run::new(&format!("{attack}\0\u{1b}[2J\u{202e}txt\u{200f}\u{2066}"));
    let report = run.read();
    assert_eq!(report.missing, []);
    let html = report.to_html();
    check_harmless(&html);
    for bad in ['\0', '\u{1b}', '\u{202e}', '\u{200f}', '\u{2066}'] {
        assert!(!html.contains(bad), "{bad:?}");
    }
    let shown = format!("{attack}\\u{{0}}\\u{{1b}}[2J\\u{{202e}}txt\\u{{200f}}\\u{{2066}}");
    for section in ["answer", "game", "samples", "settings"] {
        let text = text_of(&html, section);
        assert!(text.contains(&shown), "{section}: {text}");
    }
    let comparison = Comparison::read(&[run.dir.path(), Run::new(attack).dir.path()]).unwrap();
    let html = comparison.to_html();
    check_harmless(&html);
    assert!(text_of(&html, "differences").contains(attack));
}

/// The samples are the first three prompts, then of the others that with the largest win and that with the largest loss; here
/// prompts win more the later they come, the third (0.4375 of all pairs) to the last (0.59375).
#[test]
fn samples_are_picked_by_their_rule() {
    let samples = Run::new("x").read().samples.unwrap();
    assert_eq!(samples.policy, "iteration 2");
    let places: Vec<usize> = samples.prompts.iter().map(|sample| sample.place).collect();
    assert_eq!(places, [1, 2, 3, 8, 4]);
    assert_eq!(samples.prompts[3].win_rate, Some(0.59375));
    let players: Vec<_> = samples.prompts[4].responses.iter().collect();
    let names: Vec<&str> = players.iter().map(|r| r.player.as_str()).collect();
    assert_eq!(names, ["reference", "iteration 2", "iteration 1"]);
    assert_eq!((players[1].text.as_str(), players[1].tokens), ("x 2.3", 2));
    assert_eq!(
        (players[0].preference, players[1].preference),
        (None, Some(0.375))
    );
}

/// Nothing is suspicious in the run as it is; each change breaks one rule, just.
#[test]
fn each_rule_warns_beyond_its_threshold() {
    let run = Run::new("x");
    assert_eq!(run.read().warnings, []);
    let rules = |run: &Run| -> Vec<&str> { run.read().warnings.iter().map(|w| w.rule).collect() };
    let last = |keys: &[(&str, Value)]| {
        let mut evaluation = run.evaluation.clone();
        for (key, value) in keys {
            evaluation["iterations"][2][key] = value.clone();
        }
        run.write_json("evaluation.json", &evaluation);
        let found = rules(&run);
        run.write_json("evaluation.json", &run.evaluation);
        found
    };
    let held_out = "held_out_win_rate_vs_ref";
    assert_eq!(
        last(&[(held_out, interval(0.579, 0.04))]),
        ["over-optimisation"]
    );
    assert_eq!(
        last(&[(held_out, interval(0.581, 0.04))]),
        Vec::<&str>::new()
    );
    assert_eq!(
        last(&[
            (held_out, interval(0.54, 0.05)),
            ("oracle_gap", interval(0.16, 0.1))
        ]),
        ["over-optimisation"]
    );
    let controlled = json!({"win_rate": interval(0.53, 0.03), "standard_error": 0.0, "length": -1.0, "constant": 0.1, "c": 1.0});
    assert_eq!(
        last(&[("length_controlled", controlled)]),
        ["length exploitation"]
    );
    assert_eq!(last(&[("mean_length", json!(30.1))]), ["length growth"]);
    assert_eq!(last(&[("mean_length", json!(30.0))]), Vec::<&str>::new());
    assert_eq!(last(&[("prompts", json!(39))]), ["few prompts"]);
    assert_eq!(
        last(&[("clipped_ratio", json!(0.11))]),
        ["truncated responses"]
    );
    assert_eq!(
        last(&[("win_rate_vs_ref", interval(0.7, 0.2))]),
        ["undecided"]
    );
    let metrics = std::fs::read_to_string(run.path("metrics.jsonl")).unwrap();
    for (from, to, rule) in [
        (
            "order_inconsistency\":0.1",
            "order_inconsistency\":0.26",
            "inconsistent judge",
        ),
        (
            "position_rate\":0.5",
            "position_rate\":0.39",
            "position bias",
        ),
        (
            "invalid_rate\":0.0",
            "invalid_rate\":0.06",
            "invalid verdicts",
        ),
        ("cycle_rate\":0.0", "cycle_rate\":0.11", "cyclic judge"),
        ("dropped_tie\":2", "dropped_tie\":7", "degenerate pairs"),
    ] {
        assert!(metrics.contains(from));
        run.write("metrics.jsonl", &metrics.replace(from, to));
        assert_eq!(rules(&run), [rule]);
    }
    run.write("metrics.jsonl", &metrics);
    let settings = std::fs::read_to_string(run.path("run.toml")).unwrap();
    run.write(
        "run.toml",
        &settings.replace("'a.jsonl'", "'x'").replace("\"x\"", "'x'"),
    );
    assert_eq!(rules(&run), ["prompts not held out"]);
    run.write("run.toml", &settings);
    run.remove(&["trainer_state.json"]);
    assert_eq!(rules(&run), ["unfinished"]);
}

/// Whatever is missing or damaged is said in its place, and the rest is there.
#[test]
fn what_is_missing_is_said_in_its_place() {
    let said = |change: &dyn Fn(&Run), section: &str, sentence: &str| {
        let run = Run::new("x");
        change(&run);
        let report = run.read();
        let html = report.to_html();
        check_harmless(&html);
        let text = text_of(&html, section);
        assert!(text.contains(sentence), "{section}: {text}");
        report
    };
    // Killed in its second iteration.
    let unfinished = |run: &Run| {
        run.remove(&["evaluation.json", "trainer_state.json", "iteration-0002"]);
    };
    let report = said(&unfinished, "answer", "evaluation.json is not there");
    assert_eq!((report.iterations.len(), report.confidence), (2, 0.9));
    assert_eq!(report.summary.iterations_done, 1);
    said(
        &unfinished,
        "answer",
        "1 of 2 trained; the run is not finished",
    );
    said(&unfinished, "warnings", "1 of 2 iterations are trained");
    said(&unfinished, "samples", "No policy is chosen yet");
    // Killed before anything.
    let empty = |run: &Run| {
        let names = [
            "evaluation.json",
            "trainer_state.json",
            "metrics.jsonl",
            "manifest.json",
        ];
        run.remove(&names);
        run.remove(&["iteration-0000", "iteration-0001", "iteration-0002"]);
    };
    let report = said(&empty, "evaluation", "No policy is evaluated yet.");
    assert_eq!(report.samples, None);
    said(&empty, "training", "metrics.jsonl is not there");
    // Without held-out prompts.
    let unevaluated = |run: &Run| {
        empty(run);
        run.write("run.toml", "[data]\nprompts = 'a'\n");
    };
    said(&unevaluated, "answer", "The run has no held-out prompts");
    said(&unevaluated, "game", "The run has no held-out prompts");
    // A training on given pairs.
    let training = |run: &Run| {
        empty(run);
        run.remove(&["run.toml"]);
        run.write("train.toml", "[data]\npairs = 'a'\n");
        run.write_rows(
            "metrics.jsonl",
            &[
                json!({"step": 1, "loss": 0.5}),
                json!({"step": 2, "loss": 0.25}),
            ],
        );
    };
    let report = said(
        &training,
        "answer",
        "A training on given pairs evaluates nothing.",
    );
    assert_eq!(
        report.training.curves[0].lines[0].points,
        [(1.0, 0.5), (2.0, 0.25)]
    );
    assert!(report.command.starts_with("inpo train --config "));
    // Damaged files.
    let spoil = |name: &'static str| move |run: &Run| run.write(name, "{\"iterations\": [");
    let report = said(
        &spoil("evaluation.json"),
        "evaluation",
        "evaluation.json is damaged (",
    );
    assert_eq!(report.iterations.len(), 3);
    said(
        &spoil("manifest.json"),
        "settings",
        "manifest.json is damaged (",
    );
    said(&spoil("run.toml"), "settings", "run.toml is damaged: ");
    said(
        &spoil("metrics.jsonl"),
        "training",
        "1 of the 1 rows of metrics.jsonl cannot be read",
    );
    said(
        &spoil("iteration-0002/eval_responses.jsonl"),
        "samples",
        "eval_responses.jsonl cannot be read",
    );
    let no_game = |run: &Run| {
        let mut evaluation = run.evaluation.clone();
        evaluation["game"] = Value::Null;
        run.write_json("evaluation.json", &evaluation);
    };
    said(&no_game, "game", "eval.empirical_game is off");
    let ragged = |run: &Run| {
        let mut evaluation = run.evaluation.clone();
        evaluation["game"]["low"] = json!([[0.5]]);
        run.write_json("evaluation.json", &evaluation);
    };
    said(&ragged, "game", "The game in evaluation.json is damaged");
    // Values that no run writes.
    let wild = |run: &Run| {
        let mut evaluation = run.evaluation.clone();
        evaluation["iterations"][1]["kl_ref"] = json!(1e308);
        evaluation["iterations"][2]["win_rate_vs_ref"] = interval(-1e308, 1e308);
        evaluation["iterations"][2]["samples"] = json!(0);
        run.write_json("evaluation.json", &evaluation);
        let row = |step: Value| {
            json!({"iteration": u64::MAX, "stage": "train", "step": step, "loss": -1e308, "grad_norm": "x",
            "timing_s/step": 1e308})
        };
        let judge = json!({"stage": "judge", "iteration": -1, "judge/calls": [1], "judge/tie_rate": {"a": 1}});
        run.write_rows(
            "metrics.jsonl",
            &[
                row(json!(u64::MAX)),
                row(json!(5e-324)),
                row(json!(1)),
                judge,
            ],
        );
    };
    said(&wild, "training", "Loss");
    // One prompt.
    let one = |run: &Run| {
        let mut evaluation = run.evaluation.clone();
        for t in 0..3 {
            evaluation["iterations"][t]["prompts"] = json!(1);
            let name = format!("iteration-{t:04}/eval_responses.jsonl");
            let rows = std::fs::read_to_string(run.path(&name)).unwrap();
            run.write(&name, rows.lines().next().unwrap());
        }
        run.write_json("evaluation.json", &evaluation);
    };
    let report = said(
        &one,
        "warnings",
        "has 1 held-out prompt, and one says nothing of others",
    );
    assert_eq!(report.samples.unwrap().prompts.len(), 1);
    said(&one, "answer", "on 1 held-out prompt");
}

#[test]
fn cycles_are_told_in_words_and_other_directories_refused() {
    let html = Run::new("iteration 2").read().to_html();
    let told = "reference beats iteration 1 (60.0 %), which beats iteration 2 (80.0 %), which beats reference (70.0 %).";
    assert!(text_of(&html, "game").contains(told));
    let empty = tempfile::tempdir().unwrap();
    let error = RunReport::read(empty.path()).unwrap_err();
    assert!(error.to_string().contains("run.toml"), "{error}");
    assert!(error.is_input());
    assert!(RunReport::read(Path::new("/nowhere")).is_err());
}
