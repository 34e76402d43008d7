//! SELECT, VALUES, TABLE, WITH.

use datafusion::common::{ParamValues, ScalarValue};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::execute_stream;

use crate::error::Result;
use crate::session::planner::locate;
use crate::session::rows::QueryStream;
use crate::session::{Outcome, Session, Tag};
use crate::sql::Statement;
use crate::sql::statement::Query;

/// Plans the query in the session's view and starts it; rows come as the client takes them.
pub(crate) async fn run(
    session: &mut Session,
    statement: &Statement,
    query: &Query,
    parameters: &[ScalarValue],
) -> Result<Outcome> {
    let view = session.view().await?;
    let types: Vec<_> = parameters.iter().map(|p| Some(p.data_type())).collect();
    let planned = session.cancellable(session.plan(query, &view, &statement.text, &types)).await?;
    session.note_block_reads(&planned.reads);
    let plan = bind(planned.plan, parameters)?;
    let state = session.statement_state();
    let start = async {
        let physical = state.create_physical_plan(&plan).await.map_err(|e| locate(e, &statement.text))?;
        Ok(execute_stream(physical, state.task_ctx())?)
    };
    let stream = session.cancellable(start).await?;
    let rows = QueryStream::rows(stream, &planned.labels, view, session.cancel_token());
    Ok(Outcome { tag: Tag::Select, rows: Some(rows) })
}

/// Puts values in the place of `$1` ….
pub(crate) fn bind(plan: LogicalPlan, parameters: &[ScalarValue]) -> Result<LogicalPlan> {
    if parameters.is_empty() {
        return Ok(plan);
    }
    Ok(plan.replace_params_with_values(&ParamValues::from(parameters.to_vec()))?)
}
