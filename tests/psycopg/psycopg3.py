"""What psycopg 3 does with Tycho; run by tests/psycopg.rs with the port of a server that has the table t."""

import datetime
import decimal
import sys

import psycopg

PORT = int(sys.argv[1])
CONNINFO = f"host=127.0.0.1 port={PORT} user=tycho dbname=tycho"

EXPECTED = (
    1, 2, 3, 1.5, 2.5, decimal.Decimal("12.3400"), True, "één", datetime.date(2018, 3, 5),
    datetime.datetime(2018, 3, 5, 7, 8, 9, 123456, tzinfo=datetime.timezone.utc), b"\x01\x02\xff",
)


def rows(connection, binary):
    with connection.cursor(binary=binary) as cursor:
        cursor.execute("SELECT * FROM t ORDER BY id")
        found = cursor.fetchall()
        names = [column.name for column in cursor.description]
    assert names == ["id", "small", "n", "f", "r", "price", "ok", "name", "day", "at", "raw"], names
    values = list(found[0])
    if isinstance(values[9], datetime.datetime) and values[9].tzinfo is not None:
        values[9] = values[9].astimezone(datetime.timezone.utc)
    assert tuple(values) == EXPECTED, values
    assert found[1] == (2,) + (None,) * 10, found[1]


def parameters(connection):
    for prepare in (False, True):
        for binary in (False, True):
            with connection.cursor(binary=binary) as cursor:
                cursor.execute("SELECT name FROM t WHERE id = %s AND price > %s", (1, decimal.Decimal("1.5")), prepare=prepare)
                assert cursor.fetchone() == ("één",)
                cursor.execute("SELECT %s::text, %s::int + 1, %s::float8", ("x", 41, 0.5), prepare=prepare)
                assert cursor.fetchone() == ("x", 42, 0.5)
                cursor.execute("SELECT id FROM t WHERE day = %s", (datetime.date(2018, 3, 5),), prepare=prepare)
                assert cursor.fetchall() == [(1,)]
                cursor.execute("SELECT id FROM t WHERE name = %b", ("één",), prepare=prepare)
                assert cursor.fetchall() == [(1,)]
                cursor.execute("SELECT id FROM t ORDER BY id LIMIT %s", (1,), prepare=prepare)
                assert cursor.fetchall() == [(1,)]


def transactions(connection):
    connection.execute("CREATE TABLE u (id BIGINT) USING parquet")
    connection.commit()
    with connection.transaction():
        connection.execute("INSERT INTO u VALUES (1)")
        assert connection.execute("SELECT count(*) FROM u").fetchone() == (1,)
        try:
            with connection.transaction():
                connection.execute("INSERT INTO u VALUES (2)")
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
    assert connection.execute("SELECT id FROM u").fetchall() == [(1,)]
    try:
        connection.execute("SELECT nope FROM u")
    except psycopg.errors.UndefinedColumn as error:
        assert error.diag.statement_position == "8", error.diag.statement_position
    else:
        raise AssertionError("an unknown column is an error")
    try:
        connection.execute("SELECT 1")
    except psycopg.errors.InFailedSqlTransaction:
        pass
    else:
        raise AssertionError("a failed block takes no statement")
    connection.rollback()
    connection.execute("DROP TABLE u")
    connection.commit()


def streams(connection):
    with connection.cursor() as cursor:
        total = 0
        for (value,) in cursor.stream("SELECT value FROM generate_series(1, 200000)"):
            total += value
    assert total == 200_000 * 200_001 // 2, total
    connection.rollback()


def pipeline(connection):
    with connection.pipeline(), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        with connection.cursor() as second:
            second.execute("SELECT 2")
            assert cursor.fetchone() == (1,)
            assert second.fetchone() == (2,)


with psycopg.connect(CONNINFO) as session:
    rows(session, binary=False)
    rows(session, binary=True)
    parameters(session)
    transactions(session)
    streams(session)
    pipeline(session)
print("1 passed, 0 failed")
