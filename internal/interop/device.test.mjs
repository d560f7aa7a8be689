// The official device SDK, over each of its transports.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { createRequire } from 'node:module';
import { build, scratch, startHub, told, within } from './lib.mjs';
import { missing, required, transports } from './transports.mjs';

const require = createRequire(import.meta.url);
const { Client, ModuleClient } = require('azure-iot-device');
const service = require('azure-iothub');

const folder = scratch();
const hub = await startHub(build(folder, 'hub'), folder);
const registry = hub.lead(service.Registry.fromConnectionString(hub.info.service.connectionString));
const caller = hub.lead(service.Client.fromConnectionString(hub.info.service.connectionString));
after(() => hub.stop());

const must = required(process.env.INTEROP_REQUIRE);
const bounded = { timeout: 60_000 };

// A device's client, not yet open; with another connection string than its own,
// or with the certificate of another.
async function connectAs(id, { Transport }, { text, proof = id } = {}) {
  const told = hub.info.devices[id];
  const client = (told.moduleId ? ModuleClient : Client).fromConnectionString(text ?? told.connectionString, Transport);
  const options = { ca: hub.ca };
  if (told.auth !== 'sas') {
    options.cert = readFileSync(hub.info.devices[proof].cert, 'utf8');
    options.key = readFileSync(hub.info.devices[proof].key, 'utf8');
  }
  await client.setOptions(options);
  client.on('error', () => {}); // it tells of lost lines; the cases see what follows
  return client;
}

// Runs a case with an open client and its twin, and closes it in any case.
async function online(id, transport, use) {
  const client = await connectAs(id, transport);
  try {
    await within('open', client.open());
    await use(await within('getTwin', client.getTwin()), client);
  } finally {
    await within('close', client.close()).catch(() => {});
  }
}

function report(twin, patch) {
  return within('reported.update', new Promise((resolve, reject) => {
    twin.properties.reported.update(patch, (err) => (err ? reject(err) : resolve()));
  }));
}

async function serviceTwin(id) {
  const { deviceId, moduleId } = hub.info.devices[id];
  const got = await (moduleId ? registry.getModuleTwin(deviceId, moduleId) : registry.getTwin(deviceId));
  return got.responseBody;
}

async function desire(id, desired) {
  const { deviceId, moduleId } = hub.info.devices[id];
  const patch = { properties: { desired } };
  await (moduleId ? registry.updateModuleTwin(deviceId, moduleId, patch, '*') : registry.updateTwin(deviceId, patch, '*'));
}

// Calls a direct method, and returns what the device answered.
async function invoke(id, call) {
  const { deviceId, moduleId } = hub.info.devices[id];
  const target = moduleId ? [deviceId, moduleId] : [deviceId];
  const options = { responseTimeoutInSeconds: 10, ...call };
  return (await within('invokeDeviceMethod', caller.invokeDeviceMethod(...target, options))).result;
}

const noVersion = ({ $version, $metadata, ...rest }) => rest;

function cases(transport) {
  const { lacks = {} } = transport;
  for (const id of ['dev1', 'dev1/mod1', 'ca1', 'self1']) {
    test(`${id} (${hub.info.devices[id].auth}) gets its twin and reports`, bounded, async () => {
      const value = { n: 7, text: 'ä', list: [1, { a: false }], deep: { er: true } };
      await desire(id, { start: transport.name });
      await online(id, transport, async (twin) => {
        assert.equal(twin.properties.desired.start, transport.name);
        await report(twin, { first: value, gone: 1 });
        await report(twin, { gone: null });
        const { first, gone } = (await serviceTwin(id)).properties.reported;
        assert.deepEqual({ first, gone }, { first: value, gone: undefined });
        await report(twin, { first: null });
      });
    });
  }

  test('a wrong key is refused', bounded, async () => {
    const text = hub.info.devices.dev1.connectionString.replace(/SharedAccessKey=.*/, `SharedAccessKey=${Buffer.from('wrong key').toString('base64')}`);
    const client = await connectAs('dev1', transport, { text });
    await assert.rejects(within('open', client.open()), { name: 'UnauthorizedError' });
    await within('close', client.close()).catch(() => {});
  });

  test("another device's certificate is refused", { ...bounded, skip: lacks.refusal ?? false }, async () => {
    for (const [id, proof] of [['ca1', 'self1'], ['self1', 'ca1']]) {
      const client = await connectAs(id, transport, { proof });
      await assert.rejects(within('open', client.open()), { name: 'UnauthorizedError' });
      await within('close', client.close()).catch(() => {});
    }
  });

  test('desired changes are told on the whole, on a group and on a leaf', bounded, async () => {
    await desire('dev1', { fan: { rpm: 0, mode: 'auto' } });
    await online('dev1', transport, async (twin) => {
      const events = Promise.all([
        told(twin, 'properties.desired', (d) => d.fan?.rpm === 1200),
        told(twin, 'properties.desired.fan', (d) => d.rpm === 1200),
        told(twin, 'properties.desired.fan.rpm', (d) => d === 1200),
      ]);
      await report(twin, { ready: true }); // answered after the subscription
      const before = twin.properties.desired.$version;
      await desire('dev1', { fan: { rpm: 1200 } });
      const [whole] = await events;
      assert.deepEqual(noVersion(whole), { fan: { rpm: 1200 } });
      assert.equal(whole.$version, before + 1);
        assert.deepEqual(twin.properties.desired.fan, { rpm: 1200, mode: 'auto' });
    });
  });

  test('null deletes a desired property', bounded, async () => {
    await desire('dev1', { fan: { rpm: 1, mode: 'auto' } });
    await online('dev1', transport, async (twin) => {
      const event = told(twin, 'properties.desired', (d) => d.fan?.mode === null);
      await report(twin, { ready: true });
      await desire('dev1', { fan: { mode: null } });
      await event;
      assert.deepEqual(twin.properties.desired.fan, { rpm: 1 });
      const again = await serviceTwin('dev1');
      assert.deepEqual(noVersion(again.properties.desired.fan), { rpm: 1 });
    });
  });

  test('it connects again after a cut, and hears what is desired', bounded, async () => {
    await online('dev1', transport, async (twin) => {
      const event = told(twin, 'properties.desired', (d) => d.afterCut === transport.name);
      await report(twin, { ready: true });
      await hub.command('cut dev1');
      await report(twin, { cut: transport.name });
      assert.equal((await serviceTwin('dev1')).properties.reported.cut, transport.name);
      // It subscribes again at a time of its own: some changes may come too early.
      const timer = setInterval(() => desire('dev1', { afterCut: transport.name }).catch(() => {}), 500);
      await event.finally(() => clearInterval(timer));
    });
    await desire('dev1', { afterCut: null });
  });

  for (const id of ['dev1', 'dev1/mod1', 'ca1']) {
    test(`direct methods of ${id} are called and answered`, bounded, async () => {
      await online(id, transport, async (twin, client) => {
        const sent = [];
        const listen = hub.info.devices[id].moduleId ? 'onMethod' : 'onDeviceMethod';
        client[listen]('reboot', (request, response) => {
          sent.push(new Promise((resolve, reject) => {
            response.send(299, { heard: request.payload ?? 'nothing' }, (err) => (err ? reject(err) : resolve()));
          }));
        });
        await report(twin, { ready: true });
        for (const payload of [{ in: 5 }, null, [1, 'ä'], 0, undefined]) {
          const { status, payload: answer } = await invoke(id, { methodName: 'reboot', payload, connectTimeoutInSeconds: 10 });
          assert.deepEqual({ status, answer }, { status: 299, answer: { heard: payload ?? 'nothing' } });
        }
        await within('the answers', Promise.all(sent)); // the hub has accepted them
      });
    });
  }

  test('a method that nobody listens to is not called', bounded, async () => {
    const call = { methodName: 'reboot', payload: null };
    await online('self1', transport, () => assert.rejects(invoke('self1', call), (err) => err.response?.statusCode === 404));
  });

  test('a method is called again after a cut', bounded, async () => {
    await online('dev1', transport, async (twin, client) => {
      client.onDeviceMethod('reboot', (request, response) => response.send(200, request.payload, () => {}));
      await report(twin, { ready: true });
      await invoke('dev1', { methodName: 'reboot', payload: 1, connectTimeoutInSeconds: 10 });
      await hub.command('cut dev1');
      const { payload } = await invoke('dev1', { methodName: 'reboot', payload: 2, connectTimeoutInSeconds: 10 });
      assert.equal(payload, 2);
    });
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
