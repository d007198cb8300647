//! Where one member of an event comes from, and what is made of it on the way.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use regex::Regex;
use serde::Deserialize;

use super::Source;
use super::error::{MappingError, MappingRule, Member};
use crate::clock::Timestamp;
use crate::record::cloud_event::json_value;
use crate::record::json_text::{Kind, Node, Path, quote};

/// The most paths of one part.
pub(super) const MOST_PATHS: usize = 16;

/// One member's source. In this order: what is found, `capture`, `lower_case`, `values`, `prefix` and
/// `suffix`; in place of what is not found then, `default`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Written")]
pub(super) struct Part {
    from: From,
    capture: Option<Regex>,
    lower_case: bool,
    values: Option<BTreeMap<String, String>>,
    prefix: String,
    suffix: String,
    default: Option<String>,
    optional: bool,
    unit: Option<Unit>,
    json: bool,
}

#[derive(Clone, Debug)]
enum From {
    Constant(String),
    Header(String),
    Key,
    KeyPath(Path),
    Paths(Vec<Path>),
    Topic,
    Value,
}

/// As it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    constant: Option<String>,
    header: Option<String>,
    key: Option<WrittenKey>,
    path: Option<WrittenPaths>,
    topic: Option<bool>,
    value: Option<bool>,
    capture: Option<String>,
    #[serde(default)]
    lower_case: bool,
    values: Option<BTreeMap<String, String>>,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    suffix: String,
    default: Option<String>,
    #[serde(default)]
    optional: bool,
    unit: Option<Unit>,
    #[serde(default)]
    json: bool,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "must be true, or a path into a key that is JSON"
)]
enum WrittenKey {
    Whole(bool),
    Path(String),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "must be a path, or a list of paths")]
enum WrittenPaths {
    One(String),
    Several(Vec<String>),
}

/// What a number of a time counts, since the beginning of 1970 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Unit {
    /// Seconds, perhaps with a fraction.
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds.
    #[serde(rename = "ms")]
    Milliseconds,
    /// Microseconds.
    #[serde(rename = "us")]
    Microseconds,
    /// Nanoseconds.
    #[serde(rename = "ns")]
    Nanoseconds,
}

/// What a part leads to.
enum Found<'a> {
    Text(Cow<'a, str>),
    Json(Node<'a>),
}

impl Part {
    /// Whether the event is one without it.
    pub(super) fn is_optional(&self) -> bool {
        self.optional
    }

    pub(super) fn unit(&self) -> Option<Unit> {
        self.unit
    }

    /// Which of these options it has, if any.
    pub(super) fn option_among(&self, options: &[&'static str]) -> Option<&'static str> {
        let has = |option: &&'static str| match *option {
            "constant" => matches!(self.from, From::Constant(_)),
            "path" => matches!(self.from, From::Paths(_)),
            "topic" => matches!(self.from, From::Topic),
            "capture" => self.capture.is_some(),
            "lower_case" => self.lower_case,
            "values" => self.values.is_some(),
            "prefix" => !self.prefix.is_empty(),
            "suffix" => !self.suffix.is_empty(),
            "default" => self.default.is_some(),
            "optional" => self.optional,
            "unit" => self.unit.is_some(),
            "json" => self.json,
            _ => false,
        };
        options.iter().copied().find(|option| has(option))
    }

    /// What it can come to without the record having a say: these can be judged before there is one.
    pub(super) fn fixed_texts(&self) -> Vec<String> {
        let mut texts: Vec<String> = self.default.iter().cloned().collect();
        let values = self.values.iter().flat_map(BTreeMap::values);
        texts.extend(values.map(|value| self.around(value)));
        if let From::Constant(constant) = &self.from {
            texts.extend(self.shaped(constant));
        }
        texts
    }

    /// Its text; none if it is not there.
    pub(super) fn text(
        &self,
        member: Member,
        source: &Source<'_>,
        root: Node<'_>,
    ) -> Result<Option<String>, MappingError> {
        let raw = match self.find(member, source, root)? {
            None => None,
            Some(Found::Text(text)) => Some(text),
            Some(Found::Json(node)) => match node.kind() {
                Kind::Null => None,
                Kind::Bool | Kind::Number => Some(Cow::Borrowed(node.text())),
                Kind::String => Some(said(node).ok_or(MappingError::NotText(member))?),
                Kind::Array | Kind::Object => return Err(MappingError::NotText(member)),
            },
        };
        let shaped = raw.and_then(|raw| self.shaped(&raw));
        Ok(shaped.or_else(|| self.default.clone()))
    }

    /// Its value as JSON text.
    pub(super) fn json<'a>(
        &'a self,
        source: &Source<'a>,
        root: Node<'a>,
    ) -> Result<Cow<'a, str>, MappingError> {
        let member = Member::Data;
        let found = self.find(member, source, root)?;
        let text = match found.ok_or(MappingError::Missing(member))? {
            Found::Json(node) if !self.json || node.kind() != Kind::String => {
                return Ok(Cow::Borrowed(node.text()));
            }
            Found::Json(node) => said(node).ok_or(MappingError::NotText(member))?,
            Found::Text(text) => text,
        };
        if !self.json {
            return Ok(Cow::Owned(quote(&text)));
        }
        let node = json_value(text.as_bytes()).map_err(MappingError::DataNotJson)?;
        Ok(Cow::Owned(node.text().to_owned()))
    }

    fn find<'a>(
        &'a self,
        member: Member,
        source: &Source<'a>,
        root: Node<'a>,
    ) -> Result<Option<Found<'a>>, MappingError> {
        let text = |bytes: &'a [u8]| {
            let text = str::from_utf8(bytes).map_err(|_| MappingError::NotText(member))?;
            Ok(Found::Text(Cow::Borrowed(text)))
        };
        match &self.from {
            From::Constant(constant) => Ok(Some(Found::Text(Cow::Borrowed(constant)))),
            From::Header(name) => source.headers.get(name).map(text).transpose(),
            From::Key => source.key.map(text).transpose(),
            From::KeyPath(path) => {
                let Some(key) = source.key else {
                    return Ok(None);
                };
                let key = Node::parse(key).map_err(|_| MappingError::KeyNotJson)?;
                Ok(key.get(path.steps()).map(Found::Json))
            }
            From::Topic => Ok(Some(Found::Text(Cow::Borrowed(source.topic)))),
            From::Value => Ok(Some(Found::Json(root))),
            From::Paths(paths) => {
                // A null stands only where no other path leads to more.
                let found = || paths.iter().filter_map(|path| root.get(path.steps()));
                let best = found().find(|node| node.kind() != Kind::Null);
                Ok(best.or_else(|| found().next()).map(Found::Json))
            }
        }
    }

    /// What becomes of a text that was found; none if it is none of those that are meant.
    fn shaped(&self, text: &str) -> Option<String> {
        let text = match &self.capture {
            None => text,
            Some(capture) => capture.captures(text)?.get(1)?.as_str(),
        };
        let text = match self.lower_case {
            false => Cow::Borrowed(text),
            true => Cow::Owned(text.to_lowercase()),
        };
        match &self.values {
            None => Some(self.around(&text)),
            Some(values) => values.get(&*text).map(|value| self.around(value)),
        }
    }

    fn around(&self, text: &str) -> String {
        [&self.prefix, text, &self.suffix].concat()
    }
}

/// What a JSON string says, if it can be said in UTF-8.
fn said(node: Node<'_>) -> Option<Cow<'_, str>> {
    match node.string()? {
        Cow::Borrowed(bytes) => str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

impl Unit {
    /// The time that a decimal number says, to the millisecond before it. None if it is none, or lies
    /// beyond the years 0 to 9999.
    pub(super) fn time(self, text: &str) -> Option<Timestamp> {
        const FIRST: i128 = -62_167_219_200_000;
        const LAST: i128 = 253_402_300_799_999;
        /// More are zeros, or no time.
        const MOST_DIGITS: usize = 32;
        let (sign, number) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let is_digits = |text: &str| {
            (1..=MOST_DIGITS).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        // In billionths of the unit.
        let nine: String = fraction
            .chars()
            .chain("000000000".chars())
            .take(9)
            .collect();
        let whole: i128 = whole.parse().ok()?;
        let billionths = whole.checked_mul(1_000_000_000)? + nine.parse::<i128>().ok()?;
        let in_a_millisecond: i128 = match self {
            Self::Seconds => 1_000_000,
            Self::Milliseconds => 1_000_000_000,
            Self::Microseconds => 1_000_000_000_000,
            Self::Nanoseconds => 1_000_000_000_000_000,
        };
        let millis = (sign * billionths).div_euclid(in_a_millisecond);
        if !(FIRST..=LAST).contains(&millis) {
            return None;
        }
        i64::try_from(millis).ok().map(Timestamp::from_millis)
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "us",
            Self::Nanoseconds => "ns",
        })
    }
}

impl TryFrom<Written> for Part {
    type Error = MappingRule;

    fn try_from(written: Written) -> Result<Self, MappingRule> {
        let flag = |name: &'static str, flag: Option<bool>, from: From| match flag {
            Some(false) => Err(MappingRule::False(name)),
            Some(true) => Ok(Some(from)),
            None => Ok(None),
        };
        let path = |option: &'static str, text: &str| {
            let path = text.parse::<Path>();
            path.map_err(|cause| MappingRule::Path { option, cause })
        };
        let header = match written.header {
            Some(name) if name.is_empty() => return Err(MappingRule::NoHeader),
            header => header.map(From::Header),
        };
        let key = match written.key {
            Some(WrittenKey::Path(text)) => Some(From::KeyPath(path("key", &text)?)),
            Some(WrittenKey::Whole(whole)) => flag("key", Some(whole), From::Key)?,
            None => None,
        };
        let paths = match written.path {
            None => None,
            Some(WrittenPaths::One(one)) => Some(vec![one]),
            Some(WrittenPaths::Several(all)) => Some(all),
        };
        let paths = match paths {
            None => None,
            Some(all) if !(1..=MOST_PATHS).contains(&all.len()) => return Err(MappingRule::Paths),
            Some(all) => {
                let parsed = all.iter().map(|text| path("path", text));
                Some(From::Paths(parsed.collect::<Result<_, _>>()?))
            }
        };
        let mut sources = [
            written.constant.map(From::Constant),
            header,
            key,
            paths,
            flag("topic", written.topic, From::Topic)?,
            flag("value", written.value, From::Value)?,
        ]
        .into_iter()
        .flatten();
        let (Some(from), None) = (sources.next(), sources.next()) else {
            return Err(MappingRule::Sources);
        };
        Ok(Self {
            from,
            capture: written.capture.as_deref().map(one_group).transpose()?,
            lower_case: written.lower_case,
            values: written.values,
            prefix: written.prefix,
            suffix: written.suffix,
            default: written.default,
            optional: written.optional,
            unit: written.unit,
            json: written.json,
        })
    }
}

fn one_group(text: &str) -> Result<Regex, MappingRule> {
    let regex = regex::RegexBuilder::new(text).size_limit(1 << 20).build();
    let regex = regex.map_err(|_| MappingRule::Capture)?;
    // The whole match counts as one.
    match regex.captures_len() {
        2 => Ok(regex),
        _ => Err(MappingRule::Capture),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_in_units() {
        fn check(text: &str, unit: Unit, expected: Option<&str>) {
            let time = unit.time(text).map(|time| time.to_string());
            assert_eq!(time.as_deref(), expected, "{text} {unit}");
        }
        use Unit::{Microseconds, Milliseconds, Nanoseconds, Seconds};
        let ten = Some("2026-11-22T10:00:00.000Z");
        check("1795341600", Seconds, ten);
        check("1795341600000", Milliseconds, ten);
        check("1795341600000000", Microseconds, ten);
        check("1795341600000000000", Nanoseconds, ten);
        let half = Some("2026-11-22T10:00:00.500Z");
        check("1795341600.5", Seconds, half);
        check("1795341600.5009999999999", Seconds, half);
        check("1795341600500.9", Milliseconds, half);
        check("1795341600500999", Microseconds, half);
        check("0", Seconds, Some("1970-01-01T00:00:00.000Z"));
        check("-0.0001", Seconds, Some("1969-12-31T23:59:59.999Z"));
        check("253402300799", Seconds, Some("9999-12-31T23:59:59.000Z"));
        for wrong in [
            "", "-", ".", "1.", ".5", "+1", "1e9", "0x1", " 1", "1.5.0", "--1", "٣",
        ] {
            check(wrong, Seconds, None);
        }
        check("253402300800", Seconds, None);
        check(&"9".repeat(32), Nanoseconds, None);
        check(&"9".repeat(32), Seconds, None);
        check(&"9".repeat(1_000), Seconds, None);
    }
}
