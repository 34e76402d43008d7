//! A result's rows on their way to the client: batch by batch, so that a slow client slows the scan and memory stays flat.

use std::sync::atomic::Ordering;

use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use pgwire::messages::PgWireBackendMessage;

use super::cancel::Watch;
use super::channel::FLUSH_BYTES;
use super::connection::Connection;
use super::encode::{OpenBatch, RowEncoder};
use super::response::Failure;
use super::types::{Format, row_description};
use crate::error::{Error, Kind, Result};
use crate::session::Rows;

/// More columns don't fit into the 16 bits that count them.
const MOST_COLUMNS: usize = i16::MAX as usize;

/// A result of which some rows were sent.
pub(super) struct RowSource {
    stream: SendableRecordBatchStream,
    encoder: RowEncoder,
    open: Option<OpenBatch>,
}

/// How sending ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    /// Rows that this call sent.
    pub(super) rows: u64,
    /// The limit was reached; there may be more.
    pub(super) suspended: bool,
}

impl RowSource {
    pub(super) fn description(&self) -> PgWireBackendMessage {
        PgWireBackendMessage::RowDescription(row_description(self.encoder.schema(), self.encoder.formats()))
    }
}

impl Connection {
    /// `formats`: codes of a Bind message.
    pub(super) fn source(&self, rows: Rows, formats: &[i16]) -> Result<RowSource> {
        let columns = rows.schema.fields().len();
        check_columns(columns)?;
        let formats = Format::expand(formats, columns, "column")?;
        let encoder = RowEncoder::new(rows.schema, formats, self.zone()?);
        Ok(RowSource { stream: rows.stream, encoder, open: None })
    }

    /// Sends rows until the result or the limit ends. `None`: no limit.
    pub(super) async fn send_rows(
        &mut self,
        source: &mut RowSource,
        limit: Option<u64>,
        watch: &Watch,
    ) -> Result<Sent, Failure> {
        let progress = self.session.progress();
        let mut sent = 0;
        loop {
            let left = limit.map_or(u64::MAX, |limit| limit - sent);
            if left == 0 {
                return Ok(Sent { rows: sent, suspended: true });
            }
            let Some(batch) = &mut source.open else {
                match watch.race(source.stream.next(), &mut self.inbound).await? {
                    None => return Ok(Sent { rows: sent, suspended: false }),
                    Some(batch) => {
                        let batch = batch.map_err(Error::from)?;
                        source.open = Some(source.encoder.open(&batch)?);
                    }
                }
                continue;
            };
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            let written = batch.write(&mut source.encoder, most, FLUSH_BYTES, self.outbound.buffer())?;
            if batch.is_empty() {
                source.open = None;
            }
            sent += written as u64;
            progress.rows.fetch_add(written as u64, Ordering::Relaxed);
            if self.outbound.is_full() {
                watch.race(self.outbound.flush(), &mut self.inbound).await??;
            }
        }
    }
}

/// Refuses what RowDescription can't describe.
pub(super) fn check_columns(columns: usize) -> Result<()> {
    if columns > MOST_COLUMNS {
        return Err(Error::new(
            Kind::TooComplex,
            format!("a result of {columns} columns is over the protocol's limit of {MOST_COLUMNS}"),
        ));
    }
    Ok(())
}
