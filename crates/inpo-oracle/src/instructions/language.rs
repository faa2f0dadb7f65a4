//! Which language a text is in.

use std::sync::LazyLock;

use langdetect::{DetectorFactory, Seed};

/// langdetect walks at random over a text's n-grams; unseeded, as the published checkers use it, it may answer otherwise
/// when asked again. An oracle may not.
static DETECTOR: LazyLock<DetectorFactory> = LazyLock::new(|| {
    let mut detector = DetectorFactory::builtin().clone();
    detector.seed = Seed::Int(0);
    detector
});

/// The codes that a row may ask for, as published.
pub(super) const CODES: &[&str] = &[
    "ar", "bg", "bn", "de", "en", "es", "fa", "fi", "fr", "gu", "he", "hi", "it", "ja", "kn", "ko",
    "ml", "mr", "ne", "pa", "pl", "pt", "ru", "sw", "ta", "te", "th", "uk", "ur", "vi",
];

/// Whether a text is in a language. One without a letter to go by is in every language, as published.
pub(super) fn is_in(text: &str, code: &str) -> bool {
    DETECTOR.detect(text).map_or(true, |found| found == code)
}
