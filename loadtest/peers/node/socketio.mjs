// A fan-out server as one would first write it over Socket.IO: the event `subscribe` (topic, acknowledged) joins a room,
// `publish` (topic, payload) sends `message` to everybody else in it. `node socketio.mjs PORT` listens on 127.0.0.1.
import { createServer } from 'node:http';
import { Server } from 'socket.io';

const http = createServer();
const io = new Server(http, { transports: ['websocket'], perMessageDeflate: false });

io.on('connection', (socket) => {
  socket.on('subscribe', (topic, acknowledge) => {
    socket.join(topic);
    if (typeof acknowledge === 'function') acknowledge();
  });
  socket.on('publish', (topic, payload) => socket.to(topic).emit('message', payload));
});
http.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('ready'));
