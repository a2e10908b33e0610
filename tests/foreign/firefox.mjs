// Starts the Firefox that the system has and drives it by WebDriver BiDi, which every Firefox speaks: Playwright wants
// builds of its own. What comes out has those parts of Playwright's interface that the checks use.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { createInterface } from 'node:readline';
import WebSocket from 'ws';
import { soon } from './judge.mjs';

const PLACES = ['/usr/bin/firefox-esr', '/usr/bin/firefox'];
const POLL_MS = 50;

// Downloads that a fresh profile would start; no test needs them.
const PREFERENCES = {
  'app.normandy.enabled': false,
  'app.update.disabledForTesting': true,
  'browser.safebrowsing.downloads.remote.enabled': false,
  'browser.safebrowsing.malware.enabled': false,
  'browser.safebrowsing.phishing.enabled': false,
  'browser.search.update': false,
  'browser.shell.checkDefaultBrowser': false,
  'browser.startup.homepage_override.mstone': 'ignore',
  'browser.startup.page': 0,
  'datareporting.policy.dataSubmissionEnabled': false,
  'extensions.systemAddon.update.enabled': false,
  'extensions.update.enabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'remote.prefs.recommended': true,
  'services.settings.server': 'data:,#remote-settings-dummy/v1',
  'toolkit.telemetry.server': '',
};

/** `hosts`: names that are this machine. */
export async function launch({ hosts = [] } = {}) {
  const path = process.env.FIREFOX ?? PLACES.find(existsSync);
  if (!path) throw new Error('no Firefox: install it, or name one in FIREFOX');
  const profile = await mkdtemp(`${tmpdir()}/fanwire-firefox-`);
  const preferences = { ...PREFERENCES, 'network.dns.localDomains': hosts.join(',') };
  const lines = Object.entries(preferences).map(([name, value]) => `user_pref("${name}", ${JSON.stringify(value)});\n`);
  await writeFile(`${profile}/user.js`, lines.join(''));
  const words = ['--headless', '--no-remote', '--profile', profile, '--remote-debugging-port', '0'];
  // The caller's home may not be writable, and the browser needs only the profile.
  const child = spawn(path, words, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, HOME: profile } });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const ended = new Promise((done) => child.once('exit', done));
  const address = new Promise((done, failed) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      const found = /WebDriver BiDi listening on (ws:\S+)/.exec(line);
      if (found) done(found[1]);
    });
    ended.then((code) => failed(new Error(`Firefox ended with ${code}`)));
  });
  const session = await Session.open(`${await soon(address, 'Firefox')}/session`);
  await session.ask('session.new', { capabilities: { alwaysMatch: { acceptInsecureCerts: true } } });
  return {
    newPage: async () => Page.open(session),
    close: async () => {
      // It answers before it is gone, or is gone before it answers.
      session.ask('browser.close', {}).catch(() => {});
      await soon(ended, 'the end of Firefox').catch(kill);
      await ended;
      process.off('exit', kill);
      await rm(profile, { recursive: true, force: true, maxRetries: 3 });
    },
  };
}

/** Commands and their answers. */
class Session {
  static async open(address) {
    const session = new Session();
    session.socket = new WebSocket(address, { perMessageDeflate: false });
    session.waiting = new Map();
    session.socket.on('message', (text) => {
      const { id, type, result, error, message } = JSON.parse(text);
      const [done, failed] = session.waiting.get(id) ?? [];
      session.waiting.delete(id);
      if (type === 'success') done?.(result);
      else failed?.(new Error(`${error}: ${message}`));
    });
    await new Promise((done, failed) => session.socket.on('open', done).on('error', failed));
    return session;
  }

  ask(method, params) {
    const id = (this.last = (this.last ?? 0) + 1);
    return new Promise((...ends) => {
      this.waiting.set(id, ends);
      this.socket.send(JSON.stringify({ id, method, params }));
    });
  }
}

class Page {
  static async open(session) {
    const { context } = await session.ask('browsingContext.create', { type: 'tab' });
    return Object.assign(new Page(), { session, context });
  }

  async goto(url) {
    await this.session.ask('browsingContext.navigate', { context: this.context, url, wait: 'complete' });
  }

  /** Calls a function in the page; what goes in and comes out is JSON. */
  async evaluate(act, argument = null) {
    const { result, exceptionDetails } = await this.session.ask('script.callFunction', {
      functionDeclaration: `async (argument) => JSON.stringify(await (${act})(JSON.parse(argument)))`,
      arguments: [{ type: 'string', value: JSON.stringify(argument) }],
      awaitPromise: true,
      target: { context: this.context },
    });
    if (exceptionDetails) throw new Error(exceptionDetails.text);
    return result.type === 'string' ? JSON.parse(result.value) : undefined;
  }

  async waitForFunction(act, argument) {
    while (!(await this.evaluate(act, argument))) await new Promise((done) => setTimeout(done, POLL_MS));
  }

  async close() {
    await this.session.ask('browsingContext.close', { context: this.context });
  }
}
