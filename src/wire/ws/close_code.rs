//! Close codes that may stand in a close frame. [RFC 6455 7.4]

/// Whether a peer may send `close_code`: those of the RFC and its registry that are meant for the wire, and the
/// ranges for libraries (3000-3999) and applications (4000-4999). 1004 is reserved; 1005, 1006 and 1015 stand for
/// the absence of a close frame and "MUST NOT be set as a status code in a Close control frame". [RFC 6455 7.4.1]
#[must_use]
pub const fn is_valid(close_code: u16) -> bool {
    matches!(close_code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_codes_meant_for_the_wire_are_valid() {
        let valid: Vec<u16> = (0..=u16::MAX).filter(|&code| is_valid(code)).collect();
        let mut expected = vec![1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];
        expected.extend(3000..=4999);
        assert_eq!(valid, expected);
    }
}
