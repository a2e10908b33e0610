// npm `eventsource` as a judge: node eventsource.mjs http://127.0.0.1:PORT

import { EventSource } from 'eventsource';
import { createServer, connect } from 'node:net';
import { Judge, equal, publish } from './judge.mjs';

const origin = process.argv[2];
const judge = new Judge('npm eventsource');

/** A source with what came in, in order: [event, data, lastEventId]. */
function follow(address, events) {
  const source = new EventSource(address);
  const [inbox, waiting] = [[], []];
  for (const event of events) {
    source.addEventListener(event, ({ data, lastEventId }) => {
      const it = [event, data, lastEventId];
      if (waiting.length > 0) waiting.shift()(it);
      else inbox.push(it);
    });
  }
  const next = () => new Promise((done) => (inbox.length > 0 ? done(inbox.shift()) : waiting.push(done)));
  return { source, next };
}

/** A way to the gateway that can be cut. */
async function relay() {
  const { hostname, port } = new URL(origin);
  const sockets = new Set();
  const server = createServer((near) => {
    const far = connect(Number(port), hostname);
    for (const [one, other] of [[near, far], [far, near]]) {
      sockets.add(one);
      one.on('data', (bytes) => other.write(bytes));
      one.on('end', () => other.end());
      one.on('error', () => other.destroy());
      one.on('close', () => sockets.delete(one));
    }
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return {
    address: `http://127.0.0.1:${server.address().port}`,
    cut: () => sockets.forEach((socket) => socket.destroy()),
    close: () => server.close(),
  };
}

await judge.check('payloads arrive as they were published', async () => {
  const { source, next } = follow(`${origin}/sse?topic=es.kinds`, ['.joined', 'es.kinds']);
  equal((await next())[0], '.joined');
  for (const [payload, wanted] of [
    ['hello', 'hello'],
    ['', ''],
    [' two  spaces', ' two  spaces'],
    ['a\nb\r\nc\rd\n', 'a\nb\nc\nd\n'],
    ['id: 1\n\nevent: evil\ndata: x', 'id: 1\n\nevent: evil\ndata: x'],
    ['κόσμε 🦀 \u2028', 'κόσμε 🦀 \u2028'],
    ['{"p": 1.50 }', '{"p": 1.50 }'],
    ['x'.repeat(1024 * 1024), 'x'.repeat(1024 * 1024)],
  ]) {
    await publish(origin, 'es.kinds', payload);
    equal((await next())[1], wanted);
  }
  await publish(origin, 'es.kinds', new Uint8Array([0, 255, 10]), { 'Content-Type': 'application/octet-stream' });
  const bytes = await (await fetch((await next())[1])).arrayBuffer();
  equal([...new Uint8Array(bytes)], [0, 255, 10], 'a data URL opens');
  source.close();
});
await judge.check('a reader that is cut off comes back to all of its topics by itself', async () => {
  const way = await relay();
  const topics = ['es.b', 'es.a'];
  await publish(origin, 'es.a', 'a1');
  const { source, next } = follow(`${way.address}/sse?topic=es.b&topic=es.a`, ['.joined', ...topics]);
  equal((await next())[0], '.joined');
  equal((await next()).slice(0, 2), ['es.a', 'a1']);
  await publish(origin, 'es.b', 'b1');
  const before = await next();
  equal(before.slice(0, 2), ['es.b', 'b1']);
  way.cut();
  await publish(origin, 'es.a', 'a2');
  await publish(origin, 'es.b', 'b2');
  const [event, data] = await next();
  equal(event, '.joined');
  const joined = JSON.parse(data).topics;
  equal(topics.map((topic) => joined[topic].recovered), [true, true]);
  const missed = [await next(), await next()].map((it) => it[1]);
  equal(missed.sort(), ['a2', 'b2']);
  source.close();
  way.close();
});
await judge.check('a request that cannot be served is an error', async () => {
  const code = await new Promise((done) => {
    const source = new EventSource(`${origin}/sse?topic=a..b`);
    source.onerror = (error) => {
      source.close();
      done(error.code);
    };
  });
  equal(code, 400);
});

judge.finish();
