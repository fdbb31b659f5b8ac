//! The formats that metrics are written in.

/// A format that scrapers read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetricsFormat {
    /// OpenMetrics 1.0.
    #[default]
    OpenMetrics,
    /// The text format 0.0.4 of Prometheus, for scrapers that know nothing newer.
    Prometheus,
}

impl MetricsFormat {
    /// The value of `Content-Type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Metrics in the older format: no units, no end mark, and a counter has the name of its samples.
pub(super) fn to_prometheus(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut help = None;
    for line in openmetrics.lines() {
        if let Some(named) = line.strip_prefix("# HELP ") {
            help = named.split_once(' ').map(|(_, help)| help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|typed| typed.split_once(' ')) {
            let suffix = if kind == "counter" { "_total" } else { "" };
            let kind = if kind == "unknown" { "untyped" } else { kind };
            if let Some(help) = help.take() {
                text.push_str(&format!("# HELP {name}{suffix} {help}\n"));
            }
            text.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_format_names_counters_as_their_samples_and_knows_no_units() {
        let openmetrics = "\
# HELP k_requests Answered requests.
# TYPE k_requests counter
k_requests_total{route=\"/a b\"} 3
# HELP k_wait_seconds Time.
# TYPE k_wait_seconds histogram
# UNIT k_wait_seconds seconds
k_wait_seconds_sum 0.5
k_wait_seconds_bucket{le=\"+Inf\"} 1
# HELP k_keys Keys.
# TYPE k_keys gauge
k_keys 7
# EOF
";
        let prometheus = "\
# HELP k_requests_total Answered requests.
# TYPE k_requests_total counter
k_requests_total{route=\"/a b\"} 3
# HELP k_wait_seconds Time.
# TYPE k_wait_seconds histogram
k_wait_seconds_sum 0.5
k_wait_seconds_bucket{le=\"+Inf\"} 1
# HELP k_keys Keys.
# TYPE k_keys gauge
k_keys 7
";
        assert_eq!(to_prometheus(openmetrics), prometheus);
    }
}
