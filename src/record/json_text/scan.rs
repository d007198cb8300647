//! The walk over text that is known to be valid JSON. A counter stands for the stack, and every
//! index stays inside of the text, whatever it holds.

/// The next value (or member name) at or after `at`, which moves behind it; `None` at the bracket
/// that closes the array or object.
pub(super) fn next_value<'a>(text: &'a str, at: &mut usize) -> Option<&'a str> {
    let bytes = text.as_bytes();
    while let Some(b' ' | b'\n' | b'\r' | b'\t' | b',' | b':') = bytes.get(*at) {
        *at += 1;
    }
    let start = *at;
    let end = match bytes.get(start)? {
        b'}' | b']' => return None,
        b'"' => string_end(bytes, start),
        b'{' | b'[' => container_end(bytes, start),
        _ => scalar_end(bytes, start),
    };
    *at = end;
    text.get(start..end)
}

/// The index behind the string that opens at `start`.
pub(super) fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Whether arrays and objects nest deeper than `limit`.
pub(super) fn is_deeper_than(text: &str, limit: usize) -> bool {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = string_end(bytes, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit {
            return true;
        }
        at += 1;
    }
    false
}

/// The index behind the array or object that opens at `start`.
fn container_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = string_end(bytes, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return at + 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// The index behind the number or word that starts at `start`.
fn scalar_end(bytes: &[u8], start: usize) -> usize {
    let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
    bytes[start..]
        .iter()
        .position(ends)
        .map_or(bytes.len(), |length| start + length)
}
