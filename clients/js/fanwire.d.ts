/** How the client is connected: `/ws`, `/sse`, `/stream`, `/poll`. */
export type Transport = 'ws' | 'sse' | 'stream' | 'poll';

/** `idle`: nothing is followed. `waiting`: for the time to come back. */
export type State = 'idle' | 'connecting' | 'live' | 'waiting' | 'closed';

export interface FanwireOptions {
  /** The best first; default `['ws', 'sse', 'poll']`. */
  transports?: Transport[];
  /** Said as `?token=`. */
  token?: string;
  /** Bytes a second for everything that is read, from 1,400 on; not over `poll`. `null` lifts it. */
  bandwidth?: number | null;
  /** Where there is none of its own, as in Node 20: that of npm `ws`, say. Without one `ws` counts as failed. */
  WebSocket?: unknown;
  fetch?: typeof globalThis.fetch;
  /** Until a transport that does not come up counts as failed; default 10,000. */
  openTimeoutMs?: number;
  /** Until a publication or a question for history that is not answered rejects with `silent`; default 10,000. */
  answerTimeoutMs?: number;
  /** Until a better transport is tried again; default 60,000. */
  betterTransportMs?: number;
  /** The first wait of the backoff; default 500. What the gateway asks for at a shutdown comes before it. */
  retryMinMs?: number;
  /** The longest; default 15,000. */
  retryMaxMs?: number;
  /** Silence on `ws` after which the client sends a ping; default 15,000. */
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
   * Where to go on: `EPOCH-OFFSET`, or one for each topic. A topic that is followed already goes back, or on, to there.
   * A text that is no position gives a gap event, as one that the gateway does not know.
   */
  since?: string | Record<string, string>;
  /** Messages come with their attributes; not over `sse`. */
  headers?: boolean;
  /** Tells how many read, as `presence` events; over `ws`, not for patterns. */
  presence?: boolean;
}

export interface Push<T = unknown> {
  topic: string;
  /** Missing where a pattern brought it over `sse`. */
  offset: number | undefined;
  /** JSON as its value, other text as a string, octets as a `Uint8Array`. */
  data: T;
  /** The name of the event that it tells of, if it has one. */
  event: string | undefined;
  /** Its attributes, the media type as `content-type`; if they were asked for and it has any. */
  headers: Record<string, string> | undefined;
}

export interface PublishOptions {
  /** The conflation key. */
  key?: string;
  /** What names the message, so that a repeat is not said again. */
  messageId?: string;
  /** The name of the event that it tells of: 1 to 255 bytes without control characters. */
  event?: string;
  /** Names and values, at most 4 KiB in all; `content-type` is the media type. */
  headers?: Record<string, string>;
  /** `false`: those who come later do not get it as the last value. */
  last?: boolean;
  /** `false`: this client does not get it; over `ws`, and not as long as earlier ones to the topic are under way over HTTP. */
  echo?: boolean;
}

export interface Position {
  topic: string;
  epoch: string;
  offset: number;
  /** The message id was there before: this is where. */
  duplicate?: boolean;
}

export interface StateDetail {
  state: State;
  transport: Transport | null;
  /** With `waiting`. */
  retryMs?: number;
  error?: FanwireError;
}

export interface GapDetail {
  topic: string;
  /** How many messages were left out; `null` where nobody knows: the topic began anew, or its offsets have holes. */
  skipped: number | null;
  /** The offset of the message that comes next. */
  offset: number;
  /** Whether it was lost while there was no connection, and not left out for a slow reader or a rate. */
  isResume: boolean;
}

/** After a return to topics: how many messages come that would have been missed, and which topics have a gap. */
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

/** `code` is the gateway's, or one that README.md lists. */
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
  /** The last position of a topic that was handed on: give it as `since`, at the next start say. */
  position(topic: string): string | null;
  subscribe(topics: string | string[], onPush: (push: Push<any>) => void): void;
  subscribe(topics: string | string[], options: SubscribeOptions, onPush: (push: Push<any>) => void): void;
  /** Leaves topics and forgets their positions, unless they are followed again in the same turn of the event loop. */
  unsubscribe(topics: string | string[]): void;
  /** Rejects with a `FanwireError`; after `silent`, `disconnected` and `closed` the message may have been published. */
  publish(topic: string, data: unknown, options?: PublishOptions): Promise<Position>;
  /** Forgets the last value of a topic; `not_found` for one that nobody published or reads. */
  forgetLast(topic: string): Promise<Position>;
  history(
    topic: string,
    options?: { since?: string; limit?: number; order?: 'oldest' | 'newest' },
  ): Promise<{ epoch: string; messages: Omit<Push, 'topic'>[] }>;
  reconfigure(options: FanwireOptions): void;
  /** Ends connections and requests at once; promises that are open reject with `closed`. */
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
