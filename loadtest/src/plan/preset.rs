//! The protocols of widespread servers.

use super::dialogue::{Dialogue, Publish, Step, Transport};
use super::template::Template;

/// A server whose words are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// fanwire's bare feed: subscribe and publish at /raw/TOPIC, echo at /echo
    Fanwire,
    /// fanwire's JSON dialect at /ws
    FanwireJson,
    /// The same, and reader n also follows own.n, a topic of its own
    FanwireOwn,
    /// A server in the style of uWebSockets' examples: `sub TOPIC` and `pub TOPIC PAYLOAD` as text
    Uws,
    /// Nchan: subscribe at /sub/TOPIC, publish by POST to /pub/TOPIC
    Nchan,
    /// nats-server over WebSocket: its text protocol in binary messages
    Nats,
    /// Centrifugo's JSON protocol at /connection/websocket, anonymous, with publishing allowed to clients
    Centrifugo,
    /// Socket.IO 4 with the events `subscribe` (topic, acknowledged) and `publish` (topic, payload)
    Socketio,
}

impl Preset {
    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fanwire => "fanwire",
            Self::FanwireJson => "fanwire-json",
            Self::FanwireOwn => "fanwire-own",
            Self::Uws => "uws",
            Self::Nchan => "nchan",
            Self::Nats => "nats",
            Self::Centrifugo => "centrifugo",
            Self::Socketio => "socketio",
        }
    }

    /// The messages to it.
    #[must_use]
    pub fn dialogue(self) -> Dialogue {
        match self {
            // Readers and publishers share one path, so that a server that takes any path for a topic joins them.
            Self::Fanwire => {
                dialogue("/raw/{topic}?last=0", &[], &[], over_websocket("/raw/{topic}?last=0", "{payload}"))
            }
            Self::FanwireJson => Dialogue {
                subprotocol: Some("fanwire.json.v1".to_owned()),
                ..dialogue(
                    "/ws",
                    &[],
                    &[(r#"{"op":"sub","topics":["{topic}"],"last":false,"id":1}"#, r#""op":"ok""#)],
                    over_websocket("/ws", r#"{"op":"pub","topic":"{topic}","data":"{payload}"}"#),
                )
            },
            Self::FanwireOwn => {
                let subscribe = r#"{"op":"sub","topics":["{topic}","own.{n}"],"last":false,"id":1}"#;
                let subscribe = Step { send: template(subscribe), until: r#""op":"ok""#.to_owned() };
                Dialogue { subscribe: vec![subscribe], ..Self::FanwireJson.dialogue() }
            }
            Self::Uws => dialogue("/", &[], &[("sub {topic}", "")], over_websocket("/", "pub {topic} {payload}")),
            Self::Nchan => dialogue(
                "/sub/{topic}",
                &[],
                &[],
                Publish::Http { path: template("/pub/{topic}"), body: template("{payload}") },
            ),
            Self::Nats => Dialogue {
                is_binary: true,
                answers: vec![("PING\r\n".to_owned(), "PONG\r\n".to_owned())],
                ..dialogue(
                    "/",
                    &[("CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":false}\r\nPING\r\n", "PONG")],
                    &[("SUB {topic} 1\r\nPING\r\n", "PONG")],
                    over_websocket("/", "PUB {topic} {len}\r\n{payload}\r\n"),
                )
            },
            Self::Centrifugo => Dialogue {
                answers: vec![("{}".to_owned(), "{}".to_owned())],
                ..dialogue(
                    "/connection/websocket",
                    &[(r#"{"id":1,"connect":{}}"#, r#""id":1"#)],
                    &[(r#"{"id":2,"subscribe":{"channel":"{topic}"}}"#, r#""id":2"#)],
                    over_websocket(
                        "/connection/websocket",
                        r#"{"id":3,"publish":{"channel":"{topic}","data":"{payload}"}}"#,
                    ),
                )
            },
            Self::Socketio => Dialogue {
                answers: vec![("2".to_owned(), "3".to_owned())],
                ..dialogue(
                    "/socket.io/?EIO=4&transport=websocket",
                    &[("40", "40{")],
                    &[(r#"420["subscribe","{topic}"]"#, "430")],
                    over_websocket("/socket.io/?EIO=4&transport=websocket", r#"42["publish","{topic}","{payload}"]"#),
                )
            },
        }
    }
}

/// The topic that reader `{n}` alone follows, with [`Preset::FanwireOwn`].
#[must_use]
pub fn own_topic() -> Template {
    template("own.{n}")
}

fn dialogue(path: &str, opening: &[(&str, &str)], subscribe: &[(&str, &str)], publish: Publish) -> Dialogue {
    let steps = |steps: &[(&str, &str)]| {
        steps.iter().map(|&(send, until)| Step { send: template(send), until: until.to_owned() }).collect()
    };
    Dialogue {
        transport: Transport::WebSocket,
        path: template(path),
        subprotocol: None,
        deflate: None,
        is_binary: false,
        opening: steps(opening),
        subscribe: steps(subscribe),
        publish,
        answers: Vec::new(),
        echo_path: template("/echo"),
    }
}

fn over_websocket(path: &str, message: &str) -> Publish {
    Publish::WebSocket { path: template(path), message: template(message) }
}

fn template(text: &str) -> Template {
    text.parse().expect("a preset's holes are known, each is parsed in a test")
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::plan::{Server, WorkerPlan};

    /// A plan to change.
    pub(crate) fn worker_plan() -> WorkerPlan {
        WorkerPlan {
            index: 0,
            run: 1,
            seed: 1,
            servers: vec![Server { addr: ([127, 0, 0, 1], 1).into(), host: "127.0.0.1:1".to_owned() }],
            trust: None,
            dialogue: Preset::Nats.dialogue(),
            is_echo: false,
            topics: 1,
            topic: template("load.{n}"),
            own_topic: own_topic(),
            payload_len: 128,
            readers: 0..1,
            publishers: 0..1,
            publishers_count: 1,
            sources: vec![[127, 0, 0, 2].into()],
            concurrency: 1,
            handshake_timeout_ms: 1,
            stall_timeout_ms: 1,
        }
    }

    #[test]
    fn every_preset_subscribes_to_a_topic_and_publishes_a_payload() {
        for &preset in Preset::value_variants() {
            let dialogue = preset.dialogue();
            let subscribes =
                dialogue.path.names_topic() || dialogue.subscribe.iter().any(|step| step.send.names_topic());
            assert!(subscribes, "{preset:?}");
            let (Publish::WebSocket { path, message: body } | Publish::Http { path, body }) = &dialogue.publish;
            assert!(body.has_payload() && (path.names_topic() || body.names_topic()), "{preset:?}");
            assert_eq!(preset.to_possible_value().expect("none is hidden").get_name(), preset.name());
        }
    }

    #[test]
    fn a_plan_survives_its_way_to_a_worker() {
        for &preset in Preset::value_variants() {
            let plan = WorkerPlan { dialogue: preset.dialogue(), ..worker_plan() };
            let line = serde_json::to_string(&plan).expect("it is data");
            assert!(!line.contains('\n'));
            assert_eq!(serde_json::from_str::<WorkerPlan>(&line).expect("it was written by us"), plan);
        }
    }
}
