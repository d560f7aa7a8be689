// mqtt.js, which knows nothing of a hub: every byte of a topic is this file's.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { createRequire } from 'node:module';
import mqtt from 'mqtt';
import { build, meanwhile, scratch, signature, startHub, within } from './lib.mjs';
import { missing, required, transports } from './transports.mjs';

const service = createRequire(import.meta.url)('azure-iothub');

const folder = scratch();
const hub = await startHub(build(folder, 'hub'), folder);
const registry = hub.lead(service.Registry.fromConnectionString(hub.info.service.connectionString));
const caller = hub.lead(service.Client.fromConnectionString(hub.info.service.connectionString));
after(() => hub.stop());

const must = required(process.env.INTEROP_REQUIRE);
const bounded = { timeout: 60_000 };
const devices = ['dev1', 'dev1/mod1', 'ca1', 'self1'];

// A client that connects once.
function open(transport, id, password) {
  const told = hub.info.devices[id];
  const url = transport.protocol ? `wss://${hub.info.bind}:${hub.info.ports.https}/$iothub/websocket` : `mqtts://${hub.info.bind}:${hub.info.ports.mqtt}`;
  const proof = told.cert
    ? { cert: readFileSync(told.cert), key: readFileSync(told.key) }
    : { password: password ?? signature(hub, id) };
  return mqtt.connect(url, {
    clientId: id, username: `${hub.info.hostname}/${id}/?api-version=2021-04-12`, protocolVersion: 4, clean: false,
    reconnectPeriod: 0, ca: hub.ca, ...proof, wsOptions: { ca: hub.ca, ...proof },
  });
}

// Runs a case with a client that has subscribed to all that a twin and methods
// need, and closes it in any case.
async function online(transport, id, use) {
  const client = open(transport, id);
  const heard = []; // not yet waited for
  let wake = () => {};
  client.on('message', (topic, payload) => { heard.push({ topic, text: payload.toString() }); wake(); });
  client.on('error', () => {});
  // The first message whose topic begins so.
  const message = (start) => within(start, (async () => {
    for (;;) {
      const i = heard.findIndex(({ topic }) => topic.startsWith(start));
      if (i >= 0) return heard.splice(i, 1)[0];
      await new Promise((resolve) => { wake = resolve; });
    }
  })());
  try {
    await within('connect', new Promise((resolve, reject) => { client.once('connect', resolve); client.once('error', reject); client.once('close', () => reject(new Error('closed'))); }));
    await within('subscribe', client.subscribeAsync(['$iothub/twin/res/#', '$iothub/twin/PATCH/properties/desired/#', '$iothub/methods/POST/#'], { qos: 0 }));
    await use(client, message);
  } finally {
    await within('end', client.endAsync(true)).catch(() => {});
  }
}

const desire = (id, desired) => {
  const [device, module] = id.split('/');
  const patch = { properties: { desired } };
  return module ? registry.updateModuleTwin(device, module, patch, '*') : registry.updateTwin(device, patch, '*');
};

function cases(transport) {
  for (const id of devices) {
    test(`${id} gets its twin, reports and hears what is desired`, bounded, async () => {
      await desire(id, { start: transport.name });
      await online(transport, id, async (client, message) => {
        await client.publishAsync('$iothub/twin/GET/?$rid=1', '');
        const twin = await message('$iothub/twin/res/200/?$rid=1');
        assert.equal(JSON.parse(twin.text).desired.start, transport.name);
        await client.publishAsync('$iothub/twin/PATCH/properties/reported/?$rid=2', JSON.stringify({ by: transport.name }), { qos: 1 });
        const answer = await message('$iothub/twin/res/204/?$rid=2');
        assert.match(answer.topic, /&\$version=\d+$/);
        await client.publishAsync('$iothub/twin/PATCH/properties/reported/?$rid=3', '{"$bad":1}');
        await message('$iothub/twin/res/400/?$rid=3');
        await desire(id, { heard: transport.name });
        const change = await message('$iothub/twin/PATCH/properties/desired/?$version=');
        assert.equal(JSON.parse(change.text).heard, transport.name);
        assert.equal(change.topic, `$iothub/twin/PATCH/properties/desired/?$version=${JSON.parse(change.text).$version}`);
        await desire(id, { heard: null });
      });
    });

    test(`${id} answers a direct method, and sends telemetry`, bounded, async () => {
      await online(transport, id, async (client, message) => {
        const called = caller.invokeDeviceMethod(...id.split('/'), { methodName: 'reboot', payload: { in: 5 }, responseTimeoutInSeconds: 10, connectTimeoutInSeconds: 10 });
        const request = await message('$iothub/methods/POST/reboot/?$rid=');
        assert.deepEqual(JSON.parse(request.text), { in: 5 });
        await client.publishAsync(`$iothub/methods/res/299/?$rid=${request.topic.split('$rid=')[1]}`, '{"heard":true}');
        const { status, payload } = (await within('invokeDeviceMethod', called)).result;
        assert.deepEqual({ status, payload }, { status: 299, payload: { heard: true } });
        const [device, module] = id.split('/');
        const events = `devices/${device}/${module ? `modules/${module}/` : ''}messages/events/`;
        const { length } = await hub.messages(id);
        for (const qos of [0, 1]) await within('publish', client.publishAsync(`${events}$.ct=application%2Fjson&a=b%20c`, '{"t":21.5}', { qos }));
        await client.publishAsync('$iothub/twin/GET/?$rid=9', ''); // it is still there
        await message('$iothub/twin/res/200/?$rid=9');
        assert.deepEqual((await hub.messages(id)).slice(length), Array(2).fill({ system: { 'content-type': 'application/json' }, properties: { a: 'b c' }, body: Buffer.from('{"t":21.5}') }));
      });
    });
  }

  test('a wrong key is refused with 5, and a foreign topic ends the connection', bounded, async () => {
    const client = open(transport, 'dev1', signature(hub, 'other'));
    const err = await within('refusal', new Promise((resolve) => { client.once('error', resolve); }));
    client.end(true);
    assert.equal(err.code, 5);
    await online(transport, 'dev1', async (other) => {
      const closed = within('close', new Promise((resolve) => { other.once('close', resolve); }));
      other.publish('devices/other/messages/events/', 'x');
      await closed;
    });
  });

  test('it hears what is desired after a cut and another start', bounded, async () => {
    await online(transport, 'dev1', async (client) => {
      const closed = within('close', new Promise((resolve) => { client.once('close', resolve); }));
      await hub.command('cut dev1');
      await closed;
    });
    await online(transport, 'dev1', async (client, message) => {
      const change = await meanwhile(message('$iothub/twin/PATCH/properties/desired/?$version='), () => desire('dev1', { afterCut: transport.name }));
      assert.equal(JSON.parse(change.text).afterCut, transport.name);
    });
    await desire('dev1', { afterCut: null });
  });
}

for (const transport of transports.filter(({ name }) => name.startsWith('mqtt'))) {
  const why = await missing(transport, hub);
  const name = `mqtt.js over ${transport.name}`;
  if (why && must.includes(transport.name)) {
    test(name, () => assert.fail(`${why}, and INTEROP_REQUIRE asks for it`));
  } else {
    describe(name, { skip: why || false }, () => cases(transport));
  }
}
