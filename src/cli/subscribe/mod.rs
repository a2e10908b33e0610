//! `fanwire subscribe`: prints what topics say, and comes back by itself when the connection is lost.
//!
//! `session.rs` speaks the JSON dialect and knows nothing of the network; this file moves its text over a WebSocket,
//! `transports.rs` over HTTP.

mod session;
mod transports;

use std::io;
use std::process::ExitCode;

use tungstenite::client::{IntoClientRequest, client_with_config};
use tungstenite::handshake::HandshakeError;
use tungstenite::http::HeaderValue;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket};

use self::session::{Event, Session};
use self::transports::{Ended, Feed, Transport};
use super::End;
use super::answers::{HttpError, is_timeout};
use super::backoff::Backoff;
use super::link::Link;
use super::output;
use super::server_url::{Server, ServerFlags};
use crate::close::{ErrorCode, may_pass_later};
use crate::command::{BadTopic, Position, Target};
use crate::driver::{Pacer, wall_millis};
use crate::limits::CLIENT_MESSAGE_LEN_MAX;

/// Print what arrives, one line a message
///
/// JSON is printed as it was published, text as it is (line feeds in it included), binary as its bytes. With a pattern or
/// several topics, the topic and a space stand before each message. A lost connection is made again; topics then go on where they stopped if the gateway still has what was missed. What a
/// person may want to know (a gap, a reconnect) goes to standard error.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Topics and patterns: * stands for one token, a last > for one or more
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Print JSON objects with topic, offset, time (Unix milliseconds, at arrival), event and headers if the message has
    /// them, and data (b64 if it is binary)
    #[arg(long)]
    json: bool,
    /// End after this many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Leave out the last value that is otherwise sent on joining
    #[arg(long)]
    no_last: bool,
    /// Begin behind this message of the one topic that is asked for; publish -v and GET /topics/TOPIC tell positions
    #[arg(long, value_name = "EPOCH-OFFSET")]
    since: Option<String>,
    /// Say nothing on standard error but why it ends
    #[arg(long, short)]
    quiet: bool,
    /// End with exit code 1 when the connection is lost
    #[arg(long)]
    no_reconnect: bool,
    /// How to be connected; over sse a pattern's messages have no offset, and poll follows no patterns
    #[arg(long, value_enum, default_value = "ws")]
    transport: Transport,
    #[command(flatten)]
    server: ServerFlags,
}

const EXAMPLES: &str = "\
Examples:
  fanwire subscribe px.AAPL
  fanwire subscribe 'px.*'                       topic and message, as in: px.AAPL {\"last\":430.47}
  fanwire subscribe --json 'px.*' 'scores.>'
  fanwire subscribe --count 1 px.AAPL
  fanwire subscribe --since 6f1d2c-1041 px.AAPL
  fanwire subscribe --transport sse px.AAPL --url https://push.example.com";

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, End> {
    let mut reader = Reader {
        names_topics: names_topics(&arguments.topics),
        session: session(arguments)?,
        server: arguments.server.server()?,
        arguments,
        left: arguments.count,
        backoff: Backoff::of_this_process(),
        clock: Pacer::new(),
        connected_once: false,
        polled: None,
    };
    output::end_with_the_reader();
    loop {
        let lost = match reader.read_until_lost()? {
            Some(lost) => lost,
            None => return Ok(ExitCode::SUCCESS),
        };
        if arguments.no_reconnect || !reader.connected_once || !lost.may_pass {
            return Err(End::Failed(lost.why));
        }
        let told_ms = lost.retry_ms.map(|retry_ms| retry_ms.min(RETRY_MS_MAX));
        let delay_ms = told_ms.unwrap_or_else(|| reader.backoff.next_ms());
        reader.notice(&format!("{}; coming back in {} ms", lost.why, delay_ms));
        reader.clock.sleep_until_ms(reader.clock.elapsed_ms().saturating_add(delay_ms));
    }
}

fn session(arguments: &Arguments) -> Result<Session, End> {
    let mut session = Session::new(!arguments.no_last, arguments.json);
    for topic in &arguments.topics {
        let target = Target::parse(topic).map_err(|BadTopic| End::Usage(format!("{topic}: {BadTopic}")))?;
        session.add(target);
    }
    if let Some(since) = &arguments.since {
        let position: Position = since
            .parse()
            .map_err(|_| End::Usage(format!("--since: \"{since}\" is not EPOCH-OFFSET, such as 6f1d2c-1041")))?;
        if !session.begin_behind(position) {
            return Err(End::Usage("--since goes with exactly one topic that is no pattern".to_owned()));
        }
    }
    Ok(session)
}

/// Whether it is not clear by itself of which topic a message is.
fn names_topics(topics: &[String]) -> bool {
    topics.len() > 1 || topics.iter().any(|topic| matches!(Target::parse(topic), Ok(Target::Pattern(_))))
}

/// One `subscribe`, over as many connections as it takes.
struct Reader<'a> {
    arguments: &'a Arguments,
    server: Server,
    session: Session,
    /// Each message is printed behind its topic.
    names_topics: bool,
    /// Messages still to print, if they are counted.
    left: Option<u64>,
    backoff: Backoff,
    clock: Pacer,
    connected_once: bool,
    /// Where the last poll ended.
    polled: Option<String>,
}

/// Why there is no connection any more.
struct Lost {
    why: String,
    /// When the server wants to see us again.
    retry_ms: Option<u64>,
    /// Whether another attempt can go better.
    may_pass: bool,
}

/// How long the server may say nothing before it is asked for a sign of life, and then how long that may take. Its own
/// pings come more often unless it is configured otherwise.
const SILENCE_TIMEOUT_MS: u64 = 45_000;

/// The longest that a server may send us away for.
const RETRY_MS_MAX: u64 = 60_000;

/// How long a response without end may say nothing: there is no way to ask.
const HTTP_SILENCE_TIMEOUT_MS: u64 = 90_000;

/// How long the opening handshake may take, per read.
const HANDSHAKE_TIMEOUT_MS: u64 = 10_000;

impl Reader<'_> {
    /// Connects, subscribes and prints. `None`: everything that was asked for is printed.
    fn read_until_lost(&mut self) -> Result<Option<Lost>, End> {
        match self.arguments.transport {
            Transport::Ws => self.read_websocket(),
            transport => self.read_http(transport),
        }
    }

    fn read_http(&mut self, transport: Transport) -> Result<Option<Lost>, End> {
        loop {
            match self.read_connection(transport)? {
                Connected::Another => {}
                Connected::Lost(lost) => return Ok(Some(lost)),
                Connected::Enough => return Ok(None),
            }
        }
    }

    fn read_connection(&mut self, transport: Transport) -> Result<Connected, End> {
        let mut retry_ms = None;
        let cannot = |error| Lost { may_pass: true, ..ended(Ended::Http(error), None) };
        let stream = match self.server.dial() {
            Ok(stream) => stream,
            Err(error) => return Ok(Connected::Lost(cannot(HttpError::Dial(self.server.authority.clone(), error)))),
        };
        if let Err(error) = stream.set_read_timeout_ms(Some(HTTP_SILENCE_TIMEOUT_MS)) {
            return Ok(Connected::Lost(cannot(HttpError::Broken(error))));
        }
        let (topics, mut query) = self.session.query();
        if let (Some(_), Some(at)) = (&self.polled, query.find("&since=")) {
            query.truncate(at);
        }
        let mut feed = match Feed::open(stream, &self.server.authority, transport, (topics, query), self.polled.take())
        {
            Ok(feed) => feed,
            Err(why) => return Ok(Connected::Lost(ended(why, None))),
        };
        loop {
            let object = feed.next();
            self.polled = feed.since();
            match object {
                Ok(object) => match self.receive(&object)? {
                    Step::Go => {}
                    Step::Enough => return Ok(Connected::Enough),
                    Step::Bye(ms) => retry_ms = Some(ms),
                    Step::Lost(lost) => return Ok(Connected::Lost(lost)),
                },
                Err(Ended::Another) => return Ok(Connected::Another),
                Err(why) => return Ok(Connected::Lost(ended(why, retry_ms))),
            }
        }
    }

    fn read_websocket(&mut self) -> Result<Option<Lost>, End> {
        let mut socket = match connect(&self.server) {
            Ok(socket) => socket,
            Err(lost) => return Ok(Some(lost)),
        };
        for operation in self.session.operations() {
            if let Err(error) = socket.send(Message::text(operation)) {
                return Ok(Some(lost(&error)));
            }
        }
        let mut asked = false;
        let mut retry_ms = None;
        loop {
            let message = match socket.read() {
                Ok(message) => message,
                Err(tungstenite::Error::Io(error)) if is_timeout(&error) && !asked => {
                    asked = true;
                    match socket.send(Message::Ping(tungstenite::Bytes::new())) {
                        Ok(()) => continue,
                        Err(error) => return Ok(Some(lost(&error))),
                    }
                }
                Err(error) => return Ok(Some(Lost { retry_ms, ..lost(&error) })),
            };
            asked = false;
            match message {
                Message::Text(text) => match self.receive(&text)? {
                    Step::Go => {}
                    Step::Enough => return Ok(None),
                    Step::Bye(ms) => retry_ms = Some(ms),
                    Step::Lost(lost) => return Ok(Some(lost)),
                },
                Message::Close(frame) => {
                    let why = frame.map_or_else(
                        || "the server closed the connection".to_owned(),
                        |frame| format!("the server closed the connection: {} {}", frame.code, frame.reason),
                    );
                    return Ok(Some(Lost { why: why.trim_end().to_owned(), retry_ms, may_pass: true }));
                }
                _ => {}
            }
        }
    }

    fn receive(&mut self, text: &str) -> Result<Step, End> {
        match self.session.receive(text) {
            Ok(Event::Push(push)) => {
                let line = match self.arguments.json {
                    true => push.as_json(wall_millis()),
                    false => push.as_payload(self.names_topics),
                };
                output::write(&line)?;
                if let Some(left) = &mut self.left {
                    *left -= 1;
                    if *left == 0 {
                        return Ok(Step::Enough);
                    }
                }
            }
            Ok(Event::Joined { not_recovered }) => {
                self.connected_once = true;
                self.backoff.reset();
                for topic in not_recovered {
                    self.notice(&format!("{topic}: some messages were missed"));
                }
            }
            Ok(Event::Gap { topic, skipped }) => self.notice(&format!("{topic}: {skipped} messages were skipped")),
            Ok(Event::Bye { retry_ms }) => return Ok(Step::Bye(retry_ms)),
            Ok(Event::Refused { code, message }) => {
                let may_pass = ErrorCode::may_pass_later(&code);
                return Ok(Step::Lost(Lost { why: format!("{code}: {message}"), retry_ms: None, may_pass }));
            }
            Ok(Event::Nothing) => {}
            Err(why) => return Ok(Step::Lost(Lost { why, retry_ms: None, may_pass: false })),
        }
        Ok(Step::Go)
    }

    fn notice(&self, message: &str) {
        if !self.arguments.quiet {
            output::complain(message);
        }
    }
}

/// The end of one connection over HTTP.
enum Connected {
    Another,
    Enough,
    Lost(Lost),
}

/// The next step after a message of the server.
enum Step {
    Go,
    Enough,
    Bye(u64),
    Lost(Lost),
}

fn connect(server: &Server) -> Result<WebSocket<Link>, Lost> {
    let passing = |why: String| Lost { why, retry_ms: None, may_pass: true };
    let cannot = |error: io::Error| passing(HttpError::Dial(server.authority.clone(), error).to_string());
    let stream = server.dial().map_err(cannot)?;
    stream.set_read_timeout_ms(Some(HANDSHAKE_TIMEOUT_MS)).map_err(cannot)?;
    let mut request = format!("ws://{}/ws", server.authority).into_client_request().map_err(|error| Lost {
        why: error.to_string(),
        retry_ms: None,
        may_pass: false,
    })?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static("fanwire.json.v1"));
    let config = WebSocketConfig::default()
        .max_message_size(Some(CLIENT_MESSAGE_LEN_MAX))
        .max_frame_size(Some(CLIENT_MESSAGE_LEN_MAX));
    match client_with_config(request, stream, Some(config)) {
        Ok((socket, _)) => {
            socket.get_ref().set_read_timeout_ms(Some(SILENCE_TIMEOUT_MS)).map_err(cannot)?;
            Ok(socket)
        }
        Err(HandshakeError::Interrupted(_)) => Err(passing("the server did not answer in time".to_owned())),
        Err(HandshakeError::Failure(error)) => Err(lost(&error)),
    }
}

fn ended(why: Ended, retry_ms: Option<u64>) -> Lost {
    let (why, may_pass) = match why {
        Ended::Http(HttpError::Broken(error)) if is_timeout(&error) => {
            ("the server gives no sign of life".to_owned(), true)
        }
        Ended::Http(error) => (error.to_string(), true),
        Ended::Refused { status, why } => (format!("{why} (status {status})"), may_pass_later(status)),
        Ended::Over | Ended::Another => ("the server ended the response".to_owned(), true),
    };
    Lost { why, retry_ms, may_pass }
}

fn lost(error: &tungstenite::Error) -> Lost {
    let may_pass = match error {
        tungstenite::Error::Http(answer) => may_pass_later(answer.status().as_u16()),
        _ => true,
    };
    let why = match error {
        tungstenite::Error::Http(answer) => format!("the server refused the WebSocket with status {}", answer.status()),
        tungstenite::Error::Io(error) if is_timeout(error) => "the server gives no sign of life".to_owned(),
        error => format!("the connection was lost: {error}"),
    };
    Lost { why, retry_ms: None, may_pass }
}

#[cfg(test)]
mod tests {
    use clap::{Args, FromArgMatches};

    use super::*;

    fn session_of(words: &[&str]) -> Result<Session, End> {
        let command = Arguments::augment_args(clap::Command::new("subscribe").no_binary_name(true));
        let matches = command.try_get_matches_from(words).expect("known words");
        session(&Arguments::from_arg_matches(&matches).expect("known words"))
    }

    fn complaint(words: &[&str]) -> String {
        match session_of(words) {
            Err(End::Usage(line)) => line,
            _ => panic!("{words:?} is a mistake"),
        }
    }

    #[test]
    fn what_cannot_be_subscribed_is_refused_before_connecting() {
        assert!(complaint(&["a b"]).starts_with("a b: a topic is "));
        assert!(complaint(&["--since", "x", "a"]).starts_with("--since: \"x\" is not EPOCH-OFFSET"));
        for words in [&["--since", "1-1", "a", "b"][..], &["--since", "1-1", "a.*"]] {
            assert_eq!(complaint(words), "--since goes with exactly one topic that is no pattern");
        }
        assert!(session_of(&["--since", "1-1", "a"]).is_ok());
    }

    #[test]
    fn topics_are_named_where_there_can_be_several() {
        let named = |topics: &[&str]| names_topics(&topics.iter().map(|&topic| topic.to_owned()).collect::<Vec<_>>());
        assert!(!named(&["a.b"]));
        assert!(named(&["a.*"]) && named(&["a.>"]) && named(&["a", "b"]));
    }

    #[test]
    fn a_refused_upgrade_may_pass_only_if_the_server_is_to_blame() {
        for (status, may_pass) in [(401, false), (403, false), (404, false), (429, true), (503, true)] {
            let answer = tungstenite::http::Response::builder().status(status).body(None).expect("an answer");
            assert_eq!(lost(&tungstenite::Error::Http(Box::new(answer))).may_pass, may_pass, "{status}");
        }
    }
}
