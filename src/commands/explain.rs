//! EXPLAIN and EXPLAIN ANALYZE: the physical plan, one line a row, in a column `QUERY PLAN`.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::physical_plan::display::DisplayableExecutionPlan;
use datafusion::physical_plan::{collect, displayable};

use super::query::bind;
use crate::error::{Error, Kind, Result};
use crate::session::planner::locate;
use crate::session::{Outcome, Rows, Session, Tag};
use crate::sql::StatementKind;
use crate::sql::statement::{Explain, Query};

pub(crate) async fn run(session: &mut Session, explain: &Explain, parameters: &[ScalarValue]) -> Result<Outcome> {
    if let Some(format) = explain.format.as_deref().filter(|f| *f != "text") {
        let message = format!("EXPLAIN has no format {format}; it has text");
        return Err(Error::new(Kind::FeatureNotSupported, message));
    }
    let (query, writes): (&Query, bool) = match &explain.statement.kind {
        StatementKind::Query(query) => (query, false),
        StatementKind::Insert(insert) => (&insert.source, true),
        StatementKind::CreateTable(create) => match &create.as_query {
            Some(query) => (query, true),
            None => return Err(nothing_to_explain()),
        },
        _ => return Err(nothing_to_explain()),
    };
    if explain.analyze && writes {
        let message = "EXPLAIN ANALYZE runs its statement, and this one writes";
        return Err(Error::new(Kind::FeatureNotSupported, message).with_hint("EXPLAIN ANALYZE its SELECT"));
    }
    let view = session.view().await?;
    let types: Vec<_> = parameters.iter().map(|p| Some(p.data_type())).collect();
    let text = &explain.statement.text;
    let planned = session.cancellable(session.plan(query, &view, text, &types)).await?;
    let plan = bind(planned.plan, parameters)?;
    let state = session.statement_state();
    let physical =
        session.cancellable(async { state.create_physical_plan(&plan).await.map_err(|e| locate(e, text)) }).await?;
    let shown = if explain.analyze {
        let run = async { Ok(collect(Arc::clone(&physical), state.task_ctx()).await?) };
        session.cancellable(run).await?;
        DisplayableExecutionPlan::with_metrics(physical.as_ref()).indent(explain.verbose).to_string()
    } else {
        displayable(physical.as_ref()).indent(explain.verbose).to_string()
    };
    let mut lines = String::new();
    if explain.verbose {
        lines.push_str(&format!("{}\n", plan.display_indent()));
    }
    lines.push_str(&shown);
    let rows = lines.lines().map(|line| vec![Some(line.to_owned())]).collect();
    Ok(Outcome { tag: Tag::Done("EXPLAIN".to_owned()), rows: Some(Rows::from_text(&["QUERY PLAN"], rows)?) })
}

fn nothing_to_explain() -> Error {
    Error::new(Kind::FeatureNotSupported, "EXPLAIN takes a SELECT, an INSERT or a CREATE TABLE AS")
}
