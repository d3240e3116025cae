/** A config of the daemon for tests: JSON readings with their own times on `sensors/<place>`, one stream a place. */

/**
 * @param rule changes to the one rule of streams
 * @param change to the rest
 */
export const sensorsConfig = (
  { node, url, dataDir }: { readonly node: string; readonly url: string; readonly dataDir: string },
  rule: Readonly<Record<string, unknown>>,
  change: Readonly<Record<string, unknown>> = {},
) => ({
  node,
  mqtt: { url, qos: 1 },
  data_dir: dataDir,
  timezone: 'UTC',
  lateness: '0s',
  streams: [
    {
      match: 'sensors/{place}',
      payload: 'json',
      fields: ['value'],
      time: 'time',
      interval: '1m',
      name: '{place}',
      ...rule,
    },
  ],
  http: { listen: 'off' },
  ...change,
});
