//! The visible characters: a topic name has no others, so that two names that look alike are the same.

/// Whether a reader sees the character, and it moves no other: it has none of the general categories Cc, Cf, Zl, Zp and Zs,
/// is no noncharacter, and is not `Default_Ignorable_Code_Point` (variation selectors, tags, fillers). Of Unicode 17.
pub(super) fn is_visible(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_graphic();
    }
    let code = u32::from(character);
    let behind = INVISIBLE.partition_point(|(first, _)| *first <= code);
    let is_listed = behind > 0 && code <= INVISIBLE[behind - 1].1;
    !is_listed && code & 0xfffe != 0xfffe
}

/// Ranges, both ends included, in order. The noncharacters at the end of each plane are not among them.
const INVISIBLE: [(u32, u32); 29] = [
    (0x80, 0xa0),
    (0xad, 0xad),
    (0x34f, 0x34f),
    (0x600, 0x605),
    (0x61c, 0x61c),
    (0x6dd, 0x6dd),
    (0x70f, 0x70f),
    (0x890, 0x891),
    (0x8e2, 0x8e2),
    (0x115f, 0x1160),
    (0x1680, 0x1680),
    (0x17b4, 0x17b5),
    (0x180b, 0x180f),
    (0x2000, 0x200f),
    (0x2028, 0x202f),
    (0x205f, 0x206f),
    (0x3000, 0x3000),
    (0x3164, 0x3164),
    (0xfdd0, 0xfdef),
    (0xfe00, 0xfe0f),
    (0xfeff, 0xfeff),
    (0xffa0, 0xffa0),
    (0xfff0, 0xfffb),
    (0x110bd, 0x110bd),
    (0x110cd, 0x110cd),
    (0x13430, 0x1343f),
    (0x1bca0, 0x1bca3),
    (0x1d173, 0x1d17a),
    (0xe0000, 0xe0fff),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_told_from_what_can() {
        for visible in
            ['a', '~', '\u{a1}', 'é', 'ß', '€', '日', 'ا', 'अ', '\u{300}', '😀', '\u{e000}', '\u{fffd}', '\u{10fffd}']
        {
            assert!(is_visible(visible), "{:x}", u32::from(visible));
        }
        for invisible in [
            '\0',
            '\t',
            ' ',
            '\u{7f}',
            '\u{85}',
            '\u{a0}',
            '\u{ad}',
            '\u{34f}',
            '\u{61c}',
            '\u{1680}',
            '\u{180e}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{2028}',
            '\u{2029}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{3000}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fff9}',
            '\u{fdd0}',
            '\u{fffe}',
            '\u{ffff}',
            '\u{1d173}',
            '\u{1ffff}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{e0100}',
            '\u{10ffff}',
        ] {
            assert!(!is_visible(invisible), "{:x}", u32::from(invisible));
        }
    }

    #[test]
    fn what_the_standard_library_knows_to_be_no_mark_is_listed() {
        for character in '\0'..=char::MAX {
            let has_no_mark = character.is_control() || character.is_whitespace();
            assert!(!has_no_mark || !is_visible(character), "{:x}", u32::from(character));
        }
    }

    #[test]
    fn the_ranges_are_in_order_and_apart() {
        assert!(INVISIBLE.iter().all(|(first, last)| first <= last));
        assert!(INVISIBLE.windows(2).all(|two| two[0].1 + 1 < two[1].0));
    }
}
