// Chromium's EventSource and fetch as judges: node chromium_http.mjs http://127.0.0.1:PORT

import { createServer } from 'node:http';
import { launch } from './browser.mjs';
import { Judge, equal, publish } from './judge.mjs';

const origin = process.argv[2];
const judge = new Judge('chromium http');
// Pages of any name come from this machine.
const browser = await launch(['--host-resolver-rules=MAP *.example 127.0.0.1']);

/** A page of the gateway's own origin. */
async function home() {
  const page = await browser.newPage();
  await page.goto(`${origin}/healthz`);
  return page;
}

await judge.check('EventSource gets payloads as they were published', async () => {
  const page = await home();
  await page.evaluate(async () => {
    window.source = new EventSource('/sse?topic=ch.sse&topic=ch.other');
    window.inbox = [];
    const keep = ({ type, data, lastEventId }) => window.inbox.push([type, data, lastEventId.split(',').length]);
    ['ch.sse', 'ch.other'].forEach((topic) => window.source.addEventListener(topic, keep));
    await new Promise((done) => window.source.addEventListener('.joined', done));
  });
  await publish(origin, 'ch.sse', 'a\nb\r\nκόσμε 🦀');
  await publish(origin, 'ch.other', '');
  await publish(origin, 'ch.sse', 'x'.repeat(100_000));
  await page.waitForFunction(() => window.inbox.length === 3);
  const got = await page.evaluate(() => window.inbox);
  equal(got, [['ch.sse', 'a\nb\nκόσμε 🦀', 2], ['ch.other', '', 2], ['ch.sse', 'x'.repeat(100_000), 2]]);
  await page.close();
});
await judge.check('fetch reads lines as they come', async () => {
  const page = await home();
  await page.evaluate(async () => {
    const response = await fetch('/stream?topic=ch.lines');
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    window.line = async () => {
      while (!text.includes('\n')) text += (await reader.read()).value;
      const [line] = text.split('\n', 1);
      text = text.slice(line.length + 1);
      return JSON.parse(line);
    };
    return window.line();
  });
  await publish(origin, 'ch.lines', '{"n":1}');
  equal(await page.evaluate(() => window.line()), { t: 'ch.lines', o: 1, d: { n: 1 } });
  await page.close();
});
await judge.check('a page of this machine may read, one of another origin may neither read nor publish over HTTP', async () => {
  const page = await browser.newPage();
  const pages = createServer((_, response) => response.end('<p>a page</p>'));
  await new Promise((done) => pages.listen(0, '127.0.0.1', done));
  const act = (gateway) =>
    page.evaluate(async (gateway) => {
      const events = new Promise((done) => {
        const source = new EventSource(`${gateway}/sse?topic=ch.origin`);
        source.addEventListener('.joined', () => done(true));
        source.onerror = () => done(false);
      });
      const published = fetch(`${gateway}/publish/ch.origin`, {
        method: 'POST',
        body: 'x',
        headers: { 'Fanwire-Key': 'k' },
      }).then((response) => response.ok, () => false);
      const connected = new Promise((done) => {
        const socket = new WebSocket(`${gateway.replace('http', 'ws')}/ws`);
        socket.onopen = () => done(true);
        socket.onerror = () => done(false);
      });
      return [await events, await published, await connected];
    }, gateway);
  for (const [host, wanted] of [
    ['localhost', [true, true, true]],
    ['127.0.0.1', [true, true, true]],
    ['evil.example', [false, false, true]],
  ]) {
    await page.goto(`http://${host}:${pages.address().port}/`);
    equal(await act(origin), wanted, host);
  }
  pages.close();
  await page.close();
});

await browser.close();
judge.finish();
