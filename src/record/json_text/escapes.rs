//! Escapes in JSON strings, resolved and written.

use std::borrow::Cow;

/// What the inside of a valid JSON string says, in WTF-8: a lone surrogate (JSON can escape one,
/// UTF-8 cannot hold it) is encoded by the general scheme. The order of such bytes is the order of
/// code points, and a part of the bytes that is itself such a text is a part of the code points.
pub(super) fn unescape(inside: &str) -> Cow<'_, [u8]> {
    let Some(first) = inside.find('\\') else {
        return Cow::Borrowed(inside.as_bytes());
    };
    let mut said = Vec::with_capacity(inside.len());
    let (plain, mut rest) = inside.split_at(first);
    said.extend_from_slice(plain.as_bytes());
    while let Some(escape) = rest.strip_prefix('\\') {
        let (code_point, behind) = resolve(escape);
        push(&mut said, code_point);
        let next = behind.find('\\').unwrap_or(behind.len());
        said.extend_from_slice(&behind.as_bytes()[..next]);
        rest = &behind[next..];
    }
    Cow::Owned(said)
}

/// The same as text: in place of a lone surrogate stands a replacement character.
pub fn lossy(said: &[u8]) -> String {
    let mut text = String::with_capacity(said.len());
    for chunk in said.utf8_chunks() {
        text.push_str(chunk.valid());
        // A surrogate's three bytes begin with this one, and each is a chunk of its own.
        if chunk.invalid().first() == Some(&0xed) {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    text
}

/// A text as a JSON string, with its quotes; escapes only what must be.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\0'..'\u{20}' => quoted.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// The code point of the escape (given without its backslash) and the text behind it.
fn resolve(escape: &str) -> (u32, &str) {
    let mut behind = escape.chars();
    let code_point = match behind.next() {
        Some('b') => 0x08,
        Some('f') => 0x0c,
        Some('n') => 0x0a,
        Some('r') => 0x0d,
        Some('t') => 0x09,
        Some('u') => return resolve_unicode(behind.as_str()),
        Some(itself) => u32::from(itself),
        None => 0xfffd,
    };
    (code_point, behind.as_str())
}

/// As [`resolve`], from behind the `u`; a surrogate pair is one code point.
fn resolve_unicode(digits: &str) -> (u32, &str) {
    let (unit, behind) = hex_unit(digits);
    if (0xd800..0xdc00).contains(&unit)
        && let Some(second) = behind.strip_prefix("\\u")
        && let (low @ 0xdc00..0xe000, behind) = hex_unit(second)
    {
        return (0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00), behind);
    }
    (unit, behind)
}

/// Four hexadecimal digits; U+FFFD where they are not (valid JSON has them).
fn hex_unit(text: &str) -> (u32, &str) {
    text.split_at_checked(4)
        .and_then(|(digits, behind)| Some((u32::from_str_radix(digits, 16).ok()?, behind)))
        .unwrap_or((0xfffd, ""))
}

/// Adds a code point as UTF-8, a surrogate by the same scheme.
fn push(said: &mut Vec<u8>, code_point: u32) {
    match char::from_u32(code_point) {
        Some(character) => {
            said.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        None => said.extend([
            0xe0 | (code_point >> 12) as u8,
            0x80 | (code_point >> 6 & 0x3f) as u8,
            0x80 | (code_point & 0x3f) as u8,
        ]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn resolves_each_escape() {
        fn check(inside: &str, expected: &[u8]) {
            assert_eq!(*unescape(inside), *expected, "{inside}");
        }
        check("", b"");
        check("plain é", "plain é".as_bytes());
        check(r#"\"\\\/\b\f\n\r\t"#, b"\"\\/\x08\x0c\n\r\t");
        check(r"\u0061\u00e9\u00E9\u20ac-", "aéé€-".as_bytes());
        check(r"x\ud83d\ude00y", "x😀y".as_bytes());
        // Lone surrogates: high, low, reversed, high before another escape.
        check(r"\ud800", b"\xed\xa0\x80");
        check(r"\udfffz", b"\xed\xbf\xbfz");
        check(r"\udc00\ud800", b"\xed\xb0\x80\xed\xa0\x80");
        check(r"\ud800\u0041", b"\xed\xa0\x80A");
        check(r"\ud800\n", b"\xed\xa0\x80\n");
        // Cannot be valid JSON, yet nothing breaks.
        check("\\", "\u{fffd}".as_bytes());
        check(r"\u00é", "\u{fffd}".as_bytes());
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(text in any::<String>()) {
            let quoted = quote(&text);
            prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text.clone());
            prop_assert_eq!(&*unescape(&quoted[1..quoted.len() - 1]), text.as_bytes());
            let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
            prop_assert_eq!(&*unescape(&units), text.as_bytes());
        }
    }
}
