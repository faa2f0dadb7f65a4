//! IFEval's checkers against lm-evaluation-harness's, whose verdicts `fixtures/instructions.py` recorded.

use std::fs;
use std::path::Path;

use inpo_oracle::{Instruction, InstructionMode, Instructions};
use serde_json::{Map, Value, json};

fn fixture(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    let text = fs::read_to_string(&path).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn texts() -> Vec<String> {
    serde_json::from_value(fixture("instructions.json")["texts"].take()).unwrap()
}

#[test]
fn every_verdict_is_that_of_the_reference() {
    let texts = texts();
    let fixture = fixture("instructions.json");
    let (mut total, mut differences) = (0, Vec::new());
    for group in fixture["cases"].as_array().unwrap() {
        let (id, kwargs) = (group[0].as_str().unwrap(), group[1].as_object().unwrap());
        let instruction = Instruction::from_row(id, kwargs).unwrap();
        for answer in group[2].as_array().unwrap() {
            let text = &texts[answer[0].as_u64().unwrap() as usize];
            // Both rules, the loose one alone, none.
            let expected = [(false, false), (false, true), (true, true)];
            let expected = expected[answer[1].as_u64().unwrap() as usize];
            let got = (instruction.follows(text), instruction.follows_loosely(text));
            total += 1;
            if got != expected {
                let kwargs = &group[1];
                differences.push(format!(
                    "{id} {kwargs}\n  {text:?}\n  expected {expected:?}, got {got:?}"
                ));
            }
        }
    }
    assert!(total > 5000, "{total}");
    let listed = differences.join("\n");
    assert!(
        differences.is_empty(),
        "{} of {total}:\n{listed}",
        differences.len()
    );
}

/// The responses to a row, as `responses` of the generator makes them.
fn responses(place: usize, prompt: &str, texts: &[String]) -> Vec<String> {
    let own = |step: usize| texts[(31 * place + 7 * step) % texts.len()].clone();
    let (first, second) = (own(0), own(1));
    let around = [
        format!("{prompt}\n\n{first}"),
        format!("{first}\n\n{prompt}"),
        format!("\"{prompt}\""),
        prompt.to_uppercase(),
        prompt.to_lowercase(),
        format!("{first}\n******\n{second}"),
    ];
    (0..24).map(own).chain(around).collect()
}

/// The columns without instructions for which the reference draws an argument at random.
fn asked(row: &Map<String, Value>) -> Map<String, Value> {
    let is_drawn = |kwargs: &Value| {
        let letter = kwargs["letter"].as_str();
        letter.is_some_and(|letter| !letter.chars().all(char::is_alphabetic))
    };
    let all = |column: &str| row[column].as_array().unwrap().clone();
    let both = all("instruction_id_list").into_iter().zip(all("kwargs"));
    let (ids, kwargs): (Vec<_>, Vec<_>) = both.filter(|(_, kwargs)| !is_drawn(kwargs)).unzip();
    let columns = json!({ "instruction_id_list": ids, "kwargs": kwargs });
    columns.as_object().unwrap().clone()
}

#[test]
fn the_rows_of_ifeval_get_the_verdicts_of_the_reference() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/ifeval/input_data.jsonl");
    let Ok(rows) = fs::read_to_string(&file) else {
        eprintln!(
            "skipped: IFEval's input_data.jsonl is not at {}",
            file.display()
        );
        return;
    };
    let (texts, recorded) = (texts(), fixture("instructions_rows.json"));
    let (mut total, mut differences) = (0, Vec::new());
    for (place, line) in rows.lines().enumerate() {
        let row: Map<String, Value> = serde_json::from_str(line).unwrap();
        let instructions = Instructions::from_row(&row).unwrap();
        assert!(!instructions.as_slice().is_empty());
        let instructions = Instructions::from_row(&asked(&row)).unwrap();
        let mut bits = "1".to_owned();
        let responses = responses(place, row["prompt"].as_str().unwrap(), &texts);
        for response in &responses {
            let strict = instructions.verdicts(response, InstructionMode::Strict);
            let loose = instructions.verdicts(response, InstructionMode::Loose);
            for (strict, loose) in strict.into_iter().zip(loose) {
                bits.extend([strict, loose].map(|follows| if follows { '1' } else { '0' }));
            }
        }
        let expected = binary(recorded[row["key"].to_string()].as_str().unwrap());
        assert_eq!(bits.len(), expected.len(), "{}", row["key"]);
        total += bits.len() - 1;
        let of_one = 2 * instructions.as_slice().len();
        for (bit, (got, expected)) in bits.chars().zip(expected.chars()).enumerate() {
            if got != expected {
                let (response, rest) = ((bit - 1) / of_one, (bit - 1) % of_one);
                let id = instructions.as_slice()[rest / 2].id();
                let key = &row["key"];
                let text = &responses[response];
                differences.push(format!(
                    "{key} {id}\n  {text:?}\n  expected {expected}, got {got}"
                ));
            }
        }
    }
    assert_eq!(recorded.as_object().unwrap().len(), rows.lines().count());
    let listed = differences.join("\n");
    assert!(
        differences.is_empty(),
        "{} of {total}:\n{listed}",
        differences.len()
    );
}

/// The binary digits of a hexadecimal number whose first one is 1.
fn binary(hex: &str) -> String {
    let digits: String = hex
        .chars()
        .map(|c| format!("{:04b}", c.to_digit(16).unwrap()))
        .collect();
    digits.trim_start_matches('0').to_owned()
}
