//! The configuration as flags.

use std::path::PathBuf;

use super::raw::{RawConfig, Source, Typed};
use super::{ConfigError, raw};

/// Every key of the configuration as a flag. Values are taken as they are typed; [`super::Config`] validates them.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ConfigFlags {
    /// The TOML file to start from; flags and environment win over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to listen; again for more addresses [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Vec<String>,
    /// A listener that is not for all, such as "0.0.0.0:8080 role=readers" (or publishers; tls=yes or no); again for
    /// more, beside --listen
    #[arg(long, value_name = "LISTENER")]
    pub listeners: Vec<String>,
    /// A name that the gateway answers to, * for all; again for more [default: where it listens on loopback those of this
    /// machine, elsewhere all]
    #[arg(long, value_name = "NAME")]
    pub server_names: Vec<String>,
    /// Certificates and proxies
    #[command(flatten)]
    pub edge: EdgeFlags,
    /// Shards, one thread each [default: one a core]
    #[arg(long, value_name = "N")]
    pub shards: Option<String>,
    /// Kernel interface: auto (epoll), epoll or uring [default: auto]
    #[arg(long, value_name = "NAME")]
    pub driver: Option<String>,
    /// Listen beyond loopback although whoever reaches it may publish
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub insecure: Option<String>,
    /// Log to standard error: error, warn, info or debug [default: warn]
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<String>,
    /// What its lines look like: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Name the addresses of peers in it
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub log_peers: Option<String>,
    /// Make randomness repeatable, hashing included: for tests
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<String>,
    /// A web origin whose pages may use the gateway from a browser, * for all; again for more [default: all, but only
    /// those of this machine where it listens on loopback alone]
    #[arg(long, value_name = "ORIGIN")]
    pub allowed_origins: Vec<String>,
    /// Write topics to this file now and then and at the end, and read it at the start
    #[arg(long, value_name = "FILE")]
    pub snapshot: Option<String>,
    /// From one snapshot to the next [default: 30s]
    #[arg(long, value_name = "TIME")]
    pub snapshot_interval: Option<String>,
    /// A topic rule, such as "px.> last=false"; again for more, the first match wins; replaces those of the file
    #[arg(long, value_name = "RULE")]
    pub topics: Vec<String>,
    /// For readers that take it: off, message (each for itself) or shared (one stream a topic) [default: message]
    #[arg(long, value_name = "MODE", help_heading = COMPRESSION)]
    pub compression: Option<String>,
    /// Payload of the shortest message that is compressed for itself [default: 256]
    #[arg(long, value_name = "SIZE", help_heading = COMPRESSION)]
    pub compression_threshold: Option<String>,
    /// From 1, fast, to 9, small [default: 1]
    #[arg(long, value_name = "N", help_heading = COMPRESSION)]
    pub compression_level: Option<String>,
    /// Window of shared streams in bits, 9 to 15 [default: 12]
    #[arg(long, value_name = "BITS", help_heading = COMPRESSION)]
    pub compression_window: Option<String>,
    /// Messages from one joining point of a shared stream to the next [default: 20]
    #[arg(long, value_name = "N", help_heading = COMPRESSION)]
    pub compression_join_every: Option<String>,
    /// Live connections in the process [default: 1000000]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub connections_max: Option<String>,
    /// Live connections from one address, 0 for no limit [default: 0]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub connections_per_ip_max: Option<String>,
    /// Topics and patterns that one connection may follow [default: 1024]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub topics_per_connection_max: Option<String>,
    /// Topics alive in the process [default: 4000000]
    #[arg(long, value_name = "N", help_heading = LIMITS)]
    pub topics_max: Option<String>,
    /// Payload of one message [default: 1MiB]
    #[arg(long, value_name = "SIZE", help_heading = LIMITS)]
    pub message_len_max: Option<String>,
    /// What may wait for one reader before it is disconnected [default: 1MiB]
    #[arg(long, value_name = "SIZE", help_heading = LIMITS)]
    pub outbox_len_max: Option<String>,
    /// Bytes a second that one reader gets; 0 for no limit [default: 0]
    #[arg(long, value_name = "SIZE", help_heading = LIMITS)]
    pub reader_bandwidth_max: Option<String>,
    /// Last values of all topics together [default: 1GiB]
    #[arg(long, value_name = "SIZE", help_heading = LIMITS)]
    pub retained_len_max: Option<String>,
    /// Histories, outboxes and unfinished messages together, 0 for no limit [default: 0]
    #[arg(long, value_name = "SIZE", help_heading = LIMITS)]
    pub memory_len_max: Option<String>,
    /// How long a repeat is known by its message id, 0s for not at all [default: 5m]
    #[arg(long, value_name = "TIME", help_heading = LIMITS)]
    pub message_id_ttl: Option<String>,
    /// For a whole opening handshake or request head [default: 10s]
    #[arg(long, value_name = "TIME", help_heading = LIMITS)]
    pub handshake_timeout: Option<String>,
    /// For a whole request body [default: 30s]
    #[arg(long, value_name = "TIME", help_heading = LIMITS)]
    pub body_timeout: Option<String>,
    /// Between two requests on one connection [default: 75s]
    #[arg(long, value_name = "TIME", help_heading = LIMITS)]
    pub http_idle_timeout: Option<String>,
    /// From the last sign of life to a ping [default: 30s]
    #[arg(long, value_name = "TIME", help_heading = LIMITS)]
    pub ping_interval: Option<String>,
    /// From a ping to the close of a silent connection [default: 10s]
    #[arg(long, value_name = "TIME", help_heading = LIMITS)]
    pub ping_timeout: Option<String>,
    /// For the closing handshake and what is queued before it [default: 2s]
    #[arg(long, value_name = "TIME", help_heading = LIMITS)]
    pub close_timeout: Option<String>,
    /// For the whole shutdown [default: 10s]
    #[arg(long, value_name = "TIME", help_heading = LIMITS)]
    pub drain_timeout: Option<String>,
}

const COMPRESSION: &str = "Compression";
const LIMITS: &str = "Limits";
const EDGE: &str = "TLS and proxies";

/// Certificates, and the proxies before the gateway.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct EdgeFlags {
    /// The certificate and its chain, in PEM; with it a bare --listen speaks TLS
    #[arg(long, value_name = "FILE", help_heading = EDGE)]
    pub tls_cert: Option<String>,
    /// Its private key, in PEM
    #[arg(long, value_name = "FILE", help_heading = EDGE)]
    pub tls_key: Option<String>,
    /// Further certificates, for other names
    #[arg(long, value_name = "CERT,KEY", help_heading = EDGE)]
    pub tls_certificates: Vec<String>,
    /// Who signs the certificates that clients have to show
    #[arg(long, value_name = "FILE", help_heading = EDGE)]
    pub tls_client_ca: Option<String>,
    /// Whether they have to: required or optional [default: required]
    #[arg(long, value_name = "HOW", help_heading = EDGE)]
    pub tls_client_auth: Option<String>,
    /// Proxies whose word on a client's address is taken, such as 10.0.0.0/8 or unix:
    #[arg(long, value_name = "NETWORK", help_heading = EDGE)]
    pub proxy_trusted: Vec<String>,
    /// Whether they begin with a PROXY header: v1v2 or off [default: off]
    #[arg(long, value_name = "VERSIONS", help_heading = EDGE)]
    pub proxy_protocol: Option<String>,
}

impl EdgeFlags {
    fn all(&self) -> [(&'static str, &'static str, Vec<&String>); 7] {
        [
            ("tls_cert", "--tls-cert", self.tls_cert.iter().collect()),
            ("tls_key", "--tls-key", self.tls_key.iter().collect()),
            ("tls_certificates", "--tls-certificates", self.tls_certificates.iter().collect()),
            ("tls_client_ca", "--tls-client-ca", self.tls_client_ca.iter().collect()),
            ("tls_client_auth", "--tls-client-auth", self.tls_client_auth.iter().collect()),
            ("proxy_trusted", "--proxy-trusted", self.proxy_trusted.iter().collect()),
            ("proxy_protocol", "--proxy-protocol", self.proxy_protocol.iter().collect()),
        ]
    }
}

impl ConfigFlags {
    /// As a layer of the configuration.
    pub(super) fn to_raw(&self) -> Result<RawConfig, ConfigError> {
        let mut raw = RawConfig::default();
        if !self.listen.is_empty() {
            let words = self.listen.iter().flat_map(|value| value.split(',')).map(str::to_owned).collect();
            raw.put("listen", Typed { words, source: Source::Flag("--listen") });
        }
        let lists = [
            ("allowed_origins", "--allowed-origins", &self.allowed_origins),
            ("server_names", "--server-names", &self.server_names),
        ];
        for (key, flag, values) in lists.into_iter().filter(|(.., values)| !values.is_empty()) {
            let words = values.iter().flat_map(|value| raw::words(key, value)).collect();
            raw.put(key, Typed { words, source: Source::Flag(flag) });
        }
        for (key, flag, values) in self.edge.all() {
            if !values.is_empty() {
                let words = values.iter().flat_map(|value| raw::words(key, value)).collect();
                raw.put(key, Typed { words, source: Source::Flag(flag) });
            }
        }
        for (key, flag, value) in self.single() {
            if let Some(value) = value {
                raw.put(key, Typed { words: vec![value.clone()], source: Source::Flag(flag) });
            }
        }
        let tables = |values: &[String], keys, flag| {
            raw::table_words(values.iter().map(String::as_str), keys, &Source::Flag(flag))
        };
        raw.topics = tables(&self.topics, raw::TOPIC_KEYS, "--topics")?;
        raw.listeners = tables(&self.listeners, raw::LISTENER_KEYS, "--listeners")?;
        Ok(raw)
    }

    #[rustfmt::skip]
    fn single(&self) -> [(&'static str, &'static str, &Option<String>); 31] {
        [
            ("shards", "--shards", &self.shards),
            ("driver", "--driver", &self.driver),
            ("insecure", "--insecure", &self.insecure),
            ("log", "--log", &self.log),
            ("log_format", "--log-format", &self.log_format),
            ("log_peers", "--log-peers", &self.log_peers),
            ("seed", "--seed", &self.seed),
            ("compression", "--compression", &self.compression),
            ("compression_threshold", "--compression-threshold", &self.compression_threshold),
            ("compression_level", "--compression-level", &self.compression_level),
            ("compression_window", "--compression-window", &self.compression_window),
            ("compression_join_every", "--compression-join-every", &self.compression_join_every),
            ("snapshot", "--snapshot", &self.snapshot),
            ("snapshot_interval", "--snapshot-interval", &self.snapshot_interval),
            ("connections_max", "--connections-max", &self.connections_max),
            ("connections_per_ip_max", "--connections-per-ip-max", &self.connections_per_ip_max),
            ("topics_per_connection_max", "--topics-per-connection-max", &self.topics_per_connection_max),
            ("topics_max", "--topics-max", &self.topics_max),
            ("message_len_max", "--message-len-max", &self.message_len_max),
            ("outbox_len_max", "--outbox-len-max", &self.outbox_len_max),
            ("reader_bandwidth_max", "--reader-bandwidth-max", &self.reader_bandwidth_max),
            ("retained_len_max", "--retained-len-max", &self.retained_len_max),
            ("memory_len_max", "--memory-len-max", &self.memory_len_max),
            ("message_id_ttl", "--message-id-ttl", &self.message_id_ttl),
            ("handshake_timeout", "--handshake-timeout", &self.handshake_timeout),
            ("body_timeout", "--body-timeout", &self.body_timeout),
            ("http_idle_timeout", "--http-idle-timeout", &self.http_idle_timeout),
            ("ping_interval", "--ping-interval", &self.ping_interval),
            ("ping_timeout", "--ping-timeout", &self.ping_timeout),
            ("close_timeout", "--close-timeout", &self.close_timeout),
            ("drain_timeout", "--drain-timeout", &self.drain_timeout),
        ]
    }
}
