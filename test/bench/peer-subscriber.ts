/**
 * Peer of `path.ts`: the least that a subscriber in this language can do. mqtt.js as it comes, JSON parsed, readings counted. A
 * process of its own; answers every IPC message with its counts.
 */
import mqtt from 'mqtt';

let taken = 0;
const client = mqtt.connect(process.argv[2] ?? '');
client.on('message', (_topic, payload) => {
  const { value } = JSON.parse(payload.toString()) as { value: number };
  if (Number.isFinite(value)) taken++;
});
const qos = process.argv[4] === '1' ? 1 : 0;
client.subscribe(process.argv[3] ?? 'load/+', { qos }, () => process.send?.('ready'));
process.on('message', () => process.send?.({ taken, published: 0 }));
process.on('disconnect', () => process.exit());
