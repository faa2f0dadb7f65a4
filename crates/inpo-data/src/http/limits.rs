//! What a server says of its rate limits.

use std::time::Duration;

use chrono::{DateTime, Utc};
use ureq::http::HeaderMap;

/// The longest wait that a server's words bring about; it is asked again then.
pub(super) const LONGEST_ASKED_WAIT: Duration = Duration::from_secs(60);

/// The wait that a reply asks for: `retry-after-ms`, or `Retry-After` in seconds or as a date. Nothing for a value that
/// makes no sense, such as -1, and for 0, which says no more than "again".
pub(super) fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let milliseconds = text(headers, "retry-after-ms")
        .and_then(number)
        .map(|n| n / 1000.0);
    let seconds = milliseconds.or_else(|| {
        let value = text(headers, "retry-after")?;
        number(value).or_else(|| {
            let date = DateTime::parse_from_rfc2822(value).ok()?;
            Some((date.with_timezone(&Utc) - now).as_seconds_f64())
        })
    });
    wait(seconds?)
}

/// The wait until the server has room for a request of about `tokens` tokens, by the buckets of
/// `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` and Anthropic's `anthropic-ratelimit-..`. A reset is when the
/// bucket is full again, so that it fills at (limit - remaining) / reset. A bucket whose numbers make no sense is none.
pub(super) fn refill(headers: &HeaderMap, tokens: f64, now: DateTime<Utc>) -> Option<Duration> {
    let open_ai = |what: &str| {
        let header = |part: &str| text(headers, &format!("x-ratelimit-{part}-{what}"));
        let [limit, remaining] = ["limit", "remaining"].map(|part| header(part).and_then(number));
        (limit, remaining, header("reset").and_then(duration))
    };
    let anthropic = |what: &str| {
        let header = |part: &str| text(headers, &format!("anthropic-ratelimit-{what}-{part}"));
        let [limit, remaining] = ["limit", "remaining"].map(|part| header(part).and_then(number));
        let reset = header("reset").and_then(|date| DateTime::parse_from_rfc3339(date).ok());
        let reset = reset.map(|date| (date.with_timezone(&Utc) - now).as_seconds_f64());
        (limit, remaining, reset)
    };
    let buckets = [
        (open_ai("requests"), 1.0),
        (open_ai("tokens"), tokens),
        (anthropic("requests"), 1.0),
        (anthropic("tokens"), tokens),
        (anthropic("input-tokens"), tokens),
    ];
    let waits = buckets.into_iter().filter_map(|(bucket, needed)| {
        let (Some(limit), Some(remaining), Some(reset)) = bucket else {
            return None;
        };
        if limit <= 0.0 || !(0.0..limit).contains(&remaining) || reset <= 0.0 {
            return None;
        }
        // A request larger than the bucket is sent when the bucket is full.
        let missing = needed.min(limit) - remaining;
        (missing > 0.0)
            .then(|| wait(missing * reset / (limit - remaining)))
            .flatten()
    });
    waits.max()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|n: &f64| n.is_finite())
}

fn wait(seconds: f64) -> Option<Duration> {
    let longest = LONGEST_ASKED_WAIT.as_secs_f64();
    (seconds > 0.0).then(|| Duration::from_secs_f64(seconds.min(longest)))
}

/// Seconds in a duration as Go writes it (`12ms`, `6m0s`, `1h2m3.5s`), or in a bare number.
fn duration(text: &str) -> Option<f64> {
    if let Some(seconds) = number(text) {
        return Some(seconds);
    }
    let (mut seconds, mut rest) = (0.0, text);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (value, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit());
        let (unit, tail) = tail.split_at(unit.unwrap_or(tail.len()));
        let scale = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        seconds += number(value)? * scale;
        rest = tail;
    }
    Some(seconds)
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;
    use ureq::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&str, &str)| {
            (
                name.parse::<HeaderName>().unwrap(),
                value.parse::<HeaderValue>().unwrap(),
            )
        };
        lines.iter().map(line).collect()
    }

    /// 21 October 2015, 07:28:00 UTC, the date of RFC 9110's examples.
    fn now() -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2015, 10, 21, 7, 28, 0).unwrap()
    }

    #[test]
    fn durations_are_read() {
        for (text, seconds) in [
            ("12ms", 0.012),
            ("6m0s", 360.0),
            ("1s", 1.0),
            ("1h2m3.5s", 3723.5),
            ("2", 2.0),
        ] {
            let read = duration(text).unwrap();
            assert!((read - seconds).abs() < 1e-12, "{text}: {read}");
        }
        for text in ["soon", "5 s", "3x", "-1s", "m", "1.2.3s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let wait = |lines: &[(&str, &str)]| retry_after(&headers(lines), now());
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(wait(&[("retry-after", "7")]), seconds(7));
        let date = "Wed, 21 Oct 2015 07:28:20 GMT";
        assert_eq!(wait(&[("retry-after", date)]), seconds(20));
        let milliseconds = [("retry-after-ms", "500"), ("retry-after", "3")];
        assert_eq!(wait(&milliseconds), Some(Duration::from_millis(500)));
        assert_eq!(wait(&[("retry-after", "86400")]), seconds(60), "bounded");
        for nonsense in ["-1", "0", "soon", "Wed, 21 Oct 2015 07:27:00 GMT", "NaN"] {
            assert_eq!(wait(&[("retry-after", nonsense)]), None, "{nonsense}");
        }
        assert_eq!(wait(&[]), None);
    }

    /// 60 requests a minute, none left, 60 s until the bucket is full: one comes every second. 100 tokens left of 1100,
    /// 10 s until it is full: 100 a second, and 300 are needed.
    #[test]
    fn the_wait_is_for_what_is_missing() {
        let wait = |lines: &[(&str, &str)]| refill(&headers(lines), 300.0, now());
        let requests = [
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", "0"),
            ("x-ratelimit-reset-requests", "1m0s"),
        ];
        assert_eq!(wait(&requests), Some(Duration::from_secs(1)));
        let tokens = [
            ("x-ratelimit-limit-tokens", "1100"),
            ("x-ratelimit-remaining-tokens", "100"),
            ("x-ratelimit-reset-tokens", "10s"),
        ];
        assert_eq!(wait(&tokens), Some(Duration::from_secs(2)));
        let both = [requests, tokens].concat();
        assert_eq!(wait(&both), Some(Duration::from_secs(2)), "the longer");
        let anthropic = [
            ("anthropic-ratelimit-requests-limit", "50"),
            ("anthropic-ratelimit-requests-remaining", "0"),
            ("anthropic-ratelimit-requests-reset", "2015-10-21T07:28:25Z"),
        ];
        assert_eq!(wait(&anthropic), Some(Duration::from_millis(500)));
    }

    #[test]
    fn nonsense_is_no_limit() {
        let wait = |limit: &str, remaining: &str, reset: &str| {
            let lines = [
                ("x-ratelimit-limit-requests", limit),
                ("x-ratelimit-remaining-requests", remaining),
                ("x-ratelimit-reset-requests", reset),
            ];
            refill(&headers(&lines), 300.0, now())
        };
        for (limit, remaining, reset) in [
            ("-1", "-1", "-1"),
            ("0", "0", "0"),
            ("60", "-1", "1s"),
            ("60", "0", "0"),
            ("60", "0", "later"),
            ("60", "59", "1s"),
            ("60", "90", "1s"),
        ] {
            assert_eq!(
                wait(limit, remaining, reset),
                None,
                "{limit} {remaining} {reset}"
            );
        }
    }
}
