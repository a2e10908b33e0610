//! Every bound of the program, by name: its unit, why it exists and what it costs in memory.
//!
//! Constants are limits that no user needs to change. [`Limits`] are those that the configuration sets; its
//! [`Default`] holds the documented defaults. This room imports nothing.

mod changes;
mod configured;
mod costs;
mod memory;
mod patterns;
mod prices;

pub use changes::*;
pub use configured::Limits;
pub use costs::*;
pub use memory::*;
pub use patterns::*;
pub use prices::*;

/// Bytes of one HTTP request head, request line and header fields together. A longer one is answered with 431.
/// Memory: at most this much in one pooled block while a head is incomplete.
pub const HEAD_LEN_MAX: usize = 16 * 1024;

/// Header fields in one request head. More are answered with 431.
pub const HEADERS_MAX: usize = 64;

/// Bytes of one chunk-size line or trailer section in a chunked body, extensions included. A longer one is a 400.
pub const CHUNK_LINE_LEN_MAX: usize = 256;

/// Empty lines before a request line that are skipped. More are answered with 400. [RFC 9112 2.2]
pub const LEADING_EMPTY_LINES_MAX: usize = 8;

/// Objects and arrays inside one another in a JSON text, the outermost included. Deeper is not JSON to us: a push adds
/// a level, and widespread readers stop at 128. Memory: two bits a level.
pub const JSON_DEPTH_MAX: usize = 100;

/// Fields of the object that a JSON operation is. More are an error: they are compared pair by pair.
pub const JSON_FIELDS_MAX: usize = 64;

/// Bytes of the body of `POST /publish` (many publications at once). A longer one is answered with 413.
pub const BATCH_LEN_MAX: usize = 4 * 1024 * 1024;

/// Bytes of the body of a request that is refused for what it asks. It is read so that the next request may follow; past
/// it the connection ends with the answer.
pub const REFUSED_BODY_LEN_MAX: usize = 64 * 1024;

/// Lines in the body of `POST /publish`. More are answered with 413. Memory: one result (about 64 bytes) a line.
pub const BATCH_LINES_MAX: usize = 16 * 1024;

/// Bytes of a topic name or pattern.
pub const TOPIC_LEN_MAX: usize = 255;

/// Bytes of a conflation key.
pub const KEY_LEN_MAX: usize = 255;

/// Bytes of an event's name.
pub const EVENT_LEN_MAX: usize = 255;

/// Attributes of a publication, its content type aside.
pub const ATTRIBUTES_MAX: usize = 64;

/// Bytes of an attribute's name.
pub const ATTRIBUTE_NAME_LEN_MAX: usize = 255;

/// Bytes of the names and values of a publication's attributes, its content type included. Memory: so much beside each
/// payload that comes with them; it counts wherever payloads are counted.
pub const ATTRIBUTES_LEN_MAX: usize = 4096;

/// Bytes of a message id, by which a repeat is known.
pub const MESSAGE_ID_LEN_MAX: usize = 255;

/// Message ids that a shard remembers, of all its topics; past it the oldest is forgotten before its time.
pub const MESSAGE_IDS_MAX: usize = 1024 * 1024;

/// Bytes of all message ids that a shard remembers, each with [`MESSAGE_ID_COST`]; past it likewise. Past its share
/// of `memory_len_max` a shard remembers no more than a quarter of that.
pub const MESSAGE_IDS_COST_MAX: u64 = 64 * 1024 * 1024;

/// Expired message ids that are forgotten at a time, so that no turn takes long for it.
pub const MESSAGE_IDS_FORGOTTEN_PER_TURN: usize = 64;

/// Topics and patterns named in one `sub`, `unsub` or `history` operation.
pub const TOPICS_PER_OPERATION_MAX: usize = 1024;

/// Topics and patterns that one request for events, lines or a poll may name: every event of a reader of several topics
/// carries a position of each. Memory: 32 bytes each, for as long as such a reader stays.
pub const TOPICS_PER_REQUEST_MAX: usize = 128;

/// How long a poll waits unless its request says otherwise, in milliseconds: shorter than most proxies wait.
pub const POLL_TIMEOUT_MS: u64 = 25_000;

/// How long a poll may wait, in milliseconds. One that asks for more waits this long.
pub const POLL_TIMEOUT_MS_MAX: u64 = 60_000;

/// How long a topic without a history is kept as polled, from the beginning of a poll, in milliseconds: the longest wait
/// and a minute to come back.
pub const POLL_KEPT_MS: u64 = 120_000;

/// Publications that a topic without a history keeps while it is polled, so that nothing is lost between two polls.
pub const POLL_KEPT_MAX: u32 = 256;

/// Bytes of them.
pub const POLL_KEPT_LEN_MAX: u64 = 1024 * 1024;

/// Bytes of the messages in one answer to a poll, as they are encoded, the first one aside; the next poll gets the rest.
pub const POLL_ANSWER_LEN_MAX: usize = 1024 * 1024;

/// Payload bytes from which on an answer with a topic's last value shares them with other answers. Memory: one encoded
/// value a shard for as long as anybody waits for it.
pub const SHARED_ANSWER_LEN_MIN: usize = 4 * 1024;

/// Bytes of an `id` in the JSON dialect, as it is echoed.
pub const ID_LEN_MAX: usize = 128;

/// Payload bytes of a control frame. [RFC 6455 5.5]
pub const CONTROL_PAYLOAD_LEN_MAX: usize = 125;

/// Bytes of one peer's earlier messages that a later compressed message of the same peer can refer to. [RFC 7692 7.1.2]
pub const INFLATE_WINDOW_LEN: usize = 32 * 1024;

/// Bytes of such windows that a shard keeps for all its peers; past it the least recently used window is dropped.
/// Memory: this much in each shard.
pub const INFLATE_WINDOWS_LEN_MAX: usize = 8 * 1024 * 1024;

/// Windows that a shard keeps; past it the least recently used window is dropped. Memory: some 150 bytes each beside
/// their bytes.
pub const INFLATE_WINDOWS_MAX: usize = 4096;

/// Bytes of the reason in a close frame: 125 less the two of the close code.
pub const CLOSE_REASON_LEN_MAX: usize = 123;

/// Bytes that a message of `len` bytes may have while it is compressed: with fixed codes, what cannot be compressed grows
/// by up to an eighth.
#[must_use]
pub const fn deflated_len_max(len: usize) -> usize {
    len + len / 8 + 64
}

/// Streams that one compressed message may consist of: each block with BFINAL ends one. More are not inflated.
pub const DEFLATE_STREAMS_PER_MESSAGE_MAX: usize = 64;

/// Bytes that a message may be inflated to where it is received. A longer message waits, still compressed, until the
/// turn has budget left for it. Time: at most this much is inflated in vain, about 0.06 ms.
pub const INFLATED_AT_ONCE_MAX: usize = 64 * 1024;

/// Bytes of the buffer for inflated messages that a shard keeps from one to the next.
pub const INFLATED_KEPT_LEN_MAX: usize = 64 * 1024;

/// Publications from one joining point of a shared stream to the next, at most: a new reader waits for the next joining
/// point.
pub const JOIN_EVERY_MAX: u32 = 10_000;

/// Shared streams of a shard: one for each topic and dialect with readers in it. Readers of further ones get every
/// message compressed for itself. Memory: one window each, `1 << compression_window` bytes.
pub const STREAMS_MAX: usize = 64 * 1024;

/// Shards in one process: interest in a topic is one bit a shard. More shards than cores help where each process or
/// ring is limited in its descriptors. Memory: 10 KiB of lanes for each ordered pair if there are so many, 160 MiB in
/// all, and a third of a MiB for each shard.
pub const SHARDS_MAX: usize = 128;

/// Mails in one lane between two shards. A full lane spills into the sender's own queue, [`SPILL_LEN_MAX`].
/// Memory: about 64 bytes each, two lanes for each ordered pair of shards.
pub const MAILBOX_LEN: usize = 4096;

/// Mails that wait at the sender for a full lane before it stops reading from its own publishers. What was already
/// read may go past it, by at most one turn's worth; nothing is dropped.
pub const SPILL_LEN_MAX: usize = 16 * 1024;

/// Bytes in one lane between two shards, whatever its mails; the last of them may go past it. Memory: twice as much for
/// each ordered pair of shards whose receiver is slow.
pub const LANE_COST_MAX: usize = 1024 * 1024;

/// Bytes that wait at a sender for full lanes before it stops reading from the connections that make mail. Memory: as
/// much in each shard, and [`MAIL_PER_PART_COST_MAX`] past it for each part of a turn.
pub const SPILL_COST_MAX: usize = 4 * 1024 * 1024;

/// Bytes of mail that one part of a turn makes before it ends; the last item may go past it.
pub const MAIL_PER_PART_COST_MAX: usize = 1024 * 1024;

/// Mails taken from each lane in one turn, so that a busy neighbour cannot keep a shard from its sockets.
pub const MAIL_PER_TURN_MAX: usize = 1024;

/// Mails taken from one lane before the next lane has its turn: when the budget ends, every neighbour has had its part.
pub const MAIL_PER_ROUND_MAX: usize = 64;

/// Messages and control frames decoded at a time; the bytes behind them wait undecoded if the budget ends.
pub const ITEMS_PER_PORTION_MAX: usize = 128;

/// Received bytes that one shard puts off, beside those of one more receive; past it nothing more is received. Memory:
/// as much.
pub const PUT_OFF_LEN_MAX: usize = 16 * 1024 * 1024;

/// A turn that takes longer is a line in the log, in milliseconds.
pub const TURN_SLOW_MS: u64 = 50;

/// Between two such lines of one shard, in milliseconds.
pub const TURN_SLOW_LOG_MS: u64 = 1_000;

/// Bytes lent by one `Received` completion: the size of the one receive buffer a shard has.
pub const RECEIVE_BUFFER_LEN: usize = 64 * 1024;

/// Bytes read from one connection in one wait, so that a fast publisher cannot starve its neighbours.
pub const RECEIVE_PER_WAIT_MAX: usize = 256 * 1024;

/// Connections accepted from one listener in one wait.
pub const ACCEPT_PER_WAIT_MAX: usize = 256;

/// The least time without an acknowledgement after which our kernel gives a peer up, in milliseconds. It holds for any
/// ping interval: within it a lost packet is sent again several times.
pub const SILENCE_MIN_MS: u64 = 10_000;

/// How long a listener rests after the process ran out of descriptors or memory, in milliseconds.
pub const ACCEPT_BACKOFF_MS: u64 = 100;

/// Accepts that one batch hands to io_uring, each with room for an address.
pub const ACCEPTS_PER_BATCH_MAX: usize = 64;

/// Direct descriptors of one io_uring: the kernel's own bound, below that of the process's open files.
pub const RING_FILES_MAX: u32 = 1 << 20;

/// Buffers that one io_uring receives into, a power of two. Each is filled piece by piece, with the bytes of many
/// connections.
pub const RING_BUFFERS: usize = 4;

/// Bytes of one such buffer. Memory: 128 KiB a shard in all, which is also the most that one call receives from
/// connections with an armed receive.
pub const RING_BUFFER_LEN: usize = 32 * 1024;

/// Reads that one batch hands to io_uring.
pub const READS_PER_ROUND_MAX: usize = 128;

/// Events of io_uring after which a wait lets the shard work on them.
pub const EVENTS_PER_WAIT_MAX: usize = 1024;

/// How long nothing is submitted after the kernel had no memory for a submission, in milliseconds.
pub const SUBMIT_RETRY_MS: u64 = 1;

/// The period over which io_uring connections are counted as busy or silent, in milliseconds.
pub const BUSY_PERIOD_MS: u64 = 1_000;

/// Waits of one period in which a connection is readable before a receive is armed for it.
pub const ARM_AFTER_WAITS: u8 = 8;

/// Connections of one shard with an armed receive. Memory: 600 bytes of the kernel's each, more than in a poll.
pub const ARMED_MAX: usize = 16 * 1024;

/// Connections past `connections_max` that a shard still serves, so that they get their 503 and health checks
/// are answered. Past these a connection is closed at once.
pub const REFUSALS_MAX: u32 = 256;

/// How long a silent connection keeps such a place from a newer one, in milliseconds.
pub const REFUSAL_KEPT_MS: u64 = 1_000;

/// Descriptors that are kept from connections, so that connections past the limit can be answered and accepted by the
/// batch; of few descriptors it is an eighth.
pub const DESCRIPTORS_RESERVED_MAX: u64 = 64;

/// Descriptors of the process for short-lived files: snapshots, certificates, reads from `/proc`.
pub const DESCRIPTORS_SPARE: u64 = 8;

/// Bytes of one run: the publications of one topic in one turn in one encoding. More bytes make several runs.
pub const RUN_LEN_MAX: usize = 256 * 1024;

/// Payload bytes of a run that is put into one block with others, so that a reader of many topics gets one reference for
/// several.
pub const SHORT_RUN_LEN_MAX: usize = 4 * 1024;

/// Bytes of such a block, and at most one run past it. Memory: a stalled reader of one of its topics keeps all of it.
pub const RUN_BLOCK_LEN: usize = 16 * 1024;

/// Topics and patterns that the configuration may let one connection follow: the count has 16 bits there.
pub const TOPICS_PER_CONNECTION_BOUND: u32 = 65_535;

/// Payload bytes that the configuration may let one message have: the length of its frame fits 32 bits even if every
/// byte is escaped.
pub const MESSAGE_LEN_BOUND: u32 = 256 * 1024 * 1024;

/// Buffers handed to the kernel in one send (`IOV_MAX` is 1,024).
pub const SEGMENTS_PER_SEND_MAX: usize = 64;

/// References in one reader's outbox, for any payload: 16 bytes each, so at most 256 KiB a stalled reader.
pub const OUTBOX_SEGMENTS_MAX: usize = 16 * 1024;

/// Bytes of control frames and closing handshake that may wait for a reader that does not read. Past it pongs are
/// replaced by the newest, as [RFC 6455 5.5.3] allows.
pub const CONTROL_QUEUE_LEN_MAX: usize = 1024;

/// Subscriptions of one operation still waiting for their home shard, per connection. One more pauses the reader.
pub const PENDING_OPERATIONS_MAX: usize = 256;

/// Topics and patterns of one operation that homes are asked for at a time. The others are dropped with their
/// connection if it ends. Until all are asked for, nothing else from the connection is processed.
pub const JOINS_AT_ONCE_MAX: usize = 256;

/// Bytes of answers that wait for a peer. Past it the peer is not read from until it has read them.
pub const REPLY_BACKLOG_LEN_MAX: usize = 256 * 1024;

/// Payload bytes of a catch-up (last values, missed publications) put into a reader's outbox at a time; the rest
/// follows as it reads.
pub const CATCH_UP_LEN_MAX: usize = 256 * 1024;

/// Keys of one topic that wait for one reader in mode `latest`; past it the oldest goes.
pub const LATEST_KEYS_MAX: usize = 1024;

/// Keys of one topic that are looked through for each publication; more are found by their order.
pub const LATEST_KEYS_INDEXED: usize = 16;

/// Messages a second that a subscription may ask for as its `max_rate`; a higher limit has no visible effect.
pub const MAX_RATE_BOUND: f64 = 1_000_000.0;

/// Milliseconds that a subscription may ask for as its `max_age_ms`: a day.
pub const MAX_AGE_MS_BOUND: u32 = 24 * 60 * 60 * 1000;

/// The least a reader's bandwidth may be limited to, in bytes a second: one full packet.
pub const BANDWIDTH_MIN: u32 = 1_400;

/// Sends a second to a reader with a bandwidth cap: each send is its share of the second.
pub const BANDWIDTH_SLICES: u32 = 10;

/// Bytes encoded at a time for a reader that was behind; what is newest is chosen again for the next portion.
pub const LAG_DRAIN_LEN: usize = 64 * 1024;

/// Payload bytes held for a reader in mode `latest` or `drop_oldest` while its subscriptions are under way, if that is
/// more than `outbox_len_max`.
pub const HELD_LEN_MAX: usize = 1024 * 1024;

/// Payload bytes that one turn takes from other shards before it goes back to its sockets.
pub const TURN_LEN_MAX: usize = 1024 * 1024;

/// How soon a shard tries again to post mail that found no room, in milliseconds.
pub const SPILL_RETRY_MS: u64 = 1;

/// Connections told to leave in one turn of a shutdown.
pub const DRAIN_PER_TURN_MAX: usize = 1024;

/// The value of `Retry-After` in a response with 503 or 429, in seconds.
pub const RETRY_AFTER_S: &str = "5";

/// The shortest delay before a client is asked to come back after a shutdown, and the least that delays are spread
/// over, in milliseconds.
pub const RETRY_MS_MIN: u64 = 1_000;

/// How many clients a second a shutdown asks to come back: the more there are, the wider their delays are spread.
pub const RECONNECTS_PER_SECOND: u64 = 5_000;

/// Payload bytes kept of one topic's history unless its rule says otherwise.
pub const HISTORY_LEN_MAX: u64 = 16 * 1024 * 1024;

/// The most publications that a rule may keep of one topic.
pub const HISTORY_MAX: u32 = 1_000_000;

/// Publications in one answer to a question for history; a client gets more by asking again from the last.
pub const HISTORY_ANSWER_MAX: usize = 10_000;

/// Payload bytes in one answer to a question for history, the first publication aside.
pub const HISTORY_ANSWER_LEN_MAX: usize = 4 * 1024 * 1024;

/// Topics looked at for the largest history when the bytes kept are at their bound.
pub const SHED_SAMPLE: usize = 64;

/// How often a shard looks whether a message is under way for too long, in milliseconds.
pub const UNFINISHED_INTERVAL_MS: u64 = 500;

/// Topics looked at in a turn because they keep something that has grown too old.
pub const SWEEP_PER_TURN: usize = 64;

/// How long a topic that keeps more is not looked at again, in milliseconds. So history goes within a second after
/// `history_ttl`, though a busy topic is not looked at for each of its messages.
pub const SWEEP_AGAIN_MS: u64 = 1_000;

/// How long not to look at topics after a turn that has, in milliseconds: with a million topics each look is a miss of
/// every cache, and a sweep costs as much as the rest of a short turn. A million topics that are due at once take 16 s.
pub const SWEEP_INTERVAL_MS: u64 = 1;

/// Earlier epochs of a topic whose positions still resume, each ended by a death without a shutdown.
pub const EPOCHS_KEPT: usize = 4;

/// The highest number of a publication in a snapshot: a topic that goes on from there never runs out of numbers.
pub const SNAPSHOT_OFFSET_MAX: u64 = u64::MAX / 2;

/// The greatest age of a publication in a snapshot, in milliseconds (30 days); an older one counts as this old.
pub const AGE_MAX_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// Topics that a shard looks at in one turn for a snapshot.
pub const SNAPSHOT_TOPICS_PER_TURN: usize = 512;

/// Publications that a shard adds in one turn to a snapshot: a longer history takes several.
pub const SNAPSHOT_PUBLICATIONS_PER_TURN: usize = 4096;

/// Between two portions of a snapshot, in milliseconds.
pub const SNAPSHOT_STEP_MS: u64 = 1;

/// Portions of a snapshot that wait to be written, of all shards. Memory: only publications that the hub let go
/// meanwhile; it keeps the others anyway.
pub const SNAPSHOT_PORTIONS_MAX: usize = 16;

/// Bytes of a snapshot read at a time.
pub const SNAPSHOT_READ_LEN: usize = 1024 * 1024;

/// Files that were refused and set aside under the names `.refused`, `.refused.1` and so on.
pub const REFUSED_FILES_MAX: usize = 100;

/// The time between two counts of a topic's readers for a watcher, in milliseconds.
pub const PRESENCE_INTERVAL_MS: u64 = 1_000;

/// Watched topics whose readers are counted in one turn.
pub const PRESENCE_TOPICS_PER_TURN: usize = 256;

/// Between two portions of watched topics, in milliseconds.
pub const PRESENCE_STEP_MS: u64 = 1;

/// Pooled blocks that a shard keeps for reuse; further ones go back to the allocator.
pub const POOL_BLOCKS_KEPT_MAX: usize = 256;

/// Bytes of a pooled block that is kept for reuse; a larger one goes back to the allocator.
pub const POOL_BLOCK_KEPT_LEN_MAX: usize = 64 * 1024;

/// Bytes not yet sent that the kernel may hold for one socket before backpressure shows (`TCP_NOTSENT_LOWAT`).
pub const NOTSENT_LOWAT: u32 = 128 * 1024;

/// Bytes of one line that the command-line client reads from standard input, and of one CSV record.
pub const INPUT_LINE_LEN_MAX: usize = 16 * 1024 * 1024;

/// Bytes of the configuration file.
pub const CONFIG_LEN_MAX: u64 = 1024 * 1024;

/// Origins in `allowed_origins`: each is compared with that of a request.
pub const ALLOWED_ORIGINS_MAX: usize = 256;

/// Names in `server_names`: each is compared with that of a request.
pub const SERVER_NAMES_MAX: usize = 256;

/// `[[topics]]` rules in a configuration: each is looked at when a topic comes to be.
pub const TOPIC_RULES_MAX: usize = 1024;

/// Bytes of a CSV file that `replay` loads whole, to sort it by time. Memory: about twice this.
pub const REPLAY_LEN_MAX: u64 = 1024 * 1024 * 1024;

/// Lines that the command-line client publishes in one request, at most.
pub const CLIENT_BATCH_LINES_MAX: usize = 256;

/// Bytes of lines that the command-line client publishes in one request; a longer single line goes alone.
pub const CLIENT_BATCH_LEN_MAX: usize = 1024 * 1024;

/// Bytes of one HTTP answer that the command-line client reads: the result lines of one batch are far below.
pub const CLIENT_ANSWER_LEN_MAX: usize = 4 * 1024 * 1024;

/// Bytes of one WebSocket message that the command-line client receives.
pub const CLIENT_MESSAGE_LEN_MAX: usize = 64 * 1024 * 1024;

/// Addresses and files that a configuration may listen on: a connection says in 8 bits where it came in.
pub const LISTENERS_MAX: usize = 64;

/// Handshakes begun in one turn; the first bytes of further connections wait for the next turn. Time: each takes 0.1 ms
/// with P-256, 1 ms with RSA-2048, and all connections of the shard wait for it.
pub const TLS_HANDSHAKES_PER_TURN: usize = 8;

/// Bytes that a connection may send before its handshake begins: a longer first message closes it. Memory: at most this
/// much in one pooled block until the handshake has its turn.
pub const TLS_HELLO_LEN_MAX: usize = 17 * 1024;

/// Bytes of incomplete records, or of records that hold an incomplete message of the handshake. Memory: at most this
/// much, and the bytes of one receive, in one pooled block while a record is incomplete.
pub const TLS_HELD_LEN_MAX: usize = 64 * 1024;

/// Bytes encrypted at a time for a reader that did not take all of the last portion: one record. Memory: this much for
/// each stalled reader, beside its references.
pub const TLS_RECORD_LEN: usize = 16 * 1024;

/// Bytes encrypted at a time for a reader that took all of the last portion: twice what one publisher brings in a turn.
/// Memory: this much for a reader that stalls in the middle of it.
pub const TLS_PORTION_LEN_MAX: usize = 2 * RECEIVE_PER_WAIT_MAX;

/// Bytes encrypted in one turn. Past it readers wait for the next turn: each has its own encrypted copy until the
/// kernel has taken it. Memory: this much in each shard, which its heap keeps after the first use. Time: every turn
/// looks at each reader that waits.
pub const TLS_ENCRYPT_PER_TURN_LEN: usize = 16 * 1024 * 1024;

/// Certificates in a configuration: each is compared with the name that a client asks for.
pub const TLS_CERTIFICATES_MAX: usize = 64;

/// Bytes of a certificate or key file.
pub const TLS_FILE_LEN_MAX: u64 = 1024 * 1024;

/// How often certificate and key files are looked at for a change, in milliseconds.
pub const TLS_FILES_POLL_MS: u64 = 2_000;

/// Bytes of a PROXY header. A longer one closes the connection.
pub const PROXY_HEADER_LEN_MAX: usize = 2048;

/// Networks that the configuration may trust as proxies.
pub const PROXIES_MAX: usize = 64;

/// Hops of an `X-Forwarded-For` that are looked at, from the last.
pub const FORWARDED_HOPS_MAX: usize = 16;

/// Detached sessions of a shard: those of clients over HTTP requests. Memory: about 150 bytes each, and what it follows and
/// is told. One more is refused with 503.
pub const DETACHED_MAX: usize = 65_536;

/// For so long a detached session waits for the next request of its client, in milliseconds. Source: sockjs-node,
/// `disconnect_delay`.
pub const DETACHED_LINGER_MS: u64 = 5_000;

/// For so long a request waits for something to be told before it is told that there is nothing, in milliseconds. Source:
/// sockjs-node, `heartbeat_delay`.
pub const DETACHED_HEARTBEAT_MS: u64 = 25_000;

/// Bytes of messages after which a streaming response of a service ends: browsers keep all of it. Source: sockjs-node,
/// `response_limit`.
pub const SERVICE_RESPONSE_LEN_MAX: usize = 128 * 1024;

/// Messages in one frame of a SockJS client.
pub const SOCKJS_MESSAGES_MAX: usize = 1_024;

/// Bytes of the name that a SockJS client chooses for its session.
pub const SOCKJS_SESSION_LEN_MAX: usize = 128;

/// Services of SockJS in a configuration.
pub const SOCKJS_SERVICES_MAX: usize = 64;

/// Topics that one portion of a list looks at.
pub const TOPICS_SCANNED_MAX: usize = 1_024;

/// Topics in one answer to a list; so many unless the request says fewer.
pub const TOPICS_LISTED_MAX: u32 = 1_000;

/// Subscriptions of a shard, of all its sessions; each address has a share. Memory: about 60 bytes each.
pub const SUBSCRIPTIONS_MAX: usize = 8 * 1024 * 1024;

/// Bytes of what a reader missed in a topic, as it is said, that it gets at a time. A reader in `latest` or `drop_oldest`
/// that missed more has lost it. Time: at most 8,000 messages, about 2 ms.
pub const RESUME_PAGE_LEN_MAX: usize = 256 * 1024;
