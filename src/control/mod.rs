//! Background services, never on the request's way.

pub mod discovery;
pub mod resolve;
pub mod status;
