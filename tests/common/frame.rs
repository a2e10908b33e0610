//! A frame as the judge writes and reads it, with every bit free to be wrong. [RFC 6455 5.2]

/// The four bits that say what a frame is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Opcode(pub u8);

impl Opcode {
    pub const CONTINUATION: Self = Self(0x0);
    pub const TEXT: Self = Self(0x1);
    pub const BINARY: Self = Self(0x2);
    pub const CLOSE: Self = Self(0x8);
    pub const PING: Self = Self(0x9);
    pub const PONG: Self = Self(0xA);
}

impl std::fmt::Debug for Opcode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// How the payload's length is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// In the fewest octets, as the RFC wants it.
    Minimal,
    /// In 16 bits, needed or not.
    In16,
    /// In 64 bits, needed or not.
    In64,
    /// In 64 bits, whatever the payload is.
    Declared(u64),
}

#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    pub fin: bool,
    pub rsv: u8,
    pub opcode: Opcode,
    pub masking_key: Option<[u8; 4]>,
    pub length: Length,
    pub payload: Vec<u8>,
}

/// Neither zero nor symmetric, so that a wrong unmasking shows.
const MASKING_KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

impl Frame {
    /// A whole and masked frame.
    pub fn new(opcode: Opcode, payload: impl AsRef<[u8]>) -> Self {
        let payload = payload.as_ref().to_vec();
        Self { fin: true, rsv: 0, opcode, masking_key: Some(MASKING_KEY), length: Length::Minimal, payload }
    }

    pub fn text(payload: impl AsRef<[u8]>) -> Self {
        Self::new(Opcode::TEXT, payload)
    }

    pub fn binary(payload: impl AsRef<[u8]>) -> Self {
        Self::new(Opcode::BINARY, payload)
    }

    pub fn continuation(payload: impl AsRef<[u8]>) -> Self {
        Self::new(Opcode::CONTINUATION, payload)
    }

    pub fn ping(payload: impl AsRef<[u8]>) -> Self {
        Self::new(Opcode::PING, payload)
    }

    pub fn pong(payload: impl AsRef<[u8]>) -> Self {
        Self::new(Opcode::PONG, payload)
    }

    pub fn close(code: u16, reason: impl AsRef<[u8]>) -> Self {
        Self::new(Opcode::CLOSE, [&code.to_be_bytes(), reason.as_ref()].concat())
    }

    /// With more fragments to follow.
    pub fn unfinished(mut self) -> Self {
        self.fin = false;
        self
    }

    /// With reserved bits: 4 is RSV1, 2 is RSV2, 1 is RSV3.
    pub fn with_rsv(mut self, rsv: u8) -> Self {
        self.rsv = rsv;
        self
    }

    pub fn with_masking_key(mut self, key: [u8; 4]) -> Self {
        self.masking_key = Some(key);
        self
    }

    pub fn unmasked(mut self) -> Self {
        self.masking_key = None;
        self
    }

    pub fn with_length(mut self, length: Length) -> Self {
        self.length = length;
        self
    }

    /// The octets on the wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut octets = self.encode_header();
        match self.masking_key {
            Some(key) => octets.extend(self.payload.iter().zip(key.iter().cycle()).map(|(octet, key)| octet ^ key)),
            None => octets.extend_from_slice(&self.payload),
        }
        octets
    }

    /// The octets before the payload.
    pub fn encode_header(&self) -> Vec<u8> {
        let mask = if self.masking_key.is_some() { 0x80 } else { 0 };
        let len = self.payload.len();
        let mut octets = vec![u8::from(self.fin) << 7 | (self.rsv & 7) << 4 | self.opcode.0 & 0xf];
        match self.length {
            Length::Minimal if len <= 125 => octets.push(mask | len as u8),
            Length::Minimal | Length::In16 if len <= 0xffff => {
                octets.push(mask | 126);
                octets.extend((len as u16).to_be_bytes());
            }
            form => {
                octets.push(mask | 127);
                octets.extend(if let Length::Declared(len) = form { len } else { len as u64 }.to_be_bytes());
            }
        }
        octets.extend(self.masking_key.iter().flatten());
        octets
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { fin, rsv, opcode, payload, .. } = self;
        let head = String::from_utf8_lossy(&payload[..payload.len().min(80)]);
        write!(f, "frame(opcode {opcode:?}, fin {fin}, rsv {rsv}, {} octets {head:?})", payload.len())
    }
}
