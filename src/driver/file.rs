//! Files that must be whole or not there: written aside and put in place by one rename. Blocking, for threads of their
//! own and for the start of the program.
//!
//! They hold what was published, so that only their owner may read them (mode 0600). No symbolic link is followed and
//! nothing but a regular file is opened: another user of the folder cannot redirect a write, and a FIFO would wait for
//! its other end for ever.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::limits::{REFUSED_FILES_MAX, SNAPSHOT_READ_LEN};

/// A file on its way into its place. It is removed if it never gets there.
#[derive(Debug)]
pub struct AsideFile {
    path: PathBuf,
    aside: PathBuf,
    file: File,
    is_in_place: bool,
}

impl AsideFile {
    /// Begins a file that will stand at `path`; it grows at `path` with `.tmp` behind it.
    ///
    /// # Errors
    /// The error of the kernel.
    pub fn create(path: &Path) -> io::Result<Self> {
        let aside = with_suffix(path, ".tmp");
        // One that an earlier process left has to go: it is made anew, so that it is nobody else's.
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = open_regular(OpenOptions::new().write(true).create_new(true), &aside)?;
        Ok(Self { path: path.to_owned(), aside, file, is_in_place: false })
    }

    /// Appends.
    ///
    /// # Errors
    /// The error of the kernel, such as a full disk.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Puts the file in its place, in the stead of what stood there, once all of it is on the disk.
    ///
    /// # Errors
    /// The error of the kernel; then what stood there still does, unless only the last step failed.
    pub fn put_in_place(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.aside, &self.path)?;
        self.is_in_place = true;
        File::open(folder(&self.path))?.sync_all()
    }
}

impl Drop for AsideFile {
    fn drop(&mut self) {
        if !self.is_in_place {
            // If it cannot be removed, the next one takes its place.
            let _ = fs::remove_file(&self.aside);
        }
    }
}

/// A file that is one process's. It is a lock on a file beside it, with `.lock` behind its name, which stays: the file
/// itself is another one after every [`AsideFile::put_in_place`]. It ends with this, or with the process.
#[derive(Debug)]
pub struct Claim {
    _lock: File,
}

impl Claim {
    /// Claims the file at `path`, which need not be there.
    ///
    /// # Errors
    /// The error of the kernel, [`io::ErrorKind::ResourceBusy`] if it is somebody else's.
    pub fn on(path: &Path) -> io::Result<Self> {
        let options = &mut OpenOptions::new();
        let lock = open_regular(options.write(true).create(true).truncate(false), &with_suffix(path, ".lock"))?;
        keep_private(&lock)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::ResourceBusy.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Whether a file can be read in portions, if it is there.
///
/// # Errors
/// The error of the kernel, or that it is no regular file.
pub fn check_readable(path: &Path) -> io::Result<()> {
    match open_regular(OpenOptions::new().read(true), path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        opened => opened.map(|_| ()),
    }
}

/// Reads a file in portions. `take` gets what is there and says how much of it is done with. What is left at the end
/// is given back; `None` if there is no such file.
///
/// # Errors
/// The error of the kernel, or what `take` says.
pub fn read_portions<E: From<io::Error>>(
    path: &Path,
    mut take: impl FnMut(&[u8]) -> Result<usize, E>,
) -> Result<Option<usize>, E> {
    let mut file = match open_regular(OpenOptions::new().read(true), path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    loop {
        let read = (&mut file).take(SNAPSHOT_READ_LEN as u64).read_to_end(&mut bytes)?;
        let done = take(&bytes)?;
        bytes.drain(..done);
        if read == 0 {
            return Ok(Some(bytes.len()));
        }
    }
}

/// Writes over the last bytes of a file, and waits until they are on the disk.
///
/// # Errors
/// The error of the kernel.
pub fn overwrite_end(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = open_regular(OpenOptions::new().write(true), path)?;
    keep_private(&file)?;
    file.seek(SeekFrom::End(-(bytes.len() as i64)))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Moves a file to a free name beside it, which begins with its own and `.refused`; returns that name.
///
/// # Errors
/// The error of the kernel, or that every such name is taken.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    for number in 0..REFUSED_FILES_MAX {
        let suffix = if number == 0 { ".refused".to_owned() } else { format!(".refused.{number}") };
        let aside = with_suffix(path, &suffix);
        // Makes the name, so that nothing that has it already is lost.
        match open_regular(OpenOptions::new().write(true).create_new(true), &aside) {
            Ok(_) => return fs::rename(path, &aside).map(|()| aside),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other(format!("{REFUSED_FILES_MAX} refused files stand beside it already")))
}

/// Opens a regular file, without following a link in the last part of its name, and without waiting for whatever else
/// may stand there. A file that is made is its owner's alone.
fn open_regular(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let opened = options.mode(PRIVATE).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
    let file = opened.map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) => io::Error::other("it is a symbolic link, which is not followed"),
        // A FIFO that nobody reads, or a socket.
        Some(libc::ENXIO) => io::Error::other(NOT_REGULAR),
        _ => error,
    })?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other(NOT_REGULAR)) }
}

/// Takes the rights of others off a file that an earlier version made.
fn keep_private(file: &File) -> io::Result<()> {
    match file.metadata()?.permissions().mode() & 0o777 {
        PRIVATE => Ok(()),
        _ => file.set_permissions(Permissions::from_mode(PRIVATE)),
    }
}

const NOT_REGULAR: &str = "it is not a regular file";
/// The owner may read and write.
const PRIVATE: u32 = 0o600;

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("fanwire-file-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).expect("a folder can be made");
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).expect("it is there");
            let mut names: Vec<_> =
                entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_is_whole_or_as_it_was() {
        let folder = Folder::new("whole");
        let path = folder.0.join("a");
        let mut first = AsideFile::create(&path).expect("it can be made");
        first.write(b"one").expect("there is room");
        assert_eq!(folder.names(), ["a.tmp"]);
        first.put_in_place().expect("it goes to its place");
        let mut second = AsideFile::create(&path).expect("it can be made");
        second.write(b"tw").expect("there is room");
        drop(second);
        assert_eq!((folder.names(), fs::read(&path).expect("it is there")), (vec!["a".to_owned()], b"one".to_vec()));
        overwrite_end(&path, b"NE").expect("it is writable");
        assert_eq!(fs::read(&path).expect("it is there"), b"oNE");
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn only_the_owner_may_read_what_is_written() {
        let folder = Folder::new("private");
        let path = folder.0.join("a");
        // Left over by an earlier version, with the rights of its time.
        for suffix in ["", ".tmp", ".lock"] {
            let path = with_suffix(&path, suffix);
            fs::write(&path, "old").expect("it is writable");
            fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("it is ours");
        }
        let _claim = Claim::on(&path).expect("nobody has it");
        assert_eq!(mode(&with_suffix(&path, ".lock")), 0o600);
        overwrite_end(&path, b"new").expect("it is writable");
        assert_eq!(mode(&path), 0o600);
        let file = AsideFile::create(&path).expect("it can be made");
        assert_eq!(mode(&with_suffix(&path, ".tmp")), 0o600);
        file.put_in_place().expect("it goes to its place");
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn no_link_is_followed_and_nothing_but_a_regular_file_is_opened() {
        let folder = Folder::new("links");
        let (path, elsewhere) = (folder.0.join("a"), folder.0.join("elsewhere"));
        let read = |path: &Path| read_portions(path, |bytes| Ok::<_, io::Error>(bytes.len())).map(|_| ());
        for suffix in ["", ".tmp", ".lock"] {
            fs::write(&elsewhere, "precious").expect("it is writable");
            std::os::unix::fs::symlink(&elsewhere, with_suffix(&path, suffix)).expect("a link can be made");
        }
        assert!(Claim::on(&path).expect_err("it is a link").to_string().contains("symbolic link"));
        assert!(overwrite_end(&path, b"x").is_err() && read(&path).is_err());
        let mut file = AsideFile::create(&path).expect("the link goes, not what it names");
        file.write(b"new").and_then(|()| file.put_in_place()).expect("it goes to its place");
        assert_eq!(fs::read(&elsewhere).expect("it is there"), b"precious");
        assert!(fs::symlink_metadata(&path).expect("it is there").is_file());
        // A socket's file is what a FIFO is: nothing to read a snapshot from.
        let socket = folder.0.join("s");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("the folder is ours");
        for path in [&socket, &folder.0, Path::new("/dev/null")] {
            let error = read(path).expect_err("no file");
            assert_eq!(error.to_string(), NOT_REGULAR, "{}", path.display());
        }
    }

    #[test]
    fn a_file_is_of_one_at_a_time_though_it_is_replaced() {
        let folder = Folder::new("claim");
        let path = folder.0.join("a");
        let first = Claim::on(&path).expect("nobody has it");
        AsideFile::create(&path).and_then(AsideFile::put_in_place).expect("there is room");
        let refused = Claim::on(&path).expect_err("it is taken");
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
        Claim::on(&folder.0.join("b")).expect("another file is nobody's");
        drop(first);
        Claim::on(&path).expect("nobody has it any more");
    }

    #[test]
    fn what_is_set_aside_never_takes_the_place_of_what_was() {
        let folder = Folder::new("aside");
        let path = folder.0.join("a");
        for content in ["one", "two", "three"] {
            fs::write(&path, content).expect("it is writable");
            set_aside(&path).expect("a name is free");
        }
        assert_eq!(folder.names(), ["a.refused", "a.refused.1", "a.refused.2"]);
        assert_eq!(fs::read(folder.0.join("a.refused")).expect("it is there"), b"one");
    }

    #[test]
    fn portions_make_the_whole_file() {
        let folder = Folder::new("portions");
        let path = folder.0.join("a");
        let whole: Vec<u8> = (0..SNAPSHOT_READ_LEN * 2 + 3).map(|n| n as u8).collect();
        fs::write(&path, &whole).expect("it is writable");
        let mut read = Vec::new();
        let left = read_portions(&path, |bytes| {
            let done = bytes.len() / 3 * 3;
            read.extend_from_slice(&bytes[..done]);
            Ok::<_, io::Error>(done)
        });
        let left = left.expect("it is readable").expect("it is there");
        assert_eq!((read.len() + left, read == whole[..whole.len() - left]), (whole.len(), true));
        let nothing = read_portions(&folder.0.join("b"), |_| Ok::<_, io::Error>(0));
        assert!(matches!(nothing, Ok(None)));
    }
}
