//! The cases: the scenarios that are compared, and the client's arguments for each.

use super::report::ClientReport;
use crate::floor::Mode;

/// A scenario in one regime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Case {
    /// Idle connections: bytes each.
    Hold,
    /// One message per reader per turn.
    Fanout,
    /// 32 messages per reader per turn.
    #[value(name = "fanout-32")]
    Fanout32,
    /// One message in flight on each of some connections.
    Echo,
    /// Opening handshakes.
    Connect,
}

/// How much of it.
#[derive(Clone, Debug)]
pub(super) struct Size {
    pub(super) idle: u32,
    pub(super) readers: u32,
    pub(super) echoes: u32,
    pub(super) payload_len: u32,
    pub(super) duration: String,
}

/// A figure of a case: what it is called, its unit, and where it stands in the client's report.
pub(super) struct Measure {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    /// Whether a ratio to the floor's says something. The floor keeps next to nothing, so that user memory does not; and
    /// some figures only say under which conditions the others were measured.
    pub(super) is_divided: bool,
    pub(super) of: fn(&ClientReport) -> Option<f64>,
}

impl Case {
    /// All of them, in the order of the tables.
    pub(super) const ALL: [Self; 5] = [Self::Hold, Self::Fanout, Self::Fanout32, Self::Echo, Self::Connect];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Fanout => "fanout",
            Self::Fanout32 => "fanout-32",
            Self::Echo => "echo",
            Self::Connect => "connect",
        }
    }

    /// The floor under it.
    pub(super) fn floor_mode(self) -> Mode {
        match self {
            Self::Hold | Self::Connect => Mode::Hold,
            Self::Fanout => Mode::Fanout,
            Self::Fanout32 => Mode::Batch,
            Self::Echo => Mode::Echo,
        }
    }

    /// The client's arguments, without the server's.
    pub(super) fn client_args(self, size: &Size) -> Vec<String> {
        let number = |number: u32| number.to_string();
        let mut args: Vec<(&str, String)> = Vec::new();
        let scenario = match self {
            Self::Hold => {
                args.push(("--connections", number(size.idle)));
                "hold"
            }
            Self::Fanout | Self::Fanout32 => {
                let window = if self == Self::Fanout { 1 } else { 32 };
                args.extend([("--connections", number(size.readers)), ("--window", number(window))]);
                "fanout"
            }
            Self::Echo => {
                args.extend([("--connections", number(size.echoes)), ("--depth", number(1))]);
                "echo"
            }
            Self::Connect => "connect",
        };
        if matches!(self, Self::Fanout | Self::Fanout32 | Self::Echo) {
            args.push(("--size", number(size.payload_len)));
        }
        args.push(("--duration", size.duration.clone()));
        let args = args.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
        std::iter::once(scenario.to_owned()).chain(args).collect()
    }

    /// Its figures; the first is the headline, which the chart shows. Less is better where a ratio is taken.
    pub(super) fn measures(self) -> &'static [Measure] {
        match self {
            Self::Hold => &[
                Measure {
                    name: "user memory",
                    unit: "B/connection",
                    is_divided: false,
                    of: |report| report.bytes_per_connection_user,
                },
                Measure {
                    name: "kernel memory",
                    unit: "B/connection",
                    is_divided: true,
                    of: |report| report.bytes_per_connection_kernel,
                },
                Measure {
                    name: "both",
                    unit: "B/connection",
                    is_divided: true,
                    of: |report| Some(report.bytes_per_connection_user? + report.bytes_per_connection_kernel?),
                },
            ],
            Self::Fanout | Self::Fanout32 => &[
                CPU_PER_DELIVERY,
                Measure { name: "p50", unit: "us", is_divided: true, of: |report| report.p50_us },
                Measure { name: "p99", unit: "us", is_divided: true, of: |report| report.p99_us },
                Measure {
                    name: "per turn",
                    unit: "messages",
                    is_divided: false,
                    of: |report| report.regime_messages_per_turn,
                },
                Measure { name: "reach", unit: "", is_divided: false, of: |report| report.reach },
            ],
            Self::Echo => &[
                CPU_PER_DELIVERY,
                Measure { name: "p50", unit: "us", is_divided: true, of: |report| report.p50_us },
                Measure { name: "p99", unit: "us", is_divided: true, of: |report| report.p99_us },
            ],
            Self::Connect => &[Measure {
                name: "server CPU",
                unit: "us/handshake",
                is_divided: true,
                of: |report| Some(report.server_cpu_ns_per_handshake? / 1000.0),
            }],
        }
    }
}

const CPU_PER_DELIVERY: Measure = Measure {
    name: "server CPU",
    unit: "us/delivery",
    is_divided: true,
    of: |report| Some(report.server_cpu_ns_per_delivery? / 1000.0),
};

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn the_client_is_called_as_its_readme_says() {
        let size = Size { idle: 10_000, readers: 1000, echoes: 100, payload_len: 128, duration: "3s".to_owned() };
        let lines: Vec<_> = Case::ALL.iter().map(|case| case.client_args(&size).join(" ")).collect();
        assert_eq!(
            lines,
            [
                "hold --connections 10000 --duration 3s",
                "fanout --connections 1000 --window 1 --size 128 --duration 3s",
                "fanout --connections 1000 --window 32 --size 128 --duration 3s",
                "echo --connections 100 --depth 1 --size 128 --duration 3s",
                "connect --duration 3s",
            ]
        );
    }

    #[test]
    fn every_case_is_on_the_command_line_under_its_own_name() {
        assert_eq!(Case::value_variants(), Case::ALL);
        for case in Case::ALL {
            assert_eq!(case.to_possible_value().expect("none is hidden").get_name(), case.name());
        }
    }
}
