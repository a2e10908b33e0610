// A gateway whose answers the check writes, for races that a real one shows only by chance.

import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';

/** `socket(socket, operation)` is called for each operation on a WebSocket, `request(url, response, body)` for each request. */
export async function scripted({ socket, request }) {
  const server = createServer(async (from, response) => {
    let body = '';
    for await (const bytes of from.setEncoding('utf8')) body += bytes;
    request(new URL(from.url, 'http://127.0.0.1'), response, body);
  });
  if (socket) {
    new WebSocketServer({ server }).on('connection', (it) => {
      it.on('message', (text) => {
        const operation = JSON.parse(text);
        const tell = (...messages) => messages.forEach((message) => it.send(JSON.stringify(message)));
        socket(Object.assign(it, { tell }), operation);
      });
    });
  }
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { origin: `http://127.0.0.1:${server.address().port}`, close };
}

/** The answer of /stream to a request for topics: where each of them stands, and the pushes behind it. */
export function joined(response, stands, ...pushes) {
  response.writeHead(200, { 'Content-Type': 'application/x-ndjson' });
  lines(response, { op: 'ok', topics: stands }, ...pushes);
}

/** Messages of /stream, in one packet. */
export function lines(response, ...messages) {
  response.write(messages.map((message) => `${JSON.stringify(message)}\n`).join(''));
}

export function refuse(response, status, code) {
  response.writeHead(status, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify({ code, message: 'as the check says' }));
}
