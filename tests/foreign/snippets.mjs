// Runs the code in README.md and docs/: node snippets.mjs PATH_OF_THE_BINARY [--quick], which leaves the browser out.
//
// Each document has a gateway of its own, and its blocks run in their order: `sh` in bash, `js` in the console of the
// page that the gateway serves. What a block shows as its answer must come: lines of comments behind a command
// (`# {`, `// {`), or else the block without a program that follows it (`json` or no language). Epochs and delays differ
// each time; an epoch that was shown once stands for the real one from then on. A block that cannot run here has a
// reason on the line before it, and a document of which none can has one for all at its top:
//
//     <!-- not run: REASON -->
//     <!-- no block is run: REASON -->

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { launch } from './browser.mjs';
import { Judge, soon } from './judge.mjs';

const ADDRESS = '127.0.0.1:8080';
const REASON = /^<!-- not run: \S.* -->$/;
const REASON_FOR_ALL = /^<!-- no block is run: \S.* -->$/m;
const PROGRAMS = ['sh', 'bash', 'js', 'javascript', 'html', 'python', 'rust'];

const root = fileURLToPath(new URL('../../', import.meta.url));

/** The blocks of a document: language, code, line, whether it has a reason not to run, and the block that shows its answer. */
function blocksOf(text) {
  const lines = text.split('\n');
  const blocks = [];
  for (let at = 0; at < lines.length; at += 1) {
    const fence = /^```(\S*)\s*$/.exec(lines[at]);
    if (!fence) continue;
    const end = lines.indexOf('```', at + 1);
    if (end < 0) throw new Error(`line ${at + 1}: a block without an end`);
    const block = { language: fence[1], code: lines.slice(at + 1, end).join('\n'), line: at + 1, answer: '' };
    block.isExcused = REASON.test(lines[at - 1]?.trim() ?? '') || REASON_FOR_ALL.test(text);
    const before = blocks.at(-1);
    const isAnswer = before && PROGRAMS.includes(before.language) && !before.answer && ['', 'json'].includes(block.language);
    if (isAnswer && !lines.slice(before.end, at).some((line) => line.startsWith('#'))) before.answer = block.code;
    blocks.push({ ...block, end });
    at = end;
  }
  return blocks.filter(({ language }) => PROGRAMS.includes(language));
}

/** The lines that a block shows: its comments that are an answer, or else the block behind it. */
function shownBy({ code, answer, language }) {
  const mark = language === 'sh' ? '# ' : '// ';
  const comments = code.split('\n').filter((line) => line.startsWith(mark) && /^[{["\d]/.test(line.slice(mark.length)));
  const lines = comments.length > 0 ? comments.map((line) => line.slice(mark.length)) : answer.split('\n');
  return lines.filter((line) => line.trim());
}

/** Epochs as documents have them, and those that they stand for. */
class Epochs {
  #real = new Map();

  /** Whether a line is what a document shows. Keeps its epochs then. */
  matches(shown, line) {
    const pattern = /"epoch":"([0-9a-f]+)"|\b([0-9a-f]{8})-\d+|^(retry: )\d+$/g;
    const found = [];
    let [source, from] = ['^', 0];
    const literal = (text) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
    for (const match of shown.matchAll(pattern)) {
      const epoch = match[1] ?? match[2];
      const [before, after] = epoch ? match[0].split(epoch) : [match[3], null];
      source += literal(shown.slice(from, match.index) + before);
      if (epoch) found.push(epoch);
      source += epoch ? `([0-9a-f]+)${literal(after)}` : '\\d+';
      from = match.index + match[0].length;
    }
    const got = new RegExp(`${source}${literal(shown.slice(from))}$`).exec(line);
    if (!got) return false;
    const known = new Map(this.#real);
    for (const [at, epoch] of found.entries()) {
      if ((known.get(epoch) ?? got[at + 1]) !== got[at + 1]) return false;
      known.set(epoch, got[at + 1]);
    }
    this.#real = known;
    return true;
  }

  /** Code with the epochs that are known. */
  put(code) {
    return [...this.#real].reduce((text, [shown, real]) => text.replaceAll(shown, real), code);
  }
}

/** Lines that come, held against those that are shown: the same and no others, but for the fields of an HTTP response. */
class Answers {
  #wanted;
  #said = [];

  constructor(wanted, epochs, isPartial) {
    [this.#wanted, this.epochs, this.isPartial] = [[...wanted], epochs, isPartial];
  }

  get isWhole() {
    return this.#wanted.length === 0;
  }

  /** Takes a line; false if it is none that is shown. */
  take(line) {
    this.#said.push(line);
    if (!line.trim()) return true;
    if (this.isWhole) return true;
    if (!this.epochs.matches(this.#wanted[0], line)) return this.isPartial;
    this.#wanted.shift();
    return true;
  }

  get complaint() {
    return `wanted next: ${this.#wanted[0]}\n  got:\n    ${this.#said.join('\n    ')}`;
  }
}

/** Runs a block in bash, until its end; a response that has none until all is said that the block shows. */
async function runShell(block, { host, epochs, folder }) {
  const code = epochs.put(block.code).replaceAll(ADDRESS, host).replaceAll('target/release/fanwire ', 'fanwire ');
  const wanted = shownBy(block);
  const isEndless = /curl -N/.test(block.code);
  const answers = new Answers(wanted, epochs, /curl [^|]*-i/.test(block.code));
  const environment = { ...process.env, PATH: `${folder}:${process.env.PATH}`, FANWIRE_URL: `http://${host}` };
  const shell = spawn('bash', ['-euo', 'pipefail', '-c', code], { cwd: root, env: environment, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  let errors = '';
  shell.stderr.on('data', (text) => { errors += text; });
  const end = new Promise((resolve) => shell.once('close', resolve));
  const said = (async () => {
    for await (const line of createInterface({ input: shell.stdout })) {
      if (!answers.take(line)) throw new Error(answers.complaint);
      if (wanted.length > 0 && answers.isWhole && isEndless) return 'whole';
    }
    return 'ended';
  })();
  try {
    const how = await soon(said, `the answer; ${answers.complaint}`);
    if (how === 'whole') return;
    const status = await soon(end, 'the end of the block');
    if (status !== 0) throw new Error(`it ended with ${status}: ${errors}`);
    if (!answers.isWhole) throw new Error(answers.complaint);
  } finally {
    // Its background processes end with it.
    try { process.kill(-shell.pid, 'SIGKILL'); } catch { /* it is gone */ }
    await end;
  }
}

/** Runs a block in the console of the gateway's page. */
async function runPage(block, { host, epochs, browser }) {
  const page = await browser.newPage();
  const answers = new Answers(shownBy(block), epochs, false);
  const wrong = [];
  let wake = () => {};
  page.on('pageerror', (error) => { wrong.push(error.message); wake(); });
  page.on('console', (message) => {
    if (message.type() === 'error') wrong.push(message.text());
    else if (!answers.take(message.text())) wrong.push(answers.complaint);
    wake();
  });
  await page.goto(`http://${host}/`);
  const imports = /^import (\{[^}]*\}) from (["'][^"']*["']);/gm;
  const code = epochs.put(block.code).replaceAll(ADDRESS, host).replace(imports, 'const $1 = await import($2);');
  const run = page.evaluate(`(async () => {\n${code}\n})()`);
  const done = (async () => {
    await run;
    while (!answers.isWhole && wrong.length === 0) await new Promise((resolve) => { wake = resolve; });
  })();
  try {
    await soon(done, `the answer; ${answers.complaint}`);
    if (wrong.length > 0) throw new Error(wrong.join('\n'));
  } finally {
    await page.close();
  }
}

/** A gateway, ready. */
async function gateway(binary) {
  const child = spawn(binary, ['serve', '--listen', '127.0.0.1:0', '--shards', '2'], { stdio: ['ignore', 'pipe', 'inherit'] });
  process.once('exit', () => child.kill('SIGKILL'));
  let host;
  const ready = (async () => {
    for await (const line of createInterface({ input: child.stdout })) {
      host = /^listening on http:\/\/(\S+)/.exec(line)?.[1] ?? host;
      if (line === 'ready') return host;
    }
    throw new Error('the gateway ended');
  })();
  return { child, host: await soon(ready, 'a gateway that is ready') };
}

async function main([path, option]) {
  const binary = resolve(path);
  const judge = new Judge('snippets');
  const folder = mkdtempSync(`${tmpdir()}/fanwire-snippets-`);
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  symlinkSync(binary, `${folder}/fanwire`);
  const browser = option === '--quick' ? null : await launch();
  const names = readdirSync(`${root}/docs`).filter((name) => name.endsWith('.md')).sort();
  for (const name of ['README.md', ...names.map((it) => `docs/${it}`)]) {
    const blocks = blocksOf(readFileSync(`${root}/${name}`, 'utf8')).filter(({ isExcused }) => !isExcused);
    if (blocks.length === 0) continue;
    const { child, host } = await gateway(binary);
    const place = { host, folder, browser, epochs: new Epochs() };
    for (const block of blocks) {
      const runs = { sh: runShell, bash: runShell, js: runPage, javascript: runPage };
      if (runs[block.language] === runPage && !browser) continue;
      await judge.check(`${name}:${block.line} runs, and answers as shown`, async () => {
        const run = runs[block.language];
        if (!run) throw new Error(`no program here runs ${block.language}: say why it is not run, on the line before`);
        await run(block, place);
      });
    }
    child.kill('SIGKILL');
  }
  await judge.check('a block that is wrong is found', () => findsFaults(binary, { folder, browser }));
  await browser?.close();
  judge.finish();
}

/** The runner's own test: each of these fails. */
async function findsFaults(binary, place) {
  const { child, host } = await gateway(binary);
  const faults = [
    '```sh\nfalse\n```',
    '```sh\necho "{1}"\n# {2}\n```',
    '```sh\ncurl -sf http://127.0.0.1:8080/nothing\n```',
    '```sh\necho \'{"epoch":"00000001"}\' \'{"epoch":"00000002"}\'\n# {"epoch":"aaaaaaaa"} {"epoch":"aaaaaaaa"}\n```',
    '```sh\necho 1\n```\n```json\n2\n```',
    ...(place.browser ? ['```js\nnothing();\n```', '```js\nconsole.log("{1}");\n// {2}\n```'] : []),
  ];
  for (const fault of faults) {
    const [block] = blocksOf(fault);
    const run = block.language === 'sh' ? runShell : runPage;
    const outcome = await run(block, { ...place, host, epochs: new Epochs() }).then(() => 'passed', () => 'failed');
    if (outcome !== 'failed') throw new Error(`this passed: ${fault}`);
  }
  const excused = blocksOf('<!-- not run: a reason -->\n```sh\nfalse\n```\n<!-- not run: -->\n```sh\nfalse\n```');
  if (excused.map((it) => it.isExcused).join() !== 'true,false') throw new Error('an excuse has a reason');
  child.kill('SIGKILL');
}

await main(process.argv.slice(2));
