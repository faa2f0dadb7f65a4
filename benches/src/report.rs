//! Rows in, JSON lines out.

use std::path::Path;
use std::time::Instant;

use serde::Deserialize;

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
    repeats: usize,
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

/// Prints one measurement.
pub(crate) fn emit(what: &str, tokens: usize, seconds: &[f64], load: f64) {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[sorted.len() / 2];
    let row = serde_json::json!({
        "measurement": what,
        "tokens": tokens,
        "seconds_median": median,
        "seconds_min": sorted[0],
        "seconds_max": sorted[sorted.len() - 1],
        "tokens_per_second": tokens as f64 / median,
        "load_seconds": load,
        "peak_rss_mib": peak_rss_mib(),
    });
    println!("{row}");
}

/// Peak resident memory of this process in MiB, where the system tells.
fn peak_rss_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}
