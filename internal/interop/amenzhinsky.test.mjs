// The Go library amenzhinsky/iothub: its cases are Go tests, in a module of their
// own; the hub that they need is started here.
import assert from 'node:assert/strict';
import path from 'node:path';
import { after, test } from 'node:test';
import { build, execute, scratch, startHub } from './lib.mjs';
import { missing, required, transports } from './transports.mjs';

const folder = scratch();
const hub = await startHub(build(folder, 'hub'), folder);
after(() => hub.stop());

const must = required(process.env.INTEROP_REQUIRE).includes('mqtt-ws');
const why = await missing(transports.find(({ name }) => name === 'mqtt-ws'), hub); // it needs every standard port

test('amenzhinsky/iothub, device and service', { timeout: 180_000, skip: (!must && why) || false }, async () => {
  assert.equal(why, '');
  const { code, stdout, stderr } = await execute('go', ['test', '-count=1', './...'], {
    cwd: path.join(import.meta.dirname, 'amenzhinsky'), env: { INTEROP_INFO: hub.file }, ms: 170_000,
  });
  assert.equal(code, 0, stdout + stderr);
});
