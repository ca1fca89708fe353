//! HTTP/1.0 and 1.1 on the wire: RFC 9112, read strictly.
//!
//! What could be read in two ways is refused, never repaired: a head that this parser takes means the same to everyone.

pub mod body;

pub mod framing;
pub mod parse;
mod scan;
pub(crate) mod target;

pub use body::{BodyReader, Step};
pub use framing::BodyLength;
pub use parse::{HeadLimits, HeadReader};
