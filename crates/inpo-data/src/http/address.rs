//! Addresses: what of them is secret, whose machine they name, and which of them are the same server.

use std::net::IpAddr;

use ureq::http::Uri;

/// What stands in the place of a secret.
const HIDDEN: &str = "***";

/// Names of parameters whose values are secrets, wherever they occur in a name.
const SECRETS: [&str; 8] = [
    "key",
    "token",
    "secret",
    "password",
    "passwd",
    "signature",
    "credential",
    "auth",
];

/// `text` without the secrets of the addresses in it: `user:password@` and the values of parameters that are named as keys,
/// tokens, passwords and signatures are.
#[must_use]
pub fn redact(text: &str) -> String {
    without_parameters(&without_users(text))
}

/// As [`redact`], for an address that may lack its beginning.
#[must_use]
pub fn redact_address(url: &str) -> String {
    if url.contains("://") {
        redact(url)
    } else {
        redact(&format!("://{url}"))[3..].to_owned()
    }
}

/// Where an address ends in a text.
fn ends_address(c: char) -> bool {
    c.is_whitespace() || c.is_control() || "\"'`<>()[]{}|\\^,;".contains(c)
}

fn without_users(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find("://") {
        let (before, after) = rest.split_at(place + 3);
        shown.push_str(before);
        // A password may hold what ends an address elsewhere, but no `/`.
        let authority = after.find(|c: char| "/?#".contains(c) || c.is_whitespace());
        let authority = &after[..authority.unwrap_or(after.len())];
        rest = match authority.rfind('@') {
            Some(at) => {
                shown.push_str(HIDDEN);
                &after[at..]
            }
            None => after,
        };
    }
    shown.push_str(rest);
    shown
}

fn without_parameters(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(place) = rest.find(['?', '&']) {
        let (before, after) = rest.split_at(place + 1);
        shown.push_str(before);
        rest = after;
        let end = after.find(|c: char| c == '&' || c == '#' || ends_address(c));
        let parameter = &after[..end.unwrap_or(after.len())];
        if let Some((name, value)) = parameter.split_once('=') {
            let lower = name.to_ascii_lowercase();
            let secret = lower == "sig" || SECRETS.iter().any(|word| lower.contains(word));
            shown.push_str(name);
            shown.push('=');
            shown.push_str(if secret && !value.is_empty() {
                HIDDEN
            } else {
                value
            });
            rest = &after[parameter.len()..];
        }
    }
    shown.push_str(rest);
    shown
}

/// Whether an address has a part that may be a secret, or that no path can be put behind: a user, a query, a fragment.
#[must_use]
pub fn has_more_than_a_path(url: &str) -> bool {
    let (_, address) = url.split_once("://").unwrap_or(("", url));
    let authority = address.split('/').next().unwrap_or_default();
    authority.contains('@') || address.contains(['?', '#'])
}

/// Whether what is sent to this address stays on this machine: `localhost`, `127.0.0.0/8`, `::1`.
#[must_use]
pub fn is_this_machine(url: &str) -> bool {
    let uri: Option<Uri> = url.parse().ok();
    let Some(host) = uri.as_ref().and_then(Uri::host) else {
        return false;
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = host.to_ascii_lowercase();
    let ip: Option<IpAddr> = host.parse().ok();
    host == "localhost"
        || host.ends_with(".localhost")
        || ip.is_some_and(|ip| ip.to_canonical().is_loopback())
}

/// Whether a key that is sent to this address would travel unencrypted to another machine.
#[must_use]
pub fn is_exposed(url: &str) -> bool {
    let https = url
        .get(..8)
        .is_some_and(|start| start.eq_ignore_ascii_case("https://"));
    !https && !is_this_machine(url)
}

/// Whether two addresses have the same scheme, host and port.
#[must_use]
pub fn is_same_server(one: &str, other: &str) -> bool {
    let parse = |url: &str| url.parse::<Uri>().ok();
    let (Some(one), Some(other)) = (parse(one), parse(other)) else {
        return false;
    };
    let named = one.scheme().is_some() && one.authority().is_some();
    named && one.scheme() == other.scheme() && one.authority() == other.authority()
}

/// The address of a `Location` that stands in an answer from `from`; none for one that is relative to a path, or is none.
#[must_use]
pub fn followed(from: &str, location: &str) -> Option<String> {
    let from: Uri = from.parse().ok()?;
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    if location.starts_with('/') && !location.starts_with("//") {
        return Some(format!("{scheme}://{authority}{location}"));
    }
    let to: Uri = location.parse().ok()?;
    let whole = to.authority().is_some() && matches!(to.scheme_str(), Some("http" | "https"));
    whole.then(|| location.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_addresses_are_hidden() {
        for (text, shown) in [
            ("http://me:pa@ss@h:1/v1: no", "http://***@h:1/v1: no"),
            ("see https://token@h", "see https://***@h"),
            ("http://h/a@b", "http://h/a@b"),
            (
                "at https://h/x?api_key=abc&n=1&X-Amz-Signature=0f#t, gone",
                "at https://h/x?api_key=***&n=1&X-Amz-Signature=***#t, gone",
            ),
            ("/x?sig=1 and user@h?", "/x?sig=*** and user@h?"),
            (
                "(https://h/?access_token=s3)",
                "(https://h/?access_token=***)",
            ),
            ("http://a:b@h http://c:d@i", "http://***@h http://***@i"),
            ("what? key", "what? key"),
        ] {
            assert_eq!(redact(text), shown);
        }
        assert_eq!(redact_address("me:pw@h/v1"), "***@h/v1");
        assert_eq!(redact_address("http://h"), "http://h");
    }

    #[test]
    fn keys_stay_on_this_machine_or_travel_encrypted() {
        for (url, exposed) in [
            ("https://h/v1", false),
            ("HTTPS://h/v1", false),
            ("http://localhost:8000/v1", false),
            ("http://LOCALHOST", false),
            ("http://127.8.9.1:1", false),
            ("http://[::1]:8000/v1", false),
            ("http://[::ffff:127.0.0.1]/", false),
            ("http://a.localhost/", false),
            ("http://10.0.0.1/v1", true),
            ("http://localhost.example/v1", true),
            ("http://localhost@example/v1", true),
            ("http://127.0.0.1.example/", true),
            ("http://0.0.0.0/", true),
            ("http://[fe80::1]/", true),
            ("nonsense", true),
        ] {
            assert_eq!(is_exposed(url), exposed, "{url}");
        }
    }

    #[test]
    fn more_than_a_path_is_seen() {
        for url in ["http://u@h/v1", "http://h/v1?key=1", "http://h#a", "u:p@h"] {
            assert!(has_more_than_a_path(url), "{url}");
        }
        assert!(!has_more_than_a_path("http://h/a@b/v1"));
    }

    #[test]
    fn redirects_stay_on_the_server() {
        let from = "https://a.example:8000/v1/chat";
        let to = |location: &str| {
            followed(from, location).filter(|location| is_same_server(from, location))
        };
        let there = Some("https://a.example:8000/v2/chat".to_owned());
        assert_eq!(to("/v2/chat"), there);
        assert_eq!(
            to("https://A.example:8000/v2"),
            Some("https://A.example:8000/v2".to_owned())
        );
        for elsewhere in [
            "https://b.example:8000/v2",
            "http://a.example:8000/v2",
            "https://a.example/v2",
            "//b.example/v2",
            "https://a.example:8000@b.example/",
            "ftp://a.example:8000/",
            "v2",
            "",
        ] {
            assert_eq!(to(elsewhere), None, "{elsewhere}");
        }
    }
}
