//! Metrics of the process as a whole.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// The values that do not change while the process lives, and a function for the others.
#[derive(Clone, Debug, Default)]
pub struct ProcessMetrics {
    /// The program's version.
    pub version: &'static str,
    /// The driver of the shards.
    pub driver: &'static str,
    /// Reads what the process uses; `None` leaves these families out.
    pub usage: Option<fn() -> ProcessUsage>,
}

/// The resources that a process uses now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessUsage {
    /// Time on a core, in seconds.
    pub cpu_s: f64,
    /// When it began, in seconds since 1970.
    pub start_time_s: f64,
    /// Bytes in memory.
    pub resident_len: u64,
    /// Bytes of address space.
    pub virtual_len: u64,
    pub threads: u64,
    /// Open descriptors; `None` where they would have to be counted one by one.
    pub open_files: Option<u64>,
    /// The limit of open descriptors.
    pub open_files_max: u64,
}

/// Families whose names begin with `fanwire`.
#[derive(Debug)]
pub(super) struct OfProgram {
    pub process: ProcessMetrics,
    /// The limits in effect by their keys, in base units.
    pub limits: Vec<(&'static str, f64)>,
}

/// Families whose names begin with `process`, as the Prometheus client libraries have them.
#[derive(Debug)]
pub(super) struct OfProcess(pub ProcessUsage);

impl Collector for OfProgram {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "The program that runs; always 1";
        let mut family = encoder.encode_descriptor("build_info", help, None, MetricType::Gauge)?;
        let labels = [("version", self.process.version), ("driver", self.process.driver)];
        ConstGauge::new(1_u64).encode(family.encode_family(&labels)?)?;
        let help = "Limits in effect by the keys of the configuration, in base units; connections_max is also what the \
                    open files allow";
        let mut family = encoder.encode_descriptor("limit", help, None, MetricType::Gauge)?;
        for (key, value) in &self.limits {
            ConstGauge::new(*value).encode(family.encode_family(&[("limit", *key)])?)?;
        }
        Ok(())
    }
}

impl Collector for OfProcess {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let usage = &self.0;
        let help = "Time on a core, in seconds";
        let family = encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
        ConstCounter::new(usage.cpu_s).encode(family)?;
        let gauges = [
            ("process_start_time_seconds", "When the process began, since 1970", Some(usage.start_time_s)),
            ("process_resident_memory_bytes", "Bytes in memory", Some(usage.resident_len as f64)),
            ("process_virtual_memory_bytes", "Bytes of address space", Some(usage.virtual_len as f64)),
            ("process_threads", "Threads", Some(usage.threads as f64)),
            ("process_open_fds", "Open descriptors", usage.open_files.map(|files| files as f64)),
            ("process_max_fds", "Descriptors that may be open", Some(usage.open_files_max as f64)),
        ];
        for (name, help, value) in gauges {
            let Some(value) = value else { continue };
            let family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(family)?;
        }
        Ok(())
    }
}
