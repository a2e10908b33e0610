// fanwire.js against a model: node fanwire_js_random.mjs PATH_OF_THE_BINARY [SEEDS] [FIRST]
// Random operations while messages are published and connections are cut. A run is all that one callback gets of one
// topic, from a subscription on: it has no hole and no double, and nothing comes after its end. The gateway keeps everything,
// so there is no gap either. A failure prints the seed; `1 SEED` runs it alone.

import WebSocket from 'ws';
import { Fanwire } from '../../clients/js/fanwire.js';
import { TRANSPORTS, gateway, numbers, relay } from './feed.mjs';
import { Judge, equal } from './judge.mjs';

const [seeds, first] = [Number(process.argv[3] || 50), Number(process.argv[4] || 1)];
const AT_ONCE = 4;
const OPERATIONS = 40;
const TOPICS = 4;

/** Mulberry32: numbers from 0 to below 1 that the seed decides. */
function random(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

class World {
  constructor(seed, way) {
    this.next = random(seed);
    this.way = way;
    this.topics = numbers(1, TOPICS).map((n) => `random.${seed}.${n}`);
    this.said = new Map(this.topics.map((topic) => [topic, []])); // by offset
    this.runs = new Map(); // topic -> the run of its present callback
    this.last = new Map(); // topic -> the last position of which the model knows
    this.faults = [];
    this.wake = () => {};
    this.speaking = new Map(this.topics.map((topic) => [topic, Promise.resolve()]));
    const options = { transports: this.someTransports(), WebSocket, retryMinMs: 1, retryMaxMs: 4, betterTransportMs: 20 };
    this.client = new Fanwire(way.origin, options);
    this.client.addEventListener('gap', ({ detail }) => this.faults.push(`gap ${JSON.stringify(detail)}`));
    this.client.addEventListener('error', ({ detail }) => {
      if (detail.code !== 'transport_failed' && detail.code !== 'bad_topic') this.faults.push(`${detail.code}: ${detail.message}`);
    });
  }

  chance(share) {
    return this.next() < share;
  }

  one(list) {
    return list[Math.floor(this.next() * list.length)];
  }

  someTransports() {
    const rest = [...TRANSPORTS];
    return numbers(1, 1 + Math.floor(this.next() * 3)).map(() => rest.splice(Math.floor(this.next() * rest.length), 1)[0]);
  }

  /** Publishes until it is taken, once: the client may be cut off meanwhile. */
  say(topic, data) {
    const until = async () => {
      for (;;) {
        try {
          const { offset } = await this.client.publish(topic, data, { messageId: `${data}` });
          this.said.get(topic)[offset] = data;
          return;
        } catch {
          await new Promise((done) => setTimeout(done, 1));
        }
      }
    };
    this.speaking.set(topic, this.speaking.get(topic).then(until));
  }

  /** Follows a topic: from where the model knows it to stand, from an earlier position, or from its last value. */
  follow(topic, since) {
    const before = this.runs.get(topic);
    const from = since ? since.offset : (before?.at ?? null);
    // Without a position a run begins with whichever message comes first: one may be under way since the topic was
    // followed before. From there on there is no hole.
    const run = { at: from };
    this.runs.set(topic, run);
    const options = { ...(since && { since: `${since.epoch}-${since.offset}` }), maxAgeMs: this.chance(0.2) ? 0 : undefined };
    this.client.subscribe(topic, options, (push) => this.take(topic, run, push));
  }

  leave(topic) {
    this.client.unsubscribe(topic);
    const run = this.runs.get(topic);
    this.runs.delete(topic);
    return run;
  }

  take(topic, run, { offset, data }) {
    if (this.runs.get(topic) !== run) this.faults.push(`${topic}: ${offset} came to a callback that was left`);
    const isNext = run.at === null || offset === run.at + 1;
    if (!isNext) this.faults.push(`${topic}: ${offset} came after ${run.at}`);
    run.at = offset;
    this.said.get(topic)[offset] ??= data;
    if (this.said.get(topic)[offset] !== data) this.faults.push(`${topic}: ${offset} is ${data}`);
    this.last.set(topic, this.client.position(topic));
    this.wake();
    if (this.chance(0.05)) this.change(topic);
    if (this.chance(0.02)) this.way.cut();
  }

  /** Leaves and follows again in one turn. */
  async change(topic) {
    const run = this.leave(topic);
    if (!run) return;
    if (this.chance(0.3)) await null;
    if (this.runs.has(topic)) return; // followed by another operation meanwhile
    this.runs.set(topic, run);
    this.follow(topic);
    this.wake();
  }

  act(number) {
    const topic = this.one(this.topics);
    const kind = this.next();
    if (kind < 0.4) this.say(topic, number);
    else if (kind < 0.55) this.follow(topic, this.chance(0.3) ? this.earlier(topic) : null);
    else if (kind < 0.65) this.leave(topic);
    else if (kind < 0.8) this.change(topic);
    else if (kind < 0.88) this.way.cut();
    else if (kind < 0.96) this.client.reconfigure({ transports: this.someTransports() });
    else this.client.subscribe([`random..${number}`, '\ud800'], () => {});
  }

  /** A position before the last that is known of a topic; or null. */
  earlier(topic) {
    const found = /^(.*)-(\d+)$/.exec(this.last.get(topic) ?? '');
    return found && { epoch: found[1], offset: Math.floor(this.next() * (Number(found[2]) + 1)) };
  }

  async run() {
    // A topic to which something was said keeps its epoch.
    this.topics.forEach((topic) => this.say(topic, 'first'));
    await Promise.all(this.speaking.values());
    for (const number of numbers(1, OPERATIONS)) {
      this.act(number);
      const pause = this.next();
      if (pause < 0.3) continue; // in one turn
      if (pause < 0.5) await null;
      else if (pause < 0.8) await new Promise(setImmediate);
      else await Promise.race([...this.speaking.values(), new Promise((done) => setTimeout(done, 2))]);
    }
    for (const topic of this.topics) {
      if (!this.runs.has(topic)) this.follow(topic);
      this.say(topic, 'last');
    }
    await Promise.all(this.speaking.values());
    const isOver = () => this.topics.every((topic) => this.runs.get(topic)?.at === this.said.get(topic).length - 1);
    while (!isOver() && this.faults.length === 0) await new Promise((done) => (this.wake = done));
    this.client.close();
    for (const said of this.said.values()) equal(said.slice(1).includes(undefined), false, 'offsets that nothing has');
    equal(this.faults.slice(0, 3), []);
  }
}

const judge = new Judge('fanwire.js at random');
process.setMaxListeners(0);
const main = await gateway('127.0.0.1:0', '--topics', 'random.> history=1000');
const waiting = numbers(first, first + seeds - 1);
await Promise.all(numbers(1, AT_ONCE).map(async () => {
  for (let seed = waiting.shift(); seed !== undefined; seed = waiting.shift()) {
    const way = await relay(main.port);
    await judge.check(`seed ${seed}`, () => new World(seed, way).run());
    way.close();
  }
}));
await main.stop('SIGTERM');
judge.finish();
