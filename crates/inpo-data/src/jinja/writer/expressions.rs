//! Expressions, whose values are weighed as they are made.

use std::fmt::Write as _;

use minijinja::machinery::ast::{self, BinOpKind, CallArg, CompareOpKind, Expr, UnaryOpKind};
use minijinja::{Error, ErrorKind, Value};

use super::super::names::{JOINED, LISTED, MADE, PLUS, TIMES, WEIGHED};
use super::Writer;

/// Filters that give back a value as it is, or a part of it: neither the value nor what comes of it is weighed.
const CHEAP: [&str; 8] = [
    "default",
    "d",
    "first",
    "last",
    "length",
    "count",
    "python_each",
    "python_same",
];

/// Tests that compare.
const COMPARING: [&str; 14] = [
    "eq",
    "equalto",
    "ne",
    "lt",
    "lessthan",
    "le",
    "gt",
    "greaterthan",
    "ge",
    "in",
    "sameas",
    "lower",
    "upper",
    "escaped",
];

/// The deepest nesting of an expression; a sum of many terms nests once for each.
const DEEPEST_EXPRESSION: usize = 2000;

impl Writer {
    /// An expression, as an operand that a filter may follow.
    pub(super) fn expr(&mut self, expr: &Expr<'_>) -> Result<(), Error> {
        self.deeper(|writer| writer.expr_here(expr))
    }

    pub(super) fn deeper(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.depth == DEEPEST_EXPRESSION {
            return Err(Error::new(
                ErrorKind::SyntaxError,
                format!("an expression nests more than {DEEPEST_EXPRESSION} deep"),
            ));
        }
        self.depth += 1;
        let written = write(self);
        self.depth -= 1;
        written
    }

    fn expr_here(&mut self, expr: &Expr<'_>) -> Result<(), Error> {
        match expr {
            Expr::Var(var) => self.put(var.id),
            Expr::Const(constant) => self.constant(&constant.value)?,
            Expr::GetAttr(_) | Expr::GetItem(_) => self.base(expr)?,
            Expr::Slice(slice) => {
                self.base(&slice.expr)?;
                self.put("[");
                self.optional(slice.start.as_ref())?;
                self.put(":");
                self.optional(slice.stop.as_ref())?;
                self.put(":");
                self.optional(slice.step.as_ref())?;
                self.put("]|");
                self.put(LISTED);
            }
            Expr::UnaryOp(unary) => {
                self.put(match unary.op {
                    UnaryOpKind::Not => "(not ",
                    UnaryOpKind::Neg => "(-",
                });
                self.base(&unary.expr)?;
                self.put(")");
            }
            Expr::BinOp(binary) => self.binary(binary)?,
            Expr::Compare(compare) => {
                self.put("(");
                self.weighed(&compare.expr)?;
                for next in &compare.ops {
                    self.put(match next.op {
                        CompareOpKind::Eq => " == ",
                        CompareOpKind::Ne => " != ",
                        CompareOpKind::Lt => " < ",
                        CompareOpKind::Lte => " <= ",
                        CompareOpKind::Gt => " > ",
                        CompareOpKind::Gte => " >= ",
                        CompareOpKind::In => " in ",
                        CompareOpKind::NotIn => " not in ",
                    });
                    self.weighed(&next.expr)?;
                }
                self.put(")");
            }
            Expr::IfExpr(_) => {
                self.put("(");
                self.choice(expr)?;
                self.put(")");
            }
            Expr::Filter(filter) => {
                let cheap = CHEAP.contains(&filter.name);
                match &filter.expr {
                    Some(value) if cheap => self.expr(value)?,
                    Some(value) => self.weighed(value)?,
                    None => self.put("''"),
                }
                self.put("|");
                self.put(filter.name);
                self.args(&filter.args, false)?;
                if !cheap {
                    self.put("|");
                    self.put(MADE);
                }
            }
            Expr::Test(test) => {
                self.put("(");
                let compares = COMPARING.contains(&test.name);
                if compares {
                    self.weighed(&test.expr)?;
                } else {
                    self.expr(&test.expr)?;
                }
                self.put(" is ");
                self.put(test.name);
                self.args(&test.args, compares)?;
                self.put(")");
            }
            Expr::Call(call) => {
                self.call(call)?;
                self.put("|");
                self.put(MADE);
            }
            Expr::List(list) => {
                self.put("[");
                self.list(&list.items)?;
                self.put("]|");
                self.put(MADE);
            }
            Expr::Map(map) => {
                self.put("{");
                for (i, (key, value)) in map.keys.iter().zip(&map.values).enumerate() {
                    self.put(if i > 0 { ", " } else { "" });
                    self.weighed(key)?;
                    self.put(": ");
                    self.expr(value)?;
                }
                self.put("}|");
                self.put(MADE);
            }
        }
        Ok(())
    }

    /// An expression whose value is walked through by what reads it.
    pub(super) fn weighed(&mut self, expr: &Expr<'_>) -> Result<(), Error> {
        self.expr(expr)?;
        let as_it_is = match expr {
            Expr::Var(_) | Expr::GetAttr(_) | Expr::GetItem(_) | Expr::IfExpr(_) => true,
            Expr::Filter(filter) => CHEAP.contains(&filter.name),
            Expr::BinOp(binary) => matches!(binary.op, BinOpKind::ScAnd | BinOpKind::ScOr),
            _ => false,
        };
        if as_it_is {
            self.put("|");
            self.put(WEIGHED);
        }
        Ok(())
    }

    /// An expression behind which an attribute, an index or arguments may stand.
    pub(super) fn base(&mut self, expr: &Expr<'_>) -> Result<(), Error> {
        self.deeper(|writer| writer.base_here(expr))
    }

    fn base_here(&mut self, expr: &Expr<'_>) -> Result<(), Error> {
        match expr {
            Expr::Var(var) => self.put(var.id),
            Expr::GetAttr(attr) => {
                self.base(&attr.expr)?;
                self.put(".");
                self.put(attr.name);
            }
            Expr::GetItem(item) => {
                self.base(&item.expr)?;
                self.put("[");
                self.weighed(&item.subscript_expr)?;
                self.put("]");
            }
            other => {
                self.put("(");
                self.expr(other)?;
                self.put(")");
            }
        }
        Ok(())
    }

    fn binary(&mut self, binary: &ast::BinOp<'_>) -> Result<(), Error> {
        let filter = match binary.op {
            BinOpKind::Add => Some(PLUS),
            BinOpKind::Concat => Some(JOINED),
            BinOpKind::Mul => Some(TIMES),
            _ => None,
        };
        if let Some(filter) = filter {
            // A sum of many is flat: the parser nests 150 deep.
            self.expr(&binary.left)?;
            self.put("|");
            self.put(filter);
            self.put("(");
            self.expr(&binary.right)?;
            self.put(")");
            return Ok(());
        }
        let (sign, compares) = match binary.op {
            BinOpKind::Eq => ("==", true),
            BinOpKind::Ne => ("!=", true),
            BinOpKind::Lt => ("<", true),
            BinOpKind::Lte => ("<=", true),
            BinOpKind::Gt => (">", true),
            BinOpKind::Gte => (">=", true),
            BinOpKind::In => ("in", true),
            BinOpKind::ScAnd => ("and", false),
            BinOpKind::ScOr => ("or", false),
            BinOpKind::Sub => ("-", false),
            BinOpKind::Div => ("/", false),
            BinOpKind::FloorDiv => ("//", false),
            BinOpKind::Rem => ("%", false),
            _ => ("**", false),
        };
        self.put("(");
        if compares {
            self.weighed(&binary.left)?;
            let _ = write!(self.out, " {sign} ");
            self.weighed(&binary.right)?;
        } else {
            self.spine(binary, sign)?;
        }
        self.put(")");
        Ok(())
    }

    /// The operands of `a and b and c`, which is one expression within one pair of brackets.
    fn spine(&mut self, binary: &ast::BinOp<'_>, sign: &str) -> Result<(), Error> {
        let same =
            |op: BinOpKind| std::mem::discriminant(&op) == std::mem::discriminant(&binary.op);
        match &binary.left {
            Expr::BinOp(left)
                if same(left.op) && matches!(binary.op, BinOpKind::ScAnd | BinOpKind::ScOr) =>
            {
                self.deeper(|writer| writer.spine(left, sign))?;
            }
            left => self.expr(left)?,
        }
        let _ = write!(self.out, " {sign} ");
        self.expr(&binary.right)
    }

    /// `a if b else c if d else e`, without brackets around what follows the first `else`.
    pub(super) fn choice(&mut self, expr: &Expr<'_>) -> Result<(), Error> {
        let Expr::IfExpr(choice) = expr else {
            return self.expr(expr);
        };
        self.expr(&choice.true_expr)?;
        self.put(" if ");
        self.expr(&choice.test_expr)?;
        if let Some(other) = &choice.false_expr {
            self.put(" else ");
            self.deeper(|writer| writer.choice(other))?;
        }
        Ok(())
    }

    pub(super) fn optional(&mut self, expr: Option<&Expr<'_>>) -> Result<(), Error> {
        expr.map_or(Ok(()), |expr| self.expr(expr))
    }

    pub(super) fn list(&mut self, items: &[Expr<'_>]) -> Result<(), Error> {
        for (i, item) in items.iter().enumerate() {
            self.put(if i > 0 { ", " } else { "" });
            self.expr(item)?;
        }
        Ok(())
    }

    pub(super) fn call(&mut self, call: &ast::Call<'_>) -> Result<(), Error> {
        self.base(&call.expr)?;
        // It compares its arguments with those of the turn before.
        let compares = matches!(&call.expr, Expr::GetAttr(attr) if attr.name == "changed");
        if call.args.is_empty() {
            self.put("()");
            return Ok(());
        }
        self.args(&call.args, compares)
    }

    pub(super) fn args(&mut self, args: &[CallArg<'_>], weigh: bool) -> Result<(), Error> {
        if args.is_empty() {
            return Ok(());
        }
        self.put("(");
        for (i, arg) in args.iter().enumerate() {
            self.put(if i > 0 { ", " } else { "" });
            match arg {
                CallArg::Pos(expr) if weigh => self.weighed(expr)?,
                CallArg::Pos(expr) => self.expr(expr)?,
                CallArg::Kwarg(name, expr) => {
                    self.put(name);
                    self.put("=");
                    self.expr(expr)?;
                }
                CallArg::PosSplat(expr) => {
                    self.put("*");
                    self.weighed(expr)?;
                }
                CallArg::KwargSplat(expr) => {
                    self.put("**");
                    self.weighed(expr)?;
                }
            }
        }
        self.put(")");
        Ok(())
    }

    /// The filters behind a block.
    pub(super) fn chain(&mut self, filter: &Expr<'_>) -> Result<(), Error> {
        let Expr::Filter(filter) = filter else {
            return self.expr(filter);
        };
        if let Some(before) = &filter.expr {
            self.deeper(|writer| writer.chain(before))?;
            self.put("|");
            self.put(MADE);
            self.put("|");
        }
        self.put(filter.name);
        self.args(&filter.args, false)
    }

    pub(super) fn constant(&mut self, value: &Value) -> Result<(), Error> {
        if let Some(text) = value.as_str() {
            self.text(text);
            return Ok(());
        }
        // Floats with the digits that read back, all others as they print.
        match f64::try_from(value.clone()) {
            Ok(number) if value.is_number() && !value.is_integer() => {
                let _ = write!(self.out, "{number:?}");
            }
            _ => {
                let _ = write!(self.out, "{value}");
            }
        }
        Ok(())
    }

    /// A text in quotes.
    pub(super) fn text(&mut self, text: &str) {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        self.put("\"");
        self.put(&text);
        self.put("\"");
    }
}
