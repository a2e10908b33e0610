//! Certificate files: read at the start, and again when they change or a SIGHUP says so. Files that are of no use change
//! nothing: the gateway goes on with those that it has, and says so in its log and its metrics.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
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

/// Asks for the files to be read again. Without TLS there are none.
#[derive(Clone, Debug, Default)]
pub struct Reloader(Option<Arc<Mutex<Sender<()>>>>);

impl Reloader {
    /// Reads the files again, soon and on another thread.
    pub fn reload(&self) {
        match &self.0 {
            Some(sender) => {
                let _ = sender.lock().unwrap_or_else(PoisonError::into_inner).send(());
            }
            None => tracing::info!("there is nothing to load again: no certificates are configured"),
        }
    }
}

/// Watches the files on a thread of its own, for as long as the process lives.
pub(super) fn watch(files: TlsFiles, loaded: Certificates, drainer: Drainer) -> Result<Reloader, StartError> {
    let (sender, orders) = mpsc::channel();
    let watcher = Watcher { refused: None, files, loaded, drainer };
    thread::Builder::new()
        .name("certificates".to_owned())
        .spawn(move || watcher.run(&orders))
        .map_err(|error| StartError::passing(format!("cannot start a thread: {error}")))?;
    Ok(Reloader(Some(Arc::new(Mutex::new(sender)))))
}

struct Watcher {
    files: TlsFiles,
    loaded: Certificates,
    /// What the files held when they were of no use, so that it is said once.
    refused: Option<Result<Material, String>>,
    drainer: Drainer,
}

impl Watcher {
    fn run(mut self, orders: &Receiver<()>) {
        loop {
            match orders.recv_timeout(Duration::from_millis(TLS_FILES_POLL_MS)) {
                Ok(()) => self.look(true),
                Err(RecvTimeoutError::Timeout) => self.look(false),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Reads the files: a few KiB, so that their bytes say whether they changed, whatever a copy does to their times.
    fn look(&mut self, is_order: bool) {
        let found = read(&self.files);
        let is_old = found.as_ref().is_ok_and(|found| found == self.loaded.material());
        if !is_order && (is_old || self.refused.as_ref() == Some(&found)) {
            // Somebody put them back as they were.
            self.refused = self.refused.take().filter(|_| !is_old);
            return;
        }
        let taken = found.clone().and_then(|material| {
            Certificates::new(material, wall_millis() / 1_000, Some(&self.loaded)).map_err(|error| error.to_string())
        });
        match taken {
            Ok(certificates) => {
                let (config, expires_s) = (Arc::clone(certificates.config()), certificates.expires_s());
                // With its lane full a shard would go on with the old ones: the next look tries again.
                if self.drainer.tell(|| Request::Certificates { config: Some(Arc::clone(&config)), expires_s }) {
                    tracing::info!(expires_s, "certificates loaded");
                    (self.loaded, self.refused) = (certificates, None);
                }
            }
            Err(error) => {
                tracing::error!(%error, "the certificates cannot be loaded; going on with those from before");
                self.drainer.tell(|| Request::Certificates { config: None, expires_s: 0 });
                self.refused = Some(found);
            }
        }
    }
}

impl Drainer {
    /// Tells every shard; `false` if one of them had no room.
    fn tell(&self, request: impl Fn() -> Request) -> bool {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let is_told = control.tell_all(request);
        self.wakers.iter().for_each(Wake::wake);
        is_told
    }
}
