//! The name of a subscription: `tenant/id`, the Kafka key of its record and of all its tasks.

use std::cmp::Ordering;
use std::fmt;
use std::str::{self, FromStr};
use std::sync::Arc;

const LONGEST_PART: usize = 128;

/// Tenant and id of a subscription, shown as `tenant/id`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SubscriptionKey {
    /// `tenant/id`.
    text: Arc<str>,
    /// How long the tenant is, which is 128 at most.
    tenant: u8,
}

/// Why a text is not a subscription's key.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SubscriptionKeyError {
    /// The record has a key that is not text.
    #[error("the key is not UTF-8")]
    NotUtf8,
    /// There is no slash, or more than one.
    #[error("the key is not of the form tenant/id")]
    NotTwoParts,
    /// The tenant holds other characters, or too many.
    #[error("the tenant is not 1 to 128 of A-Z a-z 0-9 . _ ~ -, without a dot at the start")]
    Tenant,
    /// The id holds other characters, or too many.
    #[error("the id is not 1 to 128 of A-Z a-z 0-9 . _ ~ -, without a dot at the start")]
    Id,
}

impl SubscriptionKey {
    /// The key of the subscription `id` of `tenant`; refuses parts that are not
    /// `[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,127}`.
    pub fn try_new(tenant: &str, id: &str) -> Result<Self, SubscriptionKeyError> {
        if !is_key_part(tenant) {
            return Err(SubscriptionKeyError::Tenant);
        }
        if !is_key_part(id) {
            return Err(SubscriptionKeyError::Id);
        }
        Ok(Self {
            text: format!("{tenant}/{id}").into(),
            tenant: u8::try_from(tenant.len()).map_err(|_| SubscriptionKeyError::Tenant)?,
        })
    }

    /// Whose subscription it is.
    pub fn tenant(&self) -> &str {
        &self.text[..self.tenant.into()]
    }

    /// Its name among those of its tenant.
    pub fn id(&self) -> &str {
        &self.text[usize::from(self.tenant) + 1..]
    }
}

/// By tenant, then by id.
impl Ord for SubscriptionKey {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.tenant(), self.id()).cmp(&(other.tenant(), other.id()))
    }
}

impl PartialOrd for SubscriptionKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Whether a text can be a tenant or a subscription's id: `[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,127}`.
/// A dot at the start is refused so that a part is never `.` or `..` in a path.
pub fn is_key_part(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte);
    !text.is_empty()
        && text.len() <= LONGEST_PART
        && !text.starts_with('.')
        && text.bytes().all(allowed)
}

impl fmt::Display for SubscriptionKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Debug for SubscriptionKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for SubscriptionKey {
    type Err = SubscriptionKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((tenant, id)) if !id.contains('/') => Self::try_new(tenant, id),
            Some(_) | None => Err(SubscriptionKeyError::NotTwoParts),
        }
    }
}

/// From the key of a Kafka record.
impl TryFrom<&[u8]> for SubscriptionKey {
    type Error = SubscriptionKeyError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        str::from_utf8(bytes)
            .map_err(|_| SubscriptionKeyError::NotUtf8)?
            .parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_tenant_and_id() {
        fn check(text: &str, tenant: &str, id: &str) {
            let key = SubscriptionKey::try_from(text.as_bytes()).unwrap();
            assert_eq!((key.tenant(), key.id()), (tenant, id));
            assert_eq!(key.to_string(), text);
        }
        check("acme/shop", "acme", "shop");
        check("-/_", "-", "_");
        check("~a.b/9..", "~a.b", "9..");
        let longest = "x".repeat(128);
        check(&format!("{longest}/{longest}"), &longest, &longest);
    }

    #[test]
    fn refuses_other_keys() {
        use SubscriptionKeyError::*;
        fn check(bytes: &[u8], expected: SubscriptionKeyError) {
            let shown = String::from_utf8_lossy(bytes).into_owned();
            assert_eq!(SubscriptionKey::try_from(bytes), Err(expected), "{shown}");
        }
        check(b"", NotTwoParts);
        check(b"acme", NotTwoParts);
        check(b"acme/shop/", NotTwoParts);
        check(b"a/b/c", NotTwoParts);
        check(b"/shop", Tenant);
        check(b"acme/", Id);
        check(b".acme/shop", Tenant);
        check(b"acme/..", Id);
        check(b"ac me/shop", Tenant);
        check(b"acme/shop\n", Id);
        check("acm\u{e9}/shop".as_bytes(), Tenant);
        check(b"acme/\xff", NotUtf8);
        check(format!("{}/a", "x".repeat(129)).as_bytes(), Tenant);
        check(format!("a/{}", "x".repeat(129)).as_bytes(), Id);
    }
}
