// Receivers that know nothing of a hub: they take what a device sends and show the
// bytes. The protocol of each is another's code: mqtt-packet, which mqtt.js is built
// on, and rhea, which Microsoft's AMQP transport is.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import tls from 'node:tls';

const require = createRequire(import.meta.url);
const packets = createRequire(require.resolve('mqtt'))('mqtt-packet');
export const rhea = createRequire(createRequire(require.resolve('azure-iot-device-amqp')).resolve('azure-iot-amqp-base'))('rhea');

/** A certificate for a host, which is its own root: the names of its files, and the pair. */
export function certificate(folder, host) {
  const [cert, key] = ['peer.pem', 'peer-key.pem'].map((name) => path.join(folder, name));
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
    '-subj', `/CN=${host}`, '-addext', `subjectAltName=DNS:${host}`, '-keyout', key, '-out', cert], { stdio: 'pipe' });
  return { file: cert, pair: { cert: readFileSync(cert), key: readFileSync(key) } };
}

const listening = (server) => new Promise((resolve) => { server.listen(0, '127.0.0.1', () => resolve(server.address().port)); });

/** Takes any login over MQTT, and every message. */
export async function mqttPeer({ pair }) {
  const published = [];
  const server = tls.createServer(pair, (socket) => {
    const answer = (packet) => socket.write(packets.generate(packet));
    const parser = packets.parser({ protocolVersion: 4 });
    parser.on('packet', ({ cmd, messageId, topic, payload, qos, retain, dup, subscriptions }) => {
      switch (cmd) {
        case 'connect': answer({ cmd: 'connack', returnCode: 0, sessionPresent: false }); break;
        case 'subscribe': answer({ cmd: 'suback', messageId, granted: subscriptions.map((s) => s.qos) }); break;
        case 'unsubscribe': answer({ cmd: 'unsuback', messageId }); break;
        case 'pingreq': answer({ cmd: 'pingresp' }); break;
        case 'disconnect': socket.end(); break;
        case 'publish':
          published.push({ topic, payload, qos, retain, dup });
          if (qos === 1) answer({ cmd: 'puback', messageId });
          break;
        default: socket.destroy();
      }
    });
    socket.on('data', (bytes) => parser.parse(bytes));
    socket.on('error', () => {});
  });
  const port = await listening(server);
  return { port, published, stop: () => server.close() };
}

/** Takes any token over AMQP, and every message. */
export async function amqpPeer({ pair }) {
  const transfers = [];
  const container = rhea.create_container();
  const answers = new Map(); // the sender of $cbs, by connection
  container.on('sender_open', ({ sender, connection }) => {
    sender.set_source(sender.remote.attach.source);
    sender.local.attach.snd_settle_mode = sender.remote.attach.snd_settle_mode;
    if (sender.source.address === '$cbs') answers.set(connection, sender);
  });
  container.on('receiver_open', ({ receiver }) => {
    receiver.set_target(receiver.remote.attach.target);
    receiver.local.attach.snd_settle_mode = receiver.remote.attach.snd_settle_mode;
  });
  container.on('message', ({ message, format, receiver, connection }) => {
    const { address } = receiver.target;
    if (address !== '$cbs') {
      transfers.push({ address, message, format });
      return;
    }
    answers.get(connection).send({ correlation_id: message.message_id, application_properties: { 'status-code': 200, 'status-description': 'OK' } });
  });
  for (const event of ['disconnected', 'connection_error', 'session_error', 'error']) container.on(event, () => {});
  const server = container.listen({ port: 0, host: '127.0.0.1', transport: 'tls', ...pair });
  await new Promise((resolve) => { server.once('listening', resolve); });
  return { port: server.address().port, transfers, stop: () => server.close() };
}
