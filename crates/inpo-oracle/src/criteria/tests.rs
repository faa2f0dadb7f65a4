use super::*;

const TOLERANCE: f64 = 1e-12;

fn close(got: f64, expected: f64) {
    assert!(
        (got - expected).abs() < TOLERANCE,
        "got {got}, expected {expected}"
    );
}

#[test]
fn relevance_is_coverage_times_newness() {
    let instruction = "Explain why leaves change colour in autumn.";
    // Topic: leav, chang, colour, autumn. Said: leav, autumn (2 of 4). New: lose, green, pigment (3 of 5).
    close(
        relevance(instruction, "Leaves lose green pigment in autumn."),
        0.5 * 0.6,
    );
    // All four; new: chlorophyll, break, down is a function word, show, yellow, pigment, hidden: at least five.
    close(
        relevance(
            instruction,
            "Leaves change colour in autumn as chlorophyll breaks to show hidden yellow pigments.",
        ),
        // 5-word runs of the 13 words: 9; copied: "leaves change colour in autumn": 1.
        1.0 - 1.0 / 9.0,
    );
}

#[test]
fn relevance_of_echo_and_of_other_topics_is_zero() {
    let instruction = "Explain why leaves change colour in autumn.";
    close(relevance(instruction, instruction), 0.0);
    close(
        relevance(
            instruction,
            "Trains run on steel rails and carry many people.",
        ),
        0.0,
    );
    close(relevance(instruction, ""), 0.0);
    close(
        relevance("Tell me more, please.", "Anything goes here today."),
        0.0,
    );
}

#[test]
fn brevity_falls_linearly_on_both_sides_of_the_target() {
    close(brevity("one two three four", 4), 1.0);
    close(brevity("one two three", 4), 0.75);
    close(brevity("one two three four five", 4), 0.75);
    close(brevity("", 4), 0.0);
    close(brevity("a b c d e f g h i", 4), 0.0);
}

#[test]
fn variety_counts_distinct_pairs_over_at_least_half_the_target() {
    // 5 pairs, of which (the, the) is the only one: 1/5, the target of 8 asks for 4 pairs.
    close(variety("the the the the the the", 8), 0.2);
    // 4 distinct pairs of 4.
    close(variety("birds sing in the morning", 8), 1.0);
    // One pair, counted over half the target of 8.
    close(variety("birds sing", 8), 0.25);
    // a b a b a: pairs ab, ba, ab, ba.
    close(variety("a b a b a", 2), 0.5);
    close(variety("", 8), 0.0);
}

#[test]
fn plainness_falls_from_eight_to_thirty_two_words_a_sentence() {
    let sentence = |n: usize| format!("{}.", vec!["rain"; n].join(" "));
    close(plainness(&sentence(3)), 1.0);
    close(plainness(&sentence(8)), 1.0);
    close(plainness(&sentence(20)), 0.5);
    close(plainness(&sentence(32)), 0.0);
    close(plainness(&sentence(60)), 0.0);
    // 8 and 32 words in two sentences: 20 on average.
    close(plainness(&format!("{} {}", sentence(8), sentence(32))), 0.5);
    close(plainness(""), 0.0);
}

#[test]
fn sentences_end_at_stops_and_lines_and_hold_a_letter() {
    assert_eq!(sentence_count("It rains. Does it? Yes!"), 3);
    assert_eq!(sentence_count("It is 3.5 km away, they said, and"), 1);
    assert_eq!(sentence_count("1. Apples\n2. Pears."), 2);
    assert_eq!(sentence_count("He said \"stop.\" Then he left."), 2);
    assert_eq!(sentence_count("... 12. -\n"), 0);
}

#[test]
fn form_wants_the_end_token_after_a_stop() {
    // No fault (f = 1): (e + 1) / 2.
    close(form(&Completion::finished("It rains.")), 1.0);
    close(
        form(&Completion::finished("\u{201c}It rains.\u{201d}\n")),
        1.0,
    );
    close(form(&Completion::finished("Rain, snow")), 0.75);
    close(form(&Completion::cut_off("It rains.")), 0.625);
    close(form(&Completion::cut_off("It rains and")), 0.5);
    // An empty text has no ending and opens badly; it never gets so far, being void.
    close(form(&Completion::finished("")), 0.4);
}

#[test]
fn form_takes_a_tenth_for_each_fault() {
    let form = |text: &str| form(&Completion::finished(text));
    close(form("Water boils at 100 degrees (at sea level)."), 1.0);
    close(form("water boils at 100 degrees."), 0.9);
    close(form("Sure! Water boils at 100 degrees."), 0.9);
    close(form("Water **boils** at 100 degrees."), 0.9);
    close(form("Water boils. Shall I go on?"), 0.9);
    close(form("Water boils (at sea level."), 0.9);
    // lower case, preamble, markup, question and open quote.
    close(form("here's \"**water**, ok?"), 0.5);
}

#[test]
fn preambles_match_whole_words_only() {
    assert!(!is_direct("Here's a list."));
    assert!(!is_direct("Here\u{2019}s a list."));
    assert!(!is_direct("As an AI language model, I think so."));
    assert!(is_direct("Surely the sun is hot."));
    assert!(is_direct("Hidden pigments appear."));
    assert!(is_direct("History is long."));
}

#[test]
fn speaker_labels_and_headings_are_markup() {
    assert!(!is_plain("It rains.\nUser: why"));
    assert!(!is_plain("# Rain\nIt rains."));
    assert!(!is_plain("It rains.<|im_end|>"));
    assert!(is_plain("- rain\n- snow"));
}

#[test]
fn list_markers_do_not_unbalance() {
    assert!(is_balanced("1) first 2) second"));
    assert!(is_balanced("a [b (c)] \"d\""));
    assert!(!is_balanced("a [b (c])"));
    assert!(!is_balanced("a)"));
    assert!(!is_balanced("\"a"));
}

#[test]
fn void_is_short_or_echo_or_beside_the_topic_or_salad() {
    let instruction = "What is the capital of France?";
    assert!(is_void(instruction, "", 4));
    assert!(is_void(instruction, "Yes.", 4));
    assert!(is_void(instruction, instruction, 4));
    assert!(is_void(instruction, "the the the the the the", 4));
    assert!(is_void(
        instruction,
        "Capital France city Europe Paris tower river Seine.",
        4
    ));
    assert!(is_void(instruction, "Cats like warm milk.", 4));
    assert!(!is_void(instruction, "The capital of France is Paris.", 4));
    assert!(!is_void("Tell me more, please.", "Cats like warm milk.", 4));
    assert!(!is_void(
        "Name eight fruits.",
        "Apple, pear, plum, fig, kiwi, mango, lime, melon fruit.",
        4
    ));
}

#[test]
fn names_are_those_of_the_configuration() {
    let names: Vec<&str> = Criterion::ALL
        .iter()
        .map(|criterion| criterion.name())
        .collect();
    assert_eq!(
        names,
        ["relevance", "brevity", "variety", "plainness", "form"]
    );
}
