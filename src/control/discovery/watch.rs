//! Waits for a file to change, however that is done: written in place, renamed over, removed and back, or behind a
//! symbolic link that is exchanged, as Kubernetes does with a ConfigMap.
//!
//! The kernel tells of changes in the directories that lead to it; that only says when to look at the file's stamp.
//! Where it doesn't tell (a network file system, no watches left), looking once a second does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::net::unix::pipe::Receiver;
use tokio::time::sleep;

use super::Stamp;

/// A file, which need not be there.
pub(super) struct Watch {
    path: PathBuf,
    /// As of when it was last read.
    seen: Seen,
    /// What the kernel tells. No pipe, but read like one.
    notices: Option<Receiver>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Never,
    At(Option<Stamp>),
}

impl Watch {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, seen: Seen::Never, notices: None }
    }

    /// It has been read, as of this stamp.
    pub(super) fn note(&mut self, stamp: Option<Stamp>) {
        self.seen = Seen::At(stamp);
    }

    /// Waits until the file is another than the one that was read, and has stopped changing.
    pub(super) async fn changed(&mut self) {
        while self.seen == Seen::At(self.stamp().await) {
            self.watch_directories();
            // Something may have happened before they were watched.
            if self.seen != Seen::At(self.stamp().await) {
                break;
            }
            tokio::select! {
                () = self.noticed() => {}
                () = sleep(LOOK_EVERY) => {}
            }
        }
        self.settle().await;
    }

    /// Whoever writes in place writes piece by piece.
    async fn settle(&self) {
        let mut last = self.stamp().await;
        for _ in 0..SETTLE_AT_MOST {
            sleep(SETTLE).await;
            let now = self.stamp().await;
            if now == last {
                return;
            }
            last = now;
        }
    }

    /// On a thread that may wait: a network file system can take its time.
    async fn stamp(&self) -> Option<Stamp> {
        let path = self.path.clone();
        tokio::task::spawn_blocking(move || Stamp::of(&path)).await.ok().flatten()
    }

    /// Watches the directory of the file's name, and that of what a link leads to; the same one twice is one watch.
    fn watch_directories(&mut self) {
        if self.notices.is_none() {
            let notices = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok();
            self.notices = notices.and_then(|notices| Receiver::from_owned_fd_unchecked(notices).ok());
        }
        let Some(notices) = &self.notices else { return };
        let flags = WatchFlags::CLOSE_WRITE
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::ATTRIB
            | WatchFlags::ONLYDIR;
        let target = std::fs::canonicalize(&self.path).ok();
        for directory in [Some(&self.path), target.as_ref()].into_iter().flatten().filter_map(|path| directory(path)) {
            // Looking once a second finds what can't be watched.
            let _ = inotify::add_watch(notices, directory, flags);
        }
    }

    /// Waits for anything in the directories, and forgets what it was.
    async fn noticed(&self) {
        let Some(notices) = &self.notices else { return std::future::pending().await };
        if notices.readable().await.is_err() {
            return std::future::pending().await;
        }
        let mut buffer = [0; 4096];
        while notices.try_read(&mut buffer).is_ok_and(|read| read > 0) {}
    }
}

fn directory(path: &Path) -> Option<&Path> {
    path.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
}

/// Without a notice.
const LOOK_EVERY: Duration = Duration::from_millis(900);

/// As long must a file stay as it is.
const SETTLE: Duration = Duration::from_millis(20);

/// One that is written to all the time is read all the same.
const SETTLE_AT_MOST: usize = 25;
