/** The schema of `mqtt`: how to reach the broker. */
import { z } from 'zod';
import { checkBrokerUrl } from './checks.ts';
import { ALWAYS, bounded, duration, hot, reconnect, restart, text } from './values.ts';

const file = (description: string) => reconnect(text('a file name').optional(), description, 'file');

/** URL schemes without TLS. */
const PLAIN = /^(?:mqtt|tcp|ws):/;

export const mqttSchema = z
  .strictObject({
    url: reconnect(
      text('a URL', checkBrokerUrl),
      'The broker: mqtt:// or mqtts:// with host and port, or ws:// and wss://.',
      'URL',
    ),
    username: reconnect(text('a user name').optional(), 'User name at the broker.'),
    password_file: file('File that holds the password; read at each connect, never logged.'),
    ca: file(
      'PEM file of the certificate authorities trusted for the broker; by default those of the system.',
    ),
    cert: file('PEM file of the client certificate; needs `key`.'),
    key: file('PEM file of the key of `cert`.'),
    client_id: reconnect(
      text('a client id').max(128, 'is longer than 128 characters').optional(),
      'MQTT client id; `<base>-<node>` by default. Two agents must not share one.',
    ),
    version: reconnect(
      // A bare 5 is a number in YAML.
      z
        .literal(['auto', '5', '3.1.1', 5])
        .transform((version) => (version === 5 ? '5' : version))
        .prefault('auto'),
      'Protocol version. `auto`: 5, then 3.1.1 if the broker refuses 5.',
    ),
    qos: hot(
      bounded(0, 1, true).default(1),
      'QoS of the subscriptions. With 1 the broker queues messages while the agent is disconnected.',
    ),
    keepalive: reconnect(
      duration({ min: '5s', max: '1h' }, '30s'),
      'Longest idle time before the connection is checked with a ping.',
    ),
    connect_timeout: reconnect(
      duration({ min: '1s', max: '5m' }, '10s'),
      'How long one attempt to connect may take.',
    ),
    max_backoff: reconnect(
      duration({ min: '1s', max: '1h' }, '1m'),
      'Longest pause between attempts to connect.',
    ),
    session_expiry: reconnect(
      duration({ min: '0s', max: '7d' }, '1h'),
      'How long the broker keeps the session while the agent is disconnected.',
    ),
    outbox: restart(
      bounded(16, 100_000, true).default(2000),
      'Most messages queued while the broker is unreachable; the oldest are dropped first. Of retained messages only the newest per topic is kept.',
    ),
  })
  .superRefine((value, context) => {
    if ((value?.cert === undefined) !== (value?.key === undefined))
      context.addIssue({
        code: 'custom',
        path: [value?.cert === undefined ? 'cert' : 'key'],
        message: '`cert` and `key` must be set together',
      });
    if (typeof value?.url !== 'string' || !PLAIN.test(value.url)) return;
    for (const name of ['ca', 'cert', 'key'] as const)
      if (value[name] !== undefined)
        context.addIssue({
          code: 'custom',
          path: [name],
          message: 'has no effect on a connection that is not encrypted; use mqtts:// or wss:// in `url`',
        });
  }, ALWAYS);
