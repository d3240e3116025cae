/** The schema of `site`: this agent as a member of a group of workers and bridges on NATS JetStream. */
import { z } from 'zod';
import { checkNatsUrl, checkSiteName } from './checks.ts';
import { duration, restart, text } from './values.ts';

const file = (description: string) => restart(text('a file name').optional(), description, 'file');

export const siteSchema = z.strictObject({
  name: restart(
    text('a name', checkSiteName),
    'Name of the site, as given to `gatecast site create`: letters, digits, `-` and `_`.',
  ),
  servers: restart(
    z
      .array(text('a URL', checkNatsUrl), { error: () => 'must be a list of URLs' })
      .min(1, 'must name a server')
      .max(32, 'has more than 32 servers'),
    'The NATS servers: nats:// or tls:// with host and port. One that is away is tried again.',
    'list of URLs',
  ),
  role: restart(
    z
      .array(z.enum(['bridge', 'worker']), { error: () => 'must be a list of `bridge` and `worker`' })
      .min(1, 'must name a role')
      .default(['bridge', 'worker']),
    '`bridge`: brings the readings of the MQTT broker into the site. `worker`: forecasts.',
    'list of roles',
  ),
  user: restart(text('a user name').optional(), 'User name at NATS.'),
  password_file: file('File that holds the password of `user`; never logged.'),
  credentials_file: file('Credentials file (JWT and seed) instead of `user` and `password_file`.'),
  tls: restart(
    z
      .strictObject({
        ca_file: file('PEM file of the certificate authorities trusted for NATS.'),
        cert_file: file('PEM file of the client certificate.'),
        key_file: file('PEM file of the key of `cert_file`.'),
      })
      .optional(),
    'TLS towards NATS; needed if the servers require client certificates or have a private CA.',
  ),
  batch: restart(
    duration({ min: '0ms', max: '1s' }, '20ms'),
    'How long a bridge gathers readings before it sends them.',
  ),
  checkpoint: restart(
    duration({ min: '1s', max: '1h' }, '5m'),
    'How often a worker saves the states of a partition, some 30 kB for each stream. What came later is repeated from the log when another worker takes over.',
  ),
  publish: restart(
    z.enum(['nats', 'mqtt']).default('nats'),
    'Where forecasts go. `nats`: subjects of the site. `mqtt`: also to the MQTT broker, retained, on `<base>/<site>/forecast/<stream>`.',
  ),
});
