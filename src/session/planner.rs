//! From a parsed query to DataFusion's logical plan: names are resolved in one view, meaning is bound by dialect.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, col};
use datafusion::sql::parser::Statement as ParsedStatement;
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{self, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::tokenizer::Location;
use tycho_catalog::{Predicate, TableDefinition, TableId, TableKind, View, Writers};

use crate::engine::{Engine, SessionFacts};
use crate::error::{Error, Kind, Result};
use crate::session::labels;
use crate::session::names::StatementNames;
use crate::sql::statement::Query;
use crate::sql::{self, Dialect};

/// Views may name views, but not without end.
const MAX_VIEW_DEPTH: usize = 32;

/// What a query becomes.
pub struct Planned {
    pub plan: LogicalPlan,
    /// One label a column, as the client sees it; labels may repeat.
    pub labels: Vec<String>,
    /// What it reads, for the conflicts of a transaction.
    pub reads: Vec<Read>,
}

/// A table that a query reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    pub table: TableId,
    pub predicate: Predicate,
    /// Reads rows that no commit of this catalog protects.
    pub foreign: bool,
}

/// Plans the queries of one statement.
pub struct Planner<'a> {
    pub engine: &'a Engine,
    pub state: &'a SessionState,
    pub facts: &'a SessionFacts,
    pub view: &'a View,
}

impl Planner<'_> {
    /// Plans a query under a dialect. `text` is the statement's text, for places; `parameters` the types that the client declared.
    pub async fn plan(
        &self,
        query: &Query,
        dialect: Dialect,
        text: &str,
        parameters: &[Option<DataType>],
    ) -> Result<Planned> {
        let mut body = (*query.body).clone();
        if !query.distribution.sort_by.is_empty() && body.order_by.is_none() {
            // A whole order is one of the orders that SORT BY allows.
            body.order_by = Some(ast::OrderBy {
                kind: ast::OrderByKind::Expressions(query.distribution.sort_by.clone()),
                interpolate: None,
            });
        }
        self.plan_body(body, dialect, &self.facts.database, text, parameters, 0).await
    }

    async fn plan_body(
        &self,
        mut body: ast::Query,
        dialect: Dialect,
        database: &str,
        text: &str,
        parameters: &[Option<DataType>],
        depth: usize,
    ) -> Result<Planned> {
        let system = self.engine.system_tables();
        let concerns_system = system.as_ref().is_some_and(|s| s.concerns(&body));
        if let (true, Some(system)) = (concerns_system, &system) {
            system.rewrite(&mut body, self.view, self.facts).await?;
        }
        let mut labels = labels::of_query(&body, dialect);
        sql::bind::bind(&mut body, dialect);

        let mut names = StatementNames::new(self.state, dialect, self.engine.spark_functions(), database.to_owned());
        if let Some(system) = &system {
            for function in system.functions(&body, self.view, self.facts).await? {
                names.bound.insert(function.name().to_lowercase(), function);
            }
        }
        if mentions_geodata(text) {
            names.bound.insert("geodata".to_owned(), self.engine.geodata(self.view).await?);
        }

        let mut reads = Vec::new();
        let mut declared: HashMap<String, String> = HashMap::new();
        let statement = ParsedStatement::Statement(Box::new(ast::Statement::Query(Box::new(body))));
        let (references, _) = resolve_table_references(&statement, true)?;
        let ParsedStatement::Statement(statement) = statement else {
            return Err(Error::new(Kind::Internal, "a query became another statement"));
        };
        for reference in &references {
            let key = names.key(reference);
            if names.tables.contains_key(&key) {
                continue;
            }
            if reference.schema().is_none() && self.is_function(&key).await? {
                continue;
            }
            let source = self.table(reference, &key, &statement, text, &mut reads, &mut declared, depth).await?;
            names.tables.insert(key, provider_as_source(source));
        }

        let ast::Statement::Query(mut body) = *statement else {
            return Err(Error::new(Kind::Internal, "a query became another statement"));
        };
        let _ = body.visit(&mut LowerKnownColumns { declared: &declared });
        labels::make_unique(&mut body);

        let options = ParserOptions {
            collect_spans: true,
            support_varchar_with_length: true,
            map_string_types_to_utf8view: false,
            parse_float_as_decimal: true,
            ..ParserOptions::new()
        };
        let fields = parameters
            .iter()
            .map(|t| t.as_ref().map(|t| Arc::new(datafusion::arrow::datatypes::Field::new("", t.clone(), true))))
            .collect::<Vec<_>>();
        let mut context = PlannerContext::new().with_prepare_param_data_types(fields);
        let plan = SqlToRel::new_with_options(&names, options)
            .sql_statement_to_plan_with_context(ast::Statement::Query(body), &mut context)
            .map_err(|e| locate(e, text))?;
        labels.finish(&plan, &declared);
        Ok(Planned { labels: labels.names, plan, reads })
    }

    /// The provider of a table, view or system table that a query names.
    #[allow(clippy::too_many_arguments)]
    async fn table(
        &self,
        reference: &TableReference,
        key: &(String, String),
        statement: &ast::Statement,
        text: &str,
        reads: &mut Vec<Read>,
        declared: &mut HashMap<String, String>,
        depth: usize,
    ) -> Result<Arc<dyn TableProvider>> {
        if let Some(provider) = self.system_table(reference, key).await? {
            return Ok(provider);
        }
        let Some(definition) = self.view.table(&key.0, &key.1).await? else {
            return Err(self.undefined(reference, key, statement, text).await?);
        };
        for column in &definition.columns {
            let lower = column.name.to_lowercase();
            declared.entry(lower).or_insert_with(|| column.name.clone());
        }
        if definition.kind == TableKind::View {
            return self.view_table(&definition, reads, depth).await;
        }
        reads.push(Read {
            table: definition.id,
            predicate: Predicate::All,
            foreign: definition.kind == TableKind::Remote || definition.writers == Writers::Shared,
        });
        self.engine.table_provider(&lower_columns(&definition), self.view)
    }

    /// Whether a name in FROM means a table function (`generate_series(1, 3)`) and no table.
    async fn is_function(&self, key: &(String, String)) -> Result<bool> {
        let is_function = self.state.table_functions().contains_key(&key.1);
        Ok(is_function && self.view.table(&key.0, &key.1).await?.is_none())
    }

    async fn system_table(
        &self,
        reference: &TableReference,
        key: &(String, String),
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        if key.0 == "tycho" && reference.schema().is_some() {
            return crate::commands::system::table(self.engine, self.view, self.facts, &key.1).await;
        }
        let Some(system) = self.engine.system_tables() else { return Ok(None) };
        let schema = match reference.schema() {
            Some(schema) => schema.to_lowercase(),
            None if key.1.starts_with("pg_") => "pg_catalog".to_owned(),
            None => return Ok(None),
        };
        if !system.schemas().contains(&schema.as_str()) {
            return Ok(None);
        }
        system.table(&schema, &key.1, self.view, self.facts).await
    }

    /// A view is planned under the dialect and database it was made in.
    async fn view_table(
        &self,
        definition: &TableDefinition,
        reads: &mut Vec<Read>,
        depth: usize,
    ) -> Result<Arc<dyn TableProvider>> {
        if depth >= MAX_VIEW_DEPTH {
            let message = format!("view {} is nested more than {MAX_VIEW_DEPTH} views deep", definition.full_name());
            return Err(Error::new(Kind::TooComplex, message));
        }
        let view = definition
            .view
            .as_ref()
            .ok_or_else(|| Error::new(Kind::DataCorrupted, format!("view {} has no query", definition.full_name())))?;
        let dialect = match view.settings.get("sql_dialect").map(String::as_str) {
            Some("spark") => Dialect::Spark,
            _ => Dialect::Postgres,
        };
        let database = view.settings.get("database").cloned().unwrap_or_else(|| definition.database.clone());
        let Some((statement, _)) = sql::next_statement(&view.sql, 0, dialect)? else {
            return Err(Error::new(Kind::DataCorrupted, format!("view {} has no query", definition.full_name())));
        };
        let sql::StatementKind::Query(query) = statement.kind else {
            return Err(Error::new(Kind::DataCorrupted, format!("view {} is no query", definition.full_name())));
        };
        let planned = Box::pin(self.plan_body(*query.body, dialect, &database, &view.sql, &[], depth + 1)).await?;
        reads.extend(planned.reads);
        if planned.plan.schema().fields().len() != definition.columns.len() {
            let message = format!(
                "view {} has {} columns, but its query now gives {}; create it again",
                definition.full_name(),
                definition.columns.len(),
                planned.plan.schema().fields().len()
            );
            return Err(Error::new(Kind::InvalidTableDefinition, message));
        }
        let expressions: Vec<_> = planned
            .plan
            .schema()
            .columns()
            .into_iter()
            .zip(&definition.columns)
            .map(|(source, column)| col(source).alias(column.name.to_lowercase()))
            .collect();
        let plan = LogicalPlanBuilder::from(planned.plan).project(expressions)?.build()?;
        Ok(Arc::new(ViewTable::new(plan, Some(view.sql.clone()))))
    }

    /// The error for a table that is not there, with its place and near names.
    async fn undefined(
        &self,
        reference: &TableReference,
        key: &(String, String),
        statement: &ast::Statement,
        text: &str,
    ) -> Result<Error> {
        let name = match reference.schema() {
            Some(_) => format!("{}.{}", key.0, key.1),
            None => key.1.clone(),
        };
        let mut error = if self.view.database(&key.0).await?.is_none() {
            Error::new(Kind::UndefinedTable, format!("relation \"{name}\" does not exist"))
                .with_hint(format!("there is no database {}; SHOW DATABASES lists them", key.0))
        } else {
            let tables = self.view.tables(&key.0).await?;
            let near = near_name(&key.1, tables.iter().map(|t| t.name.as_str()));
            let error = Error::new(Kind::UndefinedTable, format!("relation \"{name}\" does not exist"));
            match near {
                Some(near) => error.with_hint(format!("did you mean {near}?")),
                None => error.with_hint(format!("SHOW TABLES IN {} lists its tables", key.0)),
            }
        };
        if let Some(place) = place_of_relation(statement, &key.1) {
            error.position = offset_of(text, place);
        }
        Ok(error)
    }
}

/// Cheap test before layers are loaded: a false alarm costs a look-up, no meaning.
fn mentions_geodata(text: &str) -> bool {
    text.as_bytes().windows(7).any(|w| w.eq_ignore_ascii_case(b"geodata"))
}

/// The planner compares names without case by seeing all of them in lower case; labels restore the declared case.
fn lower_columns(definition: &Arc<TableDefinition>) -> Arc<TableDefinition> {
    if definition.columns.iter().all(|c| c.name == c.name.to_lowercase()) {
        return Arc::clone(definition);
    }
    let mut lowered = (**definition).clone();
    for column in &mut lowered.columns {
        column.name = column.name.to_lowercase();
    }
    Arc::new(lowered)
}

/// Quoted names of known columns, too, are compared without case.
struct LowerKnownColumns<'a> {
    declared: &'a HashMap<String, String>,
}

impl LowerKnownColumns<'_> {
    fn lower(&self, ident: &mut ast::Ident) {
        if ident.quote_style.is_some() {
            let lower = ident.value.to_lowercase();
            if self.declared.contains_key(&lower) {
                ident.value = lower;
            }
        }
    }
}

impl VisitorMut for LowerKnownColumns<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
        match expr {
            ast::Expr::Identifier(ident) => self.lower(ident),
            ast::Expr::CompoundIdentifier(parts) => parts.iter_mut().for_each(|p| self.lower(p)),
            // The planner knows `f(x)['name']`, not `f(x).name`.
            ast::Expr::CompoundFieldAccess { root, access_chain } if !matches!(**root, ast::Expr::Identifier(_)) => {
                for access in access_chain {
                    if let ast::AccessExpr::Dot(ast::Expr::Identifier(field)) = access {
                        let name = ast::Value::SingleQuotedString(field.value.to_lowercase());
                        let index = ast::Expr::Value(name.into());
                        *access = ast::AccessExpr::Subscript(ast::Subscript::Index { index });
                    }
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// The name nearest to `wanted`, if one is near enough to be a slip of the finger.
pub fn near_name<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (wanted.chars().count() / 3).clamp(1, 3);
    names
        .map(|name| (datafusion::common::utils::datafusion_strsim::levenshtein(wanted, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

fn place_of_relation(statement: &ast::Statement, table: &str) -> Option<Location> {
    let mut found = None;
    let _ = ast::visit_relations(statement, |name| {
        let last = name.0.last().and_then(|part| part.as_ident());
        if last.is_some_and(|ident| ident.value.eq_ignore_ascii_case(table)) {
            found = name.0.first().and_then(|part| part.as_ident()).map(|ident| ident.span.start);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    found
}

/// The byte offset of sqlparser's line and column (both from 1, in characters); `None` for its empty place.
pub fn offset_of(text: &str, place: Location) -> Option<usize> {
    if place.line == 0 {
        return None;
    }
    let mut line = 1;
    let mut column = 1;
    for (offset, c) in text.char_indices() {
        if line == place.line && column == place.column {
            return Some(offset);
        }
        if c == '\n' {
            line += 1;
            column = 1;
        } else {
            column += 1;
        }
    }
    None
}

/// Gives a planning error its place in the statement, and the user the words of their own SQL.
pub fn locate(e: DataFusionError, text: &str) -> Error {
    let place = e
        .diagnostic()
        .and_then(|d| d.span)
        .and_then(|span| offset_of(text, Location { line: span.start.line, column: span.start.column }));
    let mut error: Error = e.into();
    if error.position.is_none() {
        error.position = place;
    }
    if error.kind == Kind::UndefinedFunction
        && let Some(rest) = error.message.strip_prefix("Invalid function '")
    {
        let name: String = rest.chars().take_while(|c| *c != '\'').collect();
        let near = rest.split("Did you mean '").nth(1).and_then(|n| n.split('\'').next()).map(str::to_owned);
        error.position = error.position.or_else(|| find_word(text, &name));
        error.message = format!("function {name} does not exist");
        if let Some(near) = near {
            error.hint = Some(format!("did you mean {near}?"));
        }
    }
    if error.kind == Kind::UndefinedColumn && error.position.is_none() {
        let name = error.message.split('`').nth(1).map(|n| n.rsplit('.').next().unwrap_or(n).to_owned());
        error.position = name.and_then(|name| find_word(text, &name));
    }
    error
}

/// Where a name stands as a whole word, compared without case.
fn find_word(text: &str, word: &str) -> Option<usize> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let lower = text.to_ascii_lowercase();
    let word = word.to_ascii_lowercase();
    lower.match_indices(&word).map(|(at, _)| at).find(|&at| {
        !lower[..at].chars().next_back().is_some_and(is_word)
            && !lower[at + word.len()..].chars().next().is_some_and(is_word)
    })
}

/// Settings that a view, a layer or a job remembers of the session that made it.
pub fn remembered_settings(facts: &SessionFacts, dialect: Dialect) -> BTreeMap<String, String> {
    let dialect = match dialect {
        Dialect::Spark => "spark",
        Dialect::Postgres => "postgres",
    };
    BTreeMap::from([
        ("sql_dialect".to_owned(), dialect.to_owned()),
        ("timezone".to_owned(), facts.settings.text("timezone").to_owned()),
        ("database".to_owned(), facts.database.clone()),
    ])
}
