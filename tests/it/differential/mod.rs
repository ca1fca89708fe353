//! The same cases through Debian's nginx and through Tidegate. Where Tidegate differs on purpose, a case says both.

mod balancing;
mod ejection;
mod headers;
mod limits;
mod messages;
mod redirects;
mod retries;

use crate::support::Proxy;

/// The bodies of `count` sequential requests on connections of their own, one after the other.
#[track_caller]
fn bodies(proxy: &Proxy, count: usize) -> String {
    (0..count).map(|_| proxy.get("/").text()).collect()
}

/// `METHOD /` for `test` with these fields (whole lines), on a connection that closes afterwards.
fn request(method: &str, fields: &str) -> String {
    format!("{method} / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{fields}\r\n")
}
