// mosquitto_pub and mosquitto_sub, as Microsoft's pages show them.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { createRequire } from 'node:module';
import { build, execute, meanwhile, scratch, signature, startHub } from './lib.mjs';
import { required } from './transports.mjs';

const service = createRequire(import.meta.url)('azure-iothub');

const tools = required(process.env.INTEROP_REQUIRE).length > 1; // CI asks for all
const there = await execute('mosquitto_pub', ['--help']).then(() => true, () => false);

const folder = scratch();
const hub = await startHub(build(folder, 'hub'), folder);
const registry = hub.lead(service.Registry.fromConnectionString(hub.info.service.connectionString));
const caller = hub.lead(service.Client.fromConnectionString(hub.info.service.connectionString));
after(() => hub.stop());

const bounded = { timeout: 60_000 };
const { bind, hostname, devices, ports, ca } = hub.info;

// The words that lead to the hub; with a certificate there is no password.
function words(id, more = {}) {
  const { version = 'mqttv311', password = devices[id].cert ? undefined : signature(hub, id), user = `${hostname}/${id}/?api-version=2021-04-12` } = more;
  return ['-h', bind, '-p', String(ports.mqtt), '--cafile', ca, '-V', version, '-i', id, '-u', user,
    ...(password ? ['-P', password] : []), ...(devices[id].cert ? ['--cert', devices[id].cert, '--key', devices[id].key] : [])];
}

const publish = (id, topic, text, ...more) => execute('mosquitto_pub', [...words(id), '-q', '1', '-t', topic, '-m', text, ...more]);
const subscribe = (id, topic) => execute('mosquitto_sub', [...words(id), '-t', topic, '-C', '1', '-W', '15', '-v'], { ms: 20_000 });

function cases() {
  for (const id of ['dev1', 'dev1/mod1', 'ca1', 'self1']) {
    const [device, module] = id.split('/');
    const root = `devices/${device}/${module ? `modules/${module}/` : ''}`;

    test(`${id} sends telemetry`, bounded, async () => {
      const { length } = await hub.messages(id);
      const body = Buffer.from('{"t":21.5}');
      for (const more of [[], ['-r']]) {
        const { code, stderr } = await publish(id, `${root}messages/events/`, String(body), ...more);
        assert.equal(code, 0, stderr);
      }
      const bags = [ // and what the hub makes of each
        ['%24.mid=m-1&%24.ct=text%2Fplain%3Bcharset%3Dutf-8&%24.ce=utf-8&alert=true', { 'message-id': 'm-1', 'content-type': 'text/plain;charset=utf-8', 'content-encoding': 'utf-8' }, { alert: 'true' }],
        ['a~b-c_d.e=%21%2A%27%28%29&emoji=%F0%9F%98%80&=empty%20key&eq=a%3Db%26c&pct=100%25&sp=%20', {}, { 'a~b-c_d.e': "!*'()", emoji: '😀', '': 'empty key', eq: 'a=b&c', pct: '100%', sp: ' ' }],
        ['%24.sub=thermostat1&%24.ct=text&%24.ce=utf-8', { 'dt-subject': 'thermostat1', 'content-type': 'text', 'content-encoding': 'utf-8' }, {}],
        ['iothub-creation-time-utc=2026-01-01T00%3A00%3A00Z', { 'iothub-creation-time-utc': '2026-01-01T00:00:00Z' }, {}],
        ['b=&c=1%20x/', {}, { b: '', c: '1 x' }],
        ['$.mid=1&a=b%20c', { 'message-id': '1' }, { a: 'b c' }],
      ];
      for (const [bag] of bags) assert.equal((await publish(id, `${root}messages/events/${bag}`, String(body))).code, 0, bag);
      assert.deepEqual((await hub.messages(id)).slice(length), [
        { system: {}, properties: {}, body }, { system: {}, properties: { 'mqtt-retain': 'true' }, body },
        ...bags.map(([, system, properties]) => ({ system, properties, body })),
      ]);
      assert.equal((await publish(id, `${root}messages/events/`, 'x', '-q', '0')).code, 0);
    });

    test(`${id} reports, and hears what is desired`, bounded, async () => {
      const { code, stderr } = await publish(id, '$iothub/twin/PATCH/properties/reported/?$rid=1', '{"by":"mosquitto"}');
      assert.equal(code, 0, stderr);
      const twin = () => (module ? registry.getModuleTwin(device, module) : registry.getTwin(device)).then((t) => t.responseBody);
      for (const end = Date.now() + 5000; (await twin()).properties.reported.by !== 'mosquitto';) assert.ok(Date.now() < end, 'the hub has not what was reported');
      let n = 0;
      const desire = () => {
        n += 1;
        const patch = { properties: { desired: { n } } };
        return module ? registry.updateModuleTwin(device, module, patch, '*') : registry.updateTwin(device, patch, '*');
      };
      const { stdout } = await meanwhile(subscribe(id, '$iothub/twin/PATCH/properties/desired/#'), desire);
      assert.match(stdout, /^\$iothub\/twin\/PATCH\/properties\/desired\/\?\$version=\d+ \{"n":\d+,"\$version":\d+\}\n$/);
    });

    test(`${id} hears a direct method`, bounded, async () => {
      const target = module ? [device, module] : [device];
      const call = () => caller.invokeDeviceMethod(...target, { methodName: 'reboot', payload: { in: 5 }, responseTimeoutInSeconds: 5, connectTimeoutInSeconds: 0 });
      const { stdout } = await meanwhile(subscribe(id, '$iothub/methods/POST/#'), call);
      assert.match(stdout, /^\$iothub\/methods\/POST\/reboot\/\?\$rid=\S+ \{"in":5\}\n$/);
    });
  }

  test('a message of 262,144 bytes is taken, and one of 262,145 refused', bounded, async () => {
    const { length } = await hub.messages('dev1');
    const send = async (bytes) => {
      const file = path.join(folder, 'body');
      writeFileSync(file, 'x'.repeat(bytes));
      const topic = 'devices/dev1/messages/events/%24.mid=m-1&%24.ct=application%2Fjson&%24.ce=utf-8&k=v'; // 26 bytes count
      return (await execute('mosquitto_pub', [...words('dev1'), '-q', '1', '-t', topic, '-f', file], { ms: 5_000 }).catch(() => ({ code: -1 }))).code;
    };
    assert.equal(await send(262_118), 0);
    assert.notEqual(await send(262_119), 0);
    assert.deepEqual((await hub.messages('dev1')).slice(length).map(({ body }) => body.length), [262_118]);
  });

  test('what a hub refuses is refused', bounded, async () => {
    const topic = 'devices/dev1/messages/events/';
    for (const [what, more] of [
      ['a wrong key', { password: signature(hub, 'other') }],
      ['a token that ended', { password: signature(hub, 'dev1').replace(/se=\d+/, 'se=1') }],
      ['another device in the user name', { user: `${hostname}/other/?api-version=2021-04-12` }],
      ['MQTT 5', { version: 'mqttv5' }],
      ['MQTT 3.1', { version: 'mqttv31' }],
    ]) {
      const { code } = await execute('mosquitto_pub', [...words('dev1', more), '-q', '1', '-t', topic, '-m', 'x']);
      assert.notEqual(code, 0, what);
    }
  });

  test('older forms of the user name are taken', bounded, async () => {
    for (const more of [{ user: `${hostname}/dev1` }, { user: `${hostname}/dev1/api-version=2016-11-14` }]) {
      const { code, stderr } = await execute('mosquitto_pub', [...words('dev1', more), '-q', '1', '-t', 'devices/dev1/messages/events/', '-m', 'x']);
      assert.equal(code, 0, `${JSON.stringify(more)}: ${stderr}`);
    }
  });
}

if (!there && tools) {
  test('mosquitto', () => assert.fail('there is no mosquitto_pub (Debian: mosquitto-clients), and INTEROP_REQUIRE asks for all'));
} else {
  describe('mosquitto_pub and mosquitto_sub', { skip: there ? (ports.mqtt === 8883 ? false : 'the port is not 8883') : 'there is no mosquitto_pub' }, cases);
}
