// Chromium, which always offers compression, as a judge of it: node chromium_deflate.mjs http://127.0.0.1:PORT KIND

import { launch } from './browser.mjs';
import { Judge, equal, publish } from './judge.mjs';

const [origin, kind] = process.argv.slice(2);
const judge = new Judge(`chromium, ${kind}`);
const browser = await launch();
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

await judge.check('readers that come one after the other hear every tick in order', async () => {
  const topic = `chromium.deflate.${kind}`;
  await publish(origin, topic, tick(0));
  const count = 150;
  const begins = [];
  for (let number = 1; number <= count; number += 1) {
    if (number % 15 === 1) {
      const extensions = await page.evaluate((target) => window.open_reader(target), `/raw/${topic}`);
      const takeover = kind === 'shared' ? '' : '; server_no_context_takeover';
      equal(extensions, `permessage-deflate; client_no_context_takeover${takeover}`, 'extensions');
      begins.push(number - 1);
    }
    await publish(origin, topic, number % 10 === 0 ? tick(number).repeat(30) : tick(number));
  }
  await page.waitForFunction(
    ([begins, count]) => window.readers.every(({ heard }, at) => heard.length === count + 1 - begins[at]),
    [begins, count],
  );
  const heard = await page.evaluate(() => window.readers.map(({ heard, code }) => [heard, code]));
  begins.forEach((begin, at) => {
    const wanted = Array.from({ length: count + 1 - begin }, (_, after) => {
      const number = begin + after;
      return number > 0 && number % 10 === 0 ? tick(number).repeat(30) : tick(number);
    });
    equal(heard[at], [wanted, null], `reader ${at}`);
  });
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
