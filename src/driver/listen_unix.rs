//! A listening socket that is a file: for a proxy on the same host, and for users whom the file's permissions let in.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::Listener;

/// The file of a listening socket. Dropping it removes the file, unless another file has taken its place.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

/// Opens a listener for each of `shards` shards on the file `path`, with mode 0660. They are one socket: whichever shard
/// comes first accepts.
///
/// The file of a gateway that ended without removing it is replaced. The new one comes to be beside it, gets its mode,
/// and is then put in its place, so that it is never visible without its owner or with other permissions.
///
/// # Errors
/// The error of the kernel; [`io::ErrorKind::AddrInUse`] if somebody listens there, [`io::ErrorKind::AlreadyExists`] if the
/// file is no socket.
///
/// # Panics
/// If `shards` is 0.
pub fn listen_unix(path: &Path, shards: usize) -> io::Result<(Vec<Listener>, SocketFile)> {
    assert!(shards > 0, "a gateway has a shard");
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(io::ErrorKind::AlreadyExists.into()),
        Ok(_) if UnixStream::connect(path).is_ok() => return Err(io::ErrorKind::AddrInUse.into()),
        _ => {}
    }
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(format!(".{}", std::process::id()));
    let fresh = PathBuf::from(fresh);
    let _ = fs::remove_file(&fresh);
    let socket = UnixListener::bind(&fresh)?;
    let placed = fs::set_permissions(&fresh, Permissions::from_mode(MODE)).and_then(|()| fs::rename(&fresh, path));
    if let Err(error) = placed {
        let _ = fs::remove_file(&fresh);
        return Err(error);
    }
    let file = SocketFile { path: path.to_owned(), identity: identity(path)? };
    socket.set_nonblocking(true)?;
    let mut listeners = Vec::new();
    for _ in 1..shards {
        listeners.push(Listener::unix(socket.try_clone()?));
    }
    listeners.push(Listener::unix(socket));
    Ok((listeners, file))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

/// The owner and its group may connect.
const MODE: u32 = 0o660;

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("fanwire-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).expect("a folder can be made");
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_file_has_its_mode_and_goes_with_its_owner() {
        let folder = Folder::new("mode");
        let path = folder.0.join("s");
        let (listeners, file) = listen_unix(&path, 3).expect("the folder is ours");
        assert_eq!(listeners.len(), 3);
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o660);
        assert!(UnixStream::connect(&path).is_ok());
        drop(file);
        assert_eq!(fs::read_dir(&folder.0).expect("it is there").count(), 0, "nothing is left");
    }

    #[test]
    fn a_socket_that_nobody_listens_on_is_replaced_and_another_file_is_not() {
        let folder = Folder::new("stale");
        let path = folder.0.join("s");
        drop(UnixListener::bind(&path).expect("the folder is ours"));
        let (_listeners, file) = listen_unix(&path, 1).expect("nobody listens there");
        let taken = listen_unix(&path, 1).map(|_| ()).expect_err("somebody listens there");
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        fs::remove_file(&path).expect("it is ours");
        fs::write(&path, "notes").expect("the folder is ours");
        let refused = listen_unix(&path, 1).map(|_| ()).expect_err("that is no socket");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        drop(file);
        assert!(path.exists(), "what stands in its place stays");
    }
}
