//! What an expression may say, checked before it is ever evaluated: how long and deep it is, which names and
//! functions it uses; and the turns of its loops are made to count.
//!
//! `map`, lists and objects of anything but constants, and more than a few `+` are refused: with them, an
//! expression of a line could make values of any size.

use std::fmt;

use cel::common::ast::{
    CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators,
};
use cel::parser::{Expression as Tree, ParseErrors};

use super::meter;
use super::value::VARIABLES;

/// How deep brackets may nest.
const MOST_BRACKETS: usize = 16;
/// How many steps (`.a`, `[0]`) may stand in the text: each could be a level of the tree.
const MOST_STEPS: usize = 400;
/// How often `?` may stand: each opens a level.
const MOST_CHOICES: usize = 16;
/// How deep the tree may be, which decides how much of the stack an evaluation takes.
const MOST_LEVELS: usize = 32;
/// How many parts the tree may have.
const MOST_PARTS: usize = 1_000;
/// How many loops may stand in one another.
const MOST_LOOPS: usize = 2;
/// How often `+` may stand.
const MOST_SUMS: usize = 8;

const FUNCTIONS: [&str; 23] = [
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "timestamp",
    "duration",
    "getFullYear",
    "getMonth",
    "getDayOfYear",
    "getDayOfMonth",
    "getDate",
    "getDayOfWeek",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
    "@not_strictly_false",
];

const OPERATORS: [&str; 17] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
];

/// Why an expression is refused, and where.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub struct ExpressionError {
    /// Line and column, from 1; none for the whole.
    at: Option<(usize, usize)>,
    rule: ExpressionRule,
}

/// What an expression must keep to.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
enum ExpressionRule {
    #[error("{0}")]
    Syntax(String),
    #[error("brackets nest deeper than {MOST_BRACKETS} levels")]
    Brackets,
    #[error("more than {MOST_STEPS} `.` and `[`")]
    Steps,
    #[error("more than {MOST_CHOICES} choices (`? :`)")]
    Choices,
    #[error(
        "operators nest deeper than {MOST_LEVELS} levels: join conditions by `&&` in brackets, or use `in`"
    )]
    Levels,
    #[error("more than {MOST_PARTS} parts")]
    Parts,
    #[error("loops stand in one another more than {MOST_LOOPS} deep")]
    Loops,
    #[error("`+` more than {MOST_SUMS} times")]
    Sums,
    #[error(
        "there is no `{0}`: an expression knows `type`, `tenant`, `id`, `timestamp`, `data` and `metadata`"
    )]
    Name(String),
    #[error("there is no function `{0}`")]
    Function(String),
    #[error("`map` is not supported: `all`, `exists`, `exists_one` and `filter` are")]
    Map,
    #[error("a list may hold constants only")]
    List,
    #[error("objects cannot be made")]
    Object,
    #[error("the pattern of `matches` must be a text that stands in the expression")]
    PatternText,
    #[error("the pattern of `matches` is refused: {0}")]
    Pattern(String),
}

impl fmt::Display for ExpressionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.at {
            write!(formatter, "line {line}, column {column}: ")?;
        }
        write!(formatter, "{}", self.rule)
    }
}

impl ExpressionError {
    /// The first of what the parser says.
    pub(super) fn syntax(text: &str, errors: &ParseErrors) -> Self {
        let Some(first) = errors.errors.first() else {
            return Self::whole(ExpressionRule::Syntax("is not CEL".to_owned()));
        };
        // All that could stand there instead is no help.
        let message = first.msg.split(" expecting ").next().unwrap_or_default();
        let mut message = message.trim().to_owned();
        message.truncate(message.floor_char_boundary(200));
        let (line, column) = first.pos;
        let at = usize::try_from(line).ok().zip(usize::try_from(column).ok());
        Self {
            at: at.filter(|(line, _)| (1..=text.lines().count()).contains(line)),
            rule: ExpressionRule::Syntax(message),
        }
    }

    /// The parser itself gave up.
    pub(super) fn unreadable() -> Self {
        Self::whole(ExpressionRule::Syntax("cannot be read".to_owned()))
    }

    fn whole(rule: ExpressionRule) -> Self {
        Self { at: None, rule }
    }
}

/// What could be too much for the parser itself.
pub(super) fn text(text: &str) -> Result<(), ExpressionError> {
    let (mut open, mut choices, mut steps) = (0_usize, 0, 0);
    for (at, character) in text.char_indices() {
        if matches!(character, '.' | '[') {
            steps += 1;
        }
        let rule = match character {
            _ if steps > MOST_STEPS => Some(ExpressionRule::Steps),
            '(' | '[' | '{' => {
                open += 1;
                (open > MOST_BRACKETS).then_some(ExpressionRule::Brackets)
            }
            ')' | ']' | '}' => {
                open = open.saturating_sub(1);
                None
            }
            '?' => {
                choices += 1;
                (choices > MOST_CHOICES).then_some(ExpressionRule::Choices)
            }
            _ => None,
        };
        if let Some(rule) = rule {
            let at = Some(position(text, at));
            return Err(ExpressionError { at, rule });
        }
    }
    Ok(())
}

fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(at)];
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    (line, column)
}

/// Checks what was parsed, and makes its loops count their turns.
pub(super) fn tree(
    tree: &mut Tree,
    text: &str,
    places: &SourceInfo,
) -> Result<(), ExpressionError> {
    let mut check = Check {
        parts: 0,
        sums: 0,
        most_sums: MOST_SUMS,
        names: Vec::new(),
    };
    check.part(tree, 0).map_err(|(id, rule)| ExpressionError {
        at: places
            .offset_for(id)
            .map(|(from, _)| position(text, from as usize)),
        rule,
    })
}

struct Check {
    parts: usize,
    sums: usize,
    most_sums: usize,
    /// What the loops around name.
    names: Vec<String>,
}

type Refused = (u64, ExpressionRule);

impl Check {
    /// Recurses as deep as levels may be.
    fn part(&mut self, part: &mut IdedExpr, level: usize) -> Result<(), Refused> {
        let id = part.id;
        let refuse = |rule| Err((id, rule));
        self.parts += 1;
        if self.parts > MOST_PARTS {
            return refuse(ExpressionRule::Parts);
        }
        if level > MOST_LEVELS {
            return refuse(ExpressionRule::Levels);
        }
        match &mut part.expr {
            Expr::Call(call) => self.call(call, id, level),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension, id, level),
            Expr::Ident(name) => {
                if !VARIABLES.contains(&name.as_str()) && !self.names.contains(name) {
                    return refuse(ExpressionRule::Name(shown(name)));
                }
                Ok(())
            }
            Expr::List(list) => {
                let is_constant = |element: &IdedExpr| matches!(element.expr, Expr::Literal(_));
                if !list.elements.iter().all(is_constant) {
                    return refuse(ExpressionRule::List);
                }
                self.parts += list.elements.len();
                if self.parts > MOST_PARTS {
                    return refuse(ExpressionRule::Parts);
                }
                Ok(())
            }
            Expr::Literal(_) => Ok(()),
            Expr::Select(select) => self.part(&mut select.operand, level + 1),
            Expr::Map(_) | Expr::Struct(_) => refuse(ExpressionRule::Object),
            Expr::Unspecified => refuse(ExpressionRule::Syntax("something is missing".to_owned())),
        }
    }

    fn call(&mut self, call: &mut CallExpr, id: u64, level: usize) -> Result<(), Refused> {
        let name = call.func_name.as_str();
        let is_known =
            FUNCTIONS.contains(&name) || OPERATORS.contains(&name) || name == operators::IN;
        if !is_known {
            return Err((id, ExpressionRule::Function(shown(name))));
        }
        if name == operators::ADD {
            self.sums += 1;
            if self.sums > self.most_sums {
                return Err((id, ExpressionRule::Sums));
            }
        }
        if let [left, right] = call.args.as_mut_slice()
            && [operators::EQUALS, operators::NOT_EQUALS].contains(&name)
            && matches!(left.expr, Expr::List(_))
        {
            // A list of the library's own does not know how to compare with one of the event.
            std::mem::swap(left, right);
        }
        if name == "matches" {
            Self::matches(call, id)?;
        }
        for part in call.target.as_deref_mut().into_iter().chain(&mut call.args) {
            self.part(part, level + 1)?;
        }
        Ok(())
    }

    /// The pattern is compiled here once, to refuse it, and then kept.
    fn matches(call: &mut CallExpr, id: u64) -> Result<(), Refused> {
        if let Some(target) = call.target.take() {
            call.args.insert(0, *target);
        }
        match call.args.as_slice() {
            [_, pattern] => match &pattern.expr {
                Expr::Literal(LiteralValue::String(text)) => {
                    meter::pattern(text.inner()).map_err(|error| {
                        (
                            pattern.id,
                            ExpressionRule::Pattern(shown(&error.to_string())),
                        )
                    })?;
                }
                _ => return Err((pattern.id, ExpressionRule::PatternText)),
            },
            _ => return Err((id, ExpressionRule::PatternText)),
        }
        call.func_name = meter::MATCHES.to_owned();
        Ok(())
    }

    fn comprehension(
        &mut self,
        comprehension: &mut ComprehensionExpr,
        id: u64,
        level: usize,
    ) -> Result<(), Refused> {
        self.part(&mut comprehension.iter_range, level + 1)?;
        // Each loop has two names: its own and that of its result.
        if self.names.len() == 2 * MOST_LOOPS {
            return Err((id, ExpressionRule::Loops));
        }
        self.names.push(comprehension.iter_var.clone());
        self.names.push(comprehension.accu_var.clone());
        if matches!(comprehension.accu_init.expr, Expr::List(_)) {
            let condition = filter_condition(comprehension).ok_or((id, ExpressionRule::Map))?;
            self.part(condition, level + 1)?;
            count_turns(condition);
        } else {
            self.part(&mut comprehension.loop_cond, level + 1)?;
            if matches!(
                comprehension.accu_init.expr,
                Expr::Literal(LiteralValue::Int(_))
            ) {
                // `exists_one` counts by a sum of its own.
                self.most_sums += 1;
            }
            self.part(&mut comprehension.loop_step, level + 1)?;
            self.part(&mut comprehension.result, level + 1)?;
            count_turns(&mut comprehension.loop_cond);
        }
        self.names.truncate(self.names.len() - 2);
        Ok(())
    }
}

/// The condition of a `filter`: its step is `condition ? result + [element] : result`.
fn filter_condition(comprehension: &mut ComprehensionExpr) -> Option<&mut IdedExpr> {
    let element = comprehension.iter_var.clone();
    let Expr::Call(choice) = &mut comprehension.loop_step.expr else {
        return None;
    };
    let [condition, step, _] = choice.args.as_mut_slice() else {
        return None;
    };
    let Expr::Call(sum) = &step.expr else {
        return None;
    };
    let Expr::List(appended) = &sum.args.get(1)?.expr else {
        return None;
    };
    let is_element = |part: &IdedExpr| matches!(&part.expr, Expr::Ident(name) if *name == element);
    appended
        .elements
        .iter()
        .all(is_element)
        .then_some(condition)
}

/// Makes a condition ask first whether a turn may be made.
fn count_turns(condition: &mut IdedExpr) {
    let id = condition.id;
    let turn = IdedExpr {
        id,
        expr: Expr::Call(CallExpr {
            func_name: meter::TURN.to_owned(),
            target: None,
            args: Vec::new(),
        }),
    };
    let asked = std::mem::take(condition);
    *condition = IdedExpr {
        id,
        expr: Expr::Call(CallExpr {
            func_name: operators::LOGICAL_AND.to_owned(),
            target: None,
            args: vec![turn, asked],
        }),
    };
}

fn shown(text: &str) -> String {
    text[..text.floor_char_boundary(100)].to_owned()
}
