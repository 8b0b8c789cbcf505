//! A text with one byte per character: digits of all scripts are digits, all dashes and spaces are one each, what cannot be
//! seen is left out.

use std::borrow::Cow;

/// A letter of a script whose words are set apart by spaces.
pub(crate) const LETTER: u8 = 1;
/// A letter of another script: a number may stand beside it without a space.
pub(crate) const SIGN: u8 = 2;
/// Anything else.
pub(crate) const OTHER: u8 = 3;

/// Where the ten digits of a script begin.
const ZEROS: [u32; 15] = [
    0x0660, 0x06F0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0E50, 0x0ED0, 0x1040,
    0x17E0,
];

/// The text, made plain.
pub(crate) struct Skeleton<'a> {
    pub(crate) text: &'a str,
    pub(crate) bytes: Cow<'a, [u8]>,
    /// Where each byte's character begins in the text; absent if they are the same.
    starts: Option<Vec<u32>>,
}

impl<'a> Skeleton<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        if text.is_ascii() && !text.bytes().any(|byte| is_hidden(byte.into())) {
            return Self { text, bytes: Cow::Borrowed(text.as_bytes()), starts: None };
        }
        let (mut bytes, mut starts) = (Vec::with_capacity(text.len()), Vec::with_capacity(text.len()));
        for (at, c) in text.char_indices() {
            if let Some(byte) = plain(c) {
                bytes.push(byte);
                starts.push(u32::try_from(at).expect("longer texts are not read"));
            }
        }
        Self { text, bytes: Cow::Owned(bytes), starts: Some(starts) }
    }

    /// Where a range of it is in the text.
    pub(crate) fn range(&self, start: usize, end: usize) -> (usize, usize) {
        let Some(starts) = &self.starts else { return (start, end) };
        let first = starts[start] as usize;
        let last = starts[end - 1] as usize;
        let width = self.text[last..].chars().next().map_or(0, char::len_utf8);
        (first, last + width)
    }

    pub(crate) fn at(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(b'\n')
    }

    /// The byte before, or a line feed at the beginning. In a text within a text a line feed is written as two letters.
    pub(crate) fn before(&self, at: usize) -> u8 {
        match self.bytes[..at] {
            [] | [.., b'\\', b'n' | b'r' | b't'] => b'\n',
            [.., before] => before,
        }
    }

    /// The last words before a place, in small letters.
    pub(crate) fn words_before(&self, at: usize) -> String {
        let end =
            self.starts.as_ref().map_or(at, |starts| starts.get(at).map_or(self.text.len(), |start| *start as usize));
        let mut start = end.saturating_sub(crate::limits::CONTEXT);
        while !self.text.is_char_boundary(start) {
            start += 1;
        }
        self.text[start..end].to_lowercase()
    }
}

/// What a character is here; `None` if it cannot be seen.
fn plain(c: char) -> Option<u8> {
    let code = c as u32;
    Some(match code {
        _ if is_hidden(code) => return None,
        0..128 => code.to_le_bytes()[0],
        0xFF01..=0xFF5E => (code - 0xFEE0).to_le_bytes()[0],
        0x2010..=0x2015 | 0x2212 | 0xFE58 | 0xFE63 => b'-',
        _ if c.is_whitespace() => b' ',
        _ => match ZEROS.iter().find(|zero| (**zero..**zero + 10).contains(&code)) {
            Some(zero) => b'0' + (code - zero).to_le_bytes()[0],
            None if c.is_alphabetic() && code < 0x0590 => LETTER,
            None if c.is_alphabetic() => SIGN,
            None => OTHER,
        },
    })
}

/// Whether nobody sees a character, so that it can stand anywhere.
fn is_hidden(code: u32) -> bool {
    match code {
        0x09 | 0x0A | 0x0D => false,
        0..0x20 | 0x7F => true,
        0x00AD | 0x034F | 0x061C | 0x180E => true,
        0x200B..=0x200F | 0x202A..=0x202E | 0x2060..=0x206F => true,
        0xFE00..=0xFE0F | 0xFEFF | 0xE0000..=0xE007F | 0xE0100..=0xE01EF => true,
        _ => false,
    }
}

/// Whether a byte belongs to a word, so that a number beside it is a part of something else.
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == LETTER
}
