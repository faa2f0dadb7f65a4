//! The oracle: what it answers, and what it refuses. `tests/instructions.rs` compares the checkers.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn prompt(ids: Value, kwargs: Value) -> Prompt {
    let mut prompt = Prompt::user("Write a haiku about rain.");
    prompt.metadata.insert("instruction_id_list".into(), ids);
    prompt.metadata.insert("kwargs".into(), kwargs);
    prompt
}

/// No comma, and at least three words.
fn two() -> Prompt {
    prompt(
        json!(["punctuation:no_comma", "length_constraints:number_words"]),
        json!([null, {"num_words": 3.0, "relation": "at least", "language": null}]),
    )
}

fn oracle(mode: InstructionMode) -> InstructionsOracle {
    InstructionsOracleConfig { mode }.init().unwrap()
}

fn asked(mode: InstructionMode, prompt: &Prompt, first: &str, second: &str) -> f64 {
    let (first, second) = (Completion::finished(first), Completion::finished(second));
    let comparison = Comparison {
        prompt,
        first: &first,
        second: &second,
    };
    oracle(mode).compare(&[comparison]).unwrap()[0].get()
}

#[test]
fn whoever_follows_more_instructions_wins() {
    let ask = |first, second| asked(InstructionMode::Strict, &two(), first, second);
    assert_eq!(ask("rain on roofs", "rain, rain on roofs"), 1.0);
    assert_eq!(ask("rain, rain", "rain on, on roofs"), 0.0);
    assert_eq!(ask("rain rain", "rain on, on roofs"), 0.5);
    // A blank response follows nothing, not even to use no comma.
    assert_eq!(ask(" \n", "rain, rain"), 0.5);
    assert_eq!(ask("", "rain"), 0.0);
}

#[test]
fn the_loose_rule_forgives_a_first_line() {
    let (first, second) = ("Sure, here it is:\nrain on roofs", "rain, rain on roofs");
    assert_eq!(asked(InstructionMode::Strict, &two(), first, second), 0.5);
    assert_eq!(asked(InstructionMode::Loose, &two(), first, second), 1.0);
}

#[test]
fn the_eight_variants_are_the_published_ones() {
    let expected = [
        "*a*\n b \n*c*",
        "a\n b \nc",
        "b \n*c*",
        "*a*\n b",
        "b",
        "b \nc",
        "a\n b",
        "b",
    ];
    assert_eq!(loose_variants("*a*\n b \n*c*"), expected);
    assert_eq!(loose_variants("*a*"), ["*a*", "a", "", "", "", "", "", ""]);
    let expected = ["a\n*b", "a\nb", "*b", "a", "", "b", "a", ""];
    assert_eq!(loose_variants("a\n*b"), expected);
}

#[test]
fn columns_may_be_json_text() {
    let text = prompt(json!(r#"["punctuation:no_comma"]"#), json!("[{}]"));
    assert_eq!(asked(InstructionMode::Strict, &text, "a", "a,"), 1.0);
    let none = prompt(json!([]), json!([]));
    assert_eq!(asked(InstructionMode::Strict, &none, "a", "a,"), 0.5);
}

/// IFEval asks for 4 `#` and for 6 `!`, where the published checker counts some letter.
#[test]
fn a_letter_that_is_none_is_counted_itself() {
    let kwargs = json!({"letter": "#", "let_frequency": 4, "let_relation": "at least"});
    let instruction =
        Instruction::from_row("keywords:letter_frequency", kwargs.as_object().unwrap());
    let instruction = instruction.unwrap();
    assert!(instruction.follows("# a\n## b\n# c"));
    assert!(!instruction.follows("# aaaa\n## bbbb"));
}

#[test]
fn the_verdicts_are_in_the_rows_order() {
    let row = Instructions::from_row(&two().metadata).unwrap();
    let ids: Vec<&str> = row.as_slice().iter().map(Instruction::id).collect();
    assert_eq!(
        ids,
        ["punctuation:no_comma", "length_constraints:number_words"]
    );
    assert_eq!(
        row.verdicts("rain, rain on", InstructionMode::Strict),
        [false, true]
    );
    assert_eq!(row.followed("rain, rain on", InstructionMode::Strict), 1);
}

#[test]
fn a_batch_names_its_bad_row() {
    let (good, bad) = (two(), Prompt::user("Hello"));
    let (first, second) = (Completion::finished("a b c"), Completion::finished("a,"));
    let ask = |prompt| Comparison {
        prompt,
        first: &first,
        second: &second,
    };
    let answers = oracle(InstructionMode::Strict);
    let answers = answers.compare(&[ask(&good), ask(&good).swapped(), ask(&bad)]);
    let error = answers.unwrap_err().to_string();
    let says = "comparison 2 of the batch cannot be answered: the row has no `instruction_id_list`";
    assert!(error.starts_with(says), "{error}");
}

#[test]
fn each_bad_row_has_its_sentence() {
    let says = |ids: Value, kwargs: Value, words: &str| {
        let error = Instructions::from_row(&prompt(ids, kwargs).metadata).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    };
    let one = |id: &str, kwargs: Value, words: &str| says(json!([id]), json!([kwargs]), words);
    says(json!(null), json!([]), "no `instruction_id_list`");
    says(json!([]), json!(null), "no `kwargs`");
    says(
        json!("[1"),
        json!([]),
        "`instruction_id_list` must be a list of instruction ids",
    );
    says(
        json!([1]),
        json!([{}]),
        "`instruction_id_list` must be a list of instruction ids",
    );
    says(json!([]), json!({}), "`kwargs` must be a list of objects");
    says(
        json!(["startend:quotation"]),
        json!([3]),
        "`kwargs` must be a list of objects",
    );
    says(
        json!(["startend:quotation"]),
        json!([{}, {}]),
        "`instruction_id_list` has 1 instructions and `kwargs` 2",
    );
    one(
        "a:b",
        json!({}),
        "there is no instruction \"a:b\": it must be one of IFEval's 25",
    );
    one(
        "length_constraints:number_words",
        json!({"num_words": 3, "relation": null}),
        "`length_constraints:number_words` needs `relation`",
    );
    one(
        "length_constraints:number_words",
        json!({"num_words": 3, "relation": "more than"}),
        "has \"more than\" as `relation`: it must be `less than` or `at least`",
    );
    one(
        "length_constraints:number_words",
        json!({"num_words": -3, "relation": "at least"}),
        "has -3 as `num_words`: it must be a whole number of at least 0",
    );
    one(
        "startend:quotation",
        json!({"language": "en"}),
        "takes no `language` in its kwargs: it takes none",
    );
    one(
        "keywords:existence",
        json!({"keywords": []}),
        "has [] as `keywords`: it must be a list of texts",
    );
    one(
        "keywords:frequency",
        json!({"keyword": "(", "frequency": 1, "relation": "at least"}),
        "has a `keyword` that is no regular expression",
    );
    one(
        "keywords:letter_frequency",
        json!({"letter": "ab", "let_frequency": 1, "let_relation": "at least"}),
        "has \"ab\" as `letter`: it must be one character",
    );
    one(
        "length_constraints:nth_paragraph_first_word",
        json!({"num_paragraphs": 2, "nth_paragraph": 3, "first_word": "a"}),
        "has 3 as `nth_paragraph`: it must be from 1 to `num_paragraphs`",
    );
    one(
        "language:response_language",
        json!({"language": "tlh"}),
        "has \"tlh\" as `language`: it must be one of IFEval's 30 codes",
    );
}

#[test]
fn the_kind_and_its_key_are_read() {
    let read = |text: &str| toml::from_str::<crate::OracleConfig>(text).map_err(|e| e.to_string());
    let config = read("kind = 'instructions'\nmode = 'loose'").unwrap();
    assert_eq!(
        config.init(&crate::Surroundings::default()).unwrap().name(),
        "instructions(mode=loose)"
    );
    let config = read("kind = 'instructions'").unwrap();
    assert_eq!(
        config.init(&crate::Surroundings::default()).unwrap().name(),
        "instructions(mode=strict)"
    );
    let error = read("kind = 'instructions'\nlanguage = 'en'").unwrap_err();
    assert!(error.contains("unknown field `language`"), "{error}");
    let error = read("kind = 'instructions'\nmode = 'lax'").unwrap_err();
    assert!(error.contains("unknown variant `lax`"), "{error}");
}

proptest! {
    #[test]
    fn the_order_does_not_matter(first in "[a-d ,*\n]{0,12}", second in "[a-d ,*\n]{0,12}") {
        for mode in [InstructionMode::Strict, InstructionMode::Loose] {
            let prompt = two();
            let forth = asked(mode, &prompt, &first, &second);
            let back = asked(mode, &prompt, &second, &first);
            prop_assert_eq!(forth + back, 1.0);
            prop_assert_eq!(asked(mode, &prompt, &first, &first), 0.5);
        }
    }

    #[test]
    fn what_is_followed_strictly_is_followed_loosely(text in "\\PC{0,40}(\n\\PC{0,40}){0,3}") {
        let row = Instructions::from_row(&two().metadata).unwrap();
        let strict = row.verdicts(&text, InstructionMode::Strict);
        let loose = row.verdicts(&text, InstructionMode::Loose);
        prop_assert!(strict.iter().zip(loose).all(|(&strict, loose)| loose || !strict));
    }

    #[test]
    fn any_text_is_cut_without_fault(text in "(\\PC|[ .?!,\"'\n-]|\\. |--|”){0,60}") {
        let whole: usize = sentences::sentences(&text).iter().map(|s| s.len()).sum();
        prop_assert!(whole <= text.len());
        tokens::tokens(&text);
    }
}
