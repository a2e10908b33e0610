// fanwire.js and what publications carry beside their payload: node fanwire_js_vocabulary.mjs PATH_OF_THE_BINARY
// Events, attributes, messages that are no last value, and gaps by the number of the message before.

import { TRANSPORTS, follow, gateway } from './feed.mjs';
import { Judge, equal, publish } from './judge.mjs';
import { joined, scripted } from './scripted.mjs';

const judge = new Judge('fanwire.js');
const main = await gateway('127.0.0.1:0');

for (const transport of TRANSPORTS) {
  await judge.check(`${transport}: events and attributes, and topics whatever the event is named`, async () => {
    const topics = [`voc.${transport}.a`, `voc.${transport}.b`];
    const it = follow(main.origin, [transport], topics, { headers: true });
    await it.live(transport);
    const [a, b] = topics;
    await it.client.publish(a, 1, { event: b, headers: { color: 'red' } });
    await publish(main.origin, b, '2', { 'Fanwire-Event': '.bye', 'Content-Type': 'text/csv' });
    await publish(main.origin, b, '3', { 'Fanwire-Event': '%2E', 'Fanwire-Attribute-Color': 'blue' });
    await publish(main.origin, a, '4');
    await it.until(() => it.pushes.length === 4, 'four messages');
    const told = (topic) => it.pushes.filter((push) => push.topic === topic).map(({ data, event }) => [data, event ?? null]);
    equal([told(a), told(b)], [[[1, b], [4, null]], [[2, '.bye'], [3, '%2E']]]);
    const headers = it.pushes.toSorted((one, other) => one.data - other.data).map((push) => push.headers ?? null);
    const all = [{ color: 'red' }, { 'content-type': 'text/csv' }, { color: 'blue' }, null];
    equal(headers, transport === 'sse' ? [null, null, null, null] : all);
    equal([it.of('gap'), it.of('error')], [[], []]);
    it.client.close();
  });
  await judge.check(`${transport}: an older last value is handed on, and what comes next is no gap`, async () => {
    const topic = `voc.passing.${transport}`;
    await publish(main.origin, topic, '"stays"');
    await publish(main.origin, topic, '"passes"', { 'Fanwire-Last': '0' });
    const it = follow(main.origin, [transport], [topic]);
    await it.until(() => it.pushes.length === 1, 'the last value');
    await it.live(transport);
    equal(it.client.position(topic)?.split('-')[1], '2', 'where the topic stands');
    it.client.reconfigure({ transports: [transport] });
    await it.until(() => it.of('resumed').length === 1, 'another connection');
    await publish(main.origin, topic, '"next"');
    await it.until(() => it.pushes.length === 2, 'the next');
    equal(it.pushes.map(({ offset, data }) => [offset, data]), [[1, 'stays'], [3, 'next']]);
    equal(it.of('gap'), []);
    it.client.close();
  });
}
await judge.check('headers are handed to those who asked for them, and a history tells all', async () => {
  const it = follow(main.origin, ['ws'], ['voc.asked'], { headers: true });
  const others = [];
  it.client.subscribe('voc.other', (push) => others.push(push));
  await it.live('ws');
  for (const topic of ['voc.asked', 'voc.other']) await it.client.publish(topic, 1, { headers: { a: 'b' }, event: 'e' });
  await it.until(() => it.pushes.length === 1 && others.length === 1, 'both');
  equal([it.pushes[0].headers, others[0].headers ?? null, others[0].event], [{ a: 'b' }, null, 'e']);
  const { messages: [kept] } = await it.client.history('voc.other');
  equal(kept, { offset: 1, data: 1, event: 'e', headers: { a: 'b' } });
  it.client.close();
});
await judge.check('a last value is forgotten', async () => {
  const it = follow(main.origin, ['ws'], ['voc.forget']);
  await it.live('ws');
  const { epoch, offset } = await it.client.publish('voc.forget', 1);
  await it.until(() => it.pushes.length === 1, 'the message');
  equal(await it.client.forgetLast('voc.forget'), { topic: 'voc.forget', epoch, offset });
  equal((await it.client.history('voc.forget')).messages, []);
  const refused = await it.client.forgetLast('voc.nobody').catch((error) => error);
  equal([refused.code, refused.status], ['not_found', 404]);
  it.client.close();
});
await judge.check('what the client says without an echo is no gap when others go on', async () => {
  const it = follow(main.origin, ['ws'], ['voc.echo']);
  await it.live('ws');
  for (const number of [1, 2, 3]) await it.client.publish('voc.echo', number, { echo: false });
  await publish(main.origin, 'voc.echo', '4');
  await it.client.publish('voc.echo', 5);
  await it.until(() => it.pushes.length === 2, 'the others');
  equal([it.data(), it.of('gap')], [[4, 5], []]);
  it.client.close();
});
await judge.check('bad events and headers reject, and the connection goes on', async () => {
  const it = follow(main.origin, ['ws'], ['voc.bad']);
  await it.live('ws');
  for (const options of [{ event: '' }, { event: 'a\nb' }, { headers: { a: 1 } }, { headers: { a: 'x'.repeat(5_000) } }, { last: 0 }]) {
    const { code } = await it.client.publish('voc.bad', 1, options).catch((error) => error);
    equal(code, options.headers?.a?.length > 4_096 ? 'too_large' : 'bad_request', JSON.stringify(options).slice(0, 40));
  }
  await it.client.publish('voc.bad', 'good');
  await it.until(() => it.data().at(-1) === 'good', 'the good one');
  it.client.close();
});
await judge.check('a gap is where the number before is not the one that is held, and nowhere else', async () => {
  const gaps = await scripted({
    request(url, response) {
      const push = (o, p) => ({ t: 'a', o, p, d: o });
      joined(response, { a: { epoch: '1', offset: 4 } }, push(4, 2), push(10, 4), push(20, 15), push(21), { op: 'gap', t: 'a', skipped: 3, o: 40 },
        push(40, 33), push(43));
    },
  });
  const it = follow(gaps.origin, ['stream'], ['a']);
  await it.until(() => it.pushes.length === 6, 'six messages');
  const told = it.of('gap').map(({ skipped, offset }) => [skipped, offset]);
  equal(told, [[null, 20], [3, 40], [2, 43]]);
  it.client.close();
  gaps.close();
});
await main.stop('SIGKILL');
judge.finish();
