// fanwire.js in Node, with npm `ws` for its WebSocket, and in browsers: node fanwire_js.mjs PATH_OF_THE_BINARY [--quick]
// Every transport, the way down from one to the next, and that a cut or a restart makes no hole.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { WebSocketServer } from 'ws';
import { Fanwire } from '../../clients/js/fanwire.js';
import { HISTORY, TRANSPORTS, follow, gateway, numbers, relay, say } from './feed.mjs';
import { Judge, equal, publish, soon } from './judge.mjs';

const quick = process.argv[3];
const judge = new Judge('fanwire.js');
process.setMaxListeners(0);

const main = await gateway('127.0.0.1:0', ...HISTORY);

for (const transport of TRANSPORTS) {
  await judge.check(`${transport}: last value, JSON, text and octets, in order`, async () => {
    const topic = `js.kinds.${transport}`;
    await publish(main.origin, topic, '"the last"');
    const it = follow(main.origin, [transport], [topic]);
    await it.live(transport);
    await publish(main.origin, topic, '{"price":1.5}');
    await publish(main.origin, topic, 'κόσμε 🦀\nno JSON');
    await publish(main.origin, topic, new Uint8Array([0, 255, 10]), { 'Content-Type': 'application/octet-stream' });
    await publish(main.origin, topic, 'x'.repeat(300_000));
    await it.until(() => it.pushes.length === 5, 'five messages');
    const octets = it.pushes[3].data;
    if (!(octets instanceof Uint8Array)) throw new Error(`octets came as ${octets}`);
    equal([...octets], [0, 255, 10]);
    equal(it.data().toSpliced(3, 1), ['the last', { price: 1.5 }, 'κόσμε 🦀\nno JSON', 'x'.repeat(300_000)]);
    equal(it.pushes.map((push) => push.offset), [1, 2, 3, 4, 5], 'offsets');
    equal(it.client.position(topic)?.split('-')[1], '5', 'position');
    it.client.close();
    equal(it.client.state, 'closed');
  });
  await judge.check(`${transport}: a cut connection makes no hole and no double`, async () => {
    const way = await relay(main.port);
    const topics = [`js.cut.${transport}.a`, `js.cut.${transport}.b`];
    const it = follow(way.origin, [transport], topics);
    await it.live(transport);
    for (const round of [0, 1, 2]) {
      for (const topic of topics) await say(main.origin, topic, round * 20 + 1, round * 20 + 10);
      way.isClosed = true;
      way.cut();
      for (const topic of topics) await say(main.origin, topic, round * 20 + 11, round * 20 + 20);
      way.isClosed = false;
      await it.until(() => it.pushes.length === (round + 1) * 40, `round ${round}`);
    }
    for (const topic of topics) equal(it.pushes.filter((push) => push.topic === topic).map((push) => push.data), numbers(1, 60));
    await it.until(() => it.of('resumed').length >= 3, 'three returns');
    equal(it.of('gap'), []);
    it.client.close();
    way.close();
  });
  await judge.check(`${transport}: a restart with a snapshot makes no hole, one without is told`, async () => {
    const folder = await mkdtemp(`${tmpdir()}/fanwire-js-`);
    const snapshot = ['--snapshot', `${folder}/topics`];
    let server = await gateway('127.0.0.1:0', ...HISTORY, ...snapshot);
    const it = follow(server.origin, [transport], ['js.restart']);
    await it.live(transport);
    await say(server.origin, 'js.restart', 1, 5);
    await server.stop('SIGTERM');
    if (transport !== 'poll') {
      await it.until(() => it.of('state').some((event) => event.state === 'waiting'), 'a wait');
      const { retryMs } = it.of('state').find((event) => event.state === 'waiting');
      if (retryMs < 1000 || retryMs > 2000) throw new Error(`comes back after ${retryMs} ms, not as the gateway said`);
    }
    server = await gateway(`127.0.0.1:${server.port}`, ...HISTORY, ...snapshot);
    await say(server.origin, 'js.restart', 6, 9);
    await it.until(() => it.pushes.length >= 9, 'what was said after the restart');
    equal(it.data(), numbers(1, 9));
    equal(it.of('gap'), []);
    await server.stop('SIGKILL');
    await rm(folder, { recursive: true });
    server = await gateway(`127.0.0.1:${server.port}`, ...HISTORY);
    await it.until(() => it.of('gap').length > 0, 'the gap');
    const [{ topic, skipped, isResume }] = it.of('gap');
    equal([topic, skipped, isResume], ['js.restart', null, true]);
    await say(server.origin, 'js.restart', 10, 10);
    await it.until(() => it.data().at(-1) === 10, 'what the new gateway says');
    it.client.close();
    await server.stop('SIGKILL');
  });
}
for (const transport of ['ws', 'sse', 'stream']) {
  await judge.check(`${transport}: a rate leaves out, tells it, and is lifted while it runs`, async () => {
    const topic = `js.rate.${transport}`;
    const it = follow(main.origin, [transport], [topic], { maxRate: 5 });
    await it.live(transport);
    await say(main.origin, topic, 1, 100);
    await it.until(() => it.data().at(-1) === 100, 'the newest');
    const skipped = it.of('gap').reduce((sum, gap) => sum + gap.skipped, 0);
    if (skipped === 0) throw new Error('nothing was skipped');
    equal(it.pushes.length + skipped, 100, 'pushes and skipped');
    const unhurried = [];
    it.client.subscribe(topic, {}, ({ data }) => unhurried.push(data));
    // At five a second there are no twenty in a row.
    const inARow = () => unhurried.length >= 20 && unhurried.at(-1) - unhurried.at(-20) === 19;
    await soon((async () => {
      for (let number = 101; !inARow(); number += 1) await say(main.origin, topic, number, number);
    })(), 'twenty in a row');
    it.client.close();
  });
}
await judge.check('where WebSockets are refused it takes sse, and goes back when they are not', async () => {
  const way = await relay(main.port);
  way.refusesUpgrades = true;
  const it = follow(way.origin, undefined, ['js.fall'], {}, { betterTransportMs: 100 });
  await it.live('sse');
  await say(main.origin, 'js.fall', 1, 5);
  await it.until(() => it.pushes.length === 5, 'five over sse');
  await it.until(() => way.upgrades >= 3, 'the better transport to be tried');
  way.refusesUpgrades = false;
  const said = say(main.origin, 'js.fall', 6, 50);
  await it.live('ws');
  await said;
  await say(main.origin, 'js.fall', 51, 60);
  await it.until(() => it.pushes.length >= 60, 'all of it');
  equal(it.data(), numbers(1, 60));
  equal(it.of('gap'), []);
  equal(it.of('error').every(({ code, transport }) => code === 'transport_failed' && transport === 'ws'), true, 'errors');
  it.client.close();
  way.close();
});
await judge.check('without a WebSocket class it takes sse', async () => {
  const it = follow(main.origin, undefined, ['js.none'], {}, { WebSocket: null });
  await it.live('sse');
  it.client.close();
});
await judge.check('transports are changed while messages come, without a hole', async () => {
  const it = follow(main.origin, ['ws'], ['js.moves']);
  await it.live('ws');
  let isOver = false;
  let count = 0;
  const speaker = (async () => {
    while (!isOver) await publish(main.origin, 'js.moves', String((count += 1)));
  })();
  for (const transport of [...TRANSPORTS, ...TRANSPORTS.toReversed()]) {
    it.client.reconfigure({ transports: [transport] });
    await it.live(transport);
    const from = it.pushes.length;
    await it.until(() => it.pushes.length > from + 3, `messages over ${transport}`);
  }
  isOver = true;
  await speaker;
  await it.until(() => it.pushes.length >= count, 'the rest');
  equal(it.data(), numbers(1, count));
  equal(it.of('gap'), []);
  it.client.close();
});
await judge.check('patterns come with names, and not over poll', async () => {
  for (const transport of ['ws', 'sse', 'stream']) {
    const it = follow(main.origin, [transport], [`js.pat.${transport}.*`, `js.pat.${transport}.a`], { last: false });
    await it.live(transport);
    await say(main.origin, `js.pat.${transport}.a`, 1, 1);
    await say(main.origin, `js.pat.${transport}.b`, 2, 2);
    await it.until(() => it.pushes.length >= 3, 'by name and by pattern');
    equal(it.data().sort(), [1, 1, 2], transport);
    it.client.close();
  }
  const it = follow(main.origin, ['poll'], ['js.pat.*', 'js.named']);
  await it.until(() => it.of('error').length > 0, 'the error');
  equal([it.of('error')[0].code, it.of('error')[0].topics], ['not_supported', ['js.pat.*']]);
  await it.live('poll');
  it.client.close();
});
for (const transport of TRANSPORTS) {
  await judge.check(`${transport}: a topic that is none is an error and takes no other with it`, async () => {
    const it = follow(main.origin, [transport], ['js.good']);
    it.client.subscribe('js..bad', () => {});
    await it.until(() => it.of('error').length > 0, 'the error');
    equal([it.of('error')[0].code, it.of('error')[0].topics], ['bad_topic', ['js..bad']]);
    await it.live(transport);
    const before = it.pushes.length;
    await publish(main.origin, 'js.good', '1');
    await it.until(() => it.pushes.length > before, 'the good one');
    it.client.close();
  });
  await judge.check(`${transport}: publishes in order, once with an id, and reads the history`, async () => {
    const topic = `js.say.${transport}`;
    const it = follow(main.origin, [transport], [topic]);
    await it.live(transport);
    const positions = await Promise.all(numbers(1, 20).map((n) => it.client.publish(topic, { n }, { key: 'k' })));
    equal(positions.map((position) => position.offset), numbers(1, 20));
    const first = await it.client.publish(topic, { n: 21 }, { messageId: 'one' });
    const again = await it.client.publish(topic, { n: 21 }, { messageId: 'one' });
    equal([first.offset, again.offset, again.duplicate], [21, 21, true]);
    const code = await it.client.publish('js.*', 1).then(() => 'taken', (error) => error.code);
    equal(code, 'bad_topic');
    await it.until(() => it.pushes.length >= 21, 'what was published');
    equal(it.data().map(({ n }) => n), numbers(1, 21));
    const { messages, epoch } = await it.client.history(topic, { since: `${first.epoch}-18`, limit: 2 });
    equal([epoch, messages], [first.epoch, [{ offset: 19, data: { n: 19 } }, { offset: 20, data: { n: 20 } }]]);
    it.client.unsubscribe(topic);
    await it.until(() => it.client.state !== 'live' || it.client.position(topic) === null, 'to have left');
    it.client.close();
  });
}
await judge.check('a position that was kept resumes, presence is told', async () => {
  await say(main.origin, 'js.kept', 1, 5);
  const { epoch } = await new Fanwire(main.origin).history('js.kept');
  const it = follow(main.origin, ['ws'], 'js.kept', { since: `${epoch}-2`, presence: true });
  await it.until(() => it.pushes.length === 3 && it.of('presence').length > 0, 'the rest and the count');
  equal(it.data(), [3, 4, 5]);
  equal(it.of('presence')[0].readers, 1);
  it.client.close();
});
await judge.check('a gateway that is away is waited for', async () => {
  const server = await gateway('127.0.0.1:0', ...HISTORY);
  await server.stop('SIGKILL');
  const it = follow(server.origin, undefined, ['js.away']);
  await it.until(() => it.of('state').filter((event) => event.state === 'waiting').length >= 3, 'three waits');
  const transports = it.of('error').map((event) => event.transport);
  equal([...new Set(transports)], ['ws', 'sse', 'poll'], 'the transports that were tried');
  const next = await gateway(`127.0.0.1:${server.port}`, ...HISTORY);
  await it.live('ws');
  it.client.close();
  await next.stop('SIGKILL');
});

await judge.check('a page that nobody sees is patient, and comes back at once when it is seen', async () => {
  const document = new EventTarget();
  document.visibilityState = 'hidden';
  globalThis.document = document;
  const server = await gateway('127.0.0.1:0', ...HISTORY);
  await server.stop('SIGKILL');
  const it = follow(server.origin, undefined, ['js.hidden'], {}, { retryMinMs: 60_000, retryMaxMs: 60_000 });
  await it.until(() => it.client.state === 'waiting', 'a wait');
  const { retryMs } = it.of('state').at(-1);
  if (retryMs < 120_000 || retryMs > 240_000) throw new Error(`comes back after ${retryMs} ms`);
  const next = await gateway(`127.0.0.1:${server.port}`, ...HISTORY);
  document.visibilityState = 'visible';
  document.dispatchEvent(new Event('visibilitychange'));
  await it.live('ws');
  delete globalThis.document;
  it.client.close();
  await next.stop('SIGKILL');
});
await judge.check('what is no message ends the connection, and nothing else', async () => {
  const junk = ['no JSON', 'null', '[]', '{}', '1', '{"op":1}', '{"t":"js.junk","o":1,"b":"!"}', '{"t":1,"o":1,"d":1}', Buffer.from([0, 255])];
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await new Promise((done) => server.on('listening', done));
  let [connections, left] = [0, [...junk]];
  server.on('connection', (socket) => {
    connections += 1;
    socket.on('message', (text) => {
      const { id, op } = JSON.parse(text);
      if (op !== 'sub') return;
      // Replies that are odd are harmless.
      socket.send('{"op":"ok","id":"another"}');
      socket.send(JSON.stringify({ op: 'ok', id }));
      socket.send(left.shift() ?? '{"t":"js.junk","o":2,"d":"good"}');
    });
  });
  const it = follow(`http://127.0.0.1:${server.address().port}`, ['ws'], ['js.junk']);
  await it.until(() => it.pushes.length > 0, 'a message that is one');
  equal([it.data(), connections], [['good'], junk.length + 1]);
  it.client.close();
  server.close();
});
await judge.check('a listener that throws does not end the feed', async () => {
  const caught = [];
  globalThis.reportError = (error) => caught.push(error.message);
  for (const transport of TRANSPORTS) {
    const it = follow(main.origin, [transport], ['js.throws']);
    it.client.subscribe(['js.throws', 'js.throws.too'], { last: false }, (push) => {
      it.pushes.push(push);
      it.wake();
      throw new Error(`over ${transport}`);
    });
    await it.live(transport);
    await say(main.origin, 'js.throws', 1, 2);
    await it.until(() => it.pushes.length >= 2 || it.of('error').length > 0, 'two messages');
    await it.client.publish('js.throws', 3);
    await it.until(() => it.data().at(-1) === 3, 'a third');
    equal(it.of('error'), [], transport);
    it.client.close();
  }
  delete globalThis.reportError;
  equal([...new Set(caught)], TRANSPORTS.map((transport) => `over ${transport}`));
});

if (quick !== '--quick') {
  const { launch } = await import('./browser.mjs');
  const source = await readFile(new URL('../../clients/js/fanwire.js', import.meta.url), 'utf8');
  for (const name of ['chromium', 'firefox']) {
    const browser = await launch(name);
    for (const transport of TRANSPORTS) {
      await judge.check(`${name}, ${transport}: it follows, is cut off, and comes back without a hole`, async () => {
        const way = await relay(main.port);
        const page = await browser.newPage();
        await page.goto(`${way.origin}/healthz`);
        const topic = `js.${name}.${transport}`;
        await page.evaluate(async ([source, transport, topic]) => {
          const { Fanwire } = await import(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })));
          window.inbox = [];
          window.gaps = 0;
          window.client = new Fanwire(undefined, { transports: [transport], retryMinMs: 20, retryMaxMs: 200 });
          window.client.addEventListener('gap', () => (window.gaps += 1));
          window.client.subscribe(topic, ({ data }) => window.inbox.push(data));
        }, [source, transport, topic]);
        await page.waitForFunction((transport) => window.client.transport === transport, transport);
        await say(main.origin, topic, 1, 10);
        await page.waitForFunction(() => window.inbox.length === 10);
        way.isClosed = true;
        way.cut();
        await say(main.origin, topic, 11, 20);
        way.isClosed = false;
        await page.waitForFunction(() => window.inbox.length >= 20);
        equal(await page.evaluate(() => [window.inbox, window.gaps]), [numbers(1, 20), 0]);
        await page.close();
        way.close();
      });
    }
    await judge.check(`${name}: where WebSockets are refused it takes sse, and goes back`, async () => {
      const way = await relay(main.port);
      way.refusesUpgrades = true;
      const page = await browser.newPage();
      await page.goto(`${way.origin}/healthz`);
      await page.evaluate(async (source) => {
        const { Fanwire } = await import(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })));
        window.client = new Fanwire(location.origin, { betterTransportMs: 100 });
        window.client.subscribe('js.fall', () => {});
      }, source);
      await page.waitForFunction(() => window.client.transport === 'sse');
      way.refusesUpgrades = false;
      await page.waitForFunction(() => window.client.transport === 'ws');
      await page.close();
      way.close();
    });
    await browser.close();
  }
}

await main.stop('SIGTERM');
judge.finish();
