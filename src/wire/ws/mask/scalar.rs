//! Eight bytes at a time, without an instruction set of its own: the twin that the others are tested against.

/// Unmasks `bytes` in place; see [`super::unmask`].
pub fn unmask(bytes: &mut [u8], mut masking_key: [u8; 4], offset: usize) {
    masking_key.rotate_left(offset % 4);
    let [a, b, c, d] = masking_key;
    let key = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ key).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(key.to_ne_bytes()) {
        *byte ^= key;
    }
}
