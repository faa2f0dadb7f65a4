//! `inpo config`: the page of all keys, and what is said of one.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn config(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inpo"));
    command.arg("config").args(args).output().unwrap()
}

fn says(args: &[&str]) -> String {
    let output = config(args);
    assert!(output.status.success(), "{args:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn refusal(args: &[&str]) -> String {
    let output = config(args);
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Holds the page and the keys together; with `INPO_WRITE_DOCS=1` writes the page.
#[test]
fn the_page_of_all_keys_is_that_of_the_structs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let written = says(&["--markdown"]);
    if std::env::var_os("INPO_WRITE_DOCS").is_some() {
        std::fs::write(&path, &written).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap();
    for (page, written) in page.lines().zip(written.lines()) {
        assert_eq!(page, written, "run with INPO_WRITE_DOCS=1");
    }
    assert_eq!(page.lines().count(), written.lines().count());
}

#[test]
fn a_key_is_explained_by_its_name_its_end_or_its_section() {
    let full = says(&["--explain", "train.learning_rate"]);
    assert_eq!(
        full,
        "[train]    (run.toml, train.toml, judge.toml)\n\
         The optimisation of each phase. Every phase restarts optimiser and schedule.\n\n  \
         train.learning_rate    number, default 5e-7\n      Peak learning rate, above 0.\n"
    );
    assert_eq!(says(&["--explain", "learning_rate"]), full);
    let lora = says(&["--explain", "policy.lora"]);
    assert!(lora.starts_with("[policy.lora]"), "{lora}");
    assert!(
        lora.contains("policy.lora.rank    whole number, default 16"),
        "{lora}"
    );
    assert!(
        lora.contains("also: r\n") && !lora.contains("policy.dtype"),
        "{lora}"
    );
    // PEFT's name of the same key.
    assert!(says(&["--explain", "lora_alpha"]).contains("policy.lora.alpha    number"));
    let beta = says(&["--explain", "objective.label_smoothing"]);
    assert!(beta.contains("read with: dpo, iterative_dpo\n"), "{beta}");
    let momentum = says(&["--explain", "momentum"]);
    assert!(momentum.contains("read with: sgd, rmsprop\n"), "{momentum}");
    // Each kind of oracle has its own.
    let band = says(&["--explain", "oracle.tie_band"]);
    assert!(band.contains("[oracle] kind = \"rules\""), "{band}");
    assert!(
        band.contains("default 0.05") && band.contains("number, default 0.0\n"),
        "{band}"
    );
    let kind = says(&["--explain", "oracle.kind"]);
    assert!(
        kind.contains("\"server\": A language model behind"),
        "{kind}"
    );
    let second = says(&["--explain", "eval.oracle"]);
    assert!(
        second.contains("table with the keys of [oracle], absent"),
        "{second}"
    );
    // The struct has an empty text where a file must have one.
    let address = says(&["--explain", "base_url"]);
    assert!(
        address.contains("oracle.base_url    text, required"),
        "{address}"
    );
    let all = says(&["--explain"]);
    for section in ["[previous]", "[judge]", "[eval]", "kind = \"server\""] {
        assert!(all.contains(section), "{section}");
    }
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_one() {
    assert_eq!(
        refusal(&["--explain", "train.learning_rat"]),
        "error: --explain: no configuration has a key or section `train.learning_rat`; do you mean \
         `train.learning_rate`?\n"
    );
    assert!(refusal(&["--explain", "warm_up_ratio"]).contains("do you mean `warmup_ratio`?"));
    assert!(refusal(&["--explain", "zzz"]).contains("`inpo config --explain` shows all keys"));
    let several = refusal(&["--explain", "adapter"]);
    assert!(
        several.contains("name one of policy.adapter, reference.adapter"),
        "{several}"
    );
    assert!(refusal(&[]).contains("--explain"));
}

/// A JSON schema for editors: keys with type, default and meaning, and unknown ones refused.
#[test]
fn the_schema_describes_each_file() {
    let schema = |args: &[&str]| serde_json::from_str::<Value>(&says(args)).unwrap();
    let run = schema(&["--schema"]);
    assert_eq!(run, schema(&["--schema", "run.toml"]));
    assert_eq!(run["additionalProperties"], false);
    let rate = &run["properties"]["train"]["properties"]["learning_rate"];
    assert_eq!(
        (&rate["type"], &rate["default"]),
        (&"number".into(), &5e-7.into())
    );
    assert_eq!(rate["description"], "Peak learning rate, above 0.");
    let train = schema(&["--schema", "train.toml"]);
    assert!(train["properties"]["generation"].is_null());
    assert!(train["properties"]["data"]["properties"]["pairs"].is_object());
    let judge = schema(&["--schema", "judge.toml"]);
    assert!(judge["properties"]["judge"]["properties"]["values"].is_object());
    let oracle = schema(&["--schema", "oracle.toml"]);
    assert!(oracle["properties"]["both_orders"].is_object());
    assert!(refusal(&["--schema", "game.toml"]).contains("oracle.toml"));
}
