//! What the process may do: less than it was started with.
//!
//! Everything here is about the calling thread, and threads that it starts later: it stands before the first of them.
//! Nothing that is given up comes back. So a reload finds the same rights as the start did, and what can't be read by
//! then can't be read at the start either.

mod capabilities;
mod confine;
mod user;

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit, umask};

pub use self::confine::{Access, Confinement, confine, confinement};
pub use self::user::{User, UserError, become_user};

/// For the whole life of a server: what it makes is closed to other users, what it holds in memory is never written to
/// disk by a crash nor read by another process of its user, and no program that it runs has more rights than it has.
pub fn protect() {
    umask(Mode::from_raw_mode(0o077));
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if getrlimit(Resource::Core) != none {
        warn("core dumps may be written, with keys in them", setrlimit(Resource::Core, none));
    }
    warn("processes of this user may read the memory", set_dumpable_behavior(DumpableBehavior::NotDumpable));
    warn("programs that are run may gain rights", rustix::thread::set_no_new_privs(true));
    if rustix::process::geteuid().is_root() {
        tracing::warn!("runs as root, with all its rights: name the user to become as `user`");
    } else {
        warn("rights that aren't needed are kept", capabilities::keep_binding());
    }
}

fn warn(consequence: &str, outcome: rustix::io::Result<()>) {
    if let Err(error) = outcome {
        tracing::warn!(%error, "{consequence}");
    }
}
