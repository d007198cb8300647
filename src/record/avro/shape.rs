//! A schema with its names resolved, once, to what reading needs.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, Name, NamespaceRef, UuidSchema};

use super::SchemaError;
use super::logical::{MOST_SCALE, Unit};
use crate::record::json_text::quote;

/// The property of a field whose string is the text of any JSON value, as in our own schemas.
const JSON: &str = "json";

/// What stands where. Names and symbols are JSON strings already.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    /// A string that holds the text of a JSON value.
    Json,
    Fixed(usize),
    Enum(Vec<String>),
    Array(Box<Shape>),
    Map(Box<Shape>),
    Union(Vec<Shape>),
    Record(Vec<(String, Shape)>),
    /// `size`: of a fixed; none for bytes.
    Decimal {
        scale: usize,
        size: Option<usize>,
    },
    BigDecimal,
    UuidText,
    /// `size`: of a fixed; none for bytes.
    UuidBytes {
        size: Option<usize>,
    },
    Date,
    Time(Unit),
    Timestamp {
        unit: Unit,
        is_local: bool,
    },
    Duration,
    /// An index among the named ones.
    Named(usize),
}

/// Gathers named shapes; what is used before it is defined has its place already.
#[derive(Default)]
pub(super) struct Shapes {
    places: HashMap<String, usize>,
    named: Vec<Option<Shape>>,
}

impl Shapes {
    /// The shape of a schema that stands in `namespace`.
    pub(super) fn shape(
        &mut self,
        schema: &Schema,
        namespace: NamespaceRef<'_>,
    ) -> Result<Shape, SchemaError> {
        Ok(match schema {
            Schema::Null => Shape::Null,
            Schema::Boolean => Shape::Boolean,
            Schema::Int => Shape::Int,
            Schema::Long => Shape::Long,
            Schema::Float => Shape::Float,
            Schema::Double => Shape::Double,
            Schema::Bytes => Shape::Bytes,
            Schema::String => Shape::String,
            Schema::Array(array) => Shape::Array(Box::new(self.shape(&array.items, namespace)?)),
            Schema::Map(map) => Shape::Map(Box::new(self.shape(&map.types, namespace)?)),
            Schema::Union(union) => {
                let variants = union.variants().iter();
                Shape::Union(
                    variants
                        .map(|variant| self.shape(variant, namespace))
                        .collect::<Result<_, _>>()?,
                )
            }
            Schema::Record(record) => {
                let place = self.place(&record.name, namespace);
                let name = record.name.fully_qualified_name(namespace);
                let fields = record.fields.iter().map(|field| {
                    let shape = self.shape(&field.schema, name.namespace())?;
                    let is_json = field.custom_attributes.get(JSON) == Some(&true.into());
                    let shape = if is_json { as_json(shape) } else { shape };
                    Ok((quote(&field.name), shape))
                });
                let fields = fields.collect::<Result<_, SchemaError>>()?;
                self.define(place, Shape::Record(fields))
            }
            Schema::Enum(symbols) => {
                let place = self.place(&symbols.name, namespace);
                let symbols = symbols.symbols.iter().map(|symbol| quote(symbol));
                self.define(place, Shape::Enum(symbols.collect()))
            }
            Schema::Fixed(fixed) => {
                let place = self.place(&fixed.name, namespace);
                self.define(place, Shape::Fixed(fixed.size))
            }
            Schema::Decimal(decimal) => {
                if decimal.scale > MOST_SCALE {
                    return Err(SchemaError::Scale(decimal.scale));
                }
                let scale = decimal.scale;
                match &decimal.inner {
                    InnerDecimalSchema::Bytes => Shape::Decimal { scale, size: None },
                    InnerDecimalSchema::Fixed(fixed) => {
                        let size = Some(fixed.size);
                        let place = self.place(&fixed.name, namespace);
                        self.define(place, Shape::Decimal { scale, size })
                    }
                }
            }
            Schema::BigDecimal => Shape::BigDecimal,
            Schema::Uuid(UuidSchema::String) => Shape::UuidText,
            Schema::Uuid(UuidSchema::Bytes) => Shape::UuidBytes { size: None },
            Schema::Uuid(UuidSchema::Fixed(fixed)) => {
                let size = Some(fixed.size);
                let place = self.place(&fixed.name, namespace);
                self.define(place, Shape::UuidBytes { size })
            }
            Schema::Date => Shape::Date,
            Schema::TimeMillis => Shape::Time(Unit::Millis),
            Schema::TimeMicros => Shape::Time(Unit::Micros),
            Schema::TimestampMillis => timestamp(Unit::Millis, false),
            Schema::TimestampMicros => timestamp(Unit::Micros, false),
            Schema::TimestampNanos => timestamp(Unit::Nanos, false),
            Schema::LocalTimestampMillis => timestamp(Unit::Millis, true),
            Schema::LocalTimestampMicros => timestamp(Unit::Micros, true),
            Schema::LocalTimestampNanos => timestamp(Unit::Nanos, true),
            Schema::Duration(fixed) => {
                let place = self.place(&fixed.name, namespace);
                self.define(place, Shape::Duration)
            }
            Schema::Ref { name } => Shape::Named(self.place(name, namespace)),
        })
    }

    /// The named shapes.
    pub(super) fn finish(self) -> Result<Vec<Shape>, SchemaError> {
        let mut undefined = self
            .places
            .iter()
            .filter(|(_, at)| self.named[**at].is_none());
        if let Some((name, _)) = undefined.next() {
            return Err(SchemaError::Undefined(name.clone()));
        }
        Ok(self.named.into_iter().flatten().collect())
    }

    fn place(&mut self, name: &Name, namespace: NamespaceRef<'_>) -> usize {
        let next = self.named.len();
        let place = *self.places.entry(name.fullname(namespace)).or_insert(next);
        if place == next {
            self.named.push(None);
        }
        place
    }

    fn define(&mut self, place: usize, shape: Shape) -> Shape {
        self.named[place] = Some(shape);
        Shape::Named(place)
    }
}

/// The strings of a field that says so hold JSON.
fn as_json(shape: Shape) -> Shape {
    match shape {
        Shape::String => Shape::Json,
        Shape::Union(variants) => Shape::Union(variants.into_iter().map(as_json).collect()),
        other => other,
    }
}

fn timestamp(unit: Unit, is_local: bool) -> Shape {
    Shape::Timestamp { unit, is_local }
}
