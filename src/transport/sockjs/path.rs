//! From a path to the call of a SockJS client.

use super::Receiver;
use super::answers::{GREETING, INFO};
use crate::limits::SOCKJS_SESSION_LEN_MAX;
use crate::transport::Framing;
use crate::transport::service::{self, ServiceCall};

/// The call of a path after the base and its topic. Every path may end with one more slash.
#[must_use]
pub fn call(rest: &str) -> Option<ServiceCall> {
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let mut parts = rest.split('/').skip(1);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (None, ..) => Some(ServiceCall::Page(GREETING)),
        (Some("info"), None, ..) => Some(ServiceCall::Page(INFO)),
        (Some("websocket"), None, ..) => Some(ServiceCall::WebSocket(Framing::WebSocket)),
        (Some(server), Some(session), Some(transport), None) if is_name(server) && is_name(session) => {
            let receive = |receiver| {
                let receiver = service::Receiver::SockJs(receiver);
                ServiceCall::Receive { session: session.into(), receiver }
            };
            Some(match transport {
                "websocket" => ServiceCall::WebSocket(Framing::SockJs),
                "xhr" => receive(Receiver::Xhr),
                "xhr_streaming" => receive(Receiver::XhrStreaming),
                "eventsource" => receive(Receiver::EventSource),
                "xhr_send" => ServiceCall::Send { session: session.into() },
                _ => return None,
            })
        }
        _ => None,
    }
}

/// The name of a server or session: any characters but `.`, as in the path.
fn is_name(part: &str) -> bool {
    (1..=SOCKJS_SESSION_LEN_MAX).contains(&part.len()) && !part.contains('.')
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::transport::service::{Meaning, Service, find};

    fn found(path: &str) -> Option<(usize, Option<String>, ServiceCall)> {
        let services = [Service::sockjs("/sockjs", Meaning::Json), Service::sockjs("/feed", Meaning::Raw)];
        find(path, &services).map(|(place, topic, call)| (place, topic.map(Cow::into_owned), call))
    }

    #[test]
    fn paths_lead_to_calls() {
        let receive = |receiver| {
            let receiver = service::Receiver::SockJs(receiver);
            ServiceCall::Receive { session: "s".into(), receiver }
        };
        let cases = [
            ("/sockjs", ServiceCall::Page(GREETING)),
            ("/sockjs/", ServiceCall::Page(GREETING)),
            ("/sockjs/info", ServiceCall::Page(INFO)),
            ("/sockjs/info/", ServiceCall::Page(INFO)),
            ("/sockjs/websocket", ServiceCall::WebSocket(Framing::WebSocket)),
            ("/sockjs/000/a-b%20c/websocket", ServiceCall::WebSocket(Framing::SockJs)),
            ("/sockjs/0/s/xhr", receive(Receiver::Xhr)),
            ("/sockjs/0/s/xhr_streaming/", receive(Receiver::XhrStreaming)),
            ("/sockjs/0/s/eventsource", receive(Receiver::EventSource)),
            ("/sockjs/0/s/xhr_send", ServiceCall::Send { session: "s".into() }),
        ];
        for (path, call) in cases {
            assert_eq!(found(path), Some((0, None, call)), "{path}");
        }
        assert_eq!(found("/feed/px.A/info"), Some((1, Some("px.A".into()), ServiceCall::Page(INFO))));
        assert_eq!(found("/feed/p%C3%A4/"), Some((1, Some("pä".into()), ServiceCall::Page(GREETING))));
        for path in [
            "/",
            "/sock",
            "/sockjsx",
            "/sockjs//",
            "/sockjs/a",
            "/sockjs/a/b",
            "/sockjs/a/b/c",
            "/sockjs//s/xhr",
            "/sockjs/0//xhr",
            "/sockjs/0/s.t/xhr",
            "/sockjs/0.1/s/xhr",
            "/sockjs/0/s/xhr/more",
            "/sockjs/0/s/xhr//",
            "/sockjs/iframe.html",
            "/sockjs/0/s/jsonp",
            "/feed",
        ] {
            assert_eq!(found(path), None, "{path}");
        }
        let long = format!("/sockjs/0/{}/xhr", "s".repeat(SOCKJS_SESSION_LEN_MAX + 1));
        assert_eq!(found(&long), None);
    }
}
