use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::verdict::Heard;

/// Says what its function says of the two texts in the order shown; none is prose.
struct Says {
    of: fn(&str, &str) -> Option<f64>,
    asked: AtomicUsize,
    symmetric: bool,
    /// After so many verdicts it breaks down.
    breaks_after: usize,
}

impl Says {
    fn new(of: fn(&str, &str) -> Option<f64>) -> Self {
        Self {
            of,
            asked: AtomicUsize::new(0),
            symmetric: false,
            breaks_after: usize::MAX,
        }
    }
}

impl Judge for &'static Says {
    fn judge(&self, questions: &[Question<'_>], heard: &mut Heard<'_>) -> Result<(), OracleError> {
        // Backwards: the order in which verdicts come is the judge's.
        for (place, question) in questions.iter().enumerate().rev() {
            if self.asked.fetch_add(1, Ordering::Relaxed) == self.breaks_after {
                return Err(OracleError::Unavailable {
                    oracle: self.name(),
                    reason: "it broke down".to_owned(),
                });
            }
            let usage = Usage {
                calls: 1,
                prompt_tokens: 10,
                ..Usage::default()
            };
            let verdict = match (self.of)(&question.first.text, &question.second.text) {
                Some(p) => Verdict::new(Preference::new(p).unwrap(), usage),
                None => Verdict::invalid("prose", usage),
            };
            heard(place, verdict)?;
        }
        Ok(())
    }

    fn name(&self) -> String {
        "says".to_owned()
    }

    fn specification(&self) -> Value {
        json!({ "judge": "says" })
    }

    fn is_symmetric(&self) -> bool {
        self.symmetric
    }

    fn cost(&self, usage: &Usage) -> Option<f64> {
        Some(usage.prompt_tokens as f64 * 0.25)
    }
}

fn leak(says: Says) -> &'static Says {
    Box::leak(Box::new(says))
}

fn ask(oracle: &Judged, pairs: &[[&str; 2]]) -> Result<Vec<f64>, OracleError> {
    let prompt = Prompt::user("Say something.");
    let texts = pairs.iter().map(|pair| pair.map(Completion::finished));
    let texts: Vec<[Completion; 2]> = texts.collect();
    let comparison = |[first, second]: &'static [Completion; 2]| Comparison {
        prompt: Box::leak(Box::new(prompt.clone())),
        first,
        second,
    };
    let texts: &'static [_] = Box::leak(texts.into_boxed_slice());
    let comparisons: Vec<_> = texts.iter().map(comparison).collect();
    let answers = oracle.compare(&comparisons)?;
    Ok(answers.into_iter().map(Preference::get).collect())
}

#[test]
fn a_judge_that_always_says_a_prefers_nobody_and_is_inconsistent() {
    let judge = leak(Says::new(|_, _| Some(1.0)));
    let oracle = Judged::new(Box::new(judge));
    let answers = ask(&oracle, &[["x", "y"], ["y", "z"]]).unwrap();
    assert_eq!(answers, [0.5, 0.5]);
    let counts = oracle.counts();
    assert_eq!(counts.first_position_rate(), Some(1.0));
    assert_eq!(counts.order_inconsistency(), Some(1.0));
    assert_eq!(
        (counts.comparisons, counts.verdicts, counts.calls),
        (2, 4, 4)
    );
    assert_eq!((counts.unanswered, counts.cost), (0, Some(10.0)));
    // In one order alone it cannot be seen.
    let oracle = Judged::new(Box::new(judge)).one_order();
    assert_eq!(ask(&oracle, &[["x", "y"]]).unwrap(), [1.0]);
    assert_eq!(oracle.counts().order_inconsistency(), None);
}

/// p_ab = 0.875 and p_ba = 0.25 give (0.875 + 0.75) / 2; both name a.
#[test]
fn both_orders_are_averaged() {
    let judge = leak(Says::new(|a, _| Some(if a == "a" { 0.875 } else { 0.25 })));
    let oracle = Judged::new(Box::new(judge));
    assert_eq!(ask(&oracle, &[["a", "b"]]).unwrap(), [0.8125]);
    let counts = oracle.counts();
    assert_eq!(counts.first_position_rate(), Some(0.5));
    assert_eq!(counts.order_inconsistency(), Some(0.0));
}

/// An invalid verdict is 1/2 in its order: beside a win it leaves three quarters, alone a tie. Never a win.
#[test]
fn an_invalid_verdict_is_never_a_win() {
    let judge = leak(Says::new(|a, b| match (a, b) {
        ("a", "b") => Some(1.0),
        _ => None,
    }));
    let oracle = Judged::new(Box::new(judge));
    assert_eq!(
        ask(&oracle, &[["a", "b"], ["c", "d"]]).unwrap(),
        [0.75, 0.5]
    );
    let counts = oracle.counts();
    assert_eq!((counts.invalid, counts.unanswered), (3, 1));
    assert_eq!((counts.decided, counts.both_orders), (1, 0));
}

#[test]
fn a_symmetric_judge_is_asked_once_and_shows_no_order() {
    let judge = leak(Says {
        symmetric: true,
        ..Says::new(|a, b| Some(if a > b { 1.0 } else { 0.0 }))
    });
    let oracle = Judged::new(Box::new(judge));
    assert_eq!(ask(&oracle, &[["b", "a"], ["a", "c"]]).unwrap(), [1.0, 0.0]);
    let before = judge.asked.load(Ordering::Relaxed);
    assert_eq!(ask(&oracle, &[["a", "b"], ["c", "a"]]).unwrap(), [0.0, 1.0]);
    assert_eq!(
        judge.asked.load(Ordering::Relaxed),
        before,
        "known by symmetry"
    );
    let counts = oracle.counts();
    assert_eq!((counts.calls, counts.verdicts), (2, 8));
    assert_eq!(counts.first_position_rate(), Some(0.5));
    assert_eq!(counts.order_inconsistency(), Some(0.0));
}

#[test]
fn the_same_question_is_asked_once_and_the_same_response_ties_unasked() {
    let judge = leak(Says::new(|a, b| Some(if a > b { 1.0 } else { 0.0 })));
    let oracle = Judged::new(Box::new(judge));
    let pairs = [["a", "b"], ["b", "a"], ["a", "b"], ["c", "c"]];
    assert_eq!(ask(&oracle, &pairs).unwrap(), [0.0, 1.0, 0.0, 0.5]);
    assert_eq!(judge.asked.load(Ordering::Relaxed), 2);
    ask(&oracle, &pairs).unwrap();
    assert_eq!(judge.asked.load(Ordering::Relaxed), 2);
    assert_eq!(oracle.counts().comparisons, 8);
    assert_eq!(oracle.counts().calls, 2);
}

/// The judge breaks down after five of eight verdicts; a second run asks for the other three.
#[test]
fn what_was_heard_before_a_breakdown_is_not_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let open = |judge| Judged::new(Box::new(judge)).with_journal(dir.path());
    let of = |a: &str, b: &str| Some(if a > b { 1.0 } else { 0.0 });
    let pairs = [["a", "b"], ["c", "b"], ["c", "d"], ["a", "d"]];
    let broken = leak(Says {
        breaks_after: 5,
        ..Says::new(of)
    });
    let oracle = open(broken);
    let error = ask(&oracle, &pairs).unwrap_err().to_string();
    assert!(error.contains("it broke down"), "{error}");
    drop(oracle);
    let judge = leak(Says::new(of));
    let oracle = open(judge);
    assert_eq!(ask(&oracle, &pairs).unwrap(), [0.0, 1.0, 0.0, 0.0]);
    assert_eq!(judge.asked.load(Ordering::Relaxed), 3);
    assert_eq!(oracle.counts().kept, 5);
    // Its counts are those of an undisturbed run, but for what was paid for.
    let whole = Judged::new(Box::new(leak(Says::new(of))));
    ask(&whole, &pairs).unwrap();
    let paid = |counts: OracleCounts| OracleCounts {
        kept: 0,
        calls: 0,
        prompt_tokens: 0,
        cost: None,
        ..counts
    };
    assert_eq!(paid(oracle.counts()), paid(whole.counts()));
    assert_eq!(oracle.journal().unwrap().1, 8);
}
