//! Against a server on this machine.

use std::time::Instant;

use chrono::Utc;
use serde_json::json;

use super::*;

#[path = "../../tests/support/faulty.rs"]
mod faulty;

#[path = "../../tests/support/tls.rs"]
mod tls;

use faulty::{Reply, serve};

fn client(url: &str, change: impl FnOnce(&mut ServerConfig)) -> Client {
    let mut config = ServerConfig {
        timeout_seconds: 5.0,
        retry_seconds: 0.01,
        max_retries: 2,
        ..ServerConfig::new(url)
    };
    change(&mut config);
    Client::new(&config).unwrap()
}

fn of(status: u16, headers: &str, body: &str) -> Reply {
    Reply::Of(status, headers.to_owned(), body.to_owned())
}

fn said(error: &DataError) -> (&'static str, String) {
    match error {
        DataError::Request { reason, .. } => ("request", reason.clone()),
        DataError::Server { reason, .. } => ("server", reason.clone()),
        other => panic!("{other}"),
    }
}

/// 16 requests in flight, all refused the first time: one halving. Their answers raise the number again.
#[test]
fn a_busy_server_is_sent_fewer_requests() {
    let (url, _) = serve(|number, _| match number {
        // All are in flight before the first is refused.
        0..16 => {
            std::thread::sleep(Duration::from_millis(200));
            of(429, "", "")
        }
        _ => Reply::Json(json!({})),
    });
    let client = client(&url, |c| {
        c.concurrency = 16;
        // Nobody comes again before all were refused.
        c.retry_seconds = 0.5;
    });
    let items: Vec<usize> = (0..16).collect();
    let work = |_: &usize| client.post("/x", &json!({}));
    let mut answers = 0;
    client
        .for_each(&items, work, &mut |_, _| {
            answers += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(answers, 16);
    // 8 after the cut; 8 answers make it 9, and 8 more do not yet make it 10.
    assert_eq!(client.in_flight_limit(), 9);
}

#[test]
fn the_wait_is_the_servers() {
    let date = Utc::now() + chrono::TimeDelta::seconds(3);
    let date = date.to_rfc2822();
    let reset = "x-ratelimit-limit-requests: 10\r\nx-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 6s\r\n";
    for (headers, shortest) in [
        // Dates have whole seconds.
        (format!("Retry-After: {date}\r\n"), 1.9),
        ("Retry-After: 1\r\n".to_owned(), 0.99),
        // One of ten comes in 0.6 s.
        (reset.to_owned(), 0.59),
    ] {
        let (url, log) = serve(move |number, _| match number {
            0 => of(429, &headers, ""),
            _ => Reply::Json(json!({})),
        });
        let started = Instant::now();
        client(&url, |_| {}).post("/x", &json!({})).unwrap();
        let took = started.elapsed().as_secs_f64();
        assert!(took >= shortest && took < 4.0, "{took}");
        assert_eq!(log.lock().unwrap().len(), 2);
    }
    // -1 and 0, and no wait that makes sense: our own.
    let nonsense = "Retry-After: -1\r\nx-ratelimit-limit-requests: -1\r\nx-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 0\r\n";
    let (url, _) = serve(move |number, _| match number {
        0 => of(429, nonsense, ""),
        _ => Reply::Json(json!({})),
    });
    let started = Instant::now();
    client(&url, |_| {}).post("/x", &json!({})).unwrap();
    assert!(started.elapsed() < Duration::from_secs(1));
}

/// The answer came, and with it the word that the next one must wait.
#[test]
fn an_empty_bucket_holds_the_next_request_back() {
    let headers = "x-ratelimit-limit-requests: 2\r\nx-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 800ms\r\n";
    let (url, _) = serve(move |_, _| of(200, headers, "{}"));
    let client = client(&url, |_| {});
    let started = Instant::now();
    client.post("/x", &json!({})).unwrap();
    assert!(started.elapsed() < Duration::from_millis(300));
    client.post("/x", &json!({})).unwrap();
    assert!(started.elapsed() >= Duration::from_millis(400));
}

#[test]
fn a_redirect_is_followed_on_the_same_host_only() {
    let (url, log) = serve(|_, seen| match seen.path.as_str() {
        "/v1/old" => of(307, "Location: /v1/new\r\n", ""),
        "/v1/round" => of(308, "Location: /v1/round\r\n", ""),
        "/v1/away" => of(307, "Location: http://localhost:1/v1/x\r\n", ""),
        "/v1/see" => of(303, "Location: /v1/new\r\n", ""),
        _ => Reply::Json(json!({"body": seen.body})),
    });
    let client = client(&url, |_| {});
    let reply = client.post("/old", &json!({"a": 1})).unwrap();
    assert_eq!(reply, json!({"body": {"a": 1}}), "the body goes along");
    let refused = |path: &str| said(&client.post(path, &json!({})).unwrap_err());
    assert_eq!(
        refused("/away"),
        (
            "server",
            "it redirects to another host, \"http://localhost:1/v1/x\", and neither key nor prompts are sent there; set `base_url` to it if it is right".to_owned()
        )
    );
    assert_eq!(
        refused("/round"),
        ("server", "it redirects more than 3 times".to_owned())
    );
    assert_eq!(
        refused("/see"),
        (
            "server",
            "303 See Other: it redirects to \"/v1/new\"".to_owned()
        )
    );
    assert_eq!(log.lock().unwrap().len(), 2 + 1 + 4 + 1);
}

/// A reply that cannot be read is asked for again by `ask`, not by `post`; one too long by neither.
#[test]
fn replies_of_the_wrong_form() {
    let (url, log) = serve(|number, _| match number {
        0 => of(200, "", "<html>"),
        1 => Reply::Json(json!({"error": "later"})),
        2 => Reply::Json(json!({"x": 7})),
        3 => of(200, "", "<html>"),
        _ => of(200, "", &" ".repeat(2000)),
    });
    let client = client(&url, |_| {}).with_reply_bytes(1000);
    let read = |reply: Value| reply["x"].as_u64().ok_or_else(|| "no x".to_owned());
    let mut sent = 0;
    assert_eq!(client.ask("/x", &json!({}), &mut sent, read).unwrap(), 7);
    assert_eq!(sent, 3);
    let error = client.post("/x", &json!({})).unwrap_err();
    let expected = ("request", r#"the reply is no JSON: "<html>""#.to_owned());
    assert_eq!(said(&error), expected);
    let error = client.ask("/x", &json!({}), &mut sent, read).unwrap_err();
    let expected = ("request", "the reply is longer than 1000 bytes".to_owned());
    assert_eq!(said(&error), expected);
    assert_eq!(log.lock().unwrap().len(), 5);
}

/// One request hangs while others are answered: its own fault. Where nothing is answered, it is the server's.
#[test]
fn a_request_that_hangs_alone_is_at_fault() {
    let (url, _) = serve(|_, seen| match seen.body["hang"].as_bool() {
        Some(true) => Reply::Silence(Duration::from_secs(2)),
        _ => Reply::Json(json!({})),
    });
    let client = |concurrency| {
        client(&url, |c| {
            c.concurrency = concurrency;
            c.timeout_seconds = 0.3;
            c.max_retries = 1;
        })
    };
    let both = client(2);
    let items = [json!({"hang": true}), json!({})];
    let work = |item: &Value| both.post("/x", item);
    let mut answers = Vec::new();
    let error = both.for_each(&items, work, &mut |place, _| {
        answers.push(place);
        Ok(())
    });
    let (whose, reason) = said(&error.unwrap_err());
    assert_eq!(whose, "request");
    assert!(reason.starts_with("no reply: timeout") && reason.ends_with("(tried 2 times)"));
    assert_eq!(answers, [1]);
    let error = client(1).post("/x", &json!({"hang": true})).unwrap_err();
    assert_eq!(said(&error).0, "server");
}

/// A gateway that gives up on one request is no fault of the others; a server with too much to do is at fault itself.
#[test]
fn a_request_that_fails_alone_is_at_fault() {
    for (status, whose) in [
        (502, "request"),
        (504, "request"),
        (429, "server"),
        (503, "server"),
    ] {
        let (url, _) = serve(move |_, seen| match seen.body["bad"].as_bool() {
            Some(true) => {
                std::thread::sleep(Duration::from_millis(50));
                of(status, "", "")
            }
            _ => Reply::Json(json!({})),
        });
        let both = client(&url, |c| c.concurrency = 2);
        let items = [json!({"bad": true}), json!({})];
        let work = |item: &Value| both.post("/x", item);
        let error = both.for_each(&items, work, &mut |_, _| Ok(()));
        assert_eq!(said(&error.unwrap_err()).0, whose, "{status}");
        let alone = client(&url, |_| {}).post("/x", &items[0]).unwrap_err();
        assert_eq!(said(&alone).0, "server", "{status}");
    }
}

/// What was answered before and after the failure is handed over.
#[test]
fn answers_beside_a_failure_are_kept() {
    let (url, _) = serve(|_, seen| match seen.body["n"].as_u64() {
        Some(0) => {
            std::thread::sleep(Duration::from_millis(100));
            of(401, "", "no")
        }
        _ => {
            std::thread::sleep(Duration::from_millis(300));
            Reply::Json(json!({}))
        }
    });
    let client = client(&url, |c| c.concurrency = 4);
    let items: Vec<Value> = (0..40).map(|n| json!({ "n": n })).collect();
    let work = |item: &Value| client.post("/x", item);
    let mut answers = Vec::new();
    let result = client.for_each(&items, work, &mut |place, _| {
        answers.push(place);
        Ok(())
    });
    answers.sort_unstable();
    assert_eq!(said(&result.unwrap_err()).0, "server");
    assert_eq!(answers, [1, 2, 3], "begun before the failure");
}

/// While `done` is busy, no more is asked than may be in flight: a kill then loses no more.
#[test]
fn work_does_not_run_ahead() {
    let client = client("http://localhost:1/v1", |c| c.concurrency = 4);
    let items: Vec<usize> = (0..100).collect();
    let begun = AtomicUsize::new(0);
    let work = |_: &usize| {
        begun.fetch_add(1, Ordering::Relaxed);
        Ok::<(), DataError>(())
    };
    let (mut taken, mut ahead) = (0, 0);
    client
        .for_each(&items, work, &mut |_, ()| {
            std::thread::sleep(Duration::from_millis(1));
            taken += 1;
            ahead = ahead.max(begun.load(Ordering::Relaxed) - taken);
            Ok(())
        })
        .unwrap();
    assert_eq!(taken, 100);
    assert!(ahead <= 4, "{ahead} were begun and not handed over");
}

/// Any variable that is set will do: cargo sets this one.
#[test]
fn a_key_that_a_server_repeats_is_not_shown() {
    let key = std::env::var("CARGO_PKG_NAME").unwrap();
    let body = json!({"error": {"message": format!("Incorrect API key provided: {key}.")}});
    let (url, log) = serve(move |_, _| of(401, "", &body.to_string()));
    let client = client(&url, |c| c.api_key_env = Some("CARGO_PKG_NAME".to_owned()));
    let error = client.get("/models").unwrap_err();
    assert_eq!(
        said(&error).1,
        "401 Unauthorized: Incorrect API key provided: ***.; is the key in CARGO_PKG_NAME right?"
    );
    let seen = log.lock().unwrap()[0].clone();
    assert_eq!(seen.authorization, Some(format!("Bearer {key}")));
    assert_eq!(seen.path, "/v1/models");
    // Not even the beginning of one, where a long text is cut short.
    let text = format!("{}{key}", "x".repeat(55));
    let (url, _) = serve(move |_, _| of(200, "", &text));
    let client = self::client(&url, |c| c.api_key_env = Some("CARGO_PKG_NAME".to_owned()));
    let error = client.get("/models").unwrap_err();
    let expected = format!("the reply is no JSON: \"{}***…\"", "x".repeat(55));
    assert_eq!(said(&error).1, expected);
    // Escaped in JSON, in an address, and behind an escape sequence of a terminal.
    let escaped: String = key
        .chars()
        .map(|c| format!("\\u{:04x}", c as u32))
        .collect();
    let text = format!(r#"{{"detail": "\u001b[31m{escaped} http://me:pw@h/?api_key={key}"}}"#);
    let (url, _) = serve(move |_, _| of(400, "", &text));
    let client = self::client(&url, |c| c.api_key_env = Some("CARGO_PKG_NAME".to_owned()));
    assert_eq!(
        said(&client.get("/models").unwrap_err()).1,
        r"400 Bad Request: \u{1b}[31m*** http://***@h/?api_key=***"
    );
    // An answer stays what it is: keys of local servers are words such as EMPTY.
    let answer = json!({ "text": key });
    let (url, _) = serve(move |_, _| Reply::Json(json!({ "text": key })));
    let client = self::client(&url, |c| c.api_key_env = Some("CARGO_PKG_NAME".to_owned()));
    assert_eq!(client.get("/models").unwrap(), answer);
}

#[test]
fn a_key_is_not_sent_unencrypted_to_another_machine() {
    let new = |url: &str, allow: bool| {
        Client::new(&ServerConfig {
            api_key_env: Some("CARGO_PKG_NAME".to_owned()),
            allow_insecure_http: allow,
            ..ServerConfig::new(url)
        })
    };
    let error = new("http://192.0.2.1/v1", false).unwrap_err().to_string();
    assert_eq!(
        error,
        "http://192.0.2.1/v1: the key would travel unencrypted to another machine; use https, or allow it with `allow_insecure_http = true`"
    );
    assert!(new("http://192.0.2.1/v1", true).is_ok());
    assert!(new("http://127.0.0.1:9/v1", false).is_ok());
    assert!(new("https://192.0.2.1/v1", false).is_ok());
    assert!(Client::new(&ServerConfig::new("http://192.0.2.1/v1")).is_ok());
    for url in ["http://me:pw@h/v1", "http://h/v1?api_key=pw"] {
        let (key, got, allowed) = ServerConfig::new(url).out_of_range().unwrap();
        assert_eq!(key, "base_url");
        assert!(!got.contains("pw") && got.contains("***"), "{got}");
        assert!(allowed.contains("`api_key_env`"), "{allowed}");
    }
}

/// Certificates are trusted where their authority is named, and a certificate that is not is not asked for again.
#[test]
fn authorities_are_those_that_are_named() {
    let fixture = |name: &str| {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls");
        std::path::Path::new(dir).join(name)
    };
    let (url, tries) = tls::serve(&fixture("server.pem"), &fixture("server.key.pem"));
    let client = |file: Option<&str>| {
        client(&url, |c| {
            c.ca_file = file.map(fixture);
            c.api_key_env = Some("CARGO_PKG_NAME".to_owned());
        })
    };
    let reply = client(Some("authority.pem"))
        .post("/x", &json!({}))
        .unwrap();
    assert_eq!(reply, json!({"secure": true}));
    assert_eq!(tries.load(Ordering::Relaxed), 1);
    for file in [None, Some("other.pem")] {
        let error = client(file).post("/x", &json!({})).unwrap_err();
        let (whose, reason) = said(&error);
        assert_eq!(whose, "server");
        assert!(
            reason.starts_with("no reply: ") && reason.ends_with("in `ca_file`"),
            "{reason}"
        );
    }
    assert_eq!(tries.load(Ordering::Relaxed), 3, "one try each");
    let new = |file: &str| {
        let ca_file = Some(fixture(file));
        Client::new(&ServerConfig {
            ca_file,
            ..ServerConfig::new(&url)
        })
        .unwrap_err()
        .to_string()
    };
    assert!(new("none.pem").contains("none.pem: the certificates of `ca_file`"));
    assert!(new("server.key.pem").contains("there is no certificate in it"));
}

/// 409 and 425 pass, as 408 and 429 do; other refusals stay, and so does a name that does not exist.
#[test]
fn what_is_permanent_is_not_tried_again() {
    for (status, requests) in [(408, 3), (409, 3), (425, 3), (400, 1), (410, 1), (422, 1)] {
        let (url, log) = serve(move |_, _| of(status, "", ""));
        client(&url, |_| {}).post("/x", &json!({})).unwrap_err();
        assert_eq!(log.lock().unwrap().len(), requests, "{status}");
    }
    let lookup = |why: &str| {
        let words = format!("failed to lookup address information: {why}");
        is_permanent(&ureq::Error::Io(std::io::Error::other(words)))
    };
    assert!(lookup("Name or service not known"));
    assert!(!lookup("Temporary failure in name resolution"));
    let refused = std::io::ErrorKind::ConnectionRefused;
    assert!(!is_permanent(&ureq::Error::Io(refused.into())));
}

/// Each try waits 0.2 s in vain: after two of a thousand, more than 0.3 s have passed.
#[test]
fn a_silent_server_is_given_up_before_all_tries() {
    let (url, log) = serve(|_, _| Reply::Silence(Duration::from_secs(1)));
    let client = client(&url, |c| {
        c.timeout_seconds = 0.2;
        c.max_retries = 1000;
    });
    assert_eq!(client.patience, Duration::from_secs(600));
    let client = Client {
        patience: Duration::from_millis(300),
        ..client
    };
    let error = client.post("/x", &json!({})).unwrap_err();
    assert!(said(&error).1.ends_with("(tried 2 times)"), "{error}");
    assert_eq!(log.lock().unwrap().len(), 2);
    let slow = self::client(&url, |c| c.timeout_seconds = 3600.0);
    assert_eq!(slow.patience, Duration::from_secs(3600));
}
