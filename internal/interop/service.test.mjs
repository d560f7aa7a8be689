// The official service SDK; and crosswise, our device with their back end.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { after, describe, test } from 'node:test';
import { createRequire } from 'node:module';
import { build, scratch, startHub, within } from './lib.mjs';

const require = createRequire(import.meta.url);
const service = require('azure-iothub');

const folder = scratch();
const twinProgram = build(folder, 'twin');
const hub = await startHub(build(folder, 'hub'), folder);
const registry = hub.lead(service.Registry.fromConnectionString(hub.info.service.connectionString));
const caller = hub.lead(service.Client.fromConnectionString(hub.info.service.connectionString));
after(() => hub.stop());

const bounded = { timeout: 60_000 };
const get = async (id) => (await registry.getTwin(id)).responseBody;

// Replaces a twin: the SDK has the call, but no method of that name.
function replace(id, etag, body) {
  return new Promise((resolve, reject) => {
    const headers = { 'Content-Type': 'application/json; charset=utf-8', 'If-Match': `"${etag}"` };
    registry._restApiClient.executeApiCall('PUT', `/twins/${id}?api-version=2021-04-12`, headers, body,
      (err, twin) => (err ? reject(err) : resolve(twin)));
  });
}

describe('the service SDK', () => {
  test('gets a twin', bounded, async () => {
    const twin = await get('other');
    assert.equal(twin.deviceId, 'other');
    assert.ok(twin.etag);
    assert.equal(typeof twin.properties.desired.$version, 'number');
    assert.deepEqual(twin.tags ?? {}, {});
  });

  test('is told that there is no such device', bounded, async () => {
    await assert.rejects(registry.getTwin('nobody'), { name: 'DeviceNotFoundError' });
  });

  test('is refused with a wrong key', bounded, async () => {
    const text = hub.info.service.connectionString.replace(/SharedAccessKey=.*/, `SharedAccessKey=${Buffer.from('wrong').toString('base64')}`);
    await assert.rejects(hub.lead(service.Registry.fromConnectionString(text)).getTwin('other'), { name: 'UnauthorizedError' });
  });

  test('updates with any ETag, with the right one, and not with an old one', bounded, async () => {
    const first = await get('other');
    await registry.updateTwin('other', { tags: { floor: 1 } }, '*');
    await assert.rejects(registry.updateTwin('other', { tags: { floor: 2 } }, first.etag), { name: 'InvalidEtagError' });
    const second = await get('other');
    assert.deepEqual(second.tags, { floor: 1 });
    await registry.updateTwin('other', { tags: { floor: 3 } }, second.etag);
    const third = await get('other');
    await third.update({ properties: { desired: { on: true } } });
    const last = await get('other');
    assert.deepEqual(last.tags, { floor: 3 });
    assert.equal(last.properties.desired.on, true);
    assert.equal(last.etag, third.etag);
  });

  test('deletes with null', bounded, async () => {
    await registry.updateTwin('other', { tags: { a: { b: 1, c: 2 } } }, '*');
    await registry.updateTwin('other', { tags: { a: { b: null } } }, '*');
    assert.deepEqual((await get('other')).tags.a, { c: 2 });
  });

  test('replaces a twin, and not by an old ETag', bounded, async () => {
    const old = (await get('other')).etag;
    await registry.updateTwin('other', { tags: { gone: 1 }, properties: { desired: { gone: 1 } } }, '*');
    const body = { tags: { fresh: 1 }, properties: { desired: { fresh: 2 } } };
    await assert.rejects(replace('other', old, body), { name: 'InvalidEtagError' });
    await replace('other', (await get('other')).etag, body);
    const { tags, properties } = await get('other');
    const { $version, $metadata, ...desired } = properties.desired;
    assert.deepEqual({ tags, desired }, { tags: { fresh: 1 }, desired: { fresh: 2 } });
  });

  test('queries page by page', bounded, async () => {
    const ids = [];
    let pages = 0;
    const query = registry.createQuery('SELECT * FROM devices', 2);
    while (query.hasMoreResults) {
      assert.ok(++pages <= 10, 'the pages do not end');
      const { result } = await query.nextAsTwin();
      assert.ok(result.length <= 2, `got ${result.length} twins on a page of 2`);
      ids.push(...result.map((t) => t.deviceId));
    }
    assert.deepEqual(ids.sort(), ['ca1', 'dev1', 'other', 'self1']);
    assert.ok(pages >= 2);
  });

  test('queries by a condition', bounded, async () => {
    await registry.updateTwin('other', { tags: { site: "O'Hare", floor: 7 } }, '*');
    const { result } = await registry.createQuery("SELECT * FROM devices WHERE tags.site = 'O\\'Hare' AND tags.floor > 6").nextAsTwin();
    assert.deepEqual(result.map((t) => t.deviceId), ['other']);
  });

  test("reads and writes a module's twin", bounded, async () => {
    const before = (await registry.getModuleTwin('dev1', 'mod1')).responseBody;
    await registry.updateModuleTwin('dev1', 'mod1', { properties: { desired: { a: 1 } } }, before.etag);
    await assert.rejects(registry.updateModuleTwin('dev1', 'mod1', { properties: { desired: { a: 2 } } }, before.etag), { name: 'InvalidEtagError' });
    const now = (await registry.getModuleTwin('dev1', 'mod1')).responseBody;
    assert.equal(now.properties.desired.a, 1);
    assert.equal((await get('dev1')).properties.desired.a, undefined);
  });

  test('creates, changes and deletes devices and modules', bounded, async () => {
    const { responseBody: made } = await registry.create({ deviceId: 'new1' });
    assert.ok(made.authentication.symmetricKey.primaryKey);
    await registry.addModule({ deviceId: 'new1', moduleId: 'm' });
    assert.equal((await registry.getModule('new1', 'm')).responseBody.moduleId, 'm');
    await registry.update({ deviceId: 'new1', status: 'disabled' });
    assert.equal((await registry.get('new1')).responseBody.status, 'disabled');
    await registry.delete('new1');
    await assert.rejects(registry.get('new1'), { name: 'DeviceNotFoundError' });
  });

  test('is told when a device that is called is not online', bounded, async () => {
    const call = { methodName: 'reboot', payload: null, responseTimeoutInSeconds: 5 };
    await assert.rejects(caller.invokeDeviceMethod('other', call), (err) => err.response?.statusCode === 404);
  });
});

// One run of our command-line device, examples/twin.
function run(...words) {
  const child = spawn(twinProgram, ['-ca', hub.info.ca, ...words], {
    env: { ...process.env, IOTHUB_DEVICE_CONNECTION_STRING: hub.info.devices.dev1.connectionString },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  process.once('exit', () => child.kill('SIGKILL'));
  return child;
}

describe('our device and their back end', () => {
  // Unless told otherwise the SDK goes to 8883, and so does our program.
  test('what it reports, the service SDK reads', bounded, async () => {
    const child = run('report', '{"temperature":21.50,"deep":{"er":[1,"ä"]}}');
    const [code] = await within('report', new Promise((resolve) => child.once('exit', (...all) => resolve(all))));
    assert.equal(code, 0);
    const { $version, $metadata, ...reported } = (await get('dev1')).properties.reported;
    assert.deepEqual(reported, { temperature: 21.5, deep: { er: [1, 'ä'] } });
  });

  test('what the service SDK desires, it hears, also after a cut', bounded, async () => {
    await registry.updateTwin('dev1', { properties: { desired: { fan: { rpm: 800 } } } }, '*');
    const child = run('watch', 'fan.rpm');
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const line = async () => JSON.parse((await within('a line of watch', lines.next())).value);
    try {
      assert.equal((await line()).value, 800);
      await registry.updateTwin('dev1', { properties: { desired: { fan: { rpm: 1200 } } } }, '*');
      assert.deepEqual(await line().then(({ value, cause }) => ({ value, cause })), { value: 1200, cause: 'patch' });
      await hub.command('down dev1');
      await registry.updateTwin('dev1', { properties: { desired: { fan: { rpm: null } } } }, '*');
      await hub.command('up dev1');
      assert.deepEqual(await line().then(({ value, cause }) => ({ value, cause })), { value: null, cause: 'reconnect' });
    } finally {
      child.kill('SIGTERM');
    }
    const code = await within('the end of watch', new Promise((resolve) => child.once('exit', resolve)));
    assert.equal(code, 0);
  });
});
