// Shared by the checks of fanwire.js: a gateway of their own, a way to it that can be cut, and a client that is
// listened to.

import { spawn } from 'node:child_process';
import { createServer, connect } from 'node:net';
import { createInterface } from 'node:readline';
import WebSocket from 'ws';
import { Fanwire } from '../../clients/js/fanwire.js';
import { publish, soon } from './judge.mjs';

export const TRANSPORTS = ['ws', 'sse', 'stream', 'poll'];
export const HISTORY = ['--topics', 'js.> history=1000'];

/** A gateway: PATH_OF_THE_BINARY is the program's first argument. */
export async function gateway(listen, ...flags) {
  const arguments_ = ['serve', '--listen', listen, '--shards', '2', ...flags];
  const child = spawn(process.argv[2], arguments_, { stdio: ['ignore', 'pipe', 'inherit'] });
  process.once('exit', () => child.kill('SIGKILL'));
  const ended = new Promise((done) => child.once('exit', done));
  let origin;
  const ready = new Promise((done, failed) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      origin ??= /^listening on (http:\S+)/.exec(line)?.[1];
      if (line === 'ready') done();
    });
    ended.then((code) => failed(new Error(`the gateway ended with ${code}`)));
  });
  await soon(ready, 'the gateway');
  const stop = async (signal) => {
    child.kill(signal);
    await soon(ended, 'the end of the gateway');
  };
  return { origin, port: Number(new URL(origin).port), stop };
}

/** A way to the gateway that can be cut, closed for a while, and that can refuse WebSockets. */
export async function relay(port) {
  const way = { refusesUpgrades: false, isClosed: false, upgrades: 0 };
  const sockets = new Set();
  const server = createServer((near) => {
    if (way.isClosed) return near.destroy();
    const far = connect(port, '127.0.0.1');
    for (const [one, other] of [[near, far], [far, near]]) {
      sockets.add(one);
      one.on('end', () => other.end());
      one.on('error', () => other.destroy());
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
    }
    far.on('data', (bytes) => near.write(bytes));
    near.on('data', (bytes) => {
      if (/^upgrade:/im.test(bytes.toString('latin1'))) {
        way.upgrades += 1;
        if (way.refusesUpgrades) return near.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
      }
      far.write(bytes);
    });
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  way.origin = `http://127.0.0.1:${server.address().port}`;
  way.cut = () => sockets.forEach((socket) => socket.destroy());
  way.close = () => {
    way.cut();
    server.close();
  };
  return way;
}

/** A client, the messages and events that came, and waits for those that shall come. */
export function follow(origin, transports, topics, options = {}, more = {}) {
  const client = new Fanwire(origin, { transports, WebSocket, retryMinMs: 20, retryMaxMs: 200, ...more });
  const it = { client, pushes: [], events: [] };
  let wake = () => {};
  for (const type of ['state', 'gap', 'resumed', 'error', 'presence']) {
    client.addEventListener(type, ({ detail }) => {
      it.events.push({ type, ...detail, message: detail.message });
      wake();
    });
  }
  client.subscribe(topics, options, (push) => {
    it.pushes.push(push);
    wake();
  });
  it.until = (test, what) => soon((async () => {
    while (!test()) await new Promise((done) => (wake = done));
  })(), what);
  it.wake = () => wake();
  it.live = (transport) =>
    it.until(() => client.state === 'live' && (transport ?? client.transport) === client.transport, `live on ${transport}`);
  it.of = (type) => it.events.filter((event) => event.type === type);
  it.data = () => it.pushes.map((push) => push.data);
  return it;
}

export const numbers = (from, to) => Array.from({ length: to - from + 1 }, (_, at) => from + at);
export async function say(origin, topic, from, to) {
  for (const number of numbers(from, to)) await publish(origin, topic, String(number));
}
