// A fan-out server as one would first write it over Bun's own WebSocket server (uWebSockets inside) and its topics: any
// path is a topic, whose messages go to everybody else on it; `/echo` echoes. `bun bun.mjs PORT` listens on 127.0.0.1.
Bun.serve({
  hostname: '127.0.0.1',
  port: Number(process.argv[2]),
  fetch(request, server) {
    const path = new URL(request.url).pathname;
    if (!server.upgrade(request, { data: path })) return new Response('only WebSocket is spoken here', { status: 426 });
  },
  websocket: {
    perMessageDeflate: false,
    idleTimeout: 0,
    open(socket) {
      if (socket.data !== '/echo') socket.subscribe(socket.data);
    },
    message(socket, payload) {
      if (socket.data === '/echo') socket.send(payload);
      else socket.publish(socket.data, payload);
    },
  },
});
console.log('ready');
