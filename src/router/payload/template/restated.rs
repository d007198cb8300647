//! A template, said again so that each of its operations pays beforehand for all that it may look at.
//!
//! The engine asks for fuel when a value is made, by the value's own size, and hardly when values are compared, searched
//! or made a text: a list of many large ones, or of lists of lists, costs it next to nothing, and what is done with it
//! anything. So each operand goes through the filter [`TAKEN`], which counts it with all that is inside, and what cannot
//! be counted is refused.

mod signs;

use minijinja::machinery::ast::{
    BinOp, BinOpKind, Call, CallArg, Expr, Spanned, Stmt, UnaryOpKind,
};
use minijinja::machinery::parse;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, ValueKind};

use super::TemplateError;
use signs::{comparison, quoted, symbol};

/// Takes an operand in, and pays for it.
pub(super) const TAKEN: &str = "_taken";
/// Lets nothing into a namespace that could hold the namespace.
pub(super) const SCALAR: &str = "_scalar";

const FUNCTIONS: [&str; 4] = ["dict", "namespace", "range", "source"];

/// The same template, with every operand paid for. Lines stay where they are.
///
/// # Errors
/// It cannot be read, or has a part that is not supported.
pub(super) fn restate(text: &str, syntax: SyntaxConfig) -> Result<String, TemplateError> {
    let template = parse(text, super::NAME, syntax)?;
    let mut restated = Restated {
        text: String::with_capacity(2 * text.len()),
        line: 1,
    };
    restated.statement(&template)?;
    Ok(restated.text)
}

struct Restated {
    text: String,
    /// That is being written.
    line: usize,
}

type Written = Result<(), TemplateError>;

fn unsupported(what: &str, line: u16) -> Written {
    Err(TemplateError {
        line: Some(usize::from(line)),
        message: format!("{what} is not supported"),
    })
}

impl Restated {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Goes on in this line, inside of a tag.
    fn go_to(&mut self, line: u16) {
        while self.line < usize::from(line) {
            self.push("\n");
            self.line += 1;
        }
    }

    fn open(&mut self, line: u16, keyword: &str) {
        self.push("{% ");
        self.go_to(line);
        self.push(keyword);
        self.push(" ");
    }

    fn close(&mut self) {
        self.push(" %}");
    }

    fn end(&mut self, keyword: &str) {
        self.push("{% ");
        self.push(keyword);
        self.close();
    }

    fn statements(&mut self, statements: &[Stmt<'_>]) -> Written {
        statements.iter().try_for_each(|one| self.statement(one))
    }

    fn statement(&mut self, statement: &Stmt<'_>) -> Written {
        match statement {
            Stmt::Template(template) => self.statements(&template.children),
            Stmt::EmitRaw(raw) => {
                self.raw(raw.raw);
                Ok(())
            }
            Stmt::EmitExpr(emitted) => {
                self.push("{{ ");
                self.go_to(emitted.span().start_line);
                self.expression(&emitted.expr)?;
                self.push(" }}");
                Ok(())
            }
            Stmt::ForLoop(each) => {
                let line = each.span().start_line;
                if each.recursive {
                    return unsupported("`recursive`", line);
                }
                self.open(line, "for");
                self.target(&each.target, false)?;
                self.push(" in ");
                self.expression(&each.iter)?;
                if let Some(condition) = &each.filter_expr {
                    self.push(" if ");
                    self.expression(condition)?;
                }
                self.close();
                self.statements(&each.body)?;
                if !each.else_body.is_empty() {
                    self.end("else");
                    self.statements(&each.else_body)?;
                }
                self.end("endfor");
                Ok(())
            }
            Stmt::IfCond(first) => {
                let (mut condition, mut keyword) = (first, "if");
                loop {
                    self.open(condition.span().start_line, keyword);
                    self.expression(&condition.expr)?;
                    self.close();
                    self.statements(&condition.true_body)?;
                    match condition.false_body.as_slice() {
                        [] => break,
                        [Stmt::IfCond(next)] => (condition, keyword) = (next, "elif"),
                        otherwise => {
                            self.end("else");
                            self.statements(otherwise)?;
                            break;
                        }
                    }
                }
                self.end("endif");
                Ok(())
            }
            Stmt::WithBlock(with) => {
                self.open(with.span().start_line, "with");
                for (at, (target, value)) in with.assignments.iter().enumerate() {
                    self.push(if at > 0 { ", " } else { "" });
                    let is_list = matches!(target, Expr::List(_));
                    self.push(if is_list { "(" } else { "" });
                    self.target(target, false)?;
                    self.push(if is_list { ") = " } else { " = " });
                    self.expression(value)?;
                }
                self.close();
                self.statements(&with.body)?;
                self.end("endwith");
                Ok(())
            }
            Stmt::Set(set) => {
                self.open(set.span().start_line, "set");
                self.target(&set.target, true)?;
                self.push(" = ");
                self.expression(&set.expr)?;
                if matches!(set.target, Expr::GetAttr(_)) {
                    self.push("|");
                    self.push(SCALAR);
                }
                self.close();
                Ok(())
            }
            Stmt::SetBlock(set) => {
                self.open(set.span().start_line, "set");
                self.target(&set.target, true)?;
                if let Some(filter) = &set.filter {
                    self.push("|");
                    self.expression(filter)?;
                }
                self.close();
                self.statements(&set.body)?;
                self.end("endset");
                Ok(())
            }
            Stmt::FilterBlock(block) => {
                self.open(block.span().start_line, "filter");
                self.expression(&block.filter)?;
                self.close();
                self.statements(&block.body)?;
                self.end("endfilter");
                Ok(())
            }
            Stmt::AutoEscape(block) => unsupported("`autoescape`", block.span().start_line),
            Stmt::Do(block) => unsupported("`do`", block.span().start_line),
        }
    }

    /// What stands between tags, which may look like one: it can come of a `raw` block.
    fn raw(&mut self, raw: &str) {
        let opens = ["{{", "{%", "{#"].iter().any(|tag| raw.contains(tag)) || raw.ends_with('{');
        if opens {
            self.push("{{ ");
            self.push(&quoted(raw));
            self.push("|safe }}");
        } else {
            self.push(raw);
            self.line += raw.matches('\n').count();
        }
    }

    fn target(&mut self, target: &Expr<'_>, may_be_dotted: bool) -> Written {
        match target {
            Expr::Var(name) => self.push(name.id),
            Expr::GetAttr(member) if may_be_dotted => {
                self.target(&member.expr, true)?;
                self.push(".");
                self.push(member.name);
            }
            Expr::List(list) => {
                for (at, item) in list.items.iter().enumerate() {
                    let is_list = matches!(item, Expr::List(_));
                    self.push(if at > 0 { ", " } else { "" });
                    self.push(if is_list { "(" } else { "" });
                    self.target(item, false)?;
                    self.push(if is_list { ")" } else { "" });
                }
                self.push(if list.items.len() == 1 { "," } else { "" });
            }
            other => return unsupported("this assignment", other.span().start_line),
        }
        Ok(())
    }

    /// A value that an operation looks at.
    fn operand(&mut self, expression: &Expr<'_>) -> Written {
        self.expression(expression)?;
        if !matches!(expression, Expr::Const(_)) {
            self.push("|");
            self.push(TAKEN);
        }
        Ok(())
    }

    fn optional(&mut self, expression: Option<&Expr<'_>>) -> Written {
        expression.map_or(Ok(()), |expression| self.operand(expression))
    }

    /// Complete in itself: whatever stands beside it takes all of it.
    fn expression(&mut self, expression: &Expr<'_>) -> Written {
        self.go_to(expression.span().start_line);
        match expression {
            Expr::Var(name) => self.push(name.id),
            Expr::Const(constant) => return self.constant(&constant.value, expression),
            Expr::UnaryOp(operation) => {
                self.push(match operation.op {
                    UnaryOpKind::Not => "(not (",
                    UnaryOpKind::Neg => "(-(",
                });
                self.expression(&operation.expr)?;
                self.push("))");
            }
            Expr::BinOp(operation) if matches!(operation.op, BinOpKind::Concat) => {
                self.push("([");
                self.side_by_side(operation)?;
                self.push("]|join)");
            }
            Expr::BinOp(operation) => {
                self.push("(");
                self.binary(operation.op, &operation.left, &operation.right)?;
                self.push(")");
            }
            Expr::Compare(chain) => {
                self.push("(");
                self.operand(&chain.expr)?;
                for next in &chain.ops {
                    self.push(comparison(next.op));
                    self.operand(&next.expr)?;
                }
                self.push(")");
            }
            Expr::IfExpr(choice) => {
                self.push("(");
                self.expression(&choice.true_expr)?;
                self.push(" if ");
                self.expression(&choice.test_expr)?;
                if let Some(otherwise) = &choice.false_expr {
                    self.push(" else ");
                    self.expression(otherwise)?;
                }
                self.push(")");
            }
            Expr::Filter(filter) => {
                if let Some(of) = &filter.expr {
                    // Nothing is looked at, and it may well be undefined.
                    if matches!(filter.name, "default" | "d") {
                        self.expression(of)?;
                    } else {
                        self.operand(of)?;
                    }
                    self.push("|");
                }
                self.push(filter.name);
                self.arguments(&filter.args, filter.span().start_line)?;
            }
            Expr::Test(test) => {
                self.push("(");
                if matches!(test.name, "defined" | "undefined" | "none") {
                    self.expression(&test.expr)?;
                } else {
                    self.operand(&test.expr)?;
                }
                self.push(" is ");
                self.push(test.name);
                self.arguments(&test.args, test.span().start_line)?;
                self.push(")");
            }
            Expr::GetAttr(member) => {
                self.container(&member.expr)?;
                self.push(".");
                self.push(member.name);
            }
            Expr::GetItem(item) => {
                self.container(&item.expr)?;
                self.push("[");
                self.operand(&item.subscript_expr)?;
                self.push("]");
            }
            Expr::Slice(slice) => {
                self.push("(");
                self.operand(&slice.expr)?;
                self.push(")[");
                self.optional(slice.start.as_ref())?;
                self.push(":");
                self.optional(slice.stop.as_ref())?;
                self.push(":");
                self.optional(slice.step.as_ref())?;
                self.push("]");
            }
            Expr::Call(call) => return self.call(call),
            Expr::List(list) => {
                self.push("[");
                for item in &list.items {
                    self.operand(item)?;
                    self.push(", ");
                }
                self.push("]");
            }
            Expr::Tuple(tuple) => {
                self.push("(");
                for item in &tuple.items {
                    self.operand(item)?;
                    self.push(", ");
                }
                self.push(")");
            }
            Expr::Map(map) => {
                self.push("{");
                for (key, value) in map.keys.iter().zip(&map.values) {
                    self.operand(key)?;
                    self.push(": ");
                    self.operand(value)?;
                    self.push(", ");
                }
                self.push("}");
            }
        }
        Ok(())
    }

    fn binary(&mut self, kind: BinOpKind, left: &Expr<'_>, right: &Expr<'_>) -> Written {
        let is_lazy = matches!(kind, BinOpKind::ScAnd | BinOpKind::ScOr);
        // A chain nests no deeper than it did: what comes of its beginning is no larger than what was paid for.
        let goes_on = is_lazy || matches!(kind, BinOpKind::Add);
        match left {
            Expr::BinOp(before) if goes_on && symbol(before.op) == symbol(kind) => {
                self.binary(kind, &before.left, &before.right)?;
            }
            _ if is_lazy => self.expression(left)?,
            _ => self.operand(left)?,
        }
        self.push(symbol(kind));
        if is_lazy {
            self.expression(right)
        } else {
            self.operand(right)
        }
    }

    /// All of a chain of `~`: the texts that the values are in an output.
    fn side_by_side(&mut self, operation: &BinOp<'_>) -> Written {
        match &operation.left {
            Expr::BinOp(before) if matches!(before.op, BinOpKind::Concat) => {
                self.side_by_side(before)?;
            }
            first => {
                self.operand(first)?;
                self.push(", ");
            }
        }
        self.operand(&operation.right)?;
        self.push(", ");
        Ok(())
    }

    /// What a name or a number is looked up in.
    fn container(&mut self, expression: &Expr<'_>) -> Written {
        let is_complete = matches!(
            expression,
            Expr::Var(_) | Expr::GetAttr(_) | Expr::GetItem(_) | Expr::Slice(_) | Expr::Call(_)
        );
        if is_complete {
            return self.expression(expression);
        }
        self.push("(");
        self.expression(expression)?;
        self.push(")");
        Ok(())
    }

    fn call(&mut self, call: &Spanned<Call<'_>>) -> Written {
        let line = call.span().start_line;
        let is_known = match &call.expr {
            Expr::Var(function) => FUNCTIONS.contains(&function.id),
            Expr::GetAttr(method) => {
                matches!(&method.expr, Expr::Var(of) if of.id == "loop") && method.name == "cycle"
            }
            _ => false,
        };
        if !is_known {
            let what = match &call.expr {
                Expr::Var(function) => format!("the function `{}`", function.id),
                Expr::GetAttr(method) => format!("the method `{}`", method.name),
                _ => "this call".to_owned(),
            };
            return unsupported(&what, line);
        }
        self.expression(&call.expr)?;
        self.push("(");
        self.listed(&call.args, line)?;
        self.push(")");
        Ok(())
    }

    fn arguments(&mut self, arguments: &[CallArg<'_>], line: u16) -> Written {
        if arguments.is_empty() {
            return Ok(());
        }
        self.push("(");
        self.listed(arguments, line)?;
        self.push(")");
        Ok(())
    }

    fn listed(&mut self, arguments: &[CallArg<'_>], line: u16) -> Written {
        for (at, argument) in arguments.iter().enumerate() {
            self.push(if at > 0 { ", " } else { "" });
            match argument {
                CallArg::Pos(value) => self.operand(value)?,
                CallArg::Kwarg(name, value) => {
                    self.push(name);
                    self.push("=");
                    self.operand(value)?;
                }
                CallArg::PosSplat(_) | CallArg::KwargSplat(_) => {
                    return unsupported("`*` in front of an argument", line);
                }
            }
        }
        Ok(())
    }

    fn constant(&mut self, value: &Value, expression: &Expr<'_>) -> Written {
        match value.kind() {
            ValueKind::None => self.push("none"),
            ValueKind::Bool => self.push(if value.is_true() { "true" } else { "false" }),
            ValueKind::String => self.push(&quoted(value.as_str().unwrap_or_default())),
            ValueKind::Number if value.is_integer() => self.push(&value.to_string()),
            ValueKind::Number => match f64::try_from(value.clone()) {
                Ok(number) if number.is_finite() => self.push(&format!("{number:?}")),
                _ => return unsupported("this number", expression.span().start_line),
            },
            _ => return unsupported("this value", expression.span().start_line),
        }
        Ok(())
    }
}
