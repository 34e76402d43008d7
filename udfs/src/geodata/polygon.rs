//! One polygon, laid out so that a point is tested against few of its edges.
//!
//! The edges of all rings are sorted into bands of equal height in latitude. A point looks at the edges of its own band
//! only, so that a polygon of 100,000 vertices costs about as much per point as one of ten.

use datafusion::arrow::datatypes::ArrowNativeType;
use geo::kernels::{Kernel, Orientation};
use geo::{Coord, GeoNum, LineString, Polygon};

/// Edges per band that the banding aims at, and the most entries it may make of one edge on average: long steep edges
/// lie in many bands.
const EDGES_PER_BAND: usize = 4;
const ENTRIES_PER_EDGE: usize = 4;

/// Relative error of the plain determinant in [`orientation`]; Shewchuk's bound `(3 + 16 ε) ε` with ε = 2⁻⁵³.
const DETERMINANT_ERROR: f64 = 3.330_669_073_875_471_6e-16;

#[derive(Debug, Clone, Copy)]
struct Edge {
    start: Coord<f64>,
    end: Coord<f64>,
}

/// A closed polygon with holes: its border, that of its holes included, belongs to it.
///
/// The inside is decided by the even-odd rule over all rings together, also where rings cross themselves or each other.
#[derive(Debug)]
pub(crate) struct BandedPolygon {
    min: Coord<f64>,
    max: Coord<f64>,
    bands_per_degree: f64,
    /// `edges[band_starts[b]..band_starts[b + 1]]` are the edges that touch band `b`.
    band_starts: Box<[u32]>,
    edges: Box<[Edge]>,
}

impl BandedPolygon {
    /// `None` for a polygon without edges.
    pub(crate) fn new(polygon: &Polygon<f64>) -> Option<Self> {
        let edges: Vec<Edge> =
            std::iter::once(polygon.exterior()).chain(polygon.interiors()).flat_map(ring_edges).collect();
        let first = edges.first()?.start;
        let (mut min, mut max) = (first, first);
        for edge in &edges {
            min = Coord { x: min.x.min(edge.start.x), y: min.y.min(edge.start.y) };
            max = Coord { x: max.x.max(edge.start.x), y: max.y.max(edge.start.y) };
        }
        let mut bands = (edges.len() / EDGES_PER_BAND).max(1);
        loop {
            let bands_per_degree = if max.y > min.y { bands as f64 / (max.y - min.y) } else { 0.0 };
            let band = |y: f64| band_of(y, min.y, bands_per_degree, bands);
            let span = |edge: &Edge| (band(edge.start.y.min(edge.end.y)), band(edge.start.y.max(edge.end.y)));
            let entries: usize = edges.iter().map(span).map(|(low, high)| high - low + 1).sum();
            if entries > ENTRIES_PER_EDGE * edges.len() && bands > 1 {
                bands /= 2;
                continue;
            }
            let (band_starts, edges) = sort_into_bands(&edges, bands, span);
            return Some(Self { min, max, bands_per_degree, band_starts, edges });
        }
    }

    pub(crate) fn min(&self) -> Coord<f64> {
        self.min
    }

    pub(crate) fn max(&self) -> Coord<f64> {
        self.max
    }

    /// Whether the point lies inside or on the border. Exact: no rounding decides.
    pub(crate) fn contains(&self, point: Coord<f64>) -> bool {
        if !(point.x >= self.min.x && point.x <= self.max.x && point.y >= self.min.y && point.y <= self.max.y) {
            return false;
        }
        let band = band_of(point.y, self.min.y, self.bands_per_degree, self.band_starts.len() - 1);
        let edges = &self.edges[self.band_starts[band].as_usize()..self.band_starts[band + 1].as_usize()];
        let mut inside = false;
        for Edge { start, end } in edges {
            let (low, high) = if start.y <= end.y { (start, end) } else { (end, start) };
            if point.y < low.y || point.y > high.y || point.x > start.x.max(end.x) {
                continue;
            }
            // The ray goes from the point to the east. An edge counts from its lower end up to, but without, its upper
            // end, so that a ray through a vertex meets one of the two edges there, or both or none where it's an extremum.
            let crosses = point.y < high.y;
            if point.x < start.x.min(end.x) {
                inside ^= crosses;
                continue;
            }
            match orientation(*low, *high, point) {
                Orientation::Collinear => return true,
                Orientation::CounterClockwise => inside ^= crosses,
                Orientation::Clockwise => {}
            }
        }
        inside
    }
}

fn ring_edges(ring: &LineString<f64>) -> impl Iterator<Item = Edge> + '_ {
    // Rings are closed by geo's Polygon. Repeated vertices make edges of no length, which would count nothing.
    ring.0.windows(2).map(|pair| Edge { start: pair[0], end: pair[1] }).filter(|edge| edge.start != edge.end)
}

/// Rounding cannot lose an edge: the arithmetic is monotone in `y`, and edges and points go through the same.
fn band_of(y: f64, min_y: f64, bands_per_degree: f64, bands: usize) -> usize {
    (((y - min_y) * bands_per_degree) as usize).min(bands - 1)
}

fn sort_into_bands(edges: &[Edge], bands: usize, span: impl Fn(&Edge) -> (usize, usize)) -> (Box<[u32]>, Box<[Edge]>) {
    let mut starts = vec![0u32; bands + 1];
    for edge in edges {
        let (low, high) = span(edge);
        starts[low + 1..=high + 1].iter_mut().for_each(|count| *count += 1);
    }
    for band in 0..bands {
        starts[band + 1] += starts[band];
    }
    let mut next = starts.clone();
    let mut sorted = vec![edges[0]; starts[bands].as_usize()];
    for edge in edges {
        let (low, high) = span(edge);
        for slot in &mut next[low..=high] {
            sorted[slot.as_usize()] = *edge;
            *slot += 1;
        }
    }
    (starts.into_boxed_slice(), sorted.into_boxed_slice())
}

/// On which side of the line from `low` to `high` the point lies: counter-clockwise is to the left, so that the ray
/// from the point to the east crosses the line.
fn orientation(low: Coord<f64>, high: Coord<f64>, point: Coord<f64>) -> Orientation {
    let left = (low.x - point.x) * (high.y - point.y);
    let right = (low.y - point.y) * (high.x - point.x);
    let determinant = left - right;
    if determinant.abs() > DETERMINANT_ERROR * (left.abs() + right.abs()) {
        if determinant > 0.0 { Orientation::CounterClockwise } else { Orientation::Clockwise }
    } else {
        <f64 as GeoNum>::Ker::orient2d(low, high, point)
    }
}
