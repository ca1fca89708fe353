//! Accept, TLS, and which HTTP.
