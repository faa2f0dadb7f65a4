//! Answers as probabilities.

use inpo_data::excerpt;
use inpo_game::Preference;

use super::chat::TokenLogprob;

/// P(the first is better) where the answer is the label at this place: the first, the second, a tie.
const VALUES: [f64; 3] = [1.0, 0.0, 0.5];

/// Marks of a space at the beginning of a token, in vocabularies whose tokens come as they are stored.
const SPACES: [char; 2] = ['\u{2581}', '\u{120}'];

/// Log-probs up to this much above 0, and sums of probabilities above 1, are errors of rounding.
const ROUNDING: f64 = 0.01;

/// P of the first label over P of all, a tie counted half. The probability of a label is that of all tokens which are the
/// label with or without spaces around it; one that is not among them has none.
///
/// # Errors
///
/// In words, an answer in which no label has a probability, and log-probs that are none.
pub(super) fn from_logprobs(
    labels: &[String],
    tokens: &[TokenLogprob],
) -> Result<Preference, String> {
    let (mut won, mut all, mut sum) = (0.0, 0.0, 0.0);
    for token in tokens {
        if token.logprob.is_nan() || token.logprob > ROUNDING {
            return Err(format!(
                "the log-prob of the token {} is {}, and log-probs are at most 0",
                excerpt(&token.token),
                token.logprob
            ));
        }
        let text = token.token.trim().trim_start_matches(SPACES);
        let place = labels.iter().position(|label| label == text);
        // Rounded log-probs may lie above 0.
        let p = token.logprob.min(0.0).exp();
        sum += p;
        if let Some(place) = place
            && p > 0.0
        {
            won += p * VALUES[place];
            all += p;
        }
    }
    if sum > 1.0 + ROUNDING {
        return Err(format!(
            "the {} likeliest first tokens have a probability of {sum:.3} together",
            tokens.len()
        ));
    }
    if all == 0.0 {
        let first = tokens.first().map(|token| excerpt(&token.token));
        return Err(format!(
            "no label among the {} likeliest first tokens, the first of which is {}",
            tokens.len(),
            first.unwrap_or_default()
        ));
    }
    Preference::new(won / all).map_err(|error| error.to_string())
}

/// The verdict of an answer that is a label and nothing else.
///
/// # Errors
///
/// In words, any other answer.
pub(super) fn from_label(labels: &[String], text: &str) -> Result<Preference, String> {
    let place = labels.iter().position(|label| label == text.trim());
    let Some(place) = place else {
        return Err(format!("the answer {} is no label", excerpt(text.trim())));
    };
    Preference::new(VALUES[place]).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(labels: &[&str]) -> Vec<String> {
        labels.iter().map(ToString::to_string).collect()
    }

    fn tokens(tokens: &[(&str, f64)]) -> Vec<TokenLogprob> {
        let token = |(token, p): &(&str, f64)| TokenLogprob {
            token: (*token).to_owned(),
            logprob: p.ln(),
        };
        tokens.iter().map(token).collect()
    }

    #[test]
    fn probabilities_of_a_label_are_added() {
        let p = |names: &[&str], list: &[(&str, f64)]| {
            let p = from_logprobs(&labels(names), &tokens(list));
            p.map(Preference::get).unwrap()
        };
        let close = |got: f64, expected: f64| assert!((got - expected).abs() < 1e-12, "{got}");
        // 0.6 / 0.8
        close(
            p(&["A", "B"], &[("A", 0.6), ("B", 0.2), ("The", 0.1)]),
            0.75,
        );
        // (0.3 + 0.1 + 0.05) / (0.45 + 0.15)
        let spelled = [
            (" A", 0.3),
            ("A", 0.1),
            ("B\n", 0.15),
            ("a", 0.2),
            ("▁A", 0.05),
        ];
        close(p(&["A", "B"], &spelled), 0.75);
        close(p(&["A", "B"], &[("ĠB", 0.4), ("A", 0.1)]), 0.2);
        close(p(&["A", "B"], &[("B", 0.4)]), 0.0);
        close(p(&["A", "B"], &[("A", 1e-9), ("x", 0.9)]), 1.0);
        // (0.2 + 0.4 / 2) / 0.8
        close(
            p(&["A", "B", "C"], &[("A", 0.2), ("B", 0.2), ("C", 0.4)]),
            0.5,
        );
        close(p(&["1", "2", "="], &[("=", 0.4)]), 0.5);
    }

    proptest::proptest! {
        /// The two labels in each other's place: P and 1 - P.
        #[test]
        fn labels_are_treated_alike(a in 0.001_f64..0.33, b in 0.001_f64..0.33, tie in 0.001_f64..0.33) {
            let labels = labels(&["A", "B", "C"]);
            let p = |a: f64, b: f64| {
                from_logprobs(&labels, &tokens(&[("A", a), ("B", b), ("C", tie)])).unwrap().get()
            };
            proptest::prop_assert!((p(a, b) + p(b, a) - 1.0).abs() < 1e-12);
            proptest::prop_assert!((p(a, a) - 0.5).abs() < 1e-12);
        }
    }

    #[test]
    fn no_label_is_no_verdict() {
        let p = |list: &[(&str, f64)]| from_logprobs(&labels(&["A", "B"]), &tokens(list));
        assert_eq!(
            p(&[("The", 0.9), ("An", 0.05)]).unwrap_err(),
            "no label among the 2 likeliest first tokens, the first of which is \"The\""
        );
        assert!(p(&[("Answer", 0.9), ("AB", 0.1)]).is_err());
        // Log-probs that are none: above 0, and together above 1.
        let wrong = |list: &[(&str, f64)]| p(list).unwrap_err();
        let above = wrong(&[("A", 3.0)]);
        assert!(
            above.starts_with("the log-prob of the token \"A\" is 1.09"),
            "{above}"
        );
        assert_eq!(
            wrong(&[("A", 0.9), ("B", 0.1), ("A", 0.9)]),
            "the 3 likeliest first tokens have a probability of 1.900 together"
        );
        // OpenAI writes -9999 for a token that cannot come.
        let never = TokenLogprob {
            token: "A".to_owned(),
            logprob: -9999.0,
        };
        assert!(from_logprobs(&labels(&["A", "B"]), &[never]).is_err());
    }

    #[test]
    fn a_label_stands_alone() {
        let p = |text: &str| from_label(&labels(&["A", "B", "tie"]), text);
        assert_eq!(p("A"), Ok(Preference::WIN));
        assert_eq!(p(" B\n"), Ok(Preference::LOSS));
        assert_eq!(p("tie"), Ok(Preference::HALF));
        for prose in ["A is better", "a", "", "A."] {
            let reason = format!("the answer {prose:?} is no label");
            assert_eq!(p(prose), Err(reason));
        }
    }
}
