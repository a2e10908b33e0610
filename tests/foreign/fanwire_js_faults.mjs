// fanwire.js when a page asks for something bad, changes its mind in one turn, or is not answered: node
// fanwire_js_faults.mjs PATH_OF_THE_BINARY [--quick]. One bad item must not break the others, nothing may be lost without
// a word, and every promise settles.

import { readFile } from 'node:fs/promises';
import WebSocket from 'ws';
import { Fanwire } from '../../clients/js/fanwire.js';
import { TRANSPORTS, follow, gateway, numbers, relay, say } from './feed.mjs';
import { Judge, equal, publish, soon } from './judge.mjs';
import { joined, lines, refuse, scripted } from './scripted.mjs';

const quick = process.argv[3];
const judge = new Judge('fanwire.js');
process.setMaxListeners(0);
const main = await gateway('127.0.0.1:0', '--topics', '> history=1000');

const outcome = (promise) => promise.then(() => 'taken', (error) => error.code);

for (const transport of TRANSPORTS) {
  await judge.check(`${transport}: a topic that is left and followed again in one turn goes on where it was`, async () => {
    const topic = `turn.${transport}`;
    const way = await relay(main.port);
    await publish(main.origin, 'turn.other', '0');
    const it = follow(way.origin, [transport], [topic]);
    it.client.subscribe('turn.other', () => {});
    await it.live(transport);
    await say(main.origin, topic, 1, 3);
    await it.until(() => it.pushes.length === 3, 'three messages');
    const position = it.client.position(topic);
    const again = [];
    it.client.unsubscribe(topic);
    it.client.subscribe(topic, () => again.push('too early'));
    it.client.unsubscribe([topic]);
    await null;
    it.client.subscribe(topic, ({ data }) => {
      again.push(data);
      it.wake();
    });
    way.isClosed = true;
    way.cut();
    await say(main.origin, topic, 4, 6);
    equal(it.client.position(topic), position, 'position');
    way.isClosed = false;
    await it.until(() => again.length >= 3, 'three more');
    equal([again, it.data(), it.of('gap')], [[4, 5, 6], [1, 2, 3], []]);
    it.client.close();
    way.close();
  });
  await judge.check(`${transport}: a handler may leave its topic and follow it again, message by message`, async () => {
    const topic = `handler.${transport}`;
    const it = follow(main.origin, [transport], ['handler.other']);
    const all = [];
    const take = ({ data }) => {
      all.push(data);
      it.client.unsubscribe(topic);
      it.client.subscribe(topic, take);
      it.wake();
    };
    it.client.subscribe(topic, take);
    await it.live(transport);
    await Promise.all([say(main.origin, topic, 1, 30), say(main.origin, 'handler.other', 1, 30)]);
    await it.until(() => all.at(-1) === 30, 'the last');
    equal([all, it.of('gap')], [numbers(1, 30), []]);
    it.client.close();
  });
  await judge.check(`${transport}: a topic that is followed already goes back to the \`since\` that is asked for`, async () => {
    const topic = `since.${transport}`;
    await publish(main.origin, 'since.other', '0');
    const it = follow(main.origin, [transport], [topic]);
    it.client.subscribe('since.other', () => {});
    await it.live(transport);
    await say(main.origin, topic, 1, 9);
    await it.until(() => it.data().at(-1) === 9, 'nine');
    const [epoch] = it.client.position(topic).split('-');
    const again = [];
    it.client.subscribe(topic, { since: `${epoch}-4` }, ({ data }) => {
      again.push(data);
      it.wake();
    });
    await it.until(() => again.at(-1) === 9, 'the ninth again');
    await say(main.origin, topic, 10, 11);
    await it.until(() => again.at(-1) === 11, 'the newest');
    equal([again, it.of('gap')], [numbers(5, 11), []]);
    it.client.subscribe(topic, { since: 'no position' }, () => {});
    await it.until(() => it.of('gap').length > 0, 'the gap after a position that is none');
    it.client.close();
  });
  await judge.check(`${transport}: topics that are none are refused alone, each by its name`, async () => {
    const good = numbers(1, 40).map((n) => `alone.${transport}.${n}`);
    const bad = ['alone..bad', 'two words', '', 'x'.repeat(256), '\ud800', 7, null, { topic: 1 }];
    const open = new Set();
    const counted = async (target, init) => {
      const response = await fetch(target, init);
      if (response.ok) open.add(init.signal);
      return response;
    };
    const it = follow(main.origin, [transport], good.slice(0, 20), {}, { fetch: counted });
    it.client.subscribe([...good.slice(20), ...bad], ({ data }) => {
      it.pushes.push({ data });
      it.wake();
    });
    await it.until(() => it.of('error').length >= bad.length, 'the errors');
    const refused = it.of('error').map(({ code, topics }) => [code, topics]);
    equal(refused.every(([code, topics]) => code === 'bad_topic' && topics.length === 1), true, JSON.stringify(refused));
    equal(refused.map(([, [topic]]) => JSON.stringify(topic)).sort(), bad.map((topic) => JSON.stringify(topic)).sort());
    await it.live(transport);
    for (const topic of good) await publish(main.origin, topic, JSON.stringify(topic));
    await it.until(() => it.pushes.length >= good.length, 'messages of all good topics');
    equal(it.data().sort(), good.toSorted());
    if (transport !== 'ws') equal([...open].filter((signal) => !signal.aborted).length, 1, 'requests that are open in the end');
    it.client.close();
  });
  await judge.check(`${transport}: topics may be named as JavaScript names things of its own`, async () => {
    const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty'];
    const way = await relay(main.port);
    const heads = {};
    for (const name of names) heads[`of ${name}`] = await publish(main.origin, name, '"old"');
    const since = Object.fromEntries(names.map((name) => [name, `${heads[`of ${name}`].epoch}-${heads[`of ${name}`].offset - 1}`]));
    const it = follow(way.origin, [transport], names, { since });
    await it.live(transport);
    await it.until(() => it.pushes.length === names.length, 'what stands after `since`');
    way.isClosed = true;
    way.cut();
    for (const name of names) for (const data of [1, 2]) await publish(main.origin, name, `"missed ${data}"`);
    way.isClosed = false;
    await it.until(() => it.pushes.length === 3 * names.length, 'what was missed');
    for (const name of names) equal((await it.client.publish(name, 'new')).offset, heads[`of ${name}`].offset + 3, name);
    await it.until(() => it.pushes.length >= 4 * names.length, 'what was published');
    for (const name of names) {
      equal(it.pushes.filter(({ topic }) => topic === name).map(({ data }) => data), ['old', 'missed 1', 'missed 2', 'new'], name);
    }
    equal([it.of('gap'), it.of('error').filter(({ code }) => code !== 'transport_failed')], [[], []]);
    it.client.close();
    way.close();
  });
  await judge.check(`${transport}: data that JSON cannot say is refused, and later publications are taken`, async () => {
    const topic = `unsayable.${transport}`;
    const it = follow(main.origin, [transport], [topic]);
    await it.live(transport);
    const cycle = {};
    cycle.cycle = cycle;
    const bad = [1n, cycle, 'half \ud83d', { '\udc00': 1 }, () => {}, Symbol('no'), { toJSON: () => undefined }];
    const codes = await Promise.all(bad.map((data) => outcome(it.client.publish(topic, data))));
    equal(codes, bad.map(() => 'bad_request'));
    equal(await outcome(it.client.publish(topic, 1, { key: '\ud83d' })), 'bad_request', 'a key');
    equal(await outcome(it.client.publish('\ud83d', 1)), 'bad_topic', 'a topic');
    equal(await outcome(it.client.publish(undefined, 1)), 'bad_topic', 'no topic');
    const good = ['\\ud83d', 'whole \u{1f980}', '\\\\', undefined];
    const positions = await Promise.all(good.map((data) => it.client.publish(topic, data)));
    equal(positions.map(({ offset }) => offset), [1, 2, 3, 4]);
    await it.until(() => it.pushes.length === 4, 'four messages');
    equal(it.data(), ['\\ud83d', 'whole \u{1f980}', '\\\\', null]);
    it.client.close();
  });
}

await judge.check('sse: text that only looks like octets arrives as text', async () => {
  const it = follow(main.origin, ['sse'], ['looks']);
  await it.live('sse');
  const texts = ['data:application/octet-stream;base64,%%', 'data:application/octet-stream;base64,A', 'plain'];
  for (const text of texts) await publish(main.origin, 'looks', text);
  await it.until(() => it.pushes.length >= 3, 'three messages');
  equal(it.data(), texts);
  it.client.close();
});
await judge.check('a pattern that poll cannot follow is followed again where it can be', async () => {
  const way = await relay(main.port);
  way.refusesUpgrades = true;
  const it = follow(way.origin, ['ws', 'poll'], ['back.*'], {}, { betterTransportMs: 20 });
  await it.until(() => it.of('error').some(({ code }) => code === 'not_supported'), 'the error');
  await it.live('poll');
  way.refusesUpgrades = false;
  await it.live('ws');
  await publish(main.origin, 'back.home', '1');
  await it.until(() => it.pushes.length > 0, 'a message');
  it.client.close();
  way.close();
});
await judge.check('a WebSocket class that throws is a transport that failed', async () => {
  const it = follow(main.origin, undefined, ['throws'], {}, { WebSocket: class { constructor() { throw new Error('not here'); } } });
  await it.live('sse');
  it.client.close();
});
await judge.check('ws: pushes between leaving and joining anew belong to neither', async () => {
  const seen = [];
  const push = (o) => ({ t: 'a', o, d: o });
  const server = await scripted({
    socket: (socket, { op, id, since }) => {
      seen.push([op, since?.a]);
      const stand = (offset, more) => ({ op: 'ok', id, topics: { a: { epoch: 'e', offset, ...more } } });
      if (op === 'unsub') socket.tell(push(6), { op: 'ok', id }, push(7));
      else if (since) socket.tell(push(8), stand(8, { recovered: true }), ...numbers(3, 9).map(push));
      else socket.tell(stand(5), push(5));
    },
  });
  const it = follow(server.origin, ['ws'], ['a']);
  await it.until(() => it.pushes.length === 1, 'the last value');
  it.client.subscribe('a', { since: 'e-2' }, (data) => {
    it.pushes.push(data);
    it.wake();
  });
  await it.until(() => it.pushes.length >= 8, 'all of it');
  equal([it.data(), seen], [[5, ...numbers(3, 9)], [['sub', null], ['unsub', null], ['sub', 'e-2']]]);
  it.client.close();
  server.close();
});
await judge.check('stream: messages of a topic that was left in this turn are asked for again if it is followed again', async () => {
  const asked = [];
  const server = await scripted({
    request: (url, response) => {
      asked.push(url.searchParams.get('since'));
      const stand = (offset) => ({ epoch: 'e', offset, ...(asked.length > 1 && { recovered: true }) });
      joined(response, { a: stand(2), b: stand(2) });
      // All in one packet, so that it is one turn: the handler of `a` leaves `b`, then follows it again.
      if (asked.length === 1) lines(response, { t: 'a', o: 2, d: 'leave' }, { t: 'b', o: 2, d: 2 }, { t: 'a', o: 3, d: 'return' });
      else lines(response, { t: 'b', o: 2, d: 2 });
    },
  });
  const it = follow(server.origin, ['stream'], ['b']);
  const take = (data) => {
    it.pushes.push(data);
    it.wake();
  };
  it.client.subscribe('a', ({ data }) => {
    if (data === 'leave') it.client.unsubscribe('b');
    else it.client.subscribe('b', take);
  });
  await it.until(() => it.pushes.length >= 1, 'the message of `b`');
  equal([it.data(), asked], [[2], [null, 'e-3,e-1']]);
  it.client.close();
  server.close();
});
await judge.check('ws: a connection that ends before it answers leaves no topic out', async () => {
  let connections = 0;
  const server = await scripted({
    socket: (socket, { op, id }) => {
      if (op !== 'sub') return;
      connections += 1;
      if (connections === 1) return socket.close();
      socket.tell({ op: 'ok', id, topics: { a: { epoch: 'e', offset: 1 } } }, { t: 'a', o: 1, d: 'here' });
    },
  });
  const it = follow(server.origin, ['ws'], ['a']);
  await it.until(() => it.pushes.length > 0, 'a message');
  equal(it.of('error').map(({ code }) => code), ['transport_failed']);
  it.client.close();
  server.close();
});
await judge.check('stream: a topic that is left while it is joined, and followed again in this turn, gets its messages', async () => {
  const server = await scripted({
    request: (url, response) => {
      const stands = { a: { epoch: 'e', offset: 2, recovered: false }, b: { epoch: 'e', offset: 4, recovered: true } };
      joined(response, stands, { t: 'a', o: 2, d: 'return' }, { t: 'b', o: 5, d: 5 });
    },
  });
  const it = follow(server.origin, ['stream'], [], {});
  const take = (data) => {
    it.pushes.push(data);
    it.wake();
  };
  it.client.addEventListener('gap', () => it.client.unsubscribe('b'));
  it.client.subscribe('a', { since: 'e-0' }, () => it.client.subscribe('b', take));
  it.client.subscribe('b', { since: 'e-4' }, take);
  await it.until(() => it.pushes.length >= 1, 'the message of `b`');
  equal(it.data(), [5]);
  it.client.close();
  server.close();
});
await judge.check('ws: messages of an epoch that was left behind count for nothing in the next one', async () => {
  // Two gateways behind one address: while the client moves to the second, the first still speaks.
  const sockets = new Set();
  let release;
  const server = await scripted({
    socket: (socket, { id, topics: [topic] = [] }) => {
      if (!topic) return;
      sockets.add(socket);
      const isFirst = sockets.size === 1;
      const stand = isFirst ? { epoch: 'e', offset: 100 } : { epoch: 'f', offset: 1, recovered: false };
      const answer = [{ op: 'ok', id, topics: { [topic]: stand } }, { t: topic, o: stand.offset, d: stand.epoch }];
      if (isFirst || topic === 'a') socket.tell(...answer);
      else release = () => socket.tell(...answer, { t: 'a', o: 2, d: 'f' });
    },
  });
  const it = follow(server.origin, ['ws'], ['a']);
  it.client.subscribe('b', { last: true }, (push) => {
    it.pushes.push(push);
    it.wake();
  });
  await it.until(() => it.pushes.length === 2, 'the first epoch');
  it.client.reconfigure({});
  await it.until(() => it.data().at(-1) === 'f', 'the second epoch of `a`');
  [...sockets][0].tell({ t: 'a', o: 101, d: 'late' }, { t: 'b', o: 101, d: 'mark' });
  await it.until(() => it.data().at(-1) === 'mark', 'the first gateway to be heard');
  release();
  await it.until(() => it.pushes.filter(({ topic, data }) => topic === 'a' && data === 'f').length === 2, 'the next message of `a`');
  equal(it.data().includes('late'), false, 'late');
  it.client.close();
  server.close();
});
await judge.check('ws: of thousands of topics the bad ones are refused alone', async () => {
  const good = numbers(1, 2500).map((n) => `many.${n}`);
  const bad = numbers(1, 30).map((n) => `many..${n}`);
  const server = await gateway('127.0.0.1:0', '--topics-per-connection-max', '5000');
  const it = follow(server.origin, ['ws'], [...good.slice(0, 1000), ...bad, ...good.slice(1000)]);
  await it.live('ws');
  equal(it.of('error').map(({ topics, message }) => topics?.[0] ?? message).sort(), bad.toSorted());
  for (const topic of [good[0], good[999], good[2499]]) await publish(server.origin, topic, '1');
  await it.until(() => it.pushes.length >= 3, 'their messages');
  it.client.close();
  await server.stop('SIGKILL');
});
for (const status of [400, 403]) {
  await judge.check(`stream: a topic that the gateway takes no longer (${status}) is left, and the others go on`, async () => {
    const [answers, asked] = [[], []];
    const server = await scripted({
      request: (url, response) => {
        const topics = url.searchParams.getAll('topic');
        asked.push(topics);
        if (asked.length > 1 && topics.includes('b')) return refuse(response, status, status === 400 ? 'bad_topic' : 'forbidden');
        answers.push(response);
        joined(response, Object.fromEntries(topics.map((topic) => [topic, { epoch: 'e', offset: 0, recovered: true }])));
      },
    });
    const it = follow(server.origin, ['stream'], ['a', 'b', 'c']);
    await it.live('stream');
    answers[0].end();
    await it.until(() => it.of('error').length > 0, 'the error');
    equal(it.of('error').map(({ topics }) => topics), [['b']]);
    await it.until(() => it.client.state === 'live' && asked.at(-1).toSorted().join() === 'a,c', 'the others to go on');
    lines(answers.at(-1), { t: 'a', o: 1, d: 'on' }, { t: 'c', o: 1, d: 'on' });
    await it.until(() => it.pushes.length >= 2, 'their messages');
    it.client.close();
    server.close();
  });
}
await judge.check('over HTTP a publication without an answer fails in time, and later ones do not wait for it', async () => {
  const posted = [];
  const server = await scripted({
    request: (url, response, body) => {
      if (url.pathname === '/stream') return joined(response, {});
      posted.push(body.split('\n').map((line) => JSON.parse(line).data));
      if (posted.length === 1) return;
      response.end(body.split('\n').map((line) => JSON.stringify({ topic: JSON.parse(line).topic, epoch: 'e', offset: 1 })).join('\n'));
    },
  });
  const it = follow(server.origin, ['stream'], ['a'], {}, { answerTimeoutMs: 200 });
  await it.live('stream');
  const order = [];
  const note = (name, promise) => promise.then(() => order.push(name), ({ code }) => order.push(`${name}: ${code}`));
  const all = [note('stuck', it.client.publish('a', 1))];
  await new Promise(setImmediate);
  all.push(note('same', it.client.publish('a', 2)), note('same too', it.client.publish('a', 3)), note('other', it.client.publish('b', 4)));
  await Promise.all(all);
  equal([order, posted], [['other', 'stuck: silent', 'same', 'same too'], [[1], [4], [2, 3]]]);
  it.client.close();
  server.close();
});
await judge.check('over HTTP one bad publication of a turn does not spoil the others', async () => {
  const it = follow(main.origin, ['sse'], ['turn.bad']);
  await it.live('sse');
  const codes = await Promise.all(['turn.bad', 'turn..bad', 'turn.bad'].map((topic) => outcome(it.client.publish(topic, 1))));
  equal(codes, ['taken', 'bad_topic', 'taken']);
  it.client.close();
});
for (const transport of TRANSPORTS) {
  await judge.check(`${transport}: close() ends connections and settles open promises`, async () => {
    const ended = [];
    const open = [];
    const note = (name, it) => open.push(new Promise((done) => it.once('close', () => done(ended.push(name)))));
    const server = await scripted({
      socket: (socket, { op, id }) => {
        if (op === 'sub') socket.tell({ op: 'ok', id });
        if (op === 'sub') note('socket', socket);
      },
      request: (url, response) => {
        note(url.pathname, response);
        if (url.pathname === '/stream') joined(response, {});
        else if (url.pathname === '/sse') response.write('event: .joined\ndata: {"op":"ok","topics":{}}\n\n');
        else if (url.searchParams.get('timeout') === '0s') response.end('{"messages":[],"since":"e-0"}');
      },
    });
    const it = follow(server.origin, [transport], ['a']);
    await it.live(transport);
    const asked = [it.client.publish('a', 1), it.client.publish('a', 2), it.client.history('a')].map(outcome);
    await it.until(() => open.length > 0, 'requests');
    it.client.close();
    it.client.close();
    equal(await soon(Promise.all(asked), 'what was open'), ['closed', 'closed', 'closed']);
    await soon(Promise.all(open), 'the ends of connections');
    equal(await outcome(it.client.publish('a', 3)), 'closed', 'a publication afterwards');
    equal(await outcome(it.client.history('a')), 'closed', 'a question afterwards');
    equal(it.of('state').filter(({ state }) => state === 'closed').length, 1, 'ends');
    server.close();
  });
}
await judge.check('ws: close() does not leave a WebSocket behind that waits for an answer, nor one that is opening', async () => {
  const server = await scripted({ socket: (socket, { op, id }) => op === 'sub' && socket.tell({ op: 'ok', id }) });
  const sockets = [];
  class Noted extends WebSocket {
    constructor(...it) {
      super(...it);
      sockets.push(new Promise((done) => this.once('close', done)));
    }
  }
  const it = follow(server.origin, ['ws'], ['a'], {}, { WebSocket: Noted });
  await it.live('ws');
  const asked = outcome(it.client.publish('a', 1));
  it.client.unsubscribe('a');
  await it.until(() => it.client.state === 'idle', 'idle');
  it.client.subscribe('a', () => {});
  await it.until(() => it.client.state === 'connecting', 'the next WebSocket');
  it.client.close();
  equal(await soon(asked, 'the publication'), 'closed');
  await soon(Promise.all(sockets), 'the ends of both');
  equal(sockets.length, 2);
  server.close();
});
await judge.check('ws: a connection that fails tells of a publication that it was cut off, not that it was refused', async () => {
  const server = await scripted({ socket: (socket, { op, id }) => (op === 'sub' ? socket.tell({ op: 'ok', id }) : socket.send('junk')) });
  const it = follow(server.origin, ['ws'], ['a']);
  await it.live('ws');
  equal(await outcome(it.client.publish('a', 1)), 'disconnected');
  it.client.close();
  server.close();
});
await judge.check('ws: a publication that is not answered fails in time', async () => {
  const server = await scripted({ socket: (socket, { op, id }) => op === 'sub' && socket.tell({ op: 'ok', id }) });
  const it = follow(server.origin, ['ws'], ['a'], {}, { answerTimeoutMs: 50 });
  await it.live('ws');
  equal(await outcome(it.client.publish('a', 1)), 'silent');
  it.client.close();
  server.close();
});

/** What a page does, in one function, so that browsers can run it too. */
async function page(Fanwire, origin, transport, topic) {
  const client = new Fanwire(origin, { transports: [transport] });
  const [first, second, errors, gaps] = [[], [], [], []];
  client.addEventListener('error', ({ detail }) => errors.push(detail.topics));
  client.addEventListener('gap', ({ detail }) => gaps.push(detail));
  const until = async (test) => {
    while (!test()) await new Promise((done) => setTimeout(done, 5));
  };
  const code = (promise) => promise.then(() => 'taken', (error) => error.code);
  const cycle = [];
  cycle.push(cycle);
  client.subscribe([topic, 'a..b', '\ud800', '__proto__'], ({ topic: it, data }) => it === topic && first.push(data));
  await until(() => client.transport === transport && errors.length === 2);
  const codes = [];
  for (const data of [1n, '\ud800', cycle]) codes.push(await code(client.publish(topic, data)));
  for (const data of [1, 2]) codes.push(await code(client.publish(topic, data)));
  await until(() => first.length === 3);
  client.unsubscribe(topic);
  client.subscribe(topic, ({ data }) => second.push(data));
  codes.push(await code(client.publish(topic, 3)));
  await until(() => second.length === 1);
  client.subscribe(topic, { since: `${client.position(topic).split('-')[0]}-2` }, ({ data }) => second.push(data));
  await until(() => second.length === 3);
  const open = code(client.publish(topic, 4));
  client.close();
  codes.push(await open);
  return [first, second, errors.length, gaps.length, codes, client.state];
}
const WANTED = [[0, 1, 2], [3, 2, 3], 2, 0, ['bad_request', 'bad_request', 'bad_request', 'taken', 'taken', 'taken', 'closed'], 'closed'];

for (const transport of TRANSPORTS) {
  await judge.check(`${transport}: all of it in one page`, async () => {
    globalThis.WebSocket ??= WebSocket;
    await publish(main.origin, `page.${transport}`, '0');
    equal(await page(Fanwire, main.origin, transport, `page.${transport}`), WANTED);
  });
}
if (quick !== '--quick') {
  const { launch } = await import('./browser.mjs');
  const source = await readFile(new URL('../../clients/js/fanwire.js', import.meta.url), 'utf8');
  for (const name of ['chromium', 'firefox']) {
    const browser = await launch(name);
    for (const transport of TRANSPORTS) {
      await judge.check(`${name}, ${transport}: all of it in one page`, async () => {
        const topic = `page.${name}.${transport}`;
        await publish(main.origin, topic, '0');
        const tab = await browser.newPage();
        await tab.goto(`${main.origin}/healthz`);
        const got = await tab.evaluate(async ([source, page, transport, topic]) => {
          const { Fanwire } = await import(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })));
          return new Function(`return ${page}`)()(Fanwire, location.origin, transport, topic);
        }, [source, String(page), transport, topic]);
        equal(got, WANTED);
        await tab.close();
      });
    }
    await browser.close();
  }
}

await main.stop('SIGTERM');
judge.finish();
