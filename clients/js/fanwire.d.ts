/** The way in which the client is connected: `/ws`, `/sse`, `/stream`, `/poll`. */
export type Transport = 'ws' | 'sse' | 'stream' | 'poll';

/** `idle`: no topic is followed. `waiting`: until the next attempt to connect. */
export type State = 'idle' | 'connecting' | 'live' | 'waiting' | 'closed';

export interface FanwireOptions {
  /** The transports, the best first; default `['ws', 'sse', 'poll']`. */
  transports?: Transport[];
  /** A token, sent as `?token=`. */
  token?: string;
  /** Bytes a second for the whole client, 1,400 or more; not over `poll`. `null` removes the limit. */
  bandwidth?: number | null;
  /**
   * A WebSocket class for platforms without one, such as that of npm `ws` for Node 20. Without one the transport
   * `ws` fails.
   */
  WebSocket?: unknown;
  fetch?: typeof globalThis.fetch;
  /** Milliseconds after which a transport that does not connect counts as failed; default 10,000. */
  openTimeoutMs?: number;
  /** Milliseconds after which an unanswered publication or history request rejects with `silent`; default 10,000. */
  answerTimeoutMs?: number;
  /** Milliseconds after which a better transport is tried again; default 60,000. */
  betterTransportMs?: number;
  /** The first wait of the backoff, in milliseconds; default 500. A time from the gateway at a shutdown wins. */
  retryMinMs?: number;
  /** The longest wait of the backoff, in milliseconds; default 15,000. */
  retryMaxMs?: number;
  /** Milliseconds of silence on `ws` after which the client sends a ping; default 15,000. */
  pingMs?: number;
}

export interface SubscribeOptions {
  mode?: 'queue' | 'drop_oldest' | 'latest';
  /** Messages a second of each topic or pattern; not over `poll`. */
  maxRate?: number;
  maxAgeMs?: number;
  /** `false` leaves out the last values that otherwise come first. */
  last?: boolean;
  /**
   * The position to resume from: `EPOCH-OFFSET`, or one for each topic. A topic that is followed already moves
   * there, back or forward. A text that is no position gives a gap event, like a position that the gateway does not
   * know.
   */
  since?: string | Record<string, string>;
  /** Messages come with their attributes; not over `sse`. */
  headers?: boolean;
  /** Gives the number of readers, as `presence` events; over `ws`, not for patterns. */
  presence?: boolean;
}

export interface Push<T = unknown> {
  topic: string;
  /** Missing for a message of a pattern over `sse`. */
  offset: number | undefined;
  /** JSON as its value, other text as a string, octets as a `Uint8Array`. */
  data: T;
  /** The name of its event, if it has one. */
  event: string | undefined;
  /** Its attributes, with the media type as `content-type`; only if `headers` was set and it has any. */
  headers: Record<string, string> | undefined;
}

export interface PublishOptions {
  /** The conflation key. */
  key?: string;
  /** An id of the message, so that a repeat is not published again. */
  messageId?: string;
  /** The name of its event: 1 to 255 bytes without control characters. */
  event?: string;
  /** Names and values, at most 4 KiB in all; `content-type` is the media type. */
  headers?: Record<string, string>;
  /** `false`: later readers do not get it as the last value. */
  last?: boolean;
  /**
   * `false`: this client does not get it; over `ws`, and not while earlier publications to the topic are under way
   * over HTTP.
   */
  echo?: boolean;
}

export interface Position {
  topic: string;
  epoch: string;
  offset: number;
  /** The message id is a repeat: this is the position of the first message. */
  duplicate?: boolean;
}

export interface StateDetail {
  state: State;
  transport: Transport | null;
  /** The wait in milliseconds, with `waiting`. */
  retryMs?: number;
  error?: FanwireError;
}

export interface GapDetail {
  topic: string;
  /** The number of skipped messages; `null` if it is unknown: the topic began anew, or its offsets have holes. */
  skipped: number | null;
  /** The offset of the next message. */
  offset: number;
  /** Whether the messages were lost without a connection, and not skipped for a slow reader or a rate. */
  isResume: boolean;
}

/** After a reconnection: the number of missed messages that come now, and the topics with a gap. */
export interface ResumedDetail {
  recovered: number;
  lost: string[];
}

export interface PresenceDetail {
  topic: string;
  readers: number;
  joins: number;
  leaves: number;
}

/** `code` is one of the gateway's, or one of those in README.md. */
export class FanwireError extends Error {
  code: string;
  transport?: Transport;
  /** Topics that are refused and followed no longer. With `not_supported` they are followed again over another transport. */
  topics?: string[];
  status?: number;
}

export interface FanwireEvents {
  state: CustomEvent<StateDetail>;
  gap: CustomEvent<GapDetail>;
  resumed: CustomEvent<ResumedDetail>;
  presence: CustomEvent<PresenceDetail>;
  error: CustomEvent<FanwireError>;
}

export class Fanwire extends EventTarget {
  /** `http://` or `ws://`; the page's own origin by default. It connects when the first topic is followed. */
  constructor(url?: string | URL, options?: FanwireOptions);
  readonly state: State;
  readonly transport: Transport | null;
  /**
   * The position of the last message of a topic that was delivered: give it as `since`, for example at the next
   * start.
   */
  position(topic: string): string | null;
  subscribe(topics: string | string[], onPush: (push: Push<any>) => void): void;
  subscribe(topics: string | string[], options: SubscribeOptions, onPush: (push: Push<any>) => void): void;
  /** Leaves topics and forgets their positions, unless they are followed again in the same turn of the event loop. */
  unsubscribe(topics: string | string[]): void;
  /** Rejects with a `FanwireError`; after `silent`, `disconnected` and `closed` the message may have been published. */
  publish(topic: string, data: unknown, options?: PublishOptions): Promise<Position>;
  /** Forgets the last value of a topic; `not_found` for a topic without a publication and without a reader. */
  forgetLast(topic: string): Promise<Position>;
  history(
    topic: string,
    options?: { since?: string; limit?: number; order?: 'oldest' | 'newest' },
  ): Promise<{ epoch: string; messages: Omit<Push, 'topic'>[] }>;
  reconfigure(options: FanwireOptions): void;
  /** Ends connections and requests at once; open promises reject with `closed`. */
  close(): void;
  addEventListener<K extends keyof FanwireEvents>(
    type: K,
    listener: (event: FanwireEvents[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
}
