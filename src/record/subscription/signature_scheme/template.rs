//! Texts with variables in braces: `{timestamp}.{body}`.

use std::borrow::Cow;

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Itself.
    Text(Cow<'static, str>),
    /// The delivery's id.
    Id,
    /// The time of this attempt.
    Timestamp,
    /// The event's type.
    Type,
    /// The body.
    Body,
    /// The source text of the body's member `data`.
    Data,
}

/// The variables by their names.
const VARIABLES: [(&str, Piece); 5] = [
    ("id", Piece::Id),
    ("timestamp", Piece::Timestamp),
    ("type", Piece::Type),
    ("body", Piece::Body),
    ("data", Piece::Data),
];

/// Reads a template; none for unknown variables, braces without a partner, and what is not visible
/// ASCII or a space.
pub(super) fn parse(text: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find('{').unwrap_or(rest.len());
        let (plain, from_brace) = rest.split_at(end);
        if !plain.is_empty() {
            let is_plain = |byte: u8| byte != b'}' && (byte == b' ' || byte.is_ascii_graphic());
            if !plain.bytes().all(is_plain) {
                return None;
            }
            pieces.push(Piece::Text(Cow::Owned(plain.to_owned())));
        }
        let Some(variable) = from_brace.strip_prefix('{') else {
            break;
        };
        let (name, behind) = variable.split_once('}')?;
        let (_, piece) = VARIABLES.iter().find(|(known, _)| *known == name)?;
        pieces.push(piece.clone());
        rest = behind;
    }
    Some(pieces)
}

/// A template as it is written.
pub(super) fn shown(pieces: &[Piece]) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Text(text) => text.to_string(),
        variable @ (Piece::Id | Piece::Timestamp | Piece::Type | Piece::Body | Piece::Data) => {
            let name = VARIABLES.iter().find(|(_, known)| known == variable);
            format!("{{{}}}", name.map_or("", |(name, _)| name))
        }
    };
    pieces.iter().map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_text_and_variables() {
        for text in [
            "",
            "{body}",
            "{id}.{timestamp}.{type}.{data}",
            "v0:{timestamp}:{body}",
            "t={timestamp}, ",
        ] {
            assert_eq!(shown(&parse(text).unwrap()), text);
        }
        for text in [
            "{", "}", "{}", "{Body}", "{body", "body}", "{{body}}", "{ body }", "\n", "é",
            "a\u{7f}",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_shown_again(text in "[ -~]{0,20}|([.=a-z ]{0,3}\\{(id|body|timestamp)\\}){0,4}") {
            if let Some(pieces) = parse(&text) {
                prop_assert_eq!(shown(&pieces), text);
            }
        }
    }
}
