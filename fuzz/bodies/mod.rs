//! What a fuzzer feeds, one function a target. Each checks what it is fed against a second, simpler implementation or
//! against itself, and panics if they differ.
//!
//! The fuzzer (`fuzz/fuzz_targets`) and the stable tests (`tests/fuzz`) run the same functions.

mod chunked;
mod configuration;
mod cookie;
mod exchange;
mod forwarded;
mod hpack;
mod http1_head;
mod http2;
mod limit;
mod model;
mod path;
mod proxy_protocol;
mod response;
mod splits;
mod world;

/// A target: its name, and what it does with some bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them. `fuzz/fuzz_targets` has a file for each.
pub const TARGETS: &[Target] = &[
    ("http1_head", http1_head::run),
    ("chunked", chunked::run),
    ("exchange", exchange::run),
    ("response", response::run),
    ("proxy_protocol", proxy_protocol::run),
    ("forwarded", forwarded::run),
    ("cookie", cookie::run),
    ("path", path::run),
    ("configuration", configuration::run),
    ("limit", limit::run),
    ("http2", http2::run),
    ("hpack", hpack::run),
];

/// The target of this name.
#[allow(dead_code, reason = "the fuzzer asks for one, the stable tests for all")]
pub fn target(name: &str) -> fn(&[u8]) {
    TARGETS.iter().find(|target| target.0 == name).unwrap_or_else(|| panic!("no target is named {name}")).1
}
