//! `geodata(lon, lat [, 'set'])`: from coordinates to the fields of the polygons that contain them.
//!
//! ```sql
//! SELECT g.city, g.state FROM (SELECT geodata(longitude, latitude) AS g FROM events)
//! ```
//!
//! The function returns a struct with the fields of a [`LayerSet`]. Its answers:
//!
//! | the point | the answer |
//! | --- | --- |
//! | inside a polygon | the fields of its row |
//! | on the border of a polygon or of one of its holes | inside |
//! | inside a hole | outside, unless another polygon is there |
//! | in several polygons of a layer | the one of the smallest area in square degrees (a row's polygons together), then the first row |
//! | in polygons of some layers only | the fields of the other layers are NULL |
//! | in no polygon | the struct is NULL, and with it each field |
//! | NULL, NaN or infinite, or a latitude beyond ±90 | the struct is NULL |
//! | a longitude beyond ±180 | wrapped around the Earth; 180 and -180 are one meridian |
//! | at a pole | as any point of the plane of longitudes and latitudes: the longitude counts |
//!
//! Edges are straight lines in that plane. Every row is looked up once, however many fields a query reads and wherever
//! it repeats the call: a DataFusion function would be run once per use, so an optimizer rule ([`rules`]) takes the
//! calls out of expressions and puts one [`plan::GeodataNode`] below, which no other rule takes apart.

mod exec;
mod extract;
mod function;
mod layer;
mod narrow;
pub mod plan;
mod polygon;
pub mod rules;
mod shapes;
#[cfg(test)]
mod tests;

pub use exec::GeodataExec;
pub use function::geodata_function;
pub use layer::{Layer, LayerSet, Layers};
pub use plan::GeodataPlanner;
pub use rules::{analyzer_rule, optimizer_rules, register};
