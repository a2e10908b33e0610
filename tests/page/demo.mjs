// The demo's page in Chromium: node demo.mjs PATH_OF_THE_BINARY [SCREENSHOT_FOLDER]
// Prices change and are those of the file, the page says when the gateway is away and comes back by itself, and it fits
// every screen with enough contrast.

import { spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { mkdir, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { createInterface } from 'node:readline';
import { launch } from '../foreign/browser.mjs';
import { Judge, equal, soon } from '../foreign/judge.mjs';
import { faintTexts } from './contrast.mjs';

const [binary, folder = 'target/screenshots'] = process.argv.slice(2);
const SYMBOLS = ['AAPL', 'FB', 'GOOG', 'IBM', 'MSFT'];
// Those that are listed when the replay begins anew, in 2000, which it does after a short first pass.
const ALWAYS = ['AAPL', 'IBM', 'MSFT'];
const WAIT_MS = 30_000;
const WIDTHS = [360, 768, 1440];
const judge = new Judge('demo page');
const state = await mkdtemp(`${tmpdir()}/fanwire-demo-`);
process.once('exit', () => rmSync(state, { recursive: true, force: true }));

/** Starts the demo; resolves with its process and the URL that it prints. */
async function demo(listen, ...more) {
  const arguments_ = ['demo', '--listen', listen, ...(more.length > 0 ? more : ['--snapshot', `${state}/topics`])];
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

/** The closes of the day before, by stock and day, as the file has them. */
const previous = new Map();
for (const line of readFileSync(new URL('../../data/stocks.csv', import.meta.url), 'utf8').trim().split('\n').slice(1)) {
  const [symbol, date, , , , close, , adjusted] = line.split(',').map((it, at) => (at > 1 ? Number(it) : it));
  const last = previous.get(symbol);
  // After a split one share is two.
  const isSplit = last && (close / last.close) / (adjusted / last.adjusted) < 0.6;
  previous.set(`${symbol} ${date}`, isSplit ? last.close / 2 : last?.close);
  previous.set(symbol, { close, adjusted });
}

/** What the rows show in one moment. */
const shown = (page) =>
  page.evaluate(() => [...document.querySelectorAll('tbody tr')].map((row) => {
    const texts = [...row.querySelectorAll('.price, .change, .percent, .open, .high, .low, .volume, .age, .unlisted')];
    const style = getComputedStyle(row.querySelector('.price'));
    const cells = Object.fromEntries(texts.map((it) => [it.classList[0], it.textContent]));
    return { ...cells, ...row.dataset, flash: style.backgroundColor, color: style.color };
  }));
const number = (text) => Number(text.replaceAll(',', '').replace('\u2212', '-').replace('%', ''));

/** Samples rows until each check of a stock had its turn so often. */
async function sample(page, times, check) {
  for (let time = 0; time < times; time += 1) {
    (await shown(page)).filter((row) => row.price !== '–').forEach(check);
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
  }
}

await mkdir(folder, { recursive: true });
const browser = await launch();
let server = await demo('127.0.0.1:0');
const port = new URL(server.url).port;
const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
const complaints = [];
let serverIsThere = true;
page.on('console', (message) => {
  // While the gateway is away, the browser says so by itself.
  if (message.type() === 'error' && serverIsThere) complaints.push(message.text());
});
page.on('pageerror', (error) => complaints.push(error.message));

await judge.check('it loads, is live, and prices change', async () => {
  await page.goto(server.url);
  await stateSays(page, 'live');
  await pricesChange(page);
  const rows = await shown(page);
  equal(rows.map(({ symbol }) => symbol), SYMBOLS, 'symbols');
  equal(rows.every(({ price, unlisted }) => (unlisted ? price === '–' : /\d/.test(price))), true, 'a price, or none is listed yet');
});
/** Runs a check on each size and in light and dark. */
async function everywhere(page, act) {
  for (const width of WIDTHS) {
    for (const colorScheme of ['light', 'dark']) {
      await page.setViewportSize({ width, height: width < 700 ? 1150 : 900 });
      await page.emulateMedia({ colorScheme });
      await act(`${width}-${colorScheme}`);
    }
  }
  await page.emulateMedia({ colorScheme: 'light' });
}

/** Screenshots, and no text that is hard to read. */
const looksGood = (page, name) =>
  everywhere(page, async (place) => {
    await page.screenshot({ path: `${folder}/demo-${name}-${place}.png` });
    equal(await faintTexts(page), [], `texts of a contrast below 4.5 at ${place}`);
  });

await judge.check('it fits every screen', async () => {
  for (const width of [320, 360, 600, 768, 1024, 1100, 1280, 1440, 2560]) {
    await page.setViewportSize({ width, height: 800 });
    const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    equal(over, 0, `pixels past a screen of ${width}`);
    const cut = await page.evaluate(() =>
      [...document.querySelectorAll('tbody td, tbody th')]
        .filter((cell) => cell.offsetWidth > 0 && cell.scrollWidth > cell.clientWidth + 8)
        .map((cell) => cell.textContent));
    equal(cut, [], `cells that are cut at ${width}`);
    const overlaps = await page.evaluate(() => {
      const boxes = [...document.querySelectorAll('tbody tr:first-child :is(.symbol, .plot, .price, .percent, .open, .high, .low, .volume, .age)')];
      const places = boxes.map((it) => [it.className, it.getBoundingClientRect()]);
      const isOver = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
      return places.flatMap(([name, a], at) => places.slice(at + 1).filter(([, b]) => isOver(a, b)).map(([other]) => `${name} ${other}`));
    });
    equal(overlaps, [], `cells that overlap at ${width}`);
  }
});
await judge.check('live, its texts have contrast in light and dark', async () => looksGood(page, 'live'));
await judge.check('it says what things are in the words of a trading screen', async () => {
  await page.setViewportSize({ width: 1440, height: 900 });
  const text = await page.evaluate(() => document.body.innerText);
  const words = ['Transport', 'Ticks/s per symbol', 'Received', 'Skipped', 'Open', 'High', 'Low', 'Volume', 'Age, ms'];
  equal(words.filter((word) => !text.includes(word)), [], 'missing words');
});

for (const rate of ['0', '0.5']) {
  await judge.check(`change is since the close of the day before in the file, at a rate of ${rate}`, async () => {
    await choose(page, 'max_rate', rate);
    await pricesChange(page);
    const days = new Set();
    await sample(page, 30, (row) => {
      const before = previous.get(`${row.symbol} ${row.date}`);
      if (before === undefined) return;
      days.add(row.date);
      const wanted = number(row.price) - before;
      const isNear = (one, other, by) => Math.abs(one - other) <= by;
      equal(isNear(number(row.change), wanted, 0.011), true, `${row.symbol} on ${row.date}: ${row.price} after ${before}, ${row.change}`);
      equal(isNear(number(row.percent), (100 * wanted) / before, 0.1), true, `${row.symbol} on ${row.date}: ${row.percent}`);
      equal(number(row.low) <= number(row.price) && number(row.price) <= number(row.high), true, 'between low and high');
      equal(/^[\d.]+[KMB]$/.test(row.volume) && /^[\d,]+$/.test(row.age), true, `${row.volume} and ${row.age}`);
    });
    equal(days.size > 0, true, 'some days');
    await choose(page, 'max_rate', '0');
  });
}
await judge.check('a flash has the colour of the sign that is shown', async () => {
  let flashes = 0;
  await sample(page, 40, (row) => {
    const [red, green, , alpha = 1] = row.flash.match(/[\d.]+/g).map(Number);
    if (alpha === 0) return;
    flashes += 1;
    const sign = number(row.change);
    if (sign > 0) equal(green > red, true, `${row.change} flashes ${row.flash}`);
    if (sign < 0) equal(red > green, true, `${row.change} flashes ${row.flash}`);
  });
  equal(flashes > 0, true, 'there were flashes');
});
await judge.check('charts begin with the history of the gateway', async () => {
  const fresh = await browser.newPage();
  await fresh.addInitScript(() => {
    window.firstCharts = [];
    new MutationObserver((changes) => {
      for (const { target } of changes) {
        if (target.matches?.('.line') && !target.isSeen) window.firstCharts.push((target.isSeen = target.getAttribute('d')));
      }
    }).observe(document, { subtree: true, attributes: true, attributeFilter: ['d'] });
  });
  await fresh.goto(server.url);
  await fresh.waitForFunction((count) => window.firstCharts.length >= count, ALWAYS.length, { timeout: WAIT_MS });
  const lengths = await fresh.evaluate(() => window.firstCharts.map((it) => it.split('L').length));
  // More days than a page sees before it first paints.
  equal(lengths.every((it) => it > 20), true, `points of the first charts: ${lengths}`);
  await fresh.close();
});
await judge.check('light and dark look different', async () => {
  const background = async (colorScheme) => {
    await page.emulateMedia({ colorScheme });
    return page.evaluate(() => getComputedStyle(document.body).backgroundColor + getComputedStyle(document.documentElement).backgroundColor);
  };
  if ((await background('light')) === (await background('dark'))) throw new Error('the same background');
});
const NAMES = { ws: 'websocket', sse: 'sse', stream: 'stream', poll: 'long poll' };
await judge.check('it shows its transport, and every other can be chosen', async () => {
  await stateSays(page, 'live · websocket');
  for (const transport of ['sse', 'stream', 'poll', 'ws']) {
    await choose(page, 'transport', transport);
    await stateSays(page, `live · ${NAMES[transport]}`);
    await pricesChange(page);
    equal(await page.isDisabled('#stall'), transport === 'poll', `the button over ${transport}`);
    if (transport === 'poll') equal(await faintTexts(page), [], 'texts of a contrast below 4.5');
  }
  
});
await judge.check('a rate skips ticks, and says how many', async () => {
  await choose(page, 'max_rate', '2');
  await skipsMoreThan(page, 0);
  await pricesChange(page);
  await choose(page, 'max_rate', '0');
});
for (const transport of ['ws', 'stream']) {
  await judge.check(`over ${transport}: a slow tab gets the newest prices, and how many it did not get`, async () => {
    await choose(page, 'transport', transport);
    await stateSays(page, `live · ${NAMES[transport]}`);
    const before = await skipped(page);
    await page.click('#stall');
    await says(page, '#news', 'kb/s');
    await skipsMoreThan(page, before);
    await says(page, '#news', 'ticks skipped');
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
await judge.check('it says that it reconnects when the gateway is away, and dims its prices', async () => {
  const [live] = await shown(page);
  serverIsThere = false;
  await stop(server);
  await stateSays(page, 'reconnecting');
  const [away] = await shown(page);
  equal(away.color !== live.color && away.flash === 'rgba(0, 0, 0, 0)', true, `the ink of a price: ${live.color}, away ${away.color}`);
  await looksGood(page, 'away');
});
await judge.check('it comes back by itself, and prices change again', async () => {
  server = await demo(`127.0.0.1:${port}`);
  await stateSays(page, 'live');
  // Killed, it wrote down nothing of what it said since its start.
  await says(page, '#news', 'could not be resumed');
  serverIsThere = true;
  await pricesChange(page);
});
serverIsThere = false;
await stop(server);

const plain = await demo('127.0.0.1:0');
await judge.check('without JavaScript it says so', async () => {
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  await page.goto(plain.url);
  const text = await page.locator('.warning').innerText();
  equal(text.includes('JavaScript is off'), true, text);
  await page.screenshot({ path: `${folder}/demo-without-javascript.png` });
  await context.close();
});
await stop(plain);
await judge.check('nothing is complained about', async () => equal(complaints, []));

await browser.close();
judge.finish();
