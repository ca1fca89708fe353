//! The file of a Unix socket: made without a window for others, and removed only if it is ours.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use socket2::{Domain, SockAddr, Socket, Type};

/// A socket's file. Removed when this is dropped, unless another has taken its place.
#[derive(Debug)]
pub struct SocketFile {
    path: Arc<Path>,
    identity: Identity,
}

impl SocketFile {
    /// Whoever may connect by `mode` can from now on, and nobody else.
    ///
    /// # Errors
    /// Another file has taken its place. Else the system's.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        match identity(&self.path)? {
            Some(found) if found == self.identity => fs::set_permissions(&self.path, Permissions::from_mode(mode)),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == Some(self.identity))
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "the socket's file stays");
        }
    }
}

/// Binds and listens; whoever may connect by `mode` can from then on. What a dead process left at `path` is removed first.
///
/// # Errors
/// `AddrInUse`: somebody listens there. `AlreadyExists`: what is there is no socket. Else the system's.
pub(super) fn listen(path: &Arc<Path>, mode: u32, backlog: u32) -> io::Result<(Socket, SocketFile)> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    let permissions = Permissions::from_mode(mode);
    // The file is born with these permissions less the umask's: never with more than asked for.
    File::from(OwnedFd::from(socket.try_clone()?)).set_permissions(permissions.clone())?;
    socket.bind(&SockAddr::unix(path)?)?;
    let identity = identity(path)?.ok_or(io::ErrorKind::NotFound)?;
    let file = SocketFile { path: Arc::clone(path), identity };
    fs::set_permissions(path, permissions)?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok((socket, file))
}

/// Removes a socket's file behind which nobody listens.
fn remove_stale(path: &Path) -> io::Result<()> {
    let Some(found) = identity(path)? else { return Ok(()) };
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    // Non-blocking: a full queue is no reason to wait, and proof enough that it is listened on.
    let probe = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
        _ => return Err(io::ErrorKind::AddrInUse.into()),
    }
    // What has been put there since is somebody else's.
    if identity(path)? != Some(found) {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    fs::remove_file(path)
}

/// A file's device and number.
type Identity = (u64, u64);

/// `None` if there is nothing at `path`. Follows no link.
fn identity(path: &Path) -> io::Result<Option<Identity>> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some((found.dev(), found.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    fn path(directory: &tempfile::TempDir) -> Arc<Path> {
        directory.path().join("t.sock").into()
    }

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_file_has_its_permissions_and_goes_with_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(&directory);
        for mode in [0o666, 0o600] {
            let (_socket, file) = listen(&path, mode, 8).unwrap();
            assert_eq!(mode_of(&path), mode);
            UnixStream::connect(&path).unwrap();
            drop(file);
            assert!(!path.exists());
        }
    }

    #[test]
    fn what_a_dead_process_left_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(&directory);
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let (_socket, _file) = listen(&path, 0o666, 8).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_socket_that_is_listened_on_and_a_file_that_is_none_are_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(&directory);
        let other = UnixListener::bind(&path).unwrap();
        assert_eq!(listen(&path, 0o666, 8).err().map(|e| e.kind()), Some(io::ErrorKind::AddrInUse));
        UnixStream::connect(&path).unwrap();
        drop(other);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        assert_eq!(listen(&path, 0o666, 8).err().map(|e| e.kind()), Some(io::ErrorKind::AlreadyExists));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn what_has_taken_its_place_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(&directory);
        let (socket, file) = listen(&path, 0o666, 8).unwrap();
        drop(socket);
        // Kept open, so that its number isn't given to the next one.
        let _old = fs::rename(&path, directory.path().join("old.sock"));
        let (_socket, _newer) = listen(&path, 0o666, 8).unwrap();
        drop(file);
        assert!(path.exists());
    }
}
