//! A subscription's own body: a template, which can read the event and nothing else.
//!
//! Time and memory of a rendering are bounded by its fuel: each step of the template and every 64 bytes of
//! what it makes, and of what an operation looks at, use up one.

mod escape;
mod meter;
mod restated;
mod values;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};
use std::thread;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};

use super::Recipient;
use crate::record::json_text::Node;
use escape::Escape;
pub use values::EventValues;

const NAME: &str = "body";
/// Enough for the longest text that a subscription may have, in bytes; only what is used of it is taken.
const COMPILER_STACK: usize = 128 * 1_024 * 1_024;
/// What is said of a template's failure.
const LONGEST_MESSAGE: usize = 512;

const UNBOUNDED: [&str; 12] = [
    "chain",
    "zip",
    "title",
    "capitalize",
    "indent",
    "format",
    "escape",
    "e",
    "pprint",
    "batch",
    "slice",
    "groupby",
];

type Comparison = fn(&Value, &Value) -> bool;

const COMPARISONS: &[(&[&str], Comparison)] = &[
    (&["eq", "equalto", "=="], |left, right| left == right),
    (&["ne", "!="], |left, right| left != right),
    (&["lt", "lessthan", "<"], |left, right| left < right),
    (&["le", "<="], |left, right| left <= right),
    (&["gt", "greaterthan", ">"], |left, right| left > right),
    (&["ge", ">="], |left, right| left >= right),
];

/// What is written is what is sent.
static SYNTAX: LazyLock<SyntaxConfig> = LazyLock::new(|| {
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
    syntax.unwrap_or_default()
});

/// Filters and functions are the same for all.
static SANDBOX: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_syntax(SYNTAX.clone());
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_recursion_limit(64);
    // Shows what is inside, and is not for bodies.
    environment.remove_global("debug");
    environment.add_filter("tojson", values::to_json);
    // The library's own make a text of any list or object before they ask for fuel, as large as it comes.
    for filter in UNBOUNDED {
        environment.remove_filter(filter);
    }
    environment.add_filter("join", values::join);
    environment.add_filter("string", values::string);
    environment.add_filter("replace", values::replace);
    environment.add_filter("upper", values::upper);
    environment.add_filter("lower", values::lower);
    environment.add_filter("trim", values::trim);
    environment.add_filter("safe", values::safe);
    environment.add_filter("split", meter::split);
    environment.add_filter("lines", meter::lines);
    environment.add_filter("sum", meter::sum);
    environment.add_filter(restated::TAKEN, meter::taken);
    environment.add_filter(restated::SCALAR, meter::scalar);
    for test in ["lower", "upper", "filter", "test"] {
        environment.remove_test(test);
    }
    for (names, compare) in COMPARISONS {
        for name in *names {
            environment.add_test(*name, meter::comparing(*compare));
        }
    }
    environment.add_test("in", meter::is_in);
    environment.add_test("startingwith", meter::starts);
    environment.add_test("endingwith", meter::ends);
    environment.add_function("source", values::source);
    environment
});

/// A compiled template. Cheap to clone.
#[derive(Clone)]
pub struct Template(Arc<Compiled>);

struct Compiled {
    text: String,
    escape: Escape,
    /// Holds this one template.
    environment: Environment<'static>,
    names_recipient: bool,
}

/// What is wrong with a template, or with what it made.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub struct TemplateError {
    /// From 1.
    line: Option<usize>,
    message: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(formatter, "line {line}: ")?;
        }
        formatter.write_str(&self.message)
    }
}

impl From<Error> for TemplateError {
    fn from(error: Error) -> Self {
        let mut message = match (error.kind(), error.detail()) {
            (ErrorKind::OutOfFuel, _) => {
                "it takes more work than `router.template_fuel` allows".to_owned()
            }
            (kind, Some(detail)) => format!("{kind}: {detail}"),
            (kind, None) => kind.to_string(),
        };
        message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
        Self {
            line: error.line(),
            message,
        }
    }
}

impl Template {
    /// Compiles a text whose output is of this content type, which decides how values are escaped.
    ///
    /// # Errors
    /// Names the line.
    pub fn compile(text: &str, content_type: &str, fuel: u64) -> Result<Self, TemplateError> {
        // Chains of operators nest as deep as they are long.
        let compiler = thread::Builder::new().stack_size(COMPILER_STACK);
        let compiled = thread::scope(|scope| {
            let compile = || Compiled::new(text, Escape::of(content_type), fuel);
            let compiling = compiler.spawn_scoped(scope, compile).ok()?;
            compiling.join().ok()
        });
        let unreadable = || TemplateError {
            line: None,
            message: "cannot be read".to_owned(),
        };
        Ok(Self(Arc::new(compiled.ok_or_else(unreadable)??)))
    }

    /// How many clones of it there are.
    pub fn holders(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// Whether each subscription gets a body of its own.
    pub(super) fn names_recipient(&self) -> bool {
        self.0.names_recipient
    }

    /// Makes the body.
    ///
    /// # Errors
    /// What failed, and where; what should be JSON and is not.
    pub(super) fn render(
        &self,
        event: &EventValues,
        recipient: Recipient<'_>,
    ) -> Result<String, TemplateError> {
        let template = self.0.environment.get_template(NAME)?;
        let body = template.render(self.context(event, recipient))?;
        if self.0.escape == Escape::Json
            && let Err(error) = Node::parse(body.as_bytes())
        {
            return Err(TemplateError {
                line: None,
                message: format!("what it makes is {error}"),
            });
        }
        Ok(body)
    }

    fn context(&self, event: &EventValues, recipient: Recipient<'_>) -> Value {
        if !self.0.names_recipient {
            return event.context();
        }
        let labels = recipient.subscription.labels().iter();
        let labels = labels.map(|(name, label)| (name.as_str(), Value::from(label.as_str())));
        let subscription = [
            ("id", Value::from(recipient.key.id())),
            ("tenant", Value::from(recipient.key.tenant())),
            ("labels", values::map(labels)),
        ];
        event.context_with([
            ("subscription", values::map(subscription)),
            ("delivery_id", Value::from(recipient.delivery_id.as_str())),
        ])
    }
}

impl Compiled {
    fn new(text: &str, escape: Escape, fuel: u64) -> Result<Self, TemplateError> {
        let mut environment = SANDBOX.clone();
        environment.set_fuel(Some(fuel));
        environment.set_formatter(move |out, state, value| escape.write(out, state, value));
        let restated = restated::restate(text, SYNTAX.clone())?;
        environment.add_template_owned(NAME, restated)?;
        let names = environment.get_template(NAME)?.undeclared_variables(false);
        let names_recipient = ["subscription", "delivery_id"]
            .iter()
            .any(|name| names.contains(*name));
        Ok(Self {
            text: text.to_owned(),
            escape,
            environment,
            names_recipient,
        })
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.0.escape == other.0.escape && self.0.text == other.0.text)
    }
}

impl Eq for Template {}

impl Hash for Template {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.escape.hash(state);
        self.0.text.hash(state);
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Template")
            .field(&self.0.text)
            .finish()
    }
}

#[cfg(test)]
mod tests;
