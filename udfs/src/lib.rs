//! SQL functions of Tycho's own, as extensions of DataFusion.
//!
//! - [`geodata`]: `geodata(lon, lat)`, the fields of the polygons that contain a point.

pub mod geodata;
