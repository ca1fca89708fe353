//! Whole connections: what reaches the origin are the messages that the second reader finds in what the client sent, in
//! their order, each once, and nothing from behind the first that it refuses.

use super::model::{self, Message};
use super::world::world;

pub fn run(data: &[u8]) {
    if data.len() > 16 << 10 {
        return;
    }
    let (received, seen) = world().exchange(None, data);
    assert!(received.is_empty() || received.starts_with(b"HTTP/1."), "{}", received.escape_ascii());
    assert!(seen.wrong.is_empty(), "the origin got {:?}", seen.wrong);
    let mut rest = data;
    let mut sent = Vec::new();
    while let Ok(message) = model::request(rest) {
        rest = &rest[message.used..];
        sent.push(message);
        // An empty line before a request: RFC 9112 2.2.
        rest = rest.strip_prefix(b"\r\n").unwrap_or(rest);
    }
    let mut sent = sent.iter();
    for request in &seen.requests {
        assert!(sent.any(|sent| is_same(sent, request)), "{request:?} reached the origin, of {}", data.escape_ascii());
        let hosts = request.fields.iter().filter(|field| field.0 == "host").count();
        assert_eq!(hosts, 1, "{request:?}");
    }
}

fn is_same(sent: &Message, forwarded: &Message) -> bool {
    sent.what == forwarded.what && sent.body == forwarded.body && origin_form(&sent.target) == forwarded.target
}

/// RFC 9112 3.2.1: what an absolute-form leaves once its authority is taken out.
fn origin_form(target: &str) -> String {
    let Some((scheme, rest)) = target.split_once("://") else { return target.to_owned() };
    if target.starts_with('/') || !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
        return target.to_owned();
    }
    match rest.find(['/', '?']) {
        Some(at) if rest[at..].starts_with('/') => rest[at..].to_owned(),
        Some(at) => format!("/{}", &rest[at..]),
        None => "/".to_owned(),
    }
}
