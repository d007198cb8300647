//! What operands cost, and the filters and tests that the engine leaves unbounded.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

use super::values::source_length;

/// As the library counts it.
pub(super) const BYTES_PER_FUEL: u64 = 64;
/// What a value costs for being there, in bytes.
const VALUE: u64 = 32;
/// How deep values of a template's own may nest: comparing, writing and dropping them takes stack.
const DEEPEST: usize = 64;

/// Counts a value with all that is inside of it.
struct Meter<'a, 'state, 'environment> {
    state: &'a State<'state, 'environment>,
    bytes: u64,
}

impl<'a, 'state, 'environment> Meter<'a, 'state, 'environment> {
    fn charge(state: &'a State<'state, 'environment>, value: &Value) -> Result<(), Error> {
        let mut meter = Self { state, bytes: 0 };
        meter.count(value, 0)
    }

    fn add(&mut self, bytes: u64) -> Result<(), Error> {
        self.bytes += bytes;
        self.state.consume_fuel(self.bytes / BYTES_PER_FUEL)?;
        self.bytes %= BYTES_PER_FUEL;
        Ok(())
    }

    fn count(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEEPEST {
            return refused("values are nested too deep");
        }
        if let Some(length) = source_length(value) {
            return self.add(VALUE + length as u64);
        }
        match value.kind() {
            ValueKind::String => self.add(value.as_str().unwrap_or_default().len() as u64),
            ValueKind::Bytes => self.add(value.as_bytes().unwrap_or_default().len() as u64),
            ValueKind::Seq | ValueKind::Iterable => {
                for element in value.try_iter()? {
                    self.add(VALUE)?;
                    self.count(&element, depth + 1)?;
                }
                Ok(())
            }
            ValueKind::Map => {
                for key in value.try_iter()? {
                    self.add(2 * VALUE)?;
                    self.count(&key, depth + 1)?;
                    self.count(&value.get_item(&key)?, depth + 1)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn refused<T>(message: &'static str) -> Result<T, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// An operand: paid for, and made once if it would be made anew each time that somebody looks at it.
pub(super) fn taken(state: &mut State<'_, '_>, value: Value) -> Result<Value, Error> {
    Meter::charge(state, &value)?;
    if value.kind() == ValueKind::Iterable {
        return Ok(Value::from(value.try_iter()?.collect::<Vec<_>>()));
    }
    Ok(value)
}

/// What a namespace may hold: nothing that can hold the namespace, or grow with each round of a loop.
pub(super) fn scalar(value: Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Undefined
        | ValueKind::None
        | ValueKind::Bool
        | ValueKind::Number
        | ValueKind::String => Ok(value),
        _ => refused("a namespace takes no lists or objects"),
    }
}

/// A test that compares two values.
pub(super) fn comparing(
    compare: fn(&Value, &Value) -> bool,
) -> impl Fn(&mut State<'_, '_>, &Value, &Value) -> Result<bool, Error> {
    move |state, left, right| {
        Meter::charge(state, left)?;
        Meter::charge(state, right)?;
        Ok(compare(left, right))
    }
}

/// The test `in`.
pub(super) fn is_in(
    state: &mut State<'_, '_>,
    value: &Value,
    container: &Value,
) -> Result<bool, Error> {
    Meter::charge(state, value)?;
    Meter::charge(state, container)?;
    minijinja::tests::is_in(state, value, container)
}

/// The test `startingwith`, of texts alone.
pub(super) fn starts(state: &mut State<'_, '_>, text: &str, with: &str) -> Result<bool, Error> {
    state.consume_fuel(with.len() as u64 / BYTES_PER_FUEL)?;
    Ok(text.starts_with(with))
}

/// The test `endingwith`, of texts alone.
pub(super) fn ends(state: &mut State<'_, '_>, text: &str, with: &str) -> Result<bool, Error> {
    state.consume_fuel(with.len() as u64 / BYTES_PER_FUEL)?;
    Ok(text.ends_with(with))
}

/// The filter `split`, of texts alone.
pub(super) fn split(
    state: &mut State<'_, '_>,
    text: &str,
    at: Option<&str>,
    times: Option<usize>,
) -> Result<Value, Error> {
    match (at, times) {
        (None, None) => pieces(state, text.split_whitespace()),
        (Some(at), None) => pieces(state, text.split(at)),
        (Some(at), Some(times)) => pieces(state, text.splitn(times.saturating_add(1), at)),
        (None, Some(_)) => refused("split: how often needs to know at what"),
    }
}

/// The filter `lines`, of texts alone.
pub(super) fn lines(state: &mut State<'_, '_>, text: &str) -> Result<Value, Error> {
    pieces(state, text.lines())
}

fn pieces<'a>(
    state: &State<'_, '_>,
    pieces: impl Iterator<Item = &'a str>,
) -> Result<Value, Error> {
    let (mut values, mut meter) = (Vec::new(), Meter { state, bytes: 0 });
    for piece in pieces {
        meter.add(VALUE + piece.len() as u64)?;
        values.push(Value::from(piece));
    }
    Ok(Value::from(values))
}

/// The filter `sum`, of numbers alone: the library's own also makes one text of many, again with each.
pub(super) fn sum(
    state: &mut State<'_, '_>,
    values: &Value,
    attribute: Option<&str>,
    named: Kwargs,
) -> Result<Value, Error> {
    let attribute = match attribute {
        Some(attribute) => Some(attribute),
        None => named.get::<Option<&str>>("attribute")?,
    };
    let start = named.get::<Option<Value>>("start")?;
    named.assert_all_used()?;
    let mut sum = start.unwrap_or_else(|| Value::from(0));
    for element in values.try_iter()? {
        state.consume_fuel(1)?;
        let mut summand = element;
        for name in attribute.iter().flat_map(|path| path.split('.')) {
            summand = match name.parse::<usize>() {
                Ok(place) => summand.get_item(&Value::from(place))?,
                Err(_) => summand.get_attr(name)?,
            };
        }
        if !summand.is_undefined() {
            sum = plus(&sum, &summand)?;
        }
    }
    Ok(sum)
}

fn plus(left: &Value, right: &Value) -> Result<Value, Error> {
    let is_number = |value: &Value| matches!(value.kind(), ValueKind::Number | ValueKind::Bool);
    if !is_number(left) || !is_number(right) {
        return refused("sum: takes numbers alone");
    }
    let whole = |value: &Value| {
        let is_whole = value.is_integer() || value.kind() == ValueKind::Bool;
        is_whole
            .then(|| i128::try_from(value.clone()).ok())
            .flatten()
    };
    if let (Some(left), Some(right)) = (whole(left), whole(right))
        && let Some(sum) = left.checked_add(right)
    {
        return Ok(i64::try_from(sum).map_or_else(|_| Value::from(sum), Value::from));
    }
    let number = |value: &Value| match value.kind() {
        ValueKind::Bool => Ok(f64::from(u8::from(value.is_true()))),
        _ => f64::try_from(value.clone()),
    };
    Ok(Value::from(number(left)? + number(right)?))
}
