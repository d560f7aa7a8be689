// What the cases share: a hub of their own, and waits that end.
import { spawn, execFileSync } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdtempSync, readFileSync, existsSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import https from 'node:https';

const root = path.resolve(import.meta.dirname, '../..');

/** Settles as the promise does, or fails after ms, by name. */
export function within(what, promise, ms = 20_000) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not done in ${ms / 1000} s`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The first value with which an emitter tells of an event and which fits. */
export function told(emitter, event, fits) {
  let listener;
  const told = new Promise((resolve) => {
    listener = (value) => fits(value) && resolve(value);
    emitter.on(event, listener);
  });
  return within(`event ${event}`, told).finally(() => emitter.removeListener(event, listener));
}

/** Builds a program of the repository, and returns its path. */
export function build(folder, name) {
  const out = path.join(folder, name);
  execFileSync('go', ['build', '-buildvcs=false', '-o', out, `./examples/${name}`], { cwd: root, stdio: 'inherit' });
  return out;
}

/** A new folder, which goes with the process. */
export function scratch() {
  const folder = mkdtempSync(path.join(tmpdir(), 'interop-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

// Runs the hub once; undefined when a port is not to be had.
async function launch(program, folder, bind, httpsPort) {
  const info = path.join(folder, 'info.json');
  const control = path.join(folder, 'sock');
  const log = [];
  const child = spawn(program, [
    '-bind', bind, '-https', String(httpsPort), '-events', `${bind}:0`, '-info', info, '-control', control, '-dir', path.join(folder, 'made'),
    '-device', 'dev1', '-device', 'dev1/mod1', '-x509-device', 'ca1', '-thumbprint-device', 'self1', '-device', 'other',
  ], { stdio: ['ignore', 'ignore', 'pipe'] });
  child.stderr.on('data', (text) => log.push(text));
  const ended = new Promise((resolve) => child.once('exit', resolve));
  for (const end = Date.now() + 15_000; !existsSync(info);) {
    if (child.exitCode !== null || Date.now() > end) {
      child.kill();
      await ended;
      return { failure: Buffer.concat(log).toString() };
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { hub: new Hub(info, control, child, ended, log) };
}

/**
 * Starts a hub on the standard ports of a loopback address of its own, so that
 * several suites can run at once. Where port 443 is not to be had (no root), HTTPS
 * takes another: the service SDK is led there, WebSocket cannot be.
 */
export async function startHub(program, folder) {
  let failure = '';
  for (const port of [443, 0]) {
    for (let i = 0; i < 5; i++) {
      const address = `127.1.2.${1 + ((process.pid + i * 41) % 254)}`;
      const got = await launch(program, folder, address, port);
      if (got.hub) return got.hub;
      failure = got.failure;
    }
  }
  throw new Error(`the hub did not start:\n${failure}`);
}

class Hub {
  constructor(file, control, child, ended, log) {
    const info = JSON.parse(readFileSync(file, 'utf8'));
    Object.assign(this, { file, info, control, child, ended, log });
    process.once('exit', () => child.kill('SIGKILL')); // whatever happens, it does not stay
    this.ca = readFileSync(info.ca, 'utf8');
  }

  /** Plays a trick on a device's line: "cut dev1", "down dev1", "up dev1". */
  command(line) {
    return within(line, new Promise((resolve, reject) => {
      const socket = connect(this.control, () => socket.end(`${line}\n`));
      let reply = '';
      socket.on('data', (text) => { reply += text; });
      socket.on('error', reject);
      socket.on('close', () => (reply === 'ok\n' ? resolve() : reject(new Error(`${line}: ${reply}`))));
    }));
  }

  /**
   * The messages of a device or module that the hub has: properties, those of the
   * system that the sender set, and the body as a Buffer, or as JSON where the
   * message says that it is.
   */
  async messages(id) {
    const answer = await within('messages', fetch(`${this.info.events}/devices/${id.replace('/', '/modules/')}/messages/events?follow=0`));
    if (!answer.ok) throw new Error(`messages of ${id}: ${answer.status}`);
    const lines = (await answer.text()).split('\n').filter(Boolean).map((line) => JSON.parse(line));
    return lines.map(({ SystemProperties: all, Properties: properties, Body: body }) => {
      const system = Object.fromEntries(Object.entries(all).filter(([name]) => !/^iothub-(enqueuedtime|connection-)/.test(name)));
      return { system, properties, body: typeof body === 'string' ? Buffer.from(body, 'base64') : body };
    });
  }

  /** Leads a client of the service SDK to this hub's port and CA. */
  lead(client) {
    client._restApiClient._http.setOptions({ http: { agent: this.agent ??= new https.Agent({
      host: this.info.bind, port: this.info.ports.https, ca: this.ca, keepAlive: true,
    }) } });
    return client;
  }

  /** Whether it speaks this protocol over WebSocket. */
  upgrades(protocol) {
    return within(`WebSocket with ${protocol}`, new Promise((resolve) => {
      const request = https.get({
        host: this.info.bind, port: this.info.ports.https, ca: this.ca, path: '/$iothub/websocket',
        headers: {
          Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13',
          'Sec-WebSocket-Key': Buffer.alloc(16).toString('base64'), 'Sec-WebSocket-Protocol': protocol,
        },
      });
      request.on('upgrade', (answer, socket) => {
        socket.destroy();
        resolve(answer.headers['sec-websocket-protocol'] === protocol);
      });
      request.on('response', (answer) => {
        answer.resume();
        resolve(false);
      });
      request.on('error', () => resolve(false));
    }));
  }

  /** Ends the hub; fails when it did not end cleanly. */
  async stop() {
    this.agent?.destroy();
    this.child.kill('SIGTERM');
    const code = await within('the end of the hub', this.ended).catch((err) => {
      this.child.kill('SIGKILL');
      throw err;
    });
    if (code !== 0) throw new Error(`the hub ended with ${code}`);
  }
}

/** A shared access signature for a device of the hub, good for an hour. */
export function signature(hub, id) {
  const { deviceId, moduleId, primaryKey } = hub.info.devices[id];
  const resource = encodeURIComponent(`${hub.info.hostname}/devices/${deviceId}${moduleId ? `/modules/${moduleId}` : ''}`);
  const end = Math.floor(Date.now() / 1000) + 3600;
  const sig = createHmac('sha256', Buffer.from(primaryKey, 'base64')).update(`${resource}\n${end}`).digest('base64');
  return `SharedAccessSignature sr=${resource}&sig=${encodeURIComponent(sig)}&se=${end}`;
}

/** Runs a program to its end, within ms, and returns its exit status and what it printed. */
export async function execute(program, args, { env = {}, cwd, ms = 20_000 } = {}) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env }, cwd });
  const kill = () => child.kill('SIGKILL'); // whatever happens, it does not stay
  process.once('exit', kill);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (text) => { stdout += text; });
  child.stderr.on('data', (text) => { stderr += text; });
  const code = await within(program, new Promise((resolve, reject) => {
    child.once('close', resolve);
    child.once('error', reject);
  }), ms).finally(() => { kill(); process.removeListener('exit', kill); });
  return { code, stdout, stderr };
}

/** Does something again and again until a promise settles, and returns what it settles as. */
export function meanwhile(promise, act, pause = 300) {
  const timer = setInterval(() => act().catch(() => {}), pause);
  return promise.finally(() => clearInterval(timer));
}
