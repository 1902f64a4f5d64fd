// The other side of the benchmarks: TLS, websocket, TCP. Independent of eicctl and of its emulator, with nothing but
// Node's own modules. Takes any signature.
//
//   node server.mjs CERT KEY PORT TARGET_PORT     prints its proxy's port and serves until stdin ends
//
// A path of /openTunnel is carried to 127.0.0.1:TARGET_PORT, one TCP connection a websocket, with backpressure.
// The proxy (CONNECT) leads to PORT, whatever it is asked for: the AWS CLI dials no port but 443.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { createServer as createProxy } from 'node:http';
import { createServer } from 'node:https';

const [cert, key, port, targetPort] = process.argv.slice(2);
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'; // RFC 6455, section 1.3
const MAX_FRAME = 65000;

function header(opcode, length) {
  if (length < 126) return Buffer.from([0x80 | opcode, length]);
  const head = Buffer.alloc(4);
  head[0] = 0x80 | opcode;
  head[1] = 126;
  head.writeUInt16BE(length, 2);
  return head;
}

// Calls onFrame(opcode, payload) for each whole frame of a client.
function decoder(onFrame) {
  let held = [];
  let size = 0;
  let wanted = 2;
  return (chunk) => {
    held.push(chunk);
    size += chunk.length;
    if (size < wanted) return;
    let data = held.length === 1 ? held[0] : Buffer.concat(held, size);
    for (;;) {
      if (data.length < 2) { wanted = 2; break; }
      let length = data[1] & 0x7f;
      let at = 2;
      if (length === 126) {
        if (data.length < 4) { wanted = 4; break; }
        length = data.readUInt16BE(2);
        at = 4;
      } else if (length === 127) {
        if (data.length < 10) { wanted = 10; break; }
        length = Number(data.readBigUInt64BE(2));
        at = 10;
      }
      wanted = at + 4 + length;
      if (data.length < wanted) break;
      const mask = data.subarray(at, at + 4);
      const payload = data.subarray(at + 4, wanted);
      unmask(payload, mask);
      onFrame(data[0] & 0x0f, payload);
      data = data.subarray(wanted);
      wanted = 2;
    }
    held = data.length ? [data] : [];
    size = data.length;
  };
}

function unmask(payload, mask) {
  for (let i = 0; i < payload.length; i += 1) payload[i] ^= mask[i & 3];
}

const server = createServer({ cert: readFileSync(cert), key: readFileSync(key) });
server.on('upgrade', (request, socket) => {
  if (!request.url.startsWith('/openTunnel?')) {
    socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n');
    return;
  }
  const accept = createHash('sha1').update(request.headers['sec-websocket-key'] + GUID).digest('base64');
  socket.setNoDelay(true);
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      `Sec-WebSocket-Accept: ${accept}\r\nx-amzn-requestid: bench\r\n\r\n`,
  );
  const target = connect(Number(targetPort), '127.0.0.1');
  target.setNoDelay(true);
  let closed = false;
  const close = () => {
    if (closed) return;
    closed = true;
    socket.end(Buffer.concat([header(8, 2), Buffer.from([3, 232])]));
    target.destroy();
  };
  target.on('data', (data) => {
    let ready = true;
    for (let at = 0; at < data.length; at += MAX_FRAME) {
      const part = data.subarray(at, at + MAX_FRAME);
      socket.cork();
      socket.write(header(2, part.length));
      ready = socket.write(part);
      socket.uncork();
    }
    if (!ready) target.pause();
  });
  socket.on('drain', () => target.resume());
  target.on('drain', () => socket.resume());
  target.on('end', close);
  target.on('error', close);
  const decode = decoder((opcode, payload) => {
    if (opcode === 8) close();
    else if (opcode === 9) socket.write(Buffer.concat([header(10, payload.length), payload]));
    else if (opcode <= 2 && !closed && !target.write(payload)) socket.pause();
  });
  socket.on('data', decode);
  socket.on('close', () => target.destroy());
  socket.on('error', () => target.destroy());
});
const proxy = createProxy();
proxy.on('connect', (request, client) => {
  client.setNoDelay(true);
  const far = connect(Number(port), '127.0.0.1', () => client.write('HTTP/1.1 200 OK\r\n\r\n'));
  far.setNoDelay(true);
  far.pipe(client).pipe(far);
  client.on('error', () => far.destroy());
  far.on('error', () => client.destroy());
});
server.listen(Number(port), '127.0.0.1', () => {
  proxy.listen(0, '127.0.0.1', () => console.log(proxy.address().port));
});
process.stdin.on('end', () => process.exit(0)).resume();
