//! What an oracle said of two players' responses to one prompt.

/// P(first's response i beats second's response j) for one prompt, by rows.
pub type Table = Vec<Vec<f64>>;

/// The mean of a table's entries; 1/2 of none.
pub(crate) fn mean(table: &Table) -> f64 {
    let entries = || table.iter().flatten();
    match entries().count() {
        0 => 0.5,
        count => entries().sum::<f64>() / count as f64,
    }
}

/// The same answers with the players exchanged.
pub(crate) fn complement(table: &Table) -> Table {
    let columns = table.first().map_or(0, Vec::len);
    let column = |j: usize| table.iter().map(|row| 1.0 - row[j]).collect();
    (0..columns).map(column).collect()
}
