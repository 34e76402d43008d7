-- tycho: dialect=spark

-- # Files as they are
-- Tables over Parquet and CSV files that something else wrote. Nothing is copied or converted.

CREATE DATABASE IF NOT EXISTS lake;

CREATE EXTERNAL TABLE IF NOT EXISTS lake.raw_flights
USING PARQUET
LOCATION '${data}/flights';

CREATE EXTERNAL TABLE IF NOT EXISTS lake.airports (
  iata STRING, name STRING, city STRING, state STRING, country STRING, latitude DOUBLE, longitude DOUBLE)
USING CSV
OPTIONS (header 'true')
LOCATION '${data}/airports';

CREATE EXTERNAL TABLE IF NOT EXISTS lake.states
USING PARQUET
LOCATION '${data}/states';

CREATE EXTERNAL TABLE IF NOT EXISTS lake.places
USING PARQUET
LOCATION '${data}/places';

SELECT COUNT(*) AS flights, MIN(date) AS first, MAX(date) AS last FROM lake.raw_flights;

-- # Polygons become a function
-- 56 states and 29,678 cities and towns, as WKT. geodata(longitude, latitude) says in which of them a point lies.

CREATE OR REPLACE GEODATA LAYER us_states FIELDS (state) GEOMETRY wkt AS
SELECT state, wkt FROM lake.states;

CREATE OR REPLACE GEODATA LAYER us_places FIELDS (city) GEOMETRY wkt AS
SELECT city, wkt FROM lake.places;

-- The airport of Dallas-Fort Worth lies in Grapevine, that of Seattle in SeaTac, and Las Vegas's in Paradise.
SELECT iata, airport_city, g.city, g.state
FROM (SELECT iata, city AS airport_city, geodata(longitude, latitude) AS g FROM lake.airports) located
WHERE iata IN ('DFW', 'SEA', 'LAS', 'DEN', 'SFO')
ORDER BY iata;

-- # A month of flights, one partition a day, in one commit
-- Each day comes out as one file, sorted. Where the airport lies in no city's limits, its own city is kept.

CREATE EXTERNAL TABLE IF NOT EXISTS lake.flights (
  departure TIMESTAMP_NTZ COMMENT 'scheduled, local time',
  delay BIGINT COMMENT 'minutes',
  distance BIGINT COMMENT 'miles',
  origin STRING,
  destination STRING,
  city STRING COMMENT 'where the airport of origin lies',
  state STRING)
USING PARQUET
PARTITIONED BY (dt STRING)
LOCATION '${lake}/flights';

INSERT OVERWRITE TABLE lake.flights PARTITION (dt)
SELECT date, delay, distance, origin, destination, COALESCE(g.city, airport_city) AS city, g.state, dt
FROM (
  SELECT f.date, f.delay, f.distance, f.origin, f.destination, f.dt, a.city AS airport_city,
         geodata(a.longitude, a.latitude) AS g
  FROM (
    SELECT DISTINCT date, delay, distance, origin, destination, CAST(CAST(date AS DATE) AS STRING) AS dt
    FROM lake.raw_flights
  ) f
  JOIN lake.airports a ON a.iata = f.origin
) located
DISTRIBUTE BY dt SORT BY origin, date;

SELECT COUNT(*) AS days, SUM(`files`) AS files, SUM(`rows`) AS `rows`, SUM(`bytes`) AS bytes
FROM tycho.partitions
WHERE `database` = 'lake' AND `table` = 'flights';

-- Kept to compare with later: the partitions and their versions as they are now.
CREATE TABLE IF NOT EXISTS lake.partitions_before (`partition` STRING, version BIGINT, row_count BIGINT) USING PARQUET;

INSERT OVERWRITE TABLE lake.partitions_before
SELECT `partition`, CAST(version AS BIGINT), CAST(`rows` AS BIGINT)
FROM tycho.partitions
WHERE `database` = 'lake' AND `table` = 'flights';

-- # Late and repeated rows arrive
-- One more file. It holds flights that nobody had reported yet, and others that were in the first file already.

CREATE EXTERNAL TABLE IF NOT EXISTS lake.late_flights
USING PARQUET
LOCATION '${data}/late';

SELECT CAST(CAST(date AS DATE) AS STRING) AS day, COUNT(*) AS rows_in_the_file
FROM lake.late_flights
GROUP BY CAST(CAST(date AS DATE) AS STRING)
ORDER BY day;

-- Exactly the days that the file touches are computed anew, from both files, each flight once.
INSERT OVERWRITE TABLE lake.flights PARTITION (dt)
SELECT date, delay, distance, origin, destination, COALESCE(g.city, airport_city) AS city, g.state, dt
FROM (
  SELECT f.date, f.delay, f.distance, f.origin, f.destination, f.dt, a.city AS airport_city,
         geodata(a.longitude, a.latitude) AS g
  FROM (
    SELECT DISTINCT date, delay, distance, origin, destination, CAST(CAST(date AS DATE) AS STRING) AS dt
    FROM (SELECT * FROM lake.raw_flights UNION ALL SELECT * FROM lake.late_flights) reported
  ) f
  JOIN lake.airports a ON a.iata = f.origin
  WHERE f.dt IN (SELECT CAST(CAST(date AS DATE) AS STRING) FROM lake.late_flights)
) located
DISTRIBUTE BY dt SORT BY origin, date;

-- Before and after: four days have a new version, the others were not touched.
SELECT now.`partition` AS day, earlier.version AS version_before, now.version AS version_after,
       earlier.row_count AS rows_before, now.`rows` AS rows_after,
       CASE WHEN now.version > earlier.version THEN 'rewritten' ELSE '' END AS what
FROM tycho.partitions now
JOIN lake.partitions_before earlier ON earlier.`partition` = now.`partition`
WHERE now.`database` = 'lake' AND now.`table` = 'flights'
ORDER BY day;

-- # Where did people wait?
-- Each day's city with the latest departures, among cities with 100 flights or more that day.

SELECT day, city, state, flights, average_delay
FROM (
  SELECT dt AS day, city, state, COUNT(*) AS flights, ROUND(AVG(delay), 1) AS average_delay,
         ROW_NUMBER() OVER (PARTITION BY dt ORDER BY AVG(delay) DESC, city) AS place
  FROM lake.flights
  GROUP BY dt, city, state
  HAVING COUNT(*) >= 100
) ranked
WHERE place = 1
ORDER BY day;
