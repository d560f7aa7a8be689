// Telemetry: what the official device SDK sends, over each of its transports, is
// what the hub has.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { createRequire } from 'node:module';
import { build, scratch, startHub, within } from './lib.mjs';
import { missing, required, transports } from './transports.mjs';

const require = createRequire(import.meta.url);
const { Client, ModuleClient, Message } = require('azure-iot-device');
const { NoRetry } = require('azure-iot-common');

const folder = scratch();
const hub = await startHub(build(folder, 'hub'), folder);
after(() => hub.stop());

const must = required(process.env.INTEROP_REQUIRE);
const bounded = { timeout: 60_000 };

// What is sent, as the SDK wants it, and what the hub is to have.
const uuid = '0f9d6a2e-6b1c-4d3e-8f5a-7b6c5d4e3f2a';
const samples = [
  {
    sent: { messageId: 'm-1', contentType: 'application/json;charset=utf-8', contentEncoding: 'utf-8' }, properties: { alert: 'true' }, body: '{"t":21.5}',
    system: { 'message-id': 'm-1', 'content-type': 'application/json;charset=utf-8', 'content-encoding': 'utf-8' }, has: { t: 21.5 },
  },
  {
    sent: {}, properties: { 'a~b-c_d.e': "!*'()", emoji: '😀', eq: 'a=b&c', pct: '100%', sp: 'one space', slash: '/a/#+$', none: '' }, body: Buffer.from([0, 255, 10]),
    system: {}, has: Buffer.from([0, 255, 10]),
  },
  {
    sent: { messageId: uuid, correlationId: uuid.toUpperCase() }, properties: { 'dt-subject': 'thermostat1' }, body: '',
    system: { 'message-id': uuid, 'correlation-id': uuid.toUpperCase(), 'dt-subject': 'thermostat1' }, has: Buffer.alloc(0), kept: {},
  },
  {
    sent: {}, properties: { 'iothub-creation-time-utc': '2026-01-01T00:00:00Z' }, body: 'x',
    system: { 'iothub-creation-time-utc': '2026-01-01T00:00:00Z' }, has: Buffer.from('x'), kept: {},
  },
];

function message(body, sent = {}, properties = {}) {
  const m = Object.assign(new Message(body), sent);
  for (const [name, value] of Object.entries(properties)) m.properties.add(name, value);
  return m;
}

// Runs a case with an open client, and closes it in any case.
async function online(id, { Transport }, use) {
  const told = hub.info.devices[id];
  const client = (told.moduleId ? ModuleClient : Client).fromConnectionString(told.connectionString, Transport);
  const proof = told.auth === 'sas' ? {} : { cert: readFileSync(told.cert, 'utf8'), key: readFileSync(told.key, 'utf8') };
  await client.setOptions({ ca: hub.ca, ...proof });
  client.setRetryPolicy(new NoRetry());
  client.on('error', () => {});
  try {
    await within('open', client.open());
    return await use(client);
  } finally {
    await within('close', client.close()).catch(() => {});
  }
}

// The messages that the hub has got since a case began.
async function since(id, act) {
  const { length } = await hub.messages(id);
  await act();
  return (await hub.messages(id)).slice(length);
}

function cases(transport) {
  // Over AMQP the SDK says where a message goes, too.
  const to = (id) => (transport.name.startsWith('amqp') ? { to: `/devices/${id.replace('/', '/modules/')}/messages/events` } : {});

  for (const id of ['dev1', 'dev1/mod1', 'ca1', 'self1']) {
    test(`what ${id} sends is what the hub has`, bounded, async () => {
      const got = await since(id, () => online(id, transport, async (client) => {
        for (const { body, sent, properties } of samples) await within('sendEvent', client.sendEvent(message(body, sent, properties)));
      }));
      assert.deepEqual(got, samples.map(({ system, properties, kept, has }) => ({ system: { ...system, ...to(id) }, properties: kept ?? properties, body: has })));
    });
  }

  test('a module sends to an output', bounded, async () => {
    const got = await since('dev1/mod1', () => online('dev1/mod1', transport, (client) => within('sendOutputEvent', client.sendOutputEvent('alert', message('x')))));
    assert.deepEqual(got, [{ system: { 'iothub-outputname': 'alert', ...to('dev1/mod1') }, properties: {}, body: Buffer.from('x') }]);
  });

  test('many at once arrive, in order', bounded, async () => {
    const texts = Array.from({ length: 50 }, (_, n) => String(n));
    const got = await since('dev1', () => online('dev1', transport, (client) => within('sendEvent', Promise.all(texts.map((text) => client.sendEvent(message(text)))))));
    assert.deepEqual(got.map(({ body }) => body.toString()), texts);
  });

  test('a message of 262,144 bytes is taken, and one of 262,145 refused', bounded, async () => {
    const sent = { messageId: 'm-1', contentType: 'application/json', contentEncoding: 'utf-8' };
    const others = 26 + (to('dev1').to ?? '').length; // what stands above, k=v, and what the SDK adds
    const text = (sum) => 'x'.repeat(sum - others);
    const got = await since('dev1', async () => {
      await online('dev1', transport, (client) => within('sendEvent', client.sendEvent(message(text(262_144), sent, { k: 'v' }))));
      await assert.rejects(online('dev1', transport, (client) => within('sendEvent', client.sendEvent(message(text(262_145), sent, { k: 'v' })))), ({ name, message: why }) => !why.includes('not done in') && (name === 'MessageTooLargeError' || transport.name.startsWith('mqtt')));
    });
    assert.equal(got.length, 1);
    assert.equal(got[0].body.length, 262_144 - others);
  });
}

for (const transport of transports) {
  const why = await missing(transport, hub);
  if (why && must.includes(transport.name)) {
    test(`over ${transport.name}`, () => assert.fail(`${why}, and INTEROP_REQUIRE asks for it`));
  } else {
    describe(`over ${transport.name}`, { skip: why || false }, () => cases(transport));
  }
}
