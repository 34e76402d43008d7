//! A result as one Parquet file, written as its rows come.

use std::io::Write;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;
use parking_lot::Mutex;

use super::Sink;
use crate::error::{Error, Kind, Result};

/// Where the writer's bytes wait until the caller takes them.
#[derive(Clone, Default)]
struct Pending(Arc<Mutex<Vec<u8>>>);

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(super) struct ParquetSink {
    pending: Pending,
    /// `None` once finished.
    writer: Option<ArrowWriter<Pending>>,
}

fn failed(error: datafusion::parquet::errors::ParquetError) -> Error {
    Error::new(Kind::FeatureNotSupported, format!("the result cannot be written as Parquet: {error}"))
        .with_source(error)
}

impl ParquetSink {
    pub(super) fn new(schema: SchemaRef) -> Result<ParquetSink> {
        let compression = Compression::ZSTD(ZstdLevel::default());
        let properties = WriterProperties::builder().set_compression(compression).build();
        let pending = Pending::default();
        let writer = ArrowWriter::try_new(pending.clone(), schema, Some(properties)).map_err(failed)?;
        Ok(ParquetSink { pending, writer: Some(writer) })
    }

    fn take(&self, out: &mut Vec<u8>) {
        out.append(&mut self.pending.0.lock());
    }
}

impl Sink for ParquetSink {
    fn begin(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.take(out);
        Ok(())
    }

    fn batch(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        if let Some(writer) = &mut self.writer {
            writer.write(batch).map_err(failed)?;
        }
        self.take(out);
        Ok(())
    }

    fn finish(&mut self, _rows: u64, out: &mut Vec<u8>) -> Result<()> {
        if let Some(writer) = self.writer.take() {
            writer.close().map_err(failed)?;
        }
        self.take(out);
        Ok(())
    }
}
