//! The text that Prometheus reads.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::process::{OfProcess, OfProgram};
use super::{MemoryClass, ProcessMetrics, ShardMetrics, TurnTimes};
use crate::close::CloseReason;

/// The metrics of the process, the limits in effect by their keys, and the metrics of all shards as OpenMetrics text, the
/// latter with a `shard` label.
#[must_use]
pub fn render(process: &ProcessMetrics, limits: &[(&'static str, f64)], shards: &[ShardMetrics]) -> String {
    let mut ours = Registry::with_prefix("fanwire");
    ours.register_collector(Box::new(OfProgram { process: process.clone(), limits: limits.to_vec() }));
    ours.register_collector(Box::new(Shards(shards.to_vec())));
    let mut common = Registry::default();
    if let Some(usage) = process.usage {
        common.register_collector(Box::new(OfProcess(usage())));
    }
    let mut text = String::new();
    let written = encode_registry(&mut text, &ours)
        .and_then(|()| encode_registry(&mut text, &common))
        .and_then(|()| encode_eof(&mut text));
    written.expect("a string takes all that is written");
    text
}

#[derive(Debug)]
struct Shards(Vec<ShardMetrics>);

/// One family: its name, what it means, and its value in one shard.
type Row = (&'static str, &'static str, fn(&ShardMetrics) -> u64);

const COUNTERS: [Row; 21] = [
    ("accepted", "Connections accepted", |m| m.accepted),
    ("refused", "Connections refused at the limit of connections", |m| m.refused),
    ("requests", "HTTP requests answered, upgrades included", |m| m.requests),
    ("handshakes", "Opening handshakes completed", |m| m.handshakes),
    ("messages_received", "Messages received on WebSockets", |m| m.messages_received),
    ("publications", "Publications numbered by their home shard", |m| m.publications),
    ("duplicates", "Publications that came again with their message id and were not said again", |m| m.duplicates),
    ("deliveries", "Messages handed to readers", |m| m.deliveries),
    ("skipped", "Publications that readers behind in mode latest or drop_oldest were not sent", |m| m.skipped),
    ("tls_handshakes_full", "TLS handshakes that made a new session", |m| m.tls_full),
    ("tls_handshakes_resumed", "TLS handshakes that went on from an earlier session", |m| m.tls_resumed),
    ("tls_failed", "TLS handshakes and sessions that failed", |m| m.tls_failed),
    ("tls_alerts", "TLS sessions that the peer ended by an alert", |m| m.tls_alerts),
    ("tls_reloads", "Certificates loaded while running", |m| m.tls_reloads),
    ("tls_reload_failures", "Certificates that could not be loaded while running", |m| m.tls_reload_failures),
    ("compression_saved_bytes", "Bytes by which compression made frames to readers shorter", |m| {
        m.compression_saved_len
    }),
    ("snapshots", "Snapshots written, told by the first shard", |m| m.snapshots),
    ("snapshot_errors", "Snapshots that could not be written, told by the first shard", |m| m.snapshot_errors),
    ("turns_spent", "Turns whose budget ran out, so that something had to wait for the next", |m| m.turns_spent),
    ("received_bytes", "Bytes received", |m| m.received_len),
    ("sent_bytes", "Bytes that the kernel took", |m| m.sent_len),
];

const GAUGES: [Row; 15] = [
    ("topics", "Topics that have their home in the shard", |m| m.topics),
    ("patterns", "Patterns that anybody reads, known to every shard", |m| m.patterns),
    ("subscriptions", "Subscriptions of live connections", |m| m.subscriptions),
    ("retained_bytes", "Bytes that last values and histories take", |m| m.retained_len),
    ("outbox_bytes", "Bytes that wait for readers", |m| m.outbox_len),
    ("compression_streams", "Shared compression streams, one a topic and dialect", |m| m.compression_streams),
    ("lag_bytes", "Payload bytes kept for readers behind in mode latest or drop_oldest", |m| m.lag_len),
    ("tls_certificate_expiry_seconds", "When the first certificate expires, since 1970", |m| m.tls_expires_s),
    ("message_ids", "Message ids remembered", |m| m.message_ids),
    ("snapshot_age_seconds", "Time since the last snapshot or the start, told by the first shard", |m| {
        m.snapshot_age_s
    }),
    ("blocks_in_use", "Pooled blocks that hold unfinished messages and requests", |m| m.blocks_in_use),
    ("mailbox_depth", "Mails between shards that wait", |m| m.mailbox_depth),
    ("turn_longest_microseconds", "The longest turn since the start", |m| m.turn_longest_us),
    ("turn_charge_max", "The most that a turn has cost, of a budget of 10000000", |m| m.turn_charge_max),
    ("item_charge_max", "The most that one receive, mail or step of a turn has cost", |m| m.item_charge_max),
];

impl Collector for Shards {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, value) in COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (shard, metrics) in self.numbered() {
                ConstCounter::new(value(metrics)).encode(family.encode_family(&[("shard", shard)])?)?;
            }
        }
        for (name, help, value) in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (shard, metrics) in self.numbered() {
                ConstGauge::new(value(metrics)).encode(family.encode_family(&[("shard", shard)])?)?;
            }
        }
        let mut family = encoder.encode_descriptor("connections", "Live connections", None, MetricType::Gauge)?;
        for (shard, metrics) in self.numbered() {
            let values = [
                ("http", metrics.http_connections - metrics.poll_connections),
                ("websocket", metrics.websocket_connections),
                ("sse", metrics.event_connections),
                ("stream", metrics.line_connections),
                ("poll", metrics.poll_connections),
            ];
            for (transport, value) in values {
                let labels = [("shard", shard.as_str()), ("transport", transport)];
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        let mut family = encoder.encode_descriptor("memory_bytes", "Bytes held, by class", None, MetricType::Gauge)?;
        for (shard, metrics) in self.numbered() {
            for class in MemoryClass::ALL {
                let labels = [("shard", shard.as_str()), ("class", class.label())];
                ConstGauge::new(metrics.memory[class as usize]).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "Times that something was let go because of a limit of memory";
        let mut family = encoder.encode_descriptor("shed", help, None, MetricType::Counter)?;
        for (shard, metrics) in self.numbered() {
            // Last values and message ids have bounds of their own.
            for class in [MemoryClass::History, MemoryClass::Outboxes, MemoryClass::Lag, MemoryClass::Reassembly] {
                let labels = [("shard", shard.as_str()), ("class", class.label()), ("limit", "memory_len_max")];
                ConstCounter::new(metrics.shed[class as usize]).encode(family.encode_family(&labels)?)?;
            }
            let retained =
                [(MemoryClass::History, metrics.shed_histories), (MemoryClass::LastValues, metrics.shed_last_values)];
            for (class, count) in retained {
                let labels = [("shard", shard.as_str()), ("class", class.label()), ("limit", "retained_len_max")];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        let mut family = encoder.encode_descriptor("closes", "Connections ended", None, MetricType::Counter)?;
        for (shard, metrics) in self.numbered() {
            for reason in CloseReason::ALL {
                let row = reason.row();
                let labels = [("shard", shard.as_str()), ("reason", row.label), ("blame", row.blame.label())];
                ConstCounter::new(metrics.closes[reason.index()]).encode(family.encode_family(&labels)?)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "turn_seconds",
            "How long turns of the loop took, receiving included",
            None,
            MetricType::Histogram,
        )?;
        for (shard, metrics) in self.numbered() {
            metrics.turns.encode(family.encode_family(&[("shard", shard)])?)?;
        }
        Ok(())
    }
}

impl Shards {
    fn numbered(&self) -> impl Iterator<Item = (String, &ShardMetrics)> {
        self.0.iter().enumerate().map(|(shard, metrics)| (shard.to_string(), metrics))
    }
}

impl EncodeMetric for TurnTimes {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        encoder.encode_histogram::<NoLabelSet>(self.sum_seconds(), self.count(), &self.buckets(), None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::ProcessUsage;

    #[test]
    fn every_family_is_told_for_every_shard() {
        let mut first = ShardMetrics { deliveries: 7, http_connections: 2, ..ShardMetrics::default() };
        first.count_close(CloseReason::SlowReader);
        first.turns.record(20_000);
        first.turns.record(u64::MAX / 2);
        first.shed_last_values = 3;
        let usage = || ProcessUsage { threads: 5, ..ProcessUsage::default() };
        let limits = [("message_len_max", 1024.0), ("ping_interval", 2.5)];
        let process = ProcessMetrics { version: "1.2.3", driver: "epoll", usage: Some(usage) };
        let text = render(&process, &limits, &[first, ShardMetrics::default()]);
        assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1, "{text}");
        for line in [
            "fanwire_build_info{version=\"1.2.3\",driver=\"epoll\"} 1",
            "fanwire_limit{limit=\"message_len_max\"} 1024.0",
            "fanwire_limit{limit=\"ping_interval\"} 2.5",
            "process_cpu_seconds_total 0.0",
            "process_threads 5.0",
            "fanwire_shed_total{shard=\"0\",class=\"last_values\",limit=\"retained_len_max\"} 3",
            "fanwire_deliveries_total{shard=\"0\"} 7",
            "fanwire_deliveries_total{shard=\"1\"} 0",
            "fanwire_connections{shard=\"0\",transport=\"http\"} 2",
            "fanwire_closes_total{shard=\"0\",reason=\"slow_reader\",blame=\"peer_too_slow\"} 1",
            "fanwire_turn_seconds_bucket{le=\"0.000025\",shard=\"0\"} 1",
            "fanwire_turn_seconds_bucket{le=\"+Inf\",shard=\"0\"} 2",
            "# TYPE fanwire_deliveries counter",
            "# EOF",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is missing in\n{text}");
        }
    }
}
