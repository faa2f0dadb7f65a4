//! What a run keeps of what it measured.

use super::{Record, Settings};

/// The records of a run, thinned when there are too many.
pub(super) struct History {
    pub(super) records: Vec<Record>,
    first: u64,
    stride: u64,
    most: usize,
}

impl History {
    pub(super) fn new(settings: &Settings, first: u64) -> Self {
        Self {
            records: Vec::new(),
            first,
            stride: settings.stride,
            most: settings.max_records,
        }
    }

    pub(super) fn is_due(&self, iteration: u64) -> bool {
        iteration == self.first || iteration.is_multiple_of(self.stride)
    }

    pub(super) fn push(&mut self, record: Record) {
        if self.records.len() == self.most {
            self.stride = self.stride.saturating_mul(2);
            let (first, stride) = (self.first, self.stride);
            self.records
                .retain(|r| r.iteration == first || r.iteration.is_multiple_of(stride));
        }
        self.records.push(record);
    }
}
