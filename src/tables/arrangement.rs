//! Rows in the order in which files want them: grouped by partition, and within a partition sorted.
//!
//! A comparison sort of everything by partition and sort columns would compare long keys `n log n` times. Instead rows are
//! numbered by partition as they arrive, distributed by counting, and only each partition's rows are sorted, by their
//! encoded keys. What does not fit into memory is spilled in this order, and the runs are merged.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::compute::{SortOptions, interleave_record_batch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::row::{RowConverter, Rows, SortField};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, SpillMetrics};
use datafusion::physical_plan::sorts::streaming_merge::{SortedSpillFile, StreamingMergeBuilder};
use datafusion::physical_plan::{SendableRecordBatchStream, SpillManager};

use crate::error::Result;

/// A run is not spilled before it holds so much, even when the pool is used up: else a pool that others fill would make one run
/// of every batch. (Small in tests, so that they spill.)
const MINIMUM_RUN_BYTES: usize = if cfg!(test) { 64 << 10 } else { 16 << 20 };
/// Rows of one batch that is handed on.
const CHUNK_ROWS: usize = 16_384;
/// What the order of a row costs beside the row: its group's number and its position.
const BYTES_A_POSITION: usize = 16;

/// What rows are ordered by: indexes of columns.
#[derive(Debug, Clone, Default)]
pub(super) struct RowOrder {
    pub partition: Vec<usize>,
    pub sort: Vec<(usize, SortOptions)>,
}

impl RowOrder {
    pub fn is_empty(&self) -> bool {
        self.partition.is_empty() && self.sort.is_empty()
    }

    /// Every column with its options; partition columns ascend, NULL first.
    fn columns(&self) -> Vec<(usize, SortOptions)> {
        let ascending = SortOptions { descending: false, nulls_first: true };
        self.partition.iter().map(|index| (*index, ascending)).chain(self.sort.iter().copied()).collect()
    }
}

/// Collects rows and gives them back in order. Memory is taken from the session's pool.
pub(super) struct Arranger {
    schema: SchemaRef,
    order: RowOrder,
    groups: Option<Groups>,
    sort_keys: Option<RowConverter>,
    held: Vec<Held>,
    held_rows: usize,
    reservation: MemoryReservation,
    /// Kept back so that runs can be merged when the pool is used up.
    merge_reservation: MemoryReservation,
    spill: SpillManager,
    runs: Vec<SortedSpillFile>,
    task: Arc<TaskContext>,
}

struct Held {
    batch: RecordBatch,
    /// Group of each row; empty where there are no partition columns.
    groups: Vec<u32>,
    sort_keys: Option<Rows>,
}

/// Numbers for the distinct keys of the partition columns.
struct Groups {
    converter: RowConverter,
    numbers: HashMap<Box<[u8]>, u32>,
}

impl Groups {
    fn number(&mut self, batch: &RecordBatch, columns: &[usize]) -> Result<Vec<u32>> {
        let arrays: Vec<_> = columns.iter().map(|index| Arc::clone(batch.column(*index))).collect();
        let keys = self.converter.convert_columns(&arrays)?;
        let mut numbers = Vec::with_capacity(batch.num_rows());
        let mut last: Option<(&[u8], u32)> = None;
        for row in 0..keys.num_rows() {
            let key = keys.row(row).data();
            let number = match last {
                Some((last, number)) if last == key => number,
                _ => match self.numbers.get(key) {
                    Some(number) => *number,
                    None => {
                        let number = self.numbers.len() as u32;
                        self.numbers.insert(key.into(), number);
                        number
                    }
                },
            };
            last = Some((key, number));
            numbers.push(number);
        }
        Ok(numbers)
    }

    /// The place of each group in the order of keys, by group number.
    fn ranks(&self) -> Vec<u32> {
        let mut sorted: Vec<_> = self.numbers.iter().collect();
        sorted.sort_unstable();
        let mut ranks = vec![0; sorted.len()];
        for (rank, (_, number)) in sorted.into_iter().enumerate() {
            ranks[*number as usize] = rank as u32;
        }
        ranks
    }
}

impl Arranger {
    pub fn new(schema: SchemaRef, order: RowOrder, task: Arc<TaskContext>) -> Result<Arranger> {
        let converter = |columns: Vec<(usize, SortOptions)>| -> Result<Option<RowConverter>> {
            if columns.is_empty() {
                return Ok(None);
            }
            let field = |(index, options): (usize, SortOptions)| {
                SortField::new_with_options(schema.field(index).data_type().clone(), options)
            };
            Ok(Some(RowConverter::new(columns.into_iter().map(field).collect())?))
        };
        let partition = RowOrder { partition: order.partition.clone(), sort: Vec::new() };
        let groups = converter(partition.columns())?.map(|converter| Groups { converter, numbers: HashMap::new() });
        let sort_keys = converter(order.sort.clone())?;
        let pool = task.memory_pool();
        let reservation = MemoryConsumer::new("rows to be written").with_can_spill(true).register(pool);
        let merge_reservation = MemoryConsumer::new("merge of rows to be written").register(pool);
        let kept_back = task.session_config().options().execution.sort_spill_reservation_bytes;
        // Without it a merge may still find memory then.
        let _ = merge_reservation.try_grow(kept_back);
        let spill_metrics = SpillMetrics::new(&ExecutionPlanMetricsSet::new(), 0);
        let spill = SpillManager::new(task.runtime_env(), spill_metrics, Arc::clone(&schema))
            .with_compression_type(task.session_config().spill_compression());
        Ok(Arranger {
            schema,
            order,
            groups,
            sort_keys,
            held: Vec::new(),
            held_rows: 0,
            reservation,
            merge_reservation,
            spill,
            runs: Vec::new(),
            task,
        })
    }

    pub fn push(&mut self, batch: RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let groups = match &mut self.groups {
            Some(groups) => groups.number(&batch, &self.order.partition)?,
            None => Vec::new(),
        };
        let sort_keys = match &self.sort_keys {
            Some(converter) => {
                let arrays: Vec<_> = self.order.sort.iter().map(|(i, _)| Arc::clone(batch.column(*i))).collect();
                Some(converter.convert_columns(&arrays)?)
            }
            None => None,
        };
        let cost =
            slice_bytes(&batch)? + sort_keys.as_ref().map_or(0, Rows::size) + batch.num_rows() * BYTES_A_POSITION;
        if self.reservation.try_grow(cost).is_err() {
            if self.reservation.size() >= MINIMUM_RUN_BYTES {
                self.spill_run()?;
            }
            self.reservation.grow(cost);
        }
        self.held_rows += batch.num_rows();
        self.held.push(Held { batch, groups, sort_keys });
        Ok(())
    }

    /// Gives every row, in order, in batches of some thousand rows, to `each`. Called on a thread that may block.
    pub fn finish(
        mut self,
        runtime: &tokio::runtime::Handle,
        mut each: impl FnMut(RecordBatch) -> Result<()>,
    ) -> Result<()> {
        if self.runs.is_empty() {
            return self.each_chunk(CHUNK_ROWS, &mut each);
        }
        self.spill_run()?;
        let mut merged = self.merge()?;
        while let Some(batch) = runtime.block_on(futures::StreamExt::next(&mut merged)) {
            each(batch?)?;
        }
        Ok(())
    }

    /// The positions (batch, row) of the rows that are held, in order.
    fn positions(&self) -> Vec<(u32, u32)> {
        let ranks = self.groups.as_ref().map_or_else(|| vec![0], Groups::ranks);
        let rank_of = |held: &Held, row: usize| held.groups.get(row).map_or(0, |group| ranks[*group as usize] as usize);
        let mut ends = vec![0_usize; ranks.len() + 1];
        for held in &self.held {
            for row in 0..held.batch.num_rows() {
                ends[rank_of(held, row) + 1] += 1;
            }
        }
        for rank in 1..ends.len() {
            ends[rank] += ends[rank - 1];
        }
        let starts = ends.clone();
        let mut positions = vec![(0_u32, 0_u32); self.held_rows];
        for (batch, held) in self.held.iter().enumerate() {
            for row in 0..held.batch.num_rows() {
                let next = &mut ends[rank_of(held, row)];
                positions[*next] = (batch as u32, row as u32);
                *next += 1;
            }
        }
        if self.sort_keys.is_some() {
            for rank in 0..ranks.len() {
                self.sort_group(&mut positions[starts[rank]..starts[rank + 1]]);
            }
        }
        positions
    }

    /// Sorts the rows of one partition. The first 16 bytes of each key are compared as one number; equal keys keep the order in
    /// which they came.
    fn sort_group(&self, positions: &mut [(u32, u32)]) {
        let key = |(batch, row): (u32, u32)| -> &[u8] {
            let keys = self.held[batch as usize].sort_keys.as_ref().expect("keys are made where there is a sort");
            keys.row(row as usize).data()
        };
        let mut keyed: Vec<(u128, (u32, u32))> =
            positions.iter().map(|position| (key_prefix(key(*position)), *position)).collect();
        keyed.sort_unstable_by(|(a, left), (b, right)| {
            a.cmp(b).then_with(|| key(*left).cmp(key(*right))).then_with(|| left.cmp(right))
        });
        for (place, (_, position)) in positions.iter_mut().zip(keyed) {
            *place = position;
        }
    }

    fn each_chunk(&self, rows: usize, each: &mut impl FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        let batches: Vec<&RecordBatch> = self.held.iter().map(|held| &held.batch).collect();
        let positions = self.positions();
        for chunk in positions.chunks(rows) {
            let indices: Vec<_> = chunk.iter().map(|(batch, row)| (*batch as usize, *row as usize)).collect();
            each(interleave_record_batch(&batches, &indices)?)?;
        }
        Ok(())
    }

    /// Writes what is held to a temporary file, in order, and forgets it.
    fn spill_run(&mut self) -> Result<()> {
        let mut file = self.spill.create_in_progress_file("rows to be written")?;
        let mut max_record_batch_memory = 0;
        // A merge holds a batch of each run.
        self.each_chunk(self.task.session_config().batch_size(), &mut |chunk| {
            max_record_batch_memory = max_record_batch_memory.max(file.append_batch(&chunk)?);
            Ok(())
        })?;
        if let Some(file) = file.finish()? {
            self.runs.push(SortedSpillFile { file, max_record_batch_memory });
        }
        self.held.clear();
        self.held_rows = 0;
        self.reservation.free();
        Ok(())
    }

    fn merge(&mut self) -> Result<SendableRecordBatchStream> {
        let schema = &self.schema;
        let expression = |(index, options): (usize, SortOptions)| {
            PhysicalSortExpr::new(Arc::new(Column::new(schema.field(index).name(), index)), options)
        };
        let ordering = LexOrdering::new(self.order.columns().into_iter().map(expression))
            .expect("rows are arranged only by at least one column");
        Ok(StreamingMergeBuilder::new()
            .with_sorted_spill_files(std::mem::take(&mut self.runs))
            .with_spill_manager(self.spill.clone())
            .with_schema(Arc::clone(&self.schema))
            .with_expressions(&ordering)
            .with_metrics(BaselineMetrics::new(&ExecutionPlanMetricsSet::new(), 0))
            .with_batch_size(self.task.session_config().batch_size())
            .with_reservation(self.merge_reservation.take())
            .build()?)
    }
}

/// Bytes of the rows themselves: batches may be slices that share their buffers.
pub(super) fn slice_bytes(batch: &RecordBatch) -> Result<usize> {
    let mut bytes = 0;
    for column in batch.columns() {
        bytes += column.to_data().get_slice_memory_size()?;
    }
    Ok(bytes)
}

/// The first 16 bytes as a number that orders as they do.
fn key_prefix(key: &[u8]) -> u128 {
    let mut prefix = [0; 16];
    let length = key.len().min(16);
    prefix[..length].copy_from_slice(&key[..length]);
    u128::from_be_bytes(prefix)
}
