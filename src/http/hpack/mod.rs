//! Header sections of HTTP/2: HPACK, RFC 7541.
//!
//! A [`Decoder`] reads a section line by line and copies nothing that isn't asked for: whoever reads a request's section
//! puts each line straight into its flat head, and whoever looks for a status alone decodes nothing else. An [`Encoder`]
//! writes a response's. Neither knows what a section means: that is `http2::section`'s.

mod decode;
mod encode;
mod huffman;
mod kind;
mod table;
#[cfg(test)]
mod tests;
mod text;

pub use decode::{Decoder, Line};
pub use encode::{Encoder, Repeats};
pub use kind::{Kind, Pseudo};
pub use table::STATIC_ENTRIES;
pub use text::{Text, write_integer, write_text};

/// Bytes of the table that either side begins with, as RFC 7541 4.1 counts them. This side never offers another size.
pub const TABLE_BYTES: usize = 4096;

/// What an entry counts beside its name and value: RFC 7541 4.1.
pub const ENTRY_OVERHEAD: usize = 32;

/// The section isn't HPACK's grammar: RFC 9113 4.3 wants the connection ended with COMPRESSION_ERROR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSection;
