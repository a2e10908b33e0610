//! Certificate files: read at the start, when they change, and when the configuration is loaded again. Invalid files
//! change nothing: the gateway keeps its certificates, and reports the failure in its log and its metrics.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::{Drainer, StartError};
use crate::config::TlsFiles;
use crate::driver::{Wake, wall_millis};
use crate::limits::{TLS_FILE_LEN_MAX, TLS_FILES_POLL_MS};
use crate::mailbox::Request;
use crate::transport::tls::{Certificates, Material, PemFile};

/// Reads the files and checks them.
pub(super) fn load(files: &TlsFiles, earlier: Option<&Certificates>) -> Result<Certificates, String> {
    let material = read(files)?;
    Certificates::new(material, wall_millis() / 1_000, earlier).map_err(|error| error.to_string())
}

fn read(files: &TlsFiles) -> Result<Material, String> {
    let mut material = Material::default();
    for (cert, key) in &files.pairs {
        material.pairs.push((read_file(cert)?, read_file(key)?));
    }
    if let Some((path, auth)) = &files.client_ca {
        material.client_ca = Some((read_file(path)?, *auth));
    }
    Ok(material)
}

fn read_file(path: &Path) -> Result<PemFile, String> {
    let name = path.display().to_string();
    let mut pem = Vec::new();
    let read = File::open(path).and_then(|file| file.take(TLS_FILE_LEN_MAX + 1).read_to_end(&mut pem));
    match read {
        Err(error) => Err(format!("cannot read {name}: {error}")),
        Ok(_) if pem.len() as u64 > TLS_FILE_LEN_MAX => Err(format!("{name} is longer than {TLS_FILE_LEN_MAX} bytes")),
        Ok(_) => Ok(PemFile { name, pem }),
    }
}

/// The certificates of the shards, and the thread that checks whether their files change.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    watcher: Arc<Mutex<Watcher>>,
    /// The thread ends when the last copy of this is dropped.
    _lives: Sender<()>,
}

/// Watches the files on a thread of its own, for as long as the process lives.
pub(super) fn watch(files: TlsFiles, loaded: Certificates, drainer: Drainer) -> Result<Watch, StartError> {
    let (lives, has_ended) = mpsc::channel();
    let watcher = Arc::new(Mutex::new(Watcher { refused: None, files, loaded, drainer }));
    let watched = Arc::clone(&watcher);
    let look = move || {
        while has_ended.recv_timeout(Duration::from_millis(TLS_FILES_POLL_MS)) == Err(RecvTimeoutError::Timeout) {
            let look = lock(&watched).look(false);
            if let Err(error) = look {
                tracing::error!(%error, "the certificates cannot be loaded; the gateway keeps the earlier ones");
            }
        }
    };
    thread::Builder::new()
        .name("certificates".to_owned())
        .spawn(look)
        .map_err(|error| StartError::passing(format!("cannot start a thread: {error}")))?;
    Ok(Watch { watcher, _lives: lives })
}

fn lock(watcher: &Mutex<Watcher>) -> MutexGuard<'_, Watcher> {
    watcher.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    /// Reads files, the same or others, and uses their certificates from now on.
    ///
    /// # Errors
    /// The files are invalid; then nothing changes.
    pub fn load(&self, files: &TlsFiles) -> Result<(), String> {
        let mut watcher = lock(&self.watcher);
        let earlier = std::mem::replace(&mut watcher.files, files.clone());
        watcher.look(true).inspect_err(|_| watcher.files = earlier)
    }
}

#[derive(Debug)]
struct Watcher {
    files: TlsFiles,
    loaded: Certificates,
    /// The content of the files when they were invalid, so that each failure is reported once.
    refused: Option<Result<Material, String>>,
    drainer: Drainer,
}

impl Watcher {
    /// Reads the files, a few KiB. Their bytes show whether they changed; their times may not, after a copy.
    fn look(&mut self, is_order: bool) -> Result<(), String> {
        let found = read(&self.files);
        let is_old = found.as_ref().is_ok_and(|found| found == self.loaded.material());
        if !is_order && (is_old || self.refused.as_ref() == Some(&found)) {
            // The files are valid again, with the old content.
            self.refused = self.refused.take().filter(|_| !is_old);
            return Ok(());
        }
        let taken = found.clone().and_then(|material| {
            Certificates::new(material, wall_millis() / 1_000, Some(&self.loaded)).map_err(|error| error.to_string())
        });
        match taken {
            Ok(certificates) => {
                let (config, expires_s) = (Arc::clone(certificates.config()), certificates.expires_s());
                // If a lane is full, that shard would keep the old certificates: the next look tries again.
                if self.drainer.tell(|| Request::Certificates { config: Some(Arc::clone(&config)), expires_s }) {
                    tracing::info!(expires_s, "certificates loaded");
                    (self.loaded, self.refused) = (certificates, None);
                }
                Ok(())
            }
            Err(error) => {
                self.drainer.tell(|| Request::Certificates { config: None, expires_s: 0 });
                self.refused = Some(found);
                Err(error)
            }
        }
    }
}

impl Drainer {
    /// Sends a request to every shard; `false` if a lane was full.
    pub(super) fn tell(&self, request: impl Fn() -> Request) -> bool {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let is_told = control.tell_all(request);
        self.wakers.iter().for_each(Wake::wake);
        is_told
    }
}
