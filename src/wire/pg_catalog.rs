//! PostgreSQL's system tables over Tycho's catalog: databases are schemas of the one PostgreSQL database `tycho`.
//!
//! psql, drivers and BI tools ask `pg_catalog` and `information_schema` what there is. Their tables are built here, a table
//! at a time and only when a query names it, from the definitions in a statement's view; no table of the user's is opened.
//! `rewrite` turns what only such queries use (`OPERATOR(pg_catalog.~)`, `::regclass`, scalar subqueries that are not
//! aggregated) into what DataFusion can plan. Queries over users' tables alone never pass through it.

mod concerns;
mod definitions;
mod facts;
mod functions;
mod information;
mod names;
mod rewrite;
mod rows;
mod tables;
pub mod types;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::ScalarUDF;
use datafusion::sql::sqlparser::ast::Query;
use parking_lot::Mutex;
use tycho_catalog::{CommitNumber, View};

use crate::engine::{SessionFacts, SystemTables};
use crate::error::Result;
use facts::{CatalogFacts, SessionState};
use functions::{Context, Needs};

/// The system tables of a server: one for all sessions.
#[derive(Debug, Default)]
pub struct PgCatalog {
    /// The facts of the last commit that was asked for. A statement asks several times, and most statements of most sessions
    /// read the newest commit.
    last: Mutex<Option<(FactsKey, Arc<CatalogFacts>)>>,
}

/// Which catalog, in which incarnation, at which commit.
type FactsKey = (String, i64, CommitNumber);

impl PgCatalog {
    async fn facts(&self, view: &View) -> Result<Arc<CatalogFacts>> {
        let catalog = view.catalog();
        let key = (catalog.id().to_owned(), catalog.incarnation(), view.commit());
        if view.has_changes() {
            return Ok(Arc::new(CatalogFacts::load(view).await?));
        }
        if let Some((_, facts)) = self.last.lock().as_ref().filter(|(last, _)| *last == key) {
            return Ok(Arc::clone(facts));
        }
        let facts = Arc::new(CatalogFacts::load(view).await?);
        *self.last.lock() = Some((key, Arc::clone(&facts)));
        Ok(facts)
    }

    async fn context(&self, needs: Needs, view: &View, session: &SessionFacts) -> Result<Context> {
        let mut facts = if needs >= Needs::Catalog { self.facts(view).await? } else { Arc::default() };
        if needs == Needs::Sizes {
            Arc::make_mut(&mut facts).load_totals(view).await?;
        }
        Ok(Context { facts, session: SessionState::from(session), commit: view.commit() })
    }
}

#[async_trait]
impl SystemTables for PgCatalog {
    fn schemas(&self) -> &'static [&'static str] {
        definitions::SCHEMAS
    }

    async fn table(
        &self,
        schema: &str,
        name: &str,
        view: &View,
        session: &SessionFacts,
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(table) = definitions::table(schema, name) else { return Ok(None) };
        let needs = if tables::needs_catalog(table) { Needs::Catalog } else { Needs::Session };
        let context = self.context(needs, view, session).await?;
        provider(table, &context).map(Some)
    }

    async fn functions(&self, query: &Query, view: &View, session: &SessionFacts) -> Result<Vec<Arc<ScalarUDF>>> {
        let called = concerns::called_functions(query);
        let Some(needs) = called.iter().filter_map(|name| functions::needs(name)).max() else {
            return Ok(Vec::new());
        };
        let context = Arc::new(self.context(needs, view, session).await?);
        Ok(functions::bind(&context, |name| called.contains(name)))
    }

    fn concerns(&self, query: &Query) -> bool {
        concerns::concerns(query)
    }

    async fn rewrite(&self, query: &mut Query, view: &View, session: &SessionFacts) -> Result<()> {
        let needs = if concerns::names_relation(query) { Needs::Catalog } else { Needs::Session };
        let context = self.context(needs, view, session).await?;
        rewrite::rewrite(query, &context)
    }
}

fn provider(table: &'static definitions::SystemTable, context: &Context) -> Result<Arc<dyn TableProvider>> {
    let batch = tables::build(table, &tables::Source { facts: &context.facts, session: &context.session })?;
    Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
}
