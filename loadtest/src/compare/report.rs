//! The fields of the client's JSON report that are compared. `loadtest/README.md` says what each means.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One run of the client. What a scenario cannot know is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ClientReport {
    pub(super) scenario: String,
    pub(super) server_cpu_ns_per_delivery: Option<f64>,
    pub(super) server_cpu_ns_per_handshake: Option<f64>,
    pub(super) p50_us: Option<f64>,
    pub(super) p99_us: Option<f64>,
    pub(super) deliveries: Option<f64>,
    pub(super) reach: Option<f64>,
    pub(super) bytes_per_connection_user: Option<f64>,
    pub(super) bytes_per_connection_kernel: Option<f64>,
    pub(super) regime_messages_per_turn: Option<f64>,
    pub(super) client_cpu_share: Option<f64>,
    pub(super) errors: BTreeMap<String, f64>,
}

impl ClientReport {
    /// Reads what the client printed.
    ///
    /// # Errors
    /// If it is no such report, in one line.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let report: Self = serde_json::from_str(text).map_err(|error| format!("no report of the client: {error}"))?;
        if report.scenario.is_empty() {
            Err("no report of the client: it names no scenario".to_owned())
        } else {
            Ok(report)
        }
    }

    /// Errors of all kinds.
    pub(super) fn error_count(&self) -> f64 {
        self.errors.values().sum()
    }

    /// Why its figures are not to be trusted.
    pub(super) fn doubt(&self) -> Option<String> {
        let errors = self.error_count();
        if errors > 0.0 {
            return Some(format!("{errors} errors"));
        }
        let share = self.client_cpu_share.filter(|share| *share > CLIENT_CPU_SHARE_MAX)?;
        Some(format!("the client used {:.0} % of its core", share * 100.0))
    }
}

/// Past this part of a core the client is what was measured.
const CLIENT_CPU_SHARE_MAX: f64 = 0.7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_whatever_else_stands_in_it() {
        let report = ClientReport::parse(
            r#"{"scenario":"fanout","server_cpu_ns_per_delivery":4100.5,"p50_us":90,"p99_us":null,"deliveries":1000000,
                "reach":1.0,"client_cpu_share":0.5,"errors":{"reset":0},"connections":1000,"latency":{"p999_us":1}}"#,
        )
        .expect("a report");
        assert_eq!(report.server_cpu_ns_per_delivery, Some(4100.5));
        assert_eq!((report.p50_us, report.p99_us, report.server_cpu_ns_per_handshake), (Some(90.0), None, None));
        assert_eq!(report.doubt(), None);
    }

    #[test]
    fn errors_and_a_busy_client_cast_doubt() {
        let report = ClientReport::parse(r#"{"scenario":"echo","errors":{"refused":2,"reset":1}}"#).expect("a report");
        assert_eq!(report.doubt().as_deref(), Some("3 errors"));
        let report = ClientReport::parse(r#"{"scenario":"echo","client_cpu_share":0.934}"#).expect("a report");
        assert_eq!(report.doubt().as_deref(), Some("the client used 93 % of its core"));
    }

    #[test]
    fn what_is_no_report_is_refused_in_one_line() {
        for text in ["", "{}", "[1]", "{\"scenario\":1}", "connected 10\n{\"scenario\":\"hold\"}"] {
            let error = ClientReport::parse(text).expect_err("no report");
            assert!(error.starts_with("no report of the client") && error.lines().count() == 1, "{error}");
        }
    }
}
