//! The wire, without policy: heads, fields, and the HTTP/1 codec.
//!
//! Turns bytes into heads and bodies and back, strictly. Never decides where a request goes, never opens a connection.

pub mod address;
pub mod date;
pub mod field;
pub mod head;
pub mod http1;
pub mod output;
pub mod socket;
pub mod splice;
pub mod stream;
pub mod timer;
