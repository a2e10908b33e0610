// npm `ws` as a judge of compression: node npm_deflate.mjs http://127.0.0.1:PORT message|shared

import { randomBytes } from 'node:crypto';
import WebSocket from 'ws';
import { Judge, equal, publish, soon } from './judge.mjs';

const [origin, kind] = process.argv.slice(2);
const judge = new Judge(`npm ws, ${kind}`);

/** A connection that offers compression, with what came in, in order. */
async function open(target, offer = {}) {
  const perMessageDeflate = { threshold: 0, ...offer };
  const socket = new WebSocket(origin.replace('http', 'ws') + target, { perMessageDeflate });
  const [inbox, waiting] = [[], []];
  socket.on('message', (payload, isBinary) => {
    const message = isBinary ? payload : payload.toString();
    if (waiting.length > 0) waiting.shift()(message);
    else inbox.push(message);
  });
  const closed = new Promise((resolve) => socket.on('close', resolve));
  await soon(new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject)), `open ${target}`);
  const next = () =>
    inbox.length > 0 ? inbox.shift() : soon(new Promise((resolve) => waiting.push(resolve)), 'a message');
  const close = async () => {
    socket.close(1000);
    equal(await soon(closed, 'the close'), 1000, 'close code');
  };
  return { socket, next, close, received: () => socket._socket.bytesRead };
}

/** One of many messages that are much alike. */
const tick = (number) => JSON.stringify({ ticker: 'AAPL', price: 100 + ((number * 7) % 90) / 4, volume: number * 31, number });

const offers = [
  {},
  { serverNoContextTakeover: true },
  { clientNoContextTakeover: true },
  { serverMaxWindowBits: 9 },
  { serverMaxWindowBits: 13, clientMaxWindowBits: 10 },
];

await judge.check('/echo takes compressed messages and sends them back compressed', async () => {
  for (const offer of offers) {
    const it = await open('/echo', offer);
    equal(it.socket.extensions, 'permessage-deflate', 'extensions');
    const text = 'κόσμε 🦀 compressible '.repeat(20_000);
    // Twice: nothing may be remembered of the first.
    for (const message of [text, text, 'short', '']) {
      it.socket.send(message);
      equal(await it.next(), message, JSON.stringify(offer));
    }
    if (it.received() > 400_000) throw new Error(`${it.received()} octets came`);
    const octets = randomBytes(1024 * 1024);
    it.socket.send(octets);
    if (!octets.equals(await it.next())) throw new Error('octets come back');
    await it.close();
  }
});
await judge.check('a bomb closes with 1009', async () => {
  const it = await open('/echo');
  const closed = new Promise((resolve) => it.socket.on('close', resolve));
  it.socket.send(Buffer.alloc(64 * 1024 * 1024));
  equal(await soon(closed, 'the close'), 1009, 'close code');
});
await judge.check('/raw: whoever comes when, and with what offer, hears every tick in order', async () => {
  const topic = `npm.deflate.${kind}`;
  const readers = [];
  await publish(origin, topic, tick(0));
  for (let number = 1; number <= 120; number += 1) {
    if (number % 6 === 1) {
      const it = await open(`/raw/${topic}`, offers[readers.length % offers.length]);
      equal(await it.next(), tick(number - 1), 'the last value');
      readers.push({ ...it, number, before: it.received() });
    }
    await publish(origin, topic, tick(number));
    for (const reader of readers) equal(await reader.next(), tick(number), `tick ${number}`);
  }
  const plain = tick(100).length * 120;
  const [first] = readers;
  const part = (first.received() - first.before) / plain;
  if (kind === 'shared' && part > 0.5) throw new Error(`${part} of the plain bytes came`);
  for (const reader of readers) await reader.close();
});
await judge.check('/raw: long messages come compressed to who takes them', async () => {
  const readers = [];
  const topic = `npm.long.${kind}`;
  await publish(origin, topic, 'joined');
  for (const offer of offers) readers.push(await open(`/raw/${topic}`, offer));
  for (const reader of readers) equal(await reader.next(), 'joined', 'the last value');
  const before = readers.map((reader) => reader.received());
  for (let number = 0; number < 30; number += 1) {
    const message = `[${Array.from({ length: 200 }, (_, at) => tick(number + at))}]`;
    await publish(origin, topic, message);
    for (const reader of readers) equal(await reader.next(), message, 'a long message');
  }
  readers.forEach((reader, at) => {
    const came = reader.received() - before[at];
    if (came > 30 * 200 * 30) throw new Error(`${came} octets came for ${JSON.stringify(offers[at])}`);
  });
  for (const reader of readers) await reader.close();
});
await judge.check('/ws: operations in, pushes out, by name and pattern', async () => {
  const [it, other] = [await open('/ws'), await open('/ws', { serverMaxWindowBits: 10 })];
  for (const [reader, topics] of [[it, [`npm.j.${kind}`, 'npm.other']], [other, [`npm.j.*`]]]) {
    reader.socket.send(JSON.stringify({ op: 'sub', topics, last: false, id: 1 }));
    equal(JSON.parse(await reader.next()).op, 'ok', 'reply');
  }
  for (let number = 1; number <= 60; number += 1) {
    const data = { number, text: 'much alike '.repeat(40) };
    await publish(origin, `npm.j.${kind}`, JSON.stringify(data));
    for (const reader of [it, other]) equal(JSON.parse(await reader.next()).d, data, `push ${number}`);
    if (number % 7 === 0) {
      await publish(origin, 'npm.other', JSON.stringify(data));
      equal(JSON.parse(await it.next()).t, 'npm.other', 'another topic between');
    }
    if (number === 30) {
      it.socket.send(JSON.stringify({ op: 'sub', topics: ['npm.more'], last: false, id: 2 }));
      equal(JSON.parse(await it.next()).id, 2, 'one more topic');
    }
  }
  await it.close();
  await other.close();
});

judge.finish();
