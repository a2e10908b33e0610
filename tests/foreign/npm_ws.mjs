// npm `ws` as a judge: node npm_ws.mjs http://127.0.0.1:PORT

import { randomBytes } from 'node:crypto';
import WebSocket from 'ws';
import { Judge, equal, publish, soon } from './judge.mjs';

const origin = process.argv[2];
const judge = new Judge('npm ws');

/** A connection with what came in, in order. */
class Talk {
  static async open(target, protocols = []) {
    const talk = new Talk();
    talk.socket = new WebSocket(origin.replace('http', 'ws') + target, protocols, { perMessageDeflate: false });
    talk.inbox = [];
    talk.waiting = [];
    talk.socket.on('message', (payload, isBinary) => talk.deliver(isBinary ? payload : payload.toString()));
    talk.socket.on('pong', (payload) => talk.deliver({ pong: payload.toString() }));
    talk.closed = new Promise((resolve) => {
      talk.socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
    await soon(new Promise((resolve, reject) => talk.socket.on('open', resolve).on('error', reject)), `open ${target}`);
    return talk;
  }

  deliver(message) {
    const next = this.waiting.shift();
    if (next) next(message);
    else this.inbox.push(message);
  }

  send(...args) {
    this.socket.send(...args);
    return this;
  }

  next() {
    if (this.inbox.length > 0) return Promise.resolve(this.inbox.shift());
    return soon(new Promise((resolve) => this.waiting.push(resolve)), 'a message');
  }

  async expect(wanted) {
    const got = await this.next();
    if (Buffer.isBuffer(wanted)) {
      if (!Buffer.isBuffer(got) || !got.equals(wanted)) throw new Error(`wanted ${wanted.length} octets, got ${got.length}`);
    } else equal(got, wanted, 'message');
  }

  async expectJson() {
    return JSON.parse(await this.next());
  }

  async expectClose(code, reason) {
    const got = await soon(this.closed, 'the close');
    equal(got.code, code, 'close code');
    if (reason !== undefined) equal(got.reason, reason, 'close reason');
  }

  async close(code = 1000, reason = '') {
    this.socket.close(code, reason);
    await this.expectClose(code);
  }
}

const text = 'κόσμε 🦀 '.repeat(60_000).slice(0, 600_000);
const octets = randomBytes(1024 * 1024);
const inFragments = (talk, parts) => {
  parts.forEach((part, at) => talk.send(part, { binary: Buffer.isBuffer(part), fin: at === parts.length - 1 }));
};

await judge.check('/echo returns text, empty and many-byted too', async () => {
  const talk = await Talk.open('/echo');
  for (const message of ['hello', '', 'κόσμε 🦀', '\u0000']) await talk.send(message).expect(message);
  await talk.close();
});
await judge.check('/echo returns binary as binary', async () => {
  const talk = await Talk.open('/echo');
  for (const message of [Buffer.from([0, 255, 254]), Buffer.alloc(0)]) await talk.send(message).expect(message);
  await talk.close();
});
await judge.check('/echo returns 1 MiB of text and of octets', async () => {
  const talk = await Talk.open('/echo');
  const mebibyte = '*'.repeat(1024 * 1024);
  await talk.send(mebibyte).expect(mebibyte);
  await talk.send(text).expect(text);
  await talk.send(octets).expect(octets);
  await talk.close();
});
await judge.check('/echo puts fragments together', async () => {
  const talk = await Talk.open('/echo');
  inFragments(talk, ['one ', '', 'two ', 'three']);
  await talk.expect('one two three');
  inFragments(talk, Array.from({ length: 64 }, (_, at) => octets.subarray(at * 16_384, (at + 1) * 16_384)));
  await talk.expect(octets);
  await talk.close();
});
await judge.check('/echo answers a ping between fragments', async () => {
  const talk = await Talk.open('/echo');
  talk.send('one ', { fin: false });
  talk.socket.ping('are you there');
  talk.send('two', { fin: true });
  await talk.expect({ pong: 'are you there' });
  await talk.expect('one two');
  await talk.close();
});
await judge.check('/echo returns a thousand messages in order', async () => {
  const talk = await Talk.open('/echo');
  for (let number = 0; number < 1000; number += 1) talk.send(String(number));
  for (let number = 0; number < 1000; number += 1) await talk.expect(String(number));
  await talk.close();
});
await judge.check('close codes and reasons come back', async () => {
  for (const code of [1000, 1001, 1011, 3000, 4321]) {
    const talk = await Talk.open('/echo');
    talk.socket.close(code, 'a reason');
    await talk.expectClose(code);
  }
});
await judge.check('an unmasked frame closes with 1002', async () => {
  const talk = await Talk.open('/echo');
  await talk.send('unmasked', { mask: false }).expectClose(1002);
});
await judge.check('text that is no UTF-8 closes with 1007', async () => {
  const talk = await Talk.open('/echo');
  await talk.send(Buffer.from([0xff]), { binary: false }).expectClose(1007);
});
await judge.check('one octet past 1 MiB closes with 1009', async () => {
  const talk = await Talk.open('/echo');
  await talk.send('*'.repeat(1024 * 1024 + 1)).expectClose(1009);
});
await judge.check('an unknown path is a 404 and a bad topic a 400', async () => {
  for (const [target, status] of [['/nothing', 404], ['/raw/a..b', 400]]) {
    const socket = new WebSocket(origin.replace('http', 'ws') + target);
    const response = await soon(new Promise((resolve) => {
      socket.on('unexpected-response', (_, it) => resolve(it)).on('error', () => {}).on('open', () => resolve({}));
    }), 'a refusal');
    equal(response.statusCode, status, target);
    response.resume?.();
    socket.terminate();
  }
});

await judge.check('/raw carries text, octets, large and fragmented messages to every reader', async () => {
  const readers = await Promise.all([1, 2, 3].map(() => Talk.open('/raw/npm.raw?last=0')));
  const writer = await Talk.open('/raw/npm.raw?last=0&echo=0');
  writer.send('text').send(Buffer.from([0, 255])).send(octets);
  inFragments(writer, ['in ', 'three ', 'fragments']);
  for (const reader of readers) {
    for (const message of ['text', Buffer.from([0, 255]), octets, 'in three fragments']) await reader.expect(message);
    await reader.close();
  }
  equal(writer.inbox.length, 0, 'own messages with echo=0');
  await writer.close();
});
await judge.check('/raw sends the last value on joining, unless it is asked not to', async () => {
  await publish(origin, 'npm.last', 'old');
  await publish(origin, 'npm.last', 'last');
  const [with_last, without] = [await Talk.open('/raw/npm.last'), await Talk.open('/raw/npm.last?last=0')];
  await with_last.expect('last');
  await publish(origin, 'npm.last', 'new');
  await with_last.expect('new');
  await without.expect('new');
  await Promise.all([with_last.close(), without.close()]);
});

await judge.check('/ws subscribes, publishes and pushes JSON', async () => {
  const talk = await Talk.open('/ws', ['fanwire.json.v1']);
  equal(talk.socket.protocol, 'fanwire.json.v1', 'subprotocol');
  talk.send(JSON.stringify({ op: 'sub', topics: ['npm.json'], id: 1 }));
  const joined = await talk.expectJson();
  equal([joined.op, joined.id, Object.keys(joined.topics)], ['ok', 1, ['npm.json']], 'reply');
  const { offset } = await publish(origin, 'npm.json', '{"price":1.5}');
  equal(await talk.expectJson(), { t: 'npm.json', o: offset, d: { price: 1.5 } }, 'push');
  await publish(origin, 'npm.json', 'no JSON');
  equal((await talk.expectJson()).d, 'no JSON', 'push of text');
  await publish(origin, 'npm.json', Buffer.from([0, 255]), { 'Content-Type': 'application/octet-stream' });
  equal((await talk.expectJson()).b, 'AP8=', 'push of octets');
  const large = 'x'.repeat(1024 * 1024 - 100);
  talk.send(JSON.stringify({ op: 'pub', topic: 'npm.json', data: large }));
  let push = await talk.expectJson();
  if (push.op === 'ok') push = await talk.expectJson();
  equal(push.d, large, 'push of a large message');
  await talk.close();
});
await judge.check('/ws takes an operation in fragments', async () => {
  const talk = await Talk.open('/ws');
  inFragments(talk, ['{"op":"sub",', '"topics":["npm.frag"],', '"id":"a"}']);
  equal((await talk.expectJson()).id, 'a', 'reply');
  await talk.close();
});
await judge.check('/ws follows a pattern, and leaves it', async () => {
  const talk = await Talk.open('/ws');
  talk.send('{"op":"sub","topics":["npm.p.*"],"last":false,"id":1}');
  equal((await talk.expectJson()).op, 'ok', 'reply');
  await publish(origin, 'npm.p.a', '1');
  await publish(origin, 'npm.other', '2');
  await publish(origin, 'npm.p.b', '3');
  equal([(await talk.expectJson()).t, (await talk.expectJson()).t], ['npm.p.a', 'npm.p.b'], 'topics');
  talk.send('{"op":"unsub","topics":["npm.p.*"],"id":2}');
  equal((await talk.expectJson()).id, 2, 'reply');
  await publish(origin, 'npm.p.a', '4');
  talk.send('{"op":"ping","id":3}');
  equal((await talk.expectJson()).id, 3, 'the next message is the reply');
  await talk.close();
});
await judge.check('/ws refuses what it does not understand, and goes on', async () => {
  const talk = await Talk.open('/ws');
  for (const [message, code] of [
    ['{"op":"sub","topics":["a..b"],"id":1}', 'bad_topic'],
    ['{"op":"nothing","id":1}', 'bad_request'],
    ['{"op":"pub","data":1,"id":1}', 'bad_request'],
  ]) {
    const reply = await talk.send(message).expectJson();
    equal([reply.op, reply.id, reply.code], ['err', 1, code], message);
  }
  equal((await talk.send('no JSON').expectJson()).code, 'bad_request', 'no JSON');
  equal((await talk.send('{"op":"ping","id":2}').expectJson()).id, 2, 'a ping');
  await talk.close();
});

judge.finish();
