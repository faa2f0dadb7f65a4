//! MATH (arXiv 2103.03874) with Minerva's prompt (arXiv 2206.14858): problems of mathematical contests.
//!
//! The harness compares answers by sympy, after a normalisation. Here the normalised texts are compared, which finds fewer
//! equal answers: a lower bound of its `exact_match`, under a name of its own.

use std::sync::LazyLock;

use fancy_regex::Regex;
use inpo_data::Place;
use serde_json::{Value, json};

use crate::benchmarks::documents::document_at;
use crate::benchmarks::python::strip;
use crate::benchmarks::task::{
    Answer, Ask, Document, FewShot, Metric, Pool, Shot, ShotCount, ShotDraw, Source, Task,
};

use super::Group;

/// The tasks with the configurations of their data.
const SUBJECTS: [(&str, &str); 7] = [
    ("minerva_math_algebra", "algebra"),
    ("minerva_math_counting_and_prob", "counting_and_probability"),
    ("minerva_math_geometry", "geometry"),
    ("minerva_math_intermediate_algebra", "intermediate_algebra"),
    ("minerva_math_num_theory", "number_theory"),
    ("minerva_math_prealgebra", "prealgebra"),
    ("minerva_math_precalc", "precalculus"),
];

/// The score's name.
const METRIC: &str = "exact_match_lower_bound";

/// The subjects as tasks, and the 500 problems of arXiv 2305.20050.
pub(super) fn tasks() -> Vec<Box<dyn Task>> {
    let task = |(name, config): (&'static str, &'static str)| -> Box<dyn Task> {
        Box::new(MinervaMath { name, config })
    };
    let all = SUBJECTS.into_iter().chain([("minerva_math500", "default")]);
    all.map(task).collect()
}

/// `minerva_math`.
pub(super) fn groups() -> Vec<Group> {
    vec![Group {
        name: "minerva_math",
        alias: "minerva_math",
        version: "1.0",
        metrics: &[METRIC],
        members: SUBJECTS
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect(),
    }]
}

#[derive(Debug)]
struct MinervaMath {
    name: &'static str,
    config: &'static str,
}

/// Minerva's four examples.
fn examples() -> Vec<Document> {
    let examples = include_str!("minerva_math_examples.json");
    let examples: Vec<Value> = serde_json::from_str(examples).expect("it is valid");
    let document = |(number, example): (usize, &Value)| document_at(Place::Row(number), example);
    (1..).zip(&examples).map(document).collect()
}

/// The right answer of a document: what is in the last box of its solution, normalised.
fn gold(document: &Document) -> Result<String, String> {
    let solution = document.text("solution")?;
    let boxed = last_box(&solution).ok_or("`solution` has no \\boxed answer")?;
    Ok(normalized(&boxed))
}

/// What the last `\boxed{..}` holds, or `\boxed ` up to the next `$`.
fn last_box(text: &str) -> Option<String> {
    if let Some((_, rest)) = text.rsplit_once("\\boxed ") {
        return rest.split('$').next().map(str::to_owned);
    }
    let rest = &text[text.rfind("\\boxed")?..].strip_prefix("\\boxed{")?;
    let mut open = 1;
    for (place, c) in rest.char_indices() {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(rest[..place].to_owned());
        }
    }
    None
}

impl Task for MinervaMath {
    fn name(&self) -> &str {
        self.name
    }

    fn version(&self) -> f64 {
        3.1
    }

    fn source(&self) -> Source {
        let (dataset, config) = match self.config {
            "default" => ("HuggingFaceH4/MATH-500", None),
            config => ("EleutherAI/hendrycks_math", Some(config.to_owned())),
        };
        Source {
            dataset: dataset.to_owned(),
            config,
            split: "test".to_owned(),
            shots: None,
        }
    }

    fn question_column(&self) -> &str {
        "problem"
    }

    fn few_shot(&self) -> FewShot {
        FewShot {
            count: ShotCount::Default(4),
            pool: Pool::Own(examples()),
            draw: ShotDraw::FirstN,
            leaves_out_document: false,
        }
    }

    fn metrics(&self) -> Vec<Metric> {
        vec![Metric::mean(METRIC)]
    }

    fn shot(&self, document: &Document) -> Result<Shot, String> {
        Ok(Shot {
            question: format!("Problem:\n{}\n\nSolution:", document.text("problem")?),
            answer: document.text("solution")?,
        })
    }

    fn ask(&self, document: &Document) -> Result<Ask, String> {
        gold(document)?;
        Ok(Ask::Text {
            context: self.shot(document)?.question,
            until: vec!["Problem:".to_owned()],
            max_new_tokens: 256,
        })
    }

    fn target(&self, document: &Document) -> Result<Value, String> {
        Ok(json!(gold(document)?))
    }

    fn score(&self, document: &Document, answer: &Answer) -> Result<Vec<Vec<f64>>, String> {
        let answer = normalized(&final_answer(answer.text()));
        let same = !answer.is_empty() && answer == gold(document)?;
        Ok(vec![vec![f64::from(u8::from(same))]])
    }
}

/// What follows "The final answer is".
fn final_answer(text: &str) -> String {
    static SAID: LazyLock<Regex> = LazyLock::new(|| {
        compiled(r"Final Answer: The final answer is(.*?). I hope it is correct.")
    });
    // An answer that was cut off behind its number still counts.
    let text = format!("{text}I hope it is correct.");
    let said = SAID.captures(&text).ok().flatten();
    let said = said.and_then(|captures| Some(strip(captures.get(1)?.as_str()).to_owned()));
    said.unwrap_or_else(|| "[invalidanswer]".to_owned())
}

fn compiled(pattern: &str) -> Regex {
    Regex::new(pattern).expect("it is valid")
}

/// Texts that are written another way, in this order.
const SUBSTITUTIONS: [(&str, &str); 10] = [
    ("an ", ""),
    ("a ", ""),
    (".$", "$"),
    ("\\$", ""),
    ("\\ ", ""),
    (" ", ""),
    ("mbox", "text"),
    (",\\text{and}", ","),
    ("\\text{and}", ","),
    ("\\text{m}", "\\text{}"),
];

/// Units and the like, which go.
const REMOVED: [&str; 42] = [
    "square",
    "ways",
    "integers",
    "dollars",
    "mph",
    "inches",
    "ft",
    "hours",
    "km",
    "units",
    "\\ldots",
    "sue",
    "points",
    "feet",
    "minutes",
    "digits",
    "cents",
    "degrees",
    "cm",
    "gm",
    "pounds",
    "meters",
    "meals",
    "edges",
    "students",
    "childrentickets",
    "multiples",
    "\\text{s}",
    "\\text{.}",
    "\\text{\ns}",
    "\\text{}^2",
    "\\text{}^3",
    "\\text{\n}",
    "\\text{}",
    "\\mathrm{th}",
    "^\\circ",
    "^{\\circ}",
    "\\;",
    ",\\!",
    "{,}",
    "\"",
    "\\dots",
];

/// The units as words of their own; none that begins a command of LaTeX.
static WORDS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let words = REMOVED.iter().filter(|text| is_word(text));
    words
        .map(|word| compiled(&format!(r"(?<!\\)\b{word}\b")))
        .collect()
});

static COMMAND: LazyLock<Regex> = LazyLock::new(|| compiled(r"\\[a-zA-Z]+"));

/// Patterns and what they become, in this order.
static REWRITES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        (r"(.*?)(\$)(.*?)(\$)(.*)", "$$${3}$$"),
        (r"(\\text\{)(.*?)(\})", "${2}"),
        (r"(\\textbf\{)(.*?)(\})", "${2}"),
        (r"(\\overline\{)(.*?)(\})", "${2}"),
        (r"(\\boxed\{)(.*)(\})", "${2}"),
        // \fracab and \sqrta, but not \sqrt[3]a.
        (r"(frac)([^{])(.)", "frac{${2}}{${3}}"),
        (r"(sqrt)(\[[^\]]*\])(\w)", "${1}${2}{${3}}"),
        (r"(sqrt)(?!\[)([^{])", "sqrt{${2}}"),
    ]
    .map(|(pattern, text)| (compiled(pattern), text))
    .into()
});

static THOUSANDS: LazyLock<Regex> = LazyLock::new(|| compiled(r"^-?\d{1,3}(,\d{3})+\z"));

fn is_word(text: &str) -> bool {
    text.chars().all(char::is_alphabetic)
}

/// An answer in the form in which two are compared (Appendix D of arXiv 2206.14858, as the harness corrects it).
fn normalized(answer: &str) -> String {
    let mut text = answer.rsplit('=').next().unwrap_or_default().to_owned();
    for word in WORDS.iter() {
        text = word.replace_all(&text, "").into_owned();
    }
    for (before, after) in SUBSTITUTIONS {
        text = text.replace(before, after);
    }
    for removed in REMOVED {
        text = if is_word(removed) {
            between_commands(&text, |part| part.replace(removed, ""))
        } else {
            text.replace(removed, "")
        };
    }
    for (pattern, rewritten) in REWRITES.iter() {
        text = pattern.replace_all(&text, *rewritten).into_owned();
    }
    text = text.replace('$', "");
    if THOUSANDS.is_match(&text).unwrap_or(false) {
        text = text.replace(',', "");
    }
    text
}

/// A text whose parts between the commands of LaTeX are changed.
fn between_commands(text: &str, change: impl Fn(&str) -> String) -> String {
    let (mut result, mut from) = (String::new(), 0);
    for command in COMMAND.find_iter(text).flatten() {
        result += &change(&text[from..command.start()]);
        result += command.as_str();
        from = command.end();
    }
    result + &change(&text[from..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Cases {
        normalized: Vec<(String, String)>,
        r#final: Vec<(String, String)>,
        boxed: Vec<(String, Option<String>)>,
    }

    /// Against the harness's own functions (`fixtures/benchmarks/make_answers.py`).
    #[test]
    fn answers_are_normalised_as_the_harness_does() {
        let cases = include_str!("../../../tests/fixtures/benchmarks/answers.json");
        let cases: Cases = serde_json::from_str(cases).unwrap();
        assert_eq!(cases.normalized.len(), 52);
        for (text, expected) in cases.normalized {
            assert_eq!(normalized(&text), expected, "{text}");
        }
        for (text, expected) in cases.r#final {
            assert_eq!(final_answer(&text), expected, "{text}");
        }
        for (text, expected) in cases.boxed {
            assert_eq!(last_box(&text), expected, "{text}");
        }
    }
}
