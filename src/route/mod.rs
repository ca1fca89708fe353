//! Host, path, method and headers to a route. Pure.
