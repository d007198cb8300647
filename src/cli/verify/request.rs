//! A request as a receiver got it, from what people can save of one.

use anyhow::{Context, anyhow, bail};
use serde_json::{Map, Value};

/// Headers and body.
pub(super) struct Request {
    /// Names in lower case, in their order.
    headers: Vec<(String, String)>,
    /// The raw bytes.
    pub body: Vec<u8>,
}

impl Request {
    /// Reads headers as lines of `Name: value`, or as a JSON object.
    pub(super) fn read(headers: &[u8], body: Vec<u8>) -> anyhow::Result<Self> {
        let text = str::from_utf8(headers).context("the headers are not UTF-8")?;
        let headers = match text.trim_start().starts_with('{') {
            true => from_json(text)?,
            false => from_lines(text)?,
        };
        Ok(Self { headers, body })
    }

    /// The value of the first header of this name (in lower case).
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(known, _)| known == name)?;
        Some(value)
    }

    /// Names of headers that may be meant for a signature.
    pub(super) fn suspicious(&self) -> impl Iterator<Item = &str> {
        let is_one = |name: &str| {
            ["sign", "hmac", "digest"]
                .iter()
                .any(|part| name.contains(part))
        };
        self.headers
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(move |name| is_one(name))
    }
}

/// As `curl -v`, `nc` and most logs have them: with `>` or `<` before, and a request line above.
fn from_lines(text: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.strip_prefix(['>', '<']).unwrap_or(line).trim();
        if line.is_empty() {
            if headers.is_empty() {
                continue;
            }
            break; // the body, if anything
        }
        match line.split_once(':') {
            Some((name, value)) if is_token(name) => {
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
            _ if headers.is_empty() && line.contains("HTTP/") => {}
            _ => bail!("line {} of the headers is not `Name: value`", index + 1),
        }
    }
    match headers.is_empty() {
        true => Err(anyhow!("there are no headers")),
        false => Ok(headers),
    }
}

/// As frameworks log them: each value a text, or a list of them.
fn from_json(text: &str) -> anyhow::Result<Vec<(String, String)>> {
    // serde's own message could repeat a value.
    let object: Map<String, Value> =
        serde_json::from_str(text).map_err(|_| anyhow!("the headers are not a JSON object"))?;
    let mut headers = Vec::new();
    for (name, value) in &object {
        let values = match value {
            Value::Array(values) => &values[..],
            one => std::slice::from_ref(one),
        };
        for value in values {
            let text = value
                .as_str()
                .with_context(|| format!("the header `{name}` is not a text"))?;
            headers.push((name.to_ascii_lowercase(), text.trim().to_owned()));
        }
    }
    Ok(headers)
}

fn is_token(name: &str) -> bool {
    http::HeaderName::from_bytes(name.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_they_are_found() {
        fn check(text: &str, expected: &[(&str, &str)]) {
            let request = Request::read(text.as_bytes(), vec![]).unwrap();
            let found: Vec<_> = request.headers.iter().map(|(n, v)| (&**n, &**v)).collect();
            assert_eq!(found, expected, "{text}");
        }
        let two = [("webhook-id", "msg_1"), ("x-a", "b: c")];
        check("Webhook-Id: msg_1\nX-A:b: c", &two);
        check(
            "POST /hook HTTP/1.1\r\nWebhook-Id: msg_1\r\nX-A: b: c\r\n\r\n{\"body\":1}",
            &two,
        );
        check(
            "> POST /hook HTTP/1.1\n> webhook-id: msg_1\n> x-a: b: c\n>\n",
            &two,
        );
        check("\nWEBHOOK-ID: msg_1 \nX-A:  b: c\n", &two);
        check(r#"{"Webhook-Id":"msg_1","X-A":["b: c"]}"#, &two);
    }

    #[test]
    fn what_is_none_is_named() {
        fn check(text: &[u8], expected: &str) {
            let error = Request::read(text, vec![]).err().unwrap().to_string();
            assert_eq!(error, expected);
        }
        check(b"", "there are no headers");
        check(
            b"a: b\nno header",
            "line 2 of the headers is not `Name: value`",
        );
        check(b"{\"a\":1}", "the header `a` is not a text");
        check(b"{\"a\"}", "the headers are not a JSON object");
        check(b"a: \xff", "the headers are not UTF-8");
    }
}
