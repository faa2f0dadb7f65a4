//! A server on this machine that answers as it is told, faults included.
//!
//! Include it with `#[path = ".."] mod faulty;`: it needs the standard library and `serde_json` alone.

#![allow(dead_code, unreachable_pub)]
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// What came in.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its path.
    pub path: String,
    /// The header with the key.
    pub authorization: Option<String>,
    /// Its body; null where there is none.
    pub body: Value,
}

/// What goes out.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A status, further header lines (each ended by `\r\n`) and a body.
    Of(u16, String, String),
    /// 200 and this body.
    Json(Value),
    /// Nothing, for this long; then the connection closes.
    Silence(Duration),
    /// The head and half of the body of a reply, then the connection closes.
    Cut,
}

/// Every request, as it came.
pub type Log = Arc<Mutex<Vec<Seen>>>;

/// Starts a server that gives `reply` the number of the request, from 0, and the request. Returns its address, which ends
/// with `/v1`, and its log.
pub fn serve(reply: impl Fn(usize, &Seen) -> Reply + Send + Sync + 'static) -> (String, Log) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let log = Log::default();
    let (seen, reply) = (log.clone(), Arc::new(reply));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (seen, reply) = (seen.clone(), reply.clone());
            std::thread::spawn(move || handle(stream.unwrap(), &seen, &*reply));
        }
    });
    (format!("http://{address}/v1"), log)
}

fn handle(mut stream: TcpStream, log: &Log, reply: &dyn Fn(usize, &Seen) -> Reply) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    let path = line.split(' ').nth(1).unwrap().to_owned();
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end().split_once(": ") {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap();
            }
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                authorization = Some(value.to_owned());
            }
            Some(_) => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let seen = Seen {
        path,
        authorization,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    let number = {
        let mut log = log.lock().unwrap();
        log.push(seen.clone());
        log.len() - 1
    };
    let reply = reply(number, &seen);
    let head = |status: u16, headers: &str, length: usize| {
        format!(
            "HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}Connection: close\r\n\r\n"
        )
    };
    // The client may be gone: what cannot be written is not.
    let _ = match reply {
        Reply::Of(status, headers, body) => {
            write!(stream, "{}{body}", head(status, &headers, body.len()))
        }
        Reply::Json(body) => {
            let body = body.to_string();
            write!(stream, "{}{body}", head(200, "", body.len()))
        }
        Reply::Silence(wait) => {
            std::thread::sleep(wait);
            Ok(())
        }
        Reply::Cut => write!(stream, "{}{{\"choices\"", head(200, "", 500)),
    };
    let _ = stream.shutdown(Shutdown::Write);
}
