//! Background services, never on the request's way.

pub mod resolve;
pub mod status;
