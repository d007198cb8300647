//! A value as it stands in a file, with its line: what an error points at. From here on JSON and YAML
//! are the same.

use crate::record::json_text::{Kind, Node, quote};

/// A value and the line that it begins on, from 1.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) line: usize,
    pub(super) value: Value,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// `null`, `true`, `false`, or a number, as JSON.
    Plain(String),
    /// What a string says.
    Text(String),
    /// A list.
    List(Vec<Tree>),
    /// An object: its members in their order.
    Object(Vec<(String, Tree)>),
}

impl Tree {
    /// The value as JSON without white space.
    pub(super) fn json(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) {
        match &self.value {
            Value::Plain(plain) => text.push_str(plain),
            Value::Text(said) => text.push_str(&quote(said)),
            Value::List(entries) => {
                text.push('[');
                for (index, entry) in entries.iter().enumerate() {
                    text.push_str(if index == 0 { "" } else { "," });
                    entry.write(text);
                }
                text.push(']');
            }
            Value::Object(members) => {
                text.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    text.push_str(if index == 0 { "" } else { "," });
                    text.push_str(&quote(name));
                    text.push(':');
                    value.write(text);
                }
                text.push('}');
            }
        }
    }

    /// The member of an object.
    pub(super) fn member(&self, name: &str) -> Option<&Self> {
        match &self.value {
            Value::Object(members) => members
                .iter()
                .find(|(present, _)| present == name)
                .map(|(_, value)| value),
            Value::Plain(_) | Value::Text(_) | Value::List(_) => None,
        }
    }

    /// The line of what a path leads to that errors of subscriptions name (`filters[0].value`), or of
    /// the last thing on the way that is there.
    pub(super) fn line_of(&self, path: &str) -> usize {
        let (mut line, mut longest) = (self.line, 0);
        self.visit(&mut String::new(), &mut |found, at| {
            let rest = path.strip_prefix(found);
            let leads_there =
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
            if leads_there && found.len() > longest {
                (line, longest) = (at, found.len());
            }
        });
        line
    }

    fn visit(&self, path: &mut String, found: &mut impl FnMut(&str, usize)) {
        let length = path.len();
        let mut each = |step: &str, value: &Self| {
            path.push_str(step);
            found(path, value.line);
            value.visit(path, found);
            path.truncate(length);
        };
        match &self.value {
            Value::Plain(_) | Value::Text(_) => {}
            Value::List(entries) => {
                for (index, entry) in entries.iter().enumerate() {
                    each(&format!("[{index}]"), entry);
                }
            }
            Value::Object(members) => {
                let dot = if length == 0 { "" } else { "." };
                for (name, value) in members {
                    each(&format!("{dot}{name}"), value);
                }
            }
        }
    }

    /// Of a JSON document that `file` holds. Members that are there twice are the caller's.
    pub(super) fn of_json(node: Node<'_>, file: &Lines<'_>) -> Self {
        let line = file.line_of(node.text());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let value = match node.kind() {
            Kind::Null | Kind::Bool | Kind::Number => Value::Plain(node.text().to_owned()),
            Kind::String => match node
                .string()
                .map(|said| String::from_utf8(said.into_owned()))
            {
                Some(Ok(said)) => Value::Text(said),
                // Half a surrogate pair: left as it is for those who judge it.
                Some(Err(_)) | None => Value::Plain(node.text().to_owned()),
            },
            Kind::Array => {
                let entries = node.elements().map(|entry| Self::of_json(entry, file));
                Value::List(entries.collect())
            }
            Kind::Object => {
                let members = node
                    .members()
                    .map(|(name, value)| (text(&name.unescaped()), Self::of_json(value, file)));
                Value::Object(members.collect())
            }
        };
        Self { line, value }
    }
}

/// Where the lines of a text begin.
pub(super) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(ends.map(|(at, _)| at + 1));
        Self {
            text,
            starts: starts.collect(),
        }
    }

    /// The line, from 1, on which a part of the text begins.
    fn line_of(&self, part: &str) -> usize {
        let offset = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        self.starts.partition_point(|start| *start <= offset)
    }
}
