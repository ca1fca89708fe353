//! A store of files: below one directory, for one machine or a file system that several share.
//!
//! A commit is a temporary file, fsync, rename, fsync of the directory: a full disk or a power cut leaves the old value.
//! Leases are locks of the kernel, which frees them when their holder dies.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;

use super::{Key, Lease, Store, StoreError, Value, Version};

/// The store below one directory, which belongs to it alone.
#[derive(Debug)]
pub struct Files {
    root: PathBuf,
}

impl Files {
    /// Opens a store, and makes its directory if that isn't there. Removes what a crash has left half written.
    ///
    /// # Errors
    /// The directory can't be made or read, or isn't one.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let files = Self { root: root.to_owned() };
        for directory in DIRECTORIES {
            let path = root.join(directory);
            make_directory(&path).map_err(|error| failed(&path, error))?;
        }
        files.close_to_others();
        for directory in DIRECTORIES {
            sweep(&root.join(directory));
        }
        Ok(files)
    }

    /// Opens a store to look at it: makes nothing, removes nothing.
    pub fn look(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.root.join(key.as_str())
    }

    fn lock_path(&self, name: &str) -> PathBuf {
        self.root.join("locks").join(name)
    }

    /// Keys are in it: a directory that others can read is closed to them.
    fn close_to_others(&self) {
        let Ok(metadata) = fs::metadata(&self.root) else { return };
        if metadata.permissions().mode() & 0o077 != 0
            && let Err(error) = fs::set_permissions(&self.root, fs::Permissions::from_mode(0o700))
        {
            tracing::warn!(store = %self.root.display(), %error, "others may read the certificate store: chmod it to 0700");
        }
    }

    /// The right to commit. A commit takes milliseconds; a process that hangs in one mustn't have the others hang too.
    async fn commit_lock(&self) -> io::Result<File> {
        let lock = open_lock(&self.root.join(COMMIT_LOCK))?;
        for _ in 0..COMMIT_TRIES {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(BETWEEN_TRIES).await,
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "another process has been writing for 10 s"))
    }

    /// One commit at a time, over all processes, so that "is it still what I have seen" and the rename are one.
    async fn commit(&self, key: &Key, bytes: &[u8], seen: Option<&Version>) -> Result<Version, StoreError> {
        let path = self.path(key);
        let _lock = self.commit_lock().await.map_err(|error| failed(&path, error))?;
        let there = read(&path)?.map(|bytes| version_of(&bytes));
        if there.as_ref() != seen {
            return Err(StoreError::Changed { what: path.display().to_string() });
        }
        let directory = path.parent().unwrap_or(&self.root);
        make_directory(directory).map_err(|error| failed(directory, error))?;
        let temporary = directory.join(temporary_name());
        let written = write_new(&temporary, bytes)
            .and_then(|()| fs::rename(&temporary, &path))
            .and_then(|()| File::open(directory)?.sync_all());
        if let Err(error) = written {
            // It may be the rename's directory that failed to sync; then there is no such file any more.
            let _ = fs::remove_file(&temporary);
            return Err(failed(&path, error));
        }
        Ok(version_of(bytes))
    }
}

#[async_trait]
impl Store for Files {
    async fn get(&self, key: &Key) -> Result<Option<Value>, StoreError> {
        let bytes = read(&self.path(key))?;
        Ok(bytes.map(|bytes| Value { version: version_of(&bytes), bytes }))
    }

    async fn put(&self, key: &Key, bytes: &[u8], seen: Option<&Version>) -> Result<Version, StoreError> {
        self.commit(key, bytes, seen).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&path, error)),
            _ => {}
        }
        // The last of a directory of its own takes that along; one that has more in it stays.
        if let Some((parent, _)) = key.as_str().rsplit_once('/').filter(|(parent, _)| !DIRECTORIES.contains(parent)) {
            let _ = fs::remove_dir(self.root.join(parent));
        }
        Ok(())
    }

    async fn list(&self, directory: &str) -> Result<Vec<String>, StoreError> {
        let path = self.root.join(directory);
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| failed(&path, error))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| failed(&path, error))?.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                names.push(name);
            }
        }
        Ok(names)
    }

    async fn lease(&self, name: &str) -> Result<Option<Lease>, StoreError> {
        let path = self.lock_path(name);
        let file = open_lock(&path).map_err(|error| failed(&path, error))?;
        match file.try_lock() {
            // A file that has lost its name meanwhile is nobody's lock: another one has the name, or will.
            Ok(()) => Ok(has_name(&file, &path).then(|| Lease(Box::new(file)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(&path, error)),
        }
    }

    async fn retire(&self, name: &str, lease: Lease) -> Result<(), StoreError> {
        let path = self.lock_path(name);
        let removed = fs::remove_file(&path).map_err(|error| failed(&path, error));
        drop(lease);
        removed
    }
}

fn has_name(file: &File, path: &Path) -> bool {
    let identity = |metadata: io::Result<fs::Metadata>| metadata.ok().map(|m| (m.dev(), m.ino()));
    identity(file.metadata()).is_some_and(|own| identity(fs::metadata(path)) == Some(own))
}

fn open_lock(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    give_to_owner(path).map(|()| file)
}

fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    give_to_owner(path)
}

/// What root makes in another user's store, from the command line, is that user's: the server must be able to read it.
fn give_to_owner(path: &Path) -> io::Result<()> {
    let Some(directory) = path.parent().filter(|_| rustix::process::geteuid().is_root()) else { return Ok(()) };
    let owner = fs::metadata(directory)?;
    if owner.uid() != 0 {
        std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
    give_to_owner(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|error| failed(path, error))?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_VALUE + 1).read_to_end(&mut bytes).map_err(|error| failed(path, error))?;
    if bytes.len() as u64 > MAX_VALUE {
        return Err(StoreError::TooLarge { what: path.display().to_string() });
    }
    Ok(Some(bytes))
}

/// Removes temporary files that nobody writes any more.
fn sweep(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let is_temporary = entry.file_name().to_string_lossy().starts_with(TEMPORARY);
        let age =
            entry.metadata().and_then(|m| m.modified()).ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        if is_temporary && age.is_some_and(|age| age > ABANDONED) {
            let _ = fs::remove_file(entry.path());
        } else if !is_temporary && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            sweep(&entry.path());
        }
    }
}

fn temporary_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{TEMPORARY}{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed))
}

fn version_of(bytes: &[u8]) -> Version {
    let digest = digest(&SHA256, bytes);
    Version(HEXLOWER.encode(&digest.as_ref()[..16]))
}

fn failed(path: &Path, error: io::Error) -> StoreError {
    StoreError::Io { what: path.display().to_string(), error }
}

const DIRECTORIES: &[&str] =
    &["accounts", "certs", "state", "orders", "challenges", "challenges/http-01", "challenges/tls-alpn-01", "locks"];
const COMMIT_LOCK: &str = "locks/.commit";
const COMMIT_TRIES: u32 = 1000;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);
const TEMPORARY: &str = ".tmp-";
const ABANDONED: Duration = Duration::from_secs(3600);
const MAX_VALUE: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn store() -> (TempDir, Files) {
        let directory = TempDir::new().unwrap();
        let files = Files::open(&directory.path().join("acme")).unwrap();
        (directory, files)
    }

    #[tokio::test]
    async fn what_is_put_is_there_whole_and_closed_to_others() {
        let (_directory, store) = store();
        let key = Key::bundle("a.b-1");
        assert_eq!(store.get(&key).await.unwrap(), None);
        let version = store.put(&key, b"one", None).await.unwrap();
        let value = store.get(&key).await.unwrap().unwrap();
        assert_eq!((value.bytes.as_slice(), &value.version), (b"one".as_slice(), &version));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&store.path(&key)), 0o600);
        assert_eq!(mode(&store.root().join("certs/a.b-1")), 0o700);
        assert_eq!(mode(store.root()), 0o700);
        assert_eq!(store.list("certs").await.unwrap(), ["a.b-1"]);
        assert_eq!(store.list("certs/a.b-1").await.unwrap(), ["bundle.pem"], "nothing temporary stays");
        store.delete(&key).await.unwrap();
        store.delete(&key).await.unwrap();
        assert_eq!(store.get(&key).await.unwrap(), None);
        assert_eq!(store.list("certs").await.unwrap(), Vec::<String>::new());
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_hangs_while_it_writes_keeps_others_waiting_no_longer_than_ten_seconds() {
        let (_directory, store) = store();
        let hangs = store.commit_lock().await.unwrap();
        let began = tokio::time::Instant::now();
        let error = store.put(&Key::mark(), b"x", None).await.unwrap_err().to_string();
        assert!(error.contains("another process has been writing") && began.elapsed() < Duration::from_secs(11));
        drop(hangs);
        store.put(&Key::mark(), b"x", None).await.unwrap();
    }

    #[tokio::test]
    async fn a_value_that_was_changed_meanwhile_stays() {
        let (_directory, store) = store();
        let key = Key::state("x");
        let first = store.put(&key, b"one", None).await.unwrap();
        assert!(matches!(store.put(&key, b"other", None).await, Err(StoreError::Changed { .. })));
        let second = store.put(&key, b"two", Some(&first)).await.unwrap();
        assert!(matches!(store.put(&key, b"late", Some(&first)).await, Err(StoreError::Changed { .. })));
        assert_eq!(store.get(&key).await.unwrap().unwrap().version, second);
    }

    #[tokio::test]
    async fn a_lease_has_one_holder_and_is_free_when_dropped() {
        let (_directory, store) = store();
        let other = Files::open(store.root()).unwrap();
        let lease = store.lease("a").await.unwrap().unwrap();
        assert!(other.lease("a").await.unwrap().is_none());
        assert!(other.lease("b").await.unwrap().is_some());
        drop(lease);
        assert!(other.lease("a").await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_retired_lease_is_free_and_nobody_holds_it_by_a_name_that_is_gone() {
        let (_directory, store) = store();
        let lease = store.lease("a").await.unwrap().unwrap();
        // Another process has opened the file, and locks it once it can.
        let late = open_lock(&store.lock_path("a")).unwrap();
        store.retire("a", lease).await.unwrap();
        assert_eq!(store.list("locks").await.unwrap(), Vec::<String>::new());
        late.try_lock().unwrap();
        assert!(!has_name(&late, &store.lock_path("a")));
        let lease = store.lease("a").await.unwrap();
        assert!(lease.is_some() && store.lease("a").await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_directory_that_others_can_read_is_closed_and_old_rests_are_swept() {
        let directory = TempDir::new().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(directory.path().join("certs/a")).unwrap();
        for (rest, age) in [(".tmp-1-1", 7200), (".tmp-1-2", 10)] {
            let file = File::create(directory.path().join("certs/a").join(rest)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        Files::open(directory.path()).unwrap();
        assert_eq!(fs::metadata(directory.path()).unwrap().mode() & 0o777, 0o700);
        assert!(!directory.path().join("certs/a/.tmp-1-1").exists());
        assert!(directory.path().join("certs/a/.tmp-1-2").exists(), "somebody may be writing it");
    }

    #[test]
    fn a_store_whose_place_is_taken_says_so() {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("acme");
        fs::write(&file, "").unwrap();
        let error = Files::open(&file).unwrap_err().to_string();
        assert!(error.contains("acme/accounts"), "{error}");
    }
}
