//! Results: a stream under its client's labels, or rows that a command made itself.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use datafusion::physical_plan::memory::MemoryStream;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use futures::{Stream, StreamExt};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tycho_catalog::View;

use super::{Rows, canceled};
use crate::error::Result;

/// The schema of a plan under the client's labels.
pub(crate) fn labelled(schema: &Schema, labels: &[String]) -> SchemaRef {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .zip(labels)
        .map(|(field, label)| field.as_ref().clone().with_name(label.clone()))
        .collect();
    Arc::new(Schema::new(fields))
}

/// A running query's rows: relabelled, cancellable, and holding what it reads in place.
pub(crate) struct QueryStream {
    input: SendableRecordBatchStream,
    schema: SchemaRef,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Keeps the snapshot's lease as long as rows are read.
    _view: View,
    ended: bool,
}

impl QueryStream {
    pub(crate) fn rows(
        input: SendableRecordBatchStream,
        labels: &[String],
        view: View,
        cancel: CancellationToken,
    ) -> Rows {
        let schema = labelled(&input.schema(), labels);
        let input = on_its_own(input);
        let stream = QueryStream {
            input,
            schema: Arc::clone(&schema),
            cancelled: Box::pin(cancel.cancelled_owned()),
            _view: view,
            ended: false,
        };
        Rows { schema, stream: Box::pin(stream) }
    }
}

/// Batches that wait for a slow client, at most.
const WAITING_BATCHES: usize = 2;

/// Runs a query in a task of its own, so that whoever reads it can answer a cancel request while it computes.
fn on_its_own(mut input: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let mut builder = RecordBatchReceiverStream::builder(input.schema(), WAITING_BATCHES);
    let sender = builder.tx();
    builder.spawn(async move {
        while let Some(batch) = input.next().await {
            if sender.send(batch).await.is_err() {
                break;
            }
        }
        Ok(())
    });
    builder.build()
}

impl Stream for QueryStream {
    type Item = DataFusionResult<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        use std::future::Future;
        if self.ended {
            return Poll::Ready(None);
        }
        if self.cancelled.as_mut().poll(context).is_ready() {
            self.ended = true;
            return Poll::Ready(Some(Err(canceled().into())));
        }
        match self.input.as_mut().poll_next(context) {
            Poll::Ready(Some(Ok(batch))) => {
                let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
                let schema = Arc::clone(&self.schema);
                let relabelled = RecordBatch::try_new_with_options(schema, batch.columns().to_vec(), &options);
                Poll::Ready(Some(relabelled.map_err(DataFusionError::from)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.ended = true;
                Poll::Ready(Some(Err(error)))
            }
            other => other,
        }
    }
}

impl RecordBatchStream for QueryStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

impl Rows {
    /// Rows that are there already.
    pub(crate) fn from_batch(batch: RecordBatch) -> Result<Rows> {
        let schema = batch.schema();
        let stream = MemoryStream::try_new(vec![batch], Arc::clone(&schema), None)?;
        Ok(Rows { schema, stream: Box::pin(stream) })
    }

    /// Rows of text, one inner vector a row.
    pub(crate) fn from_text(columns: &[&str], rows: Vec<Vec<Option<String>>>) -> Result<Rows> {
        let fields: Vec<Field> = columns.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
        let arrays: Vec<ArrayRef> = (0..columns.len())
            .map(|i| {
                let values: StringArray = rows.iter().map(|row| row.get(i).and_then(|v| v.as_deref())).collect();
                Arc::new(values) as ArrayRef
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        Rows::from_batch(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)?)
    }
}
