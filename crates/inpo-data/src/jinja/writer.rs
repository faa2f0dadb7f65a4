//! A template written anew, with its limits in it.

use minijinja::machinery::ast::{self, Expr, Stmt};
use minijinja::machinery::{Span, WhitespaceConfig, parse};
use minijinja::{Error, ErrorKind};

mod expressions;

use super::names::{MADE, STORED};

/// Writes a template so that the limits of this module hold in it; [`super::environment`] compiles the result.
///
/// `whitespace` says how the text around tags is read. The result has the same lines.
///
/// # Errors
/// What is no template, and one that reads other templates.
pub fn guarded(name: &str, source: &str, whitespace: WhitespaceConfig) -> Result<String, Error> {
    let template = parse(source, name, Default::default(), whitespace)?;
    let mut writer = Writer {
        out: String::with_capacity(source.len() * 2),
        line: 1,
        depth: 0,
    };
    writer.statement(&template)?;
    Ok(writer.out)
}

struct Writer {
    out: String,
    line: u16,
    depth: usize,
}

impl Writer {
    fn put(&mut self, text: &str) {
        let lines = text.bytes().filter(|byte| *byte == b'\n').count();
        self.line = self
            .line
            .saturating_add(u16::try_from(lines).unwrap_or(u16::MAX));
        self.out.push_str(text);
    }

    /// Opens a tag, and goes to the line that it was in.
    fn open(&mut self, tag: &str, span: Span) {
        self.put(tag);
        while self.line < span.start_line {
            self.put("\n");
        }
    }

    fn tag(&mut self, text: &str, span: Span) {
        self.open("{% ", span);
        self.put(text);
        self.put(" %}");
    }

    fn body(&mut self, body: &[Stmt<'_>]) -> Result<(), Error> {
        body.iter().try_for_each(|stmt| self.statement(stmt))
    }

    fn statement(&mut self, stmt: &Stmt<'_>) -> Result<(), Error> {
        match stmt {
            Stmt::Template(template) => self.body(&template.children)?,
            Stmt::EmitRaw(raw) if raw.raw.is_empty() => {}
            Stmt::EmitRaw(raw) => {
                self.open("{{ ", raw.span());
                self.text(raw.raw);
                self.put("|");
                self.put(MADE);
                self.put(" }}");
            }
            Stmt::EmitExpr(emit) => {
                self.open("{{ ", emit.span());
                self.expr(&emit.expr)?;
                self.put(" }}");
            }
            Stmt::ForLoop(each) => self.for_loop(each, each.span())?,
            Stmt::IfCond(cond) => self.condition(cond, cond.span())?,
            Stmt::WithBlock(with) => {
                self.open("{% with ", with.span());
                for (i, (target, expr)) in with.assignments.iter().enumerate() {
                    self.put(if i > 0 { ", " } else { "" });
                    let several = matches!(target, Expr::List(_));
                    self.put(if several { "(" } else { "" });
                    self.target(target)?;
                    self.put(if several { ") = " } else { " = " });
                    self.expr(expr)?;
                }
                self.put(" %}");
                self.body(&with.body)?;
                self.put("{% endwith %}");
            }
            Stmt::Set(set) => {
                self.open("{% set ", set.span());
                self.target(&set.target)?;
                self.put(" = ");
                self.expr(&set.expr)?;
                if !matches!(set.target, Expr::Var(_)) {
                    self.put("|");
                    self.put(STORED);
                }
                self.put(" %}");
            }
            Stmt::SetBlock(set) => {
                self.open("{% set ", set.span());
                self.target(&set.target)?;
                if let Some(filter) = &set.filter {
                    self.put("|");
                    self.chain(filter)?;
                }
                self.put("|");
                self.put(MADE);
                self.put(" %}");
                self.body(&set.body)?;
                self.put("{% endset %}");
            }
            Stmt::AutoEscape(escape) => {
                self.open("{% autoescape ", escape.span());
                self.expr(&escape.enabled)?;
                self.put(" %}");
                self.body(&escape.body)?;
                self.put("{% endautoescape %}");
            }
            Stmt::FilterBlock(block) => {
                self.open("{% filter ", block.span());
                self.chain(&block.filter)?;
                self.put("|");
                self.put(MADE);
                self.put(" %}");
                self.body(&block.body)?;
                self.put("{% endfilter %}");
            }
            Stmt::Block(block) => {
                self.tag(&format!("block {}", block.name), block.span());
                self.body(&block.body)?;
                self.put("{% endblock %}");
            }
            Stmt::Macro(decl) => {
                self.open("{% macro ", decl.span());
                self.put(decl.name);
                self.parameters(decl)?;
                self.put(" %}");
                self.body(&decl.body)?;
                self.put("{% endmacro %}");
            }
            Stmt::CallBlock(block) => {
                self.open("{% call", block.span());
                self.parameters(&block.macro_decl)?;
                self.put(" ");
                self.call(&block.call)?;
                self.put(" %}");
                self.body(&block.macro_decl.body)?;
                self.put("{% endcall %}");
            }
            Stmt::Do(call) => {
                self.open("{% do ", call.span());
                self.call(&call.call)?;
                self.put(" %}");
            }
            Stmt::Continue(stmt) => self.tag("continue", stmt.span()),
            Stmt::Break(stmt) => self.tag("break", stmt.span()),
            Stmt::Import(_) | Stmt::FromImport(_) | Stmt::Extends(_) | Stmt::Include(_) => {
                return Err(Error::new(
                    ErrorKind::SyntaxError,
                    "a template cannot read another one",
                ));
            }
        }
        Ok(())
    }

    fn for_loop(&mut self, each: &ast::ForLoop<'_>, span: Span) -> Result<(), Error> {
        self.open("{% for ", span);
        self.target(&each.target)?;
        self.put(" in ");
        self.expr(&each.iter)?;
        if let Some(filter) = &each.filter_expr {
            self.put(" if ");
            self.expr(filter)?;
        }
        self.put(if each.recursive {
            " recursive %}"
        } else {
            " %}"
        });
        self.body(&each.body)?;
        if !each.else_body.is_empty() {
            self.put("{% else %}");
            self.body(&each.else_body)?;
        }
        self.put("{% endfor %}");
        Ok(())
    }

    /// A chain of conditions, which may be long, without recursion.
    fn condition(&mut self, mut cond: &ast::IfCond<'_>, span: Span) -> Result<(), Error> {
        self.open("{% if ", span);
        loop {
            self.expr(&cond.expr)?;
            self.put(" %}");
            self.body(&cond.true_body)?;
            match cond.false_body.as_slice() {
                [Stmt::IfCond(next)] => {
                    self.open("{% elif ", next.span());
                    cond = next;
                }
                [] => break,
                body => {
                    self.put("{% else %}");
                    self.body(body)?;
                    break;
                }
            }
        }
        self.put("{% endif %}");
        Ok(())
    }

    /// What a value is assigned to.
    fn target(&mut self, target: &Expr<'_>) -> Result<(), Error> {
        match target {
            Expr::List(list) => {
                for (i, item) in list.items.iter().enumerate() {
                    let several = matches!(item, Expr::List(_));
                    self.put(if i > 0 { ", " } else { "" });
                    self.put(if several { "(" } else { "" });
                    self.target(item)?;
                    self.put(if several { ")" } else { "" });
                }
                self.put(if list.items.len() == 1 { "," } else { "" });
                Ok(())
            }
            other => self.base(other),
        }
    }

    fn parameters(&mut self, decl: &ast::Macro<'_>) -> Result<(), Error> {
        self.put("(");
        let plain = decl.args.len() - decl.defaults.len();
        for (i, arg) in decl.args.iter().enumerate() {
            self.put(if i > 0 { ", " } else { "" });
            self.target(arg)?;
            if let Some(default) = i.checked_sub(plain).and_then(|i| decl.defaults.get(i)) {
                self.put("=");
                self.expr(default)?;
            }
        }
        self.put(")");
        Ok(())
    }
}
