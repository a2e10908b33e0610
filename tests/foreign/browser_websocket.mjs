// A browser's WebSocket as a judge: node browser_websocket.mjs BROWSER http://127.0.0.1:PORT

import { launch } from './browser.mjs';
import { Judge, equal, publish } from './judge.mjs';

const [name, origin] = process.argv.slice(2);
const judge = new Judge(name);
const browser = await launch(name);
// The authority of a test is not one that browsers know.
const page = await browser.newPage({ ignoreHTTPSErrors: true });
await page.goto(`${origin}/healthz`);

// Used by the checks below, inside the page: a connection with what came in, in order.
await page.evaluate((address) => {
  window.talk = (target, protocols = []) =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(address + target, protocols);
      const [inbox, waiting] = [[], []];
      socket.binaryType = 'arraybuffer';
      socket.onmessage = ({ data }) => (waiting.length > 0 ? waiting.shift()(data) : inbox.push(data));
      const closed = new Promise((done) => {
        socket.onclose = ({ code, reason, wasClean }) => done({ code, reason, wasClean });
      });
      const next = () => new Promise((done) => (inbox.length > 0 ? done(inbox.shift()) : waiting.push(done)));
      socket.onerror = () => reject(new Error('the connection failed'));
      socket.onopen = () => resolve({ socket, next, closed, send: (message) => socket.send(message) });
    });
  window.close_with = async (it, code, reason) => {
    it.socket.close(code, reason);
    return it.closed;
  };
}, origin.replace('http', 'ws'));

await judge.check('/echo returns text and binary', async () => {
  const got = await page.evaluate(async () => {
    const it = await window.talk('/echo');
    const back = [];
    for (const message of ['hello', '', 'κόσμε 🦀']) {
      it.send(message);
      back.push(await it.next());
    }
    it.send(new Uint8Array([0, 255, 254]));
    back.push([...new Uint8Array(await it.next())]);
    await window.close_with(it, 1000);
    return back;
  });
  equal(got, ['hello', '', 'κόσμε 🦀', [0, 255, 254]]);
});
await judge.check('/echo returns 1 MiB of text and of octets', async () => {
  const got = await page.evaluate(async () => {
    const it = await window.talk('/echo');
    const text = 'ä'.repeat(512 * 1024);
    it.send(text);
    const is_text = (await it.next()) === text;
    const octets = Uint8Array.from({ length: 1024 * 1024 }, (_, at) => (at * 31) >> 3);
    it.send(octets);
    const back = new Uint8Array(await it.next());
    const is_binary = back.length === octets.length && back.every((octet, at) => octet === octets[at]);
    await window.close_with(it, 1000);
    return [is_text, is_binary];
  });
  equal(got, [true, true]);
});
await judge.check('close codes and reasons come back, cleanly', async () => {
  const got = await page.evaluate(async () => {
    const closes = [];
    for (const code of [1000, 3000, 4321]) closes.push(await window.close_with(await window.talk('/echo'), code, 'why'));
    return closes;
  });
  equal(got.map(({ code, wasClean }) => [code, wasClean]), [[1000, true], [3000, true], [4321, true]]);
});
await judge.check('one octet past 1 MiB closes with 1009', async () => {
  const got = await page.evaluate(async () => {
    const it = await window.talk('/echo');
    it.send('*'.repeat(1024 * 1024 + 1));
    return it.closed;
  });
  equal(got.code, 1009);
});
await judge.check('/raw reaches every reader, and carries the last value', async () => {
  const got = await page.evaluate(async () => {
    const [one, two] = [await window.talk('/raw/browser.raw?last=0'), await window.talk('/raw/browser.raw?last=0')];
    const writer = await window.talk('/raw/browser.raw?echo=0&last=0');
    writer.send(new Uint8Array([1, 2]));
    writer.send('x'.repeat(1024 * 1024));
    writer.send('last');
    const heard = [];
    for (const reader of [one, two]) {
      heard.push((await reader.next()).byteLength, (await reader.next()).length, await reader.next());
    }
    const late = await window.talk('/raw/browser.raw');
    heard.push(await late.next());
    for (const it of [one, two, writer, late]) await window.close_with(it, 1000);
    return heard;
  });
  equal(got, [2, 1024 * 1024, 'last', 2, 1024 * 1024, 'last', 'last']);
});
await judge.check('/ws subscribes, publishes and pushes JSON', async () => {
  const joined = await page.evaluate(async () => {
    window.json = await window.talk('/ws', ['fanwire.json.v1']);
    window.json.send(JSON.stringify({ op: 'sub', topics: ['browser.json'], last: false, id: 1 }));
    return [window.json.socket.protocol, JSON.parse(await window.json.next())];
  });
  equal([joined[0], joined[1].op, joined[1].id], ['fanwire.json.v1', 'ok', 1], 'reply');
  const { offset } = await publish(origin, 'browser.json', '{"price":1.5}');
  const push = await page.evaluate(async () => JSON.parse(await window.json.next()));
  equal(push, { t: 'browser.json', o: offset, d: { price: 1.5 } }, 'push');
  const own = await page.evaluate(async () => {
    window.json.send(JSON.stringify({ op: 'pub', topic: 'browser.json', data: 'own', id: 2 }));
    const messages = [JSON.parse(await window.json.next()), JSON.parse(await window.json.next())];
    await window.close_with(window.json, 1000);
    return [messages.some(({ id }) => id === 2), messages.some(({ d }) => d === 'own')];
  });
  equal(own, [true, true], 'the reply and the push of an own message');
});
await judge.check('a refused handshake is an error, not a connection', async () => {
  const got = await page.evaluate(() => window.talk('/nothing').then(() => 'taken', () => 'refused'));
  equal(got, 'refused');
});

await browser.close();
judge.finish();
