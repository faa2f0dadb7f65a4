//! Rows in, JSON lines out.

use std::path::Path;
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};

/// A row of token ids; which are there depends on the measurement.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Row {
    pub(crate) prompt_token_ids: Vec<u32>,
    pub(crate) response_token_ids: Vec<u32>,
    pub(crate) chosen_token_ids: Vec<u32>,
    pub(crate) rejected_token_ids: Vec<u32>,
}

pub(crate) fn read_rows(path: &Path) -> Result<Vec<Row>, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let rows = text.lines().map(serde_json::from_str);
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Seconds of each repetition, after one that warms up.
pub(crate) fn timed<E>(
    repeats: u32,
    mut run: impl FnMut() -> Result<(), E>,
) -> Result<Vec<f64>, E> {
    run()?;
    (0..repeats)
        .map(|_| {
            let started = Instant::now();
            run().map(|()| started.elapsed().as_secs_f64())
        })
        .collect()
}

/// The middle one, the upper of two.
pub(crate) fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// Repetitions of the same work.
pub(crate) struct Timed {
    /// Of one repetition.
    pub(crate) tokens: usize,
    /// Of each, one at least.
    pub(crate) seconds: Vec<f64>,
}

impl Timed {
    /// Prints one measurement, with more fields, and this process's peak memory unless they have it.
    pub(crate) fn emit(self, what: &str, fields: Value) {
        let least = self.seconds.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.seconds.iter().copied().fold(0.0, f64::max);
        let repeats = self.seconds.len();
        let median = median(self.seconds);
        let mut row = json!({
            "measurement": what,
            "threads": rayon::current_num_threads(),
            "tokens": self.tokens,
            "repeats": repeats,
            "seconds_median": median,
            "seconds_min": least,
            "seconds_max": most,
            "tokens_per_second": self.tokens as f64 / median,
            "peak_rss_mib": peak_rss_mib(),
        });
        if let (Value::Object(row), Value::Object(fields)) = (&mut row, fields) {
            row.extend(fields);
        }
        println!("{row}");
    }
}

/// Peak resident memory of this process in MiB, where the system tells.
pub(crate) fn peak_rss_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}
