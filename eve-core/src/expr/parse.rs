//! From tokens to the tree: the grammar of CEL, by precedence. Functions and macros are known here, so that an unknown
//! one never reaches an evaluation.

use std::ops::Range;

use serde_json::Value;

use super::ast::{Binary, Expr, Loop, LoopKind, Node, Unary};
use super::error::ExprError;
use super::functions::{self, Style};
use super::lex::{Ends, Lexed, Token, lex};
use super::limits::{DEPTH_MAX, LOOPS_MAX};
use crate::plan::graph::closest;

/// Names that CEL keeps for itself or for languages around it (CEL, "Syntax": RESERVED).
const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Operators by precedence, the loosest first; all are left-associative.
const LEVELS: [&[(&str, Operator)]; 5] = [
    &[("||", Operator::Or)],
    &[("&&", Operator::And)],
    &[
        ("==", Operator::Of(Binary::Equal)),
        ("!=", Operator::Of(Binary::Unequal)),
        ("<=", Operator::Of(Binary::LessOrEqual)),
        (">=", Operator::Of(Binary::GreaterOrEqual)),
        ("<", Operator::Of(Binary::Less)),
        (">", Operator::Of(Binary::Greater)),
        ("in", Operator::Of(Binary::In)),
    ],
    &[("+", Operator::Of(Binary::Add)), ("-", Operator::Of(Binary::Subtract))],
    &[
        ("*", Operator::Of(Binary::Multiply)),
        ("/", Operator::Of(Binary::Divide)),
        ("%", Operator::Of(Binary::Remainder)),
    ],
];

#[derive(Clone, Copy)]
enum Operator {
    Or,
    And,
    Of(Binary),
}

/// The expression that begins at `start`, and where it ends.
pub(super) fn parse(text: &str, start: usize, ends: Ends) -> Result<(Node, usize), ExprError> {
    let tokens = lex(text, start, ends)?;
    let end = tokens.last().map_or(start, |last| last.at.end);
    let mut parser = Parser { tokens, next: 0, depth: 0, loops: 0 };
    if parser.peek() == &Token::End {
        return Err(ExprError::syntax(start..end, "there is no expression"));
    }
    let node = parser.expression()?;
    if parser.peek() == &Token::End {
        return Ok((node, end));
    }
    let message = format!("the expression should end before {}", words(parser.peek()));
    Err(ExprError::syntax(parser.at(), message))
}

struct Parser {
    tokens: Vec<Lexed>,
    next: usize,
    depth: usize,
    loops: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.next).map_or(&Token::End, |lexed| &lexed.token)
    }

    fn at(&self) -> Range<usize> {
        let last = self.tokens.get(self.next).or(self.tokens.last());
        last.map_or(0..0, |lexed| lexed.at.clone())
    }

    fn advance(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    fn takes(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Token::Sign(found) if *found == sign);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &'static str, opened: &Range<usize>) -> Result<(), ExprError> {
        if self.takes(sign) {
            return Ok(());
        }
        let token = self.peek();
        let is_bracket = matches!(sign, ")" | "]" | "}");
        Err(if is_bracket && token == &Token::End {
            ExprError::syntax(opened.clone(), format!("a `{sign}` is missing at the end"))
        } else {
            ExprError::syntax(self.at(), format!("there should be a `{sign}` before {}", words(token)))
        })
    }

    fn too_deep(&self) -> ExprError {
        ExprError::limit(self.at(), format!("the expression is nested more than {DEPTH_MAX} levels deep"))
    }

    fn node(&self, expr: Expr, at: Range<usize>) -> Result<Node, ExprError> {
        let mut node = Node { expr, at, height: 1 };
        node.height += node.children().iter().map(|child| child.height).max().unwrap_or_default();
        if node.height > DEPTH_MAX { Err(self.too_deep()) } else { Ok(node) }
    }

    fn expression(&mut self) -> Result<Node, ExprError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.too_deep());
        }
        let condition = self.binary(0)?;
        let opened = self.at();
        let node = if self.takes("?") {
            let then = self.binary(0)?;
            self.expect(":", &opened)?;
            let otherwise = self.expression()?;
            let at = condition.at.start..otherwise.at.end;
            self.node(Expr::Choice(Box::new([condition, then, otherwise])), at)?
        } else {
            condition
        };
        self.depth -= 1;
        Ok(node)
    }

    /// Operators of this level and those that bind tighter: by precedence climbing, so that a level costs no stack.
    fn binary(&mut self, loosest: usize) -> Result<Node, ExprError> {
        let mut left = self.unary()?;
        while let Some((level, operator)) = self.operator(loosest) {
            self.next += 1;
            let right = self.binary(level + 1)?;
            let at = left.at.start..right.at.end;
            let pair = Box::new([left, right]);
            let expr = match operator {
                Operator::Or => Expr::Or(pair),
                Operator::And => Expr::And(pair),
                Operator::Of(operator) => Expr::Binary(operator, pair),
            };
            left = self.node(expr, at)?;
        }
        Ok(left)
    }

    fn operator(&self, loosest: usize) -> Option<(usize, Operator)> {
        let written = match self.peek() {
            Token::Sign(sign) => sign,
            Token::Name(name) if name == "in" => "in",
            Token::Name(_) | Token::Int(_) | Token::Float(_) | Token::Text(_) | Token::End => return None,
        };
        let levels = LEVELS.iter().enumerate().skip(loosest);
        let mut all = levels.flat_map(|(level, operators)| operators.iter().map(move |one| (level, one)));
        all.find(|(_, (sign, _))| *sign == written).map(|(level, (_, operator))| (level, *operator))
    }

    fn unary(&mut self) -> Result<Node, ExprError> {
        let mut signs = Vec::new();
        loop {
            let from = self.at().start;
            if self.takes("!") {
                signs.push((Unary::Not, from));
            } else if self.takes("-") {
                if let Token::Int(number) = *self.peek() {
                    let at = from..self.at().end;
                    self.next += 1;
                    let negative = 0_i64.checked_sub_unsigned(number).ok_or_else(|| too_large(at.clone()))?;
                    let literal = self.node(Expr::Literal(negative.into()), at)?;
                    return self.signed(signs, literal);
                }
                signs.push((Unary::Negate, from));
            } else {
                break;
            }
        }
        let operand = self.postfix()?;
        self.signed(signs, operand)
    }

    fn signed(&self, signs: Vec<(Unary, usize)>, operand: Node) -> Result<Node, ExprError> {
        let mut node = operand;
        for (sign, from) in signs.into_iter().rev() {
            let at = from..node.at.end;
            node = self.node(Expr::Unary(sign, Box::new(node)), at)?;
        }
        Ok(node)
    }

    fn postfix(&mut self) -> Result<Node, ExprError> {
        let mut node = self.primary()?;
        loop {
            let opened = self.at();
            if self.takes(".") {
                let at = self.at();
                let token = self.advance();
                let Token::Name(name) = token else {
                    let message = format!("there should be the name of a field before {}", words(&token));
                    return Err(ExprError::syntax(at, message));
                };
                let called = self.at();
                node = if self.takes("(") {
                    self.method(node, &name, at, &called)?
                } else {
                    let at = node.at.start..at.end;
                    self.node(Expr::Select(Box::new(node), name.into()), at)?
                };
            } else if self.takes("[") {
                let index = self.expression()?;
                let at = node.at.start..self.at().end;
                self.expect("]", &opened)?;
                node = self.node(Expr::Index(Box::new([node, index])), at)?;
            } else {
                return Ok(node);
            }
        }
    }

    fn primary(&mut self) -> Result<Node, ExprError> {
        let at = self.at();
        match self.advance() {
            Token::Int(number) => {
                let number = i64::try_from(number).map_err(|_| too_large(at.clone()))?;
                self.node(Expr::Literal(number.into()), at)
            }
            Token::Float(number) => self.node(Expr::Literal(number.into()), at),
            Token::Text(text) => self.node(Expr::Literal(Value::String(text)), at),
            Token::Name(name) => self.named(name, at),
            Token::Sign("(") => {
                let node = self.expression()?;
                self.expect(")", &at)?;
                Ok(node)
            }
            Token::Sign("[") => {
                let items = self.list("]", &at)?;
                let at = at.start..self.last_end();
                self.node(Expr::List(items), at)
            }
            Token::Sign("{") => {
                let entries = self.entries(&at)?;
                let at = at.start..self.last_end();
                self.node(Expr::Map(entries), at)
            }
            Token::End => Err(ExprError::syntax(at, "something is missing at the end of the expression")),
            token @ Token::Sign(_) => {
                Err(ExprError::syntax(at, format!("{} cannot stand here", words(&token))))
            }
        }
    }

    fn last_end(&self) -> usize {
        self.tokens.get(self.next.saturating_sub(1)).map_or(0, |lexed| lexed.at.end)
    }

    fn named(&mut self, name: String, at: Range<usize>) -> Result<Node, ExprError> {
        let literal = match name.as_str() {
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            "null" => Some(Value::Null),
            _ => None,
        };
        if let Some(literal) = literal {
            return self.node(Expr::Literal(literal), at);
        }
        let opened = self.at();
        if self.takes("(") {
            return self.function(&name, at, &opened);
        }
        if name == "in" || RESERVED.contains(&name.as_str()) {
            return Err(ExprError::syntax(at, format!("`{name}` is a reserved word")));
        }
        self.node(Expr::Name(name.into()), at)
    }

    /// Up to the closing sign.
    fn list(&mut self, closing: &'static str, opened: &Range<usize>) -> Result<Vec<Node>, ExprError> {
        let mut items = Vec::new();
        while !self.takes(closing) {
            items.push(self.expression()?);
            if !self.takes(",") {
                self.expect(closing, opened)?;
                break;
            }
        }
        Ok(items)
    }

    fn entries(&mut self, opened: &Range<usize>) -> Result<Vec<(Node, Node)>, ExprError> {
        let mut entries = Vec::new();
        while !self.takes("}") {
            let key = self.expression()?;
            self.expect(":", opened)?;
            entries.push((key, self.expression()?));
            if !self.takes(",") {
                self.expect("}", opened)?;
                break;
            }
        }
        Ok(entries)
    }

    fn function(&mut self, name: &str, at: Range<usize>, opened: &Range<usize>) -> Result<Node, ExprError> {
        let mut arguments = self.list(")", opened)?;
        let whole = at.start..self.last_end();
        if name == "has" {
            return match (arguments.pop(), arguments.is_empty()) {
                (Some(Node { expr: Expr::Select(of, field), .. }), true) => {
                    self.node(Expr::Has(of, field), whole)
                }
                _ => Err(ExprError::syntax(whole, "`has` takes one field, as in `has(inputs.name)`")),
            };
        }
        self.call(name, Style::Function, arguments, (at, whole))
    }

    fn method(
        &mut self,
        of: Node,
        name: &str,
        at: Range<usize>,
        opened: &Range<usize>,
    ) -> Result<Node, ExprError> {
        if let Some(kind) = LoopKind::of(name) {
            self.loops += 1;
            if self.loops > LOOPS_MAX {
                let message = format!("loops stand more than {LOOPS_MAX} deep within each other");
                return Err(ExprError::limit(at, message));
            }
            let arguments = self.list(")", opened)?;
            self.loops -= 1;
            return self.looped(kind, of, name, arguments);
        }
        let mut arguments = vec![of];
        arguments.extend(self.list(")", opened)?);
        let whole = arguments.first().map_or(at.start, |of| of.at.start)..self.last_end();
        self.call(name, Style::Method, arguments, (at, whole))
    }

    fn looped(
        &self,
        kind: LoopKind,
        range: Node,
        name: &str,
        arguments: Vec<Node>,
    ) -> Result<Node, ExprError> {
        let at = range.at.start..self.last_end();
        let mut arguments = arguments.into_iter();
        let (variable, body, result) = (arguments.next(), arguments.next(), arguments.next());
        let most = if kind == LoopKind::Map { 3 } else { 2 };
        let fits = arguments.next().is_none() && (result.is_none() || most == 3);
        match (variable, body) {
            (Some(Node { expr: Expr::Name(variable), .. }), Some(body)) if fits => {
                self.node(Expr::Loop(Box::new(Loop { kind, range, name: variable, body, result })), at)
            }
            _ => {
                let message = format!("`{name}` takes a name and an expression, as in `list.{name}(x, …)`");
                Err(ExprError::syntax(at, message))
            }
        }
    }

    fn call(
        &self,
        name: &str,
        style: Style,
        arguments: Vec<Node>,
        (at, whole): (Range<usize>, Range<usize>),
    ) -> Result<Node, ExprError> {
        let Some(function) = functions::find(name, style) else {
            let what = if style == Style::Method { "method" } else { "function" };
            let known = functions::FUNCTIONS.iter().filter(|known| known.style.covers(style));
            let hint =
                closest(name, known.map(|known| known.name)).map(|known| format!("did you mean `{known}`?"));
            let other = functions::FUNCTIONS
                .iter()
                .find(|known| known.name == name)
                .map(|known| format!("it is written `{}`", known.signature));
            let message = format!("there is no {what} `{name}`");
            return Err(ExprError::unknown(at, message).with_hint(other.or(hint)));
        };
        if !function.arguments.contains(&arguments.len()) {
            let message = format!("`{name}` does not take so many or so few arguments");
            return Err(ExprError::of_type(whole, message)
                .with_hint(format!("it is written `{}`", function.signature)));
        }
        self.node(Expr::Call(function, arguments), whole)
    }
}

fn too_large(at: Range<usize>) -> ExprError {
    ExprError::syntax(at, "this number is too large: whole numbers have 64 bits")
}

fn words(token: &Token) -> String {
    match token {
        Token::Name(name) => format!("`{name}`"),
        Token::Int(_) | Token::Float(_) => "a number".to_owned(),
        Token::Text(_) => "a text".to_owned(),
        Token::Sign(sign) => format!("`{sign}`"),
        Token::End => "the end".to_owned(),
    }
}
