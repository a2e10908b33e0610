// Starts a browser that the system has: `chromium`, or another one named in CHROMIUM; or [`firefox`](firefox.mjs).

import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';
import { launch as launchFirefox } from './firefox.mjs';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** `hosts`: names that are this machine. */
export function launch(name = 'chromium', { hosts = [] } = {}) {
  if (name === 'firefox') return launchFirefox({ hosts });
  if (name !== 'chromium') throw new Error(`no such browser: ${name}`);
  const executablePath = process.env.CHROMIUM ?? PLACES.find(existsSync);
  if (!executablePath) throw new Error('no Chromium: install it, or name one in CHROMIUM');
  const rules = hosts.map((host) => `MAP ${host} 127.0.0.1`);
  // Root may not use its sandbox, and containers have little shared memory.
  const args = ['--no-sandbox', '--disable-dev-shm-usage', `--host-resolver-rules=${rules.join(',')}`];
  return chromium.launch({ executablePath, args });
}
