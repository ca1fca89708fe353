//! A file a feature.
