use proptest::prelude::*;
use serde::de::value::{self, MapDeserializer};

use super::*;
use crate::cycles::{CycleReport, cycle_report};
use crate::judge::judge;
use inpo_data::Message;

fn oracle() -> RulesOracle {
    RulesOracleConfig::default().init().unwrap()
}

fn preference(
    oracle: &RulesOracle,
    instruction: &str,
    first: &Completion,
    second: &Completion,
) -> f64 {
    let prompt = Prompt::new(vec![
        Message::system("You are helpful."),
        Message::user(instruction),
    ]);
    let verdicts = oracle
        .compare(&[Comparison {
            prompt: &prompt,
            first,
            second,
        }])
        .unwrap();
    assert_eq!(verdicts.len(), 1);
    verdicts[0].get()
}

const LEAVES: &str = "Explain why leaves change colour in autumn.";

fn sensible() -> Completion {
    Completion::finished(
        "In autumn, trees stop making chlorophyll, the green pigment in their leaves. \
         As it fades, yellow and orange pigments that were hidden all summer show, and the colour seems to change.",
    )
}

/// A sound answer must beat every way to score without answering.
#[test]
fn degenerate_responses_lose_to_a_sensible_answer() {
    let salad = "Leaves change colour autumn trees pigment chlorophyll yellow orange red season sunlight temperature.";
    for degenerate in [
        "",
        "   \n",
        "Yes.",
        "Leaves.",
        "Ok, sure.",
        LEAVES,
        "Explain why leaves change colour in autumn. Explain why leaves change colour in autumn. \
         Explain why leaves change colour in autumn. Explain why leaves change colour in autumn.",
        "the the the the the the the the the the the the the the the the the the the the",
        salad,
        "Leaves leaves leaves. Leaves leaves leaves. Autumn autumn autumn. Change change change.",
        "It is so.",
        "I am here.",
        "...",
        "That depends.",
        "I'm sorry, but as an AI language model I can't help with that.",
        "Why do you ask?",
    ] {
        for response in [
            Completion::finished(degenerate),
            Completion::cut_off(degenerate),
        ] {
            assert_eq!(
                preference(&oracle(), LEAVES, &sensible(), &response),
                1.0,
                "{response:?}"
            );
        }
    }
}

fn bad() -> Completion {
    Completion::cut_off(
        "Sure! Here is an explanation of **why leaves change colour** in the autumn: the leaves of a tree contain a \
         pigment called chlorophyll, and the leaves of a tree contain other pigments, and the leaves of a tree \
         change as the days become shorter and the",
    )
}

/// What cannot pass for an answer must not beat even a bad answer: cut off, too long, with a preamble and markup.
#[test]
fn non_answers_lose_to_a_bad_answer() {
    let bad = bad();
    for text in [
        "",
        "Yes.",
        "Of course.",
        LEAVES,
        "the the the the the the",
        "Cats like warm milk.",
    ] {
        assert_eq!(
            preference(&oracle(), LEAVES, &bad, &Completion::finished(text)),
            1.0,
            "{text:?}"
        );
    }
}

/// A short clean sentence that only touches the topic wins plainness and form; relevance, brevity (4 words against 46 are
/// both far from 30: 4/30 against 14/30) and variety (3/15) go even to the bad answer.
#[test]
fn a_short_remark_loses_to_a_bad_answer() {
    let remark = Completion::finished("Leaves like warm milk.");
    let ballot = oracle().ballot(LEAVES, &remark, &bad());
    assert_eq!(ballot.first, [Criterion::Plainness, Criterion::Form]);
    assert_eq!(
        ballot.second,
        [Criterion::Relevance, Criterion::Brevity, Criterion::Variety]
    );
    assert_eq!(preference(&oracle(), LEAVES, &remark, &bad()), 0.0);
}

#[test]
fn shorter_complete_direct_answers_win() {
    let rambling = Completion::cut_off(
        "Sure, here are some reasons why leaves change colour in autumn. There are many reasons for it, and there are \
         many ways to look at the reasons for it. The first of the many reasons is that the leaves of trees in autumn \
         are no longer",
    );
    assert_eq!(preference(&oracle(), LEAVES, &sensible(), &rambling), 1.0);
}

#[test]
fn the_capital_of_france_in_one_sentence_beats_a_cut_off_lecture() {
    let instruction = "What is the capital of France?";
    let short =
        Completion::finished("The capital of France is Paris, a large city on the river Seine.");
    let lecture = Completion::cut_off(
        "Sure! **Paris** is a city, and Paris is a city that is, and Paris is a city that is",
    );
    assert_eq!(preference(&oracle(), instruction, &short, &lecture), 1.0);
}

/// Three responses to one instruction that beat each other in a circle under the default configuration: no scores r
/// can give P(a > b) = sigmoid(r(a) - r(b)). The classical paradox, with relevance, brevity and variety as voters:
///
/// | criterion | full            | brief           | varied          | order                 |
/// |-----------|-----------------|-----------------|-----------------|-----------------------|
/// | relevance | 3/3             | 2/3             | 1/3             | full > brief > varied |
/// | brevity   | 45 words: 15/30 | 30 words: 1     | 32 words: 28/30 | brief > varied > full |
/// | variety   | 39/44           | 14/29           | 31/31           | varied > full > brief |
/// | plainness | 3 x 15: 17/24   | 2 x 15: 17/24   | 2 x 16: 16/24   | ties (band 0.05)      |
/// | form      | 1               | 1               | 1               | ties                  |
///
/// full beats brief 2:1, brief beats varied 2:1, varied beats full 2:1.
#[test]
fn three_responses_form_a_strict_cycle() {
    let instruction = "List benefits of drinking water.";
    let full = Completion::finished(FULL);
    let brief = Completion::finished(BRIEF);
    let varied = Completion::finished(VARIED);
    let oracle = oracle();
    for (response, expected) in [
        (&full, [1.0, 15.0 / 30.0, 39.0 / 44.0, 17.0 / 24.0, 1.0]),
        (&brief, [2.0 / 3.0, 1.0, 14.0 / 29.0, 17.0 / 24.0, 1.0]),
        (&varied, [1.0 / 3.0, 28.0 / 30.0, 1.0, 16.0 / 24.0, 1.0]),
    ] {
        let scores = oracle.scores(instruction, response).unwrap();
        for (got, expected) in scores.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-12, "{scores:?}");
        }
    }
    let ballot = oracle.ballot(instruction, &full, &brief);
    assert_eq!(ballot.first, [Criterion::Relevance, Criterion::Variety]);
    assert_eq!(ballot.second, [Criterion::Brevity]);
    assert_eq!(ballot.ties, [Criterion::Plainness, Criterion::Form]);
    assert_eq!(preference(&oracle, instruction, &full, &brief), 1.0);
    assert_eq!(preference(&oracle, instruction, &brief, &varied), 1.0);
    assert_eq!(preference(&oracle, instruction, &varied, &full), 1.0);

    let items = [(Prompt::user(instruction), vec![full, brief, varied])];
    let answers = judge(&oracle, &items, |_, answers| answers.missing()).unwrap();
    let matrix = [[0.5, 1.0, 0.0], [0.0, 0.5, 1.0], [1.0, 0.0, 0.5]];
    assert_eq!(
        answers[0].matrix(),
        matrix.map(|row| row.map(Some).to_vec())
    );
    assert_eq!(
        cycle_report(answers[0].matrix()),
        Ok(CycleReport {
            triples: 1,
            cyclic: 1
        })
    );
}

#[test]
fn complement_and_self_preference_are_exact() {
    let texts = [
        FULL,
        BRIEF,
        VARIED,
        "",
        "Yes.",
        "Sure, water is good for you and for the",
        "Water helps digestion.",
    ];
    let responses: Vec<Completion> = texts
        .iter()
        .flat_map(|&t| [Completion::finished(t), Completion::cut_off(t)])
        .collect();
    for vote in [Vote::Majority, Vote::Share] {
        let oracle = RulesOracleConfig {
            vote,
            ..Default::default()
        }
        .init()
        .unwrap();
        for a in &responses {
            for b in &responses {
                let (p, q) = (
                    preference(&oracle, "List benefits.", a, b),
                    preference(&oracle, "List benefits.", b, a),
                );
                assert_eq!(p + q, 1.0, "{a:?} {b:?}");
            }
            assert_eq!(preference(&oracle, "List benefits.", a, a), 0.5);
        }
    }
}

#[test]
fn share_is_the_part_of_the_criteria_won() {
    use Criterion::{Brevity, Form, Plainness, Relevance, Variety};
    let ballot = Ballot {
        first: vec![Relevance, Variety],
        second: vec![Brevity],
        ties: vec![Plainness, Form],
    };
    assert_eq!(ballot.probability(Vote::Share), 0.6);
    assert_eq!(ballot.probability(Vote::Majority), 1.0);
    let level = Ballot {
        first: vec![Relevance],
        second: vec![Brevity],
        ties: vec![],
    };
    assert_eq!(level.probability(Vote::Share), 0.5);
    assert_eq!(level.probability(Vote::Majority), 0.5);
}

#[test]
fn scores_within_the_band_tie() {
    // 30 and 31 words: brevity 1 and 1 - 1/30, nearer than 0.05; with no band the nearer to the target wins.
    let text =
        |n: usize| Completion::finished(format!("Weather: {}.", vec!["rain"; n - 1].join(", ")));
    let brevity = |tie_band| RulesOracleConfig {
        criteria: vec![Criterion::Brevity],
        tie_band,
        ..Default::default()
    };
    for (tie_band, expected) in [(0.05, 0.5), (0.0, 1.0)] {
        let oracle = brevity(tie_band).init().unwrap();
        assert_eq!(
            preference(&oracle, "Describe the weather.", &text(30), &text(31)),
            expected
        );
    }
}

#[test]
fn an_empty_batch_and_a_prompt_without_user_are_answered() {
    assert_eq!(oracle().compare(&[]).unwrap(), []);
    let (first, second) = (sensible(), Completion::cut_off("Well, the"));
    let verdict = oracle()
        .compare(&[Comparison {
            prompt: &Prompt::default(),
            first: &first,
            second: &second,
        }])
        .unwrap();
    assert_eq!(verdict[0].get(), 1.0);
}

#[test]
fn bad_configurations_are_refused_in_sentences() {
    let message = |config: RulesOracleConfig| config.init().unwrap_err().to_string();
    let default = RulesOracleConfig::default;
    assert_eq!(
        message(RulesOracleConfig {
            criteria: vec![],
            ..default()
        }),
        "oracle.criteria is empty: name at least one of relevance, brevity, variety, plainness, form"
    );
    assert_eq!(
        message(RulesOracleConfig {
            criteria: vec![Criterion::Form, Criterion::Form],
            ..default()
        }),
        "oracle.criteria names `form` twice: each criterion has one vote"
    );
    assert_eq!(
        message(RulesOracleConfig {
            target_words: 0,
            ..default()
        }),
        "oracle.target_words is 0: give the wanted length of a response in words, for instance 30"
    );
    for band in [-0.1, 1.0, f64::NAN] {
        let expected = format!(
            "oracle.tie_band is {band}: scores lie in [0, 1], so the band must be at least 0 and less than 1"
        );
        assert_eq!(
            message(RulesOracleConfig {
                tie_band: band,
                ..default()
            }),
            expected
        );
    }
}

#[test]
fn a_configuration_is_read_with_defaults_and_unknown_keys_are_refused() {
    let read = |key: &'static str| {
        let entries = MapDeserializer::<_, value::Error>::new([(key, 12_u64)].into_iter());
        RulesOracleConfig::deserialize(entries)
    };
    let expected = RulesOracleConfig {
        target_words: 12,
        ..Default::default()
    };
    assert_eq!(read("target_words"), Ok(expected));
    let message = read("target_word").unwrap_err().to_string();
    assert!(
        message.starts_with("unknown field `target_word`, expected one of `criteria`, `vote`"),
        "{message}"
    );
}

#[test]
fn the_name_tells_the_parameters() {
    assert_eq!(
        oracle().name(),
        "rules(criteria=relevance+brevity+variety+plainness+form, vote=majority, target_words=30, tie_band=0.05, min_words=4)"
    );
}

const FULL: &str = "The benefits of drinking water are many, for it keeps the body cool every day. Water \
     keeps the skin soft, water keeps the joints smooth, water keeps the mind awake. Drinking \
     enough also helps the stomach, eases headaches, and gives muscles strength for hard work.";
const BRIEF: &str = "Drinking water helps the heart, drinking water helps the skin, drinking water helps the \
     brain. Drinking water helps the joints, drinking water helps the lungs, drinking water \
     helps the stomach.";
const VARIED: &str = "Water cools our bodies on hot afternoons, carries nutrients to cells, softens skin, and \
     lifts tired minds. People who sip it regularly think faster, digest better, sleep longer, \
     and feel fewer headaches.";

proptest! {
    /// P(a > b) + P(b > a) = 1 and P(a > a) = 1/2, whatever the texts, the vote and the tie band.
    #[test]
    fn answers_of_both_orders_add_up_to_one(
        [instruction, first, second] in ["(\\PC| |\n){0,60}", "(\\PC|[a-e ,.\n]){0,90}", "(\\PC|[a-e ,.\n]){0,90}"],
        share in any::<bool>(),
        tie_band in 0.0..0.9,
    ) {
        let vote = if share { Vote::Share } else { Vote::Majority };
        let config = RulesOracleConfig { vote, tie_band, ..RulesOracleConfig::default() };
        let oracle = config.init().unwrap();
        let [first, second] = [Completion::finished(first), Completion::cut_off(second)];
        let of = |a: &Completion, b: &Completion| preference(&oracle, &instruction, a, b);
        prop_assert_eq!(of(&first, &second) + of(&second, &first), 1.0);
        prop_assert_eq!(of(&first, &first), 0.5);
    }
}
