// Browsers, which always offer compression, as judges of it: node browser_deflate.mjs BROWSER http://127.0.0.1:PORT KIND

import { launch } from './browser.mjs';
import { Judge, equal, publish } from './judge.mjs';

const [name, origin, kind] = process.argv.slice(2);
const judge = new Judge(`${name}, ${kind}`);
const browser = await launch(name);
const page = await browser.newPage();
await page.goto(`${origin}/healthz`);
await page.evaluate((address) => {
  window.readers = [];
  window.open_reader = (target) =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(address + target);
      const reader = { socket, heard: [], code: null };
      window.readers.push(reader);
      socket.onmessage = ({ data }) => {
        reader.heard.push(data);
        resolve(socket.extensions);
      };
      socket.onclose = ({ code }) => (reader.code = code);
      socket.onerror = () => reject(new Error('the connection failed'));
    });
}, origin.replace('http', 'ws'));

const tick = (number) => JSON.stringify({ ticker: 'IBM', price: 100 + ((number * 7) % 90) / 4, volume: number * 31, number });

await judge.check('readers that come and go hear every tick in order', async () => {
  const topic = `${name}.deflate.${kind}`;
  const message = (number) => (number > 0 && number % 10 === 0 ? tick(number).repeat(30) : tick(number));
  await publish(origin, topic, message(0));
  const count = 150;
  const begins = [];
  const ends = [];
  const hear = (at, end) =>
    page.waitForFunction(([at, wanted]) => window.readers[at].heard.length === wanted, [at, end + 1 - begins[at]]);
  for (let number = 1; number <= count; number += 1) {
    if (number % 15 === 1) {
      const extensions = await page.evaluate((target) => window.open_reader(target), `/raw/${topic}`);
      const takeover = kind === 'shared' ? '' : '; server_no_context_takeover';
      // Firefox tells pages the name alone.
      const parameters = name === 'firefox' ? '' : `; client_no_context_takeover${takeover}`;
      equal(extensions, `permessage-deflate${parameters}`, 'extensions');
      begins.push(number - 1);
    }
    // Every second reader leaves, at another distance from a joining point than that at which it came.
    if (number % 30 === 12 && begins.length > 1) {
      const leaves = begins.length - 2;
      ends[leaves] = number - 1;
      await hear(leaves, ends[leaves]);
      await page.evaluate((at) => window.readers[at].socket.close(1000), leaves);
    }
    await publish(origin, topic, message(number));
  }
  for (const at of begins.keys()) await hear(at, ends[at] ?? count);
  const codes = begins.map((_, at) => (at in ends ? 1000 : null));
  await page.waitForFunction((codes) => codes.every((code, at) => window.readers[at].code === code), codes);
  const heard = await page.evaluate(() => window.readers.map(({ heard }) => heard));
  equal(ends.filter(() => true).length, 4, 'readers that left');
  begins.forEach((begin, at) => {
    const wanted = Array.from({ length: (ends[at] ?? count) + 1 - begin }, (_, after) => message(begin + after));
    equal(heard[at], wanted, `reader ${at}`);
  });
  const metrics = await (await fetch(`${origin}/metrics`)).text();
  const saved = [...metrics.matchAll(/^fanwire_compression_saved_bytes_total\{.*\} (\d+)$/gm)].map(([, value]) => Number(value));
  equal(saved.length > 0 && Math.max(...saved) > 0, true, 'whether compression saved bytes');
});
await judge.check('/echo takes what it compresses and sends it back', async () => {
  const got = await page.evaluate(async (address) => {
    const socket = new WebSocket(`${address}/echo`);
    await new Promise((done) => (socket.onopen = done));
    const back = [];
    for (const message of ['much alike '.repeat(9000), 'much alike '.repeat(9000), 'κόσμε 🦀'.repeat(5000), '']) {
      const next = new Promise((done) => (socket.onmessage = ({ data }) => done(data)));
      socket.send(message);
      back.push((await next) === message);
    }
    return back;
  }, origin.replace('http', 'ws'));
  equal(got, [true, true, true, true]);
});

await browser.close();
judge.finish();
