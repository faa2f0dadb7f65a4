//! Answers in their places against TRL (`fixtures/templates/make_answers.py`).

use serde_json::Map;

use super::*;

#[derive(serde::Deserialize)]
struct Fixture {
    messages: Vec<Message>,
    tokenizers: Map<String, Value>,
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    template: String,
    source: Option<String>,
    tokenizer: String,
    eos: String,
    end: String,
    prompt: Vec<u32>,
    rows: Vec<Row>,
}

#[derive(serde::Deserialize)]
struct Row {
    answers: Vec<String>,
    prompt: usize,
    responses: Vec<Vec<u32>>,
    kept: bool,
}

/// The codec of a directory with these files.
fn codec(tokenizer: &Value, template: &str, config: &Value) -> TextCodec {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("tokenizer.json", &tokenizer.to_string());
    write("tokenizer_config.json", &config.to_string());
    write("chat_template.jinja", template);
    TextCodec::from_file(&dir.path().join("tokenizer.json")).unwrap()
}

#[test]
fn answers_have_the_ids_that_they_have_in_trl() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/templates");
    let fixture: Fixture =
        serde_json::from_slice(&std::fs::read(dir.join("answers.json")).unwrap()).unwrap();
    assert_eq!(fixture.cases.len(), 30);
    let mut failures = Vec::new();
    for case in &fixture.cases {
        let file = || std::fs::read_to_string(dir.join(format!("{}.jinja", case.template)));
        let source = case.source.clone().unwrap_or_else(|| file().unwrap());
        let config = json!({"bos_token": "<s>", "eos_token": case.eos, "unk_token": "<unk>"});
        let codec = codec(&fixture.tokenizers[&case.tokenizer], &source, &config);
        let name = format!("{}, {}", case.template, case.tokenizer);
        assert_eq!(
            codec.encode_prompt(&fixture.messages).unwrap(),
            case.prompt,
            "{name}"
        );
        assert_eq!(codec.end_of_turn(), codec.token_to_id(&case.end), "{name}");
        for row in &case.rows {
            // A text that brings its end gets no second one.
            for end in ["", case.end.as_str()] {
                let texts: Vec<String> = row
                    .answers
                    .iter()
                    .map(|text| format!("{text}{end}"))
                    .collect();
                let answers: Vec<Answer> = texts.iter().map(|text| Answer::Text(text)).collect();
                let answered = codec.encode_answered(&fixture.messages, &answers).unwrap();
                let same = answered.prompt == case.prompt[..row.prompt]
                    && answered.responses == row.responses;
                if !same {
                    failures.push(format!(
                        "{name}, {texts:?}: {} of the prompt\n  ours   {:?}\n  theirs {:?} {}",
                        answered.prompt.len(),
                        answered.responses,
                        row.responses,
                        row.prompt
                    ));
                }
            }
        }
        let noted = |words: &str| codec.notes().iter().any(|note| note.contains(words));
        let kept = case.rows.iter().any(|row| row.kept);
        assert_eq!(noted("strips the reasoning"), kept, "{name}");
        let silent = case.template == "no end";
        assert_eq!(noted("writes no special token"), silent, "{name}");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn what_a_template_does_to_answers_is_said_once() {
    let codec = with_template(TURNS);
    let messages = [Message::user("ab")];
    let answered =
        |codec: &TextCodec, answer: &str| codec.encode_answered(&messages, &[Answer::Text(answer)]);
    // <|turn|> ab, space, <|end|>, <|turn|>; then ab c space 1 space <|end|>.
    let abc = answered(&codec, "abc 1").unwrap();
    assert_eq!(abc.prompt, [1, 8, 7, 0, 1]);
    assert_eq!(abc.responses, [[8, 4, 7, 5, 7, 0]]);
    assert_eq!(codec.notes(), [""; 0]);

    // What follows the end of the turn is left out; a token across the border is cut there.
    let source = "{% for m in messages %}{{ m.content }}{{ '<|end|>\n' if m.role == 'assistant' }}{% endfor %}";
    let joined = with_template(source);
    assert_eq!(joined.encode("ab").unwrap(), [8]);
    let across = joined.encode_answered(
        &[Message::user("a")],
        &[Answer::Text("b"), Answer::Ids(&[4])],
    );
    let across = across.unwrap();
    assert_eq!(across.prompt, [2]);
    assert_eq!(across.responses, [vec![3, 0], vec![4]]);

    // An answer that the template does not show is kept.
    let silent = with_template("{{ messages[0].content }}<|turn|>");
    let kept = answered(&silent, "c").unwrap();
    assert_eq!(
        (kept.prompt, kept.responses),
        (vec![8, 1], vec![vec![4, 0]])
    );
    answered(&silent, "b").unwrap();
    assert_eq!(silent.notes().len(), 2, "{:?}", silent.notes());
    assert!(silent.notes()[1].contains("does not show an answer"));
    assert!(silent.notes()[0].contains("could not be determined"));

    // The prompt is written in another way once it is answered.
    let rewriting = with_template(
        "{% for m in messages %}{{ m.content }}<|end|>{% endfor %}{{ '<|turn|>1' if add_generation_prompt }}",
    );
    let shortened = answered(&rewriting, "c").unwrap();
    assert_eq!(
        (shortened.prompt, shortened.responses),
        (vec![8, 0], vec![vec![4, 0]])
    );
    assert!(rewriting.notes()[0].contains("writes the end of a prompt in another way"));
}

#[test]
fn a_text_that_is_templated_already_is_refused() {
    let codec = with_template(TURNS);
    for text in ["<|turn|>a", " <|turn|>ab <|end|><|turn|>", "a<|turn|>\n"] {
        let prompt = codec.encode_prompt(&[Message::user(text)]).unwrap_err();
        let prompt = prompt.to_string();
        assert!(
            prompt.contains("the text is templated already: it has \"<|turn|>\" at an end"),
            "{prompt}"
        );
        let answer = codec.encode_answered(&[Message::user("a")], &[Answer::Text(text)]);
        assert!(
            matches!(answer, Err(PolicyError::AlreadyTemplated { .. })),
            "{text}"
        );
    }
    // A message may speak of the marks.
    for messages in [
        vec![Message::user("a<|turn|>b<|end|>")],
        vec![Message::system("a"), Message::user("<|turn|>a")],
    ] {
        codec.encode_prompt(&messages).unwrap();
    }
}

#[test]
fn an_answer_behind_ids_is_encoded_as_it_is() {
    let codec = with_template(TURNS);
    assert_eq!(codec.encode_response("abc").unwrap(), [8, 4, 0]);
    assert_eq!(codec.encode_response("abc<|end|>\n").unwrap(), [8, 4, 0]);
}
