// sockjs-client as a judge of `[[sockjs]]`: each of its transports that runs in Node, several shards, no sticky sessions.
//
//   node npm_sockjs.mjs URL
import { strict as assert } from "node:assert";
import SockJS from "sockjs-client";
import { Judge, soon } from "./judge.mjs";

const url = process.argv[2];
const judge = new Judge('sockjs-client');
const transports = ["websocket", "xhr-streaming", "xhr-polling"];

// A client that is open, and what it hears.
function open(path, transport) {
  const socket = new SockJS(url + path, null, { transports: [transport] });
  const heard = [];
  let wake = () => {};
  socket.onmessage = (event) => { heard.push(event.data); wake(); };
  const closed = new Promise((resolve) => { socket.onclose = (event) => { resolve(event); wake(); }; });
  const next = async () => {
    while (heard.length === 0) await soon(new Promise((resolve) => { wake = resolve; }), `a message by ${transport}`);
    return heard.shift();
  };
  const opened = new Promise((resolve) => { socket.onopen = resolve; });
  return { socket, next, closed, opened: () => soon(opened, `${path} opens by ${transport}`) };
}

for (const transport of transports) {
  await judge.check(`${transport}: echo`, async () => {
    const { socket, next, closed, opened } = open("/mirror", transport);
    await opened();
    assert.equal(socket.transport, transport);
    const all = ["plain", "", "\"quotes\" \\ \n\u2028\u200d", "ä€😀", "x".repeat(200_000)];
    for (const text of all) {
      socket.send(text);
      assert.equal(await next(), text);
    }
    for (let n = 0; n < 100; n++) socket.send(`n ${n}`);
    for (let n = 0; n < 100; n++) assert.equal(await next(), `n ${n}`);
    socket.close();
    assert.equal((await closed).code, 1000);
  });

  await judge.check(`${transport}: the JSON dialect, with history and last values`, async () => {
    const topic = `sockjs.${transport}`;
    const publish = (text) => fetch(`${url}/publish/${topic}`, { method: "POST", body: JSON.stringify(text) });
    await publish("first");
    const { socket, next, opened } = open("/sockjs", transport);
    await opened();
    socket.send(JSON.stringify({ op: "sub", topics: [topic], id: 1 }));
    const reply = JSON.parse(await next());
    assert.equal(reply.op, "ok");
    assert.deepEqual(JSON.parse(await next()), { t: topic, o: 1, d: "first" });
    for (let n = 2; n < 60; n++) await publish(n);
    for (let n = 2; n < 60; n++) assert.deepEqual(JSON.parse(await next()), { t: topic, o: n, d: n });
    socket.send("no JSON");
    assert.equal(JSON.parse(await next()).code, "bad_request");
    socket.close();
  });

  await judge.check(`${transport}: the bare feed of a topic`, async () => {
    const { socket, next, opened } = open(`/feed/bare.${transport}`, transport);
    const other = open(`/feed/bare.${transport}`, "websocket");
    await opened();
    await other.opened();
    socket.send("to all");
    assert.equal(await next(), "to all");
    assert.equal(await other.next(), "to all");
    socket.close();
    other.socket.close();
  });
}
judge.finish();
