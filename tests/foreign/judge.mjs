// Shared by the clients in JavaScript: one line a check, a last line that counts, and a bound on every wait.

const HANG_MS = 60_000;

/** Ends a hang; nothing waits for it. */
export function soon(promise, what) {
  let timer;
  const hang = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), HANG_MS);
  });
  return Promise.race([promise, hang]).finally(() => clearTimeout(timer));
}

export class Judge {
  constructor(client) {
    this.client = client;
    this.passed = 0;
    this.failed = 0;
  }

  /** Runs one check and prints how it went. */
  async check(name, act) {
    try {
      await soon(act(), name);
      this.passed += 1;
      console.log(`ok      ${this.client}: ${name}`);
    } catch (error) {
      this.failed += 1;
      console.log(`FAILED  ${this.client}: ${name}: ${error.message}`);
    }
  }

  /** Prints the count and exits, whatever a failed check left open. */
  finish() {
    console.log(`${this.passed} passed, ${this.failed} failed`);
    process.exit(this.failed === 0 && this.passed > 0 ? 0 : 1);
  }
}

export function equal(got, wanted, what = 'value') {
  const [a, b] = [got, wanted].map((value) => JSON.stringify(value));
  if (a !== b) throw new Error(`${what}: wanted ${b?.slice(0, 200)}, got ${a?.slice(0, 200)}`);
}

/** Publishes over HTTP; the answer's fields. */
export async function publish(origin, topic, body, headers = {}) {
  const response = await fetch(`${origin}/publish/${topic}`, { method: 'POST', body, headers });
  equal(response.status, 200, 'status of the publication');
  return response.json();
}
