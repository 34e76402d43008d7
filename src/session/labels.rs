//! The labels of a result's columns, as PostgreSQL and Spark give them, and unique names for the planner below.
//!
//! DataFusion names columns by their expressions and refuses two of one name; clients expect `count`, `?column?` and repeated names.

use std::collections::{HashMap, HashSet};

use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{self, Expr, SelectItem, SetExpr};

use crate::sql::Dialect;

/// Labels of a query, as far as its text decides them.
pub struct Labels {
    /// Filled by `finish`.
    pub names: Vec<String>,
    /// Labels of the items before the first wildcard, and after the last.
    before: Vec<Option<String>>,
    after: Vec<Option<String>>,
    wildcard: bool,
}

/// Reads the labels off a query's outermost SELECT list (the first one of a set operation).
pub fn of_query(query: &ast::Query, dialect: Dialect) -> Labels {
    let mut labels = Labels { names: Vec::new(), before: Vec::new(), after: Vec::new(), wildcard: false };
    let Some(select) = first_select(&query.body) else {
        if matches!(*query.body, SetExpr::Values(_)) {
            labels.wildcard = true;
        }
        return labels;
    };
    for item in &select.projection {
        let label = match item {
            SelectItem::UnnamedExpr(expr) => Some(of_expression(expr, dialect)),
            SelectItem::ExprWithAlias { alias, .. } => Some(Some(written(alias, dialect))),
            _ => None,
        };
        match label {
            None => {
                labels.wildcard = true;
                labels.after.clear();
            }
            Some(label) if labels.wildcard => labels.after.push(label),
            Some(label) => labels.before.push(label),
        }
    }
    labels
}

fn first_select(body: &SetExpr) -> Option<&ast::Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(query) => first_select(&query.body),
        SetExpr::SetOperation { left, .. } => first_select(left),
        _ => None,
    }
}

fn first_select_mut(body: &mut SetExpr) -> Option<&mut ast::Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(query) => first_select_mut(&mut query.body),
        _ => None,
    }
}

fn written(ident: &ast::Ident, dialect: Dialect) -> String {
    if dialect == Dialect::Spark || ident.quote_style.is_some() {
        ident.value.clone()
    } else {
        ident.value.to_lowercase()
    }
}

/// The label of an unnamed expression; `None`: the planner's own name is right.
fn of_expression(expr: &Expr, dialect: Dialect) -> Option<String> {
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => column_label(expr),
        _ if dialect == Dialect::Spark => Some(spark_text(expr)),
        _ => Some(postgres_label(expr).unwrap_or_else(|| "?column?".to_owned())),
    }
}

fn column_label(expr: &Expr) -> Option<String> {
    let ident = match expr {
        Expr::Identifier(ident) => ident,
        Expr::CompoundIdentifier(parts) => parts.last()?,
        _ => return None,
    };
    // An unquoted name takes the declared case of its column, which `finish` knows.
    Some(if ident.quote_style.is_some() { ident.value.clone() } else { format!("\u{0}{}", ident.value.to_lowercase()) })
}

/// PostgreSQL's FigureColname (parse_target.c): functions by name, casts by what is cast or by the type.
fn postgres_label(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => column_label(expr),
        Expr::Function(function) => {
            function.name.0.last().and_then(|p| p.as_ident()).map(|ident| ident.value.to_lowercase())
        }
        Expr::Cast { expr, data_type, .. } => postgres_label(expr).or_else(|| Some(type_label(&data_type.to_string()))),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => postgres_label(inner),
        Expr::Case { else_result, .. } => {
            let named = else_result.as_ref().and_then(|e| match &**e {
                Expr::Identifier(_) | Expr::CompoundIdentifier(_) => column_label(e),
                _ => None,
            });
            Some(named.unwrap_or_else(|| "case".to_owned()))
        }
        Expr::CompoundFieldAccess { root, access_chain } => match access_chain.last() {
            Some(ast::AccessExpr::Dot(Expr::Identifier(ident))) => Some(ident.value.to_lowercase()),
            _ => postgres_label(root),
        },
        Expr::Extract { .. } => Some("extract".to_owned()),
        Expr::Exists { .. } => Some("exists".to_owned()),
        Expr::Subquery(query) => {
            let item = first_select(&query.body)?.projection.first()?;
            match item {
                SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.to_lowercase()),
                SelectItem::UnnamedExpr(inner) => postgres_label(inner),
                _ => None,
            }
        }
        Expr::Substring { .. } => Some("substring".to_owned()),
        Expr::Trim { .. } => Some("btrim".to_owned()),
        Expr::Position { .. } => Some("position".to_owned()),
        Expr::Overlay { .. } => Some("overlay".to_owned()),
        Expr::Ceil { .. } => Some("ceil".to_owned()),
        Expr::Floor { .. } => Some("floor".to_owned()),
        Expr::Array(_) => Some("array".to_owned()),
        Expr::Tuple(_) => Some("row".to_owned()),
        Expr::AtTimeZone { .. } => Some("timezone".to_owned()),
        Expr::Interval(_) => Some("interval".to_owned()),
        Expr::TypedString(typed) => Some(type_label(&typed.data_type.to_string())),
        Expr::Value(value) => match &value.value {
            ast::Value::Boolean(_) => Some("bool".to_owned()),
            _ => None,
        },
        _ => None,
    }
}

/// The name of a type as PostgreSQL keeps it.
fn type_label(text: &str) -> String {
    let lower = text.to_lowercase();
    let base = lower.split('(').next().unwrap_or(&lower).trim();
    match base {
        "int" | "integer" | "int4" => "int4",
        "bigint" | "int8" => "int8",
        "smallint" | "int2" => "int2",
        "double precision" | "double" | "float8" | "float" => "float8",
        "real" | "float4" => "float4",
        "boolean" | "bool" => "bool",
        "decimal" | "numeric" | "dec" => "numeric",
        "character varying" | "varchar" => "varchar",
        "char" | "character" => "bpchar",
        "string" => "text",
        "timestamp without time zone" => "timestamp",
        "timestamp with time zone" => "timestamptz",
        other => other,
    }
    .to_owned()
}

/// Spark names an unnamed expression by its text.
fn spark_text(expr: &Expr) -> String {
    match expr {
        Expr::Nested(inner) => spark_text(inner),
        Expr::Identifier(ident) => ident.value.clone(),
        Expr::CompoundFieldAccess { access_chain, .. } => match access_chain.last() {
            Some(ast::AccessExpr::Dot(Expr::Identifier(field))) => field.value.clone(),
            _ => expr.to_string(),
        },
        Expr::Function(function) => {
            let name = function.name.to_string().to_lowercase();
            let arguments = match &function.args {
                ast::FunctionArguments::List(list) => {
                    let distinct = match list.duplicate_treatment {
                        Some(ast::DuplicateTreatment::Distinct) => "DISTINCT ",
                        _ => "",
                    };
                    let arguments: Vec<String> = list
                        .args
                        .iter()
                        .map(|a| match a {
                            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(e)) => spark_text(e),
                            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Wildcard) => "1".to_owned(),
                            other => other.to_string(),
                        })
                        .collect();
                    format!("{distinct}{}", arguments.join(", "))
                }
                _ => String::new(),
            };
            format!("{name}({arguments})")
        }
        Expr::BinaryOp { left, op, right } => format!("({} {op} {})", spark_text(left), spark_text(right)),
        Expr::Cast { expr, data_type, .. } => {
            format!("CAST({} AS {})", spark_text(expr), data_type.to_string().to_uppercase())
        }
        Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(s) | ast::Value::DoubleQuotedString(s) => s.clone(),
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}

impl Labels {
    /// Joins what the text says with the columns that the plan has. `declared`: lower-case column name → declared case.
    pub fn finish(&mut self, plan: &LogicalPlan, declared: &HashMap<String, String>) {
        let names: Vec<&str> = plan.schema().fields().iter().map(|f| f.name().as_str()).collect();
        let restore = |name: &str| declared.get(name).cloned().unwrap_or_else(|| name.to_owned());
        let fits = if self.wildcard {
            self.before.len() + self.after.len() <= names.len()
        } else {
            self.before.len() == names.len()
        };
        self.names = names.iter().map(|name| restore(name)).collect();
        if !fits {
            return;
        }
        let tail = names.len() - self.after.len();
        let placed =
            self.before.drain(..).enumerate().chain(self.after.drain(..).enumerate().map(|(i, l)| (tail + i, l)));
        for (index, label) in placed {
            if let Some(label) = label {
                self.names[index] = match label.strip_prefix('\u{0}') {
                    Some(column) => restore(column),
                    None => label,
                };
            }
        }
    }
}

fn holds_subquery(expr: &Expr) -> bool {
    let mut found = false;
    let _ = ast::visit_expressions(expr, |part: &Expr| {
        found |= matches!(part, Expr::Subquery(_) | Expr::Exists { .. } | Expr::InSubquery { .. });
        std::ops::ControlFlow::<()>::Continue(())
    });
    found
}

/// Gives repeated items of the outermost SELECT list names of their own: the planner refuses repeated ones.
pub fn make_unique(query: &mut ast::Query) {
    let Some(select) = first_select_mut(&mut query.body) else { return };
    let mut seen = HashSet::new();
    for (index, item) in select.projection.iter_mut().enumerate() {
        let name = match item {
            SelectItem::UnnamedExpr(Expr::Identifier(ident)) => ident.value.to_lowercase(),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
                parts.last().map(|p| p.value.to_lowercase()).unwrap_or_default()
            }
            // The planner calls every scalar subquery by one name.
            SelectItem::UnnamedExpr(expr) if holds_subquery(expr) => "(<subquery>)".to_owned(),
            // A cast has the name of what it casts, which GROUP BY and ORDER BY would then confuse.
            SelectItem::UnnamedExpr(Expr::Cast { .. }) => String::new(),
            SelectItem::UnnamedExpr(expr) => expr.to_string(),
            SelectItem::ExprWithAlias { alias, .. } if alias.quote_style.is_none() => alias.value.to_lowercase(),
            SelectItem::ExprWithAlias { alias, .. } => alias.value.clone(),
            _ => continue,
        };
        if !name.is_empty() && seen.insert(name) {
            continue;
        }
        let alias = ast::Ident::with_quote('"', format!("\u{1}{index}"));
        *item = match item.clone() {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                SelectItem::ExprWithAlias { expr, alias }
            }
            other => other,
        };
    }
}
