// A fan-out server as one would first write it over the npm package `ws`: any path is a topic, whose messages go to
// everybody else on it; `/echo` echoes. `node ws.mjs PORT` listens on 127.0.0.1.
import { WebSocketServer, WebSocket } from 'ws';

const topics = new Map();
const server = new WebSocketServer({ host: '127.0.0.1', port: Number(process.argv[2]), perMessageDeflate: false });

server.on('listening', () => console.log('ready'));
server.on('connection', (socket, request) => {
  const path = request.url.split('?')[0];
  socket.on('error', () => {});
  if (path === '/echo') {
    socket.on('message', (payload, binary) => socket.send(payload, { binary }));
    return;
  }
  if (!topics.has(path)) topics.set(path, new Set());
  const readers = topics.get(path);
  readers.add(socket);
  socket.on('close', () => readers.delete(socket));
  socket.on('message', (payload, binary) => {
    for (const reader of readers) {
      if (reader !== socket && reader.readyState === WebSocket.OPEN) reader.send(payload, { binary });
    }
  });
});
