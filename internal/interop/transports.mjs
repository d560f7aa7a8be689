// The ways in which the official device SDK reaches a hub: a new one is a row.
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const mqtt = require('azure-iot-device-mqtt');
const amqp = require('azure-iot-device-amqp');

// Why a case cannot be over AMQP.
const amqpLacks = {
  refusal: 'a certificate is judged at the first link, and on a refused one the SDK stalls for 45 s',
};

// name: as INTEROP_REQUIRE has it. port: the one that the -info file must have,
// and standard: its number, for the SDK can reach no other. protocol: of the
// WebSocket, if it is one. lacks: cases that cannot be, with the reason.
export const transports = [
  { name: 'mqtt', Transport: mqtt.Mqtt, port: 'mqtt', standard: 8883 },
  { name: 'mqtt-ws', Transport: mqtt.MqttWs, port: 'https', standard: 443, protocol: 'mqtt' },
  { name: 'amqp', Transport: amqp.Amqp, port: 'amqp', standard: 5671, lacks: amqpLacks },
  { name: 'amqp-ws', Transport: amqp.AmqpWs, port: 'https', standard: 443, protocol: 'AMQPWSB10', lacks: amqpLacks },
];

/** Which transports must be there: the others are skipped where they are not. */
export function required(env) {
  const names = (env ?? 'mqtt').split(',').map((n) => n.trim()).filter(Boolean);
  for (const n of names) {
    if (!transports.some((t) => t.name === n)) {
      throw new Error(`INTEROP_REQUIRE names ${n}; known are ${transports.map((t) => t.name).join(', ')}`);
    }
  }
  return names;
}

/** Why a hub cannot be reached by a transport; empty when it can. */
export async function missing(transport, hub) {
  const port = hub.info.ports[transport.port];
  if (port === undefined) return `the hub has no port for ${transport.port}`;
  if (port !== transport.standard) return `the hub listens on ${port}, and the SDK knows only ${transport.standard} (root may take it)`;
  if (transport.protocol && !(await hub.upgrades(transport.protocol))) return `the hub speaks no WebSocket with ${transport.protocol}`;
  return '';
}
