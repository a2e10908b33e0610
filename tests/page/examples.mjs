// The pages in examples/ in Chromium: node examples.mjs http://127.0.0.1:PORT EXAMPLES_FOLDER

import { pathToFileURL } from 'node:url';
import { launch } from '../foreign/browser.mjs';
import { Judge, publish } from '../foreign/judge.mjs';

const [origin, folder] = process.argv.slice(2);
const judge = new Judge('examples');
const browser = await launch();
const open = async (file, parameters = {}) => {
  const page = await browser.newPage();
  const query = new URLSearchParams({ server: new URL(origin).host, ...parameters });
  await page.goto(`${pathToFileURL(`${folder}/${file}`)}?${query}`);
  return page;
};
const shows = (page, text) =>
  page.waitForFunction((it) => document.body.textContent.includes(it), text, { timeout: 15_000 });

await judge.check('chat.html carries what one says to the other, and back', async () => {
  const [ada, bob] = [await open('chat.html', { name: 'ada' }), await open('chat.html', { name: 'bob' })];
  await shows(ada, 'connected');
  await shows(bob, 'connected');
  for (const [from, to, text] of [[ada, bob, 'hello <b>bob</b>'], [bob, ada, 'κόσμε 🦀']]) {
    await from.fill('#text', text);
    await from.press('#text', 'Enter');
    await shows(to, text);
    await shows(from, text);
  }
});
await judge.check('progress.html follows to the end', async () => {
  const page = await open('progress.html');
  await publish(origin, 'progress.build', '{"done":1,"of":4,"text":"step 2 of 4"}');
  await shows(page, 'step 2 of 4');
  await publish(origin, 'progress.build', '{"done":4,"of":4,"text":"the end of it"}');
  await shows(page, 'the end of it');
  await shows(page, '100');
});

await browser.close();
judge.finish();
