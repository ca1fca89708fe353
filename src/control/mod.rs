//! Background services, never on the request's way.
