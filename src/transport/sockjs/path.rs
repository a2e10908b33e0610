//! From a path to what a client of SockJS asks for.

use std::borrow::Cow;

use super::{Receiver, SockJs, SockJsDialect};
use crate::limits::SOCKJS_SESSION_LEN_MAX;
use crate::wire::http1::percent_decode;

/// What a request asks of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SockJsCall {
    /// `BASE`: whether there is anything.
    Greeting,
    /// `BASE/info`: what the client may use.
    Info,
    /// `BASE/SERVER/SESSION/websocket`.
    WebSocket,
    /// `BASE/websocket`: without frames of SockJS.
    RawWebSocket,
    /// Wait for what the session is told.
    Receive {
        /// The name of the session.
        session: Box<str>,
        /// How.
        receiver: Receiver,
    },
    /// `xhr_send`: messages for the session.
    Send {
        /// The name of the session.
        session: Box<str>,
    },
}

impl SockJsCall {
    /// The methods that work.
    #[must_use]
    pub fn methods(&self) -> &'static str {
        match self {
            Self::Receive { receiver: Receiver::Xhr | Receiver::XhrStreaming, .. } | Self::Send { .. } => "POST",
            _ => "GET, HEAD",
        }
    }
}

/// What a path asks for: the service by its place, the topic behind its base where its dialect has one, and the call.
/// `None` if no service has such a path.
#[must_use]
pub fn find<'a>(path: &'a str, services: &[SockJs]) -> Option<(usize, Option<Cow<'a, str>>, SockJsCall)> {
    services.iter().enumerate().find_map(|(place, service)| {
        let rest = path.strip_prefix(&*service.base)?;
        if !rest.is_empty() && !rest.starts_with('/') {
            return None;
        }
        if service.dialect != SockJsDialect::Raw {
            return Some((place, None, call(rest)?));
        }
        let (topic, rest) = rest.strip_prefix('/').map(|rest| rest.split_at(rest.find('/').unwrap_or(rest.len())))?;
        Some((place, Some(percent_decode(topic).ok()?), call(rest)?))
    })
}

/// What stands behind the base and its topic. Every path may end with one slash more.
fn call(rest: &str) -> Option<SockJsCall> {
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let mut parts = rest.split('/').skip(1);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (None, ..) => Some(SockJsCall::Greeting),
        (Some("info"), None, ..) => Some(SockJsCall::Info),
        (Some("websocket"), None, ..) => Some(SockJsCall::RawWebSocket),
        (Some(server), Some(session), Some(transport), None) if is_name(server) && is_name(session) => {
            let receive = |receiver| SockJsCall::Receive { session: session.into(), receiver };
            Some(match transport {
                "websocket" => SockJsCall::WebSocket,
                "xhr" => receive(Receiver::Xhr),
                "xhr_streaming" => receive(Receiver::XhrStreaming),
                "eventsource" => receive(Receiver::EventSource),
                "xhr_send" => SockJsCall::Send { session: session.into() },
                _ => return None,
            })
        }
        _ => None,
    }
}

/// A server or a session: any characters but `.`, as they stand in the path.
fn is_name(part: &str) -> bool {
    (1..=SOCKJS_SESSION_LEN_MAX).contains(&part.len()) && !part.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> Option<(usize, Option<String>, SockJsCall)> {
        let services = [SockJs::new("/sockjs", SockJsDialect::Json), SockJs::new("/feed", SockJsDialect::Raw)];
        find(path, &services).map(|(place, topic, call)| (place, topic.map(Cow::into_owned), call))
    }

    #[test]
    fn paths_lead_to_calls() {
        let session = |name: &str| Box::<str>::from(name);
        let cases = [
            ("/sockjs", SockJsCall::Greeting),
            ("/sockjs/", SockJsCall::Greeting),
            ("/sockjs/info", SockJsCall::Info),
            ("/sockjs/info/", SockJsCall::Info),
            ("/sockjs/websocket", SockJsCall::RawWebSocket),
            ("/sockjs/000/a-b%20c/websocket", SockJsCall::WebSocket),
            ("/sockjs/0/s/xhr", SockJsCall::Receive { session: session("s"), receiver: Receiver::Xhr }),
            (
                "/sockjs/0/s/xhr_streaming/",
                SockJsCall::Receive { session: session("s"), receiver: Receiver::XhrStreaming },
            ),
            ("/sockjs/0/s/eventsource", SockJsCall::Receive { session: session("s"), receiver: Receiver::EventSource }),
            ("/sockjs/0/s/xhr_send", SockJsCall::Send { session: session("s") }),
        ];
        for (path, call) in cases {
            assert_eq!(found(path), Some((0, None, call)), "{path}");
        }
        assert_eq!(found("/feed/px.A/info"), Some((1, Some("px.A".into()), SockJsCall::Info)));
        assert_eq!(found("/feed/p%C3%A4/"), Some((1, Some("pä".into()), SockJsCall::Greeting)));
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
