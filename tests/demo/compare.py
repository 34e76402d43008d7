"""Computes the demo's table anew with DuckDB and Shapely from the same files, and compares it row for row.

Run by tests/demo.rs with the demo's folder. DuckDB reads the Parquet files that Tycho wrote by listing the folders.
"""

import pathlib
import sys

import duckdb
import pyarrow.parquet
import shapely

LAKE = pathlib.Path(sys.argv[1])
DATA = LAKE / "data"
database = duckdb.connect()


def finder(file, field):
    """A function of (longitude, latitude): the field of the smallest polygon that holds the point, then of the first row."""
    table = pyarrow.parquet.read_table(file)
    polygons = shapely.from_wkt(table["wkt"].to_pylist())
    names = table[field].to_pylist()
    tree = shapely.STRtree(polygons)

    def find(longitude, latitude):
        point = shapely.Point(longitude, latitude)
        found = [i for i in tree.query(point) if shapely.covers(polygons[i], point)]
        return names[min(found, key=lambda i: (polygons[i].area, i))] if found else None

    return find


city = finder(next((DATA / "places").glob("*.parquet")), "city")
state = finder(next((DATA / "states").glob("*.parquet")), "state")
airports = database.sql(f"SELECT * FROM read_csv('{DATA}/airports/*.csv', header = true)").fetchall()
located = [(row[0], city(row[6], row[5]) or row[2], state(row[6], row[5])) for row in airports]
database.execute("CREATE TABLE located (iata VARCHAR, city VARCHAR, state VARCHAR)")
database.executemany("INSERT INTO located VALUES (?, ?, ?)", located)
database.execute(
    f"""CREATE TABLE expected AS
    WITH reported AS (SELECT * FROM '{DATA}/flights/*.parquet' UNION SELECT * FROM '{DATA}/late/*.parquet')
    SELECT date::TIMESTAMP AS departure, delay, distance, origin, destination, city, state,
           strftime(date, '%Y-%m-%d') AS dt
    FROM reported JOIN located ON iata = origin"""
)
database.execute(
    f"""CREATE TABLE found AS
    SELECT departure::TIMESTAMP AS departure, delay, distance, origin, destination, city, state, dt
    FROM read_parquet('{LAKE}/lake/flights/*/*.parquet', hive_partitioning = true, hive_types = {{'dt': VARCHAR}})"""
)
count = database.execute("SELECT count(*) FROM expected").fetchone()[0]
assert count > 490_000, count
for left, right in (("expected", "found"), ("found", "expected")):
    rows = database.execute(f"SELECT * FROM {left} EXCEPT ALL SELECT * FROM {right}").fetchall()
    assert not rows, f"{len(rows)} rows are in {left} and not in {right}: {rows[:5]}"
print(f"{count} rows are equal")
