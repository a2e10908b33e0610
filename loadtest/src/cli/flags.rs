//! The flags as they are typed, and the run that they mean.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;

use super::value;
use crate::measure;
use crate::plan::template::unescape;
use crate::plan::{
    Dialogue, PUBLISHERS_MAX, Preset, Publish, Step, TOPICS_MAX, Target, Template, Transport, Trust, WORKERS_MAX,
};
use crate::scenario::Run;
use crate::stamp::STAMP_LEN;
use crate::wire::{deflate, tls};

/// Flags of every scenario.
#[derive(Args, Clone, Debug)]
pub(super) struct Common {
    /// The server: ws://HOST:PORT, or wss://, with a path where it is not the preset's; what is filled in there stands under
    /// "Words". Given more than once, connections go to the servers in turn, and what is published to every one of them
    #[arg(long, default_value = "ws://127.0.0.1:8080")]
    url: Vec<String>,
    /// Preset of the messages and the path; the flags under "Words" replace single ones
    #[arg(long, value_enum, default_value = "fanwire")]
    preset: Preset,
    /// How readers are connected, with preset fanwire
    #[arg(long, value_enum, default_value = "ws")]
    transport: Transport,
    /// Readers
    #[arg(long, short = 'c', default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=20_000_000))]
    connections: u32,
    /// Process ids of the server, for its CPU and memory
    #[arg(long, value_name = "PID")]
    pid: Vec<u32>,
    /// Write the report as JSON; - is standard output, and nothing else is printed there
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Write the report as a page with charts
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// Name of the run in tables and charts
    #[arg(long)]
    label: Option<String>,
    /// No progress line
    #[arg(long, short)]
    quiet: bool,
    /// With wss: a PEM file with the server's certificate or that of its signer, instead of those that this host believes
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
    /// With wss: believe any certificate
    #[arg(long)]
    insecure: bool,
    #[command(flatten)]
    scale: Scale,
    #[command(flatten)]
    words: Words,
}

/// How connections are made.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Scale")]
struct Scale {
    /// At least so many client processes
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(WORKERS_MAX)))]
    workers: u32,
    /// At most so many connections in one client process; as many as it may have descriptors unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    connections_per_worker: Option<u32>,
    /// Addresses to come from; for a server on loopback many of 127.0.0.0/8 unless given
    #[arg(long, value_name = "ADDR", value_delimiter = ',')]
    source: Vec<IpAddr>,
    /// New connections a second; as fast as it goes unless given
    #[arg(long, value_name = "N", value_parser = value::rate)]
    connect_rate: Option<f64>,
    /// Opening handshakes in progress at once
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    concurrency: u32,
    /// How long one connection may take to be ready
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = value::duration_ms)]
    handshake_timeout: u64,
    /// How long nothing may happen before it is given up
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = value::duration_ms)]
    stall_timeout: u64,
    /// How long to wait between opening connections and measuring
    #[arg(long, value_name = "TIME", default_value = "300ms", value_parser = value::duration_ms)]
    settle: u64,
    /// Seed of the random numbers
    #[arg(long)]
    seed: Option<u64>,
    /// The least part of the expected deliveries that is no failure
    #[arg(long, value_name = "PART", default_value = "0.999", value_parser = value::part)]
    reach_min: f64,
}

/// The messages to the server.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Words: {n}, {topic}, {payload} and {len} are filled in; \\r, \\n and \\\\ are read")]
struct Words {
    /// First message of a reader, instead of the preset's; may be given more than once
    #[arg(long, value_name = "TEXT")]
    subscribe: Vec<String>,
    /// A part of the message that a reader then waits for
    #[arg(long, value_name = "TEXT")]
    ready: Option<String>,
    /// Message of a publisher
    #[arg(long, value_name = "TEXT")]
    publish: Option<String>,
    /// Where publishers connect
    #[arg(long, value_name = "PATH", conflicts_with = "publish_http")]
    publish_path: Option<String>,
    /// Publish by POST to this path
    #[arg(long, value_name = "PATH")]
    publish_http: Option<String>,
    /// Subprotocol to offer
    #[arg(long, value_name = "NAME")]
    subprotocol: Option<String>,
    /// Answer messages that begin with one text by another
    #[arg(long, value_name = "TEXT=TEXT")]
    answer: Vec<String>,
    /// Send binary messages
    #[arg(long)]
    binary: bool,
    /// Offer permessage-deflate, with parameters if they are given (--deflate=server_no_context_takeover); what we send
    /// stays uncompressed
    #[arg(long, value_name = "PARAMETERS", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    deflate: Option<String>,
    /// The name of a topic; its number is filled in
    #[arg(long, value_name = "TEXT", default_value = "load.{n}")]
    topic: String,
}

/// Flags of scenarios that publish.
#[derive(Args, Clone, Debug)]
pub(super) struct Traffic {
    /// Topics; reader n follows topic n modulo this
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(TOPICS_MAX)))]
    pub(super) topics: u32,
    /// Publishers
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(PUBLISHERS_MAX)))]
    pub(super) publishers: u32,
    #[command(flatten)]
    pub(super) payload: Payload,
}

/// The flag of scenarios that send.
#[derive(Args, Clone, Debug)]
pub(super) struct Payload {
    /// Bytes of a payload; 128 unless given, and 8192 where readers stall, so that more waits for them than their sockets
    /// take
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(STAMP_LEN as i64..=16_777_216))]
    size: Option<u32>,
}

impl Payload {
    pub(super) fn len(&self) -> u32 {
        self.size.unwrap_or(128)
    }

    /// Where readers stall.
    pub(super) fn len_for_stalls(&self) -> u32 {
        self.size.unwrap_or(8192)
    }
}

impl Common {
    /// The validated options. `traffic` is the load that the scenario publishes.
    pub(super) fn run(&self, traffic: Option<&Traffic>, size: u32, command: Vec<String>) -> Result<Run, String> {
        let find = |url: &String| Target::find(url).map_err(|error| format!("--url {url}: {error}"));
        let targets = self.url.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        let Some(target) = targets.first() else { return Err("--url: which server?".to_owned()) };
        if targets.iter().any(|other| other.path != target.path) {
            return Err("--url: servers that are measured together have the same path".to_owned());
        }
        if targets.iter().any(|other| other.is_secure != target.is_secure) {
            return Err("--url: servers that are measured together have all TLS or none".to_owned());
        }
        let trust = self.trust(target.is_secure)?;
        let mut dialogue = self.words.apply(self.preset.dialogue())?;
        if let Some(path) = &target.path {
            let path = template("--url", path)?;
            dialogue.echo_path = path.clone();
            // A server with one path for everything is published to there as well.
            if let Publish::WebSocket { path: publish_path, .. } = &mut dialogue.publish
                && *publish_path == dialogue.path
            {
                *publish_path = path.clone();
            }
            dialogue.path = path;
        }
        if let Some(path) = self.transport.path() {
            if self.preset != Preset::Fanwire {
                return Err("--transport: only preset fanwire has others than ws".to_owned());
            }
            dialogue.transport = self.transport;
            dialogue.path = template("--transport", path)?;
        }
        let topics = traffic.map_or(1, |traffic| traffic.topics);
        let descriptors = measure::descriptors_max().saturating_sub(DESCRIPTORS_SPARE).max(1);
        let scale = &self.scale;
        for target in &targets {
            if let Some(bad) = scale.source.iter().find(|source| source.is_ipv4() != target.addr.is_ipv4()) {
                return Err(format!("--source {bad}: the server's address {} is of another family", target.addr.ip()));
            }
        }
        Ok(Run {
            url: match self.url.as_slice() {
                [url] => url.clone(),
                urls => format!("{} and {} more", urls.first().map_or("", String::as_str), urls.len() - 1),
            },
            targets,
            trust,
            preset: self.preset,
            label: self.label.clone().unwrap_or_else(|| self.preset.name().to_owned()),
            command,
            connections: self.connections,
            topics,
            topic: template("--topic", &self.words.topic)?,
            publishers: traffic.map_or(1, |traffic| traffic.publishers),
            payload_len: size,
            pids: self.pid.clone(),
            workers_min: scale.workers,
            per_worker_max: scale.connections_per_worker.unwrap_or(descriptors).min(descriptors),
            sources: scale.source.clone(),
            concurrency: scale.concurrency,
            connect_rate: scale.connect_rate.unwrap_or(0.0),
            handshake_timeout_ms: scale.handshake_timeout,
            stall_timeout_ms: scale.stall_timeout,
            settle_ms: scale.settle,
            seed: scale.seed.unwrap_or_else(|| fastrand::u64(..)),
            reach_min: scale.reach_min,
            is_quiet: self.quiet,
            dialogue,
        })
    }
}

impl Common {
    /// Readers of the own preset follow a topic of their own, too, unless another preset was asked for.
    pub(super) fn with_own_topics(mut self) -> Self {
        if self.preset == Preset::Fanwire {
            self.preset = Preset::FanwireOwn;
        }
        self
    }

    /// The trusted certificates; an invalid file is reported before there are workers.
    fn trust(&self, is_secure: bool) -> Result<Option<Trust>, String> {
        let trust = match &self.ca {
            _ if self.insecure => Trust::Anybody,
            Some(path) => Trust::File(path.clone()),
            None => Trust::Host,
        };
        match (is_secure, &trust) {
            (false, Trust::Host) => Ok(None),
            (false, _) => Err("--ca and --insecure go with wss:// URLs".to_owned()),
            (true, _) => match tls::config(&trust) {
                Ok(_) => Ok(Some(trust)),
                Err(error) if self.ca.is_some() => Err(format!("--ca {error}")),
                Err(error) => Err(format!("wss goes with --ca or --insecure here: {error}")),
            },
        }
    }
}

impl Words {
    fn apply(&self, mut dialogue: Dialogue) -> Result<Dialogue, String> {
        if let Some(parameters) = &self.deflate {
            dialogue.deflate = Some(deflate::offer(parameters).map_err(|error| format!("--deflate: {error}"))?);
        }
        if !self.subscribe.is_empty() {
            let step =
                |text: &String| Ok(Step { send: template("--subscribe", &unescape(text))?, until: String::new() });
            dialogue.subscribe = self.subscribe.iter().map(step).collect::<Result<_, String>>()?;
        }
        if let Some(ready) = &self.ready {
            match dialogue.subscribe.last_mut() {
                Some(step) => step.until = unescape(ready),
                None => dialogue.subscribe.push(Step { send: Template::default(), until: unescape(ready) }),
            }
        }
        if self.publish.is_some() || self.publish_path.is_some() || self.publish_http.is_some() {
            let message = match (&self.publish, &dialogue.publish) {
                (Some(text), _) => template("--publish", &unescape(text))?,
                (None, _) if self.publish_http.is_some() => template("--publish", "{payload}")?,
                (None, Publish::WebSocket { message, .. }) => message.clone(),
                (None, Publish::Http { body, .. }) => body.clone(),
            };
            if !message.has_payload() {
                return Err("--publish: a message without {payload} cannot be found again".to_owned());
            }
            dialogue.publish = match (&self.publish_http, &self.publish_path, dialogue.publish) {
                (Some(path), ..) => Publish::Http { path: template("--publish-http", path)?, body: message },
                (None, Some(path), _) => Publish::WebSocket { path: template("--publish-path", path)?, message },
                (None, None, Publish::WebSocket { path, .. }) => Publish::WebSocket { path, message },
                (None, None, Publish::Http { path, .. }) => Publish::Http { path, body: message },
            };
        }
        for answer in &self.answer {
            let (start, reply) = answer.split_once('=').ok_or("--answer: two texts with = between them")?;
            if start.is_empty() {
                return Err("--answer: the first text is empty".to_owned());
            }
            dialogue.answers.push((unescape(start), unescape(reply)));
        }
        if let Some(name) = &self.subprotocol {
            let is_list = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
            if name.is_empty() || !name.bytes().all(is_list) {
                return Err("--subprotocol: a name of visible characters".to_owned());
            }
            dialogue.subprotocol = Some(name.clone());
        }
        dialogue.is_binary |= self.binary;
        Ok(dialogue)
    }
}

fn template(flag: &str, text: &str) -> Result<Template, String> {
    if flag.ends_with("http") || flag.ends_with("path") || flag == "--topic" {
        // It becomes part of a request line.
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("{flag}: visible characters without spaces"));
        }
    }
    text.parse().map_err(|error| format!("{flag}: {error}"))
}

/// Descriptors that a worker needs for other things than connections, and that publishers take.
const DESCRIPTORS_SPARE: u32 = 1_000;
