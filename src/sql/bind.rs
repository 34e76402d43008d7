//! Writes a dialect's meaning into a query's tree, before the planner sees it.
//!
//! The planner behind us has one meaning for each form. Where a dialect means something else, the tree is changed to say so:
//! casts, an explicit place for NULLs, operators by their plain names. What needs the types of columns (a function for each
//! dialect) is bound where they are known. Spark's `/` on columns of unknown type divides doubles: two decimals divided this
//! way give a double, not a decimal.

use std::ops::ControlFlow;

use sqlparser::ast::{
    self, BinaryOperator, CastKind, DataType, ExactNumberInfo, Expr, FunctionArgumentClause, FunctionArguments,
    LimitClause, NamedWindowExpr, OrderByExpr, OrderByKind, OrderByOptions, SetExpr, TimezoneInfo, Value,
    ValueWithSpan, VisitMut, VisitorMut, WindowType,
};

use super::dialect::Dialect;
use super::statement::{Distribution, Query};

/// Writes `dialect`'s meaning into `query`. To be done once, before planning; a bound tree means the same in both.
pub fn bind(query: &mut ast::Query, dialect: Dialect) {
    // The visitor never breaks.
    let _ = query.visit(&mut Binder { dialect });
}

/// [`bind`] for the body and for what was taken off its end. SORT BY is Spark's alone, so its NULLs are placed as in Spark.
pub fn bind_query(query: &mut Query, dialect: Dialect) {
    bind(&mut query.body, dialect);
    bind_distribution(&mut query.distribution, dialect);
}

fn bind_distribution(distribution: &mut Distribution, dialect: Dialect) {
    for expression in &mut distribution.distribute_by {
        bind_expression(expression, dialect);
    }
    for sort in &mut distribution.sort_by {
        bind_expression(&mut sort.expr, dialect);
        place_nulls(&mut sort.options, Dialect::Spark);
    }
}

/// [`bind`] for an expression that stands alone, such as an argument of EXECUTE.
pub fn bind_expression(expression: &mut Expr, dialect: Dialect) {
    let _ = expression.visit(&mut Binder { dialect });
}

struct Binder {
    dialect: Dialect,
}

impl VisitorMut for Binder {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut ast::Query) -> ControlFlow<()> {
        if let Some(order) = &mut query.order_by {
            match &mut order.kind {
                OrderByKind::All(options) => place_nulls(options, self.dialect),
                OrderByKind::Expressions(list) => self.place_all(list),
            }
        }
        fetch_as_limit(query);
        drop_distribution(&mut query.body);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<()> {
        for window in &mut select.named_window {
            if let NamedWindowExpr::WindowSpec(spec) = &mut window.1 {
                self.place_all(&mut spec.order_by);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
        let text = match &mut value.value {
            Value::DoubleQuotedString(s)
            | Value::NationalStringLiteral(s)
            | Value::EscapedStringLiteral(s)
            | Value::UnicodeStringLiteral(s) => std::mem::take(s),
            Value::DollarQuotedString(s) => std::mem::take(&mut s.value),
            _ => return ControlFlow::Continue(()),
        };
        value.value = Value::SingleQuotedString(text);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Cast { data_type, .. } => bind_type(data_type, self.dialect),
            Expr::TypedString(typed) => bind_type(&mut typed.data_type, self.dialect),
            Expr::Function(function) => {
                if let Some(WindowType::WindowSpec(spec)) = &mut function.over {
                    self.place_all(&mut spec.order_by);
                }
                self.place_all(&mut function.within_group);
                if let FunctionArguments::List(list) = &mut function.args {
                    for clause in &mut list.clauses {
                        if let FunctionArgumentClause::OrderBy(order) = clause {
                            self.place_all(order);
                        }
                    }
                }
            }
            Expr::BinaryOp { left, op, right } => self.bind_operator(left, op, right),
            Expr::Collate { expr: inner, collation } if is_default_collation(collation) => {
                *expr = std::mem::replace(inner, null());
            }
            Expr::RLike { negated, expr: inner, pattern, .. } => {
                let op = if *negated { BinaryOperator::PGRegexNotMatch } else { BinaryOperator::PGRegexMatch };
                *expr = binary(take(inner), op, take(pattern));
            }
            _ => {}
        }
        if let Expr::BinaryOp { left, op: BinaryOperator::MyIntegerDivide, right } = expr {
            *expr = integer_division(take(left), take(right));
        }
        ControlFlow::Continue(())
    }
}

impl Binder {
    fn place_all(&self, list: &mut [OrderByExpr]) {
        for item in list {
            place_nulls(&mut item.options, self.dialect);
        }
    }

    fn bind_operator(&self, left: &mut Expr, op: &mut BinaryOperator, right: &Expr) {
        match op {
            BinaryOperator::Divide
                if self.dialect == Dialect::Spark && !is_fractional(left) && !is_fractional(right) =>
            {
                *left = cast(take(left), DataType::Double(ExactNumberInfo::None));
            }
            BinaryOperator::PGCustomBinaryOperator(parts) => {
                if let Some(plain) = plain_operator(parts) {
                    *op = plain;
                }
            }
            _ => {}
        }
    }
}

fn null() -> Expr {
    Expr::Value(Value::Null.into())
}

fn take(expr: &mut Expr) -> Expr {
    std::mem::replace(expr, null())
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

fn cast(expr: Expr, data_type: DataType) -> Expr {
    let expr = Box::new(Expr::Nested(Box::new(expr)));
    Expr::Cast { kind: CastKind::Cast, expr, data_type, array: false, format: None }
}

/// `a DIV b`: the whole part of the quotient as a bigint.
fn integer_division(left: Expr, right: Expr) -> Expr {
    cast(binary(left, BinaryOperator::Divide, right), DataType::BigInt(None))
}

/// Whether `/` on this operand is no division of integers, as far as the text shows.
pub(super) fn is_fractional(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => matches!(&value.value, Value::Number(n, _) if n.contains(['.', 'e', 'E'])),
        Expr::Nested(inner) | Expr::UnaryOp { expr: inner, .. } => is_fractional(inner),
        Expr::Cast { data_type, .. } => matches!(
            data_type,
            DataType::Double(_)
                | DataType::DoublePrecision
                | DataType::Float(_)
                | DataType::Float4
                | DataType::Float8
                | DataType::Real
                | DataType::Decimal(_)
                | DataType::Numeric(_)
                | DataType::Dec(_)
        ),
        Expr::BinaryOp { left, op, right } => {
            matches!(
                op,
                BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::Multiply | BinaryOperator::Divide
            ) && (is_fractional(left) || is_fractional(right))
        }
        _ => false,
    }
}

/// Spark: NULLs are smaller than all else. PostgreSQL: greater.
fn place_nulls(options: &mut OrderByOptions, dialect: Dialect) {
    let ascending = options.asc.unwrap_or(true);
    options.nulls_first.get_or_insert(match dialect {
        Dialect::Spark => ascending,
        Dialect::Postgres => !ascending,
    });
}

/// FETCH FIRST n ROWS ONLY says what LIMIT n does. The planner knows LIMIT alone.
fn fetch_as_limit(query: &mut ast::Query) {
    let plain = query.fetch.as_ref().is_some_and(|f| !f.with_ties && !f.percent);
    let unlimited = matches!(&query.limit_clause, None | Some(LimitClause::LimitOffset { limit: None, .. }));
    if !plain || !unlimited {
        return;
    }
    let one = || Expr::Value(Value::Number("1".into(), false).into());
    let count = query.fetch.take().map(|f| f.quantity.unwrap_or_else(one));
    match &mut query.limit_clause {
        Some(LimitClause::LimitOffset { limit, .. }) => *limit = count,
        clause => *clause = Some(LimitClause::LimitOffset { limit: count, offset: None, limit_by: Vec::new() }),
    }
}

/// DISTRIBUTE BY and SORT BY of a subquery order nothing that anyone sees; the planner refuses them.
fn drop_distribution(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => {
            select.distribute_by.clear();
            select.cluster_by.clear();
            select.sort_by.clear();
        }
        SetExpr::SetOperation { left, right, .. } => {
            drop_distribution(left);
            drop_distribution(right);
        }
        _ => {}
    }
}

fn is_default_collation(collation: &ast::ObjectName) -> bool {
    let last = collation.0.last().and_then(|part| part.as_ident());
    last.is_some_and(|name| ["default", "C", "POSIX", "utf8_binary"].iter().any(|c| name.value.eq_ignore_ascii_case(c)))
}

/// `OPERATOR(pg_catalog.~)`, as psql writes it.
fn plain_operator(parts: &[String]) -> Option<BinaryOperator> {
    let name = match parts {
        [name] => name,
        [schema, name] if schema == "pg_catalog" => name,
        _ => return None,
    };
    Some(match name.as_str() {
        "=" => BinaryOperator::Eq,
        "<>" | "!=" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        "<=" => BinaryOperator::LtEq,
        ">" => BinaryOperator::Gt,
        ">=" => BinaryOperator::GtEq,
        "+" => BinaryOperator::Plus,
        "-" => BinaryOperator::Minus,
        "*" => BinaryOperator::Multiply,
        "/" => BinaryOperator::Divide,
        "%" => BinaryOperator::Modulo,
        "||" => BinaryOperator::StringConcat,
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "~~*" => BinaryOperator::PGILikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "!~~*" => BinaryOperator::PGNotILikeMatch,
        _ => return None,
    })
}

/// The same types as `sql::types` gives for table definitions, in words that the planner knows.
fn bind_type(data_type: &mut DataType, dialect: Dialect) {
    let spark = dialect == Dialect::Spark;
    let timestamp = |instant: bool| {
        DataType::Timestamp(Some(6), if instant { TimezoneInfo::WithTimeZone } else { TimezoneInfo::None })
    };
    let decimal = if spark { (10, 0) } else { super::types::UNBOUND_DECIMAL };
    let decimal = DataType::Decimal(ExactNumberInfo::PrecisionAndScale(u64::from(decimal.0), i64::from(decimal.1)));
    let bound = match data_type {
        DataType::Timestamp(_, TimezoneInfo::None) => timestamp(spark),
        DataType::Timestamp(_, TimezoneInfo::WithoutTimeZone) | DataType::TimestampNtz(_) => timestamp(false),
        DataType::Timestamp(..) => timestamp(true),
        DataType::Time(Some(_), zone) => DataType::Time(None, *zone),
        DataType::Float(ExactNumberInfo::None) if !spark => DataType::Double(ExactNumberInfo::None),
        DataType::Float(ExactNumberInfo::Precision(25..)) => DataType::Double(ExactNumberInfo::None),
        DataType::Decimal(ExactNumberInfo::None)
        | DataType::Numeric(ExactNumberInfo::None)
        | DataType::Dec(ExactNumberInfo::None) => decimal,
        DataType::Dec(info) => DataType::Decimal(*info),
        DataType::Binary(_) | DataType::Varbinary(_) | DataType::Blob(_) => DataType::Bytea,
        DataType::Varchar(_)
        | DataType::Nvarchar(_)
        | DataType::Char(_)
        | DataType::Character(_)
        | DataType::CharacterVarying(_)
        | DataType::CharVarying(_)
        | DataType::JSON
        | DataType::JSONB
        | DataType::Uuid => DataType::Text,
        DataType::Interval { .. } => DataType::Interval { fields: None, precision: None },
        DataType::Array(ast::ArrayElemTypeDef::AngleBracket(element))
        | DataType::Array(ast::ArrayElemTypeDef::SquareBracket(element, _)) => return bind_type(element, dialect),
        DataType::Struct(fields, _) => {
            return fields.iter_mut().for_each(|f| bind_type(&mut f.field_type, dialect));
        }
        DataType::Custom(name, _) => match custom_type(name) {
            Some(CustomType::Instant) => timestamp(true),
            Some(CustomType::Plain(plain)) => plain,
            None => return,
        },
        _ => return,
    };
    *data_type = bound;
}

enum CustomType {
    Instant,
    Plain(DataType),
}

/// Types of Spark and PostgreSQL that sqlparser has no keyword for.
fn custom_type(name: &ast::ObjectName) -> Option<CustomType> {
    let last = name.0.last()?.as_ident()?.value.to_ascii_lowercase();
    Some(match last.as_str() {
        "timestamp_ltz" => CustomType::Instant,
        "byte" => CustomType::Plain(DataType::TinyInt(None)),
        "short" => CustomType::Plain(DataType::SmallInt(None)),
        "long" => CustomType::Plain(DataType::BigInt(None)),
        "name" | "bpchar" | "string" => CustomType::Plain(DataType::Text),
        _ => return None,
    })
}
