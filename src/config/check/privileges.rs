//! Who the process becomes, and which files stay open to it.

use super::Checker;
use crate::config::diagnostic::quote;
use crate::config::file::ConfigFile;
use crate::config::model::{Confine, Privileges};
use crate::config::read::Many;
use crate::config::value::FilePath;

impl Checker<'_> {
    pub(super) fn privileges(&mut self, file: &ConfigFile) -> Privileges {
        let group = file.group.as_ref().map(|group| group.0.clone());
        match (&file.user, &file.group) {
            (Some(user), _) => {
                if let Err(why) = self.outside.machine.user(&user.0, group.as_deref()) {
                    self.error(format!("nobody can become {}", quote(&user.0)), user.place, why);
                }
            }
            (None, Some(group)) => {
                self.error("a group without a user", group.place, "whose?").help("write `user` too");
            }
            (None, None) => {}
        }
        let confine = file.confine.0.as_ref().map(|confine| Confine {
            readable: self.resolve_all(&confine.readable),
            writable: self.resolve_all(&confine.writable),
        });
        Privileges { user: file.user.as_ref().map(|user| user.0.clone()), group, confine }
    }

    fn resolve_all(&self, paths: &Many<FilePath>) -> Vec<std::path::PathBuf> {
        paths.items.iter().map(|path| self.resolve(&path.0, path.place)).collect()
    }
}
