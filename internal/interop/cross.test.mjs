// Crosswise: the official device SDK, over each of its transports, with our back
// end, examples/backend over twin/registry.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { createRequire } from 'node:module';
import { build, execute, scratch, startHub, told, within } from './lib.mjs';
import { missing, required, transports } from './transports.mjs';

const { Client } = createRequire(import.meta.url)('azure-iot-device');

const folder = scratch();
const program = build(folder, 'backend');
const hub = await startHub(build(folder, 'hub'), folder);
after(() => hub.stop());

const must = required(process.env.INTEROP_REQUIRE);
const bounded = { timeout: 60_000 };

const plant = "SELECT * FROM devices WHERE tags.location.plant = 'Redmond43'";
const cellular = `${plant} AND properties.reported.connectivity.type = 'cellular'`;

// Runs our back end to its end, and returns what it printed, or fails with what
// went wrong.
async function backend(...words) {
  const { code, stdout, stderr } = await execute(program, ['-info', hub.file, '-device', 'dev1', ...words], { ms: 40_000 });
  assert.equal(code, 0, stderr);
  return stdout;
}

// Runs a case with their device online, and closes it in any case.
async function online({ Transport }, use) {
  const client = Client.fromConnectionString(hub.info.devices.dev1.connectionString, Transport);
  await client.setOptions({ ca: hub.ca });
  client.on('error', () => {}); // it tells of lost lines; the cases see what follows
  try {
    await within('open', client.open());
    await use(await within('getTwin', client.getTwin()), client);
  } finally {
    await within('close', client.close()).catch(() => {});
  }
}

// Calls until the device listens: over AMQP their SDK attaches the links of
// methods beside those of the twin, and says nothing when the hub has them.
async function listening(call) {
  for (let tries = 0; ; tries++) {
    try {
      return await call();
    } catch (err) {
      if (tries === 20 || !err.message.includes('404103')) throw err;
      await new Promise((resolve) => { setTimeout(resolve, 250); });
    }
  }
}

function report(twin, patch) {
  return within('reported.update', new Promise((resolve, reject) => {
    twin.properties.reported.update(patch, (err) => (err ? reject(err) : resolve()));
  }));
}

function cases(transport, n) {
  test('what our back end desires, their device hears; what it reports, our query finds', bounded, async () => {
    const warmest = String(30 + n); // none that was heard before
    await online(transport, async (twin) => {
      const heard = told(twin, 'properties.desired.climate', (c) => c.maxTemperature === 30 + n)
        .then((climate) => report(twin, { connectivity: { type: 'cellular' } }).then(() => climate));
      await report(twin, { connectivity: null }); // answered after the subscription
      const [climate, said] = await Promise.all([heard, backend('-max', warmest, '-min', '17.50', '-wait', '20s')]);
      assert.deepEqual(climate, { minTemperature: 17.5, maxTemperature: 30 + n, hvac: { systemControl: { fanOn: true } } });
      assert.match(said, /\nIt answered after .*: version \d+ of what is reported\.\n/);
      assert.match(said, /\n {2}reported {2}.*"connectivity":\{"type":"cellular"\}/);
      for (const query of [plant, cellular]) {
        assert.ok(said.includes(`\n${query}\n  page 1: dev1\n  1 in all\n`), `${query} does not find dev1:\n${said}`);
      }
    });
  });

  test('no query of ours finds what their device has removed', bounded, async () => {
    await online(transport, (twin) => report(twin, { connectivity: null }));
    const said = await backend('-wait', '0');
    assert.ok(said.endsWith(`\n${cellular}\n  0 in all\n`), said);
  });

  test('a direct method that our back end calls is answered by their device', { ...bounded, skip: transport.lacks?.methods ?? false }, async () => {
    await online(transport, async (twin, client) => {
      client.onDeviceMethod('reboot', (request, response) => response.send(299, { heard: request.payload }, () => {}));
      await report(twin, { ready: true }); // answered after the subscription
      const said = await listening(() => backend('-wait', '0', '-method', 'reboot', '-payload', '{"in":5}'));
      assert.ok(said.endsWith('\nThe method reboot of dev1 answered 299:\n  {"heard":{"in":5}}\n'), said);
    });
  });
}

for (const [n, transport] of transports.entries()) {
  const why = await missing(transport, hub);
  const name = `their device over ${transport.name}, and our back end`;
  if (why && must.includes(transport.name)) {
    test(name, () => assert.fail(`${why}, and INTEROP_REQUIRE asks for it`));
  } else {
    describe(name, { skip: why || false }, () => cases(transport, n));
  }
}
