//! Avro's binary encoding, read straight into JSON text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::shape::Shape;
use super::{AvroError, AvroSchema, LONGEST_JSON, logical};
use crate::record::json_text::{self, MAX_DEPTH, Node, quote};

type Result<T> = std::result::Result<T, AvroError>;

const NO_TIME: AvroError = AvroError::Invalid("a time outside of the years 0 to 9999, or of a day");
const NO_NUMBER: AvroError = AvroError::Invalid("a decimal of more digits than can be used");
const NO_UUID: AvroError = AvroError::Invalid("a uuid that is none");

/// What becomes of a record's field that is null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nulls {
    /// It is a member.
    Kept,
    /// It is left out. That an optional string holds the JSON `null` is something else.
    Dropped,
}

pub(super) fn to_json(schema: &AvroSchema, value: &[u8], nulls: Nulls) -> Result<String> {
    let mut decoder = Decoder {
        named: &schema.named,
        nulls,
        input: value,
        json: String::with_capacity(value.len().saturating_mul(2).min(LONGEST_JSON)),
    };
    decoder.value(&schema.root, 0)?;
    match decoder.input.len() {
        0 => Ok(decoder.json),
        left => Err(AvroError::Trailing(left)),
    }
}

struct Decoder<'a> {
    named: &'a [Shape],
    nulls: Nulls,
    /// What is not read yet.
    input: &'a [u8],
    json: String,
}

impl<'a> Decoder<'a> {
    /// `depth`: how many arrays, maps and records this one stands in.
    fn value(&mut self, shape: &'a Shape, depth: usize) -> Result<()> {
        match shape {
            Shape::Null => self.write("null"),
            Shape::Boolean => match self.take(1)? {
                [0] => self.write("false"),
                [1] => self.write("true"),
                _ => Err(AvroError::Invalid("a boolean that is neither 0 nor 1")),
            },
            Shape::Int => {
                let number = self.int()?;
                self.write(&number.to_string())
            }
            Shape::Long => {
                let number = self.long()?;
                self.write(&number.to_string())
            }
            Shape::Float => {
                let number = f32::from_le_bytes(self.array()?);
                match serde_json::to_string(&number) {
                    Ok(text) if number.is_finite() => self.write(&text),
                    _ => self.write(not_finite(f64::from(number))),
                }
            }
            Shape::Double => {
                let number = f64::from_le_bytes(self.array()?);
                match serde_json::to_string(&number) {
                    Ok(text) if number.is_finite() => self.write(&text),
                    _ => self.write(not_finite(number)),
                }
            }
            Shape::Bytes => {
                let length = self.length()?;
                self.base64(length)
            }
            Shape::Fixed(length) => self.base64(*length),
            Shape::String => {
                let text = self.text()?;
                self.write(&quote(text))
            }
            Shape::Json => match Node::parse_str(self.text()?) {
                Ok(node) => self.write(node.text()),
                Err(json_text::Error::TooDeep) => Err(AvroError::TooDeep),
                Err(json_text::Error::Syntax(_) | json_text::Error::NotAnObject) => {
                    Err(AvroError::Invalid("a text that should be JSON"))
                }
            },
            Shape::Enum(symbols) => {
                let symbol = usize::try_from(self.int()?).ok();
                let symbol = symbol.and_then(|index| symbols.get(index));
                self.write(symbol.ok_or(AvroError::Invalid("an enum without such a symbol"))?)
            }
            Shape::Union(variants) => {
                let variant = usize::try_from(self.long()?).ok();
                let variant = variant.and_then(|index| variants.get(index));
                let variant = variant.ok_or(AvroError::Invalid("a union without such a branch"))?;
                self.value(variant, depth)
            }
            Shape::Array(items) => self.array_of(items, deeper(depth)?),
            Shape::Map(values) => self.map_of(values, deeper(depth)?),
            Shape::Record(fields) => {
                let depth = deeper(depth)?;
                let mut before = "{";
                for (name, shape) in fields {
                    if self.nulls == Nulls::Dropped && self.skips_null(shape) {
                        continue;
                    }
                    self.write(before)?;
                    before = ",";
                    self.write(name)?;
                    self.write(":")?;
                    self.value(shape, depth)?;
                }
                self.write(if before == "{" { "{}" } else { "}" })
            }
            Shape::Decimal { scale, size } => {
                let length = size.map_or_else(|| self.length(), Ok)?;
                let unscaled = self.take(length)?;
                let scale = i64::try_from(*scale).map_err(|_| NO_NUMBER)?;
                self.write(&logical::decimal(unscaled, scale).ok_or(NO_NUMBER)?)
            }
            Shape::BigDecimal => self.big_decimal(),
            Shape::UuidText => {
                let text = self.text()?;
                let is_uuid = text.len() == 36
                    && text.bytes().enumerate().all(|(index, byte)| match index {
                        8 | 13 | 18 | 23 => byte == b'-',
                        _ => byte.is_ascii_hexdigit(),
                    });
                if !is_uuid {
                    return Err(NO_UUID);
                }
                self.quoted(&text.to_ascii_lowercase())
            }
            Shape::UuidBytes { size } => {
                let length = size.map_or_else(|| self.length(), Ok)?;
                let bytes = self.take(length)?.try_into().map_err(|_| NO_UUID)?;
                self.quoted(&logical::uuid(bytes))
            }
            Shape::Date => {
                let days = self.int()?;
                self.quoted(&logical::date(days).ok_or(NO_TIME)?)
            }
            Shape::Time(unit) => {
                let count = match unit {
                    logical::Unit::Millis => i64::from(self.int()?),
                    logical::Unit::Micros | logical::Unit::Nanos => self.long()?,
                };
                self.quoted(&logical::time_of_day(count, *unit).ok_or(NO_TIME)?)
            }
            Shape::Timestamp { unit, is_local } => {
                let count = self.long()?;
                let text = logical::timestamp(count, *unit, *is_local);
                self.quoted(&text.ok_or(NO_TIME)?)
            }
            Shape::Duration => {
                let bytes = self.array()?;
                self.quoted(&logical::duration(bytes))
            }
            Shape::Named(index) => self.value(&self.named[*index], depth),
        }
    }

    /// Whether a null comes; it is taken then.
    fn skips_null(&mut self, shape: &Shape) -> bool {
        match shape {
            Shape::Null => true,
            Shape::Union(variants) => {
                let before = self.input;
                let variant = self
                    .long()
                    .ok()
                    .and_then(|index| usize::try_from(index).ok());
                let variant = variant.and_then(|index| variants.get(index));
                let is_null = matches!(variant, Some(Shape::Null));
                if !is_null {
                    self.input = before;
                }
                is_null
            }
            _ => false,
        }
    }

    fn array_of(&mut self, items: &'a Shape, depth: usize) -> Result<()> {
        self.write("[")?;
        let mut is_first = true;
        self.blocks(|decoder| {
            if !std::mem::take(&mut is_first) {
                decoder.write(",")?;
            }
            decoder.value(items, depth)
        })?;
        self.write("]")
    }

    fn map_of(&mut self, values: &'a Shape, depth: usize) -> Result<()> {
        self.write("{")?;
        let mut is_first = true;
        self.blocks(|decoder| {
            if !std::mem::take(&mut is_first) {
                decoder.write(",")?;
            }
            let name = decoder.text()?;
            decoder.write(&quote(name))?;
            decoder.write(":")?;
            decoder.value(values, depth)
        })?;
        self.write("}")
    }

    /// Arrays and maps come in counted blocks. Each item writes at least a byte, so the bound of the
    /// JSON bounds their number too, whatever a count says.
    fn blocks(&mut self, mut item: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        loop {
            let count = self.long()?;
            if count < 0 {
                self.long()?; // The block's bytes, for those who skip it.
            }
            match count.unsigned_abs() {
                0 => return Ok(()),
                count => (0..count).try_for_each(|_| item(self))?,
            }
        }
    }

    /// Bytes that hold the unscaled value as bytes, and its scale.
    fn big_decimal(&mut self) -> Result<()> {
        let length = self.length()?;
        let (inside, rest) = self
            .input
            .split_at_checked(length)
            .ok_or(AvroError::Truncated)?;
        self.input = inside;
        let length = self.length()?;
        let unscaled = self.take(length)?;
        let scale = self.long()?;
        if !self.input.is_empty() {
            return Err(NO_NUMBER);
        }
        self.input = rest;
        self.write(&logical::decimal(unscaled, scale).ok_or(NO_NUMBER)?)
    }

    fn base64(&mut self, length: usize) -> Result<()> {
        let bytes = self.take(length)?;
        if bytes.len() > LONGEST_JSON {
            return Err(AvroError::TooLarge);
        }
        self.quoted(&STANDARD.encode(bytes))
    }

    fn text(&mut self) -> Result<&'a str> {
        let length = self.length()?;
        let bytes = self.take(length)?;
        if bytes.len() > LONGEST_JSON {
            return Err(AvroError::TooLarge);
        }
        str::from_utf8(bytes).map_err(|_| AvroError::Invalid("a string that is not UTF-8"))
    }

    fn length(&mut self) -> Result<usize> {
        usize::try_from(self.long()?).map_err(|_| AvroError::Invalid("a length below 0"))
    }

    fn int(&mut self) -> Result<i32> {
        i32::try_from(self.long()?).map_err(|_| AvroError::Invalid("an int of more than 32 bits"))
    }

    /// Variable length, zigzag.
    fn long(&mut self) -> Result<i64> {
        let mut number = 0_u64;
        for index in 0..10 {
            let byte = self.take(1)?[0];
            number |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
            }
        }
        Err(AvroError::Invalid("a long of more than 64 bits"))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| AvroError::Truncated)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .input
            .split_at_checked(length)
            .ok_or(AvroError::Truncated)?;
        self.input = rest;
        Ok(taken)
    }

    /// A text that needs no escapes.
    fn quoted(&mut self, text: &str) -> Result<()> {
        self.write("\"")?;
        self.write(text)?;
        self.write("\"")
    }

    fn write(&mut self, text: &str) -> Result<()> {
        if self.json.len() + text.len() > LONGEST_JSON {
            return Err(AvroError::TooLarge);
        }
        self.json.push_str(text);
        Ok(())
    }
}

fn deeper(depth: usize) -> Result<usize> {
    match depth {
        MAX_DEPTH.. => Err(AvroError::TooDeep),
        depth => Ok(depth + 1),
    }
}

/// JSON has no such numbers; these are the words that protobuf's JSON has for them, too.
fn not_finite(number: f64) -> &'static str {
    match (number.is_nan(), number.is_sign_negative()) {
        (true, _) => "\"NaN\"",
        (false, false) => "\"Infinity\"",
        (false, true) => "\"-Infinity\"",
    }
}
