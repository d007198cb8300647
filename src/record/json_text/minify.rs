//! Removing the white space that means nothing.

use super::scan;

/// The same JSON without white space outside of strings. The input must be valid JSON; other text
/// gives other text, never a panic.
pub fn minify(text: &str) -> String {
    let mut small = Vec::with_capacity(text.len());
    minify_into(text, &mut small);
    // Only whole ASCII characters were left out, so this never has to replace anything.
    String::from_utf8(small)
        .unwrap_or_else(|broken| String::from_utf8_lossy(broken.as_bytes()).into_owned())
}

/// As [`minify`], to the end of `out`.
pub fn minify_into(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    // Runs are copied whole: most texts have little white space, many none.
    let (mut at, mut copied) = (0, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = scan::string_end(bytes, at),
            b' ' | b'\n' | b'\r' | b'\t' => {
                out.extend_from_slice(&bytes[copied..at]);
                at += 1;
                copied = at;
            }
            _ => at += 1,
        }
    }
    out.extend_from_slice(&bytes[copied..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_all_but_white_space_outside_of_strings() {
        fn check(text: &str, expected: &str) {
            assert_eq!(minify(text), expected);
        }
        check(" 1.10\n", "1.10");
        check("{ }", "{}");
        check("[ 1e3 ,\t-0.0,\r\n1E+2 ]", "[1e3,-0.0,1E+2]");
        check(
            r#"{ "b" : "a \" b" , "a" : "\u00e9 é\\" }"#,
            r#"{"b":"a \" b","a":"\u00e9 é\\"}"#,
        );
        check(r#"{"a":1}"#, r#"{"a":1}"#);
        // Not JSON, yet nothing breaks.
        check("\"open \\", "\"open \\");
    }
}
