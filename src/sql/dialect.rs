//! The two dialects: their names, how sqlparser is to read each, and the table of what they spell alike and mean differently.
//!
//! Every form that only one of them has is accepted in both, so `SqlDialect` turns on what either has wherever that takes
//! nothing away from the other.

use std::any::TypeId;
use std::fmt;
use std::str::FromStr;

use sqlparser::ast::{BinaryOperator, Expr, Function, FunctionArguments, ObjectName};
use sqlparser::dialect::{DatabricksDialect, Dialect as ParserDialect, PostgreSqlDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

use crate::error::{Error, Kind, Result};

/// Meaning of what Spark and PostgreSQL spell alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    Spark,
    Postgres,
}

impl Dialect {
    /// As `SET sql_dialect` takes and SHOW gives it.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Spark => "spark",
            Dialect::Postgres => "postgres",
        }
    }

    pub fn other(self) -> Dialect {
        match self {
            Dialect::Spark => Dialect::Postgres,
            Dialect::Postgres => Dialect::Spark,
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Dialect {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.trim().to_ascii_lowercase().as_str() {
            "spark" => Ok(Dialect::Spark),
            "postgres" | "postgresql" => Ok(Dialect::Postgres),
            _ => {
                Err(Error::new(Kind::InvalidParameterValue, format!("`{text}` is no dialect: it is spark or postgres")))
            }
        }
    }
}

/// The dialect that a script asks for in its first line: `-- tycho: dialect=spark`. `None` if the line says nothing of it.
pub fn pragma(script: &str) -> Result<Option<Dialect>> {
    let script = script.strip_prefix('\u{feff}').unwrap_or(script);
    let line = script.lines().next().unwrap_or_default().trim();
    let Some(rest) = line.strip_prefix("--").map(str::trim_start) else { return Ok(None) };
    let Some(settings) = rest.strip_prefix("tycho:") else { return Ok(None) };
    let setting = settings.trim();
    match setting.split_once('=') {
        Some((name, value)) if name.trim() == "dialect" => value.parse().map(Some),
        _ => {
            let message =
                format!("the first line says `{setting}`, which is not known: write `-- tycho: dialect=spark`");
            Err(Error::new(Kind::InvalidParameterValue, message).at(0))
        }
    }
}

/// How sqlparser reads query bodies of a session.
#[derive(Debug, Clone, Copy)]
pub(super) struct SqlDialect(pub(super) Dialect);

impl SqlDialect {
    fn is_spark(self) -> bool {
        self.0 == Dialect::Spark
    }
}

impl ParserDialect for SqlDialect {
    /// sqlparser asks for these types by name: Databricks' lets `array(1, 2)` and `exists(a, x -> …)` be functions,
    /// PostgreSQL's reads `^`, `#` and `&&`.
    fn dialect(&self) -> TypeId {
        if self.is_spark() { TypeId::of::<DatabricksDialect>() } else { TypeId::of::<PostgreSqlDialect>() }
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`' || (ch == '"' && !self.is_spark())
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some(if self.is_spark() { '`' } else { '"' })
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_' || (!ch.is_ascii() && !ch.is_whitespace())
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        self.is_identifier_start(ch) || ch.is_ascii_digit() || ch == '$'
    }

    fn supports_string_literal_backslash_escape(&self) -> bool {
        self.is_spark()
    }

    fn supports_geometric_types(&self) -> bool {
        !self.is_spark()
    }

    fn supports_lambda_functions(&self) -> bool {
        self.is_spark()
    }

    fn supports_cte_without_as(&self) -> bool {
        self.is_spark()
    }

    fn supports_select_item_multi_column_alias(&self) -> bool {
        self.is_spark()
    }

    fn supports_bang_not_operator(&self) -> bool {
        self.is_spark()
    }

    fn supports_notnull_operator(&self) -> bool {
        !self.is_spark()
    }

    fn supports_empty_projections(&self) -> bool {
        !self.is_spark()
    }

    fn supports_named_fn_args_with_colon_operator(&self) -> bool {
        !self.is_spark()
    }

    fn supports_named_fn_args_with_expr_name(&self) -> bool {
        !self.is_spark()
    }

    fn is_reserved_for_identifier(&self, kw: Keyword) -> bool {
        PostgreSqlDialect {}.is_reserved_for_identifier(kw)
    }

    fn get_next_precedence(&self, parser: &Parser) -> Option<Result<u8, ParserError>> {
        if self.is_spark() { None } else { PostgreSqlDialect {}.get_next_precedence(parser) }
    }

    fn prec_value(&self, prec: Precedence) -> u8 {
        if self.is_spark() { DatabricksDialect.prec_value(prec) } else { PostgreSqlDialect {}.prec_value(prec) }
    }

    /// PostgreSQL's `ARRAY(SELECT …)`, which sqlparser does not read where `array(1, 2)` is a function.
    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let keyword = |parser: &Parser, n: usize, keywords: &[Keyword]| matches!(&parser.peek_nth_token_ref(n).token, Token::Word(w) if keywords.contains(&w.keyword));
        let subquery = self.is_spark()
            && keyword(parser, 0, &[Keyword::ARRAY])
            && parser.peek_nth_token_ref(1).token == Token::LParen
            && keyword(parser, 2, &[Keyword::SELECT, Keyword::WITH, Keyword::VALUES]);
        subquery.then(|| {
            let name = parser.parse_identifier()?;
            parser.expect_token(&Token::LParen)?;
            let query = parser.parse_query()?;
            parser.expect_token(&Token::RParen)?;
            Ok(Expr::Function(Function {
                name: ObjectName::from(vec![name]),
                uses_odbc_syntax: false,
                parameters: FunctionArguments::None,
                args: FunctionArguments::Subquery(query),
                filter: None,
                null_treatment: None,
                over: None,
                within_group: Vec::new(),
            }))
        })
    }

    /// `a DIV b` binds as `/` does; sqlparser's own reader of it takes all that follows as the divisor. `OPERATOR(s.=)` is
    /// read for PostgreSQL alone there.
    fn parse_infix(&self, parser: &mut Parser, expr: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        let op = if parser.parse_keyword(Keyword::DIV) {
            Ok(BinaryOperator::MyIntegerDivide)
        } else if self.is_spark() && parser.parse_keyword(Keyword::OPERATOR) {
            named_operator(parser)
        } else {
            return None;
        };
        Some(op.and_then(|op| {
            let right = parser.parse_subexpr(precedence)?;
            Ok(Expr::BinaryOp { left: Box::new(expr.clone()), op, right: Box::new(right) })
        }))
    }

    // What one has and the other has no other meaning for.
    fn supports_unicode_string_literal(&self) -> bool {
        true
    }
    fn supports_string_escape_constant(&self) -> bool {
        true
    }
    fn supports_numeric_literal_underscores(&self) -> bool {
        true
    }
    fn supports_nested_comments(&self) -> bool {
        true
    }
    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }
    fn supports_group_by_expr(&self) -> bool {
        true
    }
    fn supports_group_by_with_modifier(&self) -> bool {
        true
    }
    fn supports_order_by_all(&self) -> bool {
        true
    }
    fn supports_select_wildcard_except(&self) -> bool {
        true
    }
    fn supports_struct_literal(&self) -> bool {
        true
    }
    fn supports_values_as_table_factor(&self) -> bool {
        true
    }
    fn supports_table_versioning(&self) -> bool {
        true
    }
    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }
    fn supports_array_typedef_with_brackets(&self) -> bool {
        true
    }
    fn supports_long_type_as_bigint(&self) -> bool {
        true
    }
    fn supports_map_literal_with_angle_brackets(&self) -> bool {
        true
    }
    fn supports_interval_options(&self) -> bool {
        true
    }
    fn supports_comma_separated_trim(&self) -> bool {
        true
    }
    fn allow_extract_custom(&self) -> bool {
        true
    }
    fn allow_extract_single_quotes(&self) -> bool {
        true
    }
}

/// `(pg_catalog.~)`, behind OPERATOR.
fn named_operator(parser: &mut Parser) -> Result<BinaryOperator, ParserError> {
    parser.expect_token(&Token::LParen)?;
    let mut parts = vec![String::new()];
    loop {
        match parser.next_token().token {
            Token::RParen => return Ok(BinaryOperator::PGCustomBinaryOperator(parts)),
            Token::Period => parts.push(String::new()),
            Token::EOF => return parser.expected("`)`", parser.peek_token()),
            token => {
                if let Some(last) = parts.last_mut() {
                    last.push_str(&token.to_string());
                }
            }
        }
    }
}

/// A row of the conflict table: what both dialects spell alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConflictRow {
    pub form: &'static str,
    pub spark: &'static str,
    pub postgres: &'static str,
    /// The two give different values, not only another text, label or order.
    pub changes_values: bool,
    /// What means one thing in both.
    pub instead: &'static str,
}

const fn values(form: &'static str, spark: &'static str, postgres: &'static str, instead: &'static str) -> ConflictRow {
    ConflictRow { form, spark, postgres, changes_values: true, instead }
}

const fn shows(form: &'static str, spark: &'static str, postgres: &'static str, instead: &'static str) -> ConflictRow {
    ConflictRow { form, spark, postgres, changes_values: false, instead }
}

/// All that the dialects spell alike and mean differently.
pub const CONFLICTS: &[ConflictRow] = &[
    values("\"x\"", "the string x", "the column x", "'x' for a string, `x` for a name; AS \"x\" is a name in both"),
    values("'a\\nb'", "backslash escapes: a line break", "the backslash itself", "E'a\\nb', or r'a\\nb'"),
    values("'a' 'b'", "the string ab", "an error, unless a line break parts them", "'ab'"),
    values(
        "a / b",
        "division of integers gives a double",
        "division of integers gives an integer, cut",
        "CAST(a AS DOUBLE PRECISION) / b, or a DIV b",
    ),
    values("a DIV b", "integer division, a bigint", "not PostgreSQL's; Spark's meaning", "a DIV b"),
    values(
        "CAST(double AS INT)",
        "cuts the fraction",
        "rounds, halves to the even",
        "CAST(trunc(x) AS INT), CAST(rint(x) AS INT)",
    ),
    values("concat(a, NULL)", "NULL", "a", "a || NULL for NULL, concat(a, coalesce(b, '')) for a"),
    values("to_date(s, f)", "Java's pattern", "PostgreSQL's template", "CAST(s AS DATE) for ISO dates"),
    values(
        "to_timestamp(s, f)",
        "Java's pattern; a number is an error",
        "PostgreSQL's template; a number is seconds",
        "CAST(s AS TIMESTAMP), to_timestamp_seconds(n)",
    ),
    values(
        "to_char(x, f)",
        "number patterns of Spark",
        "templates of PostgreSQL",
        "date_format(x, f) in Java's pattern",
    ),
    values("date_format(x, f)", "Java's pattern", "not PostgreSQL's; Spark's meaning", "date_format(x, f)"),
    values("date - date", "an interval", "a number of days", "datediff(a, b)"),
    values("EXTRACT(dow FROM x)", "1 (Sunday) to 7", "0 (Sunday) to 6", "EXTRACT(isodow FROM x)"),
    values("log(x)", "natural logarithm", "logarithm to base 10", "ln(x), log10(x)"),
    values("trunc(x, y)", "a date, cut to a unit", "a number, cut to digits", "date_trunc(unit, x)"),
    values("round(double)", "halves away from zero", "halves to the even", "round(CAST(x AS DECIMAL(38, 10)))"),
    values("regexp_replace(s, p, r)", "all matches", "the first match", "regexp_replace(s, p, r, 'g')"),
    values(
        "a ^ b",
        "bitwise exclusive or",
        "a to the power of b",
        "power(a, b), bit_xor of a and b by (a | b) - (a & b)",
    ),
    values("a -> b", "a lambda", "a member of a JSON value", "get_json_object(a, '$.b')"),
    values("a : b", "a member of a JSON string", "a syntax error", "get_json_object(a, '$.b')"),
    values(
        "a[1]",
        "the second element: counts from 0",
        "the first element: counts from 1",
        "element_at(a, 1) counts from 1 in both",
    ),
    values("size(NULL)", "-1 or NULL, as set", "not PostgreSQL's; Spark's meaning", "cardinality(x)"),
    values("encode(x, f), decode(x, f)", "character sets", "base64, hex, escape", "base64(x), hex(x)"),
    values("TIMESTAMP", "an instant", "without time zone", "TIMESTAMP_NTZ, TIMESTAMPTZ"),
    values("FLOAT", "4 bytes", "8 bytes", "REAL, DOUBLE PRECISION"),
    values("DECIMAL", "DECIMAL(10, 0)", "DECIMAL(38, 10), for numbers without bound", "DECIMAL(p, s)"),
    values("CHAR", "of a length that must be given", "CHAR(1)", "STRING, TEXT"),
    shows(
        "ORDER BY x",
        "NULLs first ascending, last descending",
        "NULLs last ascending, first descending",
        "NULLS FIRST, NULLS LAST",
    ),
    shows(
        "1",
        "an int, or a bigint if it is too large",
        "an integer, or a bigint if it is too large",
        "CAST(1 AS BIGINT)",
    ),
    shows("SELECT a + 1", "labelled (a + 1)", "labelled ?column?", "AS name"),
    shows(
        "true, 1e10, 1.0",
        "texts of Java: true, 1.0E10, 1.0",
        "texts of C: t, 10000000000, 1",
        "CAST to a decimal or a string",
    ),
];

/// The row of the conflict table for `form`.
pub fn conflict(form: &str) -> Option<&'static ConflictRow> {
    CONFLICTS.iter().find(|row| row.form == form)
}
