//! Quantiles and tables.

use std::time::Duration;

/// The time that a share of all lies at or below; nothing for no times.
pub fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let rank = (times.len() as f64 * share).ceil() as usize;
    times.get(rank.clamp(1, times.len().max(1)) - 1).copied().unwrap_or_default()
}

/// Milliseconds, for a table.
pub fn millis(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}

/// Prints rows below their head, each column as wide as it must be.
pub fn table(head: &[&str], rows: &[Vec<String>]) {
    let width =
        |column: usize| rows.iter().map(|row| row[column].len()).chain([head[column].len()]).max().unwrap_or_default();
    let line = |cells: Vec<&str>| {
        let cells = cells.iter().enumerate().map(|(column, cell)| format!("{cell:>width$}", width = width(column)));
        println!("{}", cells.collect::<Vec<_>>().join("  "));
    };
    line(head.to_vec());
    rows.iter().for_each(|row| line(row.iter().map(String::as_str).collect()));
}
