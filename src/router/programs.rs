//! Expressions and templates that several subscriptions say alike are compiled and held once.

use std::collections::HashMap;

use super::filter::{Expression, ExpressionError};
use super::payload::{Template, TemplateError};

/// How many unused programs may lie about before they are looked for.
const LITTER: usize = 64;

/// What has been compiled, by its text.
#[derive(Debug, Default)]
pub struct Programs {
    expressions: Shelf<Expression>,
    templates: Shelf<Template>,
}

/// A program that knows whether anybody but the shelf has it.
trait Program: Clone {
    fn is_used(&self) -> bool;
}

impl Program for Expression {
    fn is_used(&self) -> bool {
        self.holders() > 1
    }
}

impl Program for Template {
    fn is_used(&self) -> bool {
        self.holders() > 1
    }
}

#[derive(Debug)]
struct Shelf<T> {
    by_text: HashMap<String, T>,
    /// At so many it is cleared of what is not used.
    clear_at: usize,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self {
            by_text: HashMap::new(),
            clear_at: LITTER,
        }
    }
}

impl Programs {
    /// As [`Expression::compile`].
    ///
    /// # Errors
    /// Its own.
    pub fn expression(&mut self, text: &str) -> Result<Expression, ExpressionError> {
        self.expressions
            .get(text.to_owned(), || Expression::compile(text))
    }

    /// As [`Template::compile`]. The fuel is the same for all.
    ///
    /// # Errors
    /// Its own.
    pub fn template(
        &mut self,
        text: &str,
        content_type: &str,
        fuel: u64,
    ) -> Result<Template, TemplateError> {
        // No content type has a line's end.
        let key = format!("{content_type}\n{text}");
        self.templates
            .get(key, || Template::compile(text, content_type, fuel))
    }
}

impl<T: Program> Shelf<T> {
    fn get<E>(&mut self, key: String, compile: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        if let Some(known) = self.by_text.get(&key) {
            return Ok(known.clone());
        }
        let compiled = compile()?;
        if self.by_text.len() >= self.clear_at {
            self.by_text.retain(|_, program| program.is_used());
            self.clear_at = self.by_text.len() * 2 + LITTER;
        }
        self.by_text.insert(key, compiled.clone());
        Ok(compiled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_alike_is_held_once_and_not_for_ever() {
        let mut programs = Programs::default();
        let first = programs.expression("data.n > 1").unwrap();
        let second = programs.expression("data.n > 1").unwrap();
        assert_eq!(first.holders(), 3);
        assert!(programs.expression("data.n >").is_err());
        drop(second);
        for number in 0..1_000 {
            programs
                .expression(&format!("data.n > {number}00"))
                .unwrap();
        }
        assert!(programs.expressions.by_text.len() <= 2 * LITTER + 2);
        assert!(programs.expressions.by_text.contains_key("data.n > 1"));

        let text = programs
            .template("{{ data }}", "text/plain", 1_000)
            .unwrap();
        let json = programs
            .template("{{ data }}", "application/json", 1_000)
            .unwrap();
        assert!(text != json, "they escape differently");
        let again = programs
            .template("{{ data }}", "text/plain", 1_000)
            .unwrap();
        assert_eq!((text.holders(), json.holders(), again.holders()), (3, 2, 3));
    }
}
