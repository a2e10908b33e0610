// Reads and publishes topics of a fanwire gateway, in browsers and in Node from 20 on. No dependencies.
//
// A *transport* is the way in which the client is connected: `ws` (/ws), `sse` (/sse), `stream` (/stream), `poll`
// (/poll). The client uses the first of its transports that works, tries the better ones again later, and reconnects
// by itself.
//
//   Fanwire    the interface
//   Topics     the wanted topics, and the last delivered position of each; knows no connection
//   Carrier    keeps one link live: tries transports, waits, looks for better ones
//   SocketLink, HttpLink    follow the topics: each compares those that are wanted with its own, and asks for the difference
//   Requests   HTTP addresses, answers and their deadlines
//   Posts      publications over HTTP

/** The reason of a failure: `code` is one of the gateway's, or one of those in README.md. */
export class FanwireError extends Error {
  constructor(code, message, more = {}) {
    super(message);
    Object.assign(this, { name: 'FanwireError', code }, more);
  }
}

const TRANSPORTS = ['ws', 'sse', 'stream', 'poll'];
const DEFAULTS = {
  transports: ['ws', 'sse', 'poll'],
  openTimeoutMs: 10_000, // until a transport that does not come up counts as failed
  answerTimeoutMs: 10_000, // until a publication or a question for history that is not answered counts as failed
  betterTransportMs: 60_000, // until a better transport is tried again; twice that each time, up to 16 times
  retryMinMs: 500, // the first wait of the backoff, which doubles
  retryMaxMs: 15_000,
  pingMs: 15_000, // silence on /ws after which the client sends a ping
};
const HIDDEN = 4; // a page that nobody sees pings and comes back so many times slower
const PONG_MS = 10_000; // until a ping counts as unanswered
const SILENCE_MS = 75_000; // without a heartbeat over HTTP
const WATCH_MS = 1_000;
const TOPICS_PER_OPERATION_MAX = 1024;
const OPERATIONS_MAX = 32; // under way on one WebSocket; the gateway bounds them too
const TOPICS_PER_REQUEST_MAX = 128;
const TARGET_LEN_MAX = 8_000; // of topics and positions in one request, as characters
const POSITION_LEN_MAX = 48; // of one position, with its separators and the topic's
const LINES_PER_POST_MAX = 1_000;
const POST_LEN_MAX = 262_144; // of all lines of one request, as characters; a longer line goes alone
const LATER = ['overloaded', 'rate_limited', 'unauthorized', 'internal']; // refusals that are not about the topics
const REFUSALS = [400, 403, 414, 431]; // the status of those that may be
const UNEXPECTED = 'unexpected'; // the code of an answer that is not the gateway's
const UNHEARD_MAX = 1_000; // own publications of one topic that do not come, until others come behind them
const BINARY = /^data:application\/octet-stream;base64,([A-Za-z0-9+/]*={0,2})$/;
const NOWHERE = { epoch: '0', offset: 0 }; // a position that no topic has

/** The client of a page or program. */
export class Fanwire extends EventTarget {
  #options = { WebSocket: globalThis.WebSocket, fetch: (...it) => globalThis.fetch(...it), ...DEFAULTS };
  #topics;
  #requests;
  #posts;
  #carrier;
  #isChanged = false;
  #forgetting = null;

  constructor(url = globalThis.location?.origin, options = {}) {
    super();
    this.#take(options);
    const say = (type, detail) => this.dispatchEvent(new CustomEvent(type, { detail }));
    const root = String(url).replace(/^ws/, 'http').replace(/\/+$/, '');
    this.#topics = new Topics(say, () => this.#changed());
    this.#requests = new Requests(root, this.#options);
    this.#posts = new Posts(this.#requests);
    this.#carrier = new Carrier({ say, options: this.#options, topics: this.#topics, requests: this.#requests });
  }

  /** `idle`, `connecting`, `live`, `waiting` or `closed`. */
  get state() {
    return this.#carrier.state;
  }

  /** The transport in use, or null. */
  get transport() {
    return this.#carrier.link?.transport ?? null;
  }

  /** The position of the last delivered message of a topic, to be kept and given as `since`; or null. */
  position(topic) {
    const position = this.#topics.position(topic);
    return position ? written(position) : null;
  }

  /** Follows topics and patterns; for targets that are followed already it replaces options and `onPush`. */
  subscribe(topics, options, onPush) {
    if (typeof options === 'function') [options, onPush] = [{}, options];
    if (this.state === 'closed') return;
    this.#topics.want([topics].flat(), options ?? {}, onPush);
  }

  /** Leaves topics and patterns, and forgets their positions, unless they are followed again in the same turn. */
  unsubscribe(topics) {
    this.#topics.leave([topics].flat());
  }

  /** Publishes any JSON value; resolves with its position once it has one. With a `messageId` it is safe to repeat. */
  async publish(topic, data, { key, messageId, event, headers, last, echo } = {}) {
    if (this.state === 'closed') throw closed();
    const line = publication(topic, data, { key, message_id: messageId, event, headers, last, echo });
    const { link } = this.#carrier;
    // A publication on the WebSocket must not overtake an earlier one that HTTP still carries.
    if (link?.transport !== 'ws' || this.#posts.has(topic)) return this.#posts.add(topic, line);
    return link.publish(topic, line, echo === false ? (position) => this.#topics.unheard(topic, position) : undefined);
  }

  /** Forgets the last value of a topic; resolves with the topic's position. */
  async forgetLast(topic) {
    if (this.state === 'closed') throw closed();
    checkTopic(topic);
    const text = await this.#requests.text(this.#requests.target(`${pathOf(topic)}/last`), { method: 'DELETE' });
    const position = jsonOr(text);
    if (typeof position?.epoch !== 'string') throw new FanwireError(UNEXPECTED, 'the answer is no position');
    return position;
  }

  /** The messages of a topic that the gateway keeps: `{epoch, messages: [{offset, data, event, headers}]}`. */
  async history(topic, { since, limit, order } = {}) {
    if (this.state === 'closed') throw closed();
    checkTopic(topic);
    const text = await this.#requests.text(this.#requests.target(`${pathOf(topic)}/history`, { since, limit, order }));
    try {
      const { epoch, messages } = JSON.parse(text);
      return { epoch, messages: messages.map(({ o, d, b, e, h }) => ({ offset: o, data: payload(d, b), event: e, headers: h })) };
    } catch (error) {
      throw new FanwireError(UNEXPECTED, 'the answer is no history', { cause: error });
    }
  }

  /** Changes `transports`, `bandwidth`, `token` and the other options; the topics move without a gap. */
  reconfigure(options) {
    this.#take(options);
    this.#carrier.reopen();
  }

  /** Ends everything at once: connections, requests, and open promises, which reject. */
  close() {
    if (this.state === 'closed') return;
    const error = closed();
    this.#carrier.close(error);
    this.#requests.close(error);
    this.#posts.close(error);
  }

  #take(options) {
    const { transports } = options;
    const isGood = Array.isArray(transports) && transports.length > 0 && transports.every((it) => TRANSPORTS.includes(it));
    if (transports !== undefined && !isGood) throw new TypeError(`transports are of ${TRANSPORTS}`);
    for (const [name, value] of Object.entries(options)) if (value !== undefined) this.#options[name] = value;
  }

  /** Asks once for all changes that are made together; places outlive the turn of the event loop. */
  #changed() {
    if (this.#isChanged) return;
    this.#isChanged = true;
    queueMicrotask(() => {
      this.#isChanged = false;
      this.#carrier.sync();
    });
    this.#forgetting ??= setTimeout(() => {
      this.#forgetting = null;
      this.#topics.forget();
    }, 0);
  }
}

/**
 * The topics that are wanted, and how far each was handed on. The two are apart: a topic that is left and wanted again in
 * one turn keeps its place. Links make a cover of each topic that they follow; while `isCurrent` says so of all covers,
 * there is nothing to ask for.
 */
class Topics {
  wanted = new Map(); // topic or pattern -> wish
  #places = new Map(); // topic or pattern -> {position, isTaken}; another object makes links join anew, from its position
  #say;
  #changed;

  constructor(say, changed) {
    this.#say = say;
    this.#changed = changed;
  }

  want(topics, options, onPush) {
    const { since, mode, maxRate, maxAgeMs, last, presence, headers } = options;
    const key = JSON.stringify([mode, maxRate, maxAgeMs, last, presence, headers]);
    for (const topic of topics) {
      try {
        checkTopic(topic);
      } catch (error) {
        queueMicrotask(() => this.#say('error', Object.assign(error, { topics: [topic] })));
        continue;
      }
      const wish = { topic, options, key, onPush, isPattern: isPattern(topic) };
      this.wanted.set(topic, wish);
      const from = typeof since === 'string' ? since : since && Object.hasOwn(since, topic) ? since[topic] : null;
      this.#seek(wish, from && !wish.isPattern ? (parsed(from) ?? NOWHERE) : null);
    }
    this.#changed();
  }

  #seek({ topic }, from) {
    const place = this.#places.get(topic);
    const isThere = from === null || (place?.position && written(place.position) === written(from));
    if (!place) this.#places.set(topic, { position: from && { ...from }, isTaken: false });
    else if (!isThere) this.#places.set(topic, { ...place, position: { ...from } });
  }

  leave(topics) {
    topics.forEach((topic) => this.wanted.delete(topic));
    this.#changed();
  }

  /** Drops the places of topics that are no longer wanted. */
  forget() {
    for (const topic of this.#places.keys()) if (!this.wanted.has(topic)) this.#places.delete(topic);
  }

  position(topic) {
    return this.#places.get(topic)?.position ?? null;
  }

  place(topic) {
    return this.#places.get(topic);
  }

  cover({ topic, isPattern, options, key }) {
    const place = this.#places.get(topic);
    return { topic, isPattern, options, key, place, epoch: null, heldFrom: 0, last: null, isJoined: false, isBusy: false };
  }

  isPlaced({ topic, place }) {
    return this.wanted.has(topic) && this.#places.get(topic) === place;
  }

  isCurrent(cover) {
    return this.isPlaced(cover) && this.wanted.get(cover.topic).key === cover.key;
  }

  /** Topics that the gateway refuses are no longer wanted, unless they were asked for otherwise meanwhile. */
  refuse(covers, error) {
    const topics = covers.filter((it) => this.isCurrent(it)).map((it) => it.topic);
    if (topics.length === 0) return;
    this.leave(topics);
    this.#say('error', Object.assign(error, { topics }));
  }

  /** The gateway reports the positions of topics that a link now follows; `isReturn` if these are the link's first. */
  joined(said, covers, isReturn) {
    let [recovered, isResumed] = [0, false];
    const lost = [];
    for (const [topic, stand] of said) {
      const cover = covers.get(topic);
      if (!cover || cover.isPattern || stand.epoch === undefined || this.#places.get(topic) !== cover.place) continue;
      cover.epoch = stand.epoch;
      const before = cover.place.position;
      const start = startOf(stand, cover.options);
      const isSame = before?.epoch === stand.epoch;
      cover.last = null;
      if (!before) {
        cover.place.position = start;
        this.#standAt(cover, stand, 0);
        continue;
      }
      isResumed = true;
      if (stand.recovered || (isSame && before.offset >= start.offset)) {
        // A gateway may tell that a position of another epoch misses nothing of this one.
        if (!isSame) cover.place.position = { epoch: stand.epoch, offset: 0 };
        recovered += Math.max(0, stand.offset - cover.place.position.offset);
        continue;
      }
      lost.push(topic);
      cover.place.position = start;
      this.#standAt(cover, stand, isSame ? before.offset : 0);
      this.#say('gap', { topic, skipped: isSame ? start.offset - before.offset : null, offset: start.offset + 1, isResume: true });
    }
    if (isResumed && isReturn) this.#say('resumed', { recovered, lost });
  }

  /** Nothing up to where a topic stands comes any more, but for its last value, which may be older. */
  #standAt(cover, { offset }, heard) {
    cover.heldFrom = offset;
    if (cover.options.last !== false) cover.last = { from: cover.place.position.offset, heard };
  }

  /** Delivers a message to its subscribers, each message of a topic once. */
  push({ t: topic, o: offset, p: prev = offset - 1, d, b, e: event, h: headers }, covers) {
    const push = { topic, offset, data: payload(d, b), event, headers };
    const cover = covers.get(topic);
    const wish = cover && this.#isNext(cover, offset, prev) ? this.wanted.get(topic) : null;
    if (cover && !wish && this.isPlaced(cover) && cover.isJoined) return;
    if (wish) hand(wish, push);
    for (const pattern of covers.patterns()) {
      if (pattern.isJoined && matches(pattern.topic, topic) && this.isPlaced(pattern)) hand(this.wanted.get(pattern.topic), push);
    }
  }

  /** Whether a message comes after the last one of its topic; then the topic's position moves there. */
  #isNext(cover, offset, prev) {
    if (!cover.isJoined || !this.#isHeard(cover)) return false;
    const { last } = cover;
    const { position } = cover.place;
    if (!position || offset === undefined) return true;
    if (cover.epoch !== position.epoch) return false;
    cover.last = null;
    if (offset <= position.offset) {
      if (last?.from !== position.offset || offset <= last.heard) return false;
      position.offset = Math.max(position.offset, cover.heldFrom);
      return true;
    }
    this.#checkGap(cover, prev, offset);
    position.offset = offset;
    return true;
  }

  /** A message names the one before it: if that is not what came before, something is missing that nobody has told. */
  #checkGap({ topic, place, heldFrom }, prev, offset) {
    let held = Math.max(place.position.offset, heldFrom);
    while (place.unheard?.delete(held + 1)) held += 1;
    if (prev <= held || place.unheard?.delete(prev)) return;
    this.#say('gap', { topic, skipped: prev === offset - 1 ? prev - held : null, offset, isResume: false });
  }

  /** A publication of the client's own that it does not get. */
  unheard(topic, { epoch, offset }) {
    const place = this.#places.get(topic);
    if (place?.position?.epoch !== epoch || offset <= place.position.offset) return;
    place.unheard = new Set([...(place.unheard ?? []), offset].slice(-UNHEARD_MAX));
  }

  /**
   * Whether messages of a topic can be delivered. If it was left in this turn, a link that follows it again must
   * ask for them.
   */
  #isHeard({ topic, place }) {
    if (this.#places.get(topic) !== place) return false;
    if (this.wanted.has(topic)) return true;
    this.#places.set(topic, { ...place });
    return false;
  }

  /** The gateway left messages out, for a slow reader or a rate. */
  skipped({ t: topic, skipped, o: offset }, covers) {
    const cover = covers.get(topic);
    const isNamed = cover?.isJoined && this.#isHeard(cover);
    const position = isNamed ? cover.place.position : null;
    if (position && position.epoch === cover.epoch) position.offset = Math.max(position.offset, offset - 1);
    const isMatched = covers.patterns().some((it) => this.isPlaced(it) && matches(it.topic, topic));
    if (isNamed || isMatched) this.#say('gap', { topic, skipped, offset, isResume: false });
  }

  /** A poll reports the position of a topic; the link before it may be further. */
  moved(cover, { epoch, offset }) {
    if (!this.isPlaced(cover)) return;
    const { position } = cover.place;
    cover.epoch = epoch;
    cover.place.position = { epoch, offset: position?.epoch === epoch ? Math.max(offset, position.offset) : offset };
  }
}

/** The topics that a connection or a request follows: topic or pattern -> cover. */
class Covers extends Map {
  #patterns = null;

  static of(covers) {
    const all = new Covers();
    covers.forEach((cover) => all.set(cover.topic, cover));
    return all;
  }

  set(topic, cover) {
    this.#patterns = null;
    return super.set(topic, cover);
  }

  delete(topic) {
    this.#patterns = null;
    return super.delete(topic);
  }

  patterns() {
    return (this.#patterns ??= [...this.values()].filter((it) => it.isPattern));
  }
}

/** Keeps one link live, if any topic is wanted. */
class Carrier {
  state = 'idle';
  link = null; // the live one
  #opening = null; // the one that would take its place
  #leaving = new Set(); // WebSockets that only wait for answers
  #round = []; // transports still to try
  #good = null; // the one that worked last
  #attempt = 0;
  #betterMs;
  #timers = { retry: null, better: null, open: null, watch: null };
  #context;
  #unlisten;

  constructor(context) {
    this.#context = context;
    this.#betterMs = context.options.betterTransportMs;
    this.#unlisten = onAttention(() => this.#wake());
  }

  get options() {
    return this.#context.options;
  }

  /** The wanted topics have changed. */
  sync() {
    if (this.state === 'closed') return;
    if (this.#context.topics.wanted.size === 0) {
      this.#rest();
      if (this.state !== 'idle') this.#tell('idle');
    } else if (this.link || this.#opening) {
      this.link?.sync();
      this.#opening?.sync();
    } else if (this.#timers.retry === null) this.#open(this.#inOrder());
  }

  /** Options have changed: another link replaces this one. */
  reopen() {
    this.#betterMs = this.options.betterTransportMs;
    if (this.state !== 'closed' && this.#context.topics.wanted.size > 0) this.#open(this.options.transports);
  }

  close(error) {
    this.#unlisten();
    this.#rest();
    this.#leaving.forEach((link) => link.close(error));
    this.#tell('closed');
  }

  /** A link follows all wanted topics. */
  live(link) {
    if (link !== this.#opening) return;
    const before = this.link;
    [this.link, this.#opening] = [link, null];
    this.#stop(before);
    this.#clear('open');
    this.#attempt = 0;
    this.#good = link.transport;
    this.#tell('live');
    if (link === this.link) this.#lookForBetter();
  }

  /** A link has ended by itself, or never came up. */
  down(link, error) {
    const retryMs = link.retryMs ?? error.retryMs;
    if (link === this.link) {
      this.link = null;
      this.#tell('connecting', { error });
      if (this.state === 'connecting' && !this.#opening) this.#wait(retryMs);
    } else if (link === this.#opening) {
      const { transport } = link;
      this.#opening = null;
      this.#clear('open');
      this.#context.say('error', new FanwireError('transport_failed', `${transport}: ${error.message}`, { transport, cause: error }));
      const [, ...others] = this.#round;
      if (this.state === 'closed' || this.#opening) return;
      if (others.length > 0) this.#open(others);
      else if (this.link) this.#lookForBetter();
      else this.#wait(retryMs);
    }
  }

  /** A stopped link has nothing left to wait for. */
  gone(link) {
    this.#leaving.delete(link);
  }

  get patience() {
    return globalThis.document?.visibilityState === 'hidden' ? HIDDEN : 1;
  }

  /** The page is visible again, or the network is back. */
  #wake() {
    if (this.patience > 1) return;
    if (this.#timers.retry !== null) this.#open(this.#inOrder());
    else this.link?.watch(true);
  }

  #rest() {
    for (const name of Object.keys(this.#timers)) this.#clear(name);
    const links = [this.link, this.#opening];
    this.link = this.#opening = null;
    links.forEach((link) => this.#stop(link));
  }

  #stop(link) {
    if (!link) return;
    this.#leaving.add(link);
    link.stop();
  }

  /** The transport that worked last, then the others. */
  #inOrder() {
    const { transports } = this.options;
    return transports.includes(this.#good) ? [this.#good, ...transports.filter((it) => it !== this.#good)] : transports;
  }

  #open(round) {
    for (const name of ['retry', 'better', 'open']) this.#clear(name);
    this.#stop(this.#opening);
    this.#round = round;
    const [transport] = round;
    const link = (this.#opening = new (transport === 'ws' ? SocketLink : HttpLink)(this.#context, this, transport));
    if (!this.link) this.#tell('connecting', { transport });
    if (link !== this.#opening) return; // a listener has changed its mind
    this.#timers.watch ??= setInterval(() => this.link?.watch(false), WATCH_MS);
    this.#timers.open = setTimeout(() => link.fail(silent('no answer in time')), this.options.openTimeoutMs);
    try {
      link.start();
    } catch (error) {
      queueMicrotask(() => link.fail(error));
    }
  }

  #wait(retryMs) {
    const { retryMinMs, retryMaxMs } = this.options;
    const most = Math.min(retryMaxMs, retryMinMs * 2 ** this.#attempt) * this.patience;
    this.#attempt = Math.min(this.#attempt + 1, 30);
    const delay = Math.round(retryMs ?? most / 2 + (Math.random() * most) / 2);
    this.#clear('retry');
    this.#timers.retry = setTimeout(() => this.#open(this.#inOrder()), delay);
    this.#tell('waiting', { retryMs: delay });
  }

  #lookForBetter() {
    const { transports, betterTransportMs } = this.options;
    const at = transports.indexOf(this.link?.transport);
    const better = at < 0 ? transports : transports.slice(0, at);
    this.#clear('better');
    if (better.length === 0) {
      this.#betterMs = betterTransportMs;
      return;
    }
    this.#timers.better = setTimeout(() => this.#open(better), this.#betterMs);
    this.#betterMs = Math.min(this.#betterMs * 2, betterTransportMs * 16);
  }

  /** One call ends both kinds of timer. */
  #clear(name) {
    clearTimeout(this.#timers[name]);
    this.#timers[name] = null;
  }

  #tell(state, more = {}) {
    this.state = state;
    this.#context.say('state', { state, transport: this.link?.transport ?? null, ...more });
  }
}

/**
 * Follows all topics over one WebSocket. While an operation of a topic waits for its reply the topic is busy, and no other
 * operation names it, so that the order of replies does not matter.
 */
class SocketLink {
  transport = 'ws';
  retryMs;
  #context;
  #carrier;
  #socket = null;
  #covers = new Covers();
  #doubts = new WeakMap(); // places of topics that were refused together -> which part of them is asked for apart
  #parts = 0;
  #replies = new Map(); // id -> {take, timer}
  #ids = 0;
  #underWay = 0;
  #isOpen = false;
  #isLive = false;
  #isStopped = false;
  #heardAt = performance.now();
  #pingedAt = null;

  constructor(context, carrier) {
    this.#context = context;
    this.#carrier = carrier;
  }

  start() {
    const { WebSocket, bandwidth } = this.#context.options;
    if (!WebSocket) throw new FanwireError('transport_failed', 'there is no WebSocket here');
    const target = this.#context.requests.target('ws', { bandwidth }).replace(/^http/, 'ws');
    const socket = (this.#socket = new WebSocket(target, 'fanwire.json.v1'));
    socket.onopen = () => {
      this.#isOpen = true;
      this.sync();
    };
    socket.onmessage = ({ data }) => {
      try {
        this.#receive(data);
      } catch (error) {
        this.fail(new FanwireError('bad_request', `the gateway sent something that is no message: ${error.message}`));
      }
    };
    socket.onerror = () => {}; // `onclose` follows
    socket.onclose = ({ code, reason }) => {
      this.retryMs ??= Number(/^retry_ms=(\d+)$/.exec(reason)?.[1] ?? NaN) || undefined;
      const error = new FanwireError('disconnected', `closed with ${code} ${reason}`.trim(), { closeCode: code });
      this.fail(error);
      this.close(error);
    };
  }

  /** Follows nothing more; publications that are under way are still answered. */
  stop() {
    this.#isStopped = true;
    this.#endIfDone();
  }

  /** Ends at once. The reason is no answer to a publication: it is unknown whether it was accepted. */
  close({ code, message }) {
    this.#isStopped = true;
    const replies = [...this.#replies.values()];
    this.#replies.clear();
    for (const { take, timer } of replies) {
      clearTimeout(timer);
      take({ op: 'err', code: code === 'closed' ? code : 'disconnected', message });
    }
    this.#endIfDone();
  }

  fail(error) {
    if (this.#isStopped) return;
    this.close(error);
    this.#carrier.down(this, error);
  }

  watch(isNow) {
    const now = performance.now();
    const pingMs = this.#context.options.pingMs * this.#carrier.patience;
    if (this.#pingedAt !== null && now - this.#pingedAt > PONG_MS) {
      this.fail(silent('no sign of life after a ping'));
    } else if (this.#pingedAt === null && (isNow || now - this.#heardAt > pingMs) && this.#isOpen) {
      this.#pingedAt = now;
      this.#socket.send('{"op":"ping"}');
    }
  }

  publish(topic, line, note) {
    return new Promise((resolve, reject) => {
      const id = this.#ask('pub', line, ({ op, code, message, topics, id: _, ...more }) => {
        if (op === 'ok' && topics?.[topic]) note?.(topics[topic]);
        if (op === 'ok') resolve({ topic, ...topics?.[topic], ...more });
        else reject(new FanwireError(code, message, more));
      });
      this.#replies.get(id).timer = setTimeout(() => {
        this.#replies.delete(id);
        reject(silent('no answer to the publication in time'));
        if (this.#isStopped) this.#endIfDone();
      }, this.#context.options.answerTimeoutMs);
    });
  }

  /** Requests the difference between the wanted topics and the followed ones. */
  sync() {
    if (!this.#isOpen || this.#isStopped) return;
    for (const topics of chunks(this.#unwanted())) this.#leave(topics);
    let isWhole = true;
    const batches = new Map();
    for (const wish of this.#context.topics.wanted.values()) {
      const cover = this.#covers.get(wish.topic);
      if (cover && !cover.isBusy && this.#context.topics.isCurrent(cover)) continue;
      isWhole = false;
      if (cover?.isBusy) continue;
      const place = this.#context.topics.place(wish.topic);
      // A topic that the gateway never took is not asked for together with those that it took.
      const key = `${this.#doubts.get(place) ?? 0} ${Boolean(cover)} ${place.isTaken} ${wish.key}`;
      batches.get(key)?.push(wish) ?? batches.set(key, [wish]);
    }
    for (const wishes of [...batches.values()].flatMap((it) => chunks(it))) this.#join(wishes);
    if (isWhole && !this.#isLive) {
      this.#isLive = true;
      this.#carrier.live(this);
    }
  }

  /** Topics to leave: for good, or to join them anew, from another position or without their presence. */
  #unwanted() {
    const { topics } = this.#context;
    const isKept = (it) => topics.isPlaced(it) && (!it.options.presence || topics.wanted.get(it.topic).options.presence);
    return [...this.#covers.values()].filter((it) => !it.isBusy && !isKept(it)).map((it) => it.topic);
  }

  #leave(topics) {
    if (this.#underWay === OPERATIONS_MAX) return;
    topics.forEach((topic) => (this.#covers.get(topic).isBusy = true));
    this.#operate('unsub', { topics }, () => topics.forEach((topic) => this.#covers.delete(topic)));
  }

  #join(wishes) {
    if (this.#underWay === OPERATIONS_MAX) return;
    const { topics } = this.#context;
    const isAgain = this.#covers.has(wishes[0].topic);
    const since = Object.create(null);
    const covers = wishes.map((wish) => {
      const cover = this.#covers.get(wish.topic) ?? topics.cover(wish);
      const position = isAgain || wish.isPattern ? null : cover.place.position;
      if (position) since[wish.topic] = written(position);
      cover.isBusy = true;
      this.#covers.set(wish.topic, cover);
      return cover;
    });
    const { mode, maxRate, maxAgeMs, last, presence, headers } = wishes[0].options;
    // Of a topic that is followed, a rate that is not named would stay.
    const rate = isAgain ? (maxRate ?? 0) : maxRate;
    const names = wishes.map((it) => it.topic);
    const more = { mode, max_rate: rate, max_age_ms: maxAgeMs, last, presence, headers: headers || undefined, since: isEmpty(since) ? undefined : since };
    this.#operate('sub', { topics: names, ...more }, (reply) => {
      if (reply.op !== 'ok') return this.#refused(covers, new FanwireError(reply.code, reply.message));
      covers.forEach((cover, at) => {
        Object.assign(cover, { key: wishes[at].key, options: wishes[at].options, isJoined: true, isBusy: false });
        cover.place.isTaken = true;
        this.#doubts.delete(cover.place);
      });
      if (!isAgain) topics.joined(Object.entries(reply.topics ?? {}), this.#covers, !this.#isLive);
    });
  }

  /** An operation is all or nothing: its topics are asked for again in parts, until the one at fault is alone. */
  #refused(covers, error) {
    if (LATER.includes(error.code)) return this.fail(error);
    covers.forEach(({ topic }) => this.#covers.delete(topic));
    if (covers.length === 1) this.#context.topics.refuse(covers, error);
    else this.#split(covers);
  }

  #split(covers) {
    const len = Math.ceil(covers.length / OPERATIONS_MAX);
    covers.forEach(({ place }, at) => this.#doubts.set(place, this.#parts + 1 + Math.floor(at / len)));
    this.#parts += OPERATIONS_MAX;
  }

  #operate(op, fields, take) {
    this.#underWay += 1;
    this.#ask(op, JSON.stringify(fields), (reply) => {
      this.#underWay -= 1;
      if (this.#isStopped) return;
      take(reply);
      // Comparing costs time for each topic: while many operations are under way, not after each of them.
      if (this.#underWay <= OPERATIONS_MAX / 2) this.sync();
    });
  }

  #ask(op, fields, take) {
    const id = (this.#ids += 1);
    this.#replies.set(id, { take, timer: null });
    this.#socket.send(`{"op":"${op}","id":${id},${fields.slice(1)}`);
    return id;
  }

  #receive(text) {
    this.#heardAt = performance.now();
    this.#pingedAt = null;
    const message = jsonOr(text);
    if (message?.op === 'ok' || message?.op === 'err') {
      const reply = this.#replies.get(message.id);
      this.#replies.delete(message.id);
      clearTimeout(reply?.timer);
      reply?.take(message);
      if (this.#isStopped) this.#endIfDone();
    } else if (this.#isStopped) {
      return;
    } else if (typeof message?.t === 'string' && message.op === undefined) {
      this.#context.topics.push(message, this.#covers);
    } else if (typeof message?.op === 'string') {
      heed(message, this, this.#covers, this.#context);
    } else {
      throw new TypeError(String(text).slice(0, 40));
    }
  }

  #endIfDone() {
    if ([...this.#replies.values()].some((it) => it.timer !== null)) return;
    this.#socket?.close(1000);
    this.#carrier.gone(this);
  }
}

/**
 * Follows all topics over responses, with one request for those that are asked for alike. A request is never changed: one
 * whose topics have changed is ended, and another goes on from their positions.
 */
class HttpLink {
  retryMs;
  #context;
  #carrier;
  #requests = [];
  #doubts = new WeakMap(); // places of topics that were refused together -> which part of them is asked for apart
  #parts = 0;
  #beyond = new Set(); // patterns that poll cannot follow, told once
  #isLive = false;
  #isStopped = false;

  constructor(context, carrier, transport) {
    this.#context = context;
    this.#carrier = carrier;
    this.transport = transport;
  }

  start() {
    this.sync();
  }

  stop() {
    this.#isStopped = true;
    this.#requests.forEach((request) => request.abort.abort());
    this.#carrier.gone(this);
  }

  close() {
    this.stop();
  }

  fail(error) {
    if (this.#isStopped) return;
    this.stop();
    this.#carrier.down(this, error);
  }

  watch() {
    const before = performance.now() - SILENCE_MS;
    if (this.#requests.some(({ heardAt }) => heardAt < before)) this.fail(silent('no heartbeat'));
  }

  /** Keeps the requests of which all topics are wanted as they are, and asks for the other topics anew. */
  sync() {
    if (this.#isStopped) return;
    const before = this.#requests;
    this.#requests = this.#plan().map((bin) => bin.request ?? this.#request(bin));
    before.filter((it) => !this.#requests.includes(it)).forEach((request) => request.abort.abort());
    for (const request of this.#requests.filter((it) => !before.includes(it))) {
      this.#run(request).catch((error) => this.#ended(request, error));
    }
    this.#settle();
  }

  /** Topics that are asked for alike, in as few requests as they fit into. */
  #plan() {
    const { topics } = this.#context;
    const bins = [];
    const put = (key, names, len, request) => {
      const fits = (it) => it.names.length + names.length <= TOPICS_PER_REQUEST_MAX && it.len + len <= TARGET_LEN_MAX;
      const bin = bins.find((it) => it.key === key && fits(it));
      if (!bin) bins.push({ key, names, len, request });
      else Object.assign(bin, { names: [...bin.names, ...names], len: bin.len + len, request: null });
    };
    const kept = this.#requests.filter(({ covers }) => [...covers.values()].every((it) => topics.isCurrent(it)));
    for (const request of kept) put(request.key, [...request.covers.keys()], request.len, request);
    const followed = new Set(kept.flatMap(({ covers }) => [...covers.keys()]));
    for (const wish of topics.wanted.values()) {
      if (followed.has(wish.topic) || this.#isBeyond(wish)) continue;
      const key = `${this.#doubts.get(topics.place(wish.topic)) ?? 0} ${wish.key}`;
      put(key, [wish.topic], encodeURIComponent(wish.topic).length + POSITION_LEN_MAX, null);
    }
    return bins;
  }

  /** Poll follows no patterns; the next transport may. */
  #isBeyond({ topic, isPattern }) {
    if (this.transport !== 'poll' || !isPattern) return false;
    if (!this.#beyond.has(topic)) {
      this.#beyond.add(topic);
      const error = new FanwireError('not_supported', 'no patterns over poll', { topics: [topic] });
      queueMicrotask(() => this.#context.say('error', error));
    }
    return true;
  }

  #request({ key, names, len }) {
    const { topics } = this.#context;
    const covers = Covers.of(names.map((topic) => topics.cover(topics.wanted.get(topic))));
    return { key, len, covers, abort: new AbortController(), isReady: false, heardAt: performance.now() };
  }

  /** A request whose topics are refused is asked again in two halves, until the topic at fault is alone. */
  #ended(request, error) {
    if (this.#isStopped || request.abort.signal.aborted) return;
    if (!isRefusal(error)) return this.fail(error instanceof FanwireError ? error : new FanwireError('disconnected', error.message));
    const covers = [...request.covers.values()];
    const fresh = covers.filter((it) => !it.place.isTaken);
    const suspects = fresh.length > 0 ? fresh : covers;
    this.#requests = this.#requests.filter((it) => it !== request);
    if (suspects.length === 1) this.#context.topics.refuse(suspects, error);
    else this.#halve(suspects);
    this.sync();
  }

  #halve(covers) {
    const [first, second] = [(this.#parts += 1), (this.#parts += 1)];
    covers.forEach(({ place }, at) => this.#doubts.set(place, at < covers.length / 2 ? first : second));
  }

  #run(request) {
    if (this.transport === 'poll') return this.#poll(request);
    const take = this.transport === 'sse' ? this.#events(request) : (line) => line && this.#message(request, JSON.parse(line));
    return this.#read(request, take);
  }

  #target(request, more = {}) {
    const covers = [...request.covers.values()];
    const positions = covers.filter((it) => !it.isPattern).map((it) => it.place.position);
    const { mode, maxRate, maxAgeMs, last, headers } = covers[0].options;
    const wishes = { mode, max_rate: maxRate, max_age_ms: maxAgeMs, bandwidth: this.#context.options.bandwidth };
    return this.#context.requests.target(this.transport, {
      topic: covers.map((it) => it.topic),
      since: positions.some(Boolean) ? positions.map((it) => written(it ?? NOWHERE)).join(',') : undefined,
      last: last === false ? 0 : undefined,
      headers: headers ? 1 : undefined,
      ...(this.transport === 'poll' ? {} : wishes),
      ...more,
    });
  }

  /** Lines of a response that has no end. */
  async #read(request, take) {
    const { signal } = request.abort;
    const response = await this.#context.requests.ask(this.#target(request), { signal });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ''; ; ) {
      const { value, done } = await reader.read();
      if (signal.aborted) return;
      if (done) throw new FanwireError('ended', 'the response ended', { retryMs: this.retryMs });
      request.heardAt = performance.now();
      const lines = (rest + value).split('\n');
      rest = lines.pop();
      for (const line of lines) {
        take(line);
        if (signal.aborted) return;
      }
    }
  }

  #message(request, message) {
    if (message.op === undefined) {
      this.#context.topics.push(message, request.covers);
    } else if (message.op === 'ok') {
      this.#joined(request, Object.entries(message.topics ?? {}), !this.#isLive);
      this.#ready(request);
    } else {
      heed(message, this, request.covers, this.#context);
    }
  }

  /** Server-sent events, as far as the gateway uses them. */
  #events(request) {
    const order = [...request.covers.values()].filter((it) => !it.isPattern).map((it) => it.topic);
    let [event, data, id, named, prev] = ['', [], '', undefined, undefined];
    return (line) => {
      const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
      if (name === 'event') event = value;
      else if (name === 'data') data.push(value);
      else if (name === 'id') id = value;
      else if (name === 'topic') named = value;
      else if (name === 'prev') prev = Number(value);
      if (line !== '') return;
      const text = data.join('\n');
      if (event.startsWith('.')) {
        this.#message(request, JSON.parse(text));
      } else if (event !== '') {
        // An event with a name of its own says its topic beside it.
        const [t, e] = named === undefined ? [event] : [named, unescaped(event)];
        const o = parsed(id.split(',')[order.indexOf(t)] ?? '')?.offset;
        const binary = BINARY.exec(text)?.[1];
        const isBinary = binary !== undefined && binary.length % 4 === 0;
        this.#message(request, { t, o, p: prev, e, ...(isBinary ? { b: binary } : { d: jsonOr(text) }) });
      }
      [event, data, named, prev] = ['', [], undefined, undefined];
    };
  }

  async #poll(request) {
    const { signal } = request.abort;
    const covers = [...request.covers.values()];
    for (let timeout = '0s'; ; timeout = '25s') {
      const response = await this.#context.requests.ask(this.#target(request, { timeout }), { signal });
      const none = { messages: [], since: response.headers.get('Fanwire-Since') };
      const { messages, since, recovered = {} } = response.status === 204 ? none : await response.json();
      if (signal.aborted) return;
      request.heardAt = performance.now();
      const positions = since.split(',').map(parsed);
      const said = covers.flatMap(({ topic }, at) => {
        const first = messages.find((it) => it.t === topic)?.o;
        const isWhole = Object.hasOwn(recovered, topic) && recovered[topic];
        return positions[at] ? [[topic, { ...positions[at], recovered: isWhole, first }]] : [];
      });
      this.#joined(request, said, !request.isReady && !this.#isLive);
      messages.forEach((message) => this.#context.topics.push(message, request.covers));
      said.forEach(([topic, position]) => this.#context.topics.moved(request.covers.get(topic), position));
      this.#ready(request);
      if (signal.aborted) return;
    }
  }

  #joined(request, said, isReturn) {
    for (const cover of request.covers.values()) cover.isJoined = cover.place.isTaken = true;
    this.#context.topics.joined(said, request.covers, isReturn);
  }

  /** Topics in doubt that the gateway has taken go back to the others. */
  #ready(request) {
    if (request.isReady) return;
    request.isReady = true;
    const isInDoubt = !request.key.startsWith('0 ');
    for (const { place } of request.covers.values()) this.#doubts.delete(place);
    request.key = request.key.replace(/^\d+/, '0');
    if (isInDoubt) queueMicrotask(() => this.sync());
    else this.#settle();
  }

  #settle() {
    if (this.#isLive || this.#isStopped || !this.#requests.every((it) => it.isReady)) return;
    this.#isLive = true;
    this.#carrier.live(this);
  }
}

/** HTTP requests: their addresses, and answers that are a success, or an error with the gateway's code. */
class Requests {
  #root;
  #options;
  #aborts = new Set();

  constructor(root, options) {
    this.#root = root;
    this.#options = options;
  }

  /** The address of a path with its query. */
  target(path, query = {}) {
    const words = Object.entries({ ...query, token: this.#options.token }).flatMap(([name, value]) =>
      [value].flat().filter((it) => it !== undefined && it !== null).map((it) => `${name}=${encodeURIComponent(it)}`));
    return `${this.#root}/${path}${words.length > 0 ? '?' : ''}${words.join('&')}`;
  }

  async ask(target, init) {
    let response;
    try {
      response = await this.#options.fetch(target, { cache: 'no-store', ...init });
    } catch (error) {
      throw new FanwireError('disconnected', error.message, { cause: error });
    }
    if (response.ok) return response;
    const { status, headers } = response;
    const { code, message } = await response.json().then((it) => it ?? {}, () => ({}));
    const seconds = Number(headers.get('Retry-After'));
    throw new FanwireError(code ?? UNEXPECTED, message ?? `status ${status}`, {
      status,
      retryMs: seconds > 0 ? seconds * 1000 : undefined,
    });
  }

  /** The text of an answer that comes within `answerTimeoutMs` and before the client is closed. */
  text(target, init = {}) {
    const abort = new AbortController();
    const { signal } = abort;
    const timer = setTimeout(() => abort.abort(silent('no answer in time')), this.#options.answerTimeoutMs);
    this.#aborts.add(abort);
    const given = new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    const answer = this.ask(target, { ...init, signal }).then((response) => response.text());
    return Promise.race([given, answer]).finally(() => {
      clearTimeout(timer);
      this.#aborts.delete(abort);
    });
  }

  close(error) {
    this.#aborts.forEach((abort) => abort.abort(error));
  }
}

/**
 * Publications over HTTP. Those of one turn go in one request; those of a topic keep their order, since none is sent while
 * an earlier one is under way, and no topic waits for another.
 */
class Posts {
  #requests;
  #waiting = [];
  #underWay = new Set(); // topics
  #isAsked = false;

  constructor(requests) {
    this.#requests = requests;
  }

  /** Whether a publication to a topic is not answered yet. */
  has(topic) {
    return this.#underWay.has(topic) || this.#waiting.some((it) => it.topic === topic);
  }

  add(topic, line) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ topic, line, resolve, reject });
      this.#ask();
    });
  }

  close(error) {
    this.#waiting.splice(0).forEach(({ reject }) => reject(error));
  }

  #ask() {
    if (this.#isAsked) return;
    this.#isAsked = true;
    queueMicrotask(() => {
      this.#isAsked = false;
      for (let batch = this.#next(); batch.length > 0; batch = this.#next()) this.#send(batch);
    });
  }

  /** Takes those that may go now out of those that wait. */
  #next() {
    const held = new Set(this.#underWay);
    const batch = [];
    let len = 0;
    this.#waiting = this.#waiting.filter((it) => {
      const isFull = batch.length === LINES_PER_POST_MAX || (batch.length > 0 && len + it.line.length > POST_LEN_MAX);
      if (isFull || held.has(it.topic)) {
        held.add(it.topic);
        return true;
      }
      len += it.line.length;
      batch.push(it);
      return false;
    });
    batch.forEach(({ topic }) => this.#underWay.add(topic));
    return batch;
  }

  async #send(batch) {
    try {
      const body = batch.map(({ line }) => line).join('\n');
      const answers = (await this.#requests.text(this.#requests.target('publish'), { method: 'POST', body })).split('\n');
      batch.forEach((it, at) => settle(it, answers[at]));
    } catch (error) {
      batch.forEach(({ reject }) => reject(error));
    }
    batch.forEach(({ topic }) => this.#underWay.delete(topic));
    this.#ask();
  }
}

/** Fulfils or rejects a publication by the line that answers it. */
function settle({ resolve, reject }, answer) {
  try {
    const { code, message, ...position } = JSON.parse(answer);
    if (code) reject(new FanwireError(code, message, position));
    else resolve(position);
  } catch {
    reject(new FanwireError(UNEXPECTED, 'the answer has no line for this publication'));
  }
}

/** A message about the feed that is no push. */
function heed(message, link, covers, { topics, say }) {
  if (message.op === 'gap') {
    topics.skipped(message, covers);
  } else if (message.op === 'presence') {
    const { t: topic, readers, joins, leaves } = message;
    if (topics.wanted.has(topic)) say('presence', { topic, readers, joins, leaves });
  } else if (message.op === 'bye') {
    link.retryMs = message.retry_ms;
  }
}

/** Calls a page's function; its mistake is not one of the connection. On a connection that tells headers others get none. */
function hand({ onPush, options }, push) {
  try {
    onPush?.(options.headers || push.headers === undefined ? push : { ...push, headers: undefined });
  } catch (error) {
    if (globalThis.reportError) globalThis.reportError(error);
    else queueMicrotask(() => { throw error; });
  }
}

/** Calls `act` when the page is seen or hidden, and when the network is back; returns how to end that. */
function onAttention(act) {
  const page = globalThis.document;
  page?.addEventListener('visibilitychange', act);
  globalThis.addEventListener?.('online', act);
  return () => {
    page?.removeEventListener('visibilitychange', act);
    globalThis.removeEventListener?.('online', act);
  };
}

/** The position before the first message that follows a joining: the last value comes next, if it comes at all. */
function startOf({ epoch, offset, first }, { last }) {
  return { epoch, offset: first ? first - 1 : last === false ? offset : Math.max(0, offset - 1) };
}

/** The text of a publication, which starts a JSON object; throws where JSON has no way to say it. */
function publication(topic, data = null, more) {
  checkTopic(topic);
  let text;
  try {
    const value = JSON.stringify(data);
    if (value === undefined) throw new TypeError(`${typeof data} is no JSON`);
    text = `${JSON.stringify({ topic, ...more }).slice(0, -1)},"data":${value}}`;
  } catch (error) {
    throw new FanwireError('bad_request', error.message, { cause: error });
  }
  // In the text of JSON.stringify only half a surrogate pair is escaped so.
  if (text.includes('\\ud') && /(?:^|[^\\])(?:\\\\)*\\ud[89a-f]/.test(text)) {
    throw new FanwireError('bad_request', 'the text has a lone surrogate, which UTF-8 cannot say');
  }
  return text;
}

/** Whether the gateway refused the topics of a request; a proxy's word and one about the path are about the transport. */
function isRefusal({ status, code }) {
  return REFUSALS.includes(status) && code !== UNEXPECTED && !LATER.includes(code);
}

/** Throws for topics that cannot be sent at all; the gateway judges all others. */
function checkTopic(topic) {
  if (typeof topic !== 'string') throw new FanwireError('bad_topic', `a topic is text, not ${typeof topic}`);
  if (/[\ud800-\udfff]/u.test(topic)) throw new FanwireError('bad_topic', 'the topic has a lone surrogate');
}

function matches(pattern, topic) {
  const [want, have] = [pattern.split('.'), topic.split('.')];
  if (want.at(-1) === '>' ? have.length < want.length : have.length !== want.length) return false;
  return want.every((token, at) => token === '>' || token === '*' || token === have[at]);
}

function* inChunks(items, len) {
  for (let at = 0; at < items.length; at += len) yield items.slice(at, at + len);
}

const chunks = (items) => [...inChunks(items, TOPICS_PER_OPERATION_MAX)];
const isPattern = (topic) => topic.split('.').some((token) => token === '*' || token === '>');
const isEmpty = (object) => Object.keys(object).length === 0;
const written = ({ epoch, offset }) => `${epoch}-${offset}`;
const parsed = (position) => {
  const found = /^([0-9a-f]{1,16})-(\d+)$/.exec(position);
  return found && { epoch: found[1], offset: Number(found[2]) };
};
const payload = (d, b) => (b === undefined ? d : Uint8Array.from(atob(b), (it) => it.charCodeAt(0)));
const jsonOr = (text) => {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};
/** On /sse a name that begins with a dot or a percent sign has its first byte as `%XX`. */
const unescaped = (event) => event.replace(/^%2E/, '.').replace(/^%25/, '%');
const pathOf = (topic) => `topics/${topic.split('/').map(encodeURIComponent).join('/')}`;
const silent = (message) => new FanwireError('silent', message);
const closed = () => new FanwireError('closed', 'the client is closed');
