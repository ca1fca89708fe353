//! The data plane: the only place where a request is handled.
