//! Each row is looked up once, whatever the query looks like, and the answers are those of the plain function.

use std::sync::{Arc, Mutex};

use datafusion::arrow::array::{ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};

use super::super::layer::{LayerSet, Layers};
use super::super::rules::register;
use super::layer;

struct TwoSets {
    default: Mutex<Arc<LayerSet>>,
    squares: Arc<LayerSet>,
}

impl Layers for TwoSets {
    fn set(&self, name: Option<&str>) -> Result<Arc<LayerSet>, String> {
        match name {
            None => Ok(Arc::clone(&self.default.lock().expect("not poisoned"))),
            Some("squares") => Ok(Arc::clone(&self.squares)),
            Some(other) => Err(format!("geodata set {other} does not exist; CREATE GEODATA LAYER makes it")),
        }
    }
}

/// States are two halves of a square, cities lie within; dma is the whole.
fn states_and_cities(west: &str) -> Arc<LayerSet> {
    let states = [(west, "POLYGON((0 0, 5 0, 5 10, 0 10, 0 0))"), ("East", "POLYGON((5 0, 10 0, 10 10, 5 10, 5 0))")];
    let cities = [("Aville", "POLYGON((1 1, 2 1, 2 2, 1 2, 1 1))"), ("Beton", "POLYGON((7 7, 9 7, 9 9, 7 9, 7 7))")];
    let dma = [("All", "POLYGON((0 0, 10 0, 10 10, 0 10, 0 0))")];
    let layers =
        vec![layer("dmas", "dma_name", &dma), layer("cities", "city", &cities), layer("states", "state", &states)];
    Arc::new(LayerSet::new(layers).expect("set"))
}

const ROWS: u64 = 6;

fn points() -> RecordBatch {
    let columns: [(&str, ArrayRef); 5] = [
        ("id", Arc::new(Int32Array::from(vec![1, 2, 3, 4, 5, 6]))),
        ("longitude", Arc::new(Float64Array::from(vec![Some(1.5), Some(8.0), Some(4.0), Some(50.0), None, Some(1.2)]))),
        (
            "latitude",
            Arc::new(Float64Array::from(vec![Some(1.5), Some(8.0), Some(4.0), Some(50.0), Some(1.0), Some(1.8)])),
        ),
        ("kind", Arc::new(StringArray::from(vec!["a", "b", "a", "b", "a", "b"]))),
        ("words", Arc::new(StringArray::from(vec!["1.5", "8", "4e0", "50", "1", "1.2"]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).expect("columns")
}

struct Engine {
    context: SessionContext,
    layers: Arc<TwoSets>,
    set: Arc<LayerSet>,
}

fn engine() -> Engine {
    let set = states_and_cities("West");
    let squares = Arc::new(
        LayerSet::new(vec![layer("s", "square", &[("s", "POLYGON((0 0, 1.6 0, 1.6 1.6, 0 1.6, 0 0))")])]).expect("set"),
    );
    let layers = Arc::new(TwoSets { default: Mutex::new(Arc::clone(&set)), squares });
    let config = SessionConfig::new()
        .with_target_partitions(2)
        .set_bool("datafusion.execution.parquet.pushdown_filters", true)
        .set_bool("datafusion.execution.parquet.reorder_filters", true);
    let builder = SessionStateBuilder::new().with_config(config).with_default_features();
    let context = SessionContext::new_with_state(register(builder, Arc::clone(&layers) as Arc<dyn Layers>).build());
    context.register_batch("t", points()).expect("table");
    Engine { context, layers, set }
}

impl Engine {
    /// The rows as `value|value`, sorted, and how many points were looked up.
    async fn run(&self, sql: &str) -> (Vec<String>, u64) {
        let before = self.set.rows_looked_up();
        let frame = self.context.sql(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let batches = frame.collect().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let mut rows = Vec::new();
        for batch in batches {
            for row in 0..batch.num_rows() {
                let values = batch.columns().iter().map(|column| array_value_to_string(column, row).expect("value"));
                rows.push(values.collect::<Vec<_>>().join("|"));
            }
        }
        rows.sort();
        (rows, self.set.rows_looked_up() - before)
    }

    async fn plan(&self, sql: &str) -> String {
        let frame = self.context.sql(sql).await.expect("plans");
        let (state, plan) = frame.into_parts();
        state.optimize(&plan).expect("optimizes").display_indent().to_string()
    }
}

/// Runs the query and holds its rows and its count of lookups against those expected.
async fn check(engine: &Engine, sql: &str, expected: &[&str], lookups: u64) {
    let (rows, looked_up) = engine.run(sql).await;
    assert_eq!(rows, expected, "{sql}\n{}", engine.plan(sql).await);
    assert_eq!(looked_up, lookups, "rows looked up by {sql}\n{}", engine.plan(sql).await);
}

const G: &str = "(SELECT geodata(longitude, latitude) AS g, id, kind, longitude, latitude FROM t)";

#[tokio::test]
async fn several_fields_of_a_subquery() {
    let engine = engine();
    check(
        &engine,
        &format!("SELECT id, g.city, g.state FROM {G}"),
        &["1|Aville|West", "2|Beton|East", "3||West", "4||", "5||", "6|Aville|West"],
        ROWS,
    )
    .await;
    check(
        &engine,
        "SELECT geodata.dma_name, geodata.city AS city, geodata.state
         FROM (SELECT geodata(longitude, latitude) AS geodata FROM t)",
        &["All|Aville|West", "All|Aville|West", "All|Beton|East", "All||West", "||", "||"],
        ROWS,
    )
    .await;
    check(
        &engine,
        &format!("SELECT x.g.city, x.g.state FROM (SELECT * FROM (SELECT * FROM {G}) WHERE g.state = 'East') x"),
        &["Beton|East"],
        ROWS,
    )
    .await;
    check(
        &engine,
        "SELECT geodata(longitude, latitude)['city'], geodata(longitude, latitude)['state'] FROM t WHERE id = 2",
        &["Beton|East"],
        1,
    )
    .await;
    check(&engine, &format!("SELECT id FROM {G} WHERE g IS NULL"), &["4", "5"], ROWS).await;
    check(&engine, &format!("SELECT count(g), count(g.city), count(*) FROM {G}"), &["4|3|6"], ROWS).await;
}

#[tokio::test]
async fn filters_groups_and_orders() {
    let engine = engine();
    check(
        &engine,
        &format!("SELECT id, g.city FROM {G} WHERE g.state = 'West' AND g.city IS NOT NULL"),
        &["1|Aville", "6|Aville"],
        ROWS,
    )
    .await;
    check(&engine, &format!("SELECT id, g.city FROM {G} WHERE g.state = 'West' AND kind = 'b'"), &["6|Aville"], 3)
        .await;
    check(
        &engine,
        &format!("SELECT g.state, count(*), min(g.city) FROM {G} WHERE g.state IS NOT NULL GROUP BY g.state HAVING min(g.city) > 'B' ORDER BY g.state"),
        &["East|1|Beton"],
        ROWS,
    )
    .await;
    check(
        &engine,
        "SELECT geodata(longitude, latitude)['state'], count(geodata(longitude, latitude)['city']) FROM t
         WHERE geodata(longitude, latitude)['dma_name'] = 'All' GROUP BY geodata(longitude, latitude)['state']
         ORDER BY geodata(longitude, latitude)['state']",
        &["East|1", "West|2"],
        ROWS,
    )
    .await;
    check(
        &engine,
        "SELECT geodata(longitude, latitude)['state'] AS s, kind, count(*) FROM t GROUP BY ROLLUP (geodata(longitude, latitude)['state'], kind)
         HAVING geodata(longitude, latitude)['state'] = 'West'",
        &["West|a|2", "West|b|1", "West||3"],
        ROWS,
    )
    .await;
    check(&engine, "SELECT id FROM t ORDER BY geodata(longitude, latitude)['city'], geodata(longitude, latitude)['state'], id LIMIT 2", &["1", "6"], ROWS).await;
    check(&engine, &format!("SELECT DISTINCT g.state FROM {G}"), &["", "East", "West"], ROWS).await;
    check(&engine, &format!("SELECT g.state, row_number() OVER (PARTITION BY g.state ORDER BY g.city, id) FROM {G} WHERE g.state = 'West'"), &["West|1", "West|2", "West|3"], ROWS).await;
    check(
        &engine,
        "SELECT id, geodata(longitude, latitude)['city'], count(*) OVER (PARTITION BY geodata(longitude, latitude)['state']) FROM t WHERE geodata(longitude, latitude)['city'] IS NOT NULL",
        &["1|Aville|2", "2|Beton|1", "6|Aville|2"],
        ROWS,
    )
    .await;
    check(&engine, &format!("SELECT g.city FROM {G} LIMIT 0"), &[], 0).await;
    check(
        &engine,
        "SELECT id, geodata(longitude, latitude)['city'] FROM (SELECT id, longitude, latitude FROM t WHERE geodata(longitude, latitude)['state'] = 'East') e",
        &["2|Beton"],
        ROWS,
    )
    .await;
    check(&engine, "SELECT id, CASE WHEN kind = 'b' THEN geodata(longitude, latitude)['city'] ELSE geodata(longitude, latitude)['state'] END FROM t WHERE id < 3", &["1|West", "2|Beton"], 2).await;
}

#[tokio::test]
async fn common_tables_joins_and_unions() {
    let engine = engine();
    let cte = "WITH c AS (SELECT id, geodata(longitude, latitude) AS g FROM t)";
    check(&engine, &format!("{cte} SELECT g.city, g.state FROM c WHERE g.city = 'Beton'"), &["Beton|East"], ROWS).await;
    // A common table that is used twice is read twice, its rows with it.
    check(
        &engine,
        &format!("{cte} SELECT a.id, b.g.city FROM c a JOIN c b ON a.g.state = b.g.state AND a.id < b.id"),
        &["1|", "1|Aville", "3|Aville"],
        2 * ROWS,
    )
    .await;
    check(
        &engine,
        &format!(
            "{cte} SELECT g.city FROM c WHERE g.state = 'East' UNION ALL SELECT g.state FROM c WHERE g.city IS NOT NULL"
        ),
        &["Beton", "East", "West", "West"],
        2 * ROWS,
    )
    .await;
    check(
        &engine,
        &format!("SELECT n.name, g.city FROM {G} JOIN (VALUES ('West', 'w'), ('East', 'e')) AS n(state, name) ON g.state = n.state"),
        &["e|Beton", "w|", "w|Aville", "w|Aville"],
        ROWS,
    )
    .await;
    check(
        &engine,
        "SELECT n.name, geodata(longitude, latitude)['city'] FROM t LEFT JOIN (VALUES ('West', 'w'), ('East', 'e')) AS n(state, name)
         ON geodata(t.longitude, t.latitude)['state'] = n.state WHERE geodata(t.longitude, t.latitude)['city'] IS NOT NULL",
        &["e|Beton", "w|Aville", "w|Aville"],
        ROWS,
    )
    .await;
    check(&engine, "SELECT t.id, geodata(t.longitude, t.latitude)['city'], geodata(t.longitude, t.latitude)['state'] FROM t JOIN t u ON t.id = u.id WHERE u.kind = 'a' AND t.id < 3", &["1|Aville|West"], 1).await;
    check(
        &engine,
        &format!(
            "SELECT id FROM {G} WHERE g.state IN (SELECT geodata(longitude, latitude)['state'] FROM t WHERE id = 2)"
        ),
        &["2"],
        ROWS + 1,
    )
    .await;
    check(
        &engine,
        "SELECT o.id FROM t o WHERE EXISTS (SELECT 1 FROM t i WHERE geodata(i.longitude, i.latitude)['state'] = geodata(o.longitude, o.latitude)['state'] AND i.id = 2)",
        &["2"],
        ROWS + 1,
    )
    .await;
}

#[tokio::test]
async fn sets_constants_and_types() {
    let engine = engine();
    check(
        &engine,
        "SELECT geodata(1.5, 1.5)['city'], geodata(1.5, 1.5, 'squares')['square'], geodata(NULL, 2)['city'] IS NULL",
        &["Aville|s|true"],
        2,
    )
    .await;
    check(&engine, "SELECT id, geodata(longitude, latitude, 'squares')['square'], geodata(longitude, latitude)['city'] FROM t WHERE id IN (1, 6)", &["1|s|Aville", "6||Aville"], 2).await;
    check(
        &engine,
        "SELECT id, geodata(words, CAST(latitude AS DECIMAL(10, 3)))['city'] FROM t WHERE id < 3",
        &["1|Aville", "2|Beton"],
        2,
    )
    .await;
    check(&engine, "SELECT count(*) FROM (SELECT CASE WHEN words <> '50' THEN geodata(words, words)['city'] END AS c FROM t) WHERE c IS NOT NULL", &["4"], 5).await;
    for (sql, expected) in [
        ("SELECT geodata(1, 2, 'nope')['city']", "CREATE GEODATA LAYER"),
        ("SELECT geodata(longitude, latitude, kind) FROM t", "write it as a literal"),
        ("SELECT geodata(true, 1)", "the longitude given to geodata is Boolean"),
        ("SELECT geodata(1)", "takes a longitude, a latitude"),
    ] {
        let error = engine.context.sql(sql).await.expect_err(sql).to_string();
        assert!(error.contains(expected), "{sql}: {error}");
    }
}

#[tokio::test]
async fn unread_fields_are_not_looked_up() {
    let engine = engine();
    let plan = engine.plan(&format!("SELECT g.state FROM {G} WHERE g.city = 'Beton' AND kind = 'b' ORDER BY id")).await;
    assert!(plan.contains("fields=[city, state]"), "{plan}");
    check(&engine, &format!("SELECT count(*), max(id) FROM {G}"), &["6|6"], 0).await;
}

#[tokio::test]
async fn a_statement_keeps_the_version_it_was_planned_with() {
    let engine = engine();
    let frame = engine.context.sql(&format!("SELECT g.state FROM {G} WHERE id = 1")).await.expect("plans");
    let plan = frame.create_physical_plan().await.expect("physical plan");
    let newer = states_and_cities("Far West");
    *engine.layers.default.lock().expect("not poisoned") = Arc::clone(&newer);
    let batches = datafusion::physical_plan::collect(plan, engine.context.task_ctx()).await.expect("runs");
    let states: Vec<_> =
        batches.iter().map(|batch| array_value_to_string(batch.column(0), 0).expect("value")).collect();
    assert_eq!((states, newer.rows_looked_up()), (vec!["West".to_owned()], 0));
    let (rows, _) = engine.run(&format!("SELECT g.state FROM {G} WHERE id = 1")).await;
    assert_eq!((rows, newer.rows_looked_up()), (vec!["Far West".to_owned()], 1));
}

#[tokio::test]
async fn parquet_with_filters_in_the_scan() {
    let engine = engine();
    let folder = std::env::temp_dir().join(format!("tycho-udfs-{}", std::process::id()));
    let path = folder.join("points.parquet");
    let path = path.to_str().expect("a path of text");
    let frame = engine.context.table("t").await.expect("table");
    frame.write_parquet(path, DataFrameWriteOptions::new().with_single_file_output(true), None).await.expect("writes");
    engine.context.register_parquet("p", path, ParquetReadOptions::default()).await.expect("registers");
    let g = "(SELECT geodata(longitude, latitude) AS g, id, kind FROM p)";
    check(
        &engine,
        &format!("SELECT id, g.city, g.state FROM {g} WHERE g.state = 'West' AND g.city IS NOT NULL"),
        &["1|Aville|West", "6|Aville|West"],
        ROWS,
    )
    .await;
    check(
        &engine,
        &format!("SELECT id, g.city, g.state FROM {g} WHERE g.state = 'West' AND kind = 'b'"),
        &["6|Aville|West"],
        3,
    )
    .await;
    check(
        &engine,
        "SELECT geodata(longitude, latitude)['city'] FROM p WHERE geodata(longitude, latitude)['state'] = 'East'",
        &["Beton"],
        ROWS,
    )
    .await;
    std::fs::remove_dir_all(folder).expect("removes its own folder");
}
