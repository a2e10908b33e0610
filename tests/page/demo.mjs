// The demo's page in Chromium: node demo.mjs PATH_OF_THE_BINARY [SCREENSHOT_FOLDER]
// Prices change, the page says when the gateway is away and comes back by itself, and it fits every screen.

import { spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { launch } from '../foreign/browser.mjs';
import { Judge, equal, soon } from '../foreign/judge.mjs';

const [binary, folder = 'target/screenshots'] = process.argv.slice(2);
const SYMBOLS = ['AAPL', 'FB', 'GOOG', 'IBM', 'MSFT'];
const WAIT_MS = 15_000;
const judge = new Judge('demo page');

/** Starts the demo; resolves with its process and the URL that it prints. */
async function demo(listen) {
  const child = spawn(binary, ['demo', '--listen', listen, '--speed', '50'], { stdio: ['ignore', 'pipe', 'inherit'] });
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

async function stop({ child }) {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await soon(ended, 'the end of the demo');
}

const prices = (page) =>
  page.evaluate((symbols) => symbols.map((it) => document.querySelector(`[data-symbol="${it}"] .price`)?.textContent), SYMBOLS);

/** Every symbol has a price, and then another one. */
async function pricesChange(page) {
  const isPrice = (symbols) =>
    symbols.every((it) => /\d/.test(document.querySelector(`[data-symbol="${it}"] .price`)?.textContent ?? ''));
  await page.waitForFunction(isPrice, SYMBOLS, { timeout: WAIT_MS });
  const first = await prices(page);
  const changed = ({ symbols, first }) =>
    symbols.every((it, at) => {
      window.changed ??= new Set();
      if (document.querySelector(`[data-symbol="${it}"] .price`)?.textContent !== first[at]) window.changed.add(it);
      return window.changed.has(it);
    });
  await page.evaluate(() => delete window.changed);
  await page.waitForFunction(changed, { symbols: SYMBOLS, first }, { timeout: WAIT_MS });
}

const stateSays = (page, word) =>
  page.waitForFunction((it) => document.querySelector('#state')?.textContent.toLowerCase().includes(it), word, {
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
  await pricesChange(page);
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
await judge.check('it says that it reconnects when the gateway is away', async () => {
  serverIsThere = false;
  await stop(server);
  await stateSays(page, 'reconnecting');
});
await judge.check('it comes back by itself, and prices change again', async () => {
  server = await demo(`127.0.0.1:${port}`);
  await stateSays(page, 'live');
  serverIsThere = true;
  await pricesChange(page);
});
await judge.check('nothing is complained about', async () => equal(complaints, []));

await browser.close();
await stop(server);
judge.finish();
