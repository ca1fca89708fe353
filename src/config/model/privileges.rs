//! What the process may do once it runs.

use std::path::PathBuf;

/// Who the process is, and which files are open to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Privileges {
    /// A user's name or number. `None`: whoever started it.
    pub user: Option<String>,
    /// In place of the user's own first group. Never without a user.
    pub group: Option<String>,
    /// `None`: all files of the user are open.
    pub confine: Option<Confine>,
}

/// Files that are open beside those that the configuration leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confine {
    pub readable: Vec<PathBuf>,
    pub writable: Vec<PathBuf>,
}

impl Default for Privileges {
    fn default() -> Self {
        Self { user: None, group: None, confine: Some(Confine::default()) }
    }
}
