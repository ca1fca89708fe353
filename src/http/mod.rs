//! The wire, without policy: heads, fields, and the codecs of HTTP/1 and HTTP/2.
//!
//! Turns bytes into heads and bodies and back, strictly. Never decides where a request goes, never opens a connection.

pub mod address;
pub mod date;
pub mod field;
pub mod head;
pub mod hpack;
pub mod http1;
pub mod http2;
pub mod output;
pub mod socket;
pub mod splice;
pub mod stream;
pub mod timer;
