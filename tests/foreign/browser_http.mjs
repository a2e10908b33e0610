// A browser's EventSource and fetch as judges: node browser_http.mjs BROWSER http://127.0.0.1:PORT

import { createServer } from 'node:http';
import { launch } from './browser.mjs';
import { Judge, equal, publish } from './judge.mjs';

const [name, origin] = process.argv.slice(2);
const judge = new Judge(`${name} http`);
const browser = await launch(name, { hosts: ['evil.example'] });

/** A page of the gateway's own origin. */
async function home() {
  const page = await browser.newPage();
  await page.goto(`${origin}/healthz`);
  return page;
}

await judge.check('EventSource gets payloads as they were published', async () => {
  const page = await home();
  await page.evaluate(async () => {
    window.source = new EventSource('/sse?topic=browser.sse&topic=browser.other&last=0');
    window.inbox = [];
    const keep = ({ type, data, lastEventId }) => window.inbox.push([type, data, lastEventId.split(',').length]);
    ['browser.sse', 'browser.other'].forEach((topic) => window.source.addEventListener(topic, keep));
    await new Promise((done) => window.source.addEventListener('.joined', done));
  });
  await publish(origin, 'browser.sse', 'a\nb\r\nκόσμε 🦀');
  await publish(origin, 'browser.other', '');
  await publish(origin, 'browser.sse', 'x'.repeat(100_000));
  await page.waitForFunction(() => window.inbox.length === 3);
  const got = await page.evaluate(() => window.inbox);
  equal(got, [['browser.sse', 'a\nb\nκόσμε 🦀', 2], ['browser.other', '', 2], ['browser.sse', 'x'.repeat(100_000), 2]]);
  await page.close();
});
await judge.check('fetch reads lines as they come', async () => {
  const page = await home();
  await page.evaluate(async () => {
    const response = await fetch('/stream?topic=browser.lines&last=0');
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
  const { offset } = await publish(origin, 'browser.lines', '{"n":1}');
  equal(await page.evaluate(() => window.line()), { t: 'browser.lines', o: offset, d: { n: 1 } });
  await page.close();
});
await judge.check('a page of this machine may read, one of another origin may neither read nor publish nor connect', async () => {
  const page = await browser.newPage();
  const pages = createServer((_, response) => response.end('<p>a page</p>'));
  await new Promise((done) => pages.listen(0, '127.0.0.1', done));
  const act = (gateway) =>
    page.evaluate(async (gateway) => {
      const events = new Promise((done) => {
        const source = new EventSource(`${gateway}/sse?topic=browser.origin`);
        source.addEventListener('.joined', () => done(true));
        source.onerror = () => done(false);
      });
      const published = fetch(`${gateway}/publish/browser.origin`, {
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
    ['evil.example', [false, false, false]],
  ]) {
    await page.goto(`http://${host}:${pages.address().port}/`);
    equal(await act(origin), wanted, host);
  }
  pages.close();
  await page.close();
});

await browser.close();
judge.finish();
