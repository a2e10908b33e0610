//! The layer below the raw client's octets: none, or TLS.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// A stream to the gateway.
pub enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    /// Over a socket's file.
    pub fn unix(path: &Path) -> Self {
        Self::Plain(OwnedFd::from(UnixStream::connect(path).expect("the gateway listens on the file")).into())
    }

    /// Over TLS, for whoever `name` is.
    pub fn tls(stream: TcpStream, config: &Arc<ClientConfig>, name: &str) -> Self {
        let name = name.to_owned().try_into().expect("a name");
        let client = ClientConnection::new(Arc::clone(config), name).expect("a client");
        Self::Tls(Box::new(StreamOwned::new(client, stream)))
    }

    /// The socket under it.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }

    /// Ends our side of the stream.
    pub fn finish(&mut self) -> io::Result<()> {
        if let Self::Tls(stream) = self {
            stream.conn.send_close_notify();
            stream.conn.complete_io(&mut stream.sock)?;
        }
        self.socket().shutdown(Shutdown::Write)
    }
}

impl Read for Wire {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(octets),
            Self::Tls(stream) => stream.read(octets),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(octets),
            Self::Tls(stream) => stream.write(octets),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
