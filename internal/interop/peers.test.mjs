// Our device, at receivers that are not ours; and a batch of rhea's, at our hub.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { build, execute, scratch, signature, startHub, within } from './lib.mjs';
import { amqpPeer, certificate, mqttPeer, rhea } from './peers.mjs';

const folder = scratch();
const program = build(folder, 'twin');
const hub = await startHub(build(folder, 'hub'), folder);
after(() => hub.stop());

const bounded = { timeout: 60_000 };
const host = 'hub.example.org';
const proof = certificate(folder, host);
const samples = [
  { type: 'application/json', properties: { alert: 'true' }, body: '{"t":21.5}' },
  { type: 'application/json;charset=utf-8', properties: {}, body: 'x' },
  { properties: { 'a~b-c_d.e': "!*'()" }, body: 'x' },
  { properties: { emoji: '😀' }, body: '' },
  { properties: { eq: 'a=b&c', pct: '100%', sp: 'one space' }, body: 'x' },
  { properties: { 'iothub-creation-time-utc': '2026-01-01T00:00:00Z' }, body: 'x' },
];

// Has our device send a message to a peer, and returns its ID.
async function send(transport, port, { type, properties, body }, id = 'dev1') {
  const words = ['-ca', proof.file, '-endpoint', `127.0.0.1:${port}`, '-transport', transport];
  if (type) words.push('-content-type', type);
  for (const [name, value] of Object.entries(properties)) words.push('-property', `${name}=${value}`);
  const [device, module] = id.split('/');
  const connection = `HostName=${host};DeviceId=${device};${module ? `ModuleId=${module};` : ''}SharedAccessKey=${Buffer.from('key').toString('base64')}`;
  const { code, stdout, stderr } = await execute(program, [...words, 'send', body], { env: { IOTHUB_DEVICE_CONNECTION_STRING: connection } });
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout).id;
}

describe('our device, at receivers that are not ours', () => {
  test('over MQTT: each topic, byte for byte', bounded, async () => {
    const peer = await mqttPeer(proof);
    try {
      const ids = [];
      for (const sample of samples) ids.push(await send('mqtt', peer.port, sample));
      ids.push(await send('mqtt', peer.port, samples[1], 'dev1/mod1'));
      const topics = [
        '&%24.ct=application%2Fjson&%24.ce=utf-8&alert=true',
        '&%24.ct=application%2Fjson%3Bcharset%3Dutf-8',
        '&a~b-c_d.e=%21%2A%27%28%29',
        '&emoji=%F0%9F%98%80',
        '&eq=a%3Db%26c&pct=100%25&sp=one%20space',
        '&iothub-creation-time-utc=2026-01-01T00%3A00%3A00Z',
      ].map((bag, n) => `devices/dev1/messages/events/%24.mid=${ids[n]}${bag}`);
      topics.push(`devices/dev1/modules/mod1/messages/events/%24.mid=${ids.at(-1)}&%24.ct=application%2Fjson%3Bcharset%3Dutf-8`);
      assert.deepEqual(peer.published, topics.map((topic, n) => (
        { topic, payload: Buffer.from((samples[n] ?? samples[1]).body), qos: 1, retain: false, dup: false })));
    } finally {
      peer.stop();
    }
  });

  test('over AMQP: each section', bounded, async () => {
    const peer = await amqpPeer(proof);
    try {
      const ids = [];
      for (const sample of samples) ids.push(await send('amqp', peer.port, sample));
      const got = peer.transfers.map(({ address, message, format }) => {
        const { message_id: id, content_type: type, content_encoding: encoding, application_properties: properties = {}, body } = format
          ? rhea.message.decode(rhea.message.decode(message).body.content) : message;
        return { address, id, type, encoding, properties: { ...properties }, body: Buffer.from(body.content).toString(), section: body.typecode };
      });
      assert.deepEqual(got, samples.map(({ type, properties, body }, n) => ({
        address: '/devices/dev1/messages/events', id: ids[n], type, encoding: type === 'application/json' ? 'utf-8' : undefined, properties, body, section: 0x75,
      })));
    } finally {
      peer.stop();
    }
  });
});

// A connection of rhea's with a sender of telemetry, whose token the hub has.
function attach(id, use) {
  const { deviceId, moduleId } = hub.info.devices[id];
  const address = `/devices/${deviceId}${moduleId ? `/modules/${moduleId}` : ''}/messages/events`;
  const container = rhea.create_container();
  const connection = container.connect({
    host: hub.info.bind, port: hub.info.ports.amqp, transport: 'tls', ca: hub.ca, servername: hub.info.hostname, hostname: hub.info.hostname, reconnect: false,
  });
  return within('AMQP', new Promise((resolve, reject) => {
    for (const event of ['connection_error', 'session_error', 'sender_error', 'disconnected']) container.on(event, ({ error }) => reject(error ?? new Error(event)));
    const answers = connection.open_receiver('$cbs');
    const tokens = connection.open_sender('$cbs');
    tokens.once('sendable', () => tokens.send({
      message_id: '1', to: '$cbs', reply_to: 'cbs', body: signature(hub, id),
      application_properties: { operation: 'put-token', type: 'servicebus.windows.net:sastoken', name: `${hub.info.hostname}${address.replace('/messages/events', '')}` },
    }));
    answers.once('message', ({ message }) => {
      assert.equal(message.application_properties['status-code'], 200);
      const sender = connection.open_sender(address);
      sender.once('sendable', () => {
        const settled = new Promise((done) => {
          sender.once('accepted', () => done('accepted'));
          sender.once('rejected', ({ delivery }) => done(`rejected: ${delivery.remote_state.error?.condition}`));
        });
        use(sender);
        settled.then(resolve);
      });
    });
  })).finally(() => connection.close());
}

describe('a batch of rhea, at our hub', { skip: hub.info.ports.amqp === undefined ? 'the hub has no port for amqp' : false }, () => {
  const batch = (messages) => rhea.message.encode({ body: rhea.message.data_sections(messages.map((m) => rhea.message.encode(m))) });
  const one = (n, length = 1) => ({ message_id: `b-${n}`, content_type: 'text/plain', application_properties: { n: String(n) }, body: rhea.message.data_section(Buffer.alloc(length, 'x')) });

  for (const id of ['dev1', 'dev1/mod1']) {
    test(`${id}: its messages are stored one by one`, bounded, async () => {
      const { length } = await hub.messages(id);
      assert.equal(await attach(id, (sender) => sender.send(batch([1, 2, 3].map((n) => one(n))), undefined, 0x80013700)), 'accepted');
      assert.deepEqual((await hub.messages(id)).slice(length), [1, 2, 3].map((n) => (
        { system: { 'message-id': `b-${n}`, 'content-type': 'text/plain' }, properties: { n: String(n) }, body: Buffer.from('x') })));
    });
  }

  test('one that is too large in all is refused whole', bounded, async () => {
    const { length } = await hub.messages('dev1');
    assert.equal(await attach('dev1', (sender) => sender.send(batch([one(1, 200_000), one(2, 100_000)]), undefined, 0x80013700)), 'rejected: amqp:link:message-size-exceeded');
    assert.equal((await hub.messages('dev1')).length, length);
  });
});
