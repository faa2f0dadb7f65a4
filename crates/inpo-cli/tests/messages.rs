//! What the command says to careless people: one sentence with the file and the line, the flag or the key.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn model(name: &str) -> String {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../inpo-policy/tests/fixtures");
    models.join(name).display().to_string()
}

/// A directory with files that are right by themselves.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write(
            "rows.jsonl",
            "{\"prompt\": \"x\", \"responses\": [\"a\", \"b\"]}\n",
        );
        place.write("oracle.toml", "kind = \"rules\"\n");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// The command with these words, of which `MODEL` is a model without a tokenizer.
    fn inpo(&self, words: &str) -> Output {
        let words = words.replace("MODEL", &model("tiny_llama_untied"));
        Command::new(env!("CARGO_BIN_EXE_inpo"))
            .args(words.split(' '))
            .current_dir(self.0.path())
            .env("INPO_OFFLINE", "1")
            .env("HF_HOME", self.path("home"))
            .output()
            .unwrap()
    }

    /// What is said to bad input: one line.
    fn refused(&self, words: &str) -> String {
        let output = self.inpo(words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}: {said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{words}: {said}");
        said
    }

    /// What is said to a configuration of `command`, whose model is in place.
    fn configured(&self, command: &str, text: &str) -> String {
        let text = text.replace("MODEL", &model("tiny_llama_untied"));
        self.write("config.toml", &text);
        self.refused(&format!("{command} --config config.toml"))
    }
}

#[test]
fn a_missing_file_is_named_with_its_flag() {
    let place = Place::new();
    for (words, said) in [
        (
            "logps --model MODEL --input none",
            "--input: cannot read none: ",
        ),
        (
            "generate --model MODEL --prompts none",
            "--prompts: cannot read none: ",
        ),
        (
            "judge --oracle oracle.toml --input none",
            "--input: cannot read none: ",
        ),
        (
            "judge --oracle none --input rows.jsonl",
            "--oracle: cannot read none: ",
        ),
        (
            "judge --oracle oracle.toml --input rows.jsonl --against none",
            "--against: oracle.votes: cannot read none: ",
        ),
        ("select --input none", "--input: cannot read none: "),
        ("run --config none", "--config: cannot read none: "),
        ("train --config none", "--config: cannot read none: "),
        (
            "train --config none.yaml",
            "--config: cannot read none.yaml: ",
        ),
        ("train-oracle --config none", "--config: cannot read none: "),
        (
            "logps --model none --input rows.jsonl",
            "--model: there is no model \"none\"; ",
        ),
        (
            "logps --model MODEL --adapter none --input rows.jsonl",
            "--adapter: cannot read none/adapter_config.json: ",
        ),
        (
            "convert --model none --output out",
            "--model: there is no model \"none\"; ",
        ),
        (
            "convert --model MODEL --adapter none --output out",
            "--adapter: cannot read none/adapter_config.json: ",
        ),
        (
            "generate --model m --prompts rows.jsonl --server https://localhost:1/v1 --ca-file none",
            "none: the certificates of --ca-file ",
        ),
        (
            "logps --model MODEL --input \u{1b}[2Jnone",
            r"--input: cannot read \u{1b}[2Jnone: ",
        ),
        (
            "game nash none.json",
            "none.json: cannot read the game file: ",
        ),
    ] {
        let message = place.refused(words);
        assert!(
            message.starts_with(&format!("error: {said}")),
            "{words}: {message}"
        );
    }
}

#[test]
fn a_missing_file_is_named_with_its_key() {
    let place = Place::new();
    let policy = "output_dir = 'out'\n[policy]\nmodel = 'MODEL'\n";
    for (command, text, said) in [
        (
            "train",
            format!("{policy}[data]\npairs = 'none'\n"),
            "data.pairs: cannot read none: ",
        ),
        (
            "train",
            format!("{policy}adapter = 'none'\n[data]\npairs = 'rows.jsonl'\n"),
            "policy.adapter: cannot read none/adapter_config.json: ",
        ),
        (
            "train",
            "output_dir = 'out'\n[policy]\nmodel = 'none'\n[data]\npairs = 'rows.jsonl'\n"
                .to_owned(),
            "policy.model: there is no model \"none\"; ",
        ),
        (
            "train",
            format!("{policy}[previous]\nmodel = 'none'\n[data]\npairs = 'rows.jsonl'\n"),
            "previous.model: there is no model \"none\"; ",
        ),
        (
            "run",
            format!("{policy}[reference]\nmodel = 'none'\n[data]\nprompts = 'rows.jsonl'\n"),
            "reference.model: there is no model \"none\"; ",
        ),
        (
            "run",
            format!(
                "{policy}[data]\nprompts = 'rows.jsonl'\n[oracle]\nkind = 'recorded'\nvotes = 'none'\n"
            ),
            "oracle.votes: cannot read none: ",
        ),
        (
            "run",
            format!(
                "{policy}[data]\nprompts = 'rows.jsonl'\n[oracle]\nkind = 'game'\ngame = 'none.json'\n"
            ),
            "oracle.game: none.json: cannot read the game file: ",
        ),
        (
            "train-oracle",
            format!("{policy}[data]\nvotes = 'none'\n"),
            "data.votes: cannot read none: ",
        ),
    ] {
        let message = place.configured(command, &text);
        assert!(message.starts_with(&format!("error: {said}")), "{message}");
    }
}

/// No type of Rust is named, and the line and the key are.
#[test]
fn a_wrong_value_is_named_by_its_line_and_key() {
    let place = Place::new();
    let head = "output_dir = 'out'\n[policy]\nmodel = 'MODEL'\n";
    for (lines, said) in [
        (
            "lora = 3",
            "line 4, `policy.lora`: the number 3 is given, and a table is expected",
        ),
        (
            "max_length = 'long'",
            "line 4, `policy.max_length`: the text \"long\" is given, and a whole number of at least 0 is expected",
        ),
        (
            "[train]\nlearning_rate = [1]",
            "line 5, `train.learning_rate`: a list is given, and a number is expected",
        ),
        (
            "[train]\nmax_steps = { a = 1 }",
            "line 5, `train.max_steps`: a table is given, and a whole number of at least 0 is expected",
        ),
        (
            "[train]\ncolour = 1",
            "line 5, `train.colour`: unknown field `colour`, expected one of ",
        ),
        (
            "model = 'x'",
            "not TOML: line 4, `policy.model`: duplicate key",
        ),
        ("seed = = 1", "not TOML: line 4, `policy.seed`: "),
    ] {
        let message = place.configured(
            "train",
            &format!("{head}{lines}\n[data]\npairs = 'rows.jsonl'\n"),
        );
        let said = format!("error: config.toml: {said}");
        assert!(message.starts_with(&said), "{message}");
    }
    place.write(
        "oracle.toml",
        "kind = 'server'\nbase_url = 'http://localhost:1'\nmodel = 3\n",
    );
    let message = place.refused("judge --oracle oracle.toml --input rows.jsonl");
    assert!(
        message.starts_with(
            "error: oracle.toml: model: the number 3 is given, and a text is expected"
        ),
        "{message}"
    );
    place.write("train.yaml", "learning_rate: [1\n");
    let message = place.refused("train --config train.yaml");
    assert!(
        message.starts_with("error: train.yaml: not TRL's YAML: line 1 column "),
        "{message}"
    );
    let message =
        place.refused("generate --model MODEL --prompts rows.jsonl --chat-template-kwargs [1]");
    assert!(
        message.contains("a list is given, and a table is expected"),
        "{message}"
    );
    place.write(
        "config.toml",
        &format!("{head}[data]\npairs = 'x'\n").replace("MODEL", "m"),
    );
    let message = place.refused("train --config config.toml --set train.max_steps=many");
    assert!(
        message.contains("`train.max_steps`: the text \"many\" is given"),
        "{message}"
    );
}

/// Other files in the place of rows, and of another command's configuration.
#[test]
fn a_file_of_another_kind_is_told() {
    let place = Place::new();
    let rows = "rows are one JSON object a line";
    for (text, said) in [
        ("{\n  \"prompt\": \"x\"\n}\n", "line 1: not JSON: "),
        (
            "prompt,chosen,rejected\na,b,c\n",
            "this is CSV, whose first line is ",
        ),
        (
            "output_dir = \"runs/demo\"\nseed = 1\n",
            "line 1: not JSON: ",
        ),
        ("hello\n", "line 1: not JSON: "),
        ("\"hello\"\n", "line 1: text and not a JSON object: "),
        (
            "{\"a\": 1}\n[1]\n",
            "line 1: there is neither `prompt` nor ",
        ),
        ("", "holds no rows"),
    ] {
        place.write("prompts", text);
        let message = place.refused("generate --model MODEL --prompts prompts");
        assert!(
            message.contains("error: prompts") && message.contains(said),
            "{message}"
        );
        if said.contains("JSON: ") || said.contains("object: ") {
            assert!(message.contains(rows), "{message}");
        }
    }
    let run = "output_dir = 'out'\n[policy]\nmodel = 'm'\n[data]\nprompts = 'rows.jsonl'\n[generation]\n[oracle]\nkind = 'rules'\n";
    let message = place.configured("train", run);
    assert!(
        message.contains("; [generation] is of `inpo run --config`: "),
        "{message}"
    );
    let train = "output_dir = 'out'\n[policy]\nmodel = 'm'\n[data]\npairs = 'rows.jsonl'\n";
    let message = place.configured("run", train);
    assert!(
        message.contains("; `data.pairs` is of `inpo train --config`: "),
        "{message}"
    );
    for words in [
        "run --config rows.jsonl",
        "judge --input rows.jsonl --oracle rows.jsonl",
    ] {
        let message = place.refused(words);
        assert!(
            message.starts_with("error: rows.jsonl: not TOML: line 1: "),
            "{message}"
        );
    }
    let message = place.refused("judge --oracle config.toml --input rows.jsonl");
    assert!(
        message.contains("; `inpo judge` reads the keys of [oracle] at the top level"),
        "{message}"
    );
}

#[test]
fn a_server_s_settings_are_named_by_their_flags() {
    let place = Place::new();
    let generate =
        |flags: &str| place.refused(&format!("generate --model m --prompts rows.jsonl {flags}"));
    let message = generate("--server localhost:1");
    assert!(
        message.starts_with("error: --server is \"localhost:1\"; allowed: "),
        "{message}"
    );
    let message = generate("--server http://me:secret@h/v1");
    assert!(
        message.starts_with("error: --server is \"http://***@h/v1\"; allowed: ")
            && !message.contains("secret"),
        "{message}"
    );
    let message = generate("--server http://h/v1 --timeout 0");
    assert!(
        message.starts_with("error: --timeout is 0; allowed: "),
        "{message}"
    );
    // Any variable that is set will do.
    let exposed = "--server http://192.0.2.1/v1 --api-key-env PATH";
    assert!(generate(exposed).contains(
        "unencrypted to another machine; use https, or allow it with --allow-insecure-http"
    ));
}

/// A disk that is full is no bad input.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_no_fault_of_the_input() {
    let place = Place::new();
    place.write("game.json", "{\"preferences\": [[0.5, 1.0], [0.0, 0.5]]}");
    for words in [
        "judge --oracle oracle.toml --input rows.jsonl",
        "game nash game.json --json",
        "generate --model MODEL --prompts ids.jsonl --num-generations 1 --max-new-tokens 1",
    ] {
        place.write("ids.jsonl", "{\"prompt_token_ids\": [1]}\n");
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let words = words.replace("MODEL", &model("tiny_llama_untied"));
        let output = Command::new(env!("CARGO_BIN_EXE_inpo"))
            .args(words.split(' '))
            .current_dir(place.0.path())
            .stdout(full)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words}: {said}");
        assert!(said.contains("No space left on device"), "{words}: {said}");
    }
}

/// 0.0.0.0 is no name of this machine, and leads to it on Linux.
#[cfg(target_os = "linux")]
#[test]
fn the_hub_s_token_does_not_travel_in_the_open() {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://0.0.0.0:{}", listener.local_addr().unwrap().port());
    let (sender, heads) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            sender.send(head.join("\n").to_lowercase()).unwrap();
            let refusal =
                "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            stream.write_all(refusal.as_bytes()).unwrap();
        }
    });
    let place = Place::new();
    std::fs::create_dir(place.path("home")).unwrap();
    place.write("home/token", "hf_secret\n");
    let fetch = |allowed: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_inpo"))
            .args(["logps", "--model", "owner/name", "--input", "rows.jsonl"])
            .current_dir(place.0.path())
            .envs([("HF_ENDPOINT", endpoint.as_str()), ("INPO_OFFLINE", "0")])
            .env("HF_HOME", place.path("home"))
            .env("INPO_ALLOW_INSECURE_HTTP", allowed)
            .env_remove("http_proxy")
            .env_remove("HTTP_PROXY")
            .env_remove("ALL_PROXY")
            .env_remove("all_proxy")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("the hub answers 404 Not Found") && !said.contains("hf_secret"),
            "{said}"
        );
        (said, heads.recv().unwrap())
    };
    let (said, head) = fetch("0");
    assert!(!head.contains("hf_secret"), "{head}");
    assert!(
        said.contains("home/token is not sent to http://0.0.0.0:"),
        "{said}"
    );
    let (said, head) = fetch("1");
    assert!(head.contains("authorization: bearer hf_secret"), "{head}");
    assert!(!said.contains("is not sent"), "{said}");
}
