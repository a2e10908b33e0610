//! Files that must be whole or not there: written aside and put in place by one rename. Blocking, for threads of their
//! own and for the start of the program.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
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
    /// What the kernel says.
    pub fn create(path: &Path) -> io::Result<Self> {
        let aside = with_suffix(path, ".tmp");
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&aside)?;
        Ok(Self { path: path.to_owned(), aside, file, is_in_place: false })
    }

    /// Appends.
    ///
    /// # Errors
    /// What the kernel says, such as a full disk.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Puts the file in its place, in the stead of what stood there, once all of it is on the disk.
    ///
    /// # Errors
    /// What the kernel says; then what stood there still does, unless only the last step failed.
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
    /// What the kernel says, [`io::ErrorKind::ResourceBusy`] if it is somebody else's.
    pub fn on(path: &Path) -> io::Result<Self> {
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(with_suffix(path, ".lock"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::ResourceBusy.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Reads a file in portions. `take` gets what is there and says how much of it is done with. What is left at the end
/// is given back; `None` if there is no such file.
///
/// # Errors
/// What the kernel says, or what `take` says.
pub fn read_portions<E: From<io::Error>>(
    path: &Path,
    mut take: impl FnMut(&[u8]) -> Result<usize, E>,
) -> Result<Option<usize>, E> {
    let mut file = match File::open(path) {
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
/// What the kernel says.
pub fn overwrite_end(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.seek(SeekFrom::End(-(bytes.len() as i64)))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Moves a file to a free name beside it, which begins with its own and `.refused`; returns that name.
///
/// # Errors
/// What the kernel says, or that every such name is taken.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    for number in 0..REFUSED_FILES_MAX {
        let suffix = if number == 0 { ".refused".to_owned() } else { format!(".refused.{number}") };
        let aside = with_suffix(path, &suffix);
        // Makes the name, so that nothing that has it already is lost.
        match OpenOptions::new().write(true).create_new(true).open(&aside) {
            Ok(_) => return fs::rename(path, &aside).map(|()| aside),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other(format!("{REFUSED_FILES_MAX} refused files stand beside it already")))
}

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
