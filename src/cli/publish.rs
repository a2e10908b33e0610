//! `fanwire publish`: one message, or each line of standard input as it comes.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{self, BufRead, Read, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;

use super::End;
use super::output::{self, Refusals};
use super::publisher::{self, Kind, Message, Publisher, kind_of};
use super::server_url::ServerFlags;
use crate::command::{Attributes, Extras, TopicName, is_event, is_message_id};
use crate::driver::wait_for_hang_up;
use crate::limits::{
    CLIENT_BATCH_LEN_MAX, CLIENT_BATCH_LINES_MAX, EVENT_LEN_MAX, INPUT_LINE_LEN_MAX, KEY_LEN_MAX, MESSAGE_ID_LEN_MAX,
};

/// Publish one message, or each line of standard input
///
/// Without MESSAGE each line is published as it comes, an empty one too, many in one request when they come fast. A
/// refused line is reported on standard error and makes the exit code 1.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// The topic, such as px.AAPL
    topic: String,
    /// The message; without it, each line of standard input is one
    #[arg(allow_hyphen_values = true)]
    message: Option<String>,
    /// The conflation key of the messages
    #[arg(long)]
    key: Option<String>,
    /// Id of MESSAGE: publishing it again with the same id within minutes has no effect
    #[arg(long, value_name = "ID", requires = "message")]
    message_id: Option<String>,
    /// The name of the event that the messages tell of
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// The topic's last value stays as it was: later readers do not get these messages
    #[arg(long)]
    no_last: bool,
    /// An attribute of the messages; again for more
    #[arg(long = "attribute", value_name = "NAME=VALUE")]
    attributes: Vec<String>,
    /// Publish as binary; a line then keeps every byte before its line feed
    #[arg(long)]
    binary: bool,
    /// Print what the server answers to each message
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    server: ServerFlags,
}

const EXAMPLES: &str = "\
Examples:
  fanwire publish px.AAPL '{\"last\":430.47}'
  fanwire publish -v chat.lobby 'hello, all'
  fanwire publish orders.new '{\"total\":12}' --message-id order-7713
  fanwire publish shop.shirts 'sold out' --event stock --no-last --attribute color=red
  ping example.com | fanwire publish net.ping
  tail -f access.log | fanwire publish log.web --url http://127.0.0.1:9000";

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, End> {
    if !TopicName::is_valid(&arguments.topic) {
        return Err(End::Usage(format!("{}: {}", arguments.topic, crate::command::BadTopic)));
    }
    if let Some(key) = arguments.key.as_deref().filter(|key| !is_key(key)) {
        return Err(End::Usage(format!("\"{key}\" is not a key: 1 to {KEY_LEN_MAX} visible ASCII characters")));
    }
    if let Some(id) = arguments.message_id.as_deref().filter(|id| !is_message_id(id)) {
        return Err(End::Usage(format!("\"{id}\" is not an id: 1 to {MESSAGE_ID_LEN_MAX} visible ASCII characters")));
    }
    let extras = extras(arguments).map_err(End::Usage)?;
    let mut publisher = publisher::to(&arguments.server.server()?);
    let mut session = Session { arguments, extras: extras.as_deref(), refusals: Refusals::default(), count: 0 };
    match &arguments.message {
        Some(message) => session.publish(&mut publisher, &[message.as_bytes().to_vec()])?,
        None => {
            let chunks = read_lines_aside(io::stdin(), arguments.verbose);
            let mut waiting = VecDeque::new();
            while let Some(batch) = next_batch(&chunks, &mut waiting, arguments.binary)? {
                session.publish(&mut publisher, &batch)?;
            }
        }
    }
    session.refusals.finish(session.count)?;
    Ok(ExitCode::SUCCESS)
}

/// A key that can stand in a header field and in JSON alike.
fn is_key(key: &str) -> bool {
    (1..=KEY_LEN_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The optional fields of the messages.
fn extras(arguments: &Arguments) -> Result<Option<Box<Extras>>, String> {
    if let Some(event) = arguments.event.as_deref().filter(|event| !is_event(event) || event.trim() != *event) {
        return Err(format!("{event:?} is not an event: 1 to {EVENT_LEN_MAX} bytes without control characters"));
    }
    let mut pairs = Vec::with_capacity(arguments.attributes.len());
    for attribute in &arguments.attributes {
        let pair = attribute.split_once('=').filter(|(name, value)| is_field_name(name) && value.trim() == *value);
        let (name, value) = pair.ok_or_else(|| {
            format!("{attribute:?} is not an attribute: NAME=VALUE, where NAME is letters, digits, '-', '_' and '.'")
        })?;
        // Names of header fields have no case, and lines are to say the same.
        pairs.push((Cow::from(name.to_ascii_lowercase()), Cow::from(value)));
    }
    let attributes =
        Attributes::new(None, pairs.into_iter()).map_err(|refusal| format!("--attribute: {}", refusal.message))?;
    let event = arguments.event.as_deref().map(Box::from);
    Ok(Extras { event, attributes, is_passing: arguments.no_last, except: None }.boxed())
}

/// A name that can be a part of a header field's name.
fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

struct Session<'a> {
    arguments: &'a Arguments,
    /// The fields of every message.
    extras: Option<&'a Extras>,
    refusals: Refusals,
    count: u64,
}

impl Session<'_> {
    fn publish<S: Read + Write>(
        &mut self,
        publisher: &mut Publisher<S, impl FnMut() -> io::Result<S>>,
        lines: &[Vec<u8>],
    ) -> Result<(), End> {
        let first = self.count + 1;
        let mut numbers = Vec::with_capacity(lines.len());
        let mut messages = Vec::with_capacity(lines.len());
        for (number, line) in (first..).zip(lines) {
            self.count += 1;
            let kind = if self.arguments.binary { Some(Kind::Binary) } else { kind_of(line) };
            match kind {
                Some(kind) => {
                    let (topic, key) = (self.arguments.topic.as_str(), self.arguments.key.as_deref());
                    let (id, kind) = (self.arguments.message_id.as_deref(), single_kind(kind, lines.len()));
                    messages.push(Message { topic, key, id, extras: self.extras, kind, payload: line });
                    numbers.push(number);
                }
                None => self.refusals.tell(&self.name(number), "it is not UTF-8; --binary publishes any bytes"),
            }
        }
        let verdicts = publisher.publish(&messages).map_err(|error| End::Failed(error.to_string()))?;
        for (number, verdict) in numbers.into_iter().zip(verdicts) {
            match verdict {
                Ok(result) if self.arguments.verbose => output::line(&result)?,
                Ok(_) => {}
                Err(why) => self.refusals.tell(&self.name(number), &why),
            }
        }
        Ok(())
    }

    fn name(&self, number: u64) -> String {
        match self.arguments.message {
            Some(_) => self.arguments.topic.clone(),
            None => format!("line {number}"),
        }
    }
}

/// A single message is sent as it is, in any form.
fn single_kind(kind: Kind, count: usize) -> Kind {
    match kind {
        Kind::Json if count == 1 => Kind::Text,
        kind => kind,
    }
}

/// The lines that one read completed, or the reason for the end.
type Lines = Result<Vec<Vec<u8>>, End>;

/// Chunks of lines that wait between the reading thread and the publishing one: at most so many reads ahead.
const CHUNKS_AHEAD: usize = 4;

/// Reads lines on a thread of its own, so that what came in while a batch was under way makes the next one. If results are
/// printed, the loss of their reader ends the command behind the lines that came before.
fn read_lines_aside(input: impl Read + Send + 'static, prints: bool) -> Receiver<Lines> {
    let (sender, receiver) = mpsc::sync_channel(CHUNKS_AHEAD);
    let sender = Arc::new(sender);
    if prints {
        // The end of the input ends the channel, also while other sources are watched.
        let sender = Arc::downgrade(&sender);
        thread::spawn(move || {
            if wait_for_hang_up(&io::stdout()).is_ok()
                && let Some(sender) = sender.upgrade()
            {
                let _ = sender.send(Err(End::OutputClosed));
            }
        });
    }
    thread::spawn(move || {
        if let Err(error) = read_lines(input, &sender) {
            // The receiver is only gone if the command ends anyway.
            let _ = sender.send(Err(End::Failed(error)));
        }
    });
    receiver
}

/// Sends the lines that each read completes, without their line feeds. Ends when the receiver has gone.
fn read_lines(input: impl Read, sender: &SyncSender<Lines>) -> Result<(), String> {
    let mut input = io::BufReader::with_capacity(64 * 1024, input);
    let mut partial: Vec<u8> = Vec::new();
    loop {
        let read = match input.fill_buf() {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(format!("cannot read standard input: {error}")),
        };
        let len = read.len();
        let mut lines = Vec::new();
        for piece in read.split_inclusive(|&byte| byte == b'\n') {
            partial.extend_from_slice(piece);
            if partial.last() == Some(&b'\n') {
                partial.pop();
                lines.push(std::mem::take(&mut partial));
            }
        }
        input.consume(len);
        if len == 0 && !partial.is_empty() {
            lines.push(std::mem::take(&mut partial));
        }
        if partial.len() > INPUT_LINE_LEN_MAX {
            return Err(format!("a line is longer than {INPUT_LINE_LEN_MAX} bytes"));
        }
        if (!lines.is_empty() && sender.send(Ok(lines)).is_err()) || len == 0 {
            return Ok(());
        }
    }
}

/// Reads the available input, up to a batch; waits if there is none. `None` at the end of the input.
fn next_batch(
    chunks: &Receiver<Lines>,
    waiting: &mut VecDeque<Vec<u8>>,
    is_binary: bool,
) -> Result<Option<Vec<Vec<u8>>>, End> {
    if waiting.is_empty() {
        match chunks.recv() {
            Ok(lines) => waiting.extend(lines?),
            Err(mpsc::RecvError) => return Ok(None),
        }
    }
    let mut waiting_len: usize = waiting.iter().map(Vec::len).sum();
    while waiting.len() < CLIENT_BATCH_LINES_MAX && waiting_len < CLIENT_BATCH_LEN_MAX {
        match chunks.try_recv() {
            Ok(Ok(lines)) => {
                waiting_len += lines.iter().map(Vec::len).sum::<usize>();
                waiting.extend(lines);
            }
            Ok(Err(end)) => return Err(end),
            Err(_) => break,
        }
    }
    let (mut batch, mut len) = (Vec::new(), 0);
    while let Some(mut line) = waiting.pop_front() {
        len += line.len();
        if !batch.is_empty() && (batch.len() == CLIENT_BATCH_LINES_MAX || len > CLIENT_BATCH_LEN_MAX) {
            waiting.push_front(line);
            break;
        }
        if !is_binary && line.last() == Some(&b'\r') {
            line.pop();
        }
        batch.push(line);
    }
    Ok(Some(batch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(input: Vec<u8>, is_binary: bool) -> Result<Vec<Vec<Vec<u8>>>, End> {
        let chunks = read_lines_aside(io::Cursor::new(input), false);
        let (mut waiting, mut batches) = (VecDeque::new(), Vec::new());
        while let Some(batch) = next_batch(&chunks, &mut waiting, is_binary)? {
            batches.push(batch);
        }
        Ok(batches)
    }

    #[test]
    fn lines_come_in_order_and_whole_in_batches_within_their_bounds() {
        let lines: Vec<_> = (0..5000).map(|n| format!("line {n} {}", "x".repeat(n % 700))).collect();
        let input = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let batches = batches(input.into_bytes(), false).expect("valid");
        for batch in &batches {
            assert!((1..=CLIENT_BATCH_LINES_MAX).contains(&batch.len()));
            assert!(batch.iter().map(Vec::len).sum::<usize>() <= CLIENT_BATCH_LEN_MAX);
        }
        let read: Vec<_> = batches.concat().into_iter().map(|line| String::from_utf8(line).expect("text")).collect();
        assert_eq!(read, lines);
    }

    #[test]
    fn the_last_line_needs_no_line_feed_and_text_loses_its_carriage_return() {
        let read = |is_binary| batches(b"a\r\n\nb".to_vec(), is_binary).expect("valid").concat();
        assert_eq!(read(false), [&b"a"[..], b"", b"b"]);
        assert_eq!(read(true), [&b"a\r"[..], b"", b"b"]);
        assert!(batches(Vec::new(), false).expect("valid").is_empty());
    }

    #[test]
    fn a_long_line_goes_alone_and_one_without_end_is_refused() {
        let long = vec![b'x'; CLIENT_BATCH_LEN_MAX + 1];
        let input = [b"a\n", &long[..], b"\nb\n"].concat();
        let whole = batches(input, false).expect("valid");
        assert!(whole.iter().any(|batch| batch.len() == 1 && batch[0] == long));
        assert_eq!(whole.concat().len(), 3);
        let endless = vec![b'x'; INPUT_LINE_LEN_MAX + 128 * 1024];
        assert!(matches!(batches(endless, false), Err(End::Failed(_))));
    }

    #[test]
    fn keys_are_visible_ascii() {
        assert!(is_key("AAPL:bid"));
        for bad in ["", "a b", "a\r\nX: y", "größe", &"x".repeat(KEY_LEN_MAX + 1)] {
            assert!(!is_key(bad), "{bad:?}");
        }
    }
}
