//! Schemas of tables and functions, and labels of inner SELECT lists.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, ObjectName, ObjectNamePart, Query, Select, SelectItem, SetExpr,
    TableAlias, TableAliasColumnDef, TableFactor, VisitMut, VisitorMut,
};

use crate::wire::pg_catalog::{concerns, definitions};

/// Gives unqualified system tables their schema, as PostgreSQL's search path does before all others, and takes the schema off
/// functions.
pub fn qualify(query: &mut Query) {
    let mut common = CommonTables(HashSet::new());
    let _ = query.visit(&mut common);
    let _ = query.visit(&mut Qualify { common: common.0 });
}

struct CommonTables(HashSet<String>);

impl VisitorMut for CommonTables {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        self.0.extend(tables.map(|cte| super::scope::ident_text(&cte.alias.name)));
        ControlFlow::Continue(())
    }
}

struct Qualify {
    common: HashSet<String>,
}

impl VisitorMut for Qualify {
    type Break = ();

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: None, .. } = factor {
            let words = concerns::words(name);
            if let [table] = words.as_slice()
                && !self.common.contains(table)
                && definitions::table("pg_catalog", table).is_some()
            {
                name.0.insert(0, ObjectNamePart::Identifier(Ident::new("pg_catalog")));
            }
            return ControlFlow::Continue(());
        }
        table_function(factor);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr
            && concerns::is_prefixed(&function.name)
        {
            strip(&mut function.name);
        }
        ControlFlow::Continue(())
    }
}

fn strip(name: &mut ObjectName) {
    let last = name.0.len() - 1;
    name.0.drain(..last);
}

/// Functions in FROM: without schema, and with the alias as the column's name, as PostgreSQL names it.
fn table_function(factor: &mut TableFactor) {
    let (name, arguments, alias) = match factor {
        TableFactor::Table { name, args: Some(arguments), alias, .. } => (name, &arguments.args, alias),
        TableFactor::Function { name, args, alias, .. } => (name, &*args, alias),
        TableFactor::UNNEST { alias: Some(alias), .. } => {
            name_column(alias);
            return;
        }
        _ => return,
    };
    if concerns::is_prefixed(name) {
        strip(name);
    }
    let function = concerns::words(name).pop().unwrap_or_default();
    if let Some(alias) = alias {
        name_column(alias);
    }
    if function == "unnest" {
        let expressions = arguments.iter().filter_map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
            _ => None,
        });
        *factor = TableFactor::UNNEST {
            array_exprs: expressions.collect(),
            alias: alias.take(),
            with_offset: false,
            with_offset_alias: None,
            with_ordinality: false,
        };
    }
}

fn name_column(alias: &mut TableAlias) {
    if alias.columns.is_empty() {
        alias.columns.push(TableAliasColumnDef { name: alias.name.clone(), data_type: None });
    }
}

/// Gives the items of all SELECT lists the names that PostgreSQL gives them, unique within their list.
pub fn label(query: &mut Query) {
    let _ = query.visit(&mut Label);
}

struct Label;

impl VisitorMut for Label {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let mut taken: HashSet<String> = HashSet::new();
        let items = std::mem::take(&mut select.projection);
        select.projection = items.into_iter().map(|item| labelled(item, &mut taken)).collect();
        ControlFlow::Continue(())
    }
}

fn labelled(item: SelectItem, taken: &mut HashSet<String>) -> SelectItem {
    let (expr, wanted) = match item {
        SelectItem::UnnamedExpr(expr) => {
            let wanted = of_expression(&expr).unwrap_or_else(|| "?column?".to_owned());
            if matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) && taken.insert(wanted.clone()) {
                return SelectItem::UnnamedExpr(expr);
            }
            (expr, wanted)
        }
        SelectItem::ExprWithAlias { expr, alias } if taken.insert(super::scope::ident_text(&alias)) => {
            return SelectItem::ExprWithAlias { expr, alias };
        }
        SelectItem::ExprWithAlias { expr, alias } => (expr, super::scope::ident_text(&alias)),
        other => return other,
    };
    let mut label = wanted.clone();
    let mut number = 1;
    while !taken.insert(label.clone()) {
        number += 1;
        label = format!("{wanted}:{number}");
    }
    SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', label) }
}

/// PostgreSQL's FigureColname, as far as catalog queries need it.
fn of_expression(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(ident) => Some(super::scope::ident_text(ident)),
        Expr::CompoundIdentifier(parts) => parts.last().map(super::scope::ident_text),
        Expr::Function(function) => concerns::words(&function.name).pop(),
        Expr::Cast { expr, data_type, .. } => of_expression(expr).or_else(|| {
            data_type.to_string().to_lowercase().rsplit('.').next().map(|word| word.trim_matches('"').to_owned())
        }),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => of_expression(inner),
        Expr::Case { else_result, .. } => {
            let named =
                else_result.as_ref().filter(|e| matches!(***e, Expr::Identifier(_) | Expr::CompoundIdentifier(_)));
            Some(named.and_then(|e| of_expression(e)).unwrap_or_else(|| "case".to_owned()))
        }
        Expr::Exists { .. } => Some("exists".to_owned()),
        Expr::Subquery(query) => match &*query.body {
            SetExpr::Select(select) => match select.projection.first()? {
                SelectItem::UnnamedExpr(expr) => of_expression(expr),
                SelectItem::ExprWithAlias { alias, .. } => Some(super::scope::ident_text(alias)),
                _ => None,
            },
            _ => None,
        },
        Expr::Array(_) => Some("array".to_owned()),
        Expr::Trim { .. } => Some("btrim".to_owned()),
        _ => None,
    }
}
