//! All polygons of one layer, searchable by point.
//!
//! An R-tree over the bounding boxes of the single polygons finds the few that may hold a point; [`BandedPolygon`]
//! decides exactly. Rows are ranked once by area, so that of several that contain a point the smallest is found without
//! testing larger ones after it.

use std::convert::Infallible;
use std::ops::ControlFlow;

use geo::{Area, Coord, Geometry, Polygon};
use rstar::RTree;
use rstar::primitives::{GeomWithData, Rectangle};
use wkt::TryFromWkt;

use super::polygon::BandedPolygon;

/// Marks a point that no row contains.
pub(crate) const NO_ROW: u32 = u32::MAX;

#[derive(Debug)]
struct Part {
    polygon: BandedPolygon,
    row: u32,
    /// Position of the row when ordered by area, then by row number.
    rank: u32,
}

/// Polygons by row; a row may have several.
#[derive(Debug)]
pub(crate) struct Shapes {
    parts: Vec<Part>,
    tree: RTree<GeomWithData<Rectangle<[f64; 2]>, u32>>,
    min_lon: f64,
    max_lon: f64,
}

impl Shapes {
    /// `rows` holds the polygons of each row, empty where the row has none. At most `u32::MAX - 1` rows.
    pub(crate) fn new(rows: &[Vec<Polygon<f64>>]) -> Self {
        let areas: Vec<f64> = rows.iter().map(|row| row.iter().map(Area::unsigned_area).sum()).collect();
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by(|a, b| areas[*a].total_cmp(&areas[*b]).then(a.cmp(b)));
        let mut ranks = vec![0u32; rows.len()];
        for (rank, row) in order.into_iter().enumerate() {
            ranks[row] = rank as u32;
        }
        let mut parts = Vec::new();
        for (row, polygons) in rows.iter().enumerate() {
            for polygon in polygons.iter().filter_map(BandedPolygon::new) {
                parts.push(Part { polygon, row: row as u32, rank: ranks[row] });
            }
        }
        let boxes = parts.iter().enumerate().map(|(index, part)| {
            let (min, max) = (part.polygon.min(), part.polygon.max());
            GeomWithData::new(Rectangle::from_corners([min.x, min.y], [max.x, max.y]), index as u32)
        });
        let tree = RTree::bulk_load(boxes.collect());
        let min_lon = parts.iter().map(|part| part.polygon.min().x).fold(f64::INFINITY, f64::min);
        let max_lon = parts.iter().map(|part| part.polygon.max().x).fold(f64::NEG_INFINITY, f64::max);
        Self { parts, tree, min_lon, max_lon }
    }

    /// The row of the smallest polygon that contains the point, [`NO_ROW`] without one.
    ///
    /// `point` must be finite, with a longitude from -180 to 180. Meridians that are the same place are both looked at:
    /// ±180, and those of layers whose polygons go on beyond ±180.
    pub(crate) fn find(&self, point: Coord<f64>) -> u32 {
        let mut best = (u32::MAX, NO_ROW);
        for turn in [0.0, 360.0, -360.0] {
            let x = point.x + turn;
            if x >= self.min_lon && x <= self.max_lon {
                self.find_in_plane(Coord { x, y: point.y }, &mut best);
            }
        }
        best.1
    }

    /// Lowers `best`, a pair of rank and row, to what this point finds.
    fn find_in_plane(&self, point: Coord<f64>, best: &mut (u32, u32)) {
        let never_stopped: ControlFlow<Infallible> =
            self.tree.locate_all_at_point_int(&[point.x, point.y], |candidate| {
                let part = &self.parts[candidate.data as usize];
                if part.rank < best.0 && part.polygon.contains(point) {
                    *best = (part.rank, part.row);
                }
                ControlFlow::Continue(())
            });
        let ControlFlow::Continue(()) = never_stopped;
    }
}

/// The polygons of a WKT text: POLYGON, MULTIPOLYGON, or a GEOMETRYCOLLECTION of those; any may be EMPTY.
///
/// # Errors
/// A text saying what is wrong, without the text itself.
pub(crate) fn polygons_from_wkt(text: &str) -> Result<Vec<Polygon<f64>>, String> {
    let geometry = Geometry::<f64>::try_from_wkt_str(text).map_err(|error| format!("not readable as WKT: {error}"))?;
    let mut polygons = Vec::new();
    collect_polygons(geometry, &mut polygons)?;
    for polygon in &polygons {
        let coordinates = std::iter::once(polygon.exterior()).chain(polygon.interiors()).flat_map(|ring| &ring.0);
        if let Some(bad) = coordinates.into_iter().find(|c| !c.x.is_finite() || !c.y.is_finite()) {
            return Err(format!("has the coordinate ({}, {}), which is not finite", bad.x, bad.y));
        }
    }
    Ok(polygons)
}

fn collect_polygons(geometry: Geometry<f64>, polygons: &mut Vec<Polygon<f64>>) -> Result<(), String> {
    let found = match geometry {
        Geometry::Polygon(polygon) => {
            polygons.push(polygon);
            return Ok(());
        }
        Geometry::MultiPolygon(multi) => {
            polygons.extend(multi.0);
            return Ok(());
        }
        Geometry::GeometryCollection(collection) => {
            return collection.0.into_iter().try_for_each(|part| collect_polygons(part, polygons));
        }
        Geometry::Point(_) => "a point",
        Geometry::MultiPoint(_) => "points",
        Geometry::Line(_) | Geometry::LineString(_) => "a line",
        Geometry::MultiLineString(_) => "lines",
        Geometry::Rect(_) | Geometry::Triangle(_) => "a shape that WKT does not have",
    };
    Err(format!("is {found}, not a polygon or multipolygon"))
}
