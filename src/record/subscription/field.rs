//! Reads JSON values of a subscription, each with the path that an error names.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::error::{Rule, SubscriptionError};
use crate::duration_text;
use crate::record::JsonError;
use crate::record::json_object::{self, shown_name};

/// A value and the path to it.
pub(super) struct Field {
    path: String,
    value: Box<RawValue>,
}

/// The fields of an object.
pub(super) struct Fields {
    path: String,
    members: Vec<(String, Field)>,
}

impl Fields {
    /// The fields of the whole value of a record.
    pub(super) fn of_record(bytes: &[u8]) -> Result<Self, SubscriptionError> {
        Ok(Self::new(String::new(), json_object::members(bytes)?))
    }

    fn new(path: String, members: json_object::Members) -> Self {
        let members = members
            .into_iter()
            .map(|(name, value)| {
                let path = join(&path, &name);
                (name, Field { path, value })
            })
            .collect();
        Self { path, members }
    }

    /// Refuses fields that are not among `known`.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), SubscriptionError> {
        match self.iter().find(|(name, _)| !known.contains(name)) {
            Some((_, field)) => Err(field.refuse(Rule::Unknown)),
            None => Ok(()),
        }
    }

    /// The field of this name, if there is one.
    pub(super) fn get(&self, name: &str) -> Option<&Field> {
        self.iter()
            .find(|(present, _)| *present == name)
            .map(|(_, field)| field)
    }

    /// The field of this name, which must be there.
    pub(super) fn require(&self, name: &str) -> Result<&Field, SubscriptionError> {
        self.get(name).ok_or_else(|| SubscriptionError::Field {
            field: join(&self.path, name),
            rule: Rule::Missing,
        })
    }

    /// All fields in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Field)> {
        self.members
            .iter()
            .map(|(name, field)| (name.as_str(), field))
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }
}

impl Field {
    /// The error that this field breaks a rule.
    pub(super) fn refuse(&self, rule: impl Into<Rule>) -> SubscriptionError {
        SubscriptionError::Field {
            field: self.path.clone(),
            rule: rule.into(),
        }
    }

    /// The source text.
    pub(super) fn raw(&self) -> &RawValue {
        &self.value
    }

    /// Whether it is a string, so that forms can be told apart.
    pub(super) fn is_string(&self) -> bool {
        self.value.get().starts_with('"')
    }

    /// Whether it is an object.
    pub(super) fn is_object(&self) -> bool {
        self.value.get().starts_with('{')
    }

    pub(super) fn string(&self) -> Result<String, SubscriptionError> {
        self.typed("a string")
    }

    /// A string of at most `most` bytes.
    pub(super) fn short_string(&self, most: usize) -> Result<String, SubscriptionError> {
        let text = self.string()?;
        if text.len() > most {
            return Err(self.refuse(Rule::TooLong { most }));
        }
        Ok(text)
    }

    pub(super) fn duration(&self) -> Result<Duration, SubscriptionError> {
        duration_text::parse(&self.string()?).map_err(|error| self.refuse(error))
    }

    /// A duration above zero and at most `most`.
    pub(super) fn span(&self, most: Duration) -> Result<Duration, SubscriptionError> {
        let span = self.duration()?;
        if span.is_zero() || span > most {
            let most = duration_text::canonical(most);
            return Err(self.refuse(Rule::Span { most }));
        }
        Ok(span)
    }

    pub(super) fn switch(&self) -> Result<bool, SubscriptionError> {
        self.typed("true or false")
    }

    pub(super) fn whole_number(&self) -> Result<u32, SubscriptionError> {
        self.typed("a whole number of at most 32 bits")
    }

    /// A whole number in a range.
    pub(super) fn number_in(&self, least: u32, most: u32) -> Result<u32, SubscriptionError> {
        let number = self.whole_number()?;
        if !(least..=most).contains(&number) {
            return Err(self.refuse(Rule::Range { least, most }));
        }
        Ok(number)
    }

    pub(super) fn number(&self) -> Result<f64, SubscriptionError> {
        self.typed("a number")
    }

    /// The entries of a list of at most `most`.
    pub(super) fn list(&self, most: usize) -> Result<Vec<Self>, SubscriptionError> {
        let values: Vec<Box<RawValue>> = self.typed("a list")?;
        if values.len() > most {
            return Err(self.refuse(Rule::TooMany { most }));
        }
        Ok(values
            .into_iter()
            .enumerate()
            .map(|(index, value)| Self {
                path: format!("{}[{index}]", self.path),
                value,
            })
            .collect())
    }

    pub(super) fn object(&self) -> Result<Fields, SubscriptionError> {
        match json_object::members(self.value.get().as_bytes()) {
            Ok(members) => Ok(Fields::new(self.path.clone(), members)),
            Err(JsonError::DuplicateMember { name }) => Err(SubscriptionError::Field {
                field: join(&self.path, &name),
                rule: Rule::Repeated,
            }),
            Err(JsonError::NotAnObject) => Err(self.refuse(Rule::Type("an object"))),
            // A name with half a surrogate pair is all that can still be wrong.
            Err(
                error
                @ (JsonError::NotUtf8 { .. } | JsonError::NotJson { .. } | JsonError::TooDeep),
            ) => Err(error.into()),
        }
    }

    /// Drops serde's own message: it repeats the value.
    fn typed<T: DeserializeOwned>(&self, expected: &'static str) -> Result<T, SubscriptionError> {
        serde_json::from_str(self.value.get()).map_err(|_| self.refuse(Rule::Type(expected)))
    }
}

fn join(path: &str, name: &str) -> String {
    let name = shown_name(name);
    if path.is_empty() {
        name
    } else {
        format!("{path}.{name}")
    }
}
