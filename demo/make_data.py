"""Makes the demo's data files from their public sources, the same bytes each time. Kept as a record; nothing runs it.

Usage: make_data.py FLIGHTS_3M.parquet AIRPORTS.csv US_STATE.parquet US_PLACE.parquet OUTPUT_FOLDER

FLIGHTS_3M  flights of 2001-01-01 to 2001-07-01 (npm vega-datasets 3.2.1: data/flights-3m.parquet), columns date
            (timestamp, local), delay (minutes), distance (miles), origin, destination (IATA)
AIRPORTS    npm vega-datasets 3.2.1: data/airports.csv, copied as it is
US_STATE    US Census cartographic boundaries cb_2016, 1:500,000, as WKT, columns state, state_code, wkt and others
US_PLACE    US Census TIGER/Line 2019 PLACE, simplified to 0.0015 degrees, as WKT, columns city, state, wkt and others

All rows are real. Of January's flights, most go into flights/2001-01.parquet. On four days, a share of them is held back
and comes in late/2001-02-03.parquet instead, together with rows that were in the first file already: what a repeated
delivery looks like. Needs pyarrow.
"""

import datetime
import pathlib
import shutil
import sys

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

LATE_DAYS = [datetime.date(2001, 1, day) for day in (5, 12, 19, 26)]
COLUMNS = ["date", "delay", "distance", "origin", "destination"]


def write(table, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", compression_level=19, **options)
    print(f"{path}: {table.num_rows} rows, {path.stat().st_size} bytes")


def main():
    flights, airports, states, places, output = map(pathlib.Path, sys.argv[1:])
    rows = pq.read_table(flights)
    rows = rows.filter(pc.less(rows["date"], datetime.datetime(2001, 2, 1)))
    for name in ("origin", "destination"):
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, name, rows[name].cast(pa.string()))
    rows = rows.select(COLUMNS)

    number = pa.array(range(rows.num_rows))
    on_late_day = pc.is_in(rows["date"].cast(pa.date32()), value_set=pa.array(LATE_DAYS))
    # Every 23rd row of a late day is held back; every 89th that is not comes a second time.
    every = lambda n: pc.equal(pc.subtract(number, pc.multiply(pc.divide(number, n), n)), 0)
    held_back = pc.and_(on_late_day, every(23))
    repeated = pc.and_(pc.and_(on_late_day, every(89)), pc.invert(held_back))
    late = rows.filter(pc.or_(held_back, repeated))
    print("held back:", pc.sum(held_back), "repeated:", pc.sum(repeated))

    write(rows.filter(pc.invert(held_back)), output / "flights" / "2001-01.parquet", row_group_size=131072)
    write(late, output / "late" / "2001-02-03.parquet")
    write(pq.read_table(states, columns=["state", "state_code", "wkt"]), output / "states" / "us_state.parquet",
          use_dictionary=False)
    write(pq.read_table(places, columns=["city", "state", "wkt"]), output / "places" / "us_place.parquet",
          use_dictionary=["state"])
    (output / "airports").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(airports, output / "airports" / "airports.csv")


if __name__ == "__main__":
    main()
