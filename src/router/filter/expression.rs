//! A subscription's `where`: an expression in CEL, the Common Expression Language, over an event.
//!
//! Two bounds keep it harmless. What it says is checked when it is compiled (`check.rs`): how long and how deep
//! it is, and that it uses nothing that could make large values. How much it does is counted while it is
//! evaluated (`meter.rs`).

mod check;
mod meter;
mod value;

use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, LazyLock};
use std::thread;

use cel::common::value::CowVal;
use cel::parser::Expression as Tree;
use cel::{Context, Env, ExecutionError, Value};

pub use check::ExpressionError;
pub use value::EventValue;

/// How deep the library's parser may go.
const PARSER_DEPTH: u16 = 32;
/// Enough for that, in bytes, in a build that optimises nothing too.
const PARSER_STACK: usize = 16 * 1_024 * 1_024;
/// What is said of a failure.
const LONGEST_MESSAGE: usize = 256;

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut environment = Env::stdlib().with_optional_support(false);
    let declared = meter::declare(&mut environment);
    debug_assert!(declared.is_ok(), "{declared:?}");
    Arc::new(environment)
});

/// A compiled expression. Cheap to clone.
#[derive(Clone)]
pub struct Expression(Arc<Compiled>);

struct Compiled {
    text: Box<str>,
    tree: Tree,
}

/// Why an expression says neither yes nor no of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind.
    pub reason: FailureReason,
    /// The same for people; without values of the event.
    pub message: String,
}

/// The kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureReason {
    /// A member or an element that is not there.
    Missing,
    /// An operator or function on another type than it works on.
    Type,
    /// It takes more work than is allowed.
    Limit,
    /// The result is neither true nor false.
    NotBoolean,
    /// A number too large, a division by zero, a text that is no number.
    Value,
}

impl FailureReason {
    /// All of them, for metrics.
    pub const ALL: [Self; 5] = [
        Self::Missing,
        Self::Type,
        Self::Limit,
        Self::NotBoolean,
        Self::Value,
    ];

    /// The name in metrics and notices.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Type => "type",
            Self::Limit => "limit",
            Self::NotBoolean => "not_boolean",
            Self::Value => "value",
        }
    }
}

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// Names the place and what is wrong there.
    pub fn compile(text: &str) -> Result<Self, ExpressionError> {
        check::text(text)?;
        // A level of brackets takes many frames of the parser. What is left deep after `check` is not.
        let tree = thread::scope(|scope| {
            let parser = thread::Builder::new().stack_size(PARSER_STACK);
            match parser.spawn_scoped(scope, || parse(text)) {
                Ok(parsing) => parsing
                    .join()
                    .unwrap_or_else(|_| Err(ExpressionError::unreadable())),
                Err(_) => Err(ExpressionError::unreadable()),
            }
        })?;
        Ok(Self(Arc::new(Compiled {
            text: text.into(),
            tree,
        })))
    }

    /// How many clones of it there are.
    pub fn holders(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// Whether it holds for an event.
    ///
    /// # Errors
    /// It cannot be told.
    pub fn holds(&self, event: &EventValue) -> Result<bool, Failure> {
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        for (name, value) in event.variables() {
            context.add_variable_as_val(name, value);
        }
        meter::start(event.step_cost());
        // The library is not ours to know free of panics; one must not end the router.
        let evaluate = || Value::resolve_val(&self.0.tree, &context);
        let Ok(result) = panic::catch_unwind(AssertUnwindSafe(evaluate)) else {
            return Err(Failure::new(FailureReason::Value, "it cannot be evaluated"));
        };
        // What ran out of work may look like any answer.
        if meter::is_used_up() {
            return Err(Failure::new(
                FailureReason::Limit,
                "it takes more work than an expression may for one event",
            ));
        }
        let answer = result.map_err(|error| Failure::from(&error))?;
        truth(&answer).ok_or_else(|| {
            let kind = answer.get_type().name().to_owned();
            let message = format!("its result is of type {kind}, neither true nor false");
            Failure::new(FailureReason::NotBoolean, message)
        })
    }
}

fn parse(text: &str) -> Result<Tree, ExpressionError> {
    let parser = ENVIRONMENT
        .parser()
        .max_recursion_depth(PARSER_DEPTH)
        .error_recovery_limit(1);
    let parsed = parser.parse_with_source_info(text);
    let (mut tree, places) = parsed.map_err(|errors| ExpressionError::syntax(text, &errors))?;
    check::tree(&mut tree, text, &places)?;
    Ok(tree)
}

fn truth(value: &CowVal<'_, '_>) -> Option<bool> {
    value
        .downcast_ref::<cel::common::types::CelBool>()
        .map(|answer| *answer.inner())
}

impl Failure {
    fn new(reason: FailureReason, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
        Self { reason, message }
    }
}

impl From<&ExecutionError> for Failure {
    /// The library's own texts can repeat whole values.
    fn from(error: &ExecutionError) -> Self {
        use FailureReason::{Missing, Type, Value};
        match error {
            ExecutionError::NoSuchKey(name) => Self::new(Missing, format!("there is no `{name}`")),
            ExecutionError::UndeclaredReference(name) => {
                Self::new(Missing, format!("there is no `{name}`"))
            }
            ExecutionError::IndexOutOfBounds(_) => {
                Self::new(Missing, "a list has no element of that index")
            }
            ExecutionError::NoSuchOverload(overload) => Self::new(Type, overload.to_string()),
            ExecutionError::UnexpectedType { got, want } => {
                Self::new(Type, format!("{got} where {want} is needed"))
            }
            ExecutionError::UnsupportedBinaryOperator(operator, ..) => {
                Self::new(Type, format!("`{operator}` of values of these types"))
            }
            ExecutionError::ValuesNotComparable(..) => {
                Self::new(Type, "values of different types have no order")
            }
            ExecutionError::Overflow(operator, ..) => {
                Self::new(Value, format!("`{operator}` of numbers that are too large"))
            }
            ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
                Self::new(Value, "division by zero")
            }
            ExecutionError::FunctionError { function, .. } => Self::new(
                Value,
                format!("`{function}` of a value that it cannot take"),
            ),
            // The library's list may grow.
            _ => Self::new(
                Type,
                "an operator or function on values that it does not work on",
            ),
        }
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Expression")
            .field(&self.0.text)
            .finish()
    }
}

#[cfg(test)]
mod tests;
