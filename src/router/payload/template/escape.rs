//! How a value is written into a template's output, so that it stays a value: what it says cannot end the
//! text that it stands in.

use std::fmt;

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind, HtmlEscape, Output, State};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::values::text_of;
use crate::record::json_text::quote;

/// How values are written; by what the output is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Escape {
    /// Texts without quotes, as what stands between a JSON text's quotes.
    Json,
    /// As a form's values.
    Form,
    /// As text of HTML and XML.
    Markup,
    /// As they are.
    None,
}

impl Escape {
    pub(super) fn of(content_type: &str) -> Self {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let essence = essence.to_ascii_lowercase();
        match essence.as_str() {
            "application/json" | "text/json" => Self::Json,
            "application/x-www-form-urlencoded" => Self::Form,
            "text/html" | "text/xml" | "application/xml" => Self::Markup,
            other if other.ends_with("+json") => Self::Json,
            other if other.ends_with("+xml") => Self::Markup,
            _ => Self::None,
        }
    }

    pub(super) fn write(
        self,
        out: &mut Output<'_>,
        state: &State<'_, '_>,
        value: &Value,
    ) -> Result<(), Error> {
        if value.is_undefined() {
            return Ok(());
        }
        let text = text_of(state, value)?;
        let written = if value.is_safe() {
            out.write_str(&text)
        } else {
            self.write_text(out, value.kind(), &text)
        };
        written.map_err(|_| Error::from(ErrorKind::WriteFailure))
    }

    fn write_text(self, out: &mut Output<'_>, kind: ValueKind, text: &str) -> fmt::Result {
        match self {
            Self::Json if matches!(kind, ValueKind::String) => {
                let quoted = quote(text);
                out.write_str(&quoted[1..quoted.len() - 1])
            }
            Self::Json | Self::None => out.write_str(text),
            Self::Form => write!(out, "{}", utf8_percent_encode(text, NON_ALPHANUMERIC)),
            Self::Markup => write!(out, "{}", HtmlEscape(text)),
        }
    }
}
