//! Where points lie: hand-made polygons with the answer written beside each point, and random ones against `geo`.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int32Array, RecordBatch, StringArray};
use datafusion::arrow::datatypes::Int32Type;
use geo::{Area, Coord, Intersects, LineString, MultiPolygon, Point, Polygon};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use wkt::ToWkt;

use super::super::layer::{Layer, LayerSet};
use super::{ids, layer};

/// The field `name` of the polygon found for each point.
fn names(set: &LayerSet, points: &[(f64, f64)]) -> Vec<Option<String>> {
    let lon = Float64Array::from_iter_values(points.iter().map(|point| point.0));
    let lat = Float64Array::from_iter_values(points.iter().map(|point| point.1));
    let found = set.lookup(&lon, &lat, &[true]).expect("lookup");
    found.column(0).as_string::<i32>().iter().map(|name| name.map(str::to_owned)).collect()
}

#[track_caller]
fn check(rows: &[(&str, &str)], expected: &[((f64, f64), Option<&str>)]) {
    let set = LayerSet::new(vec![layer("l", "name", rows)]).expect("set");
    let points: Vec<_> = expected.iter().map(|(point, _)| *point).collect();
    for (found, (point, expected)) in names(&set, &points).iter().zip(expected) {
        assert_eq!(found.as_deref(), *expected, "at {point:?}");
    }
}

const SQUARE: &str = "POLYGON((0 0, 10 0, 10 10, 0 10, 0 0))";

#[test]
fn square_with_its_border_and_vertices() {
    let inside = Some("a");
    check(
        &[("a", SQUARE)],
        &[
            ((5.0, 5.0), inside),
            ((0.0, 0.0), inside),
            ((10.0, 10.0), inside),
            ((0.0, 10.0), inside),
            ((10.0, 0.0), inside),
            ((5.0, 0.0), inside),
            ((5.0, 10.0), inside),
            ((0.0, 5.0), inside),
            ((10.0, 5.0), inside),
            ((10.0f64.next_up(), 5.0), None),
            ((0.0f64.next_down(), 5.0), None),
            ((5.0, 10.0f64.next_up()), None),
            ((-1.0, 0.0), None),
            ((-1.0, 10.0), None),
            ((11.0, 5.0), None),
        ],
    );
}

#[test]
fn rays_through_vertices_count_once() {
    // A star whose points lie at the heights of others.
    let star = "POLYGON((0 0, 2 4, 4 0, 6 4, 8 0, 6 -4, 4 0, 2 -4, 0 0))";
    let (inside, outside) = (Some("a"), None);
    check(
        &[("a", star)],
        &[
            ((-1.0, 0.0), outside),
            ((2.0, 0.0), inside),
            ((4.0, 0.0), inside),
            ((6.0, 0.0), inside),
            ((9.0, 0.0), outside),
            ((0.0, 4.0), outside),
            ((2.0, 4.0), inside),
            ((4.0, 4.0), outside),
            ((4.0, 1.0), outside),
            ((0.0, -4.0), outside),
        ],
    );
}

#[test]
fn holes_multipolygons_and_collections() {
    let holed = "POLYGON((0 0, 10 0, 10 10, 0 10, 0 0), (4 4, 6 4, 6 6, 4 6, 4 4))";
    check(
        &[("a", holed)],
        &[((5.0, 5.0), None), ((4.0, 5.0), Some("a")), ((6.0, 6.0), Some("a")), ((3.0, 5.0), Some("a"))],
    );
    let islands = "MULTIPOLYGON(((0 0, 1 0, 1 1, 0 1, 0 0)), ((5 5, 6 5, 6 6, 5 6, 5 5)))";
    let collection = "GEOMETRYCOLLECTION(POLYGON((20 0, 21 0, 21 1, 20 0)), POLYGON EMPTY, MULTIPOLYGON EMPTY)";
    check(
        &[("islands", islands), ("empty", "POLYGON EMPTY"), ("collection", collection)],
        &[
            ((0.5, 0.5), Some("islands")),
            ((5.5, 5.5), Some("islands")),
            ((3.0, 3.0), None),
            ((20.9, 0.5), Some("collection")),
        ],
    );
}

#[test]
fn overlaps_go_to_the_smallest_and_ties_to_the_first() {
    let west = "POLYGON((0 0, 5 0, 5 10, 0 10, 0 0))";
    let east = "POLYGON((5 0, 10 0, 10 10, 5 10, 5 0))";
    let hamlet = "POLYGON((4 4, 6 4, 6 6, 4 6, 4 4))";
    check(
        &[("state", SQUARE), ("east", east), ("west", west), ("hamlet", hamlet), ("twin", hamlet)],
        &[
            ((5.0, 1.0), Some("east")),
            ((4.9, 1.0), Some("west")),
            ((5.0, 5.0), Some("hamlet")),
            ((4.0, 4.0), Some("hamlet")),
        ],
    );
    check(&[("west", west), ("east", east)], &[((5.0, 1.0), Some("west"))]);
}

#[test]
fn longitudes_are_wrapped_and_180_is_one_meridian() {
    let fiji = "MULTIPOLYGON(((177 -20, 180 -20, 180 -15, 177 -15, 177 -20)), ((-180 -20, -178 -20, -178 -15, -180 -15, -180 -20)))";
    let east = "POLYGON((170 0, 180 0, 180 10, 170 10, 170 0))";
    let beyond = "POLYGON((170 30, 190 30, 190 40, 170 40, 170 30))";
    check(
        &[("fiji", fiji), ("east", east), ("beyond", beyond)],
        &[
            ((178.0, -17.0), Some("fiji")),
            ((181.0, -17.0), Some("fiji")),
            ((-181.0, -17.0), Some("fiji")),
            ((-182.0 - 360.0, -17.0), Some("fiji")),
            ((538.0, -17.0), Some("fiji")),
            ((-180.0, 5.0), Some("east")),
            ((540.0, 5.0), Some("east")),
            ((-179.0, 5.0), None),
            ((-175.0, 35.0), Some("beyond")),
            ((185.0, 35.0), Some("beyond")),
            ((-169.0, 35.0), None),
        ],
    );
}

#[test]
fn no_place_on_earth_gives_null() {
    let set =
        LayerSet::new(vec![layer("l", "name", &[("a", "POLYGON((-180 -90, 180 -90, 180 90, -180 90, -180 -90))")])])
            .expect("set");
    let bad = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    let mut lon: Vec<Option<f64>> = vec![Some(1.0), None, Some(1.0), Some(1.0), Some(1.0)];
    let mut lat: Vec<Option<f64>> = vec![Some(90.0), Some(1.0), None, Some(90.0f64.next_up()), Some(-91.0)];
    for value in bad {
        lon.extend([Some(value), Some(1.0)]);
        lat.extend([Some(1.0), Some(value)]);
    }
    let found = set.lookup(&Float64Array::from(lon), &Float64Array::from(lat), &[true]).expect("lookup");
    assert!(found.is_valid(0), "the pole itself is a place");
    for row in 1..found.len() {
        assert!(found.is_null(row), "row {row}");
        assert!(found.column(0).is_null(row), "row {row}");
    }
}

#[test]
fn a_set_has_the_fields_of_all_layers() {
    let states = layer("states", "state", &[("MI", SQUARE)]);
    let cities = layer("cities", "city", &[("Flint", "POLYGON((1 1, 2 1, 2 2, 1 1))")]);
    let set = LayerSet::new(vec![cities, states]).expect("set");
    let lon = Float64Array::from(vec![1.9, 5.0, 50.0]);
    let lat = Float64Array::from(vec![1.5, 5.0, 50.0]);
    let found = set.lookup(&lon, &lat, &[true, true]).expect("lookup");
    let column = |name: &str| found.column_by_name(name).expect("field").as_string::<i32>().clone();
    assert_eq!(column("city"), StringArray::from(vec![Some("Flint"), None, None]));
    assert_eq!(column("state"), StringArray::from(vec![Some("MI"), Some("MI"), None]));
    assert_eq!((found.is_null(0), found.is_null(1), found.is_null(2)), (false, false, true));
    let found = set.lookup(&lon, &lat, &[false, true]).expect("lookup");
    assert_eq!(found.column(0).null_count(), 3);
    assert_eq!(found.column(1).null_count(), 1);
}

#[test]
fn mistakes_are_named() {
    let one = layer("one", "city", &[("a", SQUARE)]);
    let two = layer("two", "City", &[("b", SQUARE)]);
    let error = LayerSet::new(vec![one, two]).expect_err("field twice").to_string();
    assert!(error.contains("one and two both offer the field City"), "{error}");
    for (wkt, expected) in [
        ("POINT(1 2)", "is a point, not a polygon"),
        ("LINESTRING(1 2, 3 4)", "is a line"),
        ("POLYGON((0 0, 1", "not readable as WKT"),
        ("", "not readable as WKT"),
    ] {
        let geometry: ArrayRef = Arc::new(StringArray::from(vec![Some(SQUARE), None, Some(wkt)]));
        let error = Layer::build("zips", ids(3), &geometry).expect_err(wkt).to_string();
        assert!(error.contains("row 3 of geodata layer zips (id = 2)") && error.contains(expected), "{error}");
    }
    let geometry: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    assert!(Layer::build("zips", ids(1), &geometry).is_err());
}

/// A ring around `center` that does not cross itself: distances vary with the angle.
fn ring(random: &mut StdRng, center: (f64, f64), radius: f64, vertices: usize, grid: f64) -> LineString<f64> {
    let snap = |value: f64| (value / grid).round() * grid;
    (0..vertices)
        .map(|vertex| {
            let angle = vertex as f64 / vertices as f64 * std::f64::consts::TAU;
            let distance = radius * random.random_range(0.5..1.0);
            Coord { x: snap(center.0 + distance * angle.cos()), y: snap(center.1 + distance * angle.sin()) }
        })
        .collect()
}

/// Points anywhere, on vertices, on the middle of edges, and one step beside those.
fn points_near(random: &mut StdRng, polygons: &[MultiPolygon<f64>]) -> Vec<(f64, f64)> {
    let mut points: Vec<_> =
        (0..4000).map(|_| (random.random_range(-60.0..60.0), random.random_range(-60.0..60.0))).collect();
    for polygon in polygons.iter().flatten() {
        for ring in std::iter::once(polygon.exterior()).chain(polygon.interiors()) {
            for line in ring.lines().take(40) {
                let middle = ((line.start.x + line.end.x) / 2.0, (line.start.y + line.end.y) / 2.0);
                for (x, y) in [(line.start.x, line.start.y), middle] {
                    points.extend([(x, y), (x.next_up(), y), (x, y.next_down()), (x.next_down(), y.next_up())]);
                }
            }
        }
    }
    points
}

#[test]
fn random_polygons_agree_with_geo() {
    for seed in 0..6 {
        let mut random = StdRng::seed_from_u64(seed);
        // On a coarse grid edges run level and through other vertices; few vertices, so that no ring crosses itself there.
        let (grid, sizes, hole) = if seed % 2 == 0 { (1e-9, [3, 8, 50, 2000], 20) } else { (0.5, [3, 8, 12, 5], 6) };
        let polygons: Vec<MultiPolygon<f64>> = (0..40)
            .map(|index| {
                let parts = (0..1 + index % 3).map(|_| {
                    let center = (random.random_range(-40.0..40.0), random.random_range(-40.0..40.0));
                    let vertices = sizes[index % 4];
                    let outer = ring(&mut random, center, 12.0, vertices, grid);
                    let holes = if vertices > 8 { vec![ring(&mut random, center, 5.0, hole, grid)] } else { vec![] };
                    Polygon::new(outer, holes)
                });
                MultiPolygon(parts.collect())
            })
            .collect();
        let wkt: ArrayRef =
            Arc::new(StringArray::from_iter_values(polygons.iter().map(|polygon| polygon.wkt_string())));
        let built = Layer::build("random", ids(polygons.len()), &wkt).expect("layer");
        let set = LayerSet::new(vec![built]).expect("set");
        let areas: Vec<f64> =
            polygons.iter().map(|polygon| polygon.iter().map(|part| part.unsigned_area()).sum()).collect();
        let points = points_near(&mut random, &polygons);
        let lon = Float64Array::from_iter_values(points.iter().map(|point| point.0));
        let lat = Float64Array::from_iter_values(points.iter().map(|point| point.1));
        let found = set.lookup(&lon, &lat, &[true]).expect("lookup");
        let found = found.column(0).as_primitive::<Int32Type>();
        let mut inside = 0;
        for (index, (x, y)) in points.iter().enumerate() {
            // Part by part: an overlap of parts is inside, as it is for geo's parts alone.
            let expected = (0..polygons.len())
                .filter(|row| polygons[*row].iter().any(|part| part.intersects(&Point::new(*x, *y))))
                .min_by(|one, two| areas[*one].total_cmp(&areas[*two]).then(one.cmp(two)));
            inside += usize::from(expected.is_some());
            let answer = found.is_valid(index).then(|| found.value(index) as usize);
            assert_eq!(answer, expected, "seed {seed}, point ({x}, {y})");
        }
        assert!(inside > 1000, "the points are to test something");
    }
}

#[test]
fn null_geometry_is_never_found_and_any_field_type_is_kept() {
    let geometry: ArrayRef = Arc::new(StringArray::from(vec![None, Some(SQUARE)]));
    let built = Layer::build("l", ids(2), &geometry).expect("layer");
    let set = LayerSet::new(vec![built]).expect("set");
    let found = set.lookup(&Float64Array::from(vec![5.0]), &Float64Array::from(vec![5.0]), &[true]).expect("lookup");
    assert_eq!(found.column(0).as_primitive::<Int32Type>().value(0), 1);
    let none = Layer::build("none", RecordBatch::new_empty(ids(0).schema()), &geometry.slice(0, 0)).expect("layer");
    let set = LayerSet::new(vec![none]).expect("set");
    let found = set.lookup(&Float64Array::from(vec![5.0]), &Float64Array::from(vec![5.0]), &[true]).expect("lookup");
    assert!(found.is_null(0));
}
