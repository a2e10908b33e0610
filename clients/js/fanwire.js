// Reads and publishes topics of a fanwire gateway, in browsers and in Node from 20 on. No dependencies.
//
// A *door* is a way in: `ws` (/ws), `sse` (/sse), `stream` (/stream), `poll` (/poll). The client takes the first of its
// doors that opens, tries the better ones again later, and comes back by itself to where it was: what it knows of each
// topic is a position, EPOCH-OFFSET, and that outlives connections and doors.

/** Why something did not work: `code` is the gateway's, or `door_failed`, `disconnected`, `ended`, `silent`. */
export class FanwireError extends Error {
  constructor(code, message, more = {}) {
    super(message);
    Object.assign(this, { name: 'FanwireError', code }, more);
  }
}

const DOORS = ['ws', 'sse', 'stream', 'poll'];
const DEFAULTS = {
  doors: ['ws', 'sse', 'poll'],
  openTimeoutMs: 10_000, // until a door counts as closed
  betterDoorMs: 60_000, // until a better door is tried again; twice that each time, up to 16 times
  retryMinMs: 500, // the first wait of the backoff, which doubles
  retryMaxMs: 15_000,
  pingMs: 15_000, // silence on /ws after which it is asked whether it lives
};
const HIDDEN = 4; // a page that nobody sees asks and comes back so many times slower
const ANSWER_MS = 10_000; // until a ping counts as unanswered
const SILENCE_MS = 75_000; // without a heartbeat over HTTP
const WATCH_MS = 1_000;
const TOPICS_PER_OP_MAX = 1024;
const TOPICS_PER_REQUEST_MAX = 128;
const TARGET_LEN_MAX = 8_000; // of topics and positions in one request, as characters
const BINARY = 'data:application/octet-stream;base64,';
const NEVER = '0-0'; // a position that no topic has

const isPattern = (topic) => topic.split('.').some((token) => token === '*' || token === '>');
const written = ({ epoch, offset }) => `${epoch}-${offset}`;
const parsed = (position) => {
  const found = /^([0-9a-f]{1,16})-(\d+)$/.exec(position);
  return found && { epoch: found[1], offset: Number(found[2]) };
};
const octets = (base64) => Uint8Array.from(atob(base64), (it) => it.charCodeAt(0));
const jsonOr = (text) => {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
};

/** A mistake of who listens is not one of the connection. */
function report(error) {
  if (globalThis.reportError) globalThis.reportError(error);
  else queueMicrotask(() => { throw error; });
}

function matches(pattern, topic) {
  const [want, have] = [pattern.split('.'), topic.split('.')];
  if (want.at(-1) === '>' ? have.length < want.length : have.length !== want.length) return false;
  return want.every((token, at) => token === '>' || token === '*' || token === have[at]);
}

/** One page's or program's client. */
export class Fanwire extends EventTarget {
  #options;
  #root;
  #subs = new Map(); // topic or pattern -> what was asked for, a new object each time it is asked
  #positions = new Map(); // topic -> the last that was handed on
  #link = null; // the live one
  #opening = null; // the one that would take its place
  #round = []; // doors still to try
  #retry = null;
  #better = null;
  #betterMs;
  #attempt = 0;
  #good = null;
  #state = 'idle';
  #calls = 0;
  #asked = false;
  #posting = Promise.resolve();
  #watch = null;
  #unlisten = () => {};

  constructor(url = globalThis.location?.origin, options = {}) {
    super();
    this.#root = String(url).replace(/^ws/, 'http').replace(/\/+$/, '');
    this.#options = { WebSocket: globalThis.WebSocket, fetch: (...it) => globalThis.fetch(...it), ...DEFAULTS };
    this.#take(options);
    this.#listen();
  }

  /** `idle`, `connecting`, `live`, `waiting` or `closed`. */
  get state() {
    return this.#state;
  }

  /** The door in use, or null. */
  get door() {
    return this.#link?.door ?? null;
  }

  /** The last position of a topic that was handed on, to be kept and given as `since`; or null. */
  position(topic) {
    const position = this.#positions.get(topic);
    return position ? written(position) : null;
  }

  /** Follows topics and patterns; for what is followed already it replaces options and `onPush`. */
  subscribe(topics, options, onPush) {
    if (typeof options === 'function') [options, onPush] = [{}, options];
    const { since, ...rest } = options ?? {};
    const call = (this.#calls += 1);
    for (const topic of [topics].flat()) {
      const from = typeof since === 'string' ? since : since?.[topic];
      if (from && parsed(from) && !isPattern(topic)) this.#positions.set(topic, parsed(from));
      const before = this.#subs.get(topic);
      this.#subs.set(topic, {
        topic,
        options: rest,
        key: JSON.stringify(rest),
        onPush,
        call,
        isPattern: isPattern(topic),
        isKnown: before?.isKnown ?? false,
      });
    }
    this.#sync();
  }

  /** Leaves topics and patterns, and forgets where it was in them. */
  unsubscribe(topics) {
    for (const topic of [topics].flat()) {
      this.#subs.delete(topic);
      this.#positions.delete(topic);
    }
    this.#sync();
  }

  /** Publishes any JSON value; resolves with its position once it has one. With a `messageId` it is safe to repeat. */
  publish(topic, data, { key, messageId } = {}) {
    const line = { topic, data: data === undefined ? null : data, key, message_id: messageId };
    if (this.#link?.door === 'ws') return this.#link.publish(line);
    // One after the other, so that they keep their order.
    const posted = this.#posting.then(() => this.#post(line));
    this.#posting = posted.catch(() => {});
    return posted;
  }

  /** What is kept of a topic: `{epoch, messages: [{offset, data}]}`. */
  async history(topic, { since, limit, order } = {}) {
    const target = this.target(`topics/${topic.split('/').map(encodeURIComponent).join('/')}/history`, { since, limit, order });
    const { epoch, messages } = await (await this.ask(target)).json();
    return { epoch, messages: messages.map(({ o, d, b }) => ({ offset: o, data: b === undefined ? d : octets(b) })) };
  }

  /** Changes `doors`, `bandwidth`, `token` and what else the constructor takes; what is followed moves without a hole. */
  reconfigure(options) {
    this.#take(options);
    if (this.#state !== 'closed' && this.#subs.size > 0) this.#open(this.#options.doors);
  }

  /** Ends everything. */
  close() {
    this.#unlisten();
    this.#rest();
    this.#tell('closed');
  }

  // What links call: the rest of this file, nobody else.

  /** @private */
  get options() {
    return this.#options;
  }

  /** @private */
  get subs() {
    return this.#subs;
  }

  /** @private */
  get patience() {
    return globalThis.document?.visibilityState === 'hidden' ? HIDDEN : 1;
  }

  /** @private The address of a path with its query. */
  target(path, query = {}) {
    const words = Object.entries({ ...query, token: this.#options.token }).flatMap(([name, value]) =>
      [value].flat().filter((it) => it !== undefined && it !== null).map((it) => `${name}=${encodeURIComponent(it)}`));
    return `${this.#root}/${path}${words.length > 0 ? '?' : ''}${words.join('&')}`;
  }

  /** @private A response that is a success, or an error with the gateway's code. */
  async ask(target, init = {}) {
    const response = await this.#options.fetch(target, { cache: 'no-store', ...init });
    if (response.ok) return response;
    const { code = 'bad_request', message = `status ${response.status}` } = await response.json().catch(() => ({}));
    const seconds = Number(response.headers.get('Retry-After'));
    throw new FanwireError(code, message, { status: response.status, retryMs: seconds > 0 ? seconds * 1000 : undefined });
  }

  /** @private A link follows all that it should. */
  live(link) {
    if (link !== this.#opening) return;
    const before = this.#link;
    [this.#link, this.#opening] = [link, null];
    before?.stop();
    clearTimeout(this.#openTimer);
    this.#attempt = 0;
    this.#good = link.door;
    this.#tell('live', { door: link.door });
    this.#lookForBetter();
  }

  /** @private A link is no more, or never was. */
  down(link, error) {
    if (link === this.#link) {
      this.#link = null;
      this.#tell('connecting', { error });
      if (!this.#opening) this.#wait(link.retryMs ?? error.retryMs);
    } else if (link === this.#opening) {
      this.#opening = null;
      clearTimeout(this.#openTimer);
      this.#event('error', new FanwireError('door_failed', `${link.door}: ${error.message}`, { door: link.door, cause: error }));
      const [, ...others] = this.#round;
      if (others.length > 0) this.#open(others);
      else if (this.#link) this.#lookForBetter();
      else this.#wait(link.retryMs ?? error.retryMs);
    }
  }

  /** @private Topics that the gateway does not take are followed no longer. */
  refused(subs, error) {
    for (const sub of subs) if (this.#subs.get(sub.topic) === sub) this.unsubscribe(sub.topic);
    this.#event('error', Object.assign(error, { topics: subs.map((it) => it.topic) }));
  }

  /** @private Where topics stand that a link now follows; `isReturn` if it is the first that it says of them. */
  joined(topics, covers, isReturn) {
    let [recovered, isResumed] = [0, false];
    const lost = [];
    for (const [topic, { epoch, offset, recovered: isWhole, first }] of Object.entries(topics ?? {})) {
      const sub = covers.get(topic);
      if (!sub) continue;
      sub.isKnown = true;
      if (epoch === undefined || sub.isPattern) continue;
      // The last value comes next, if it comes at all.
      const start = { epoch, offset: first ? first - 1 : sub.options.last === false ? offset : Math.max(0, offset - 1) };
      const position = this.#positions.get(topic);
      if (!position) {
        this.#positions.set(topic, start);
        continue;
      }
      isResumed = true;
      const isSame = position.epoch === epoch;
      if (isWhole || (isSame && position.offset >= start.offset)) {
        recovered += Math.max(0, offset - position.offset);
        continue;
      }
      lost.push(topic);
      this.#positions.set(topic, start);
      const skipped = isSame ? start.offset - position.offset : null;
      this.#event('gap', { topic, skipped, offset: start.offset + 1, isResume: true });
    }
    if (isResumed && isReturn) this.#event('resumed', { recovered, lost });
  }

  /** @private */
  push(topic, offset, data, covers) {
    const named = covers.get(topic);
    if (named && this.#subs.get(topic) === named) {
      const position = this.#positions.get(topic);
      if (position && offset !== undefined) {
        if (offset <= position.offset) return;
        position.offset = offset;
      }
    }
    const push = { topic, offset, data };
    const hand = (sub) => {
      if (this.#subs.get(sub.topic) !== sub) return;
      try {
        sub.onPush?.(push);
      } catch (error) {
        report(error);
      }
    };
    if (named) hand(named);
    for (const sub of covers.patterns()) if (matches(sub.topic, topic)) hand(sub);
  }

  /** @private A message about the feed that is no push. */
  said(link, message, covers) {
    if (message.op === 'gap') {
      const position = covers.has(message.t) && this.#positions.get(message.t);
      if (position) position.offset = Math.max(position.offset, message.o - 1);
      this.#event('gap', { topic: message.t, skipped: message.skipped, offset: message.o, isResume: false });
    } else if (message.op === 'presence') {
      const { t: topic, readers, joins, leaves } = message;
      this.#event('presence', { topic, readers, joins, leaves });
    } else if (message.op === 'bye') {
      link.retryMs = message.retry_ms;
    }
  }

  /** @private A poll says where a topic stands; the link before it may be further. */
  moved(topic, { epoch, offset }) {
    const position = this.#positions.get(topic);
    const isSame = position?.epoch === epoch;
    this.#positions.set(topic, { epoch, offset: isSame ? Math.max(offset, position.offset) : offset });
  }

  /** @private */
  at(topic) {
    return this.#positions.get(topic);
  }

  #openTimer = null;

  #take(options) {
    for (const [name, value] of Object.entries(options)) if (value !== undefined) this.#options[name] = value;
    const { doors } = this.#options;
    if (doors.length === 0 || !doors.every((it) => DOORS.includes(it))) throw new TypeError(`doors are of ${DOORS}`);
    if ('bandwidth' in options) this.#options.bandwidth = options.bandwidth ?? undefined;
    this.#betterMs = this.#options.betterDoorMs;
  }

  #listen() {
    const now = () => {
      if (this.patience > 1) return;
      if (this.#retry !== null) this.#open(this.#firstDoors());
      else this.#link?.watch(true);
    };
    const page = globalThis.document;
    page?.addEventListener('visibilitychange', now);
    globalThis.addEventListener?.('online', now);
    this.#unlisten = () => {
      page?.removeEventListener('visibilitychange', now);
      globalThis.removeEventListener?.('online', now);
    };
  }

  /** Once for all that is said in one go. */
  #sync() {
    if (this.#asked || this.#state === 'closed') return;
    this.#asked = true;
    queueMicrotask(() => {
      this.#asked = false;
      if (this.#state === 'closed') return;
      if (this.#subs.size === 0) {
        this.#rest();
        this.#tell('idle');
      } else if (this.#link || this.#opening) {
        this.#link?.sync();
        this.#opening?.sync();
      } else if (this.#retry === null) this.#open(this.#firstDoors());
    });
  }

  #rest() {
    for (const timer of [this.#retry, this.#better, this.#openTimer]) clearTimeout(timer);
    clearInterval(this.#watch);
    this.#retry = this.#better = this.#watch = null;
    const links = [this.#link, this.#opening];
    this.#link = this.#opening = null;
    links.forEach((link) => link?.stop());
  }

  /** The door that worked last, then the others. */
  #firstDoors() {
    const { doors } = this.#options;
    return doors.includes(this.#good) ? [this.#good, ...doors.filter((it) => it !== this.#good)] : doors;
  }

  #open(round) {
    for (const timer of [this.#retry, this.#better, this.#openTimer]) clearTimeout(timer);
    this.#retry = this.#better = null;
    this.#opening?.stop();
    this.#round = round;
    const [door] = round;
    if (!this.#link) this.#tell('connecting', { door });
    this.#watch ??= setInterval(() => this.#link?.watch(false), WATCH_MS);
    const link = (this.#opening = new (door === 'ws' ? SocketLink : HttpLink)(this, door));
    const late = new FanwireError('silent', 'no answer in time');
    this.#openTimer = setTimeout(() => link.fail(late), this.#options.openTimeoutMs);
    link.start();
  }

  #wait(retryMs) {
    const { retryMinMs, retryMaxMs } = this.#options;
    const most = Math.min(retryMaxMs, retryMinMs * 2 ** this.#attempt) * this.patience;
    this.#attempt = Math.min(this.#attempt + 1, 30);
    const delay = Math.round(retryMs ?? most / 2 + (Math.random() * most) / 2);
    this.#tell('waiting', { retryMs: delay });
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#open(this.#firstDoors()), delay);
  }

  #lookForBetter() {
    const { doors, betterDoorMs } = this.#options;
    const at = doors.indexOf(this.#link.door);
    const better = at < 0 ? doors : doors.slice(0, at);
    clearTimeout(this.#better);
    if (better.length === 0) {
      this.#betterMs = betterDoorMs;
      return;
    }
    this.#better = setTimeout(() => this.#open(better), this.#betterMs);
    this.#betterMs = Math.min(this.#betterMs * 2, betterDoorMs * 16);
  }

  async #post(line) {
    const response = await this.ask(this.target('publish'), { method: 'POST', body: JSON.stringify(line) });
    const { code, message, ...position } = JSON.parse(await response.text());
    if (code) throw new FanwireError(code, message, position);
    return position;
  }

  #tell(state, more = {}) {
    this.#state = state;
    this.#event('state', { state, door: this.door, ...more });
  }

  #event(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** What a connection or a request follows. */
class Covers extends Map {
  #patterns = null;

  set(topic, sub) {
    this.#patterns = null;
    return super.set(topic, sub);
  }

  delete(topic) {
    this.#patterns = null;
    return super.delete(topic);
  }

  patterns() {
    return (this.#patterns ??= [...this.values()].filter((it) => it.isPattern));
  }
}

/** All that is followed, over one WebSocket. */
class SocketLink {
  door = 'ws';
  retryMs;
  #client;
  #socket = null;
  #covers = new Covers();
  #replies = new Map();
  #ids = 0;
  #isOpen = false;
  #isJoining = false;
  #isLive = false;
  #isStopped = false;
  #heardAt = performance.now();
  #askedAt = null;

  constructor(client) {
    this.#client = client;
  }

  start() {
    const { WebSocket, bandwidth } = this.#client.options;
    if (!WebSocket) {
      queueMicrotask(() => this.fail(new FanwireError('door_failed', 'there is no WebSocket here')));
      return;
    }
    const target = this.#client.target('ws', { bandwidth }).replace(/^http/, 'ws');
    const socket = (this.#socket = new WebSocket(target, 'fanwire.json.v1'));
    socket.onopen = () => {
      this.#isOpen = true;
      this.sync();
    };
    socket.onmessage = ({ data }) => {
      try {
        this.#receive(data);
      } catch (error) {
        this.fail(new FanwireError('bad_request', `the gateway said what is no message: ${error.message}`));
      }
    };
    socket.onerror = () => {}; // `onclose` follows
    socket.onclose = ({ code, reason }) => {
      this.retryMs ??= Number(/^retry_ms=(\d+)$/.exec(reason)?.[1] ?? NaN) || undefined;
      const error = new FanwireError('disconnected', `closed with ${code} ${reason}`.trim(), { closeCode: code });
      this.#giveUp(error);
      this.fail(error);
    };
  }

  stop() {
    this.#isStopped = true;
    this.#isJoining = false;
    // What was published on it is still answered.
    if (this.#replies.size === 0) this.#socket?.close(1000);
  }

  fail(error) {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#giveUp(error);
    this.#socket?.close();
    this.#client.down(this, error);
  }

  watch(isNow) {
    const now = performance.now();
    const pingMs = this.#client.options.pingMs * this.#client.patience;
    if (this.#askedAt !== null && now - this.#askedAt > ANSWER_MS) {
      this.fail(new FanwireError('silent', 'no sign of life after a ping'));
    } else if (this.#askedAt === null && (isNow || now - this.#heardAt > pingMs) && this.#isOpen) {
      this.#askedAt = now;
      this.#socket.send('{"op":"ping"}');
    }
  }

  publish(line) {
    return new Promise((resolve, reject) => {
      this.#ask({ op: 'pub', ...line }, ({ op, code, message, topics, id, ...more }) => {
        if (op === 'ok') resolve({ topic: line.topic, ...topics[line.topic], ...more });
        else reject(new FanwireError(code, message, more));
      });
    });
  }

  /** Leaves what is not wanted any more, and joins what is new: one operation at a time. */
  sync() {
    if (!this.#isOpen || this.#isStopped) return;
    const { subs } = this.#client;
    const gone = [...this.#covers.keys()].filter((topic) => !subs.has(topic));
    gone.forEach((topic) => this.#covers.delete(topic));
    for (let at = 0; at < gone.length; at += TOPICS_PER_OP_MAX) {
      this.#socket.send(JSON.stringify({ op: 'unsub', topics: gone.slice(at, at + TOPICS_PER_OP_MAX) }));
    }
    if (this.#isJoining) return;
    const batch = this.#next();
    if (batch.length > 0) {
      this.#join(batch);
    } else if (!this.#isLive) {
      this.#isLive = true;
      this.#client.live(this);
    }
  }

  /** What is asked for alike; what the gateway never took is not mixed with what it took. */
  #next() {
    const batch = [];
    for (const sub of this.#client.subs.values()) {
      if (this.#covers.get(sub.topic) === sub || batch.length === TOPICS_PER_OP_MAX) continue;
      const [first = sub] = batch;
      const isAlike = sub.key === first.key && sub.isKnown === first.isKnown;
      if (isAlike && (sub.isKnown || sub.call === first.call)) batch.push(sub);
    }
    return batch;
  }

  #join(batch) {
    this.#isJoining = true;
    const { mode, maxRate, maxAgeMs, last, presence } = batch[0].options;
    const fresh = new Covers();
    const since = {};
    for (const sub of batch) {
      if (!this.#covers.has(sub.topic)) {
        fresh.set(sub.topic, sub);
        const position = this.#client.at(sub.topic);
        if (position) since[sub.topic] = written(position);
      }
      this.#covers.set(sub.topic, sub);
    }
    const topics = batch.map((it) => it.topic);
    // Nothing said would leave what was asked for before.
    const rate = fresh.size < batch.length ? (maxRate ?? 0) : maxRate;
    const wishes = { mode, max_rate: rate, max_age_ms: maxAgeMs, last, presence };
    this.#ask({ op: 'sub', topics, ...wishes, since: Object.keys(since).length > 0 ? since : undefined }, (reply) => {
      this.#isJoining = false;
      if (this.#isStopped) return;
      if (reply.op === 'ok') {
        batch.forEach((sub) => (sub.isKnown = true));
        this.#client.joined(reply.topics, fresh, !this.#isLive);
      } else if (['overloaded', 'rate_limited'].includes(reply.code)) {
        return this.fail(new FanwireError(reply.code, reply.message));
      } else {
        batch.forEach((sub) => this.#covers.delete(sub.topic));
        this.#client.refused(batch, new FanwireError(reply.code, reply.message));
      }
      this.sync();
    });
  }

  #ask(operation, reply) {
    const id = (this.#ids += 1);
    this.#replies.set(id, reply);
    this.#socket.send(JSON.stringify({ ...operation, id }));
  }

  #giveUp({ message }) {
    const replies = [...this.#replies.values()];
    this.#replies.clear();
    replies.forEach((reply) => reply({ op: 'err', code: 'disconnected', message }));
  }

  #receive(text) {
    this.#heardAt = performance.now();
    this.#askedAt = null;
    const message = jsonOr(text);
    if (message?.op === 'ok' || message?.op === 'err') {
      const reply = this.#replies.get(message.id);
      this.#replies.delete(message.id);
      reply?.(message);
      if (this.#isStopped && this.#replies.size === 0) this.#socket.close(1000);
    } else if (this.#isStopped) {
      return;
    } else if (typeof message?.t === 'string' && message.op === undefined) {
      const { t, o, d, b } = message;
      this.#client.push(t, o, b === undefined ? d : octets(b), this.#covers);
    } else if (typeof message?.op === 'string') {
      this.#client.said(this, message, this.#covers);
    } else {
      throw new TypeError(String(text).slice(0, 40));
    }
  }
}

/** All that is followed, over responses: one for all topics that are asked for alike. */
class HttpLink {
  retryMs;
  #client;
  #requests = [];
  #followed = new Map();
  #isLive = false;
  #isStopped = false;

  constructor(client, door) {
    this.#client = client;
    this.door = door;
  }

  start() {
    this.sync();
  }

  stop() {
    this.#isStopped = true;
    this.#requests.forEach((request) => request.abort.abort());
  }

  fail(error) {
    if (this.#isStopped) return;
    this.stop();
    this.#client.down(this, error);
  }

  watch() {
    const before = performance.now() - SILENCE_MS;
    if (this.#requests.some(({ heardAt }) => heardAt < before)) this.fail(new FanwireError('silent', 'no heartbeat'));
  }

  /** Asks anew if what is wanted has changed: positions see to it that nothing is missed. */
  sync() {
    const { subs } = this.#client;
    const isSame = subs.size === this.#followed.size && [...subs].every(([topic, sub]) => this.#followed.get(topic) === sub);
    if (isSame || this.#isStopped) return;
    this.#requests.forEach((request) => request.abort.abort());
    this.#followed = new Map(subs);
    this.#requests = this.#plan();
    for (const request of this.#requests) {
      this.#run(request).catch((error) => {
        if (this.#isStopped || request.abort.signal.aborted) return;
        const unknown = [...request.covers.values()].filter((sub) => !sub.isKnown);
        if (error.status === 400 && unknown.length > 0) this.#client.refused(unknown, error);
        else this.fail(error instanceof FanwireError ? error : new FanwireError('disconnected', error.message));
      });
    }
    if (this.#requests.length === 0) this.#settle();
  }

  #plan() {
    const requests = [];
    const open = new Map();
    const beyond = [];
    for (const sub of this.#followed.values()) {
      if (this.door === 'poll' && sub.isPattern) {
        beyond.push(sub);
        continue;
      }
      // What the gateway never took is not mixed with what it took.
      const key = sub.isKnown ? sub.key : `${sub.call} ${sub.key}`;
      const len = encodeURIComponent(sub.topic).length + 48;
      let request = open.get(key);
      if (!request || request.covers.size === TOPICS_PER_REQUEST_MAX || request.len + len > TARGET_LEN_MAX) {
        request = { covers: new Covers(), abort: new AbortController(), len: 0, isReady: false, heardAt: performance.now() };
        open.set(key, request);
        requests.push(request);
      }
      request.len += len;
      request.covers.set(sub.topic, sub);
    }
    if (beyond.length > 0) this.#client.refused(beyond, new FanwireError('not_supported', 'no patterns over poll'));
    return requests;
  }

  #run(request) {
    if (this.door === 'poll') return this.#poll(request);
    const take = this.door === 'sse' ? this.#events(request) : (line) => line && this.#message(request, JSON.parse(line));
    return this.#read(request, take);
  }

  #target(request, more = {}) {
    const subs = [...request.covers.values()];
    const named = subs.filter((it) => !it.isPattern).map((it) => this.#client.at(it.topic));
    const { mode, maxRate, maxAgeMs, last } = subs[0].options;
    const wishes = { mode, max_rate: maxRate, max_age_ms: maxAgeMs, bandwidth: this.#client.options.bandwidth };
    return this.#client.target(this.door, {
      topic: subs.map((it) => it.topic),
      since: named.some(Boolean) ? named.map((it) => (it ? written(it) : NEVER)).join(',') : undefined,
      last: last === false ? 0 : undefined,
      ...(this.door === 'poll' ? {} : wishes),
      ...more,
    });
  }

  /** Lines of a response that has no end. */
  async #read(request, take) {
    const { signal } = request.abort;
    const response = await this.#client.ask(this.#target(request), { signal });
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
    const { op, t, o, d, b } = message;
    if (op === undefined) {
      this.#client.push(t, o, b === undefined ? d : octets(b), request.covers);
    } else if (op === 'ok') {
      this.#client.joined(message.topics, request.covers, !this.#isLive);
      this.#ready(request);
    } else {
      this.#client.said(this, message, request.covers);
    }
  }

  /** Server-sent events, as far as the gateway uses them. */
  #events(request) {
    const order = [...request.covers.values()].filter((it) => !it.isPattern).map((it) => it.topic);
    let [event, data, id] = ['', [], ''];
    return (line) => {
      const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
      if (name === 'event') event = value;
      else if (name === 'data') data.push(value);
      else if (name === 'id') id = value;
      if (line !== '') return;
      const text = data.join('\n');
      if (event.startsWith('.')) {
        this.#message(request, JSON.parse(text));
      } else if (event !== '') {
        const offset = parsed(id.split(',')[order.indexOf(event)] ?? '')?.offset;
        const payload = text.startsWith(BINARY) ? octets(text.slice(BINARY.length)) : jsonOr(text);
        this.#client.push(event, offset, payload, request.covers);
      }
      [event, data] = ['', []];
    };
  }

  async #poll(request) {
    const { signal } = request.abort;
    for (let timeout = '0s'; ; timeout = '25s') {
      const response = await this.#client.ask(this.#target(request, { timeout }), { signal });
      const none = { messages: [], since: response.headers.get('Fanwire-Since') };
      const { messages, since, recovered = {} } = response.status === 204 ? none : await response.json();
      if (signal.aborted) return;
      request.heardAt = performance.now();
      const positions = since.split(',').map(parsed);
      const topics = {};
      [...request.covers.keys()].forEach((topic, at) => {
        const first = messages.find((it) => it.t === topic)?.o;
        topics[topic] = { ...positions[at], recovered: recovered[topic], first };
      });
      this.#client.joined(topics, request.covers, !request.isReady && !this.#isLive);
      for (const { t, o, d, b } of messages) this.#client.push(t, o, b === undefined ? d : octets(b), request.covers);
      if (signal.aborted) return;
      [...request.covers.keys()].forEach((topic, at) => positions[at] && this.#client.moved(topic, positions[at]));
      this.#ready(request);
    }
  }

  #ready(request) {
    request.isReady = true;
    for (const sub of request.covers.values()) sub.isKnown = true;
    this.#settle();
  }

  #settle() {
    if (this.#isLive || this.#isStopped || !this.#requests.every((it) => it.isReady)) return;
    this.#isLive = true;
    this.#client.live(this);
  }
}
