//! Durations in a configuration, as [`duration_text`] reads them.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use crate::duration_text;

/// For `#[serde(deserialize_with)]` of one duration.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
    read(&String::deserialize(input)?)
}

/// For `#[serde(deserialize_with)]` of a list of durations.
pub(super) fn deserialize_list<'de, D: Deserializer<'de>>(
    input: D,
) -> Result<Vec<Duration>, D::Error> {
    let texts = Vec::<String>::deserialize(input)?;
    texts.iter().map(|text| read(text)).collect()
}

fn read<E: de::Error>(text: &str) -> Result<Duration, E> {
    duration_text::parse(text).map_err(|error| {
        // An error shows no more of a text than a person reads.
        let shown: String = text.chars().take(40).collect();
        E::custom(format!("`{shown}`: {error}"))
    })
}
