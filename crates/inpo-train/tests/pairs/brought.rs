//! Rows as data sets have them: HH-RLHF, UltraFeedback, ShareGPT, tool calls, parts, what a template reads beside the
//! conversation.

use inpo_data::TemplateInput;
use inpo_train::pairs::{PairOptions, Pairs, read_pairs};
use serde_json::{Value, json};

use crate::setup::{ids, message, policy_with, read, read_bytes, refused};

/// `<s> the river <s> ` and two answers with the turn-end token, as in `forms`.
fn expected() -> [Vec<u32>; 3] {
    [vec![1, 3, 51, 1], vec![52, 53, 2], vec![54, 2]]
}

#[test]
fn common_data_sets_give_the_same_ids() {
    let (user, parts) = (
        message("user", "the river"),
        json!([{"type": "text", "text": "the river"}]),
    );
    let [chosen, rejected] = ["stone light", "music"].map(|text| message("assistant", text));
    let said = |from: &str, value: &str| json!({"from": from, "value": value});
    for row in [
        // HH-RLHF; with its prompt in a column; with a prompt that the texts repeat.
        json!({
            "chosen": "\n\nHuman: the river\n\nAssistant: stone light",
            "rejected": "\n\nHuman: the river\n\nAssistant: music",
        }),
        json!({"prompt": "\n\nHuman: the river\n\nAssistant:", "chosen": " stone light", "rejected": " music"}),
        json!({
            "prompt": "\n\nHuman: the river\n\nAssistant:",
            "chosen": "\n\nHuman: the river\n\nAssistant: stone light",
            "rejected": "\n\nHuman: the river\n\nAssistant: music",
        }),
        // ShareGPT, and LLaMA-Factory's form of it.
        json!({"conversations": [said("human", "the river")], "chosen": said("gpt", "stone light"),
            "rejected": said("gpt", "music")}),
        json!({"chosen": [said("human", "the river"), said("gpt", "stone light")],
            "rejected": [said("human", "the river"), said("gpt", "music")]}),
        // UltraFeedback: `messages` is the chosen conversation.
        json!({"prompt": "the river", "messages": [user, chosen], "chosen": [user, chosen],
            "rejected": [user, rejected]}),
        json!({"messages": [user], "chosen": chosen, "rejected": [rejected]}),
        json!({"prompt": user, "chosen": chosen, "rejected": rejected}),
        json!({"prompt": [{"role": "user", "content": parts}], "chosen": "stone light", "rejected": ["music"]}),
        // Fields that this template does not read, and those that a table filled in.
        json!({"prompt": [{"role": "user", "content": "the river", "name": "bob", "weight": 0, "tool_calls": null}],
            "chosen": [{"role": "assistant", "content": "stone light", "weight": 1}], "rejected": "music"}),
        json!({"prompt": "the river", "chosen": "stone light", "rejected": "music", "tools": [], "images": null,
            "chat_template_kwargs": null, "margin": 0.5}),
    ] {
        assert_eq!(ids(row.clone()), expected(), "{row}");
    }
    // A text beside whole conversations is what they share, and more than that: `<s> be <s> the river <s> `.
    let with = |answer: &Value| json!([message("system", "be"), user, answer]);
    let row = json!({"prompt": "the river", "chosen": with(&chosen), "rejected": with(&rejected)});
    assert_eq!(ids(row)[0], [1, 20, 1, 3, 51, 1]);
}

/// `<s> the river <s>  <end> <s> stone <s> `: the call has no text, and the tool's answer is one more message.
#[test]
fn calls_of_tools_are_part_of_the_prompt() {
    let call = json!({"type": "function", "function": {"name": "f", "arguments": {"x": 1}}});
    for content in [json!(null), json!("")] {
        let row = json!({
            "prompt": [message("user", "the river"), {"role": "assistant", "content": content, "tool_calls": [call]},
                {"role": "tool", "name": "f", "tool_call_id": "1", "content": "stone"}],
            "chosen": "light", "rejected": "music"
        });
        assert_eq!(
            ids(row),
            [vec![1, 3, 51, 1, 2, 1, 52, 1], vec![53, 2], vec![54, 2]]
        );
    }
}

/// A template that writes the name of each tool, the first document and a variable before the conversation, calls in
/// the place of texts, and reasoning before them.
const TOOLS: &str = "{% for t in tools or [] %}{{ t.function.name }} {% endfor %}\
    {% for d in documents or [] %}{{ d.text }} {% endfor %}{{ word or '' }} \
    {% for m in messages %}<s> {% if m.reasoning_content %}{{ m.reasoning_content }} {% endif %}{{ m.content }}\
    {% for c in m.tool_calls or [] %} {{ c.function.name }}{% endfor %} \
    {% if m.role == 'assistant' %}<end> {% endif %}{% endfor %}{% if add_generation_prompt %}<s> {% endif %}";

fn read_with(row: &Value, template: &str, options: &PairOptions) -> Pairs {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pairs.json");
    std::fs::write(&path, format!("[{row}]")).unwrap();
    read_pairs(&path, &policy_with(dir.path(), template), options).unwrap()
}

#[test]
fn templates_are_given_what_the_row_and_the_settings_say() {
    let prompt = |row: Value, options: &PairOptions| {
        let mut whole = json!({"prompt": "the river", "chosen": "stone", "rejected": "music"});
        whole
            .as_object_mut()
            .unwrap()
            .extend(row.as_object().unwrap().clone());
        read_with(&whole, TOOLS, options).records[0]
            .prompt_token_ids
            .clone()
    };
    let none = PairOptions::default();
    assert_eq!(prompt(json!({}), &none), [1, 3, 51, 1]);
    let tools = json!([{"type": "function", "function": {"name": "light"}}]);
    assert_eq!(prompt(json!({"tools": tools}), &none), [53, 1, 3, 51, 1]);
    assert_eq!(
        prompt(json!({"tools": tools.to_string()}), &none),
        [53, 1, 3, 51, 1]
    );
    assert_eq!(
        prompt(json!({"documents": [{"text": "paper"}]}), &none)[1..],
        [1, 3, 51, 1]
    );
    let word = |word: &str| json!({"chat_template_kwargs": {"word": word}});
    assert_eq!(prompt(word("of"), &none), [4, 1, 3, 51, 1]);
    let settings = json!({"word": "and"});
    let options = PairOptions {
        template: TemplateInput::from_kwargs(settings.as_object().unwrap()).unwrap(),
        ..none
    };
    assert_eq!(prompt(json!({}), &options), [5, 1, 3, 51, 1]);
    // The row wins.
    assert_eq!(prompt(word("of"), &options), [4, 1, 3, 51, 1]);
}

/// Answers that call tools or reason are what the template makes of them.
#[test]
fn answers_with_calls_go_through_the_template() {
    let call = json!([{"type": "function", "function": {"name": "light"}}]);
    let row = json!({
        "prompt": "the river",
        "chosen": [{"role": "assistant", "content": null, "tool_calls": call}],
        "rejected": [{"role": "assistant", "content": "music", "thinking": "stone"}],
    });
    let pairs = read_with(&row, TOOLS, &PairOptions::default());
    let record = &pairs.records[0];
    assert_eq!(record.prompt_token_ids, [1, 3, 51, 1]);
    assert_eq!(record.chosen_token_ids, [53, 2]);
    assert_eq!(record.rejected_token_ids, [52, 54, 2]);
    // The plain template has no place for them.
    let error = refused(row.clone());
    assert!(
        error.contains("`chosen` has `tool_calls`, which the model's chat template does not write"),
        "{error}"
    );
    let with_ids = json!({"prompt_token_ids": [1], "chosen": row["chosen"], "rejected": "music"});
    let error = refused(with_ids);
    assert!(
        error.contains("`chosen` has `tool_calls`, which a chat template writes"),
        "{error}"
    );
}

/// The weight of equal pairs that `inpo run` merged.
#[test]
fn a_row_has_a_weight() {
    let row = json!({"prompt": "the", "chosen": "stone", "rejected": "light", "weight": 2.5});
    assert_eq!(read(&[row]).unwrap().records[0].weight, 2.5);
}

#[test]
fn what_would_be_another_pair_is_refused() {
    let (user, other) = (message("user", "the"), message("user", "of"));
    let [stone, light] = ["stone", "light"].map(|text| message("assistant", text));
    let hh = |answer: &str| format!("\n\nHuman: the\n\nAssistant: {answer}");
    for (row, reason) in [
        (
            json!({"prompt": "the", "chosen": "stone", "rejected": ["light", "music"]}),
            "`rejected` is a list of 2 responses, and a row is one pair; write a row for each of them",
        ),
        (
            json!({"prompt": "the", "chosen": [stone], "rejected": [[light], [light]]}),
            "`rejected` is a list of 2 responses",
        ),
        (
            json!({"prompt": "in", "chosen": [user, stone], "rejected": [user, light]}),
            "`prompt` is a text that is not among the messages that `chosen` and `rejected` share",
        ),
        (
            json!({"prompt": "the", "chosen": hh("stone"), "rejected": hh("light")}),
            "`prompt` is another one than they share",
        ),
        (
            json!({"chosen": hh("stone\n\nHuman: of\n\nAssistant: light"), "rejected": hh("light")}),
            "there is neither `prompt` nor `prompt_token_ids`",
        ),
        (
            json!({"prompt": "the", "chosen": {"role": "assistant", "content": "stone", "weight": 0},
                "rejected": "light"}),
            "`chosen` has a `weight` of 0",
        ),
        (
            json!({"prompt": [user, {"role": "narrator", "content": "of"}], "chosen": "stone", "rejected": "light"}),
            "message 1: unknown role \"narrator\"",
        ),
        (
            json!({"prompt": [{"role": "user", "content": [{"type": "image"}]}], "chosen": "stone",
                "rejected": "light"}),
            "`prompt`: message 0: part 0 of `content` is of type \"image\", and only text is read",
        ),
        (
            json!({"prompt": "the", "chosen": [{"content": "stone"}], "rejected": "light"}),
            "`chosen`: message 0: it has no `role`",
        ),
        (
            json!({"question": "the", "chosen": "stone", "rejected_text": "light"}),
            "there is neither `rejected` nor `rejected_token_ids`; the columns are `question`, `chosen` and \
             `rejected_text`",
        ),
        (
            json!({"prompt": "the", "chosen": "stone", "rejected": "light", "images": [{"bytes": "x"}]}),
            "`images` is for models that see or hear",
        ),
        (
            json!({"prompt": "the", "chosen": "stone", "rejected": "light", "tools": "f"}),
            "`tools` is text, but not the JSON of a list",
        ),
        (
            json!({"prompt": "the", "chosen": "stone", "rejected": "light", "weight": 0}),
            "`weight` is 0; allowed: above 0",
        ),
        // The conversations are the prompts of two rows.
        (
            json!({"chosen": [user, stone], "rejected": [other, light]}),
            "there is neither `prompt`",
        ),
    ] {
        let error = refused(row.clone());
        assert!(
            error.contains("pairs.jsonl, line 1: ") && error.contains(reason),
            "{row}: {error}"
        );
    }
}

/// Python's NaN: no error in a column that nobody reads, and one by name in a column that is read.
#[test]
fn nan_is_an_error_where_it_is_read() {
    let row = |column: &str| {
        format!(
            "{{\"prompt\": \"the\", \"chosen\": \"stone\", \"rejected\": \"light\", {column}: NaN}}"
        )
    };
    let pairs = read_bytes(row("\"margin\"").as_bytes(), None).unwrap();
    assert_eq!(pairs.records.len(), 1);
    for name in [
        "probability",
        "score_chosen",
        "ref_chosen_logps",
        "tools",
        "weight",
    ] {
        let error = read_bytes(row(&format!("\"{name}\"")).as_bytes(), None).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains(&format!("`{name}` holds NaN or an infinity")),
            "{error}"
        );
    }
}
