//! Whether all that schemes write into headers can stand side by side.

use http::HeaderMap;
use http::HeaderName;

use super::error::{SchemeError, Writer};
use super::template::Piece;
use super::{SignatureScheme, TimestampUnit};

/// What a scheme writes into a header.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written<'a> {
    Signatures {
        start: &'a [Piece],
        /// That of the time in `start`, if there is one.
        unit: Option<TimestampUnit>,
        separator: Option<&'a str>,
        prefix: &'a str,
    },
    Timestamp(TimestampUnit),
    Id,
    Type,
}

impl Written<'_> {
    /// Whether both can be had: they say the same, or are lists of signatures that can be one list.
    fn goes_with(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Signatures {
                    start,
                    unit,
                    separator,
                    prefix,
                },
                Self::Signatures {
                    start: other_start,
                    unit: other_unit,
                    separator: other_separator,
                    prefix: other_prefix,
                },
            ) => {
                let is_one_list = start == other_start && unit == other_unit;
                // Told apart by what stands before each.
                is_one_list
                    && separator.is_some()
                    && separator == other_separator
                    && prefix != other_prefix
            }
            (one, other) => one == other,
        }
    }
}

/// Checks the schemes of one subscription against each other, its own headers, and its URL's
/// credentials.
///
/// # Errors
/// The place of the scheme, and what it gets in the way of.
pub(in crate::record::subscription) fn check(
    schemes: &[SignatureScheme],
    headers: &HeaderMap,
    has_credentials: bool,
) -> Result<(), (usize, SchemeError)> {
    let mut seen: Vec<(usize, &HeaderName, Written<'_>)> = Vec::new();
    for (index, scheme) in schemes.iter().enumerate() {
        for (header, written) in writes(scheme) {
            let conflict = |other| {
                let header = header.clone();
                Err((index, SchemeError::Conflict { header, other }))
            };
            if headers.contains_key(header) {
                return conflict(Writer::Headers);
            }
            if has_credentials && header == http::header::AUTHORIZATION {
                return conflict(Writer::Credentials);
            }
            for (other, taken, there) in &seen {
                if *taken == header && !written.goes_with(there) {
                    return conflict(match *other == index {
                        true => Writer::Itself,
                        false => Writer::Scheme(*other),
                    });
                }
            }
            seen.push((index, header, written));
        }
    }
    Ok(())
}

fn writes(scheme: &SignatureScheme) -> impl Iterator<Item = (&HeaderName, Written<'_>)> {
    let unit = scheme.timestamp_unit;
    let signatures = Written::Signatures {
        start: &scheme.start,
        unit: scheme.start.contains(&Piece::Timestamp).then_some(unit),
        separator: scheme.separator.as_deref(),
        prefix: &scheme.prefix,
    };
    let more = [
        (scheme.timestamp_header.as_ref(), Written::Timestamp(unit)),
        (scheme.id_header.as_ref(), Written::Id),
        (scheme.type_header.as_ref(), Written::Type),
    ];
    let more = more.into_iter();
    std::iter::once((&scheme.header, signatures))
        .chain(more.filter_map(|(header, written)| Some((header?, written))))
}
