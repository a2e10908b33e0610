// The demo's page in Chromium: node demo.mjs PATH_OF_THE_BINARY [SCREENSHOT_FOLDER]
// Prices change, the page says when the gateway is away and comes back by itself, and it fits every screen.

import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdir, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { createInterface } from 'node:readline';
import { launch } from '../foreign/browser.mjs';
import { Judge, equal, soon } from '../foreign/judge.mjs';

const [binary, folder = 'target/screenshots'] = process.argv.slice(2);
const SYMBOLS = ['AAPL', 'FB', 'GOOG', 'IBM', 'MSFT'];
// Those that are listed when the replay begins anew, in 2000.
const ALWAYS = ['AAPL', 'IBM', 'MSFT'];
const WAIT_MS = 15_000;
const judge = new Judge('demo page');
const state = await mkdtemp(`${tmpdir()}/fanwire-demo-`);
process.once('exit', () => rmSync(state, { recursive: true, force: true }));

/** Starts the demo; resolves with its process and the URL that it prints. */
async function demo(listen) {
  const arguments_ = ['demo', '--listen', listen, '--snapshot', `${state}/topics`];
  const child = spawn(binary, arguments_, { stdio: ['ignore', 'pipe', 'inherit'] });
  process.once('exit', () => child.kill('SIGKILL'));
  const url = new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const found = /http:\/\/\S+/.exec(line);
      if (found) resolve(found[0]);
    });
    child.once('exit', (code) => reject(new Error(`the demo ended with ${code}`)));
  });
  return { child, url: await soon(url, 'the URL of the demo') };
}

async function stop({ child }, signal = 'SIGKILL') {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await soon(ended, 'the end of the demo');
}

const prices = (page, symbols) =>
  page.evaluate((symbols) => symbols.map((it) => document.querySelector(`[data-symbol="${it}"] .price`)?.textContent), symbols);

/** Every one of the symbols has a price, and then another one. */
async function pricesChange(page, symbols = ALWAYS) {
  const isPrice = (symbols) =>
    symbols.every((it) => /\d/.test(document.querySelector(`[data-symbol="${it}"] .price`)?.textContent ?? ''));
  await page.waitForFunction(isPrice, symbols, { timeout: WAIT_MS });
  const first = await prices(page, symbols);
  const changed = ({ symbols, first }) =>
    symbols.every((it, at) => {
      window.changed ??= new Set();
      if (document.querySelector(`[data-symbol="${it}"] .price`)?.textContent !== first[at]) window.changed.add(it);
      return window.changed.has(it);
    });
  await page.evaluate(() => delete window.changed);
  await page.waitForFunction(changed, { symbols, first }, { timeout: WAIT_MS });
}

const says = (page, selector, word) =>
  page.waitForFunction(([it, word]) => document.querySelector(it)?.textContent.toLowerCase().includes(word), [selector, word], {
    timeout: WAIT_MS,
  });
const stateSays = (page, word) => says(page, '#state', word);
const choose = (page, name, value) => page.check(`[name=${name}][value="${value}"]`, { force: true });
const skipped = (page) => page.evaluate(() => Number(document.querySelector('#skipped').textContent.replaceAll(',', '')));
const skipsMoreThan = (page, before) =>
  page.waitForFunction((it) => Number(document.querySelector('#skipped').textContent.replaceAll(',', '')) > it, before, {
    timeout: WAIT_MS,
  });

await mkdir(folder, { recursive: true });
let server = await demo('127.0.0.1:0');
const port = new URL(server.url).port;
const browser = await launch();
const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
const complaints = [];
let serverIsThere = true;
page.on('console', (message) => {
  // While the gateway is away, the browser says so by itself.
  if (message.type() === 'error' && serverIsThere) complaints.push(message.text());
});
page.on('pageerror', (error) => complaints.push(error.message));

await judge.check('it loads, is live, and all five prices change', async () => {
  await page.goto(server.url);
  await stateSays(page, 'live');
  await pricesChange(page, SYMBOLS);
});
await judge.check('it fits every screen, in light and dark', async () => {
  for (const [width, height] of [[360, 800], [1280, 800]]) {
    for (const colorScheme of ['light', 'dark']) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      await page.screenshot({ path: `${folder}/demo-${width}x${height}-${colorScheme}.png` });
    }
  }
  for (const width of [320, 360, 768, 1280, 2560]) {
    await page.setViewportSize({ width, height: 800 });
    const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    equal(over, 0, `pixels past a screen of ${width}`);
  }
});
await judge.check('light and dark look different', async () => {
  const background = async (colorScheme) => {
    await page.emulateMedia({ colorScheme });
    return page.evaluate(() => getComputedStyle(document.body).backgroundColor + getComputedStyle(document.documentElement).backgroundColor);
  };
  if ((await background('light')) === (await background('dark'))) throw new Error('the same background');
});
await judge.check('it shows its door, and every other can be chosen', async () => {
  await stateSays(page, 'live · ws');
  for (const door of ['sse', 'stream', 'poll', 'ws']) {
    await choose(page, 'door', door);
    await stateSays(page, `live · ${door}`);
    await pricesChange(page);
    equal(await page.isDisabled('#stall'), door === 'poll', `the button over ${door}`);
  }
  equal(await skipped(page), 0, 'ticks left out');
});
await judge.check('a rate leaves ticks out, and says how many', async () => {
  await choose(page, 'max_rate', '2');
  await skipsMoreThan(page, 0);
  await pricesChange(page);
  await choose(page, 'max_rate', '0');
});
for (const door of ['ws', 'stream']) {
  await judge.check(`over ${door}: a tab that stalls gets the newest prices, and how many it did not get`, async () => {
    await choose(page, 'door', door);
    await stateSays(page, `live · ${door}`);
    const before = await skipped(page);
    await page.click('#stall');
    await says(page, '#news', 'kb a second');
    await skipsMoreThan(page, before);
    await says(page, '#news', 'ticks left out');
    await pricesChange(page);
  });
}
await judge.check('after a restart with a snapshot it goes on without a hole', async () => {
  serverIsThere = false;
  await stop(server, 'SIGTERM');
  await stateSays(page, 'reconnecting');
  server = await demo(`127.0.0.1:${port}`);
  await says(page, '#news', 'messages recovered');
  await pricesChange(page);
  serverIsThere = true;
});
await judge.check('it says that it reconnects when the gateway is away', async () => {
  serverIsThere = false;
  await stop(server);
  await stateSays(page, 'reconnecting');
});
await judge.check('it comes back by itself, and prices change again', async () => {
  server = await demo(`127.0.0.1:${port}`);
  await stateSays(page, 'live');
  // Killed, it wrote down nothing of what it said since its start.
  await says(page, '#news', 'could not be resumed');
  serverIsThere = true;
  await pricesChange(page, SYMBOLS);
});
await judge.check('nothing is complained about', async () => equal(complaints, []));

await browser.close();
await stop(server);
judge.finish();
