//! Which configuration file a verb works on, and reading it with its complaints on stderr.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use crate::config::load::{self, Loaded};
use crate::config::machine::Nowhere;
use crate::config::{Diagnostics, Privileges};
use crate::privileges::{User, UserError, become_user};
use crate::server::ThisMachine;

/// Where Tidegate looks when nothing names a file.
pub(super) const DEFAULT_PATH: &str = "/etc/tidegate/tidegate.toml";
const VARIABLE: &str = "TIDEGATE_CONFIG";

/// `-c FILE`, else `TIDEGATE_CONFIG`, else [`DEFAULT_PATH`].
#[derive(Debug, clap::Args)]
pub(super) struct ConfigPath {
    /// Configuration file
    #[arg(short = 'c', long = "config", value_name = "FILE", env = VARIABLE, default_value = DEFAULT_PATH)]
    path: PathBuf,
}

impl ConfigPath {
    /// The same choice for a path that was not an argument of a verb.
    pub(super) fn or_default(path: Option<PathBuf>) -> Self {
        let path = path.or_else(|| std::env::var_os(VARIABLE).map(PathBuf::from));
        Self { path: path.unwrap_or_else(|| DEFAULT_PATH.into()) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// [`ConfigPath::load`] as the user that the file names, which the process is from then on. So whatever only root may
    /// read is found out now, and not by the first reload.
    pub(super) fn load_as_user(&self) -> Option<Loaded> {
        // What is wrong with the file is told below, whoever reads it.
        if let Ok(Loaded { config, .. }) = load::load(&self.path, &Nowhere)
            && let Privileges { user: Some(user), group, .. } = config.privileges
        {
            match User::find(&user, group.as_deref()).and_then(|user| become_user(&user)) {
                Ok(true) => {}
                Ok(false) => eprintln!("warning: `user = \"{user}\"` means nothing: not started as root"),
                // The check names its place.
                Err(error @ (UserError::Refused { .. } | UserError::Left { .. })) => {
                    eprintln!("error: {error}");
                    return None;
                }
                Err(_) => {}
            }
        }
        self.load()
    }

    /// Reads and checks the file. Warnings go to stderr; so does every error, and then there is nothing to go on with.
    pub(super) fn load(&self) -> Option<Loaded> {
        tell(load::load(&self.path, &ThisMachine))
    }
}

/// Writes warnings or errors to stderr, and gives what is without errors.
pub(super) fn tell(outcome: Result<Loaded, Diagnostics>) -> Option<Loaded> {
    let (complaints, loaded) = match outcome {
        Ok(loaded) => (loaded.warnings.clone(), Some(loaded)),
        Err(errors) => (errors, None),
    };
    if !complaints.is_empty() {
        eprintln!("{}", complaints.render(color()).trim_end());
    }
    loaded
}

/// Whether stderr is a terminal whose user has nothing against color (no-color.org).
pub(super) fn color() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
