//! The date that a template may ask for.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::{Error, ErrorKind};

use crate::error::excerpt;

/// The time in seconds since 1970.
///
/// `SOURCE_DATE_EPOCH` replaces the clock, so that a prompt with a date in it can be reproduced on another
/// day.
pub(super) fn now() -> i64 {
    let fixed = std::env::var("SOURCE_DATE_EPOCH")
        .ok()
        .and_then(|text| text.trim().parse().ok());
    let clock = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_secs().cast_signed())
    };
    fixed.unwrap_or_else(clock)
}

/// A date and time as Python formats it, in UTC so that a prompt does not depend on the machine's time
/// zone.
pub(super) fn strftime(seconds: i64, format: &str) -> Result<String, Error> {
    let refuse = || {
        Error::new(
            ErrorKind::InvalidOperation,
            format!("strftime_now cannot format {}", excerpt(format)),
        )
    };
    let time = chrono::DateTime::from_timestamp(seconds, 0).ok_or_else(refuse)?;
    let mut text = String::new();
    write!(text, "{}", time.format(format)).map_err(|_| refuse())?;
    Ok(text)
}
