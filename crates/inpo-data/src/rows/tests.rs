use serde_json::json;

use super::*;

fn read(text: &str) -> Result<Vec<Row>, DataError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.jsonl");
    std::fs::write(&path, text).unwrap();
    read_rows(&path)
}

fn row(value: &Value) -> Row {
    read(&value.to_string()).unwrap().remove(0)
}

#[track_caller]
fn refused(value: &Value) -> String {
    let error = match read(&value.to_string()) {
        Ok(rows) => rows[0].answers().unwrap_err(),
        Err(error) => error.to_string(),
    };
    let place = error.find("rows.jsonl, line 1: ");
    place.map_or(error.clone(), |at| {
        error[at + "rows.jsonl, line 1: ".len()..].to_owned()
    })
}

#[test]
fn a_prompt_keeps_the_other_columns_of_its_row() {
    let prompt = row(&json!({"key": 3, "prompt": "Name a fruit.", "instruction_id_list": ["a:b"]}));
    let prompt = prompt.to_prompt(7);
    assert_eq!(
        (prompt.number, prompt.instruction()),
        (7, Some("Name a fruit."))
    );
    let metadata = json!({"key": 3, "instruction_id_list": ["a:b"]});
    assert_eq!(Value::Object(prompt.metadata), metadata);
}

#[test]
fn every_form_of_a_prompt_is_a_conversation() {
    let expected = vec![Message::user("a")];
    let message = json!({"role": "user", "content": "a"});
    for value in [
        json!({"prompt": "a"}),
        json!({"prompt": message}),
        json!({"prompt": [message]}),
        json!({"messages": [message]}),
        json!({"conversations": [{"from": "human", "value": "a"}]}),
        json!({"prompt": "\n\nHuman: a\n\nAssistant:"}),
        // A data set with a whole conversation beside its prompt.
        json!({"prompt": "a", "messages": [message, {"role": "assistant", "content": "b"}]}),
    ] {
        assert_eq!(row(&value).to_prompt(0).messages, expected, "{value}");
    }
    let system = json!({"system": "be", "conversations": [{"from": "human", "value": "a"}]});
    let with_system = [Message::system("be"), Message::user("a")];
    assert_eq!(row(&system).to_prompt(0).messages, with_system);
}

#[test]
fn what_a_template_reads_beside_the_conversation_comes_along() {
    let tool = json!({"type": "function", "function": {"name": "f"}});
    let row = row(&json!({"prompt": "a", "tools": [tool], "chat_template_kwargs": {"x": 1}}));
    let prompt = row.to_prompt(0);
    assert_eq!(prompt.template.tools, Some(vec![tool]));
    assert_eq!(prompt.template.variables["x"], 1);
    // Judges see every column.
    assert!(prompt.metadata.contains_key("tools"));
}

/// What `inpo generate` wrote is read with all K responses.
#[test]
fn answers_are_one_or_k() {
    let answer = |text: Option<&str>, ids: Option<Vec<u32>>, finish_reason| Answer {
        message: text.map(Message::assistant),
        token_ids: ids,
        finish_reason,
    };
    let (stop, length) = (FinishReason::Stop, FinishReason::Length);
    let generated = json!({
        "prompt": "a", "prompt_token_ids": [1], "responses": ["b", "c"], "response_token_ids": [[2, 0], [3]],
        "finish_reason": ["stop", "length"], "sampling_logps": [-1.0, -2.0], "seed": 0,
        "response": "an older one"
    });
    let expected = Answers::Many(vec![
        answer(Some("b"), Some(vec![2, 0]), stop),
        answer(Some("c"), Some(vec![3]), length),
    ]);
    assert_eq!(row(&generated).answers(), Ok(expected));
    // Of a model without a tokenizer, and of a server without ids.
    let ids = json!({"prompt": "a", "responses": null, "response_token_ids": [[2], []]});
    let expected = Answers::Many(vec![
        answer(None, Some(vec![2]), stop),
        answer(None, Some(vec![]), stop),
    ]);
    assert_eq!(row(&ids).answers(), Ok(expected));
    let texts = json!({"prompt": "a", "responses": ["b"], "finish_reason": ["length"]});
    let expected = Answers::Many(vec![answer(Some("b"), None, length)]);
    assert_eq!(row(&texts).answers(), Ok(expected));

    let one = Ok(Answers::One(answer(Some("b"), None, stop)));
    for response in [json!("b"), json!([{"role": "assistant", "content": "b"}])] {
        assert_eq!(
            row(&json!({"prompt": "a", "response": response})).answers(),
            one
        );
    }
}

#[test]
fn rows_that_do_not_fit_say_what_is_wrong() {
    for (value, reason) in [
        (
            json!({"question": "a", "answer": "b"}),
            "there is neither `prompt` nor `prompt_token_ids`; the columns are `question` and `answer`",
        ),
        (
            json!({"prompt": 5}),
            "`prompt`: it is a number, and not text, a message or a list of messages",
        ),
        (json!({"prompt": [{"role": "user"}]}), "`prompt` is empty"),
        (
            json!({"prompt": [{"role": "user", "content": "a"}, {"content": "b"}]}),
            "`prompt`: message 1: it has no `role`",
        ),
        (json!({"messages": []}), "`messages` is empty"),
        (
            json!({"prompt": "a", "images": ["a.png"]}),
            "`images` is for models that see or hear, and the models here read text; leave the column out",
        ),
        (
            json!({"prompt": "a", "responses": ["b"], "response_token_ids": [1]}),
            "`response_token_ids` is not a list of ids for each of the responses",
        ),
        (
            json!({"prompt": "a", "responses": ["b", "c"], "response_token_ids": [[1]]}),
            "there are 2 responses, but `response_token_ids` has 1",
        ),
        (
            json!({"prompt": "a", "responses": ["b", null]}),
            "response 1 of `responses` is null, and there are no ids of it",
        ),
        (
            json!({"prompt": "a", "answer": "b"}),
            "there is neither `response` nor `response_token_ids`, nor `responses`; the columns are `prompt` and \
             `answer`",
        ),
    ] {
        assert_eq!(refused(&value), reason, "{value}");
    }
    assert!(read("{\"prompt\": \"a\", \"images\": []}").is_ok());
}
