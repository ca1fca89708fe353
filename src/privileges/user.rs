//! From root to the user that the configuration names.

use nix::unistd;
use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{
    CapabilitySet, capabilities, set_keep_capabilities, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::capabilities::{bound, keep_binding};

/// A user with all its groups, as the machine knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    name: String,
    uid: u32,
    gid: u32,
    /// Beside the first: those that the user is a member of, so that keys can be given to one.
    groups: Vec<u32>,
}

/// Why the process can't be that user.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    #[error("there is no user \"{0}\" on this machine")]
    NoUser(String),
    #[error("there is no group \"{0}\" on this machine")]
    NoGroup(String),
    #[error("user \"{0}\" is only a number here: name its `group` too")]
    GroupUnknown(String),
    #[error("the users of this machine can't be looked up: {0}")]
    Lookup(nix::Error),
    #[error("can't become user \"{user}\": {what}: {error}")]
    Refused { user: String, what: &'static str, error: rustix::io::Errno },
    #[error("can't become user \"{user}\": rights of root are left")]
    Left { user: String },
}

impl User {
    /// Looks a user up by name or number; `group` in place of its own first group. Numbers need not be known to the
    /// machine, so that containers without a user database can name them.
    ///
    /// # Errors
    /// The machine doesn't know them.
    pub fn find(user: &str, group: Option<&str>) -> Result<Self, UserError> {
        let known = match user.parse::<u32>() {
            Ok(uid) => unistd::User::from_uid(uid.into()),
            Err(_) => unistd::User::from_name(user),
        };
        let known = known.map_err(UserError::Lookup)?;
        let named = group.map(find_group).transpose()?;
        let (uid, gid) = match (&known, user.parse()) {
            (Some(known), _) => (known.uid.as_raw(), named.unwrap_or(known.gid.as_raw())),
            (None, Ok(uid)) => (uid, named.ok_or_else(|| UserError::GroupUnknown(user.to_owned()))?),
            (None, Err(_)) => return Err(UserError::NoUser(user.to_owned())),
        };
        let groups = match known.and_then(|known| std::ffi::CString::new(known.name).ok()) {
            Some(name) => unistd::getgrouplist(&name, gid.into()).map_err(UserError::Lookup)?,
            None => vec![gid.into()],
        };
        Ok(Self { name: user.to_owned(), uid, gid, groups: groups.into_iter().map(unistd::Gid::as_raw).collect() })
    }
}

/// Becomes a user for good, and keeps no right of root's but that to bind ports below 1024. `false`: whoever isn't root
/// stays who it is, as with nginx.
///
/// # Errors
/// The kernel refuses a step: the process is then neither, and must end.
pub fn become_user(user: &User) -> Result<bool, UserError> {
    let me = geteuid();
    if !me.is_root() {
        return Ok(me.as_raw() == user.uid);
    }
    let refused = |what| move |error| UserError::Refused { user: user.name.clone(), what, error };
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    let groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
    // A container may have taken the right to do this away, with all the rights that it would take away.
    if capabilities(None).map_err(refused("capabilities"))?.effective.contains(CapabilitySet::SETPCAP) {
        bound().map_err(refused("bounding set"))?;
    }
    set_keep_capabilities(true).map_err(refused("keeping capabilities"))?;
    set_thread_groups(&groups).map_err(refused("groups"))?;
    set_thread_res_gid(gid, gid, gid).map_err(refused("group"))?;
    set_thread_res_uid(uid, uid, uid).map_err(refused("user"))?;
    set_keep_capabilities(false).map_err(refused("keeping capabilities"))?;
    keep_binding().map_err(refused("capabilities"))?;
    let left = capabilities(None).map_err(refused("capabilities"))?.permitted;
    let is_root_again = !uid.is_root() && set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).is_ok();
    if is_root_again || !CapabilitySet::NET_BIND_SERVICE.contains(left) {
        return Err(UserError::Left { user: user.name.clone() });
    }
    Ok(true)
}

fn find_group(group: &str) -> Result<u32, UserError> {
    if let Ok(gid) = group.parse() {
        return Ok(gid);
    }
    let known = unistd::Group::from_name(group).map_err(UserError::Lookup)?;
    known.map(|known| known.gid.as_raw()).ok_or_else(|| UserError::NoGroup(group.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_by_number() {
        let root = User::find("root", None).unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert_eq!(User::find("0", None).unwrap().groups, root.groups);
        let number = User::find("4000000001", Some("4000000002")).unwrap();
        assert_eq!((number.uid, number.gid, &number.groups[..]), (4_000_000_001, 4_000_000_002, &[4_000_000_002][..]));
    }

    #[test]
    fn who_the_machine_does_not_know_is_named() {
        let complain = |user: &str, group| User::find(user, group).unwrap_err().to_string();
        assert_eq!(complain("no-such-user", None), "there is no user \"no-such-user\" on this machine");
        assert_eq!(complain("root", Some("no-such-group")), "there is no group \"no-such-group\" on this machine");
        assert!(complain("4000000001", None).contains("name its `group` too"));
    }
}
